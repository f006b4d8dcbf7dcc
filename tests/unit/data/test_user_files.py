"""Files that people bring along: every encoding, line end and separator is read alike, or refused in a sentence."""

from __future__ import annotations

import codecs
import csv
import io
import json
import logging
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fieldguide.core.errors import FieldguideError
from fieldguide.data.user_files import SEPARATORS, read_json_lines, read_json_strictly, read_lines, read_rows, read_text

MARKS = {
    "utf-8": b"",
    "utf-8-sig": b"",
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}
LINE_ENDS = ("\n", "\r\n", "\r")

same_folder = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
encodings = st.sampled_from(sorted(MARKS))
line_ends = st.sampled_from(LINE_ENDS)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n\ufeff"), max_size=12)
cells = texts.map(str.strip)


def write(path: Path, text: str, encoding: str = "utf-8", line_end: str = "\n") -> Path:
    path.write_bytes(MARKS[encoding] + text.replace("\n", line_end).encode(encoding))
    return path


def refused(path: Path, content: bytes, columns: tuple[str, ...] = ("class",)) -> str:
    path.write_bytes(content)
    with pytest.raises(FieldguideError) as caught:
        read_rows(path, columns)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(path))


# ---------------------------------------------------------------- text


@same_folder
@given(st.lists(texts, max_size=5), encodings, line_ends)
def test_no_encoding_and_no_line_end_changes_a_text(
    tmp_path: Path, lines: list[str], encoding: str, line_end: str
) -> None:
    text = "\n".join(lines)
    assert read_text(write(tmp_path / "a.txt", text, encoding, line_end)) == text


@same_folder
@given(st.binary(max_size=40))
def test_any_bytes_are_a_text_or_a_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    try:
        assert "\0" not in read_text(path)
    except FieldguideError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)


@pytest.mark.parametrize("line_end", LINE_ENDS)
def test_the_line_that_is_not_utf8_is_named(tmp_path: Path, line_end: str) -> None:
    content = line_end.join(["a", "b", "m\xf6glich", "c"]).encode("cp1252")
    assert "line 3: is not UTF-8 (byte 0xf6); save it as UTF-8" in refused(tmp_path / "a.csv", content)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("class,text".encode("utf-16-le"), "holds zero bytes, as UTF-16 without its mark"),
        (codecs.BOM_UTF16_LE + b"c\0l", "begins as UTF-16 and is none"),
        (codecs.BOM_UTF32_LE + b"c\0", "begins as UTF-32 and is none"),
        (b"PK\x03\x04rest", "is a zip or an Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an Excel workbook"),
        (b"\x1f\x8b\x08", "is compressed; unpack it"),
    ],
)
def test_what_is_no_text_is_named_for_what_it_is(tmp_path: Path, content: bytes, told: str) -> None:
    assert told in refused(tmp_path / "a.csv", content)


def test_only_line_ends_end_lines(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", " 1 A\u0085B \n\n2 C\u2028D\x0cE\r")
    assert read_lines(path) == [(1, "1 A\u0085B"), (3, "2 C\u2028D\x0cE")]


# ---------------------------------------------------------------- tables


def table(rows: list[list[str]], separator: str) -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=separator, lineterminator="\n").writerows(rows)
    return stream.getvalue()


@same_folder
@given(
    st.lists(st.tuples(cells.filter(bool), cells), min_size=1, max_size=4),
    st.sampled_from(sorted(SEPARATORS)),
    st.sampled_from([".csv", ".tsv", ".tab", ".txt"]),
    encodings,
    line_ends,
    st.integers(0, 3),
    st.booleans(),
)
def test_every_separator_encoding_and_line_end_gives_the_same_rows(
    tmp_path: Path,
    rows: list[tuple[str, str]],
    separator: str,
    ending: str,
    encoding: str,
    line_end: str,
    nameless: int,
    says: bool,
) -> None:
    """Also with columns at the end that have neither name nor value, and with Excel's line that says the separator."""
    text = table([[*row, *[""] * nameless] for row in [("class", "text"), *rows]], separator)
    path = write(tmp_path / f"a{ending}", (f"sep={separator}\n" if says else "") + text, encoding, line_end)
    assert [tuple(row.values.items()) for row in read_rows(path, ("class", "text"))] == [
        (("class", owner), ("text", text)) for owner, text in rows
    ]
    assert read_rows(path, ("class",))[-1].line == len(rows) + 1 + says


@pytest.mark.parametrize(
    ("name", "separator", "told"),
    [
        ("a.csv", ",", ""),
        ("a.csv", ";", "semicolons"),
        ("a.csv", "\t", "tabs"),
        ("a.csv", "|", "bars"),
        ("a.tsv", "\t", ""),
        ("a.tsv", ",", "commas"),
    ],
)
def test_a_separator_that_was_found_is_told(
    tmp_path: Path, name: str, separator: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "fieldguide")
    path = write(tmp_path / name, table([["class", "text"], ["A", "x, y; z"]], separator))
    assert read_rows(path, ("class",))[0].values == {"class": "A", "text": "x, y; z"}
    assert caplog.messages == ([f"{path}: values are separated by {told}"] if told else [])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"Class;Text\nA;x\n", "lacks the column(s) class (it has Class, Text, separated by semicolons)"),
        (b"", "lacks the column(s) class (it has none)"),
        # Excel gives the header as many columns as a text that was cut at its commas has.
        (b"class,text,\nA,red, and round\n", "lines of another length than the header (1): line 2: 3 values for 2 col"),
        (b"sep=;\nclass;text\nA;x;y\n", "(1): line 3: 3 values for 2 columns"),
        (b"class,class\nA,B\n", "columns named twice (1): class"),
        (b'class,text\n"A,x\n', "line 2: unexpected end of data; correct the quotes there"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    assert told in refused(tmp_path / "a.csv", content)


def test_columns_without_a_name_before_others_are_passed_over(tmp_path: Path) -> None:
    """As pandas writes the index of a frame."""
    path = write(tmp_path / "a.csv", ",class,,text\n0,A,,x\n1,B,,y\n")
    assert [(row.values["class"], row.values["text"]) for row in read_rows(path, ("class",))] == [
        ("A", "x"),
        ("B", "y"),
    ]


# ---------------------------------------------------------------- JSON


def test_json_of_another_system_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", '{"é":\n"x"}', "utf-16-be", "\r\n")
    assert read_json_strictly(path) == {"é": "x"}
    lines = write(tmp_path / "a.jsonl", '{"a": 1}\n\n{"a": 2}', "utf-8-sig", "\r")
    assert list(read_json_lines(lines)) == [(1, {"a": 1}), (3, {"a": 2})]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[" * 100_000 + "]" * 100_000, "lists and objects are nested too deeply"),
        ('{"a": {"b": ' * 50_000, "lists and objects are nested too deeply"),
        ('{"A": 1' + "0" * 5000 + "}", "holds a number of too many digits; put it in quotes if it is a name"),
        ('{"A": "x",}', "is not JSON ("),
        ("", "is not JSON ("),
    ],
)
def test_json_that_cannot_be_read_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = write(tmp_path / "a.json", text)
    with pytest.raises(FieldguideError, match=r"^[^\n]*$") as caught:
        read_json_strictly(path)
    assert str(caught.value).startswith(str(path)) and told in str(caught.value)


@same_folder
@given(st.recursive(st.none() | st.booleans() | st.integers() | texts, st.lists), encodings)
def test_what_json_writes_is_read(tmp_path: Path, value: object, encoding: str) -> None:
    assert read_json_strictly(write(tmp_path / "a.json", json.dumps(value, ensure_ascii=False), encoding)) == value
