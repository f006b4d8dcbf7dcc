"""The rows and columns of the comparison table: a row per cell, blocks of rows, and their order.

Standard library only, so that printing the table needs no numeric library.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from fieldguide.adapters.recipes.registry import RECIPES
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv

PUBLISHED_COLUMNS = ("image_percent", "text_percent", "text_source", "sampling", "study", "accuracy")
PUBLISHED_AS = "published_as"
"""The column that select_published adds: what the study calls the source, where ours has another name."""
IMAGE_ONLY = "none"
SOURCE_LABELS = {IMAGE_ONLY: "image only", "reed": "human (Reed)"}
PUBLISHED_RECIPE = "thesis"
TEXTS = ("replaced", "all")
"""Which texts a cell has: those in the places of images left out, or those of all images, beside those kept."""

T = TypeVar("T")


class Column(NamedTuple):
    """A column of the table: a text source, and which of its texts."""

    text_source: str
    text_names: str
    text_unit: str


class Series(NamedTuple):
    """What one column of a block or one line of the figure shows, over all ratios."""

    sampling: str
    recipe: str
    column: Column


class CellRow(NamedTuple):
    """A cell over its seeds: what it is and its accuracy in percent; a row of accuracy.csv.

    accuracy_ci95: half-width of the 95% t interval, None from one seed. distinct_images, distinct_texts: means over
    seeds. optimiser_steps and path, the cell's file, are known where cells were read, and are not in accuracy.csv.
    """

    image_percent: float
    text_percent: float
    text_source: str
    text_names: str
    text_unit: str
    sampling: str
    redraw: str
    budget: str
    recipe: str
    translator: str
    backbone: str
    accuracy_mean: float
    accuracy_ci95: float | None
    n_seeds: int
    distinct_images: float
    distinct_texts: float
    optimiser_steps: int = 0
    path: str = ""

    @property
    def column(self) -> Column:
        return Column(self.text_source, self.text_names, self.text_unit)

    @property
    def series(self) -> Series:
        return Series(self.sampling, self.recipe, self.column)

    @property
    def image_only(self) -> bool:
        return self.text_source == IMAGE_ONLY

    @property
    def texts_beside(self) -> bool:
        """Whether it has the texts of all images beside those that are kept; without images there is no difference."""
        return self.image_percent + self.text_percent > 100

    @property
    def texts(self) -> str:
        return TEXTS[self.texts_beside]

    @property
    def is_baseline(self) -> bool:
        return not is_compared(self.recipe)


ACCURACY_COLUMNS = CellRow._fields[:16]
NUMBERS = ("image_percent", "text_percent", *ACCURACY_COLUMNS[11:])


class PublishedFigure(NamedTuple):
    """An accuracy in percent from a study, by what the study says about its cell."""

    image_percent: float
    text_source: str
    sampling: str
    study: str
    accuracy: float
    published_as: str = ""  # what the study calls its source, where ours beside it has another name


@dataclass(frozen=True)
class Block:
    """The rows of one variant; image-only rows, which have no translator, are in the block of every translator."""

    title: str
    rows: tuple[CellRow, ...]
    texts_beside: bool = False

    @property
    def series(self) -> list[Series]:
        """Its columns: by sampling, then recipe, the thesis's first, then image only, human and LLM text."""
        found = distinct(row.series for row in self.rows)
        return sorted(found, key=lambda s: (s.sampling, *recipe_order(s.recipe), *source_order(s.column)))


def is_compared(recipe: str) -> bool:
    """Whether a recipe has columns in the comparison table; any other is a baseline, listed below it."""
    return recipe in RECIPES and RECIPES[recipe].compared


def recipe_order(recipe: str) -> tuple[Any, ...]:
    """The thesis's own recipe leads; the others follow by name, baselines last."""
    return (recipe != PUBLISHED_RECIPE, not is_compared(recipe), recipe)


def source_order(column: Column) -> tuple[Any, ...]:
    """Image only, human text, then the others by name."""
    known = list(SOURCE_LABELS)
    return (known.index(column.text_source) if column.text_source in known else len(known), *column)


def cell_identity(cell: Any) -> tuple[Any, ...]:
    """What makes it this cell and no other; also the order of accuracy.csv (variant, source, ratio descending).

    cell: anything that has the attributes of a `CellRow` up to the translator.
    """
    return (
        *recipe_order(cell.recipe),
        cell.budget,
        cell.redraw,
        cell.sampling,
        cell.image_percent + cell.text_percent > 100,
        *source_order(Column(cell.text_source, cell.text_names, cell.text_unit)),
        cell.translator,
        -cell.image_percent,
    )


def distinct(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))


def column_labels(columns: Iterable[Column]) -> dict[Column, str]:
    """Columns in their order with their labels, which name a source's texts only where it has several kinds."""
    columns = sorted(set(columns), key=source_order)
    labels = {}
    for column in columns:
        same = [c for c in columns if c.text_source == column.text_source]
        parts = [SOURCE_LABELS.get(column.text_source, column.text_source)]
        parts += [column.text_names] if len({c.text_names for c in same}) > 1 else []
        parts += [column.text_unit] if len({c.text_unit for c in same}) > 1 else []
        labels[column] = ", ".join(parts)
    return labels


def split_blocks(rows: Iterable[CellRow], join_sampling: bool = False) -> list[Block]:
    """One block per variant: sampling (unless joined) and redraw, and budget, texts and translator where they differ.

    What has no image, or no text, stands in the blocks of both: of texts in the places of images, and of all texts.
    All recipes of a variant stand in its block; one that has a budget of its own kind (a solver that runs until it has
    converged, say) joins every block of the thesis's recipe. Baselines are left out, unless there is nothing else.
    """
    rows = sorted(rows, key=cell_identity)
    rows = [r for r in rows if not r.is_baseline] or rows
    published = {r.budget for r in rows if r.recipe == PUBLISHED_RECIPE}
    budgets = published or {r.budget for r in rows}
    names_texts = any(r.texts_beside for r in rows)
    several_translators = len({r.translator for r in rows if not r.image_only}) > 1
    variants: dict[tuple[str, ...], list[CellRow]] = {}
    for row in rows:
        sampling = "" if join_sampling else row.sampling
        for budget in (row.budget,) if row.budget in budgets else sorted(budgets):
            variants.setdefault((sampling, row.redraw, budget), []).append(row)
    blocks = []
    for (sampling, redraw, budget), of_variant in variants.items():
        for texts_beside, members in _split_texts(of_variant):
            for translator in sorted({r.translator for r in members if not r.image_only}) or [IMAGE_ONLY]:
                texts = [r for r in members if not r.image_only and r.translator == translator]
                # A translator that is compared on text alone needs no image-only column beside it.
                mixed = not texts or any(r.image_percent for r in texts)
                own = tuple(r for r in members if r in texts or (mixed and r.image_only))
                samplings = " and ".join(sorted({r.sampling for r in own}))
                title = [f"sampling {sampling or samplings}", f"redraw {redraw}"]
                title += [f"budget {budget}"] if len(budgets) > 1 else []
                title += [f"texts {TEXTS[texts_beside]}"] if names_texts else []
                title += [f"translator {translator}"] if several_translators else []
                blocks.append(Block(", ".join(title), own, texts_beside))
    return blocks


def _split_texts(rows: Sequence[CellRow]) -> list[tuple[bool, list[CellRow]]]:
    """A variant's rows by whether texts stand beside the images kept; image only is in both, text alone where the
    others of its column are."""
    beside = [r for r in rows if r.texts_beside]
    columns = {(r.series, r.translator) for r in beside}
    replaced = [r for r in rows if not r.texts_beside]
    if not beside:
        return [(False, replaced)]
    all_texts = [r for r in rows if r.texts_beside or r.image_only or (r.series, r.translator) in columns]
    all_texts = [r for r in all_texts if r.texts_beside or r.image_only or r.image_percent == 0]
    mixed = {(r.series, r.translator) for r in replaced if r.image_percent > 0}
    # Text alone of a column that has all its other cells with all texts stands with these.
    replaced = [r for r in replaced if (r.series, r.translator) not in columns - mixed]
    return [*([(False, replaced)] if any(not r.image_only for r in replaced) else []), (True, all_texts)]


def parse_number(where: str, column: str, text: str) -> float:
    """A finite number of a table; raises FieldguideError that says where it stands."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FieldguideError(f"{where}: {column} is {text!r}, not a number; make the file again or correct it")
    return value


def read_rows(path: Path | str) -> list[CellRow]:
    """Read accuracy.csv, in its order."""
    rows = []
    for number, fields in enumerate(read_csv(path, ACCURACY_COLUMNS), start=2):
        values: dict[str, Any] = {column: fields[column] for column in ACCURACY_COLUMNS}
        for column in NUMBERS:
            has_none = column == "accuracy_ci95" and not fields[column]
            values[column] = None if has_none else parse_number(f"{path}, line {number}", column, fields[column])
        values["n_seeds"] = int(values["n_seeds"])
        rows.append(CellRow(**values))
    if not rows:
        raise FieldguideError(f"{path}: holds no cell; run the stage tabulate_accuracy again")
    return sorted(rows, key=cell_identity)


def read_published(path: Path | str) -> list[PublishedFigure]:
    """Read published.csv; raises FieldguideError where two figures claim the same cell."""
    figures: dict[tuple[float, str, str], PublishedFigure] = {}
    for number, fields in enumerate(read_csv(path, PUBLISHED_COLUMNS), start=2):
        where = f"{path}, line {number}"
        percent = parse_number(where, "image_percent", fields["image_percent"])
        accuracy = parse_number(where, "accuracy", fields["accuracy"])
        source, theirs = fields["text_source"], fields.get(PUBLISHED_AS) or ""
        figure = PublishedFigure(percent, source, fields["sampling"], fields["study"], accuracy, theirs)
        if figure[:3] in figures:
            raise FieldguideError(
                f"{where}: a second figure for {percent:g}% images, {source}, {figure.sampling}; keep one"
            )
        figures[figure[:3]] = figure
    return list(figures.values())


def find_published(
    columns: Iterable[Series], published: Sequence[PublishedFigure]
) -> dict[tuple[Series, float], PublishedFigure]:
    """The published figure to stand beside a column's cell, by column and image percent."""
    return {
        (series, figure.image_percent): figure
        for series in columns
        for figure in published
        if series.recipe == PUBLISHED_RECIPE
        and (figure.sampling, figure.text_source) == (series.sampling, series.column.text_source)
    }
