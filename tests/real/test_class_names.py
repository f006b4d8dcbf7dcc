"""Class names that really differ: GPT-4's part-wise sentences, and the class folders of Reed's captions.

`workflow/resources/cub_classes.txt` lists CUB's 200 class folders, of which the cut-down archive has ten. The cut-down
archive of captions spells these as CUB does; the whole one spells 17 otherwise, one of the ten among them
(reedscot/icml2016, issue 28).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fieldguide.core.files import read_csv, write_csv
from fieldguide.data import index_images, unpack_archive
from fieldguide.data.records import CLASS_COLUMNS, IMAGE_COLUMNS, class_name
from fieldguide.texts import import_texts, index_captions
from fieldguide.texts.table import TEXT_COLUMNS
from tests.tiny_data import refusal, said

REAL = Path(os.environ.get("FIELDGUIDE_REAL_DATA") or Path(__file__).parents[2].parent / "shared" / "real")
GPT4 = REAL / "cub_gpt4_partwise.json"
CUB, REED = REAL / "CUB_200_2011.tgz", REAL / "reed_text_c10.tgz"
FOLDERS = (Path(__file__).parents[2] / "workflow/resources/cub_classes.txt").read_text(encoding="utf-8").split()
CLASSES = [
    {"class_id": str(number), "class_name": class_name(folder), "folder": folder}
    for number, folder in enumerate(FOLDERS, 1)
]

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not all(path.exists() for path in (GPT4, CUB, REED)),
        reason=f"no real files in {REAL}; name their folder in FIELDGUIDE_REAL_DATA",
    ),
]


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """The tables of a data set with all 200 classes."""
    write_csv(tmp_path / "classes.csv", CLASS_COLUMNS, CLASSES)
    write_csv(tmp_path / "images.csv", IMAGE_COLUMNS, [])
    return tmp_path


def argv(folder: Path, **more: str) -> list[str]:
    tables = ["--images", str(folder / "images.csv"), "--classes", str(folder / "classes.csv")]
    settings = {"kind": "file", "path": str(GPT4), **more}
    return ["--settings", json.dumps(settings), *tables, "--out", str(folder / "gpt-4.csv")]


def test_gpt4s_sentences_of_all_two_hundred_classes(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = said(import_texts.main, capsys, *argv(tables))
    assert "200 classes matched, 200 of them spelled differently" in log
    rows = read_csv(tables / "gpt-4.csv", TEXT_COLUMNS)
    assert [row["class_id"] for row in rows] == [str(number) for number in range(1, 201) for _ in range(7)]
    given = json.loads(GPT4.read_text(encoding="utf-8"))
    by_class: dict[str, list[str]] = {}
    for row in rows:
        by_class.setdefault(row["class_id"], []).append(row["text"])
    # All 200 of its keys are CUB's names in lower case: what the rule gave is what a person gives.
    assert {FOLDERS[int(class_id) - 1][4:].lower(): texts for class_id, texts in by_class.items()} == given
    assert rows[0]["class_name"] == "Black footed Albatross" and rows[0]["text"].startswith(
        "Black footed albatross is a"
    )


def test_the_table_does_not_depend_on_the_order_of_keys(tables: Path) -> None:
    import_texts.main(argv(tables))
    written = (tables / "gpt-4.csv").read_bytes()
    turned = tables / "turned.json"
    turned.write_text(
        json.dumps(dict(reversed(json.loads(GPT4.read_text(encoding="utf-8")).items()))), encoding="utf-8"
    )
    import_texts.main(argv(tables, path=str(turned)))
    assert (tables / "gpt-4.csv").read_bytes() == written


def test_a_data_set_of_ten_classes_leaves_the_others_out_when_told(
    tables: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_csv(tables / "classes.csv", CLASS_COLUMNS, CLASSES[:10])
    told = refusal(import_texts.main, *argv(tables))
    assert "names that are no class of the data set (190)" in told and "yellow_throated_vireo" in told
    assert told.endswith("or leave other classes out by `others: leave-out`")
    log = said(import_texts.main, capsys, *argv(tables, others="leave-out"))
    assert "10 classes matched" in log and "left out the texts of 190 other classes" in log
    assert len(read_csv(tables / "gpt-4.csv", TEXT_COLUMNS)) == 70


def test_reeds_folders_agree_with_the_images_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for archive, folder in ((CUB, "CUB_200_2011"), (REED, "text_c10")):
        unpack_archive.main(["--archive", str(archive), "--folder", folder, "--out", str(tmp_path / folder)])
    tables = ["--images-out", str(tmp_path / "images.csv"), "--classes-out", str(tmp_path / "classes.csv")]
    index_images.main(["--root", str(tmp_path / "CUB_200_2011"), *tables])
    options = [
        "--images",
        tmp_path / "images.csv",
        "--classes",
        tmp_path / "classes.csv",
        "--out",
        tmp_path / "reed.csv",
    ]
    log = said(index_captions.main, capsys, "--root", tmp_path / "text_c10", *options)
    assert "spelled differently" not in log
    before = (tmp_path / "reed.csv").read_bytes()
    (tmp_path / "text_c10" / "009.Brewer_Blackbird").rename(tmp_path / "text_c10" / "009.Brewers_Blackbird")
    log = said(index_captions.main, capsys, "--root", tmp_path / "text_c10", *options)
    spelled = "1 class folders are spelled differently from the images': 009.Brewers_Blackbird (009.Brewer_Blackbird)"
    assert spelled in log
    assert (tmp_path / "reed.csv").read_bytes() == before
