"""The comparison table as a structure: from one row per cell to titled grids of words, whatever they are written as.

Pure and standard library only, so that printing the table needs no numeric library.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv

ACCURACY_COLUMNS = (
    "image_percent",
    "text_percent",
    "text_source",
    "text_names",
    "text_unit",
    "sampling",
    "redraw",
    "budget",
    "recipe",
    "translator",
    "backbone",
    "accuracy_mean",
    "accuracy_ci95",
    "n_seeds",
    "distinct_images",
    "distinct_texts",
)
PUBLISHED_COLUMNS = ("image_percent", "text_percent", "text_source", "sampling", "study", "accuracy")
MISSING = "\N{EN DASH}"
IMAGE_ONLY = "none"
SOURCE_LABELS = {IMAGE_ONLY: "image only", "reed": "human (Reed)"}
PUBLISHED_RECIPE = "thesis"
# Recipes whose names begin so are columns of the comparison table, in groups; any other is a baseline, told below it.
COMPARED_RECIPES = (PUBLISHED_RECIPE, "anchored")

T = TypeVar("T")
Identity = tuple[str | float, ...]


@dataclass(frozen=True)
class AccuracyRow:
    """One cell: what it is, and its accuracy in percent over seeds; a line of accuracy.csv, and the optimiser steps."""

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
    optimiser_steps: int | None = None

    @property
    def identity(self) -> Identity:
        """What makes it this cell and no other; also the order of accuracy.csv (variant, source, ratio descending)."""
        return (
            *_variant_order(self.sampling, self.redraw, self.recipe, self.budget),
            *_source_order(self.column),
            self.translator,
            -self.image_percent,
        )

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
    def is_baseline(self) -> bool:
        return not self.recipe.startswith(COMPARED_RECIPES)

    def as_csv(self) -> dict[str, str]:
        """The row as accuracy.csv holds it: accuracies with two decimals, no interval from one seed."""
        texts = {c: str(getattr(self, c)) for c in ACCURACY_COLUMNS}
        for column in ("image_percent", "text_percent"):
            texts[column] = f"{getattr(self, column):g}"
        for column in ("distinct_images", "distinct_texts"):
            texts[column] = format_count(getattr(self, column), thousands="")
        texts["accuracy_mean"] = f"{self.accuracy_mean:.2f}"
        texts["accuracy_ci95"] = "" if self.accuracy_ci95 is None else f"{self.accuracy_ci95:.2f}"
        return texts


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


class PublishedFigure(NamedTuple):
    """An accuracy in percent from a study, by what the study says about its cell."""

    image_percent: float
    text_source: str
    sampling: str
    study: str
    accuracy: float


@dataclass(frozen=True)
class Grid:
    """A table of words: a first column of row names, then columns, which groups may span (label, number of columns)."""

    stub: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    groups: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class ComparisonTable:
    """One block: accuracies by ratio and source, and the images and steps behind them."""

    title: str
    accuracies: Grid
    counts: Grid
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """The whole table: a heading, what holds for every block, notes, and the blocks."""

    heading: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    tables: tuple[ComparisonTable, ...]


@dataclass(frozen=True)
class Block:
    """The rows of one variant; image-only rows, which have no translator, are in the block of every translator."""

    title: str
    rows: tuple[AccuracyRow, ...]

    @property
    def series(self) -> list[Series]:
        """Its columns: by sampling, then recipe, the thesis's first, then image only, human and LLM text."""
        return sorted(
            _distinct(row.series for row in self.rows), key=lambda s: (s[0], *_recipe_order(s[1]), *_source_order(s[2]))
        )


def _recipe_order(recipe: str) -> tuple[str | int, ...]:
    # The thesis's own recipe leads; the others follow by name, baselines last.
    return (recipe != PUBLISHED_RECIPE, not recipe.startswith(COMPARED_RECIPES), recipe)


def _variant_order(sampling: str, redraw: str, recipe: str, budget: str) -> tuple[str | int, ...]:
    return (*_recipe_order(recipe), budget, redraw, sampling)


def _source_order(column: Column) -> tuple[str | int, ...]:
    known = list(SOURCE_LABELS)
    return (known.index(column.text_source) if column.text_source in known else len(known), *column)


def _distinct(values: Iterable[T]) -> list[T]:
    return list(dict.fromkeys(values))


def sort_rows(rows: Iterable[AccuracyRow]) -> list[AccuracyRow]:
    """By variant, source, and ratio descending, whatever order they came in."""
    return sorted(rows, key=lambda row: row.identity)


def format_ratio(image_percent: float) -> str:
    """`90:10`: percent of images, percent of text."""
    return f"{image_percent:g}:{100 - image_percent:g}"


def format_count(count: float, thousands: str = ",") -> str:
    """A count, or a mean of counts with one decimal where it is not whole."""
    text = f"{count:,.1f}".removesuffix(".0")
    return text.replace(",", thousands)


def format_accuracy(mean: float | None, ci95: float | None, published: float | None = None, marks: str = "") -> str:
    """`81.88 ± 0.42 † (81.90)`: ours, the half-width of its 95% interval, marks, the published figure; or any of it."""
    ours = MISSING if mean is None else f"{mean:.2f}" if ci95 is None else f"{mean:.2f} ± {ci95:.2f}"
    ours += f" {marks}" if marks else ""
    return ours if published is None else f"{ours} ({published:.2f})"


def column_labels(rows: Iterable[AccuracyRow]) -> dict[Column, str]:
    """Columns in their order with their labels; a source's texts are told apart only where there are several."""
    columns = sorted(_distinct(row.column for row in rows), key=_source_order)
    labels = {}
    for column in columns:
        same = [c for c in columns if c.text_source == column.text_source]
        parts = [SOURCE_LABELS.get(column.text_source, column.text_source)]
        parts += [column.text_names] if len({c.text_names for c in same}) > 1 else []
        parts += [column.text_unit] if len({c.text_unit for c in same}) > 1 else []
        labels[column] = ", ".join(parts)
    return labels


def split_blocks(rows: Iterable[AccuracyRow], join_sampling: bool = False) -> list[Block]:
    """One block per variant: sampling (unless joined) and redraw, and budget and translator where they differ.

    All recipes of a variant stand in its block; one that has a budget of its own kind (a solver that runs until it has
    converged, say) joins every block of the thesis's recipe. Baselines are left out, unless there is nothing else.
    """
    rows = sort_rows(rows)
    rows = [r for r in rows if not r.is_baseline] or rows
    published = {r.budget for r in rows if r.recipe == PUBLISHED_RECIPE}
    budgets = published or {r.budget for r in rows}
    several_translators = len({r.translator for r in rows if not r.image_only}) > 1
    variants: dict[tuple[str, ...], list[AccuracyRow]] = {}
    for row in rows:
        sampling = "" if join_sampling else row.sampling
        for budget in (row.budget,) if row.budget in budgets else sorted(budgets):
            variants.setdefault((sampling, row.redraw, budget), []).append(row)
    blocks = []
    for (sampling, redraw, budget), members in variants.items():
        for translator in sorted({r.translator for r in members if not r.image_only}) or [IMAGE_ONLY]:
            texts = [r for r in members if not r.image_only and r.translator == translator]
            # A translator that is compared on text alone needs no image-only column beside it.
            mixed = not texts or any(r.image_percent for r in texts)
            own = tuple(r for r in members if r in texts or (mixed and r.image_only))
            samplings = " and ".join(sorted({r.sampling for r in own}))
            title = [f"sampling {sampling or samplings}", f"redraw {redraw}"]
            title += [f"budget {budget}"] if len(budgets) > 1 else []
            title += [f"translator {translator}"] if several_translators else []
            blocks.append(Block(", ".join(title), own))
    return blocks


def build_tables(
    rows: Sequence[AccuracyRow],
    published: Sequence[PublishedFigure] = (),
    join_sampling: bool = False,
    marks: Mapping[Identity, str] | None = None,
) -> list[ComparisonTable]:
    """The blocks of the comparison table, then the baselines; published figures stand beside the thesis's recipe only.

    marks: what stands behind a cell's accuracy, by the row's identity.
    """
    labels = column_labels(rows)
    tables = [_build_table(block, labels, published, marks or {}) for block in split_blocks(rows, join_sampling)]
    compared = any(not row.is_baseline for row in rows)
    return [*tables, *_build_baselines(rows, labels)] if compared else tables


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


def _build_table(
    block: Block,
    labels: Mapping[Column, str],
    published: Sequence[PublishedFigure],
    marks: Mapping[Identity, str],
) -> ComparisonTable:
    columns = block.series
    cells = {(r.series, r.image_percent): r for r in block.rows}
    beside = find_published(columns, published)
    ratios = sorted({r.image_percent for r in block.rows} | {percent for _, percent in beside}, reverse=True)

    def accuracy(series: Series, ratio: float) -> str:
        row, figure = cells.get((series, ratio)), beside.get((series, ratio))
        return format_accuracy(
            row.accuracy_mean if row else None,
            row.accuracy_ci95 if row else None,
            figure.accuracy if figure else None,
            marks.get(row.identity, "") if row else "",
        )

    samplings, recipes = _distinct(s.sampling for s in columns), _distinct(s.recipe for s in columns)

    def group_of(series: Series) -> str:
        parts = [series.sampling] if len(samplings) > 1 else []
        return ", ".join([*parts, series.recipe] if len(recipes) > 1 else parts)

    spans = [(label, len(list(members))) for label, members in itertools.groupby(columns, group_of)]
    accuracies = Grid(
        stub="images:text",
        columns=tuple(labels[series.column] for series in columns),
        rows=tuple((format_ratio(ratio), tuple(accuracy(s, ratio) for s in columns)) for ratio in ratios),
        groups=tuple(spans) if any(label for label, _ in spans) else (),
    )
    studies = _distinct((figure.study.capitalize(), figure.sampling) for figure in beside.values())
    remarks = []
    if studies:
        told = ", ".join(f"{study} for {sampling} sampling" for study, sampling in studies)
        remarks.append(f"In brackets the published figures: {told}.")
    return ComparisonTable(block.title, accuracies, _count_grid(block.rows, samplings), tuple(remarks))


def _build_baselines(rows: Iterable[AccuracyRow], labels: Mapping[Column, str]) -> list[ComparisonTable]:
    """A table of the baselines per sampling and redraw: a row for each with its texts, a column per ratio."""
    variants: dict[tuple[str, str], list[AccuracyRow]] = {}
    for row in sort_rows(rows):
        if row.is_baseline:
            variants.setdefault((row.sampling, row.redraw), []).append(row)
    tables = []
    for (sampling, redraw), members in variants.items():
        ratios = sorted({r.image_percent for r in members}, reverse=True)
        lines: dict[str, dict[float, str]] = {}
        for row in members:
            same = {r.translator for r in members if (r.recipe, r.column) == (row.recipe, row.column)}
            parts = [row.recipe, labels[row.column], *([f"translator {row.translator}"] if len(same) > 1 else [])]
            budgets = {r.budget for r in members if r.recipe == row.recipe}
            parts += [f"budget {row.budget}"] if len(budgets) > 1 else []
            lines.setdefault(", ".join(parts), {})[row.image_percent] = format_accuracy(
                row.accuracy_mean, row.accuracy_ci95
            )
        grid = Grid(
            stub="baseline",
            columns=tuple(format_ratio(ratio) for ratio in ratios),
            rows=tuple((name, tuple(told.get(ratio, MISSING) for ratio in ratios)) for name, told in lines.items()),
        )
        tables.append(ComparisonTable(f"Baselines: sampling {sampling}, redraw {redraw}", grid, Grid("", (), ())))
    return tables


def _count_grid(rows: Sequence[AccuracyRow], samplings: Sequence[str]) -> Grid:
    """Distinct images seen by image-only cells, and optimiser steps, by ratio."""
    ratios = sorted({r.image_percent for r in rows}, reverse=True)

    def line(
        name: str, tell: Callable[[AccuracyRow], str], members: Sequence[AccuracyRow]
    ) -> list[tuple[str, tuple[str, ...]]]:
        told = [_distinct(tell(r) for r in members if r.image_percent == ratio) for ratio in ratios]
        return [(name, tuple(" / ".join(t) or MISSING for t in told))] if any(told) else []

    lines = []
    for sampling in samplings:
        suffix = f", {sampling}" if len(samplings) > 1 else ""
        alone = [r for r in rows if r.image_only and r.sampling == sampling]
        lines += line(f"distinct images, image only{suffix}", lambda r: format_count(r.distinct_images), alone)
    for name, image_only in (("image only", True), ("with text", False)):
        # Recipes that are solved to the end count none.
        members = [r for r in rows if r.image_only == image_only and r.optimiser_steps]
        lines += line(f"optimiser steps, {name}", lambda r: format_count(r.optimiser_steps or 0), members)
    return Grid("images:text", tuple(format_ratio(ratio) for ratio in ratios), tuple(lines))


def build_comparison(
    rows: Sequence[AccuracyRow],
    dataset: str,
    seeds: Sequence[int],
    notes: Sequence[str] = (),
    published: Sequence[PublishedFigure] = (),
    marks: Mapping[Identity, str] | None = None,
    legend: str = "",
    further: Sequence[ComparisonTable] = (),
) -> Comparison:
    """The whole table; with published figures the samplings stand side by side, as in the thesis.

    marks, legend: what stands behind accuracies, and what that means. further: tables that follow.
    """

    def told(values: Iterable[str]) -> str:
        return ", ".join(sorted(set(values))) or IMAGE_ONLY

    texts = [
        f"{label} ({column.text_names}, one {column.text_unit} each)"
        for column, label in column_labels(rows).items()
        if column.text_source != IMAGE_ONLY
    ]
    budget = told(r.budget for r in rows)
    interval = "± half-width of the 95% t interval over seeds" if len(seeds) > 1 else "one seed, so no interval"
    facts = (
        ("Backbone", told(r.backbone for r in rows)),
        ("Translator", told(r.translator for r in rows if not r.image_only)),
        ("Recipe", told(r.recipe for r in rows)),
        (
            "Budget",
            f"equal {budget} in all cells" if len({r.budget for r in rows}) == 1 else f"{budget}, by column or table",
        ),
        ("Texts", "; ".join(texts) or IMAGE_ONLY),
        ("Seeds", f"{len(seeds)} ({', '.join(str(s) for s in seeds)})"),
        ("Cells", f"accuracy on the test images in percent, {interval}"),
        *([("Marks", legend)] if legend else []),
    )
    tables = [*build_tables(rows, published, bool(published), marks), *further]
    return Comparison(f"Accuracy by share of images: {dataset}", facts, tuple(notes), tuple(tables))


def _number(where: str, column: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FieldguideError(f"{where}: {column} is {text!r}, not a number; make the file again or correct it")
    return value


def read_rows(path: Path | str) -> list[AccuracyRow]:
    """Read accuracy.csv (the optimiser steps are not in it)."""
    rows = []
    for number, told in enumerate(read_csv(path, ACCURACY_COLUMNS), start=2):
        where = f"{path}, line {number}"
        rows.append(
            AccuracyRow(
                image_percent=_number(where, "image_percent", told["image_percent"]),
                text_percent=_number(where, "text_percent", told["text_percent"]),
                text_source=told["text_source"],
                text_names=told["text_names"],
                text_unit=told["text_unit"],
                sampling=told["sampling"],
                redraw=told["redraw"],
                budget=told["budget"],
                recipe=told["recipe"],
                translator=told["translator"],
                backbone=told["backbone"],
                accuracy_mean=_number(where, "accuracy_mean", told["accuracy_mean"]),
                accuracy_ci95=_number(where, "accuracy_ci95", told["accuracy_ci95"]) if told["accuracy_ci95"] else None,
                n_seeds=int(_number(where, "n_seeds", told["n_seeds"])),
                distinct_images=_number(where, "distinct_images", told["distinct_images"]),
                distinct_texts=_number(where, "distinct_texts", told["distinct_texts"]),
            )
        )
    if not rows:
        raise FieldguideError(f"{path}: holds no cell; run the stage tabulate_accuracy again")
    return sort_rows(rows)


def read_published(path: Path | str) -> list[PublishedFigure]:
    """Read published.csv; raises FieldguideError where two figures claim the same cell."""
    figures: dict[tuple[float, str, str], PublishedFigure] = {}
    for number, told in enumerate(read_csv(path, PUBLISHED_COLUMNS), start=2):
        where = f"{path}, line {number}"
        figure = PublishedFigure(
            _number(where, "image_percent", told["image_percent"]),
            told["text_source"],
            told["sampling"],
            told["study"],
            _number(where, "accuracy", told["accuracy"]),
        )
        cell = (figure.image_percent, figure.text_source, figure.sampling)
        if cell in figures:
            raise FieldguideError(f"{where}: a second figure for {cell[0]:g}% images, {cell[1]}, {cell[2]}; keep one")
        figures[cell] = figure
    return list(figures.values())
