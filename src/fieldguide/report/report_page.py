"""The report's page as a structure: tables whose cells can be ordered and tell more, confused classes, costs, facts.

Pure: from rows to records that the template sets; nothing here reads a path. What was not made is left out by the
template, with a sentence.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from fieldguide.adapters.recipes.registry import RECIPES
from fieldguide.tables.cell_results import Cell
from fieldguide.tables.comparison import (
    MISSING,
    AccuracyRow,
    Block,
    Column,
    Grid,
    Identity,
    PublishedFigure,
    Series,
    column_labels,
    find_published,
    format_accuracy,
    format_count,
    format_ratio,
    split_blocks,
)
from fieldguide.tables.image_worth import AT_LEAST, AT_MOST, BETWEEN, Worth, tell_worth

Words = Mapping[str, str]
MINUS = "\N{MINUS SIGN}"
LONGEST_TEXT = 240
CI = "_ci95"
WIDE = 9
"""Columns from which on a table is set small."""

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

MEASURES: Mapping[str, str] = {
    "cosine": "cosine of a translated caption to its own image",
    "control": "cosine of a translated caption to other images, beside which the cosine has to be read",
    "recall_1": "captions whose own image is the nearest, %",
    "recall_5": "captions whose own image is among the 5 nearest, %",
    "recall_10": "captions whose own image is among the 10 nearest, %",
    "centred_recall_1": "captions whose own image is the nearest, texts and images each less their mean, %",
    "centroid_distance": "distance of the mean of translated captions from that of images (features of length 1)",
    "covariance_distance": "covariance distance: 0 if texts spread as images do, 1 if they were all one point",
    "variance_ratio": "spread of translated captions by that of images (1: the same)",
    "nearest_class_mean": "texts whose nearest mean of real test images is their own class's, %",
    "zs_translated": "zero-shot accuracy with translated texts on the test images, %",
    "accuracy_50": "accuracy of the thesis recipe at 50:50 on the test images, %",
    "accuracy_0": "accuracy of the thesis recipe at 0:100 (text alone) on the test images, %",
}
"""What the measures of conversion accuracy are, with their units; those of a text source have its name before them."""


class Entry(NamedTuple):
    """One cell: what it shows, what orders it (none where it is empty or a word), what it tells more, its mark."""

    text: str
    order: float | None = None
    tip: str = ""
    mark: str = ""


EMPTY = Entry(MISSING)


class Head(NamedTuple):
    """A column: its heading, the group that it stands in, what it means, and whether the page shows it at first."""

    text: str
    group: str = ""
    tip: str = ""
    shown: bool = True


@dataclass(frozen=True)
class PageTable:
    """A table that can be sorted and whose columns can be hidden; each row is headed by its first entry."""

    title: str
    stub: str
    heads: tuple[Head, ...]
    rows: tuple[tuple[Entry, tuple[Entry, ...]], ...]
    remarks: tuple[str, ...] = ()
    long: bool = False

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Groups of columns, each with its width; none where no column has one."""
        if not any(head.group for head in self.heads):
            return []
        return [(group, len(list(members))) for group, members in itertools.groupby(self.heads, lambda h: h.group)]

    @property
    def is_words(self) -> list[bool]:
        """Of each column, whether it holds words and no figure."""
        columns = ([entries[place] for _, entries in self.rows] for place in range(len(self.heads)))
        return [all(entry.order is None for entry in column) for column in columns]

    @property
    def has_marks(self) -> list[bool]:
        """Of each column, whether a mark stands in it, so that its figures leave room for marks."""
        return [any(entries[place].mark for _, entries in self.rows) for place in range(len(self.heads))]

    @property
    def is_wide(self) -> bool:
        """Whether it shows so many columns that it has to be set small."""
        return sum(head.shown for head in self.heads) > WIDE

    @property
    def grid(self) -> Grid:
        """The columns shown at first as a grid of words, for paper."""
        shown = [place for place, head in enumerate(self.heads) if head.shown]
        heads = [self.heads[place] for place in shown]
        groups = [(group, len(list(members))) for group, members in itertools.groupby(heads, lambda h: h.group)]
        return Grid(
            self.stub,
            tuple(head.text for head in heads),
            tuple((name.text, tuple(entries[place].text for place in shown)) for name, entries in self.rows),
            tuple(groups) if any(group for group, _ in groups) else (),
        )


def shares(name: float) -> Entry:
    """A row's head: the ratio, ordered by the share of images."""
    return Entry(format_ratio(name), name)


def tell_cell(cell: Cell, label: str, words: Words) -> str:
    """What stands behind an accuracy, line by line."""
    row = cell.row

    def word(name: str) -> str:
        return words.get(name, name)

    lines = [f"{label}, {format_ratio(row.image_percent)}, {row.recipe}"]
    by_seed = ", ".join(f"{seed}: {value:.2f}" for seed, value in zip(cell.seeds, cell.accuracies, strict=True))
    lines.append(f"{word('seeds')} {by_seed}")
    if row.accuracy_ci95 is not None:
        low, high = row.accuracy_mean - row.accuracy_ci95, row.accuracy_mean + row.accuracy_ci95
        lines.append(f"{word('95% interval')} {max(0.0, low):.2f} \N{EN DASH} {min(100.0, high):.2f}")
    lines.append(f"{word('distinct images')} {format_count(row.distinct_images)}")
    if not row.image_only:
        lines.append(f"{word('distinct texts')} {format_count(row.distinct_texts)}")
    if row.optimiser_steps:
        lines.append(f"{word('optimiser steps')} {format_count(row.optimiser_steps)}")
    return "\n".join(lines)


def comparison_tables(
    cells: Sequence[Cell],
    published: Sequence[PublishedFigure] = (),
    marks: Mapping[Identity, str] = {},
    words: Words = {},  # noqa: B006
) -> list[PageTable]:
    """The comparison table, a block per variant: published figures have a column of their own beside ours."""
    rows = [cell.row for cell in cells]
    labels = column_labels(rows)
    by_identity = {cell.row.identity: cell for cell in cells}
    return [
        _comparison(block, labels, by_identity, published, marks, words)
        for block in split_blocks(rows, bool(published))
    ]


def _comparison(
    block: Block,
    labels: Mapping[Column, str],
    cells: Mapping[Identity, Cell],
    published: Sequence[PublishedFigure],
    marks: Mapping[Identity, str],
    words: Words,
) -> PageTable:
    series = block.series
    rows = {(row.series, row.image_percent): row for row in block.rows}
    beside = find_published(series, published)
    ratios = sorted({row.image_percent for row in block.rows} | {ratio for _, ratio in beside}, reverse=True)
    samplings, recipes = {one.sampling for one in series}, {one.recipe for one in series}

    def word(name: str) -> str:
        return words.get(name, name)

    def group(one: Series) -> str:
        parts = [word(one.sampling)] if len(samplings) > 1 else []
        return ", ".join([*parts, word(one.recipe)] if len(recipes) > 1 else parts)

    heads: list[Head] = []
    columns: list[Callable[[float], Entry]] = []
    for one in series:
        label = word(labels[one.column])

        def ours(ratio: float, one: Series = one, label: str = label) -> Entry:
            row = rows.get((one, ratio))
            if row is None:
                return EMPTY
            told = format_accuracy(row.accuracy_mean, row.accuracy_ci95)
            tip = tell_cell(cells[row.identity], label, words)
            return Entry(told, row.accuracy_mean, tip, marks.get(row.identity, ""))

        heads.append(Head(label, group(one)))
        columns.append(ours)
        studies = {figure.study.capitalize() for (of, _), figure in beside.items() if of == one}
        if studies:

            def theirs(ratio: float, one: Series = one) -> Entry:
                figure = beside.get((one, ratio))
                return Entry(f"{figure.accuracy:.2f}", figure.accuracy) if figure else EMPTY

            heads.append(Head(f"{word('published')}: {label}", group(one), f"{', '.join(sorted(studies))}"))
            columns.append(theirs)
    table = tuple((shares(ratio), tuple(column(ratio) for column in columns)) for ratio in ratios)
    return PageTable(block.title, word("images:text"), tuple(heads), table)


def recipe_table(rows: Sequence[Mapping[str, str]], labels: Mapping[str, str], words: Words) -> PageTable:
    """Recipes and baselines side by side, from tables/recipes.csv: a row per recipe and source, a column per ratio."""
    ratios = sorted({float(row["image_percent"]) for row in rows}, reverse=True)
    lines: dict[tuple[str, str], dict[float, Entry]] = {}
    for row in rows:
        mean, width = float(row["accuracy_mean"]), row["accuracy_ci95"]
        tip = "\n".join(
            [
                f"{words.get('seeds', 'seeds')} {row['n_seeds']}",
                f"{words.get('distinct images', 'distinct images')} {row['distinct_images']}",
                f"{words.get('distinct texts', 'distinct texts')} {row['distinct_texts']}",
            ]
        )
        entry = Entry(format_accuracy(mean, float(width) if width else None), mean, tip)
        lines.setdefault((row["recipe"], row["text_source"]), {})[float(row["image_percent"])] = entry

    def name(recipe: str, source: str) -> Entry:
        label = labels.get(source, source)
        return Entry(f"{recipe}, {words.get(label, label)}")

    table = tuple((name(*key), tuple(told.get(ratio, EMPTY) for ratio in ratios)) for key, told in lines.items())
    heads = tuple(Head(format_ratio(ratio)) for ratio in ratios)
    variant = f"sampling {rows[0]['sampling']}, redraw {rows[0]['redraw']}"
    return PageTable(f"Recipes and baselines: {variant}", words.get("baseline", "recipe and texts"), heads, table)


def tell_terms(values: Iterable[str]) -> tuple[tuple[str, str], ...]:
    """The page's words that occur among the values of its tables, each with its meaning."""
    found = set(values)
    return tuple((term, meaning) for term, (value, meaning) in TERMS.items() if not value or value in found)


def tell_measure(column: str) -> str:
    """What a measure of conversion accuracy is, with its unit; its own name, where nothing more is known."""
    for name, meaning in MEASURES.items():
        if column == name:
            return meaning
        if column.endswith(f"_{name}") and not column.startswith("centred"):
            return f"{column.removesuffix(name).rstrip('_')}: {meaning}"
    return column.replace("_", " ")


def tell_worths(
    worths: Sequence[Worth], labels: Mapping[str, str], images_per_class: float
) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Of each variant (sampling, redraw, budget, translator) a sentence or two on every column of text."""
    columns: dict[tuple[str, ...], dict[str, list[Worth]]] = {}
    for worth in worths:
        row = worth.row
        label = f"{row.recipe} with {labels.get(row.text_source, row.text_source)} against {worth.reference} image only"
        variant = columns.setdefault((row.sampling, row.redraw, row.budget, row.translator), {})
        variant.setdefault(label, []).append(worth)
    return {
        key: tuple(tell_worth(told, label, images_per_class) for label, told in of_variant.items())
        for key, of_variant in columns.items()
    }


def worth_tables(
    rows: Sequence[Mapping[str, str]],
    labels: Mapping[str, str],
    words: Words,
    sentences: Mapping[tuple[str, ...], tuple[str, ...]] | None = None,
) -> list[PageTable]:
    """The worth of text in labelled images per class, from tables/image_worth.csv: a table per variant, and words."""
    variants: dict[tuple[str, ...], list[Mapping[str, str]]] = {}
    for row in rows:
        key = (row["sampling"], row["redraw"], row["budget"], row["translator"])
        variants.setdefault(key, []).append(row)
    tables = []
    for (sampling, redraw, budget, translator), members in variants.items():
        columns: dict[tuple[str, str, str], dict[float, Entry]] = {}
        for row in members:
            column = (row["recipe"], row["text_source"], row["image_only_recipe"])
            columns.setdefault(column, {})[float(row["image_percent"])] = worth_entry(row)
        ratios = sorted({ratio for told in columns.values() for ratio in told}, reverse=True)
        heads = tuple(
            Head(words.get(labels.get(source, source), labels.get(source, source)), f"{recipe} against {against}")
            for recipe, source, against in columns
        )
        table = tuple((shares(ratio), tuple(told.get(ratio, EMPTY) for told in columns.values())) for ratio in ratios)
        several = len({key[2] for key in variants}) > 1, len({key[3] for key in variants}) > 1
        title = [f"sampling {sampling}", f"redraw {redraw}"]
        title += [f"budget {budget}"] if several[0] else []
        title += [f"translator {translator}"] if several[1] else []
        remarks = (sentences or {}).get((sampling, redraw, budget, translator), ())
        tables.append(PageTable(", ".join(title), words.get("images:text", "images:text"), heads, table, remarks))
    return tables


def worth_entry(row: Mapping[str, str]) -> Entry:
    """A worth as `+1.2 ± 0.4`, or as a bound."""
    images, width, relation = float(row["images_per_class_saved"]), row["images_per_class_saved_ci95"], row["relation"]
    tip = f"accuracy {row['accuracy_mean']}%\n{row['percent_of_images_saved']}% of the training images"
    tip += f"\nseeds {row['n_seeds']}, outside the curve {row['seeds_outside_curve']}"
    if relation == BETWEEN:
        return Entry("outside", None, tip)
    sign = {AT_LEAST: "≥ ", AT_MOST: "≤ "}.get(relation, "")
    told = f"{sign}{images:+.1f}".replace("-", MINUS) + (f" ± {float(width):.1f}" if width else "")
    return Entry(told, images, tip)


def as_number(text: str) -> float | None:
    """A figure that a table can be ordered by; None for a word."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def decimals(values: Sequence[float]) -> int:
    """Decimals for a column of figures, by the largest: 1 for percentages, 3 for cosines."""
    largest = max(map(abs, values), default=0.0)
    return 1 if largest >= 10 else 2 if largest >= 2 else 3


def tidy_number(text: str) -> str:
    """A figure in four significant digits; a word, a count or a short figure as it stands."""
    value = as_number(text)
    digits = len(text.lstrip("-0.").replace(".", ""))
    return f"{value:.4g}" if value is not None and "." in text and digits > 4 else text


def plain_table(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, str]],
    tips: Mapping[str, str] = {},
) -> PageTable:
    """A tidy table as it stands, each interval beside its figure; what is the same in every row is hidden at first."""
    columns = [column for column in columns if (of := column.removesuffix(CI)) not in columns or of == column]

    # Figures with an interval have as many decimals as their column needs, so that they stand below one another.
    places = {
        column: decimals([value for row in rows if (value := as_number(row[column])) is not None])
        for column in columns
        if rows and column + CI in rows[0]
    }

    def entry(row: Mapping[str, str], column: str) -> Entry:
        text, value, width = row[column], as_number(row[column]), as_number(row.get(column + CI, ""))
        if column not in places or value is None:
            return Entry(tidy_number(text) or MISSING, value)
        told = f"{value:.{places[column]}f}"
        return Entry(told if width is None else f"{told} ± {width:.{places[column]}f}", value)

    def head(column: str) -> Head:
        same = len(rows) > 1 and len({row[column] for row in rows}) == 1
        return Head(column.replace("_", " "), "", tips.get(column, ""), not same)

    first, *others = columns
    table = tuple((entry(row, first), tuple(entry(row, column) for column in others)) for row in rows)
    return PageTable(title, first.replace("_", " "), tuple(map(head, others)), table, (), len(rows) > 30)


def measures_of(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The columns of figures that differ between rows: what a chart of the table can show."""
    return [
        column
        for column in columns[1:]
        if len({row[column] for row in rows}) > 1
        and all(as_number(row[column]) is not None or not row[column] for row in rows)
        if not column.endswith((CI, "_seeds"))
    ]


def bar_values(label: str, measures: Sequence[str], rows: Sequence[Mapping[str, str]]) -> list[dict[str, object]]:
    """What a chart of measures is drawn from: a record per row and measure, with its interval where it has one."""
    values: list[dict[str, object]] = []
    for measure in measures:
        for row in rows:
            value, width = as_number(row[measure]), as_number(row.get(measure + CI, "")) or 0.0
            if value is not None:
                told = {"label": row[label], "measure": measure.replace("_", " "), "value": value}
                values.append({**told, "low": value - width, "high": value + width})
    return values


# ---------------------------------------------------------------- confused classes


@dataclass(frozen=True)
class Side:
    """One class of a confused pair: a training photograph (a data URI, or empty) and texts that it was trained on."""

    name: str
    photograph: str = ""
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pair:
    """Two classes of which one is taken for the other, in percent of its test images, and a photograph taken so."""

    one: Side
    other: Side
    percent: float
    back: float
    mistaken: str = ""


@dataclass(frozen=True)
class Confusions:
    """The most confused pairs of one cell."""

    title: str
    has_text: bool
    pairs: tuple[Pair, ...]


def choose_cells(rows: Sequence[AccuracyRow]) -> list[AccuracyRow]:
    """The cells whose confusions the page shows: every column of the first variant at its smallest share of images.

    Text columns come first, where few images leave the most to the text.
    """
    block = split_blocks(rows)[0]
    shares = {row.image_percent for row in block.rows if row.image_percent > 0} or {0.0}
    least = min(shares)
    chosen = [row for row in block.rows if row.image_percent == least]
    order = {series: place for place, series in enumerate(block.series)}
    return sorted(chosen, key=lambda row: (row.image_only, order[row.series]))


def choose_texts(texts: Iterable[tuple[str, str]], count: int) -> tuple[str, ...]:
    """Some of a class's texts (field, text), one of each field in turn, in their order; long ones are cut."""
    by_field: dict[str, list[str]] = {}
    for name, text in texts:
        if text not in by_field.setdefault(name, []):
            by_field[name].append(text)
    several = len(by_field) > 1
    turns = itertools.chain.from_iterable(itertools.zip_longest(*by_field.values()))
    names = itertools.chain.from_iterable(
        [list(by_field)] * max(map(len, by_field.values()), default=0)
    )  # zip_longest gives a text, or none, of each field in turn
    told = [f"{name}: {text}" if several and name else text for name, text in zip(names, turns, strict=True) if text]
    return tuple(shorten(text) for text in told[:count])


def shorten(text: str, longest: int = LONGEST_TEXT) -> str:
    """The text, cut at a word where it is long."""
    return text if len(text) <= longest else text[: text.rfind(" ", 0, longest)] + " …"


# ---------------------------------------------------------------- costs and facts


@dataclass(frozen=True)
class Cost:
    """What an LLM's texts have cost: replies and tokens of its ledger, and what asking for all of them would cost."""

    source: str
    model: str
    replies: int
    rejected: int
    synthetic: int
    tokens_in: int
    tokens_out: int
    dollars: float | None
    anew: float | None
    notes: tuple[str, ...] = ()


def cost_table(costs: Sequence[Cost]) -> PageTable:
    """Their table."""
    heads = ("model", "replies", "of them not used", "tokens in", "tokens out", "paid, USD", "asked anew, USD")

    def count(value: int) -> Entry:
        return Entry(f"{value:,}", value)

    def money(value: float | None) -> Entry:
        return EMPTY if value is None else Entry(f"{value:,.4f}", value)

    rows = tuple(
        (
            Entry(cost.source),
            (
                Entry(cost.model),
                count(cost.replies),
                count(cost.rejected),
                count(cost.tokens_in),
                count(cost.tokens_out),
                money(cost.dollars),
                money(cost.anew),
            ),
        )
        for cost in costs
    )
    remarks = tuple(f"{cost.source}: {note}." for cost in costs for note in cost.notes)
    return PageTable("Cost of the LLM texts", "text source", tuple(map(Head, heads)), rows, remarks)


def without_secrets(value: object) -> object:
    """A configuration as it may be shown: an address loses the user and password that may stand in it."""
    if isinstance(value, Mapping):
        return {key: without_secrets(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    if isinstance(value, str) and "://" in value:
        parts = urlsplit(value)
        if "@" in parts.netloc:
            return urlunsplit(parts._replace(netloc="…@" + parts.netloc.rpartition("@")[2]))
    return value


@dataclass(frozen=True)
class Provenance:
    """Where the page's figures come from."""

    facts: tuple[tuple[str, str], ...]
    versions: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, str], ...]
    configuration: str


@dataclass(frozen=True)
class Page:
    """The whole page; what was not made is empty."""

    title: str
    language: str
    notes: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    comparison: tuple[PageTable, ...]
    legend: str
    provenance: Provenance
    charts: Mapping[str, str] = field(default_factory=dict)
    recipes: PageTable | None = None
    conversion: PageTable | None = None
    worth: tuple[PageTable, ...] = ()
    confusions: tuple[Confusions, ...] = ()
    has_photographs: bool = False
    class_note: str = ""
    costs: PageTable | None = None
    further: tuple[PageTable, ...] = ()
    terms: tuple[tuple[str, str], ...] = ()
