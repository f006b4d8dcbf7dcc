"""Train one cell's adapters, all seeds at once, and score them on the test images.

  python -m fieldguide.train_adapter --records records/images.csv --images features/…/images/target/*.safetensors \\
      --plan plans/class-wise.json --tuning tuning/…/thesis.json --ratio 10 --redraw fixed --seeds 0 1 2 \\
      --source reed=texts/reed.csv=translated/…/reed.safetensors --out adapters/…/ratio-10.json

Without --source the cell is image only. Beside the JSON, `--weights` keeps the trained layers.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fieldguide.errors import FieldguideError
from fieldguide.files import hash_ids, read_csv, read_json, write_json
from fieldguide.naming import tell_names
from fieldguide.stage import log, new_parser, run_stage
from fieldguide.tune_adapter import parse_source

if TYPE_CHECKING:
    from fieldguide.adapters import Adapter
    from fieldguide.cells import ImageTable

PACKAGES = ("fieldguide", "numpy", "safetensors")


def versions() -> dict[str, str]:
    """Versions of what computed the result."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def score_on_test(adapter: Adapter, features: Sequence[Path], images: ImageTable) -> list[float]:
    """Test accuracy in percent per seed; the one place that reads the test features."""
    from fieldguide.adapters import accuracy
    from fieldguide.cells import read_split

    test, labels, _ = read_split(features, images, images.test_rows)
    return [round(a, 6) for a in accuracy(adapter, test, labels).tolist()]


def train(args: argparse.Namespace) -> None:
    from fieldguide.adapters import fit, random_start
    from fieldguide.cells import append_texts, draw_runs, hash_plan, read_images, read_source, read_split
    from fieldguide.features import check_same_backbone, read_about, save_tensors
    from fieldguide.plans import Drawer, cell_size, count_steps

    plan, tuning = read_json(args.plan), read_json(args.tuning)
    images = read_images(args.records)
    table, labels, backbone = read_split(args.images, images, images.train_rows)
    ids, classes = images.train_ids, len(images.class_ids)
    drawer = Drawer(images.train_labels, plan["sampling"])
    for seed in args.seeds:
        planned = plan["seeds"].get(str(seed), {}).get("sha256")
        if planned != hash_ids([ids[i] for i in drawer.order(seed)]):
            raise FieldguideError(f"{args.plan}: its order for seed {seed} is not of these images; make the plan anew")
    source, pool, names = None, None, "none"
    if args.source:
        name, texts, translated = args.source
        source = read_source(name, texts, translated, images)
        check_same_backbone((args.images[0], read_about(args.images)), (translated, read_about(translated)))
        pool, names = source.pool(ids, classes), tell_names(read_csv(texts, ("class_name", "text")))
        table, labels = append_texts(table, labels, source)
    elif args.ratio == 0:
        raise FieldguideError("--ratio 0 needs a text source: without images and texts there is nothing to train on")

    size = cell_size(args.ratio, len(ids), source is not None)
    if size == 0:
        raise FieldguideError(f"--ratio {args.ratio}: keeps none of the {len(ids)} training images")
    steps = count_steps(args.budget, args.amount, size, args.batch)
    runs = draw_runs(drawer, args.ratio, pool, args.redraw, args.seeds, steps, args.batch)
    lr = [tuning["learning_rate"]] * len(args.seeds)
    decay = [tuning["weight_decay"]] * len(args.seeds)
    adapter = fit(table, labels, runs.rows, random_start(classes, table.shape[1], args.seeds), lr, decay)
    accuracy = score_on_test(adapter, args.images, images)

    result = {
        "image_percent": args.ratio,
        "text_percent": 100 - args.ratio if source else 0,
        "text_source": source.name if source else "none",
        "text_names": names,
        "text_unit": source.unit if source else "none",
        "sampling": plan["sampling"],
        "redraw": args.redraw,
        "budget": args.budget,
        "recipe": "thesis",
        "translator": args.translator if source else "none",
        "backbone": backbone,
        "seeds": args.seeds,
        "accuracy": accuracy,
        "distinct_images": runs.distinct_images,
        "distinct_texts": runs.distinct_texts,
        "optimiser_steps": steps,
        "examples_per_epoch": size,
        "plan_sha256": hash_plan(drawer, args.ratio, pool, args.seeds, ids),
        "config": {
            "batch": args.batch,
            "amount": args.amount,
            "learning_rate": tuning["learning_rate"],
            "weight_decay": tuning["weight_decay"],
            "threads": args.threads,
        },
        "versions": versions(),
    }
    if args.weights:
        about = {"backbone": backbone, "classes": "\n".join(images.class_ids)}
        save_tensors(args.weights, {"weight": adapter.weight, "bias": adapter.bias}, about)
    write_json(args.out, result)
    log.info("%d examples an epoch, %d steps, test accuracy per seed: %s", size, steps, accuracy)


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("train_adapter", __doc__)
    parser.add_argument("--records", type=Path, required=True, help="records/images.csv")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="image features, in shards")
    parser.add_argument("--plan", type=Path, required=True, help="plans/<sampling>.json")
    parser.add_argument("--tuning", type=Path, required=True, help="JSON of tune_adapter")
    parser.add_argument(
        "--source", type=parse_source, metavar="NAME[:reply]=TABLE=FEATURES", help="text source; none: image only"
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
