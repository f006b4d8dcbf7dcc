"""Draw, per seed, the order in which training images are kept: a ratio keeps the first part of it.

python -m fieldguide.adapters.plan_images --records records/images.csv --sampling class-wise --seeds 0 1 2 --out class-wise.json
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fieldguide.core.files import hash_ids, write_json
from fieldguide.core.stage import log, new_parser, run_stage


def plan(args: argparse.Namespace) -> None:
    from fieldguide.adapters.plans import Drawer
    from fieldguide.features.labelled import read_images

    images = read_images(args.records)
    drawer = Drawer(images.train_labels, args.sampling)
    ids = images.train_ids
    orders = {str(seed): [ids[i] for i in drawer.order(seed)] for seed in args.seeds}
    plans = {seed: {"image_ids": order, "sha256": hash_ids(order)} for seed, order in orders.items()}
    write_json(args.out, {"sampling": args.sampling, "seeds": plans})
    log.info("orders of %d training images for %d seeds, to %s", len(ids), len(plans), args.out)


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("adapters.plan_images", __doc__)
    parser.add_argument("--records", type=Path, required=True, help="records/images.csv")
    parser.add_argument("--sampling", choices=("class-wise", "global"), required=True)
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("plan_images", plan, build_parser(), argv, imports=("numpy",))


if __name__ == "__main__":
    main()
