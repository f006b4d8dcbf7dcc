"""Each cell's accuracy class by class, and which classes it confuses, from the weights that the cells keep.

  python -m fieldguide.tables.predict_classes --records records/images.csv --classes records/classes.csv \\
      --images features/…/images/dataset.safetensors --cells adapters/…/ratio-10.json … \\
      --class-accuracy tables/classes.csv --confusions tables/confusions.csv

The weights lie beside each cell's JSON. Nothing is trained or chosen here: the test images are read once more to say of
which classes the accuracy in the table is made, and it has to be the same accuracy.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldguide.core.errors import FieldguideError
from fieldguide.core.settings import parse_settings
from fieldguide.core.significance import half_width
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.tables.results import CELL, CELL_FORMATS, Format, plain_count, read_cells, summarise, write_frame
from fieldguide.tables.rows import CellRow
from fieldguide.tables.settings import ClassSettings

if TYPE_CHECKING:
    from fieldguide.core.arrays import Floats, Ints
    from fieldguide.features.labelled import ImageTable

CLASS_FORMATS: Mapping[str, Format] = {
    **CELL_FORMATS,
    "class_id": "",
    "class_name": "",
    "images": plain_count,
    "test_images": "d",
    "accuracy_mean": ".2f",
    "accuracy_ci95": ".2f",
    "n_seeds": "d",
}
"""The columns of classes.csv, and how each is written."""
CONFUSION_FORMATS: Mapping[str, Format] = {
    **CELL_FORMATS,
    **dict.fromkeys(("class_id", "class_name", "taken_for_id", "taken_for_name"), ""),
    "percent": ".2f",
    "percent_back": ".2f",
    "image_id": "",
    "n_seeds": "d",
}
"""The columns of confusions.csv, and how each is written."""
TOLERANCE = 0.5
"""Points by which the accuracy may differ from the cell's: sums in another order decide a near tie otherwise."""


def read_weights(path: Path) -> Any:
    """The adapter of a cell, or None for a classifier of another form (a baseline's cache)."""
    from fieldguide.adapters.linear import Adapter
    from fieldguide.features.store import read_file

    tensors, _ = read_file(path)
    return Adapter(tensors["weight"], tensors["bias"]) if tensors.keys() == {"weight", "bias"} else None


def predict(cell: Any, features: Floats, labels: Ints, classes: int) -> Ints | None:
    """Predicted labels (R, M) of a cell's runs, a row of `summarise`; None where its classifier is no adapter.

    Raises FieldguideError where its weights are not those of its JSON.
    """
    path = Path(cell.path).with_suffix(".safetensors")
    again = f"delete {cell.path} to have the cell trained again"
    if not path.is_file():
        raise FieldguideError(f"{path}: is not there, though {cell.path} is; {again}")
    adapter = read_weights(path)
    if adapter is None:
        return None
    if adapter.weight.shape != (cell.n_seeds, classes, features.shape[1]):
        raise FieldguideError(f"{path}: weights of shape {adapter.weight.shape} do not fit its cell; {again}")
    predicted: Ints = adapter.predict(features)
    accuracy = float((predicted == labels).mean() * 100)
    if abs(accuracy - cell.accuracy_mean) > TOLERANCE:
        raise FieldguideError(
            f"{path}: gives {accuracy:.2f}% on the test images, and {cell.path} says {cell.accuracy_mean:.2f}%; "
            f"they are not of one run, so {again}"
        )
    return predicted


def count_kept_images(
    cells: Sequence[CellRow], seeds: Sequence[int], images: ImageTable
) -> dict[tuple[str, float], Any]:
    """By sampling and ratio, the labelled images (C,) of each class in an epoch, as a mean over seeds."""
    from fieldguide.adapters.plans import Drawer
    from fieldguide.tables.predictions import images_by_class

    drawers = {s: Drawer(images.train_labels, s) for s in dict.fromkeys(cell.sampling for cell in cells)}
    return {
        (sampling, percent): images_by_class(
            [drawers[sampling].cell(int(percent), None, seed)[0] for seed in seeds],
            images.train_labels,
            len(images.class_ids),
        )
        for sampling, percent in dict.fromkeys((cell.sampling, cell.image_percent) for cell in cells)
    }


def run(args: argparse.Namespace) -> None:
    import numpy as np
    import pandas as pd
    from tqdm import tqdm

    from fieldguide.adapters.inputs import read_class_names
    from fieldguide.features.labelled import read_images, read_split
    from fieldguide.tables.predictions import class_accuracy, find_confusions

    settings = parse_settings(ClassSettings, args.settings)
    cells = read_cells(args.cells)
    images = read_images(args.records)
    test, labels, backbone = read_split(args.images, images, images.test_rows)
    summary = list(summarise(cells).itertuples())
    if backbone != summary[0].backbone:
        raise FieldguideError(
            f"{args.images[0]}: of backbone {backbone}, but {summary[0].path} of another; give its own"
        )
    classes, counts = len(images.class_ids), np.bincount(labels, minlength=len(images.class_ids))
    class_names = read_class_names(args.classes, images.class_ids)
    test_ids = [images.ids[row] for row in images.test_rows]
    kept = count_kept_images(summary, cells["seed"].unique().tolist(), images)
    by_class: list[dict[str, Any]] = []
    confused: list[dict[str, Any]] = []
    other_forms = 0
    for cell in tqdm(summary, "predicting", unit=" cells", disable=None):
        predicted = predict(cell, test, labels, classes)
        if predicted is None:
            other_forms += 1
            continue
        which = {column: getattr(cell, column) for column in (*CELL, "n_seeds")}
        accuracy = class_accuracy(predicted, labels, classes)
        for label in np.flatnonzero(counts):
            by_class.append(
                {
                    **which,
                    "class_id": images.class_ids[label],
                    "class_name": class_names[label],
                    "images": kept[cell.sampling, cell.image_percent][label],
                    "test_images": counts[label],
                    "accuracy_mean": np.mean(accuracy[:, label]),
                    "accuracy_ci95": half_width(accuracy[:, label].tolist()),
                }
            )
        confused += [
            {
                **which,
                "class_id": images.class_ids[found.label],
                "class_name": class_names[found.label],
                "taken_for_id": images.class_ids[found.taken_for],
                "taken_for_name": class_names[found.taken_for],
                "percent": found.percent,
                "percent_back": found.back,
                "image_id": test_ids[found.image],
            }
            for found in find_confusions(predicted, labels, classes, settings.pairs)
        ]
    write_frame(args.class_accuracy, pd.DataFrame(by_class, columns=list(CLASS_FORMATS)), CLASS_FORMATS)
    write_frame(args.confusions, pd.DataFrame(confused, columns=list(CONFUSION_FORMATS)), CONFUSION_FORMATS)
    log.info("%d cells, %d test images of %d classes", len(summary) - other_forms, len(labels), classes)
    if other_forms:
        log.info("%d cells left out: their classifier is not one linear layer", other_forms)


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("tables.predict_classes", __doc__)
    parser.add_argument("--records", type=Path, required=True, help="records/images.csv")
    parser.add_argument("--classes", type=Path, required=True, help="records/classes.csv")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="image features, in shards")
    parser.add_argument("--cells", nargs="+", required=True, metavar="JSON", help="cells, their weights beside them")
    parser.add_argument("--class-accuracy", type=Path, required=True, metavar="CSV", help="accuracy by class, to write")
    parser.add_argument("--confusions", type=Path, required=True, metavar="CSV", help="confused pairs, to write")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    add_settings(parser, ClassSettings)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("predict_classes", run, build_parser(), argv, imports=("pandas", "safetensors.numpy", "scipy.special"))


if __name__ == "__main__":
    main()
