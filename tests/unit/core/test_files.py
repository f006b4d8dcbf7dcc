"""Small files: nothing half-written, equal values in equal bytes, bad input named."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.core import files
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import (
    atomic_path,
    flush_to_disk,
    read_columns,
    read_csv,
    read_json,
    sha256_of,
    write_csv,
    write_json,
    write_text,
)


def test_a_file_takes_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    with pytest.raises(RuntimeError, match="stop"), atomic_path(path) as beside:
        beside.write_text("half")
        assert not path.exists()
        raise RuntimeError("stop")
    assert list(path.parent.iterdir()) == []
    with atomic_path(path) as beside:
        beside.write_text("whole")
    assert path.read_text() == "whole" and list(path.parent.iterdir()) == [path]


def test_what_was_there_survives_a_failure(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    write_text(path, "before")
    with pytest.raises(KeyError):
        write_csv(path, ("a",), (missing_key(row) for row in ({"b": 1},)))
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]


def missing_key(row: dict[str, int]) -> dict[str, int]:
    return {"a": row["a"]}


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    for names in (("a", "b"), ("c",)):
        with atomic_path(folder) as beside:
            beside.mkdir()
            for name in names:
                (beside / name).touch()
    assert [path.name for path in folder.iterdir()] == ["c"]
    with pytest.raises(RuntimeError), atomic_path(folder) as beside:
        (beside / "d").mkdir(parents=True)
        raise RuntimeError
    assert [path.name for path in folder.iterdir()] == ["c"] and list(tmp_path.iterdir()) == [folder]


def test_what_takes_its_name_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []

    def flush(path: Path) -> None:
        assert not (tmp_path / "file").exists() and not (tmp_path / "folder").exists()
        flush_to_disk(path)
        flushed.append(path.name)

    monkeypatch.setattr(files, "flush_to_disk", flush)
    with atomic_path(tmp_path / "folder") as beside:
        beside.mkdir()
        (beside / "a").write_text("a")
    shutil.rmtree(tmp_path / "folder")
    write_text(tmp_path / "file", "b")
    assert [name.split(".")[1] for name in flushed] == ["folder", "file"]
    # The system's word on a disk that fails is heard, for a folder too.
    monkeypatch.setattr(files.ctypes, "CDLL", lambda *_, **__: SimpleNamespace(syncfs=lambda _: -1))
    monkeypatch.setattr(files.ctypes, "get_errno", lambda: errno.EIO)
    with pytest.raises(OSError, match="Input/output error"):
        flush_to_disk(tmp_path)


@pytest.mark.parametrize("read", [read_csv, lambda *args: list(read_columns(*args))])
def test_a_table_that_was_cut_short_is_named(tmp_path: Path, read: Callable[[Path, Sequence[str]], object]) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b,c\n1,2,3\n4,5\n")
    assert read(path, ("a", "b"))  # what is not asked for may be missing
    with pytest.raises(FieldguideError, match=r"a\.csv: row 3, the header counted, has fewer fields"):
        read(path, ("a", "c"))


def test_json_does_not_depend_on_the_order_of_keys(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": [1, 2.5], "a": "é"})
    write_json(tmp_path / "b.json", {"a": "é", "b": [1, 2.5]})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert "é" in (tmp_path / "a.json").read_text(encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"a": "é", "b": [1, 2.5]}


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe"])
def test_what_is_not_json_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(FieldguideError, match=r"a\.json: not valid JSON .*; delete it to have it made again"):
        read_json(tmp_path / "a.json")


# No lone carriage return, which Python's csv does not quote: the stages that write texts leave none in them.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"))


@given(st.lists(st.fixed_dictionaries({"x": texts, "y": texts}), max_size=5))
def test_any_text_survives_a_csv(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]]) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    write_csv(path, ("x", "y"), rows)
    assert read_csv(path, ("y", "x")) == rows


def test_a_csv_has_unix_line_ends_and_its_columns(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", ("b", "a"), [{"a": 1, "b": "x, y"}])
    assert (tmp_path / "a.csv").read_bytes() == b'b,a\n"x, y",1\n'


def test_missing_columns_are_named(tmp_path: Path) -> None:
    write_text(tmp_path / "a.csv", "x,y\n1,2\n")
    with pytest.raises(FieldguideError, match=r"a\.csv: lacks the column\(s\) z, w"):
        read_csv(tmp_path / "a.csv", ("x", "z", "w"))
    write_text(tmp_path / "a.csv", "")
    with pytest.raises(FieldguideError, match=r"a\.csv: lacks the column\(s\) x"):
        read_csv(tmp_path / "a.csv", ("x",))


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()
