"""The table of a text source: one row for each text, as it came (`texts/raw/`), and as it is used (`texts/`)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from fieldguide.core.files import read_columns, write_csv


class TextRow(NamedTuple):
    """A text of a class, or of a training image of it."""

    class_id: str
    class_name: str
    image_id: str  # empty for a text of a class
    field: str  # what the text is about, such as "Beak"
    text: str


TEXT_COLUMNS = TextRow._fields

UNNAMED_FIELD = "text"
"""The field of a text that the user brings along, where its file names none."""


def write_texts(path: Path | str, rows: Iterable[TextRow]) -> None:
    """Write a table of texts, in the order of the rows."""
    write_csv(path, TEXT_COLUMNS, (row._asdict() for row in rows))


def read_texts(path: Path | str) -> list[TextRow]:
    """Read a table of texts; raises FieldguideError naming the columns that it lacks, or the row that is cut short."""
    return [TextRow(*values) for values in read_columns(path, TEXT_COLUMNS)]


def has_words(text: str) -> bool:
    """Whether a text says anything."""
    return any(character.isalnum() for character in text)
