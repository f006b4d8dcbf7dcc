"""Texts that somebody brings along: every shape gives the same table, and what is amiss is told by name."""

from __future__ import annotations

import json
import random
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.core.files import read_csv, write_csv
from fieldguide.data.records import CLASS_COLUMNS, IMAGE_COLUMNS
from fieldguide.texts.import_texts import clean_text, main
from fieldguide.texts.table import TEXT_COLUMNS
from tests.tiny_data import refusal, said

NAMES = ("Fly agaric", "Death cap", "Chanterelle")
TEXTS = {
    "fly_agaric": {"cap": ["Red, with white warts.", "Scarlet."], "stem": "White, ringed."},
    "Death-Cap": {"cap": ["Olive."], "stem": ["White, with a sack."]},
    "chanterelles": {"cap": ["Egg yellow."], "stem": ["Egg yellow too, “solid”."]},
}


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    """Tables of three classes, with two training images and a test image each."""
    write_tables(tmp_path)
    return tmp_path


def write_tables(folder: Path) -> None:
    rows = [{"class_id": str(i), "class_name": name, "folder": name} for i, name in enumerate(NAMES, 1)]
    write_csv(folder / "classes.csv", CLASS_COLUMNS, rows)
    write_csv(
        folder / "images.csv",
        IMAGE_COLUMNS,
        [
            {
                "image_id": f"id{i}{n}",
                "path": f"{split}/{NAMES[i]}/{i}-{n}.jpg",
                "class_id": str(i + 1),
                "split": split,
            }
            for i in range(3)
            for n, split in enumerate(("train", "train", "test"))
        ],
    )


def write(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def argv(file: Path, **settings: object) -> list[object]:
    beside = file.parent
    tables = ["--images", beside / "images.csv", "--classes", beside / "classes.csv"]
    given = json.dumps({"kind": "file", "path": str(file), **settings})
    return ["--settings", given, *tables, "--out", beside / "out.csv"]


def imported(file: Path, **settings: object) -> list[tuple[str, ...]]:
    main([str(word) for word in argv(file, **settings)])
    rows = read_csv(file.parent / "out.csv", TEXT_COLUMNS)
    names = {str(i): name for i, name in enumerate(NAMES, 1)}
    assert all(row["class_name"] == names[row["class_id"]] for row in rows)
    return [(row["class_id"], row["image_id"], row["field"], row["text"]) for row in rows]


def refused(file: Path, **settings: object) -> str:
    sentence = refusal(main, *argv(file, **settings))
    assert not (file.parent / "out.csv").exists()
    return sentence.removeprefix("import_texts: error: ").replace(f"{file}", "FILE")


WANTED = [
    ("1", "", "cap", "Red, with white warts."),
    ("1", "", "cap", "Scarlet."),
    ("1", "", "stem", "White, ringed."),
    ("2", "", "cap", "Olive."),
    ("2", "", "stem", "White, with a sack."),
    ("3", "", "cap", "Egg yellow."),
    ("3", "", "stem", "Egg yellow too, “solid”."),
]


def records() -> list[dict[str, str]]:
    return [
        {"class": name, "field": field, "text": text}
        for name, fields in TEXTS.items()
        for field, texts in fields.items()
        for text in ([texts] if isinstance(texts, str) else texts)
    ]


def as_table(delimiter: str) -> str:
    quoted = ['"{class}"{d}"{field}"{d}"{text}"'.format(**row, d=delimiter) for row in records()]
    return "\n".join([delimiter.join(("class", "field", "text")), *quoted]) + "\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", TEXTS),
        ("a.json", records()),
        ("a.jsonl", "\n\n".join(json.dumps(record) for record in records()) + "\n"),
        ("a.csv", as_table(",")),
        ("a.tsv", as_table("\t")),
        ("a.CSV", b"\xef\xbb\xbf" + as_table(",").replace("\n", "\r\n").encode()),
        ("a.json", json.dumps(TEXTS, ensure_ascii=False).encode("utf-16")),
    ],
    ids=["json of fields", "json of records", "json lines", "csv", "tsv", "csv from a spreadsheet", "utf-16"],
)
def test_every_shape_gives_the_same_table(tables: Path, name: str, content: Any) -> None:
    assert imported(write(tables, name, content)) == WANTED


def test_fields_are_chosen_and_ordered(tables: Path) -> None:
    file = write(tables, "a.json", TEXTS)
    assert [row[2] for row in imported(file, fields=["stem", "cap"])] == [
        "stem",
        "cap",
        "cap",
        "stem",
        "cap",
        "stem",
        "cap",
    ]
    assert {row[2] for row in imported(file, fields=["stem"])} == {"stem"}
    assert "'fly_agaric' lacks fields (1): gills" in refusal(main, *argv(file, fields=["cap", "gills"]))


def test_columns_may_be_called_otherwise_and_fields_be_columns(tables: Path) -> None:
    rows = ["species;Cap;Stem", "1;red;white", "2;olive;white", "3;yellow;yellow"]
    wide = write(tables, "wide.csv", "\n".join(row.replace(";", ",") for row in rows))
    found = imported(wide, class_column="species", fields=["Stem", "Cap"])
    assert found[:2] == [("1", "", "Stem", "white"), ("1", "", "Cap", "red")] and len(found) == 6
    assert "lacks the column 'text' (it has species, Cap, Stem)" in refusal(main, *argv(wide, class_column="species"))
    semicolons = write(tables, "semicolons.csv", "\n".join(rows))
    assert imported(semicolons, class_column="species", fields=["Stem", "Cap"]) == found
    assert "lacks the column(s) class (it has species, Cap, Stem, separated by semicolons)" in refusal(
        main, *argv(semicolons)
    )


def test_strings_and_lists(tables: Path) -> None:
    file = write(
        tables, "a.json", {"Fly agaric": "Red.", "Death cap": ["Olive.", "Green."], "Chanterelle": ["Yellow."]}
    )
    assert imported(file) == [
        ("1", "", "text", "Red."),
        ("2", "", "text", "Olive."),
        ("2", "", "text", "Green."),
        ("3", "", "text", "Yellow."),
    ]


@pytest.mark.parametrize(
    "owner",
    ["id{i}{n}", "{split}/{name}/{i}-{n}.jpg", "{name}/{i}-{n}.jpg", "{i}-{n}.jpg", "{i}-{n}", "{name}\\{i}-{n}.jpg"],
)
def test_texts_of_images_by_id_path_or_file_name(tables: Path, owner: str, capsys: pytest.CaptureFixture[str]) -> None:
    content = {
        owner.format(i=i, n=n, name=NAMES[i], split=("train", "train", "test")[n]): [f"text {i} {n}", f"more {i} {n}"]
        for i in reversed(range(3))
        for n in (1, 2, 0)
    }
    file = write(tables, "a.json", content)
    log = said(main, capsys, *argv(file, per="image"))
    assert "left out 6 texts of 3 test images" in log
    wanted = [
        (str(i + 1), f"id{i}{n}", "text", f"{word} {i} {n}")
        for i in range(3)
        for n in (0, 1)
        for word in ("text", "more")
    ]
    assert imported(file, per="image") == wanted


def test_images_that_lie_in_no_folder(tables: Path) -> None:
    rows = read_csv(tables / "images.csv", IMAGE_COLUMNS)
    write_csv(tables / "images.csv", IMAGE_COLUMNS, [{**row, "path": f"{row['image_id']}.jpg"} for row in rows])
    file = write(tables, "a.json", {f"id{i}{n}.jpg": f"{i}" for i in range(3) for n in (0, 1)})
    assert len(imported(file, per="image")) == 6


def test_mistakes_in_texts_of_images(tables: Path) -> None:
    train = {f"id{i}{n}": "red" for i in range(3) for n in (0, 1)}
    assert "images that the data set does not have (1): id99" in refused(
        write(tables, "a.json", {**train, "id99": "x"}), per="image"
    )
    file = write(tables, "b.json", {name: text for name, text in train.items() if name != "id10"})
    assert "training images without a text (1): train/Death cap/1-0.jpg" in refused(file, per="image")
    assert "`class_names` is for texts of classes" in refused(
        write(tables, "c.json", train), per="image", class_names={"a": "b"}
    )
    file = write(tables, "d.json", {**train, "id99": "x"})
    assert len(imported(file, per="image", others="leave-out")) == 6


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_of_images_may_be_composed_or_not(tables: Path, form: str) -> None:
    rows = [row for row in read_csv(tables / "images.csv", IMAGE_COLUMNS) if row["split"] == "train"]
    written = [{**row, "path": f"train/Käfer/é{n}.jpg"} for n, row in enumerate(rows)]
    write_csv(tables / "images.csv", IMAGE_COLUMNS, written)
    content = {unicodedata.normalize(form, f"é{n}"): "red" for n in range(len(rows))}
    assert len(imported(write(tables, "a.json", content), per="image")) == len(rows)


def test_a_file_name_of_two_images_is_refused(tables: Path) -> None:
    rows = read_csv(tables / "images.csv", IMAGE_COLUMNS)
    write_csv(tables / "images.csv", IMAGE_COLUMNS, [{**row, "path": f"{row['path'][:-7]}1.jpg"} for row in rows])
    assert "names that several images have (1): 1.jpg (id00 or id01 or id02)" in refused(
        write(tables, "a.json", {"1.jpg": "red"}), per="image"
    )


def test_what_matches_no_class_is_refused_in_one_report(tables: Path) -> None:
    file = write(tables, "a.json", {"Fly agarik": "red", "Death cap": "green", "Chanterelle": "yellow", "Cep": "brown"})
    assert refused(file) == (
        "FILE: names that are no class of the data set (2): Fly agarik [perhaps Fly agaric]; Cep - and classes that "
        "none of the names is (1): Fly agaric (class 1) - write `their name: our name` under `class_names` of the text "
        "source"
    )
    assert "perhaps Fly agarik" in refused(file, others="leave-out") and "Cep" not in refused(file, others="leave-out")
    assert "leave other classes out by `others: leave-out`" in refused(file, class_names={"Fly agarik": "Fly agaric"})
    assert len(imported(file, class_names={"Fly agarik": "Fly agaric"}, others="leave-out")) == 3


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.json", '{"Fly agaric": "a", "Fly agaric": "b"}', "keys given twice (1): Fly agaric"),
        ("a.json", '{"Fly agaric": "a",\n}', "FILE: is not JSON ("),
        ("a.json", "3", "holds the number 3; it should map names to texts"),
        ("a.json", {}, "holds no text"),
        ("a.json", {"Fly agaric": 3}, "FILE, Fly agaric: holds the number 3 where a text should be"),
        ("a.json", {"Fly agaric": [["a"]]}, "FILE, Fly agaric: holds a list where a text should be"),
        ("a.json", {"Fly agaric": {"cap": {"x": "y"}}}, "FILE, Fly agaric, cap: holds an object where"),
        ("a.json", [{"name": "Fly agaric", "text": "a"}], "FILE, record 1: lacks 'class' (it has name, text)"),
        ("a.json", ["a"], "FILE, record 1: is a string; a record should be an object"),
        ("a.json", [{"class": None, "text": "a"}], "FILE, record 1: class is null; it should be a name"),
        ("a.json", [{"class": " ", "text": "a"}], "texts that do not say what they are about (1): record 1"),
        ("a.jsonl", '{"class": "x", "text": "a"}\n{', "FILE, line 2: is not JSON"),
        ("a.csv", 'class,text\n"x,y\n', "FILE, line 2: unexpected end of data; correct the quotes"),
        ("a.csv", "class,text\nFly agaric,red, white\n", "line 2: 3 values for 2 columns"),
        ("a.csv", "class,text,text\nFly agaric,red,white\n", "columns named twice (1): text"),
        ("a.csv", "class,text\nCh\xe2ntarelle,\xe9\n".encode("cp1252"), "FILE, line 2: is not UTF-8 (byte 0xe2)"),
        ("a.txt", "x", "FILE: should end in .json, .jsonl, .csv or .tsv"),
        ("a.json", {"Fly agaric": "a", "Death cap": "b", "Chanterelle": " -- "}, "without a text (1): Chanterelle"),
        ("a.json", {"Fly agaric": "a", "Death cap": "b", "Chanterelle": []}, "without a text (1): Chanterelle"),
        ("a.json", {"Fly agaric": "a", "Death cap": {}, "Chanterelle": None}, "without a text (2): Death cap; Chant"),
        ("a.json", {"Fly agaric": {"cap": []}, "Death cap": "b", "Chanterelle": "c"}, "without a text (1): Fly agaric"),
        ("a.json", '{"Fly agaric": ' + "[" * 99_999, "FILE: lists and objects are nested too deeply"),
        ("a.jsonl", '{"class": "x", "text": 1' + "0" * 5000 + "}", "FILE, line 1: holds a number of too many digits"),
        ("a.json", b"\x1f\x8b\x08rest", "FILE: is compressed; unpack it by gunzip"),
    ],
)  # fmt: skip
def test_files_of_another_shape_are_refused(tables: Path, name: str, content: Any, told: str) -> None:
    assert told in refused(write(tables, name, content))


def test_a_missing_file_is_named(tables: Path) -> None:
    assert refused(tables / "no.json").startswith("FILE: is no file; correct the `path`")


def test_empty_and_repeated_texts_are_named(tables: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = {"Fly agaric": ["red", "red", ""], "Death cap": {"cap": None, "stem": "a"}, "Chanterelle": ["y", "…"]}
    file = write(tables, "a.json", content)
    log = said(main, capsys, *argv(file))
    assert "left out 3 texts without a word: Fly agaric; Death cap, cap; Chanterelle" in log
    assert "1 texts occur more than once: Fly agaric (1)" in log
    assert len(imported(file)) == 4


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("  a\t\nb ", "a b"),
        ("a\u00a0b", "a b"),
        ("Cafe\u0301", "Café"),
        ("a\x00b\x07", "ab"),
        ("10½ cm", "10½ cm"),
        ("\u2028a", "a"),
    ],
)
def test_texts_are_put_on_one_line(text: str, clean: str) -> None:
    assert clean_text(text) == clean


@given(st.text())
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean_text(clean_text(text)) == clean_text(text)
    assert len(clean_text(text).splitlines()) <= 1


@given(st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_count(tmp_path_factory: pytest.TempPathFactory, rng: random.Random) -> None:
    folder = tmp_path_factory.mktemp("order")
    write_tables(folder)

    def mixed(content: dict[str, Any]) -> dict[str, Any]:
        keys = list(content)
        rng.shuffle(keys)
        return {key: mixed(content[key]) if isinstance(content[key], dict) else content[key] for key in keys}

    assert imported(write(folder, "a.json", mixed(TEXTS))) == WANTED
