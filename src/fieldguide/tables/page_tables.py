"""Tables whose cells can be ordered and say more when pointed at; on paper they are grids. Pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fieldguide.tables.grid import MISSING, Grid, format_accuracy, format_ratio
from fieldguide.tables.image_worth import AT_LEAST, AT_MOST, BETWEEN, choose_interval

if TYPE_CHECKING:
    import pandas as pd

MINUS = "\N{MINUS SIGN}"
CI = "_ci95"
WIDE = 9
"""Columns from which on a table is set small."""


class Entry(NamedTuple):
    """One cell: its text, what orders it (none of an empty one or a word), what it says when pointed at, its mark."""

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


def ratio_entry(image_percent: float) -> Entry:
    """A row's head: the ratio, ordered by the share of images."""
    return Entry(format_ratio(image_percent), image_percent)


def pivot_entries(
    entries: pd.DataFrame, rows: str | list[str], columns: str | list[str], descending: str = "rows"
) -> pd.DataFrame:
    """Each `entry` in its row and column, in order of appearance but for the ratios; `EMPTY` where there is none."""
    table = entries.pivot(index=rows, columns=columns, values="entry")
    if descending == "rows":
        table = table.sort_index(ascending=False)[entries.set_index(columns).index.unique()]
    else:
        table = table.sort_index(axis=1, ascending=False).loc[entries.set_index(rows).index.unique()]
    return table.map(lambda entry: entry if isinstance(entry, Entry) else EMPTY)


def recipe_tables(rows: pd.DataFrame, labels: Mapping[str, str]) -> list[PageTable]:
    """Recipes and baselines from recipes.csv: a table per text source, a line per share of images, a column each."""
    entries = rows.assign(entry=accuracy_entries(rows))
    tables = []
    for source, members in entries.groupby("text_source", sort=False):
        table = pivot_entries(members, "image_percent", "recipe")
        cells = tuple((ratio_entry(percent), tuple(line)) for percent, *line in table.itertuples(name=None))
        title = labels.get(str(source), str(source))
        tables.append(PageTable(title, "images:text", tuple(map(Head, table.columns)), cells))
    return tables


def accuracy_entries(rows: pd.DataFrame) -> list[Entry]:
    """`81.88 ± 0.42` of each row, ordered by the mean."""
    return [
        Entry(format_accuracy(mean, None if math.isnan(width) else width), mean)
        for mean, width in zip(rows["accuracy_mean"], rows["accuracy_ci95"], strict=True)
    ]


def worth_tables(
    rows: pd.DataFrame,
    labels: Mapping[str, str],
    words: Mapping[str, str],
    sentences: Mapping[tuple[str, ...], tuple[str, ...]] | None = None,
) -> list[PageTable]:
    """The worth of text in labelled images per class, from image_worth.csv: a table per variant, and words."""
    variant = ["sampling", "redraw", "budget", "translator", "texts"]
    column = ["recipe", "text_source", "image_only_recipe"]
    rows = rows.assign(interval=choose_interval(rows))
    entries = rows.assign(entry=[worth_entry(*row) for row in rows[WORTH_COLUMNS].itertuples(index=False, name=None)])
    several = rows[variant].nunique() > 1
    tables = []
    for key, members in entries.groupby(variant, sort=False):
        table = pivot_entries(members, "image_percent", column)
        heads = tuple(
            Head(words.get(labels.get(source, source), labels.get(source, source)), f"{recipe} against {against}")
            for recipe, source, against in table.columns
        )
        cells = tuple((ratio_entry(percent), tuple(line)) for percent, *line in table.itertuples(name=None))
        named = zip(variant, key, strict=True)
        title = [f"{name} {value}" for name, value in named if name in ("sampling", "redraw") or several[name]]
        remarks = (sentences or {}).get(key, ())
        tables.append(PageTable(", ".join(title), words.get("images:text", "images:text"), heads, cells, remarks))
    return tables


WORTH_COLUMNS = ["images_per_class_saved", "interval", "relation", "images_saved", "accuracy_mean"]
WORTH_COLUMNS += ["percent_of_images_saved", "n_seeds", "seeds_outside_curve"]


def worth_entry(
    images: float, width: float, relation: str, in_all: float, accuracy: float, percent: float, seeds: int, outside: int
) -> Entry:
    """A worth as `+1.2 ± 0.4`, or as a bound, of one row's `WORTH_COLUMNS`."""
    tip = f"accuracy {accuracy:.2f}%\n{in_all:+,.0f} images in all, {percent:.2f}% of the training images\n"
    tip += f"seeds {seeds}, outside the curve {outside}"
    if relation == BETWEEN:
        return Entry("outside", None, tip)
    sign = {AT_LEAST: "≥ ", AT_MOST: "≤ "}.get(relation, "")
    interval = "" if math.isnan(width) else f" ± {width:.1f}"
    return Entry(f"{sign}{images:+.1f}".replace("-", MINUS) + interval, images, tip)


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
        shown = f"{value:.{places[column]}f}"
        return Entry(shown if width is None else f"{shown} ± {width:.{places[column]}f}", value)

    def head(column: str) -> Head:
        same = len(rows) > 1 and len({row[column] for row in rows}) == 1
        return Head(column.replace("_", " "), "", tips.get(column, ""), not same)

    first, *others = columns
    table = tuple((entry(row, first), tuple(entry(row, column) for column in others)) for row in rows)
    return PageTable(title, first.replace("_", " "), tuple(map(head, others)), table, (), len(rows) > 30)
