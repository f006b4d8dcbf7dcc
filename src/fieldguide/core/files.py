"""Reading and writing small files: nothing half-written, bad input named."""

from __future__ import annotations

import contextlib
import csv
import ctypes
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fieldguide.core.errors import FieldguideError


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Yield a path beside `path` to write to (a file or a folder); it takes its name only when the block succeeds.

    What was written is on the disk by then, so that a machine that goes down leaves nothing empty under its name. The
    error of a full disk carries the name of `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        if temporary.exists():
            flush_to_disk(temporary)
        if temporary.is_dir() and path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    except OSError as error:
        if error.filename in (str(temporary), temporary) or (error.filename is None and error.errno in NO_SPACE):
            error.filename = str(path)
        raise
    finally:
        with contextlib.suppress(OSError):  # of a folder that has become read-only: the first error says more
            if temporary.is_dir():
                shutil.rmtree(temporary)
            else:
                temporary.unlink(missing_ok=True)


NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a disk that takes no more; writing raises them without the file's name."""


def flush_to_disk(path: Path) -> None:
    """Have the system write a file's content to the disk; for a folder all that waits for the disk that it is on.

    Asked for each of a data set's thousands of files it would take minutes.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None) if path.is_dir() else None  # Linux has it
        if syncfs is None:
            os.fsync(descriptor)
        elif syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(descriptor)


def write_text(path: Path | str, text: str) -> None:
    """Write a UTF-8 text file in one go."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Write JSON with sorted keys, so that equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read JSON; raises FieldguideError naming the file when it is not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FieldguideError(f"{path}: not valid JSON ({error}); delete it to have it made again") from error


def write_csv(path: Path | str, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV with a header and Unix line ends."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path | str, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read a CSV with a header; raises FieldguideError naming the file and the columns it lacks."""
    with Path(path).open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        missing = [c for c in columns if c not in (reader.fieldnames or ())]
        if missing:
            raise FieldguideError(f"{path}: lacks the column(s) {', '.join(missing)}")
        rows = list(reader)
    for number, row in enumerate(rows, 2):
        if any(row[column] is None for column in columns):
            raise format_short_row(path, number)
    return rows


def format_short_row(path: Path | str, number: int) -> FieldguideError:
    """The sentence for a table that was cut short, or edited."""
    return FieldguideError(
        f"{path}: row {number}, the header counted, has fewer fields than the header; correct it, or delete the file if"
        " it is a result, to have it made again"
    )


def read_columns(path: Path | str, columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """These columns of a CSV, row by row: a large table never lies in memory. Raises FieldguideError as `read_csv`."""
    with Path(path).open(encoding="utf-8", newline="") as stream:
        reader = csv.reader(stream)
        head = next(reader, [])
        missing = [c for c in columns if c not in head]
        if missing:
            raise FieldguideError(f"{path}: lacks the column(s) {', '.join(missing)}")
        places = [head.index(c) for c in columns]
        for number, row in enumerate(reader, 2):
            if row and len(row) <= max(places):
                raise format_short_row(path, number)
            if row:
                yield tuple(row[place] for place in places)


def sha256_of(path: Path | str) -> str:
    """SHA-256 of a file, hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_ids(*groups: Sequence[str]) -> str:
    """SHA-256 of lists of ids, in order: the fingerprint of a plan or of a table's rows."""
    return hashlib.sha256("\n\n".join("\n".join(g) for g in groups).encode()).hexdigest()
