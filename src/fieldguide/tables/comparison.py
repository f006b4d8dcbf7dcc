"""The comparison table as a structure: from one row per cell to titled grids of words, whatever they are written as.

Pure and standard library only, so that printing the table needs no numeric library.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from fieldguide.tables.grid import MISSING, Grid, format_accuracy, format_count, format_ratio
from fieldguide.tables.intervals import ONE_SEED, describe_interval
from fieldguide.tables.rows import (
    IMAGE_ONLY,
    Block,
    CellRow,
    Column,
    PublishedFigure,
    Series,
    cell_identity,
    column_labels,
    distinct,
    find_published,
    split_blocks,
)

NO_GRID = Grid("", (), ())


@dataclass(frozen=True)
class ComparisonTable:
    """One block: accuracies by ratio and source, and the images and steps behind them.

    over_images: the same accuracies with intervals that hold the test images too.
    """

    title: str
    accuracies: Grid
    over_images: Grid = NO_GRID
    counts: Grid = NO_GRID
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """The whole table: a heading, what holds for every block, notes, and the blocks."""

    heading: str
    facts: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    tables: tuple[ComparisonTable, ...]


def build_tables(
    rows: Sequence[CellRow],
    published: Sequence[PublishedFigure] = (),
    join_sampling: bool = False,
    marks: Mapping[str, str] | None = None,
    over_images: Mapping[str, float] | None = None,
) -> list[ComparisonTable]:
    """The blocks of the comparison table, then the baselines; published figures stand beside the thesis's recipe only.

    marks: what stands behind a cell's accuracy, by the path of its file; over_images: the half-width of the interval
    of its accuracy over seeds and test images, likewise.
    """
    labels = column_labels(row.column for row in rows)
    tables = [
        _build_table(block, labels, published, marks or {}, over_images or {})
        for block in split_blocks(rows, join_sampling)
    ]
    compared = any(not row.is_baseline for row in rows)
    return [*tables, *_build_baselines(rows, labels)] if compared else tables


def _build_table(
    block: Block,
    labels: Mapping[Column, str],
    published: Sequence[PublishedFigure],
    marks: Mapping[str, str],
    over_images: Mapping[str, float],
) -> ComparisonTable:
    columns = block.series
    cells = {(r.series, r.image_percent): r for r in block.rows}
    published_cells = find_published(columns, () if block.texts_beside else published)
    ratios = sorted({r.image_percent for r in block.rows} | {percent for _, percent in published_cells}, reverse=True)

    def accuracy(series: Series, ratio: float) -> str:
        row, figure = cells.get((series, ratio)), published_cells.get((series, ratio))
        return format_accuracy(
            row.accuracy_mean if row else None,
            row.accuracy_ci95 if row else None,
            figure.accuracy if figure else None,
            marks.get(row.path, "") if row else "",
        )

    samplings, recipes = distinct(s.sampling for s in columns), distinct(s.recipe for s in columns)

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
    studies = distinct((figure.study.capitalize(), figure.sampling) for figure in published_cells.values())
    remarks = []
    if studies:
        named = ", ".join(f"{study} for {sampling} sampling" for study, sampling in studies)
        remarks.append(f"In brackets the published figures: {named}.")
    substitutes = {series.column: figure.published_as for (series, _), figure in published_cells.items()}
    remarks += [
        f"Those beside {labels[column]} are of {theirs}, whose text it is not."
        for column, theirs in substitutes.items()
        if theirs
    ]
    wider = NO_GRID
    widths = {key: (row.accuracy_mean, over_images[row.path]) for key, row in cells.items() if row.path in over_images}
    if widths:
        wider = Grid(
            stub="over seeds and test images",
            columns=accuracies.columns,
            rows=tuple(
                (format_ratio(ratio), tuple(format_accuracy(*widths.get((s, ratio), (None, None))) for s in columns))
                for ratio in ratios
            ),
            groups=accuracies.groups,
        )
    return ComparisonTable(block.title, accuracies, wider, _count_grid(block.rows, samplings), tuple(remarks))


def _build_baselines(rows: Iterable[CellRow], labels: Mapping[Column, str]) -> list[ComparisonTable]:
    """A table of the baselines per sampling and redraw: a row for each with its texts, a column per ratio."""
    variants: dict[tuple[str, str], list[CellRow]] = {}
    for row in sorted(rows, key=cell_identity):
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
            parts += ["all texts"] if row.texts_beside else []
            lines.setdefault(", ".join(parts), {})[row.image_percent] = format_accuracy(
                row.accuracy_mean, row.accuracy_ci95
            )
        grid = Grid(
            stub="baseline",
            columns=tuple(format_ratio(ratio) for ratio in ratios),
            rows=tuple((name, tuple(texts.get(ratio, MISSING) for ratio in ratios)) for name, texts in lines.items()),
        )
        tables.append(ComparisonTable(f"Baselines: sampling {sampling}, redraw {redraw}", grid))
    return tables


def _count_grid(rows: Sequence[CellRow], samplings: Sequence[str]) -> Grid:
    """Distinct images seen by image-only cells, and optimiser steps, by ratio."""
    ratios = sorted({r.image_percent for r in rows}, reverse=True)

    def line(
        name: str, write: Callable[[CellRow], str], members: Sequence[CellRow]
    ) -> list[tuple[str, tuple[str, ...]]]:
        texts = [distinct(write(r) for r in members if r.image_percent == ratio) for ratio in ratios]
        return [(name, tuple(" / ".join(t) or MISSING for t in texts))] if any(texts) else []

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
    rows: Sequence[CellRow],
    dataset: str,
    seeds: Sequence[int],
    notes: Sequence[str] = (),
    published: Sequence[PublishedFigure] = (),
    marks: Mapping[str, str] | None = None,
    legend: str = "",
    over_images: Mapping[str, float] | None = None,
    further: Sequence[ComparisonTable] = (),
) -> Comparison:
    """The whole table; with published figures the samplings stand side by side, as in the thesis.

    marks, legend: what stands behind accuracies, and what that means. over_images: see `build_tables`. further: tables
    that follow.
    """

    def join(values: Iterable[str]) -> str:
        return ", ".join(sorted(set(values))) or IMAGE_ONLY

    texts = [
        f"{label} ({column.text_names}, one {column.text_unit} each)"
        for column, label in column_labels(row.column for row in rows).items()
        if column.text_source != IMAGE_ONLY
    ]
    budget = join(r.budget for r in rows)
    has_translator = any(r.translator != IMAGE_ONLY for r in rows)
    interval = f"± half-width of the {describe_interval(None, has_translator)}" if len(seeds) > 1 else ONE_SEED
    if over_images:
        interval += "; the table over seeds and test images holds these images too"
    facts = (
        ("Backbone", join(r.backbone for r in rows)),
        ("Translator", join(r.translator for r in rows if not r.image_only)),
        ("Recipe", join(r.recipe for r in rows)),
        (
            "Budget",
            f"equal {budget} in all cells" if len({r.budget for r in rows}) == 1 else f"{budget}, by column or table",
        ),
        ("Texts", "; ".join(texts) or IMAGE_ONLY),
        ("Seeds", f"{len(seeds)} ({', '.join(str(s) for s in seeds)})"),
        ("Cells", f"accuracy on the test images in percent, {interval}"),
        *([("Marks", legend)] if legend else []),
    )
    tables = [*build_tables(rows, published, bool(published), marks, over_images), *further]
    return Comparison(f"Accuracy by share of images: {dataset}", facts, tuple(notes), tuple(tables))
