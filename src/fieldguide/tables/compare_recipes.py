"""Set recipes and baselines side by side, and say what text is worth to the anchored recipe, paired by seed.

  python -m fieldguide.tables.compare_recipes --cells adapters/…/ratio-10.json … --dataset aviary \\
      --csv tables/recipes.csv --md tables/recipes.md

All cells are of one sampling and redraw. The CSV has a row per cell with its accuracies per seed; the Markdown a table
per text source, then the anchored recipe's differences from both image-only controls on the same images.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from fieldguide.adapters.recipes.registry import RECIPES
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_json, write_csv, write_text
from fieldguide.core.significance import half_width, paired_test
from fieldguide.core.stage import log, new_parser, run_stage

NO_TEXT = "none"
ANCHORED = "anchored"
CONTROLS = ("thesis", "anchored-image-only")
ZERO_SHOT = ("zs-text", "zs-translated")
KEYS = ("image_percent", "text_source", "recipe", "sampling", "redraw", "budget", "seeds", "accuracy")
COLUMNS = (
    "image_percent",
    "text_source",
    "text_names",
    "sampling",
    "redraw",
    "budget",
    "recipe",
    "translator",
    "accuracy_mean",
    "accuracy_ci95",
    "n_seeds",
    "distinct_images",
    "distinct_texts",
)
MISSING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
HURT = -0.3
"""Percentage points: below this a mean difference counts as harm."""


class Key(NamedTuple):
    """A cell among those of one variant."""

    recipe: str
    source: str
    percent: int


class Difference(NamedTuple):
    """A paired difference in percentage points: its mean, and the half-width of its 95% t interval, if it has one."""

    mean: float
    ci95: float | None

    @property
    def hurts(self) -> bool:
        return self.mean < HURT or (self.ci95 is not None and self.mean + self.ci95 < 0)


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Difference:
    """The difference of accuracies per seed, which are in the same order."""
    test = paired_test(ours, theirs)
    return Difference(test.mean, test.half_width)


def read_cells(paths: Sequence[str]) -> dict[Key, dict[str, Any]]:
    """Cells by recipe, source and ratio; raises FieldguideError where they do not belong together."""
    cells: dict[Key, dict[str, Any]] = {}
    first: dict[str, Any] = {}
    for path in paths:
        cell = read_json(path)
        if missing := [key for key in KEYS if key not in cell]:
            raise FieldguideError(f"{path}: lacks {', '.join(missing)}; delete the file to have the cell trained again")
        first = first or cell
        for key in ("sampling", "redraw", "budget", "seeds"):
            if cell[key] != first[key]:
                raise FieldguideError(f"{path}: {key} {cell[key]}, but {paths[0]} has {first[key]}; compare one kind")
        name = Key(cell["recipe"], cell["text_source"], cell["image_percent"])
        if name in cells:
            raise FieldguideError(f"{path}: {' '.join(map(str, name))}% is there twice; leave one of them out")
        cells[name] = cell
    return cells


def format_difference(difference: Difference | None) -> str:
    """`+1.23 ± 0.40`, marked where it counts as harm."""
    if difference is None:
        return MISSING
    mean = f"{difference.mean:+.2f}".replace("-", MINUS)
    told = mean if difference.ci95 is None else f"{mean} ± {difference.ci95:.2f}"
    return f"{told} (hurts)" if difference.hurts else told


def format_accuracy(cell: Mapping[str, Any] | None) -> str:
    """`81.88 ± 0.42`."""
    if cell is None:
        return MISSING
    half = half_width(cell["accuracy"])
    return f"{fmean(cell['accuracy']):.2f}" + ("" if half is None else f" ± {half:.2f}")


def grid(stub: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """A Markdown table; columns without any entry are left out."""
    kept = [i for i in range(len(columns)) if any(row[i] != MISSING for _, row in rows)]
    lines = [[stub, *(columns[i] for i in kept)], ["---", *("---:" for _ in kept)]]
    lines += [[name, *(row[i] for i in kept)] for name, row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def compare_anchored(cells: Mapping[Key, Mapping[str, Any]], source: str) -> list[tuple[int, list[Difference | None]]]:
    """Per ratio, the anchored recipe with this source less each control without text on the same images.

    At ratio 0 the controls are the zero-shot classifiers of the same texts.
    """
    lines = []
    for percent in sorted({key.percent for key in cells}, reverse=True):
        ours = cells.get(Key(ANCHORED, source, percent))
        if ours is None:
            continue
        beside = [cells.get(Key(name, NO_TEXT, percent)) for name in CONTROLS]
        beside += [cells.get(Key(name, source, percent)) if percent == 0 else None for name in ZERO_SHOT]
        lines.append((percent, [paired(ours["accuracy"], cell["accuracy"]) if cell else None for cell in beside]))
    return lines


def tell(cells: Mapping[Key, Mapping[str, Any]], dataset: str, notes: Sequence[str]) -> str:
    """The Markdown."""
    any_cell = next(iter(cells.values()))
    parts = [f"# Recipes and baselines: {dataset}", *(f"**{note}**" for note in notes)]
    parts.append(
        "Accuracy on the test images in percent, ± half-width of the 95% t interval over "
        f"{len(any_cell['seeds'])} seeds; sampling {any_cell['sampling']}, redraw {any_cell['redraw']}. A cell's texts "
        "stand in for the images it leaves out: at 90:10 few texts are there, at 10:90 many, so that zero-shot, which "
        "looks at no image, rises where the others fall."
    )
    recipes = list(dict.fromkeys(key.recipe for key in cells))
    percents = sorted({key.percent for key in cells}, reverse=True)
    sources = list(dict.fromkeys(key.source for key in cells))
    summaries = [f"- `{name}`: {RECIPES[name].summary}" for name in recipes if name in RECIPES]
    parts += ["\n".join(summaries)] if summaries else []
    for source in sources:
        rows = [(f"{p}:{100 - p}", [format_accuracy(cells.get(Key(r, source, p))) for r in recipes]) for p in percents]
        rows = [row for row in rows if set(row[1]) != {MISSING}]
        parts += [f"## {'image only' if source == NO_TEXT else source}", grid("images:text", recipes, rows)]
    for source in sources:
        if lines := compare_anchored(cells, source):
            names = [f"less {name}, image only" for name in CONTROLS[:1]] + [f"less {CONTROLS[1]}"]
            names += [f"less {name}" for name in ZERO_SHOT]
            shown = [(f"{p}:{100 - p}", [format_difference(d) for d in differences]) for p, differences in lines]
            parts += [f"## anchored with {source}, paired by seed", grid("images:text", names, shown)]
            between = [d for p, differences in lines if 0 < p < 100 for d in differences if d]
            harm = sum(d.hurts for d in between)
            parts.append(
                f"Of {len(between)} differences from an image-only control on the same images {harm} count as harm "
                f"(mean below {HURT} points, or the interval wholly below 0). ± is the half-width of the 95% t "
                "interval of the paired difference in points, of each by itself; differences.csv holds them with "
                "p-values corrected for their number."
            )
    return "\n\n".join(parts) + "\n"


def run(args: argparse.Namespace) -> None:
    cells = read_cells(args.cells)
    rows = []
    for cell in cells.values():
        half = half_width(cell["accuracy"])
        rows.append(
            {
                **{column: cell.get(column, "") for column in COLUMNS},
                "accuracy_mean": f"{fmean(cell['accuracy']):.2f}",
                "accuracy_ci95": "" if half is None else f"{half:.2f}",
                "n_seeds": len(cell["seeds"]),
                "distinct_images": f"{fmean(cell['distinct_images']):g}",
                "distinct_texts": f"{fmean(cell['distinct_texts']):g}",
            }
        )
    text = tell(cells, args.dataset, args.note)
    write_csv(args.csv, COLUMNS, rows)
    write_text(args.md, text)
    log.info("%d cells of %d recipes, to %s", len(cells), len({key.recipe for key in cells}), args.md)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("tables.compare_recipes", __doc__)
    parser.add_argument("--cells", nargs="+", required=True, metavar="JSON", help="cells of one sampling and redraw")
    parser.add_argument("--dataset", required=True, help="its name, for the heading")
    parser.add_argument("--note", action="append", default=[], help="a sentence to stand above the table; repeatable")
    parser.add_argument("--csv", type=Path, required=True, help="the tidy table to write")
    parser.add_argument("--md", type=Path, required=True, help="the tables to write as Markdown")
    run_stage("compare_recipes", run, parser, argv, imports=("scipy.special",))


if __name__ == "__main__":
    main()
