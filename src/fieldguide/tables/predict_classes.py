"""Tell each cell's accuracy class by class, and which classes it confuses, from the weights that the cells keep.

  python -m fieldguide.tables.predict_classes --records records/images.csv --classes records/classes.csv \\
      --images features/…/images/dataset.safetensors --cells adapters/…/ratio-10.json … \\
      --class-accuracy tables/classes.csv --confusions tables/confusions.csv

The weights lie beside each cell's JSON. Nothing is trained or chosen here: the test images are read once more to say of
which classes the accuracy in the table is made, and it has to be the same accuracy.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv, write_csv
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.tables.cell_results import Cell, read_cells

if TYPE_CHECKING:
    from fieldguide.core.arrays import Floats, Ints
    from fieldguide.features.labelled import ImageTable

CELL_COLUMNS = (
    "image_percent",
    "text_source",
    "text_names",
    "text_unit",
    "sampling",
    "redraw",
    "budget",
    "recipe",
    "translator",
)
CLASS_COLUMNS = (
    *CELL_COLUMNS,
    "class_id",
    "class_name",
    "images",
    "test_images",
    "accuracy_mean",
    "accuracy_ci95",
    "n_seeds",
)
CONFUSION_COLUMNS = (
    *CELL_COLUMNS,
    "class_id",
    "class_name",
    "taken_for_id",
    "taken_for_name",
    "percent",
    "percent_back",
    "image_id",
    "n_seeds",
)
TOLERANCE = 0.5
"""Points by which the accuracy may differ from the cell's: sums in another order decide a near tie otherwise."""


def read_weights(path: Path) -> Any:
    """The adapter of a cell, or None for a classifier of another form (a baseline's cache)."""
    from fieldguide.adapters.linear import Adapter
    from fieldguide.features.store import read_file

    tensors, _ = read_file(path)
    return Adapter(tensors["weight"], tensors["bias"]) if tensors.keys() == {"weight", "bias"} else None


def predict(cell: Cell, features: Floats, labels: Ints, classes: int) -> Ints | None:
    """Predicted labels (R, M) of a cell's runs; None where its classifier is no adapter.

    Raises FieldguideError where its weights are not those of its JSON.
    """
    path = Path(cell.path).with_suffix(".safetensors")
    again = f"delete {cell.path} to have the cell trained again"
    if not path.is_file():
        raise FieldguideError(f"{path}: is not there, though {cell.path} is; {again}")
    adapter = read_weights(path)
    if adapter is None:
        return None
    if adapter.weight.shape != (len(cell.seeds), classes, features.shape[1]):
        raise FieldguideError(f"{path}: weights of shape {adapter.weight.shape} do not fit its cell; {again}")
    predicted: Ints = adapter.predict(features)
    accuracy = float((predicted == labels).mean() * 100)
    if abs(accuracy - cell.row.accuracy_mean) > TOLERANCE:
        raise FieldguideError(
            f"{path}: gives {accuracy:.2f}% on the test images, and {cell.path} says {cell.row.accuracy_mean:.2f}%; "
            f"they are not of one run, so {again}"
        )
    return predicted


def tell_cell(cell: Cell) -> dict[str, str]:
    """The columns that say which cell a row is about."""
    told = cell.row.as_csv()
    return {column: told[column] for column in CELL_COLUMNS}


def kept_images(cells: Iterable[Cell], images: ImageTable) -> dict[tuple[str, float], Any]:
    """By sampling and ratio, the labelled images (C,) of each class in an epoch, as a mean over seeds."""
    from fieldguide.adapters.plans import Drawer
    from fieldguide.tables.predictions import images_by_class

    drawers: dict[str, Drawer] = {}
    found: dict[tuple[str, float], Any] = {}
    for cell in cells:
        key = (cell.row.sampling, cell.row.image_percent)
        if key not in found:
            drawer = drawers.setdefault(cell.row.sampling, Drawer(images.train_labels, cell.row.sampling))
            kept = [drawer.cell(int(cell.row.image_percent), None, seed)[0] for seed in cell.seeds]
            found[key] = images_by_class(kept, images.train_labels, len(images.class_ids))
    return found


def run(args: argparse.Namespace) -> None:
    import numpy as np
    from tqdm import tqdm

    from fieldguide.core.significance import half_width
    from fieldguide.features.labelled import read_images, read_split
    from fieldguide.tables.predictions import class_accuracy, find_confusions

    cells = read_cells(args.cells)
    images = read_images(args.records)
    names = {row["class_id"]: row["class_name"] for row in read_csv(args.classes, ("class_id", "class_name"))}
    test, labels, backbone = read_split(args.images, images, images.test_rows)
    if backbone != cells[0].row.backbone:
        raise FieldguideError(f"{args.images[0]}: of backbone {backbone}, but {cells[0].path} of another; give its own")
    classes, counts = len(images.class_ids), np.bincount(labels, minlength=len(images.class_ids))
    told = [{"class_id": class_id, "class_name": names.get(class_id, class_id)} for class_id in images.class_ids]
    test_ids = [images.ids[row] for row in images.test_rows]
    kept = kept_images(cells, images)
    by_class: list[dict[str, str]] = []
    confused: list[dict[str, str]] = []
    other_forms = 0
    for cell in tqdm(cells, "predicting", unit=" cells", disable=None):
        predicted = predict(cell, test, labels, classes)
        if predicted is None:
            other_forms += 1
            continue
        which, seeds = tell_cell(cell), {"n_seeds": str(len(cell.seeds))}
        accuracy = class_accuracy(predicted, labels, classes)
        have = kept[cell.row.sampling, cell.row.image_percent]
        for label in np.flatnonzero(counts):
            runs = accuracy[:, label].tolist()
            width = half_width(runs)
            by_class.append(
                {
                    **which,
                    **told[label],
                    "images": f"{have[label]:.1f}".removesuffix(".0"),
                    "test_images": str(counts[label]),
                    "accuracy_mean": f"{np.mean(runs):.2f}",
                    "accuracy_ci95": "" if width is None else f"{width:.2f}",
                    **seeds,
                }
            )
        confused += [
            {
                **which,
                **told[found.label],
                "taken_for_id": told[found.taken_for]["class_id"],
                "taken_for_name": told[found.taken_for]["class_name"],
                "percent": f"{found.percent:.2f}",
                "percent_back": f"{found.back:.2f}",
                "image_id": test_ids[found.image],
                **seeds,
            }
            for found in find_confusions(predicted, labels, classes, args.pairs)
        ]
    write_csv(args.class_accuracy, CLASS_COLUMNS, by_class)
    write_csv(args.confusions, CONFUSION_COLUMNS, confused)
    log.info("%d cells, %d test images of %d classes", len(cells) - other_forms, len(labels), classes)
    if other_forms:
        log.info("%d cells left out: their classifier is not one linear layer", other_forms)


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("tables.predict_classes", __doc__)
    parser.add_argument("--records", type=Path, required=True, help="records/images.csv")
    parser.add_argument("--classes", type=Path, required=True, help="records/classes.csv")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="image features, in shards")
    parser.add_argument("--cells", nargs="+", required=True, metavar="JSON", help="cells, their weights beside them")
    parser.add_argument("--pairs", type=int, default=20, help="confused pairs that are told of a cell (default: 20)")
    parser.add_argument("--class-accuracy", type=Path, required=True, metavar="CSV", help="accuracy by class, to write")
    parser.add_argument("--confusions", type=Path, required=True, metavar="CSV", help="confused pairs, to write")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("predict_classes", run, build_parser(), argv, imports=("numpy", "safetensors.numpy", "scipy.special"))


if __name__ == "__main__":
    main()
