"""The report's tables of accuracy: the comparison table, recipes side by side, and what words mean. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from fieldguide.adapters.recipes.registry import RECIPES
from fieldguide.tables.grid import format_accuracy, format_count, format_ratio
from fieldguide.tables.image_worth import describe_worth
from fieldguide.tables.page_tables import EMPTY, Entry, Head, PageTable, accuracy_entries, pivot_entries, ratio_entry
from fieldguide.tables.results import TrainingImages, summarise, to_rows
from fieldguide.tables.rows import (
    Block,
    CellRow,
    Column,
    PublishedFigure,
    Series,
    column_labels,
    find_published,
    split_blocks,
)

if TYPE_CHECKING:
    import pandas as pd

Words = Mapping[str, str]

TERMS: Mapping[str, tuple[str, str]] = {
    "images:text": (
        "",
        "percent of the training set that are images, and percent left out, for which text stands",
    ),
    "image only": ("none", "the images that are left, and nothing in place of the others"),
    "human (Reed)": ("reed", "captions that people wrote of the images left out (Reed et al.)"),
    "class-wise": ("class-wise", "every class keeps the same share of its images"),
    "global": ("global", "images are kept by a draw over all classes together"),
    "fixed": ("fixed", "images and texts are drawn once per seed"),
    "per-epoch": ("per-epoch", "images and texts are drawn anew in every epoch, so that in time all images are seen"),
    **{name: (name, recipe.summary.removesuffix(".")) for name, recipe in RECIPES.items()},
    "translator": (
        "",
        "turns a text's feature into the image feature it would have had; learnt on images and captions",
    ),
}
"""The page's words: where each occurs in the tables (always, if empty), and what it means."""


def describe_cell(
    row: CellRow, accuracies: Mapping[int, float], label: str, words: Words, over_images: float | None = None
) -> str:
    """What stands behind an accuracy, line by line."""

    def word(name: str) -> str:
        return words.get(name, name)

    lines = [f"{label}, {format_ratio(row.image_percent)}, {row.recipe}"]
    by_seed = ", ".join(f"{seed}: {accuracy:.2f}" for seed, accuracy in accuracies.items())
    lines.append(f"{word('seeds')} {by_seed}")
    widths = {"95% interval": row.accuracy_ci95, "95% interval, test images too": over_images}
    for name, width in widths.items():
        if width is not None:
            low, high = row.accuracy_mean - width, row.accuracy_mean + width
            lines.append(f"{word(name)} {max(0.0, low):.2f} \N{EN DASH} {min(100.0, high):.2f}")
    lines.append(f"{word('distinct images')} {format_count(row.distinct_images)}")
    if not row.image_only:
        lines.append(f"{word('distinct texts')} {format_count(row.distinct_texts)}")
    if row.optimiser_steps:
        lines.append(f"{word('optimiser steps')} {format_count(row.optimiser_steps)}")
    return "\n".join(lines)


def comparison_tables(
    cells: pd.DataFrame,
    published: Sequence[PublishedFigure] = (),
    marks: Mapping[str, str] = {},
    words: Words = {},  # noqa: B006
    over_images: Mapping[str, float] = {},
) -> list[PageTable]:
    """The comparison table, a block per variant: published figures have a column of their own beside ours.

    cells: of `read_cells`. marks: by the path of a cell, and so is over_images, the half-width of its interval over
    seeds and test images. words: headings by their English ones.
    """
    rows = to_rows(summarise(cells))
    labels = column_labels(row.column for row in rows)
    accuracies = cells.pivot(index="seed", columns="path", values="accuracy")
    blocks = split_blocks(rows, bool(published))
    return [_comparison(block, labels, accuracies, published, marks, words, over_images) for block in blocks]


def _comparison(
    block: Block,
    labels: Mapping[Column, str],
    accuracies: pd.DataFrame,
    published: Sequence[PublishedFigure],
    marks: Mapping[str, str],
    words: Words,
    over_images: Mapping[str, float],
) -> PageTable:
    published_cells = find_published(block.series, () if block.texts_beside else published)
    samplings, recipes = {one.sampling for one in block.series}, {one.recipe for one in block.series}

    def word(name: str) -> str:
        return words.get(name, name)

    def group(one: Series) -> str:
        parts = [word(one.sampling)] if len(samplings) > 1 else []
        return ", ".join([*parts, word(one.recipe)] if len(recipes) > 1 else parts)

    heads: list[Head] = []
    columns: list[dict[float, Entry]] = []
    for one in block.series:
        label = word(labels[one.column])
        heads.append(Head(label, group(one)))
        columns.append(
            {
                row.image_percent: Entry(
                    format_accuracy(row.accuracy_mean, row.accuracy_ci95),
                    row.accuracy_mean,
                    describe_cell(row, accuracies[row.path].to_dict(), label, words, over_images.get(row.path)),
                    marks.get(row.path, ""),
                )
                for row in block.rows
                if row.series == one
            }
        )
        if figures := {ratio: figure for (of, ratio), figure in published_cells.items() if of == one}:
            studies = sorted({figure.study.capitalize() for figure in figures.values()})
            theirs = next(iter(figures.values())).published_as
            heads.append(Head(f"{word('published')}: {theirs or label}", group(one), ", ".join(studies)))
            columns.append({ratio: Entry(f"{f.accuracy:.2f}", f.accuracy) for ratio, f in figures.items()})
    ratios = sorted({ratio for column in columns for ratio in column}, reverse=True)
    table = tuple((ratio_entry(ratio), tuple(column.get(ratio, EMPTY) for column in columns)) for ratio in ratios)
    return PageTable(block.title, word("images:text"), tuple(heads), table)


def recipe_table(rows: pd.DataFrame, labels: Mapping[str, str], words: Words) -> PageTable:
    """Recipes and baselines side by side, from recipes.csv: a row per recipe and source, a column per ratio."""
    entries = [
        entry._replace(
            tip=f"{words.get('seeds', 'seeds')} {seeds}\n{words.get('distinct images', 'distinct images')} {images:g}\n"
            f"{words.get('distinct texts', 'distinct texts')} {texts:g}"
        )
        for entry, seeds, images, texts in zip(
            accuracy_entries(rows), rows["n_seeds"], rows["distinct_images"], rows["distinct_texts"], strict=True
        )
    ]
    table = pivot_entries(rows.assign(entry=entries), ["recipe", "text_source"], "image_percent", descending="columns")

    def name(recipe: str, source: str) -> Entry:
        label = labels.get(source, source)
        return Entry(f"{recipe}, {words.get(label, label)}")

    lines = tuple((name(*key), tuple(line)) for key, *line in table.itertuples(name=None))
    heads = tuple(Head(format_ratio(ratio)) for ratio in table.columns)
    first = rows.iloc[0]
    title = f"Recipes and baselines: sampling {first['sampling']}, redraw {first['redraw']}"
    return PageTable(title, words.get("baseline", "recipe and texts"), heads, lines)


def describe_worths(
    worth: pd.DataFrame, labels: Mapping[str, str], images: TrainingImages
) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Of each variant (sampling, redraw, budget, translator, texts) a sentence or two on every column of text."""
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for key, members in worth.groupby(["sampling", "redraw", "budget", "translator", "texts"], sort=False):
        found[key] = tuple(
            describe_worth(
                column,
                f"{recipe} with {labels.get(source, source)} against {reference} image only",
                images,
            )
            for (recipe, source, reference), column in members.groupby(
                ["recipe", "text_source", "image_only_recipe"], sort=False
            )
        )
    return found


def choose_terms(values: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The page's words that occur among the values of its tables, each with its meaning."""
    found = set(values)
    return tuple((term, meaning) for term, (value, meaning) in TERMS.items() if not value or value in found)
