"""Reed's captions: which are taken, how they are put right, and what is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.core.files import read_csv
from fieldguide.data import index_images
from fieldguide.texts.index_captions import clean_caption, main, parse_captions
from fieldguide.texts.table import TEXT_COLUMNS
from tests.tiny_data import refusal, said, write_cub, write_lines, write_reed


@pytest.fixture
def reed(tmp_path: Path) -> Path:
    """`text_c10`, with the tables of images and classes beside it."""
    cub = write_cub(tmp_path)
    written = ["--images-out", str(tmp_path / "images.csv"), "--classes-out", str(tmp_path / "classes.csv")]
    index_images.main(["--root", str(cub), *written])
    return write_reed(tmp_path)


def argv(root: Path, **class_names: str) -> list[str]:
    beside = root.parent
    tables = ["--images", str(beside / "images.csv"), "--classes", str(beside / "classes.csv")]
    settings = json.dumps({"class_names": class_names})
    return ["--root", str(root), *tables, "--out", str(beside / "reed.csv"), "--settings", settings]


def rows(root: Path) -> list[dict[str, str]]:
    return read_csv(root.parent / "reed.csv", TEXT_COLUMNS)


def first(root: Path) -> Path:
    return root / "001.Black_footed_Albatross" / "Black_footed_Albatross_0001_1001.txt"


def refused(root: Path) -> str:
    sentence = refusal(main, *argv(root))
    assert not (root.parent / "reed.csv").exists()
    return sentence


def test_only_training_images_captions_are_taken(reed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = said(main, capsys, *argv(reed))
    found = rows(reed)
    assert "60 captions of 6 training images" in log
    assert [row["image_id"] for row in found[::10]] == ["1", "2", "4", "5", "7", "8"]
    assert found[0] == {
        "class_id": "1",
        "class_name": "Black footed Albatross",
        "image_id": "1",
        "field": "caption",
        "text": "caption 0 of a bird called black_footed_albatross_0001_1001.",
    }
    assert not any("_0003_" in row["text"] for row in found)


def test_test_images_need_no_captions(reed: Path) -> None:
    for path in reed.glob("*/*_0003_*"):
        path.unlink()
    main(argv(reed))
    assert len(rows(reed)) == 60


def test_a_folder_may_be_spelled_otherwise(reed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (reed / "002.Laysan_Albatross").rename(reed / "002.Laysans_Albatross")
    (reed / "003.Sooty_Albatross").rename(reed / "003.Light_mantled_Albatross")
    log = said(main, capsys, *argv(reed))
    assert (
        "2 class folders are spelled differently from the images': 002.Laysans_Albatross (002.Laysan_Albatross), "
        "003.Light_mantled_Albatross (003.Sooty_Albatross)"
    ) in log
    assert len(rows(reed)) == 60


def test_captions_in_the_folder_of_another_class_are_refused_by_name(reed: Path) -> None:
    moved = reed / "003.Sooty_Albatross" / first(reed).name
    first(reed).rename(moved)
    assert refused(reed) == (
        f"index_captions: error: {reed}: captions in the folder of another class than their image's (1): "
        f"003.Sooty_Albatross/{moved.name} (the image is of 001.Black_footed_Albatross) - move them, or write "
        "`their folder: our class` under `class_names` of the text source"
    )


@pytest.mark.parametrize("ours", ["Sooty Albatross", "003.Sooty_Albatross", "3"])
def test_a_folder_of_another_name_needs_the_table(reed: Path, ours: str, capsys: pytest.CaptureFixture[str]) -> None:
    (reed / "003.Sooty_Albatross").rename(reed / "Phoebetria fusca")
    assert "captions in the folder of another class" in refused(reed)
    assert "Phoebetria fusca (003.Sooty_Albatross)" in said(main, capsys, *argv(reed, **{"Phoebetria fusca": ours}))
    assert "captions in the folder" in refusal(main, *argv(reed, **{"Phoebetria fusca": "Laysan Albatross"}))


def test_stray_lines_are_dropped_and_counted(reed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first(reed).write_bytes(b"\xef\xbb\xbfa  bird\r\n\r\n  \t\r\n.\r\n a caf\xc3\xa9\xc2\xa0bird \x00\r\n")
    log = said(main, capsys, *argv(reed))
    assert [row["text"] for row in rows(reed) if row["image_id"] == "1"] == ["a bird", "a café bird"]
    assert "dropped 3 lines without a word, corrected 2" in log
    assert "1 images have 2, 5 images have 10" in log


def test_files_that_are_no_captions_are_passed_over(reed: Path) -> None:
    (first(reed).parent / f"._{first(reed).name}").write_bytes(b"\0\0litter")
    first(reed).with_suffix(".h5").write_bytes(b"litter")
    (reed / "001.Black_footed_Albatross.t7").write_bytes(b"litter")
    main(argv(reed))
    assert len(rows(reed)) == 60


def test_images_without_a_file_are_in_one_report(reed: Path) -> None:
    first(reed).unlink()
    (reed / "003.Sooty_Albatross" / "Sooty_Albatross_0002_1002.txt").unlink()
    sentence = refused(reed)
    assert "training images without a caption file (2)" in sentence
    assert "001.Black_footed_Albatross/Black_footed_Albatross_0001_1001.jpg" in sentence
    assert "Sooty_Albatross_0002_1002" in sentence


def test_files_without_captions_are_in_one_report(reed: Path) -> None:
    first(reed).write_bytes(b"")
    write_lines(reed / "003.Sooty_Albatross" / "Sooty_Albatross_0002_1002.txt", ["", " ", "--"])
    sentence = refused(reed)
    assert "without any caption (2)" in sentence
    assert str(first(reed)) in sentence and "Sooty_Albatross_0002_1002" in sentence


def test_two_files_of_one_name_are_refused(reed: Path) -> None:
    write_lines(reed / "009.Elsewhere" / first(reed).name, ["a bird"])
    sentence = refused(reed)
    assert "two caption files (1)" in sentence
    assert str(first(reed)) in sentence and "009.Elsewhere" in sentence


def test_another_folder_is_refused(reed: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    argv_elsewhere = ["--root", str(tmp_path / "empty"), *argv(reed)[2:]]
    assert f"{tmp_path / 'empty'}: has no <class>/<image>.txt" in refusal(main, *argv_elsewhere)


@pytest.mark.parametrize(
    ("line", "caption"),
    [
        ("  a  bird \t", "a bird"),
        ("a\u00a0bird", "a bird"),
        # As published: every byte of a non-breaking space or an apostrophe replaced.
        ("this\ufffd\ufffdbird\ufffd\ufffdhas", "this bird has"),
        ("it\ufffd\ufffd\ufffds belly", "it's belly"),
        ("a bird \ufffd\ufffd\ufffd white", "a bird white"),
        ("a \u200bbird\x07", "a bird"),
        ("black & white", "black & white"),
        ("caf\u0065\u0301", "caf\u00e9"),
        ("...", ""),
        ("7", ""),
    ],
)
def test_clean_caption(line: str, caption: str) -> None:
    assert clean_caption(line) == caption


@given(st.text())
def test_cleaning_twice_changes_nothing(line: str) -> None:
    once = clean_caption(line)
    assert clean_caption(once) == once
    assert once == once.strip() and "\n" not in once


def test_parse_captions_in_windows_1252() -> None:
    assert parse_captions(b"the bird\x92s caf\xe9\n").texts == ["the bird\u2019s caf\u00e9"]


@given(st.binary())
def test_parse_captions_reads_anything(data: bytes) -> None:
    found = parse_captions(data)
    assert all(found.texts) and found.dropped >= 0 and found.cleaned <= len(found.texts)
