"""Conversion accuracy of every translator on pooled features, on 500 real image/caption pairs of CLIP ViT-B/16.

Five folds: fitted to 400 pairs (a fifth of them chooses the hyper-parameters, by the rule that the workflow uses) and
measured on the other 100, each caption against the fold's 100 images. The pairs are COCO's val2017, one caption an
image (`coco_val500_clip_vitb16.safetensors` in the folder FIELDGUIDE_REAL_DATA). Means over the folds, ± the half-width
of the t interval over them; folds share training pairs, so that it is somewhat too narrow.

  python benchmarks/conversion_real.py            the table
  python benchmarks/conversion_real.py --pairs 100 200 400
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np  # noqa: E402

from fieldguide.core.random import generator  # noqa: E402
from fieldguide.core.significance import half_width  # noqa: E402
from fieldguide.translators.conversion import measure_pairs  # noqa: E402
from fieldguide.translators.pairs import split_images  # noqa: E402
from fieldguide.translators.registry import TRANSLATORS  # noqa: E402
from fieldguide.translators.selection import choose, trials_of  # noqa: E402
from fieldguide.translators.task import Pairs, normalise  # noqa: E402

FILE = "coco_val500_clip_vitb16.safetensors"
REAL = Path(os.environ.get("FIELDGUIDE_REAL_DATA") or Path(__file__).parents[2] / "shared" / "real")
KINDS = tuple(kind for kind, line in TRANSLATORS.items() if not line.network)
FOLDS = 5
MEASURES = {
    "cosine": 3,
    "control": 3,
    "recall_1": 1,
    "recall_5": 1,
    "recall_10": 1,
    "centred_recall_1": 1,
    "centroid_distance": 3,
    "covariance_distance": 3,
    "variance_ratio": 2,
}


def read_real(path: Path) -> Pairs:
    """The pairs, row i of both; half precision rounds their norms, so they are normalised again."""
    from safetensors.numpy import load_file

    found = load_file(path)
    images, texts = (normalise(found[name].astype(np.float32)) for name in ("image", "text"))
    return Pairs(texts, images, np.arange(len(images)))


def measure_fold(kind: str, fitted: Pairs, held: Pairs, seed: int) -> tuple[dict[str, float], dict[str, float], float]:
    """All measures of a kind on held pairs, what was chosen, and the seconds that choosing and fitting took."""
    module = TRANSLATORS[kind].load()
    begun = time.perf_counter()
    inner, chooses = split_images(fitted.image_of, 0.2, seed)
    setting, _ = choose(module, fitted.take(inner), fitted.take(chooses), trials_of(module.VALUES), seed)
    state = module.fit(fitted, setting, seed)
    seconds = time.perf_counter() - begun
    measures = measure_pairs(module.translate(state, held.texts), held.images, held.image_of)
    return {name: estimate.value for name, estimate in measures.items()}, dict(setting), seconds


def five_folds(pairs: Pairs, kinds: Sequence[str], count: int) -> dict[str, dict[str, list[float]]]:
    """Measures by kind, a value per fold; translators are fitted to `count` pairs of the other folds at most."""
    order = generator(0, "folds").permutation(len(pairs))
    found: dict[str, dict[str, list[float]]] = {}
    for kind in kinds:
        for fold, held in enumerate(np.array_split(order, FOLDS)):
            rest = np.setdiff1d(order, held)
            rows = generator(fold, "pairs of a fold").permutation(rest)[:count]
            values, _, seconds = measure_fold(kind, pairs.take(np.sort(rows)), pairs.take(np.sort(held)), fold)
            for name, value in {**values, "seconds": seconds}.items():
                found.setdefault(kind, {}).setdefault(name, []).append(value)
    return found


def format_table(found: dict[str, dict[str, list[float]]]) -> str:
    """A Markdown table."""
    lines = ["| translator | " + " | ".join(MEASURES) + " | seconds |", "| --- |" + " ---: |" * (len(MEASURES) + 1)]
    for kind, values in found.items():
        cells = [f"{np.mean(values[n]):.{d}f} ± {half_width(values[n]) or 0:.{d}f}" for n, d in MEASURES.items()]
        lines.append(f"| {kind} | {' | '.join(cells)} | {np.mean(values['seconds']):.2f} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pairs", type=int, nargs="+", default=[400], help="pairs to fit to; 400 are all of four folds"
    )
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS, help="translators")
    args = parser.parse_args(argv)
    path = REAL / FILE
    if not path.exists():
        print(f"no {FILE} in {REAL}; name its folder in FIELDGUIDE_REAL_DATA")
        return
    pairs = read_real(path)
    for count in args.pairs:
        print(f"\nfitted to {count} pairs, measured on {len(pairs) // FOLDS}, {FOLDS} folds")
        print(format_table(five_folds(pairs, args.kinds, count)))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
