"""Files that people bring along: CSV, TSV, JSON and JSON lines, read strictly, with the line of what is wrong."""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fieldguide.core.errors import FieldguideError, name_some, refuse_if_any, repeated

DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Row(NamedTuple):
    """A row's values by column, without spaces around them, and the line that it ends on."""

    line: int
    values: dict[str, str]


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, or of a UTF-16 one that says so by its first bytes; a byte order mark is left out.

    Raises FieldguideError naming the line of the first byte that is no UTF-8.
    """
    data = path.read_bytes()
    try:
        return data.decode("utf-16" if data.startswith(_UTF16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FieldguideError(
            f"{path}, line {line}: is not UTF-8 (byte {data[error.start]:#04x}); save it as UTF-8, for instance by: "
            "iconv --from-code windows-1252 --to-code utf-8"
        ) from error


def read_rows(path: Path, columns: Sequence[str]) -> list[Row]:
    """The rows of a CSV or TSV (by its ending); rows of another length than the header's are refused by line.

    Raises FieldguideError naming the columns that it lacks.
    """
    delimiter = DELIMITERS.get(path.suffix.lower(), ",")
    reader = csv.reader(io.StringIO(read_text(path), newline=""), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [column for column in columns if column not in header]
        if missing:
            has = name_some([name for name in header if name]) or "none"
            raise FieldguideError(f"{path}: lacks the column(s) {', '.join(missing)} (it has {has})")
        refuse_if_any(repeated(header), f"{path}: columns named twice", "rename one of each")
        wrong: list[str] = []
        for values in reader:
            if not any(value.strip() for value in values):
                continue
            if len(values) != len(header):
                wrong.append(f"line {reader.line_num}: {len(values)} values for {len(header)} columns")
            rows.append(Row(reader.line_num, dict(zip(header, (value.strip() for value in values), strict=False))))
    except csv.Error as error:
        raise FieldguideError(f"{path}, line {reader.line_num}: {error}; correct the quotes there") from error
    refuse_if_any(wrong, f"{path}: lines of another length than the header", "quote values that hold a separator")
    return rows


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
