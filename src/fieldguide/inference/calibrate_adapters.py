"""Calibrate trained cells, so that their logits become probabilities, and write the card of each.

  python -m fieldguide.inference.calibrate_adapters --records records/images.csv \\
      --images features/…/images/dataset/shard-1-of-1.safetensors --plans plans/class-wise.json \\
      --texts reed texts/reed.csv --features qformer reed translated/…/qformer/reed.safetensors \\
      --cells adapters/…/ratio-10.json adapters/…/ratio-100.json

Beside each cell's JSON and weights stand then its calibration (ratio-….calibration.json), which `fieldguide classify`
reads, and its card (ratio-….md).

A run of a fixed cell is asked about the training images that it left out. Where these are too few, or where their own
captions took their places, one run of one seed is trained without a part of the images and of their captions, class by
class, and is asked about that part. No test image has a part in it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from fieldguide.adapters.recipes.registry import RAW, RECIPES
from fieldguide.adapters.results import CellResult
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import sha256_of, write_text
from fieldguide.core.stage import log, new_parser, run_stage


class TextFiles(NamedTuple):
    """A text source as `read_source` takes it; all empty for image only."""

    name: str = ""
    table: str = ""
    translated: str = ""
    raw: str = ""
    by_reply: bool = False


def find_texts(cell: CellResult, tables: Mapping[str, str], features: Mapping[tuple[str, str], str]) -> TextFiles:
    """Where a cell's texts lie, by the tables' names and the features' translators and names.

    Raises FieldguideError where that was not said.
    """
    if cell.image_only:
        return TextFiles()
    recipe = RECIPES[cell.recipe]
    table, kinds = recipe.name_table(cell.text_source), recipe.texts
    found = {
        "translated": features.get((cell.translator, table)) if "translated" in kinds else "",
        "raw": features.get((RAW, table)) if "raw" in kinds else "",
    }
    if table not in tables or None in found.values():
        raise FieldguideError(f"recipe {cell.recipe} with {table} needs its table by --texts, and --features of it")
    files = (tables[table], found["translated"] or "", found["raw"] or "")
    return TextFiles(cell.text_source, *files, by_reply=cell.text_unit == "reply")


def calibrate(args: argparse.Namespace) -> None:
    from tqdm import tqdm

    from fieldguide.adapters.inputs import read_data_set, read_plan
    from fieldguide.adapters.plans import Drawer
    from fieldguide.features.store import read_file
    from fieldguide.inference.calibration import Calibration
    from fieldguide.inference.checkpoint import build_classifier
    from fieldguide.inference.held_out import calibrate_by_training, calibrate_on_left_out, is_trained_again
    from fieldguide.inference.model_card import CHECKPOINT, Counts, Source, write_card
    from fieldguide.texts.source import read_source

    cells = {path: CellResult.read(path) for path in args.cells}
    data = read_data_set(args.records, args.images)
    seeds = sorted({seed for cell in cells.values() for seed in cell.seeds})
    plans = {plan.sampling: (path, plan) for path in args.plans for plan in [read_plan(path, data.images, seeds)]}
    drawers = {name: Drawer(data.train.labels, name, plan.orders) for name, (_, plan) in plans.items()}
    tables, features = dict(args.texts), {(translator, name): path for translator, name, path in args.features}
    texts = {path: find_texts(cell, tables, features) for path, cell in cells.items()}
    counts = Counts(len(data.train.ids), len(data.images.test_rows), data.classes)
    hash_file = cache(sha256_of)
    trained_again = 0
    # Cells that follow each other share their texts.
    read_texts = lru_cache(maxsize=1)(
        lambda found: read_source(
            found.name,
            Path(found.table),
            Path(found.translated) if found.translated else None,
            data.images,
            Path(found.raw) if found.raw else None,
            found.by_reply,
        )
    )
    for path in tqdm(sorted(cells, key=texts.__getitem__), "calibrating", unit=" cells", disable=None):
        cell, weights = cells[path], path.with_suffix(".safetensors")
        tensors, about = read_file(weights)
        if is_trained_again(cell):
            trained_again += 1
            calibration = calibrate_by_training(cell, data.train, None if cell.image_only else read_texts(texts[path]))
        else:
            drawer = drawers[cell.sampling]
            calibration = calibrate_on_left_out(cell, data.train, drawer, build_classifier(tensors))
        calibration.write(Calibration.path(weights))
        # Features are left out, known by their backbone and rows: hashing them would take longer than training.
        files = {"records": args.records, "plan": plans[cell.sampling][0], "texts": texts[path].table}
        sources = [Source(what, str(file), hash_file(file)) for what, file in files.items() if file]
        sources.append(Source(CHECKPOINT, str(weights), sha256_of(weights)))
        card = write_card(cell, calibration, about.get("dataset", ""), counts, about, sources)
        write_text(weights.with_suffix(".md"), card)
    log.info("%d cells calibrated, %d of them by one run more", len(cells), trained_again)


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("inference.calibrate_adapters", __doc__)
    parser.add_argument("--records", type=Path, required=True, help="records/images.csv")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="image features, in shards")
    parser.add_argument("--plans", type=Path, nargs="+", required=True, help="plans/<sampling>.json of the cells")
    parser.add_argument(
        "--texts", nargs=2, action="append", default=[], metavar=("NAME", "TABLE"), help="a text table of the cells"
    )
    parser.add_argument(
        "--features",
        nargs=3,
        action="append",
        default=[],
        metavar=("TRANSLATOR", "NAME", "FILE"),
        help=f"its features, by the translator that made them; {RAW}: as they are",
    )
    parser.add_argument(
        "--cells", type=Path, nargs="+", required=True, metavar="JSON", help="cells, their weights beside them"
    )
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("calibrate_adapters", calibrate, build_parser(), argv, imports=("numpy", "safetensors.numpy"))


if __name__ == "__main__":
    main()
