"""Files that people bring along: texts, tables, JSON and JSON lines, read strictly, with the line of what is wrong."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fieldguide.core.errors import FieldguideError, name_some, refuse_if_any, repeated
from fieldguide.core.stage import log

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""What may stand between the values of a table, as a message calls it."""
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
"""What Excel takes, and some programs write, as the first line of a table: the separator."""
# UTF-32 comes first, since its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
    (codecs.BOM_UTF8, "UTF-8-SIG"),
)
_NO_TEXT = (
    (b"PK\x03\x04", "is a zip or an Excel workbook, and no text; save it as `CSV UTF-8`"),
    (b"\xd0\xcf\x11\xe0", "is an Excel workbook, and no text; save it as `CSV UTF-8`"),
    (b"\x1f\x8b", "is compressed; unpack it by gunzip"),
)


class Row(NamedTuple):
    """A row's values by column, without spaces around them, and the line that it ends on."""

    line: int
    values: dict[str, str]


def read_text(path: Path) -> str:
    """The text of a file that somebody brings along: UTF-8, or UTF-16 or UTF-32 that says so by its first bytes.

    The byte order mark is left out, and every line ends in a line feed, whichever system wrote it. Raises
    FieldguideError for all else, naming the line of the first byte that is no UTF-8.
    """
    data = path.read_bytes()
    for magic, what in _NO_TEXT:
        if data.startswith(magic):
            raise FieldguideError(f"{path}: {what}")
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "UTF-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding.startswith(("UTF-16", "UTF-32")):
            raise FieldguideError(
                f"{path}: begins as {encoding} and is none ({error.reason}); save it as UTF-8"
            ) from error
        line = len(re.findall(rb"\r\n?|\n", data[: error.start])) + 1
        raise FieldguideError(
            f"{path}, line {line}: is not UTF-8 (byte {data[error.start]:#04x}); save it as UTF-8, for instance by: "
            "iconv --from-code windows-1252 --to-code utf-8"
        ) from error
    if "\0" in text:
        raise FieldguideError(
            f"{path}: holds zero bytes, as UTF-16 without its mark or a file that is no text; save it as UTF-8"
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a text that say anything, with their numbers and without spaces around them."""
    return [(number, line.strip()) for number, line in enumerate(read_text(path).split("\n"), 1) if line.strip()]


def read_rows(path: Path, columns: Sequence[str]) -> list[Row]:
    """The rows of a table, separated as its ending says (.tsv: tabs) or, where `columns` are found so, otherwise.

    Columns at the end without a name and a value are left out. Raises FieldguideError naming the columns that it
    lacks, and the lines of another length than the header's.
    """
    text = read_text(path)
    said = _SEPARATOR_LINE.fullmatch(text.partition("\n")[0])
    above = 1 if said else 0
    text = text.split("\n", 1)[-1] if said else text
    usual = said[1] if said else DELIMITERS.get(path.suffix.lower(), ",")
    separator = usual if said else _find_separator(text, usual, columns)
    if separator != usual:
        log.info("%s: values are separated by %s", path, SEPARATORS[separator])
    reader = _reader(text, separator)
    rows: list[Row] = []
    wrong: list[str] = []
    try:
        header = _header(next(reader, []))
        missing = [column for column in columns if column not in header]
        if missing:
            has = name_some([name for name in header if name]) or "none"
            by = f", separated by {SEPARATORS[separator]}" if separator != usual else ""
            raise FieldguideError(f"{path}: lacks the column(s) {', '.join(missing)} (it has {has}{by})")
        refuse_if_any(repeated(filter(None, header)), f"{path}: columns named twice", "rename one of each")
        for values in reader:
            values = [value.strip() for value in values]
            if not any(values):
                continue
            if len(values) < len(header) or any(values[len(header) :]):
                wrong.append(f"line {reader.line_num + above}: {len(values)} values for {len(header)} columns")
            rows.append(Row(reader.line_num + above, dict(zip(header, values, strict=False))))
    except csv.Error as error:
        raise FieldguideError(f"{path}, line {reader.line_num + above}: {error}; correct the quotes there") from error
    refuse_if_any(wrong, f"{path}: lines of another length than the header", "quote values that hold a separator")
    return rows


def _reader(text: str, separator: str) -> Any:
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)


def _header(values: Sequence[str]) -> list[str]:
    """The names of the columns; those without a name at the end, of which Excel writes many, are none."""
    names = [name.strip() for name in values]
    while names and not names[-1]:
        names.pop()
    return names


def _find_separator(text: str, usual: str, columns: Sequence[str]) -> str:
    """The separator by which a header has the columns; where none does, the one that finds most columns."""
    headers = {}
    for separator in dict.fromkeys((usual, *SEPARATORS)):
        try:
            headers[separator] = _header(next(_reader(text, separator), []))
        except csv.Error:
            headers[separator] = []
        if set(columns) <= set(headers[separator]):
            return separator
    return max(headers, key=lambda separator: len(headers[separator]))


def forward_slashes(path: str) -> str:
    """A path of a table or of annotations as this system writes it, if Windows wrote it."""
    return path.replace("\\", "/").removeprefix("./")


def read_json_strictly(path: Path) -> Any:
    """Parsed JSON; raises FieldguideError where it is none, or gives a key of one object twice."""
    return _parse(read_text(path), str(path))


def read_json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    """The lines of a JSON lines file with their numbers; empty ones are passed over."""
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            yield number, _parse(line, f"{path}, line {number}")


def _parse(text: str, where: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # Of two equal keys Python would silently keep the last.
        refuse_if_any(repeated(key for key, _ in pairs), f"{where}: keys given twice", "merge or remove one of each")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, " if "\n" in text.strip() else ""
        raise FieldguideError(f"{where}: is not JSON ({error.msg}, {place}column {error.colno}); correct it") from error
    except RecursionError as error:
        raise FieldguideError(
            f"{where}: lists and objects are nested too deeply; give names and their texts"
        ) from error
    except ValueError as error:
        if "digits" not in str(error):
            raise
        raise FieldguideError(
            f"{where}: holds a number of too many digits; put it in quotes if it is a name"
        ) from error
