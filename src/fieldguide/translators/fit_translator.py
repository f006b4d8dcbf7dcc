"""Fit a translator on pooled features to image/caption pairs; its hyper-parameters are chosen on held-out pairs.

  python -m fieldguide.translators.fit_translator --kind ridge --pairs records/pairs.csv --out translators/…/ridge \\
      --images features/…/images/pairs/*.safetensors --texts features/…/texts/pairs/*.safetensors

Writes translator.safetensors (fitted to all pairs with what was chosen) and selection.csv (what was tried, and its
energy score on held-out images: smaller is better). `--values` replaces the values tried: '{"penalty": [0.1, 1]}'.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import write_csv
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.translators.registry import TRANSLATORS, kinds_of

KINDS = kinds_of("fit_translator")


def values_of(kind: str, given: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """The values tried of each hyper-parameter of a kind: its own, those given in their place.

    Where its own are whole numbers, so are those given. Raises ValueError naming what the kind does not have, or what
    is no list of numbers that it can take.
    """
    module = TRANSLATORS[kind].load()
    own: dict[str, tuple[float, ...]] = module.VALUES
    largest: Mapping[str, float] = getattr(module, "LARGEST", {})
    for name, values in given.items():
        if name not in own:
            has = ", ".join(own) or "none"
            raise ValueError(f"{kind} has no hyper-parameter '{name}'; it has {has}")
        whole = all(isinstance(value, int) for value in own[name])
        if not isinstance(values, (list, tuple)) or not values or not all(can_be(value, whole) for value in values):
            what = "whole numbers" if whole else "numbers"
            raise ValueError(f"{name} should be a list of {what} above 0, not {told(values)}")
        if max(values) > largest.get(name, math.inf):
            raise ValueError(f"{name} should be {largest[name]:g} at most, not {told(values)}")
    return {name: tuple(given.get(name, values)) for name, values in own.items()}


def can_be(value: object, whole: bool) -> bool:
    """Whether a value of a configuration, or of JSON, can be a hyper-parameter's."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return False
    return value > 0 and (not whole or value == int(value))


def told(values: object) -> str:
    """Values as the user wrote them: the configuration reads a list as a tuple."""
    return repr(list(values) if isinstance(values, tuple) else values)


def fit(args: argparse.Namespace) -> None:
    import numpy as np

    from fieldguide.features.store import check_same_backbone, kept_dtype, read_features, save_tensors
    from fieldguide.translators.pairs import read_pairs, split_images, usable_pairs
    from fieldguide.translators.selection import choose, trials_of
    from fieldguide.translators.task import Pairs

    try:
        trials = trials_of(values_of(args.kind, json.loads(args.values)))
    except ValueError as error:
        raise FieldguideError(f"--values {args.values}: {error}") from error
    image_ids, captions, image_of = read_pairs(args.pairs)
    images, about_images = read_features(args.images, image_ids)
    texts, about = read_features(args.texts, captions, names=("pooled", "rows"))
    backbone = check_same_backbone((args.images[0], about_images), (args.texts[0], about))
    widths = texts["pooled"].shape[1], images["features"].shape[1]
    if widths[0] != widths[1] and not TRANSLATORS[args.kind].any_width:
        others = " or ".join(kind for kind in KINDS if TRANSLATORS[kind].any_width)
        raise FieldguideError(
            f"{args.texts[0]}: texts are {widths[0]} wide and images {widths[1]}, and {args.kind} keeps the width; "
            f"take {others}"
        )
    usable = usable_pairs(args.pairs, image_ids, captions, image_of, args.exclude, args.test_share)
    del captions
    log.info("%d of %d images, %d of %d captions", *counts(image_of, usable))
    module = TRANSLATORS[args.kind].load()
    # Only the images that may be learnt from: a memory remembers all it gets.
    kept, own = np.unique(image_of[usable], return_inverse=True)
    whole = Pairs(texts["pooled"][texts["rows"][usable]], images["features"][kept], own)
    del texts, images
    setting: Mapping[str, float] = trials[0]
    scores: list[float] = []
    if len(trials) > 1:
        fitted, held = split_images(whole.image_of, args.held_out, args.seed)
        setting, scores = choose(module, whole.take(fitted), whole.take(held), trials, args.seed)
        log.info("chosen of %d trials on %d held-out images: %s", len(trials), len(held), setting)
    state = module.fit(whole, setting, args.seed)
    about = {"translator": args.kind, "backbone": backbone, "setting": json.dumps(setting), **kept_dtype(about)}
    names = [*trials[0], "energy_score"]
    save_tensors(args.out / "translator.safetensors", {n: np.ascontiguousarray(a) for n, a in state.items()}, about)
    rows = [{**trial, "energy_score": f"{value:.6f}"} for trial, value in zip(trials, scores, strict=False)]
    write_csv(args.out / "selection.csv", names, rows)


def counts(image_of: Any, usable: Any) -> tuple[int, int, int, int]:
    """Images and captions used, each with how many there are."""
    return len(set(image_of[usable].tolist())), int(image_of.max()) + 1, len(usable), len(image_of)


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("translators.fit_translator", __doc__)
    parser.add_argument("--kind", choices=KINDS, required=True, help="which translator")
    parser.add_argument("--pairs", type=Path, required=True, help="CSV with image_id and caption")
    parser.add_argument(
        "--images", type=Path, nargs="+", required=True, help="image features of those pairs, in shards"
    )
    parser.add_argument(
        "--texts", type=Path, nargs="+", required=True, help="text features of those captions, in shards"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--exclude", default="", help="leave out images with a caption that matches this expression")
    parser.add_argument("--test-share", type=float, default=0.0, help="share of images left out, to measure on")
    parser.add_argument("--held-out", type=float, default=0.05, help="share of images that chooses among the trials")
    parser.add_argument("--values", default="{}", help="JSON: values to try of a hyper-parameter, in place of its own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    parser = build_parser()
    imports = ("torch",) if TRANSLATORS[parser.parse_args(argv).kind].gradient else ("numpy",)
    run_stage("fit_translator", fit, parser, argv, imports)


if __name__ == "__main__":
    main()
