"""Controls keep a source's number and length of texts and classes, and lose what it says about a class."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.core.files import read_csv, write_csv
from fieldguide.data.records import CLASS_COLUMNS
from fieldguide.features.store import read_features, save_features
from fieldguide.texts.controls import draw_donors, nearest_donors, repeat_name, take_rows, without_names
from fieldguide.texts.naming import NameIndex, has_name
from fieldguide.texts.table import TEXT_COLUMNS, TextRow, read_texts, write_texts
from fieldguide.texts.write_control import main, read_vocabulary
from tests.tiny_data import refusal

NAMES = ["Laysan Albatross", "Sooty Albatross", "Indigo Bunting", "Snow Bunting", "Crow"]
# Directions in a plane: the two albatrosses and the two buntings lie together, the crow beside the buntings.
ANGLES = np.radians([0, 10, 90, 100, 115])
DIRECTIONS = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1).astype(np.float32)
FAMILIES = [("laysan albatross", "sea"), ("Sooty Albatross", "sea"), ("Indigo Bunting", "song"), ("Snow Bunting", "x")]


@given(st.integers(2, 40), st.integers(0, 5))
def test_no_class_keeps_its_own(count: int, seed: int) -> None:
    donors = draw_donors(count, seed)
    assert sorted(donors.tolist()) == list(range(count)) and (donors != np.arange(count)).all()
    assert draw_donors(count, seed).tolist() == donors.tolist()


def test_nearest_donors_stay_in_their_family_where_it_has_another_class() -> None:
    assert nearest_donors(DIRECTIONS).tolist() == [1, 0, 3, 2, 3]
    assert nearest_donors(DIRECTIONS, ["a", "b", "a", "c", "b"]).tolist() == [2, 4, 0, 2, 1]


@given(st.data())
def test_every_row_gets_a_text_of_the_donor_and_of_its_field_where_there_is_one(data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 5))
    labels = np.array([*range(count), *data.draw(st.lists(st.integers(0, count - 1), max_size=30))])
    fields = data.draw(st.lists(st.sampled_from("ab"), min_size=len(labels), max_size=len(labels)))
    donors = draw_donors(count, 0)
    rows = take_rows(labels, fields, donors)
    assert (labels[rows] == donors[labels]).all()
    has = set(zip(labels.tolist(), fields, strict=True))
    for row, taken in enumerate(rows.tolist()):
        assert fields[taken] == fields[row] or (int(donors[labels[row]]), fields[row]) not in has
    # Where every class has as many texts of each field, each text is used once.
    shape = Counter(zip(labels.tolist(), fields, strict=True))
    if all(shape[label, field] == shape[0, field] for label in range(count) for field in "ab"):
        assert sorted(rows.tolist()) == list(range(len(rows)))


def test_a_name_is_repeated_to_the_length_of_the_text() -> None:
    def written(text: str) -> str:
        return repeat_name(TextRow("1", "Indigo_Bunting", "", "text", text))

    assert written("blue") == "Indigo Bunting"
    assert written("a blue one") == "an Indigo Bunting"
    assert written("1 2 3 4 5 6") == "a photo of an Indigo Bunting"
    assert written("1 2 3 4 5 6 7 8") == "a photo of an Indigo Bunting a photo"


def test_words_of_names_are_no_random_words() -> None:
    assert without_names(["crow", "crows", "snow", "crowd", "blue"], NAMES) == ["crowd", "blue"]
    assert len(read_vocabulary()) > 10_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five classes with a table of texts that name them, captions of images among them, and features of both."""
    classes = [dict(zip(CLASS_COLUMNS, (str(i + 1), name, name), strict=True)) for i, name in enumerate(NAMES)]
    write_csv(tmp_path / "classes.csv", CLASS_COLUMNS, classes)
    rows = [
        TextRow(str(i + 1), name, f"i{i}" if field == "caption" else "", field, f"{name} is {field} {'so ' * k}{k}")
        for i, name in enumerate(NAMES)
        for field in ("caption", "Beak")
        for k in range(2 + (i == 0))
    ]
    write_texts(tmp_path / "texts.csv", rows)
    of_rows = DIRECTIONS[[int(row.class_id) - 1 for row in rows]]
    save_features(
        tmp_path / "texts.safetensors",
        {"pooled": of_rows, "rows": np.arange(len(rows))},
        [row.text for row in rows],
        "given",
        {"kind": "text"},
    )
    write_texts(tmp_path / "names.csv", [TextRow(str(i + 1), name, "", "name", name) for i, name in enumerate(NAMES)])
    save_features(
        tmp_path / "names.safetensors", {"pooled": DIRECTIONS, "rows": np.arange(5)}, NAMES, "clip", {"kind": "text"}
    )
    return tmp_path


def words(folder: Path, control: str, *more: str, **settings: Any) -> list[str]:
    stage = json.dumps({"kind": "control", "of": "llm", "control": control, **settings})
    files = ["--texts", str(folder / "texts.csv"), "--classes", str(folder / "classes.csv")]
    return ["--settings", stage, *files, "--out", str(folder / "out.csv"), *more]


def names_of(folder: Path) -> list[str]:
    return ["--names", str(folder / "names.csv"), "--name-features", str(folder / "names.safetensors")]


@pytest.mark.parametrize("control", ["shuffled", "family", "random-words", "name-only"])
def test_a_control_keeps_rows_and_destroys_what_it_should(folder: Path, control: str) -> None:
    main(words(folder, control, *names_of(folder)))
    texts, written = read_texts(folder / "texts.csv"), read_texts(folder / "out.csv")
    assert [row._replace(text="") for row in written] == [row._replace(text="") for row in texts]
    if control in ("shuffled", "family"):
        donors = {row.class_id: one.class_id for row in written for one in texts if one.text == row.text}
        assert all(of != own for own, of in donors.items())
        assert (
            donors.items()
            >= ({"1": "2", "2": "1", "3": "4", "4": "3", "5": "4"} if control == "family" else {}).items()
        )
        assert not any(has_name(row.text, row.class_name) for row in written)
        return
    assert [len(row.text.split()) for row in written] == [len(row.text.split()) for row in texts]
    if control == "name-only":
        assert all(has_name(row.text, row.class_name) and "Beak" not in row.text for row in written)
    else:
        index = NameIndex(word for name in NAMES for word in name.split())
        assert not any(next(index.find(row.text), None) for row in written)
        assert len({row.text for row in written}) == len(written)


def test_a_seed_gives_the_same_control_and_another_seed_another(folder: Path) -> None:
    made = {}
    for seed in (0, 0, 1):
        main(words(folder, "random-words", seed=seed))
        content = (folder / "out.csv").read_bytes()
        assert made.setdefault(seed, content) == content
    assert made[0] != made[1]


def test_a_table_of_families_says_which_classes_are_kin(folder: Path) -> None:
    families = folder / "families.csv"
    write_csv(families, ("class", "family"), ({"class": c, "family": f} for c, f in [*FAMILIES, ("Crow", "song")]))
    main(words(folder, "family", *names_of(folder), families=str(families)))
    named = {row.class_name: row.text.split(" is ")[0] for row in read_texts(folder / "out.csv")}
    assert named == {
        "Laysan Albatross": "Sooty Albatross",
        "Sooty Albatross": "Laysan Albatross",
        "Indigo Bunting": "Crow",
        "Crow": "Indigo Bunting",
        "Snow Bunting": "Indigo Bunting",  # alone in its family: the nearest of all
    }
    write_csv(families, ("class", "family"), ({"class": c, "family": f} for c, f in FAMILIES))
    told = refusal(main, *words(folder, "family", *names_of(folder), families=str(families)))
    assert "families.csv: " in told and "Crow" in told


def test_features_computed_elsewhere_are_taken_row_by_row(folder: Path) -> None:
    more = ["--features", str(folder / "texts.safetensors"), "--features-out", str(folder / "out.safetensors")]
    for control in ("shuffled", "family"):
        main(words(folder, control, *more))
        written = [TextRow(**row) for row in read_csv(folder / "out.csv", TEXT_COLUMNS)]
        arrays, about = read_features(folder / "out.safetensors", [row.text for row in written])
        of = [NAMES.index(row.text.split(" is ")[0]) for row in written]
        np.testing.assert_array_equal(arrays["pooled"][arrays["rows"]], DIRECTIONS[of])
        assert about["backbone"] == "given"
        assert all(NAMES[donor] != row.class_name for donor, row in zip(of, written, strict=True))
    told = refusal(main, *words(folder, "random-words", *more))
    assert "is features computed elsewhere; take shuffled or family" in told
