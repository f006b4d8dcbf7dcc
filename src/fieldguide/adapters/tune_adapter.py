"""Choose a recipe's hyper-parameters, such as learning rate and weight decay, on held-out training images.

  python -m fieldguide.adapters.tune_adapter --records records/images.csv --images features/…/images/dataset.safetensors \\
      --source reed=texts/reed.csv=translated/…/reed.safetensors --out tuning/thesis.json

Every trial trains on the rest of the training images at image shares 100, 50, 10 and 0 (image only, and mixed with each
text source, as far as the recipe goes), class-wise and fixed; the best mean accuracy over the ratios wins. Every recipe
has as many trials: the thesis's are learning rates x weight decays, the others' their own. The test set is not read.
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from fieldguide.adapters.recipes.registry import RECIPES
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import write_json
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.texts.source import parse_source

RATIOS = (100, 50, 10, 0)


def tune(args: argparse.Namespace) -> None:
    import numpy as np

    from fieldguide.adapters.cells import pool_texts
    from fieldguide.adapters.linear import accuracy
    from fieldguide.adapters.plans import Drawer, cell_size, split_validation
    from fieldguide.adapters.recipes.task import Task, Texts
    from fieldguide.features.labelled import read_images, read_split
    from fieldguide.features.store import check_same_backbone, read_about
    from fieldguide.texts.source import TextSource, check_width, read_source

    recipe = RECIPES[args.recipe]
    if not recipe.tuned:
        raise FieldguideError(f"--recipe {args.recipe} has nothing to choose; it needs no tuning")
    module = recipe.load()
    images = read_images(args.records)
    features, labels, _ = read_split(args.images, images, images.train_rows)
    try:
        fit_rows, held_rows = split_validation(images.train_labels, args.validation, seed=0)
    except ValueError as error:
        raise FieldguideError(f"{args.records}: {error}") from error
    sources = [read_source(s.name, s.table, s.translated, images, s.raw) for s in args.source]
    for files, read in zip(args.source, sources, strict=True):
        path = files.translated or files.raw
        check_same_backbone((args.images[0], read_about(args.images)), (path, {"backbone": read.backbone}))
        check_width(features, read)
    fit_ids = [images.train_ids[i] for i in fit_rows]
    drawer = Drawer(images.train_labels[fit_rows], "class-wise")
    classes = len(images.class_ids)
    trials: list[dict[str, float]] = [
        {"learning_rate": lr, "weight_decay": decay}
        for lr, decay in itertools.product(args.learning_rates, args.weight_decays)
    ]
    if hasattr(module, "trials"):
        trials = module.trials(len(trials))
    seeds = list(range(args.seeds))
    by_ratio: dict[int, list[np.ndarray]] = defaultdict(list)
    for ratio in RATIOS:
        columns: list[TextSource | None] = [None] if recipe.does(ratio, has_text=False) else []
        columns += sources if recipe.does(ratio, has_text=True) else []
        for source in columns:
            if cell_size(ratio, len(fit_rows), source is not None) == 0:
                raise FieldguideError(
                    f"{args.records}: {ratio}% of the {len(fit_rows)} training images that are not held out for "
                    "validation are none; tuning needs more images"
                )
            texts = None
            if source is not None:
                texts = Texts(source.labels, pool_texts(source, fit_ids, classes), source.features, source.raw)
            task = Task(
                features[fit_rows],
                labels[fit_rows],
                classes,
                texts,
                drawer,
                ratio,
                seeds,
                budget=args.budget,
                amount=args.amount,
                batch=args.batch,
            )
            # Every trial sees the same seeds: one batched training of trials x seeds.
            classifier = module.fit(task, trials).classifier
            held = accuracy(classifier, features[held_rows], labels[held_rows])
            scores = held.reshape(len(trials), len(seeds)).mean(1)
            by_ratio[ratio].append(scores)
            log.info("ratio %d, %s: best trial %.1f%%", ratio, source.name if source else "image only", scores.max())
    if not by_ratio:
        raise FieldguideError(f"--recipe {args.recipe} needs a text source: give one by --source")
    mean = np.mean([np.mean(scores, axis=0) for scores in by_ratio.values()], axis=0)
    best = int(mean.argmax())
    write_json(
        args.out,
        {
            **trials[best],
            "validation_images": len(held_rows),
            "trials": [
                {
                    **trial,
                    "accuracy": round(float(mean[i]), 3),
                    "by_ratio": {str(r): round(float(np.mean(s, axis=0)[i]), 3) for r, s in by_ratio.items()},
                }
                for i, trial in enumerate(trials)
            ],
        },
    )
    chosen = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in trials[best].items())
    log.info("%s: %.2f%% on %d validation images", chosen, mean[best], len(held_rows))


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("adapters.tune_adapter", __doc__)
    parser.add_argument("--records", type=Path, required=True, help="records/images.csv")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="image features, in shards")
    parser.add_argument("--source", type=parse_source, action="append", default=[], metavar="NAME=TABLE=FEATURES[=RAW]")
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="thesis")
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
