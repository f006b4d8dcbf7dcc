"""Choose the adapter's learning rate and weight decay on a held-out part of the training images.

  python -m fieldguide.tune_adapter --records records/images.csv --images features/…/images/target/*.safetensors \\
      --source reed=texts/reed.csv=translated/…/reed.safetensors --out tuning/thesis.json

Every trial trains on the rest of the training images at image shares 100, 50, 10 and 0 (image only, and mixed with each
text source), class-wise and fixed; the best mean accuracy over the ratios wins. The test set is not read.
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from fieldguide.errors import FieldguideError
from fieldguide.files import write_json
from fieldguide.stage import log, new_parser, run_stage

RATIOS = (100, 50, 10, 0)


def parse_source(text: str) -> tuple[str, Path, Path]:
    """NAME=TABLE=FEATURES, or NAME:reply=… where one text is a whole reply of an LLM (`cells.read_source`)."""
    name, _, files = text.partition("=")
    table, _, features = files.partition("=")
    if not features:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=TABLE=FEATURES")
    return name, Path(table), Path(features)


def tune(args: argparse.Namespace) -> None:
    import numpy as np

    from fieldguide.adapters import accuracy, fit, random_start
    from fieldguide.cells import TextSource, append_texts, draw_runs, read_images, read_source, read_split
    from fieldguide.features import check_same_backbone, read_about
    from fieldguide.plans import Drawer, cell_size, count_steps, split_validation

    images = read_images(args.records)
    features, labels, _ = read_split(args.images, images, images.train_rows)
    try:
        fit_rows, held_rows = split_validation(images.train_labels, args.validation, seed=0)
    except ValueError as error:
        raise FieldguideError(f"{args.records}: {error}") from error
    sources = [read_source(name, table, path, images) for name, table, path in args.source]
    for _, _, path in args.source:
        check_same_backbone((args.images[0], read_about(args.images)), (path, read_about(path)))
    fit_ids = [images.train_ids[i] for i in fit_rows]
    drawer = Drawer(images.train_labels[fit_rows], "class-wise")
    classes = len(images.class_ids)
    trials = list(itertools.product(args.learning_rates, args.weight_decays))
    seeds = list(range(args.seeds))
    # Every trial sees the same seeds: one batched training of trials x seeds.
    lr = [t[0] for t in trials for _ in seeds]
    decay = [t[1] for t in trials for _ in seeds]
    by_ratio: dict[int, list[np.ndarray]] = defaultdict(list)
    for ratio in RATIOS:
        columns: list[TextSource | None] = [None] if ratio else []
        columns += sources if ratio < 100 else []
        for source in columns:
            table, targets = features[fit_rows], labels[fit_rows]
            pool = None
            if source is not None:
                pool = source.pool(fit_ids, classes)
                table, targets = append_texts(table, targets, source)
            size = cell_size(ratio, len(fit_rows), source is not None)
            if size == 0:
                raise FieldguideError(
                    f"{args.records}: {ratio}% of the {len(fit_rows)} training images that are not held out for "
                    "validation are none; tuning needs more images"
                )
            steps = count_steps(args.budget, args.amount, size, args.batch)
            runs = draw_runs(drawer, ratio, pool, "fixed", seeds, steps, args.batch)
            start = random_start(classes, table.shape[1], seeds * len(trials))
            adapter = fit(table, targets, np.tile(runs.rows, (len(trials), 1, 1)), start, lr, decay)
            scores = accuracy(adapter, features[held_rows], labels[held_rows]).reshape(len(trials), len(seeds)).mean(1)
            by_ratio[ratio].append(scores)
            log.info("ratio %d, %s: best trial %.1f%%", ratio, source.name if source else "image only", scores.max())
    mean = np.mean([np.mean(scores, axis=0) for scores in by_ratio.values()], axis=0)
    best = int(mean.argmax())
    write_json(
        args.out,
        {
            "learning_rate": trials[best][0],
            "weight_decay": trials[best][1],
            "validation_images": len(held_rows),
            "trials": [
                {
                    "learning_rate": t[0],
                    "weight_decay": t[1],
                    "accuracy": round(float(mean[i]), 3),
                    "by_ratio": {str(r): round(float(np.mean(s, axis=0)[i]), 3) for r, s in by_ratio.items()},
                }
                for i, t in enumerate(trials)
            ],
        },
    )
    log.info(
        "learning rate %g, weight decay %g: %.2f%% on %d validation images", *trials[best], mean[best], len(held_rows)
    )


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("tune_adapter", __doc__)
    parser.add_argument("--records", type=Path, required=True, help="records/images.csv")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="image features, in shards")
    parser.add_argument("--source", type=parse_source, action="append", default=[], metavar="NAME=TABLE=FEATURES")
    parser.add_argument("--learning-rates", type=float, nargs="+", required=True)
    parser.add_argument("--weight-decays", type=float, nargs="+", required=True)
    parser.add_argument("--budget", choices=("steps", "epochs"), default="steps")
    parser.add_argument("--amount", type=int, required=True, help="optimiser steps, or epochs, by --budget")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--validation", type=float, default=0.2, help="share of each class that is held out")
    parser.add_argument("--seeds", type=int, default=2, help="seeds averaged per trial")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("tune_adapter", tune, build_parser(), argv, imports=("numpy",))


if __name__ == "__main__":
    main()
