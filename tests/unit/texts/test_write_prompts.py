"""Texts made of class names."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldguide.core.files import read_csv, write_csv
from fieldguide.data.records import CLASS_COLUMNS
from fieldguide.texts.table import TEXT_COLUMNS
from fieldguide.texts.write_prompts import main
from tests.tiny_data import refusal

CLASSES = [("1", "Laysan Albatross", "001.Laysan_Albatross"), ("2", "Indigo_Bunting", "002.Indigo_Bunting")]
TEXTS = [("2", "Indigo_Bunting", "", "Beak", "The beak is short."), ("1", "Laysan Albatross", "7", "caption", "white")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_csv(tmp_path / "classes.csv", CLASS_COLUMNS, (dict(zip(CLASS_COLUMNS, row, strict=True)) for row in CLASSES))
    write_csv(tmp_path / "texts.csv", TEXT_COLUMNS, (dict(zip(TEXT_COLUMNS, row, strict=True)) for row in TEXTS))
    return tmp_path


def written(folder: Path, *more: str) -> list[tuple[str, ...]]:
    main(["--classes", str(folder / "classes.csv"), *more, "--out", str(folder / "out.csv")])
    return [tuple(row.values()) for row in read_csv(folder / "out.csv", TEXT_COLUMNS)]


def test_names_alone_are_one_photograph_each(folder: Path) -> None:
    assert written(folder) == [
        ("1", "Laysan Albatross", "", "name", "a photo of a Laysan Albatross."),
        ("2", "Indigo_Bunting", "", "name", "a photo of an Indigo Bunting."),
    ]


def test_a_name_comes_before_each_text_of_a_source(folder: Path) -> None:
    assert written(folder, "--texts", str(folder / "texts.csv")) == [
        ("2", "Indigo_Bunting", "", "Beak", "a photo of an Indigo Bunting, the beak is short."),
        ("1", "Laysan Albatross", "7", "caption", "a photo of a Laysan Albatross, white"),
    ]


def test_texts_of_other_classes_are_refused(folder: Path) -> None:
    lines = (folder / "classes.csv").read_text().splitlines()
    (folder / "classes.csv").write_text("\n".join(lines[:2]) + "\n")
    words = ["--classes", folder / "classes.csv", "--texts", folder / "texts.csv", "--out", folder / "out.csv"]
    assert "texts.csv: class_id 2 is not in" in refusal(main, *map(str, words))
    assert not (folder / "out.csv").exists()
