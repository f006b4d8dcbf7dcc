"""Fit a translator on pooled features to image/caption pairs; its hyper-parameters are chosen on held-out pairs.

  python -m fieldguide.translators.fit_translator --settings '{"kind": "ridge", "values": {"penalty": [0.1, 1]}}' \\
      --pairs records/pairs.csv --pair-images features/…/images/pairs/*.safetensors \\
      --pair-texts features/…/texts/pairs/*.safetensors --out translators/…/ridge

Writes translator.safetensors (fitted to all pairs with what was chosen) and selection.csv (what was tried, and its
energy score on held-out images: smaller is better).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import write_csv
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.translators.pairs import EncodedPairs, add_pair_options, read_encoded, split_images
from fieldguide.translators.registry import TRANSLATORS, kinds_of, values_to_try
from fieldguide.translators.settings import FitTranslator


def check_widths(args: argparse.Namespace, kind: str, pairs: EncodedPairs) -> None:
    """Raise FieldguideError where texts and images differ in width and the kind keeps it."""
    widths = pairs.texts["pooled"].shape[1], pairs.images.shape[1]
    if widths[0] != widths[1] and not TRANSLATORS[kind].any_width:
        others = " or ".join(other for other in kinds_of("fit_translator") if TRANSLATORS[other].any_width)
        raise FieldguideError(
            f"{args.pair_texts[0]}: texts are {widths[0]} wide and images {widths[1]}, and {kind} keeps the width; "
            f"take {others}"
        )


def fit(args: argparse.Namespace) -> None:
    import numpy as np

    from fieldguide.features.store import save_tensors
    from fieldguide.translators.selection import choose, trials_of
    from fieldguide.translators.task import Pairs

    settings = parse_settings(FitTranslator, args.settings)
    trials = trials_of(values_to_try(settings.kind, settings.values))
    read = read_encoded(args, ("pooled", "rows"), settings.exclude, settings.test_share)
    check_widths(args, settings.kind, read)
    # Only the images that may be learnt from: a memory remembers all it gets.
    kept, own = np.unique(read.image_of[read.usable], return_inverse=True)
    log.info("%d of %d images, %d of %d captions", len(kept), len(read.images), len(read.usable), len(read.image_of))
    whole = Pairs(read.texts["pooled"][read.texts["rows"][read.usable]], read.images[kept], own)
    about = {"translator": settings.kind, **read.about}
    del read
    module = TRANSLATORS[settings.kind].load()
    chosen: Mapping[str, float] = trials[0]
    scores: list[float] = []
    if len(trials) > 1:
        fitted, held = split_images(whole.image_of, settings.held_out, settings.seed)
        chosen, scores = choose(module, whole.take(fitted), whole.take(held), trials, settings.seed)
        log.info("chosen of %d trials on %d held-out images: %s", len(trials), len(held), chosen)
    state = {name: np.ascontiguousarray(array) for name, array in module.fit(whole, chosen, settings.seed).items()}
    save_tensors(args.out / "translator.safetensors", state, {**about, "setting": json.dumps(chosen)})
    rows = [{**trial, "energy_score": f"{value:.6f}"} for trial, value in zip(trials, scores, strict=False)]
    write_csv(args.out / "selection.csv", [*trials[0], "energy_score"], rows)


def needs_torch(settings: str) -> bool:
    """Whether fitting runs torch; what is wrong with the settings is said when they are parsed."""
    try:
        return TRANSLATORS[json.loads(settings)["kind"]].gradient
    except (ValueError, KeyError, TypeError):
        return False


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("translators.fit_translator", __doc__)
    add_pair_options(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    add_settings(parser, FitTranslator)
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    imports = ("torch",) if needs_torch(parser.parse_args(argv).settings) else ("numpy",)
    run_stage("fit_translator", fit, parser, argv, imports)


if __name__ == "__main__":
    main()
