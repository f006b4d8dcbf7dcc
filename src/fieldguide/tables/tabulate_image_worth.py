"""Say how many labelled images per class each text saves at equal accuracy, from the cells' accuracy curves."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv, write_csv, write_text
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.tables.cell_results import read_cells
from fieldguide.tables.comparison import MISSING, Grid, column_labels, format_ratio
from fieldguide.tables.image_worth import FlatCurve, Worth, find_worth, format_worth, tell_worth
from fieldguide.tables.markdown import escape, grid_table

COLUMNS = (
    "image_percent",
    "text_source",
    "text_names",
    "text_unit",
    "sampling",
    "redraw",
    "budget",
    "recipe",
    "translator",
    "backbone",
    "image_only_recipe",
    "accuracy_mean",
    "relation",
    "images_per_class_saved",
    "images_per_class_saved_ci95",
    "percent_of_images_saved",
    "seeds_outside_curve",
    "verdict",
    "n_seeds",
)
READING = (
    "Labelled images per class that an image-only training needs in addition for the accuracy that the cell reaches "
    "with its text, read off the image-only curve of the same seed (isotonic regression, linear between the measured "
    "shares), less what is read off for the same images alone; ± is the half-width of the 95% t interval over seeds, "
    "of each figure by itself. Negative: the accuracy is lower with the text, as if so many images were taken away. "
    "≤ and ≥: some seed lies below or above the whole image-only curve and counts as its end, so the mean over these "
    "seeds is a bound; 'outside': bounded on neither side. Against its recipe's own image only a figure is the text's; "
    "against another recipe's it holds what the recipe itself gains on images, too. Whether images are saved or cost "
    "is told by the paired test of the accuracies, corrected by Holm as in the table of differences: an interval here "
    "that leaves out 0 is not enough where many are looked at."
)


def csv_line(worth: Worth, images_per_class: float) -> dict[str, object]:
    row = worth.row
    shared = {name: getattr(row, name) for name in COLUMNS[1:10]}
    return {
        "image_percent": f"{row.image_percent:g}",
        **shared,
        "image_only_recipe": worth.reference,
        "accuracy_mean": f"{row.accuracy_mean:.2f}",
        "relation": worth.relation,
        "images_per_class_saved": f"{worth.images:.3f}",
        "images_per_class_saved_ci95": "" if worth.half_width is None else f"{worth.half_width:.3f}",
        "percent_of_images_saved": f"{worth.images / images_per_class * 100:.2f}",
        "seeds_outside_curve": worth.outside,
        "verdict": {True: "saves", False: "costs", None: "undecided"}[worth.helps],
        "n_seeds": row.n_seeds,
    }


def render(
    dataset: str, worths: Sequence[Worth], flat: Sequence[FlatCurve], images_per_class: float, notes: Sequence[str]
) -> str:
    """The page: a table per variant, each column told in words below it."""
    labels = column_labels(worth.row for worth in worths)
    several = len({recipe for worth in worths for recipe in (worth.row.recipe, worth.reference)}) > 1

    def label(worth: Worth) -> str:
        name = labels[worth.row.column]
        return f"{worth.row.recipe}: {name} against {worth.reference} image only" if several else name

    parts = [f"# The worth of text in labelled images: {escape(dataset)}", *(f"**{escape(note)}**" for note in notes)]
    parts += [f"{READING} A class has {images_per_class:.1f} training images on average."]
    for variant in dict.fromkeys([*(w.variant for w in worths), *(f.variant for f in flat)]):
        parts += [f"## {escape(variant)}"]
        columns: dict[str, list[Worth]] = {}
        for worth in worths:
            if worth.variant == variant:
                columns.setdefault(label(worth), []).append(worth)
        if columns:
            ratios = sorted({w.row.image_percent for told in columns.values() for w in told}, reverse=True)
            cells = {(name, w.row.image_percent): format_worth(w) for name, told in columns.items() for w in told}
            rows = tuple((format_ratio(r), tuple(cells.get((name, r), MISSING) for name in columns)) for r in ratios)
            parts += [grid_table(Grid("images:text", tuple(columns), rows))]
            parts += [escape(tell_worth(told, name, images_per_class)) for name, told in columns.items()]
        for curve in flat:
            if curve.variant == variant:
                width = "" if curve.half_width is None else f" ± {curve.half_width:.2f}"
                parts += [
                    f"The image-only column of the recipe {escape(curve.reference)} does not rise with images here "
                    f"({curve.rise:+.2f}{width} points from its smallest share to its largest), so no text can be "
                    "expressed in images."
                ]
    if not worths and not flat:
        parts += ["No variant has both a text column and an image-only column of two shares or more."]
    return "\n\n".join(parts) + "\n"


def run(args: argparse.Namespace) -> None:
    cells = read_cells(args.cells)
    train = [row["class_id"] for row in read_csv(args.records, ("class_id", "split")) if row["split"] == "train"]
    if not train:
        raise FieldguideError(f"{args.records}: holds no training image")
    images_per_class = len(train) / len(set(train))
    worths, flat = find_worth(cells, images_per_class)
    page = render(args.dataset, worths, flat, images_per_class, [note for note in args.note if note])
    write_csv(args.csv, COLUMNS, (csv_line(worth, images_per_class) for worth in worths))
    write_text(args.md, page)
    log.info("%d text cells against image only, %d flat image-only curves", len(worths), len(flat))


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("tables.tabulate_image_worth", __doc__)
    parser.add_argument("--cells", nargs="+", required=True, metavar="JSON", help="the table's cells, one JSON each")
    parser.add_argument("--records", type=Path, required=True, help="records/images.csv")
    parser.add_argument("--dataset", required=True, help="its name, for the heading")
    parser.add_argument("--note", action="append", default=[], help="a sentence to stand above; repeatable")
    parser.add_argument("--csv", type=Path, required=True, help="the tidy table to write")
    parser.add_argument("--md", type=Path, required=True, help="the page to write")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("tabulate_image_worth", run, build_parser(), argv, imports=("scipy.optimize",))


if __name__ == "__main__":
    main()
