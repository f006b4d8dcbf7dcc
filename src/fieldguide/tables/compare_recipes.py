"""Set recipes and baselines side by side, and say what text is worth to the anchored recipe, paired by seed.

  python -m fieldguide.tables.compare_recipes --cells adapters/…/ratio-10.json … --settings '{"dataset": "aviary"}' \\
      --csv tables/recipes.csv --md tables/recipes.md

All cells are of one sampling and redraw. The CSV has a row per cell; the Markdown a table per text source, then the
anchored recipe's differences from both image-only controls on the same images.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fieldguide.adapters.recipes.registry import RECIPES
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import write_text
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.tables.differences import SAME, compare
from fieldguide.tables.grid import MISSING, Grid, format_accuracy
from fieldguide.tables.intervals import describe_interval
from fieldguide.tables.markdown import grid_table
from fieldguide.tables.results import (
    ACCURACY_FORMATS,
    Format,
    accuracies_by_cell,
    describe_tuning,
    ratio_grid,
    read_cells,
    summarise,
    write_frame,
)
from fieldguide.tables.rows import IMAGE_ONLY
from fieldguide.tables.settings import Heading
from fieldguide.tables.tested_images import read_tested_images

if TYPE_CHECKING:
    import pandas as pd

    from fieldguide.tables.tested_images import TestedImages

ANCHORED = "anchored"
CONTROLS = {"thesis": "less thesis, image only", "anchored-image-only": "less anchored-image-only"}
ZERO_SHOT = {"zs-text": "less zs-text", "zs-translated": "less zs-translated"}
"""What the anchored recipe is held against on the same images, and at ratio 0, with the heads of their columns."""
RECIPE_FORMATS: Mapping[str, Format] = {
    column: form for column, form in ACCURACY_FORMATS.items() if column not in ("text_percent", "text_unit", "backbone")
} | {"distinct_images": "g", "distinct_texts": "g", "tune": "", "tuning_labels": "d"}
"""The columns of recipes.csv, and how each is written."""
MINUS = "\N{MINUS SIGN}"
MIN_DROP = -0.3
"""Percentage points: a mean difference below it is called lower."""

REPLACED = (
    "A cell's texts stand in for the images it leaves out: at 90:10 few texts are there, at 10:90 many, so that "
    "zero-shot, which looks at no image, rises where the others fall."
)
ALL_TEXTS = (
    "A cell has the texts of all training images beside the images it keeps, so that zero-shot is the same at all."
)


def is_lower(mean: float, ci95: float | None) -> bool:
    """Whether a difference, its mean and the half-width of its 95% interval if it has one, is called lower."""
    return mean < MIN_DROP or (ci95 is not None and mean + ci95 < 0)


def format_difference(mean: float, ci95: float | None) -> str:
    """`+1.23 ± 0.40`, marked where it is lower."""
    width = "" if ci95 is None else f" ± {ci95:.2f}"
    return f"{mean:+.2f}{width}{' (lower)' if is_lower(mean, ci95) else ''}".replace("-", MINUS)


def check_one_kind(cells: pd.DataFrame) -> None:
    """Refuse cells that cannot stand side by side here: another sampling, redraw or budget, or one in a place twice."""
    first = cells.iloc[0]
    seen = set()
    for cell in cells.itertuples():
        for key in ("sampling", "redraw", "budget"):
            if (value := getattr(cell, key)) != first[key]:
                raise FieldguideError(
                    f"{cell.path}: {key} {value}, but {first['path']} has {first[key]}; compare one kind"
                )
        if (place := (cell.recipe, cell.text_source, cell.image_percent)) in seen:
            raise FieldguideError(f"{cell.path}: {' '.join(map(str, place))}% occurs twice; leave one of them out")
        seen.add(place)


def compare_anchored(
    cells: pd.DataFrame, accuracies: Mapping[str, Sequence[float]], tested: TestedImages | None = None
) -> pd.DataFrame:
    """The anchored recipe with text less each control without text on the same images, and at ratio 0 less zero-shot.

    A row per text source, ratio and control: `text_source`, `image_percent`, `column`, and the paired difference's
    `mean` and `ci95` in points, over test images too where `tested` holds them; `same`: whether both make the same
    predictions.
    """
    import pandas as pd

    key = ["text_source", "image_percent"]
    ours = cells.loc[cells["recipe"] == ANCHORED, [*key, "path"]]
    alone = cells[(cells["text_source"] == IMAGE_ONLY) & cells["recipe"].isin(CONTROLS)].drop(columns="text_source")
    zero_shot = cells[(cells["image_percent"] == 0) & cells["recipe"].isin(ZERO_SHOT)]
    pairs = pd.concat(
        [
            ours.merge(alone, on="image_percent", suffixes=("", "_beside")),
            ours.merge(zero_shot, on=key, suffixes=("", "_beside")),
        ]
    )
    tests = [
        compare(accuracies, one, other, tested) for one, other in zip(pairs["path"], pairs["path_beside"], strict=True)
    ]
    found = pairs[[*key]].assign(column=pairs["recipe"].map({**CONTROLS, **ZERO_SHOT}))
    found["mean"] = [test.mean for test in tests]
    found["same"] = [
        tested is not None and tested.is_same(one, other)
        for one, other in zip(pairs["path"], pairs["path_beside"], strict=True)
    ]
    found["ci95"] = pd.Series([test.half_width for test in tests], index=found.index, dtype=object)
    return found


def drop_empty(grid: Grid) -> Grid:
    """The grid without columns in which nothing stands."""
    kept = [i for i in range(len(grid.columns)) if any(row[i] != MISSING for _, row in grid.rows)]
    rows = tuple((name, tuple(row[i] for i in kept)) for name, row in grid.rows)
    return Grid(grid.stub, tuple(grid.columns[i] for i in kept), rows)


def render(heading: Heading, cells: pd.DataFrame, differences: pd.DataFrame, images: int | None = None) -> str:
    """The Markdown. cells: of `summarise`; differences: of `compare_anchored`, over so many test images, if any."""
    first, has_translator = cells.iloc[0], (cells["translator"] != IMAGE_ONLY).any()
    notes = [*heading.notes, *describe_tuning(cells)]
    parts = [f"# Recipes and baselines: {heading.dataset}", *(f"**{note}**" for note in notes)]
    parts.append(
        f"Accuracy on the test images in percent, over {first['n_seeds']} seeds, ± half-width of the "
        f"{describe_interval(None, has_translator)}; sampling {first['sampling']}, redraw {first['redraw']}. "
        + (ALL_TEXTS if (cells["image_percent"] + cells["text_percent"] > 100).any() else REPLACED)
    )
    recipes = cells["recipe"].unique()
    summaries = [f"- `{name}`: {RECIPES[name].summary}" for name in recipes if name in RECIPES]
    parts += ["\n".join(summaries)] if summaries else []
    widths = [None if width != width else width for width in cells["accuracy_ci95"]]
    texts = [format_accuracy(*accuracy) for accuracy in zip(cells["accuracy_mean"], widths, strict=True)]
    shown = cells.assign(column=cells["recipe"], text=texts)
    for source, members in shown.groupby("text_source", sort=False):
        parts += [f"## {'image only' if source == IMAGE_ONLY else source}"]
        parts += [grid_table(drop_empty(ratio_grid(members, recipes)))]
    pairs = list(zip(differences["mean"], differences["ci95"], strict=True))
    shown = differences.assign(
        text=[
            SAME if is_same else format_difference(*pair)
            for pair, is_same in zip(pairs, differences["same"], strict=True)
        ],
        lower=[is_lower(*pair) for pair in pairs],
    )
    for source, members in shown.groupby("text_source", sort=False):
        grid = drop_empty(ratio_grid(members, [*CONTROLS.values(), *ZERO_SHOT.values()]))
        between = members[members["image_percent"].between(0, 100, inclusive="neither") & ~members["same"]]
        same = f" {SAME}: the very predictions of the control." if members["same"].any() else ""
        parts += [f"## anchored with {source}, paired by seed", grid_table(grid)]
        parts.append(
            f"Of {len(between)} differences from an image-only control on the same images {between['lower'].sum()} are "
            f"lower (mean below {MIN_DROP} points, or the interval wholly below 0). ± is the half-width of the "
            f"{describe_interval(images, has_translator)}, of each paired difference by itself, in points; "
            f"differences.csv holds them with p-values corrected for their number.{same}"
        )
    return "\n\n".join(parts) + "\n"


def run(args: argparse.Namespace) -> None:
    heading = parse_settings(Heading, args.settings)
    cells = read_cells(args.cells)
    summary = summarise(cells).set_index("path", drop=False).loc[args.cells].reset_index(drop=True)
    check_one_kind(summary)
    tested = read_tested_images(cells)
    differences = compare_anchored(summary, accuracies_by_cell(cells), tested)
    text = render(heading, summary, differences, tested.count if tested else None)
    write_frame(args.csv, summary, RECIPE_FORMATS)
    write_text(args.md, text)
    log.info("%d cells of %d recipes, to %s", len(summary), summary["recipe"].nunique(), args.md)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("tables.compare_recipes", __doc__)
    parser.add_argument("--cells", nargs="+", required=True, metavar="JSON", help="cells of one sampling and redraw")
    parser.add_argument("--csv", type=Path, required=True, help="the tidy table to write")
    parser.add_argument("--md", type=Path, required=True, help="the tables to write as Markdown")
    add_settings(parser, Heading)
    run_stage("compare_recipes", run, parser, argv, imports=("pandas", "scipy.special"))


if __name__ == "__main__":
    main()
