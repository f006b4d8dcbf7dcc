"""A reference for the adapters: scikit-learn's logistic regression on the same images of the same plans.

  python -m fieldguide.tables.probe_features --records records/images.csv --images features/…/dataset/*.safetensors \\
      --cells adapters/…/none/class-wise/fixed/ratio-100.json … --settings '{"seeds": [0, 1, 2]}' --out tables/probe.csv

C is chosen per ratio on a held-out part of the training images, then the probe is fitted on all of the cell's images.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

from fieldguide.core.errors import FieldguideError
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.tables.results import Format, read_cells, summarise, write_frame
from fieldguide.tables.rows import IMAGE_ONLY
from fieldguide.tables.settings import ProbeSettings

PROBE_FORMATS: Mapping[str, Format] = {
    **dict.fromkeys(("image_percent", "sampling"), ""),
    "c": "g",
    "probe_accuracy": ".2f",
    "thesis_accuracy": ".2f",
    "difference": "+.2f",
    "n_seeds": "d",
}
"""The columns of probe.csv, and how each is written."""


def probe(args: argparse.Namespace) -> None:
    import numpy as np
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    from fieldguide.adapters.plans import Drawer, images_kept, split_validation
    from fieldguide.features.labelled import read_images, read_split

    settings = parse_settings(ProbeSettings, args.settings)
    images = read_images(args.records)
    train, labels, _ = read_split(args.images, images, images.train_rows)
    test, truth, _ = read_split(args.images, images, images.test_rows)
    try:
        fit_rows, held_rows = split_validation(images.train_labels, 0.2, seed=0)
    except ValueError as error:
        raise FieldguideError(f"{args.records}: {error}") from error

    def fitted(rows: np.ndarray, c: float) -> LogisticRegression:
        return LogisticRegression(C=c, max_iter=2000).fit(train[rows], labels[rows])

    cells = summarise(read_cells(args.cells)).set_index("path").loc[args.cells]
    results = []
    for path, cell in cells.iterrows():
        if cell["text_source"] != IMAGE_ONLY or cell["redraw"] != "fixed":
            raise FieldguideError(f"{path}: the probe is compared with image-only cells with fixed images alone")
        percent, sampling = cell["image_percent"], cell["sampling"]
        inner = Drawer(images.train_labels[fit_rows], sampling)
        few = fit_rows[inner.order(0)[: images_kept(percent, len(fit_rows))]]
        scores = {c: fitted(few, c).score(train[held_rows], labels[held_rows]) for c in settings.c}
        best = max(scores, key=lambda c: scores[c])
        drawer = Drawer(images.train_labels, sampling)
        kept = images_kept(percent, len(labels))
        seeds = settings.seeds if percent < 100 else settings.seeds[:1]
        probes = [fitted(drawer.order(seed)[:kept], best) for seed in seeds]
        ours = cell["accuracy_mean"]
        theirs = fmean(float(p.score(test, truth)) * 100 for p in probes)
        row = (percent, sampling, best, theirs, ours, ours - theirs, len(probes))
        results.append(dict(zip(PROBE_FORMATS, row, strict=True)))
        log.info("%d%% of the images: probe %.2f%% (C = %g), thesis recipe %.2f%%", percent, theirs, best, ours)
    write_frame(args.out, pd.DataFrame(results), PROBE_FORMATS)


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("tables.probe_features", __doc__)
    parser.add_argument("--records", type=Path, required=True, help="records/images.csv")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="image features, in shards")
    parser.add_argument("--cells", nargs="+", required=True, help="image-only cells to compare with")
    parser.add_argument("--out", type=Path, required=True, help="CSV file to write")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    add_settings(parser, ProbeSettings)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("probe_features", probe, build_parser(), argv, imports=("pandas", "sklearn.linear_model"))


if __name__ == "__main__":
    main()
