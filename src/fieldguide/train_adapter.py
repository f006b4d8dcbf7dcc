"""Train one cell's adapters, all seeds at once, and score them on the test images.

  python -m fieldguide.train_adapter --records records/images.csv --images features/…/images/target.safetensors \\
      --plan plans/class-wise.json --tuning tuning/…/thesis.json --ratio 10 --redraw fixed --seeds 0 1 2 \\
      --source reed=texts/reed.csv=translated/…/reed.safetensors --out adapters/…/ratio-10.json

Without --source the cell is image only. `--recipe` says how it is trained (listed in `fieldguide.recipes.registry`;
default the thesis's). Beside the JSON, `--weights` keeps the trained layers.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fieldguide.errors import FieldguideError
from fieldguide.files import hash_ids, read_csv, read_json, write_json
from fieldguide.naming import tell_names
from fieldguide.recipes.registry import RECIPES
from fieldguide.stage import log, new_parser, run_stage
from fieldguide.tune_adapter import parse_source

if TYPE_CHECKING:
    from types import ModuleType

    from fieldguide.adapters import Classifier
    from fieldguide.cells import ImageTable

PACKAGES = ("fieldguide", "numpy", "safetensors")


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
    from fieldguide.adapters import accuracy
    from fieldguide.cells import read_split

    test, labels, _ = read_split(features, images, images.test_rows)
    return [round(a, 6) for a in accuracy(classifier, test, labels).tolist()]


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

    from fieldguide.cells import check_width, hash_plan, read_images, read_source, read_split
    from fieldguide.features import check_same_backbone, read_about, save_tensors
    from fieldguide.plans import Drawer, cell_size
    from fieldguide.recipes.task import Task, Texts

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
        pool, names = source.pool(ids, classes), tell_names(read_csv(files.table, ("class_name", "text")))
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
        "config": {
            **({"batch": args.batch, "amount": args.amount} if fitted.steps else {}),
            **setting,
            "threads": args.threads,
        },
        "versions": versions((*PACKAGES, *getattr(module, "PACKAGES", ()))),
    }
    if args.weights:
        about = {"backbone": backbone, "classes": "\n".join(images.class_ids)}
        save_tensors(args.weights, fitted.classifier.tensors(), about)
    write_json(args.out, result)
    log.info("%d examples an epoch, %d steps, test accuracy per seed: %s", size, fitted.steps, accuracy)


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("train_adapter", __doc__)
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
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("train_adapter", train, build_parser(), argv, imports=("numpy", "safetensors.numpy"))


if __name__ == "__main__":
    main()
