"""Say how many labelled images per class each text saves at equal accuracy, from the cells' accuracy curves."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fieldguide.core.files import write_text
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.tables.differences import count_images
from fieldguide.tables.image_worth import describe_worth, find_worth, format_worths
from fieldguide.tables.intervals import describe_interval
from fieldguide.tables.markdown import escape, grid_table
from fieldguide.tables.results import (
    CELL_FORMATS,
    Format,
    TrainingImages,
    count_training_images,
    ratio_grid,
    read_cells,
    write_frame,
)
from fieldguide.tables.rows import IMAGE_ONLY, Column, column_labels
from fieldguide.tables.settings import Heading
from fieldguide.tables.tested_images import read_tested_images

if TYPE_CHECKING:
    import pandas as pd

WORTH_FORMATS: Mapping[str, Format] = {
    **CELL_FORMATS,
    "backbone": "",
    "image_only_recipe": "",
    "accuracy_mean": ".2f",
    "relation": "",
    "images_per_class_saved": ".3f",
    "images_per_class_saved_ci95": ".3f",
    "images_saved": ".1f",
    "percent_of_images_saved": ".2f",
    "seeds_outside_curve": "d",
    "verdict": "",
    "n_seeds": "d",
    "n_test_images": "d",
    "images_per_class_saved_ci95_seeds_images": ".3f",
    "texts": "",
}
"""The columns of image_worth.csv, and how each is written."""
READING = (
    "Labelled images per class that an image-only training needs in addition for the accuracy that the cell reaches "
    "with its text, and in brackets how many that are in all classes together, read off the image-only curve of the "
    "same seed (isotonic regression, between the measured shares linear in their logarithm), less what is read off for "
    "the same images alone; ± is the half-width of the {interval}, of each figure by itself. Negative: the accuracy is "
    "lower with the text, as if so many images were taken away. "
    "≤ and ≥: some seed lies below or above the whole image-only curve and counts as its end, so the mean over these "
    "seeds is a bound; 'outside': bounded on neither side. Against its recipe's own image only a figure is the text's; "
    "against another recipe's it holds what the recipe itself gains on images, too. Whether images are saved or cost "
    "is decided by the test of the accuracies, corrected by Holm as in the table of differences: an interval "
    "here that leaves out 0 is not enough where many are looked at."
)


def render(heading: Heading, worth: pd.DataFrame, flat: pd.DataFrame, images: TrainingImages) -> str:
    """The page: a table per variant, each column described in words below it."""
    texts = [Column(*names) for names in worth[list(Column._fields)].itertuples(index=False, name=None)]
    labels = column_labels(texts)
    several = worth[["recipe", "image_only_recipe"]].stack().nunique() > 1
    named = worth.assign(
        text=format_worths(worth),
        column=[
            f"{recipe}: {labels[text]} against {reference} image only" if several else labels[text]
            for recipe, reference, text in zip(worth["recipe"], worth["image_only_recipe"], texts, strict=True)
        ],
    )
    parts = [f"# The worth of text in labelled images: {escape(heading.dataset)}"]
    parts += [f"**{escape(note)}**" for note in heading.notes]
    interval = describe_interval(count_images(worth), (worth["translator"] != IMAGE_ONLY).any())
    parts += [
        f"{READING.format(interval=interval)} A class has {images.per_class:.1f} training images on average, "
        f"{images.total:,} are there in all."
    ]
    for variant in dict.fromkeys([*worth["variant"], *flat["variant"]]):
        parts += [f"## {escape(variant)}"]
        members = named[named["variant"] == variant]
        if len(members):
            parts += [grid_table(ratio_grid(members, members["column"].unique()))]
        for name, column in members.groupby("column", sort=False):
            parts += [escape(describe_worth(column, str(name), images))]
        for curve in flat[flat["variant"] == variant].itertuples():
            width = "" if curve.rise_ci95 != curve.rise_ci95 else f" ± {curve.rise_ci95:.2f}"
            parts += [
                f"The image-only column of the recipe {escape(curve.image_only_recipe)} does not rise with images here "
                f"({curve.rise:+.2f}{width} points from its smallest share to its largest), so no text can be "
                "expressed in images."
            ]
    if worth.empty and flat.empty:
        parts += ["No variant has both a text column and an image-only column of two shares or more."]
    return "\n\n".join(parts) + "\n"


def run(args: argparse.Namespace) -> None:
    heading = parse_settings(Heading, args.settings)
    cells = read_cells(args.cells)
    images = count_training_images(args.records)
    worth, flat = find_worth(cells, images, read_tested_images(cells))
    page = render(heading, worth, flat, images)
    write_frame(args.csv, worth, WORTH_FORMATS)
    write_text(args.md, page)
    log.info("%d text cells against image only, %d flat image-only curves", len(worth), len(flat))


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("tables.tabulate_image_worth", __doc__)
    parser.add_argument("--cells", nargs="+", required=True, metavar="JSON", help="the table's cells, one JSON each")
    parser.add_argument("--records", type=Path, required=True, help="records/images.csv")
    parser.add_argument("--csv", type=Path, required=True, help="the tidy table to write")
    parser.add_argument("--md", type=Path, required=True, help="the page to write")
    add_settings(parser, Heading)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("tabulate_image_worth", run, build_parser(), argv, imports=("pandas", "scipy.optimize"))


if __name__ == "__main__":
    main()
