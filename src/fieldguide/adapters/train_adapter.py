"""Train one cell's adapters, all seeds at once, and score them on the test images.

  python -m fieldguide.adapters.train_adapter --records records/images.csv --images features/…/images/dataset.safetensors \\
      --plan plans/class-wise.json --tuning tuning/…/thesis.json --ratio 10 --redraw fixed --seeds 0 1 2 \\
      --source reed=texts/reed.csv=translated/…/reed.safetensors --out adapters/…/ratio-10.json

Without --source the cell is image only. `--recipe` says how it is trained (listed in `fieldguide.adapters.recipes.registry`;
default the thesis's). Beside the JSON, `--weights` keeps the trained layers with what `fieldguide classify` needs to
use them, and `--card` says in words what they were trained on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fieldguide.adapters.recipes.registry import RECIPES
from fieldguide.adapters.results import CellResult
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import hash_ids, read_csv, read_json, sha256_of, write_text
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.inference.model_card import CHECKPOINT, Counts, Source, write_card
from fieldguide.texts.naming import tell_names
from fieldguide.texts.source import parse_source

if TYPE_CHECKING:
    from types import ModuleType

    from fieldguide.adapters.linear import Classifier
    from fieldguide.adapters.recipes.task import Task
    from fieldguide.features.labelled import ImageTable
    from fieldguide.texts.source import TextSource

PACKAGES = ("fieldguide", "numpy", "safetensors")
ENCODER = ("model", "pretrained", "precision", "preprocessing", "weights", "dtype")
"""What image features say of the encoder that made them; another photograph has to go through the same one."""
HELD_OUT = 0.2
"""The part of the training images that a cell which trains on all of them is calibrated on, by one fit more."""
LEFT_OUT = 10
"""Percent of the training images: a fixed cell that leaves out as many is calibrated on those."""


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions of what computed the result."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def score_on_test(classifier: Classifier, features: Sequence[Path], images: ImageTable) -> list[float]:
    """Test accuracy in percent per seed; the one place that reads the test features."""
    from fieldguide.adapters.linear import accuracy
    from fieldguide.features.labelled import read_split

    test, labels, _ = read_split(features, images, images.test_rows)
    return [round(a, 6) for a in accuracy(classifier, test, labels).tolist()]


def calibrate(
    task: Task, source: TextSource | None, ids: Sequence[str], module: ModuleType, setting: dict, classifier: Classifier
) -> dict[str, float]:
    """The temperature that makes logits probabilities, and what it rests on: training images that a run never saw.

    Each run of a fixed cell is asked about the images that it left out. Where there are too few, a run of one seed is
    trained without a part of the images, class by class. No test image has a part in it.
    """
    import numpy as np

    from fieldguide.adapters.plans import Drawer, cell_size, split_validation
    from fieldguide.inference.calibration import calibration_error, fit_temperature, softmax

    if task.redraw == "fixed" and task.percent <= 100 - LEFT_OUT:
        every = np.arange(len(task.labels))
        left = [np.setdiff1d(every, task.draw(seed)[0]) for seed in task.seeds]
        logits = np.concatenate([classifier.logits(run, task.images[rows]) for run, rows in enumerate(left)])
        labels = np.concatenate([task.labels[rows] for rows in left])
    else:
        try:
            rows, held = split_validation(task.labels, HELD_OUT, seed=0)
        except ValueError:  # a class with a single image
            return {"temperature": 1.0, "held_out_images": 0}
        if cell_size(task.percent, len(rows), source is not None) == 0:
            return {"temperature": 1.0, "held_out_images": 0}
        texts = task.texts
        if texts is not None and source is not None:
            from fieldguide.adapters.cells import pool_texts

            texts = replace(texts, pool=pool_texts(source, [ids[i] for i in rows], task.classes))
        part = replace(
            task,
            images=task.images[rows],
            labels=task.labels[rows],
            texts=texts,
            drawer=Drawer(task.labels[rows], task.drawer.sampling),
            seeds=task.seeds[:1],
        )
        logits, labels = module.fit(part, [setting]).classifier.logits(0, task.images[held]), task.labels[held]
        left = [held]
    temperature = round(fit_temperature(logits, labels), 6)
    return {
        "temperature": temperature,
        "held_out_images": len(left[0]),
        "held_out_accuracy": round(float((logits.argmax(1) == labels).mean() * 100), 6),
        "calibration_error": round(calibration_error(softmax(logits, temperature), labels), 6),
    }


def read_class_names(path: Path | None, class_ids: Sequence[str]) -> list[str]:
    """The classes' names in the order of their ids; without a table their ids."""
    if path is None:
        return list(class_ids)
    names = {row["class_id"]: row["class_name"] for row in read_csv(path, ("class_id", "class_name"))}
    missing = [class_id for class_id in class_ids if class_id not in names]
    if missing:
        raise FieldguideError(f"{path}: lacks class {missing[0]}, which has images; make the records anew")
    return [names[class_id] for class_id in class_ids]


def read_setting(args: argparse.Namespace, module: ModuleType) -> dict[str, float]:
    """The hyper-parameters that tune_adapter chose; none for a recipe that has none."""
    if not RECIPES[args.recipe].tuned:
        return {}
    if args.tuning is None:
        raise FieldguideError(f"--recipe {args.recipe} needs --tuning: the JSON of tune_adapter for it")
    tuning = read_json(args.tuning)
    names = module.trials(1)[0] if hasattr(module, "trials") else ("learning_rate", "weight_decay")
    try:
        return {name: tuning[name] for name in names}
    except KeyError as error:
        raise FieldguideError(f"{args.tuning}: lacks {error.args[0]}; it was not made for {args.recipe}") from error


def train(args: argparse.Namespace) -> None:
    import numpy as np

    from fieldguide.adapters.cells import hash_plan, pool_texts
    from fieldguide.adapters.plans import Drawer, cell_size
    from fieldguide.adapters.recipes.task import Task, Texts
    from fieldguide.features.labelled import read_images, read_split
    from fieldguide.features.store import check_same_backbone, read_about, save_tensors
    from fieldguide.texts.source import check_width, read_source

    recipe = RECIPES[args.recipe]
    if args.redraw == "per-epoch" and not recipe.redraws:
        raise FieldguideError(f"--redraw per-epoch: recipe {args.recipe} has no epochs; use fixed")
    if args.source and not recipe.texts:
        raise FieldguideError(f"--source: recipe {args.recipe} takes no text; leave it out")
    module = recipe.load()
    plan, setting = read_json(args.plan), read_setting(args, module)
    images = read_images(args.records)
    table, labels, backbone = read_split(args.images, images, images.train_rows)
    ids, classes = images.train_ids, len(images.class_ids)
    drawer = Drawer(images.train_labels, plan["sampling"])
    for seed in args.seeds:
        planned = plan["seeds"].get(str(seed), {}).get("sha256")
        if planned != hash_ids([ids[i] for i in drawer.order(seed)]):
            raise FieldguideError(f"{args.plan}: its order for seed {seed} is not of these images; make the plan anew")
    source, pool, texts, names = None, None, None, "none"
    if args.source:
        files = args.source
        source = read_source(files.name, files.table, files.translated, images, files.raw)
        path = files.translated or files.raw
        check_same_backbone((args.images[0], read_about(args.images)), (path, {"backbone": source.backbone}))
        check_width(table, source)
        for kind, features in (("translated", source.features), ("raw", source.raw)):
            if kind in recipe.texts and features is None:
                raise FieldguideError(f"--source {files.name}: recipe {args.recipe} needs {kind} text features too")
        pool, names = pool_texts(source, ids, classes), tell_names(read_csv(files.table, ("class_name", "text")))
        texts = Texts(
            source.labels,
            pool,
            source.features if recipe.translates else None,
            source.raw if "raw" in recipe.texts else None,
        )
    elif args.ratio == 0:
        raise FieldguideError("--ratio 0 needs a text source: without images and texts there is nothing to train on")
    elif not recipe.images_alone:
        raise FieldguideError(f"--recipe {args.recipe} needs a text source: give one by --source")

    size = cell_size(args.ratio, len(ids), source is not None)
    if size == 0:
        raise FieldguideError(f"--ratio {args.ratio}: keeps none of the {len(ids)} training images")
    task = Task(
        table,
        labels,
        classes,
        texts,
        drawer,
        args.ratio,
        args.seeds,
        redraw=args.redraw,
        budget=args.budget,
        amount=args.amount,
        batch=args.batch,
    )
    fitted = module.fit(task, [setting])
    draws = [task.draw(seed) for seed in args.seeds]
    calibration = calibrate(task, source, ids, module, setting, fitted.classifier)
    accuracy = score_on_test(fitted.classifier, args.images, images)

    result = {
        "image_percent": args.ratio,
        "text_percent": 100 - args.ratio if source else 0,
        "text_source": source.name if source else "none",
        "text_names": names,
        "text_unit": source.unit if source else "none",
        "sampling": plan["sampling"],
        "redraw": args.redraw,
        "budget": args.budget,
        "recipe": args.recipe,
        "translator": args.translator if source and recipe.translates else "none",
        "backbone": backbone,
        "seeds": args.seeds,
        "accuracy": accuracy,
        "distinct_images": fitted.distinct_images or [len(kept) for kept, _ in draws],
        "distinct_texts": fitted.distinct_texts or [len(np.unique(told)) for _, told in draws],
        "optimiser_steps": fitted.steps,
        "examples_per_epoch": size,
        "plan_sha256": hash_plan(drawer, args.ratio, pool, args.seeds, ids),
        "calibration": calibration,
        "config": {
            **({"batch": args.batch, "amount": args.amount} if fitted.steps else {}),
            **setting,
            "threads": args.threads,
        },
        "versions": versions((*PACKAGES, *getattr(module, "PACKAGES", ()))),
    }
    class_names = read_class_names(args.classes, images.class_ids)
    encoder = {key: value for key, value in read_about(args.images).items() if key in ENCODER}
    if args.weights:
        about = {
            **encoder,
            "backbone": backbone,
            "classes": "\n".join(images.class_ids),
            "class_names": "\n".join(class_names),
            "dataset": args.dataset,
            "recipe": args.recipe,
            "text_source": result["text_source"],
            "temperature": repr(calibration["temperature"]),
        }
        save_tensors(args.weights, fitted.classifier.tensors(), about)
    if args.card:
        # Features are left out, known by their backbone and rows: hashing them would take longer than training.
        files = {"records": args.records, "plan": args.plan, "texts": args.source and args.source.table}
        files[CHECKPOINT] = args.weights
        sources = [Source(what, str(path), sha256_of(path)) for what, path in files.items() if path]
        counts = Counts(len(ids), len(images.test_rows), classes)
        write_text(args.card, write_card(result, args.dataset, counts, encoder, sources))
    CellResult.model_validate(result).write(args.out)
    log.info("%d examples an epoch, %d steps, test accuracy per seed: %s", size, fitted.steps, accuracy)


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("adapters.train_adapter", __doc__)
    parser.add_argument("--records", type=Path, required=True, help="records/images.csv")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="image features, in shards")
    parser.add_argument("--plan", type=Path, required=True, help="plans/<sampling>.json")
    parser.add_argument("--recipe", choices=sorted(RECIPES), default="thesis", help="how it is trained")
    parser.add_argument("--tuning", type=Path, help="JSON of tune_adapter, for a recipe that has something to choose")
    parser.add_argument(
        "--source",
        type=parse_source,
        metavar="NAME[:reply]=TABLE=FEATURES[=RAW…]",
        help="text source with its translated features, its raw ones or both; none: image only",
    )
    parser.add_argument("--translator", default="none", help="name of the translator that made the source's features")
    parser.add_argument(
        "--ratio", type=int, required=True, choices=range(101), metavar="0..100", help="share of images, %%"
    )
    parser.add_argument("--redraw", choices=("fixed", "per-epoch"), default="fixed")
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--budget", choices=("steps", "epochs"), default="steps")
    parser.add_argument("--amount", type=int, required=True, help="optimiser steps, or epochs, by --budget")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    parser.add_argument("--weights", type=Path, help="safetensors file for the trained layers, (seeds, classes, d)")
    parser.add_argument("--classes", type=Path, help="records/classes.csv: the classes' names; default: their ids")
    parser.add_argument("--dataset", default="", help="the data set's name, for the weights and the card")
    parser.add_argument("--card", type=Path, help="Markdown file for the model card")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("train_adapter", train, build_parser(), argv, imports=("numpy", "safetensors.numpy"))


if __name__ == "__main__":
    main()
