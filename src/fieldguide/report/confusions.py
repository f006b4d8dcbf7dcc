"""The most confused classes of the report: which cells, which pairs, and their photographs and texts."""

from __future__ import annotations

import base64
import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv
from fieldguide.core.stage import log
from fieldguide.tables.grid import format_ratio
from fieldguide.tables.results import CELL
from fieldguide.tables.rows import CellRow, column_labels, split_blocks

if TYPE_CHECKING:
    import pandas as pd

    from fieldguide.data.image_store import ImageStore

THUMBNAIL = 144
"""Pixels of a thumbnail's longer side: twice what it is shown at, for dense screens."""
QUALITY = 80
TEXTS_SHOWN = 3
LONGEST_TEXT = 240


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


class Photographs:
    """Thumbnails of images by id, as data URIs; empty where there are no photographs or one does not open."""

    def __init__(self, store: ImageStore | None, paths: Mapping[str, str]) -> None:
        self.store = store
        self.paths = paths
        self.failed = 0

    def thumbnail(self, image_id: str) -> str:
        if self.store is None or image_id not in self.paths:
            return ""
        try:
            image = self.store.open(self.paths[image_id])
        except FieldguideError:
            self.failed += 1
            return ""
        image.thumbnail((THUMBNAIL, THUMBNAIL))
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=QUALITY, optimize=True)
        return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def read_class_texts(path: Path) -> dict[str, list[tuple[str, str]]]:
    """A source's texts (field, text) by class."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in read_csv(path, ("class_id", "field", "text")):
        found.setdefault(row["class_id"], []).append((row["field"], row["text"]))
    return found


def find_confusions(
    rows: Sequence[CellRow],
    confusions: pd.DataFrame,
    records: Path,
    photographs: Photographs,
    sources: Iterable[tuple[str, Path]],
    pairs: int,
) -> tuple[Confusions, ...]:
    """The most confused pairs of the chosen cells with photographs and texts.

    confusions: of confusions.csv. sources: the names of text sources with their tables.
    """
    first: dict[str, str] = {}
    for row in read_csv(records, ("image_id", "class_id", "split")):
        if row["split"] == "train":
            first.setdefault(row["class_id"], row["image_id"])
    texts = {name: read_class_texts(path) for name, path in sources}
    labels = column_labels(row.column for row in rows)
    found = []
    for chosen in choose_cells(rows):
        is_own = (confusions[list(CELL)] == [getattr(chosen, column) for column in CELL]).all(axis=1)
        source = texts.get(chosen.text_source, {})

        def side(class_id: str, name: str, source: Mapping[str, list[tuple[str, str]]] = source) -> Side:
            shown = choose_texts(source.get(class_id, []), TEXTS_SHOWN)
            return Side(name, photographs.thumbnail(first.get(class_id, "")), shown)

        own = tuple(
            Pair(
                side(row.class_id, row.class_name),
                side(row.taken_for_id, row.taken_for_name),
                row.percent,
                row.percent_back,
                photographs.thumbnail(row.image_id),
            )
            for row in confusions[is_own].head(pairs).itertuples()
        )
        title = f"{labels[chosen.column]}, {chosen.recipe}, {format_ratio(chosen.image_percent)}"
        if own:
            found.append(Confusions(title, bool(source), own))
    if photographs.failed:
        log.info("%d photographs do not open and are left out", photographs.failed)
    return tuple(found)


def choose_cells(rows: Sequence[CellRow]) -> list[CellRow]:
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
    chosen = [f"{name}: {text}" if several and name else text for name, text in zip(names, turns, strict=True) if text]
    return tuple(shorten(text) for text in chosen[:count])


def shorten(text: str, longest: int = LONGEST_TEXT) -> str:
    """The text, cut at a word where it is long."""
    return text if len(text) <= longest else text[: text.rfind(" ", 0, longest)] + " …"
