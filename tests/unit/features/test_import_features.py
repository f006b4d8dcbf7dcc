"""Features computed elsewhere: they become records, tables and feature files, and what is amiss is told by index."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv
from fieldguide.data.records import CLASS_COLUMNS, IMAGE_COLUMNS
from fieldguide.features import import_features
from fieldguide.features.given_features import numbers_if_any, read_arrays, unit_rows
from fieldguide.features.labelled import read_images, read_split
from fieldguide.features.store import read_features
from fieldguide.texts import import_text_features
from fieldguide.texts.table import TEXT_COLUMNS
from tests.tiny_data import refusal, said, write_lines

NAMES = ("Fly agaric", "Death cap", "Chanterelle")
KEY = "given_01234567"
Arrays = dict[str, Any]


def unit(rows: int, width: int = 8, seed: int = 0) -> Any:
    values = np.random.default_rng(seed).normal(size=(rows, width))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def arrays() -> Arrays:
    """Three training images and a test image of each of three classes, the classes mixed."""
    return {
        "features": unit(12),
        "labels": np.arange(12) % 3,
        "splits": np.array(["train"] * 9 + ["test"] * 3),
        "class_names": np.array(NAMES),
    }


def save(path: Path, arrays: Arrays) -> Path:
    if path.suffix == ".npz":
        np.savez(path, **arrays)
    elif path.suffix == ".npy":
        np.save(path, arrays["features"])
    else:
        from safetensors.numpy import save_file

        save_file(arrays, path)
    return path


def argv(folder: Path, *more: object) -> list[object]:
    tables = ["--images-out", folder / "images.csv", "--classes-out", folder / "classes.csv"]
    return ["--backbone", KEY, *tables, "--out", folder / "target.safetensors", *more]


def imported(folder: Path, *more: object) -> tuple[list[dict[str, str]], list[dict[str, str]], Any]:
    import_features.main([str(word) for word in argv(folder, *more)])
    images = read_images(folder / "images.csv")
    features, _, key = read_split(folder / "target.safetensors", images, np.arange(len(images.ids)))
    assert key == KEY
    return (
        read_csv(folder / "images.csv", IMAGE_COLUMNS),
        read_csv(folder / "classes.csv", CLASS_COLUMNS),
        features,
    )


def refused(folder: Path, *more: object) -> str:
    sentence = refusal(import_features.main, *argv(folder, *more))
    assert not [path for path in folder.iterdir() if path.name in ("images.csv", "classes.csv", "target.safetensors")]
    return sentence.removeprefix("import_features: error: ").replace(str(folder) + "/", "")


def test_one_file_of_all_images(tmp_path: Path, arrays: Arrays) -> None:
    images, classes, features = imported(tmp_path, "--features", "all", save(tmp_path / "a.npz", arrays))
    assert images[4] == {"image_id": "4", "path": "a.npz#4", "class_id": "2", "split": "train"}
    assert [row["split"] for row in images] == ["train"] * 9 + ["test"] * 3
    assert [row["class_name"] for row in classes] == list(NAMES)
    assert [row["folder"] for row in classes] == ["0", "1", "2"]
    assert features.tobytes() == arrays["features"].tobytes(), "unit rows are kept to the bit"


def test_every_layout_says_the_same(tmp_path: Path, arrays: Arrays) -> None:
    wanted = imported(tmp_path, "--features", "all", save(tmp_path / "a.npz", arrays))
    write_lines(tmp_path / "names.txt", NAMES)
    write_lines(tmp_path / "labels.txt", [str(label) for label in arrays["labels"]])
    np.save(tmp_path / "splits.npy", (arrays["splits"] == "train").astype(np.uint8))
    own = ["--labels", "all", tmp_path / "labels.txt", "--splits", "all", tmp_path / "splits.npy"]
    own += ["--class-names", tmp_path / "names.txt"]
    apart = imported(tmp_path, "--features", "all", save(tmp_path / "a.npy", arrays), *own)
    numbers = {"features": arrays["features"], "labels": arrays["labels"] + 1, "splits": np.arange(12) < 9}
    numbers["splits"] = numbers["splits"].astype(np.int64)
    file = save(tmp_path / "a.safetensors", numbers)
    from_one = imported(tmp_path, "--features", "all", file, "--class-names", tmp_path / "names.txt")
    for images, classes, features in (apart, from_one):
        assert [{**row, "path": ""} for row in images] == [{**row, "path": ""} for row in wanted[0]]
        assert [row["class_name"] for row in classes] == [row["class_name"] for row in wanted[1]]
        assert np.array_equal(features, wanted[2])


def test_two_files_and_labels_that_are_names(tmp_path: Path, arrays: Arrays) -> None:
    arrays["labels"] = np.array([NAMES[label] for label in arrays["labels"]])
    for part, rows in (("train", slice(0, 9)), ("test", slice(9, 12))):
        save(tmp_path / f"{part}.npz", {name: arrays[name][rows] for name in ("features", "labels")})
    both = [word for part in ("test", "train") for word in ("--features", part, tmp_path / f"{part}.npz")]
    images, classes, features = imported(tmp_path, *both)
    assert [row["class_name"] for row in classes] == ["Chanterelle", "Death cap", "Fly agaric"]
    assert [row["image_id"] for row in images][8:10] == ["train-8", "test-0"]
    assert images[0]["class_id"] == "3" and np.array_equal(features, arrays["features"])
    assert "give `images`, or `train` and `test`" in refusal(import_features.main, *argv(tmp_path, *both[:3]))


def test_rows_of_other_norms_are_normalised_and_told(
    tmp_path: Path, arrays: Arrays, capsys: pytest.CaptureFixture[str]
) -> None:
    arrays["features"] = arrays["features"] * np.where(np.arange(12) < 5, 3, 1)[:, None]
    file = save(tmp_path / "a.npz", arrays)
    log = said(import_features.main, capsys, *argv(tmp_path, "--features", "all", file))
    assert "a.npz: 5 of 12 rows were not of unit norm (1 to 3) and were normalised" in log
    found, _ = read_features(tmp_path / "target.safetensors")
    assert np.allclose(np.linalg.norm(found["features"], axis=1), 1, atol=1e-6)
    half = unit_rows(unit(4).astype(np.float16), "half")
    assert half.dtype == np.float32 and np.allclose(np.linalg.norm(half, axis=1), 1, atol=1e-6)


def change(name: str, row: int, value: Any) -> Callable[[Arrays], None]:
    def edit(arrays: Arrays) -> None:
        arrays[name] = arrays[name].copy()
        arrays[name][row] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (change("features", 7, 0), "a.npz: rows that are zero and have no direction (1): 7 - compute them again"),
        (change("features", 3, np.nan), "a.npz: rows with values that are not finite (1): 3"),
        (change("features", 4, np.inf), "a.npz: rows with values that are not finite (1): 4"),
        (change("labels", 0, 3), "a.npz: labels out of range for 3 class names (1): 3"),
        (change("labels", 0, -1), "a.npz: labels out of range for 3 class names (1): -1"),
        (change("splits", 2, "valid"), "a.npz: splits that are not train or test, 1 or 0 (1): row 2: valid"),
        (change("splits", 9, "train"), "a.npz: classes without test images (1): 0"),
        (
            lambda a: a.update(splits=np.array(["test"] * 9 + ["train"] * 3)),
            "fewer than 2 training images, of which one is held out to choose settings (3): 0 (1)",
        ),
        (lambda a: a.update(labels=np.arange(11)), "labels has the shape (11,), but there are 12 features"),
        (lambda a: a.update(labels=np.arange(12) + 0.5), "numbers that are not whole, or too large to be exact (12)"),
        (lambda a: a.update(labels=np.zeros(12, int)), "has 1 class; a classifier needs at least 2"),
        (lambda a: a.update(features=unit(12)[:, 0]), "features have the shape (12,); give (rows, width)"),
        (lambda a: a.update(features=unit(12) > 0), "features are of type bool; give numbers"),
        (lambda a: a.pop("labels"), "a.npz: has no array 'labels' (it has class_names, features, splits); save it"),
        (lambda a: a.pop("splits"), "a.npz: has no array 'splits'"),
        (lambda a: a.update(ids=np.array(["x"] * 12)), "a.npz: ids given twice (1): x"),
        (lambda a: a.update(ids=np.array([""] * 12)), "a.npz: ids: values that are empty or not on one line (12): ''"),
        (lambda a: a.update(class_names=np.array(["A", "B", "C", "D"]), labels=a["labels"] + 1), "leaves open whether"),
        (lambda a: a.update(class_names=np.array(["a", "A", "c"])), "class_names: class names given twice (1): a"),
        (lambda a: a.update(labels=np.array(["a"] * 12, object)), "a.npz: holds Python objects, which may run code"),
    ],
)  # fmt: skip
def test_what_is_amiss_is_named(tmp_path: Path, arrays: Arrays, edit: Callable[[Arrays], None], told: str) -> None:
    edit(arrays)
    assert told in refused(tmp_path, "--features", "all", save(tmp_path / "a.npz", arrays))


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.safetensors"])
def test_damaged_files_are_named(tmp_path: Path, arrays: Arrays, name: str) -> None:
    del arrays["class_names"], arrays["splits"]
    whole = save(tmp_path / name, arrays).read_bytes()
    for size in (0, 5, len(whole) // 2, len(whole) - 9):
        (tmp_path / name).write_bytes(whole[:size])
        told = refused(tmp_path, "--features", "all", tmp_path / name)
        assert told.startswith(f"{name}: is damaged, or no ") and told.endswith("write it again"), told


def test_files_of_another_kind_and_missing_ones(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.csv", ["1,2"])
    assert refused(tmp_path, "--features", "all", tmp_path / "a.csv") == (
        "a.csv: should be .npy, .npz, .safetensors or .txt"
    )
    assert refused(tmp_path, "--features", "all", tmp_path / "b.npz") == "b.npz: is no file; correct the path"


def test_bfloat16_is_named(tmp_path: Path) -> None:
    header = b'{"features":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}}'
    (tmp_path / "a.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    assert "bfloat16; save it as float32" in refused(tmp_path, "--features", "all", tmp_path / "a.safetensors")


# ---------------------------------------------------------------- texts


@pytest.fixture
def images(tmp_path: Path, arrays: Arrays) -> Path:
    imported(tmp_path, "--features", "all", save(tmp_path / "images.npz", arrays))
    return tmp_path


def text_argv(folder: Path, file: Path, *more: object) -> list[object]:
    tables = ["--images", folder / "images.csv", "--classes", folder / "classes.csv"]
    out = ["--table-out", folder / "llm.csv", "--out", folder / "llm.safetensors"]
    settings = {"kind": "features", "path": str(file)}
    return [
        "--settings",
        json.dumps(settings),
        "--source",
        "llm",
        *tables,
        "--image-features",
        folder / "target.safetensors",
        *out,
        *more,
    ]


def imported_texts(folder: Path, arrays: Arrays, *more: object) -> tuple[list[dict[str, str]], Any]:
    file = save(folder / "texts.npz", arrays)
    import_text_features.main([str(word) for word in text_argv(folder, file, *more)])
    rows = read_csv(folder / "llm.csv", TEXT_COLUMNS)
    features, about = read_features(folder / "llm.safetensors", [row["text"] for row in rows])
    assert about["backbone"] == KEY and about["kind"] == "text"
    return rows, features["pooled"][features["rows"]]


@pytest.mark.parametrize(
    "classes", [np.array([2, 0, 1, 0]), np.array(["chanterelles", "FLY_AGARIC", "death-cap", "FLY_AGARIC"])]
)
def test_text_features_by_label_or_by_name(images: Path, classes: Any) -> None:
    given = unit(4, seed=1)
    texts = np.array(["yellow", "red", "olive", "scarlet"])
    rows, features = imported_texts(images, {"features": given, "classes": classes, "texts": texts})
    assert [(row["class_name"], row["text"]) for row in rows] == [
        ("Fly agaric", "red"),
        ("Fly agaric", "scarlet"),
        ("Death cap", "olive"),
        ("Chanterelle", "yellow"),
    ]
    assert np.array_equal(features, given[[1, 3, 2, 0]])
    assert {row["field"] for row in rows} == {"text"} and {row["image_id"] for row in rows} == {""}


def test_texts_of_test_images_are_left_out(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {"features": unit(12, seed=2), "classes": np.arange(12) % 3, "image_ids": np.arange(12)}
    rows, features = imported_texts(images, texts)
    assert [row["image_id"] for row in rows] == ["0", "3", "6", "1", "4", "7", "2", "5", "8"]
    assert rows[1]["text"] == "texts.npz#3" and np.array_equal(features[1], texts["features"][3])


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda a: a.update(features=unit(4, 9)), "its features are 9 wide, the images' 8; encode both by one model"),
        (change("classes", 0, 7), "classes that are no label of an image (1): 7"),
        (change("classes", 0, 1), "classes without a text (1): Chanterelle"),
        (change("features", 2, 0), "rows that are zero and have no direction (1): 2"),
        (lambda a: a.pop("classes"), "has no array 'classes'"),
        (lambda a: a.update(classes=np.array([*NAMES, "Cep"])), "no class of the data set (1): Cep - write"),
        (lambda a: a.update(image_ids=np.array(["0", "1", "2", "x"])), "image_ids that are no image (1): row 3: x"),
        (lambda a: a.update(image_ids=np.array(["0"] * 4)), "of another class than their image's (2): row 0: image 0"),
        (lambda a: a.update(texts=np.array(["a", "b", "", "d"])), "texts: values that are empty or not on one line"),
    ],
)  # fmt: skip
def test_what_is_amiss_with_texts_is_named(images: Path, edit: Callable[[Arrays], None], told: str) -> None:
    texts: Arrays = {"features": unit(4, seed=1), "classes": np.array([2, 0, 1, 0])}
    edit(texts)
    file = save(images / "texts.npz", texts)
    assert told in refusal(import_text_features.main, *text_argv(images, file))
    assert not (images / "llm.csv").exists() and not (images / "llm.safetensors").exists()


# ---------------------------------------------------------------- labels as programs write them


def as_text(labels: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.savetxt(stream, labels, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    "options",
    [{}, {"fmt": "%d"}, {"fmt": "%.1f"}, {"fmt": "%g"}, {"fmt": "%+.3E"}, {"newline": "\r\n"}, {"newline": "\r"}],
)
def test_labels_and_splits_by_savetxt_are_whole_numbers(tmp_path: Path, arrays: Arrays, options: Arrays) -> None:
    wanted = imported(tmp_path, "--features", "all", save(tmp_path / "a.npz", arrays))
    labels, splits = tmp_path / "labels.txt", tmp_path / "splits.txt"
    labels.write_bytes(as_text(arrays.pop("labels"), **options))
    splits.write_bytes(as_text(arrays.pop("splits") == "train", **options))
    file = save(tmp_path / "a.npz", arrays)
    found = imported(tmp_path, "--features", "all", file, "--labels", "all", labels, "--splits", "all", splits)
    assert found[:2] == wanted[:2]


@given(
    st.lists(st.integers(-(2**52), 2**52), min_size=1, max_size=9), st.sampled_from(["%d", "%.1f", "%.18e", "%+.20E"])
)
def test_whole_numbers_are_read_however_they_are_written(numbers: list[int], form: str) -> None:
    found = numbers_if_any(np.array([form % number for number in numbers]), "x")
    assert found is not None and found.dtype == np.int64 and found.tolist() == numbers


@given(st.lists(st.text(max_size=6) | st.from_regex(r"\A[0-9]+\.[0-9]+e?[0-9]*\Z"), min_size=1, max_size=5))
def test_words_stay_words_or_are_whole_numbers_or_a_sentence(words: list[str]) -> None:
    values = np.char.strip(np.array(words, dtype=str))
    try:
        found = numbers_if_any(values, "x")
    except FieldguideError as error:
        assert "numbers that are not whole" in str(error)
        return
    assert found is not None
    if found.dtype.kind == "U":
        assert found.tolist() == values.tolist()
    else:
        assert found.tolist() == [float(word) for word in values.tolist()]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["0.0", "1.0", "nan"], "x: numbers that are not whole, or too large to be exact (1): row 2: nan"),
        (["0e0", "1.5e0"], "(1): row 1: 1.5"),
        (["1e300", "1"], "(1): row 0: 1e+300"),
        (["1.5", "2.5", "3.0"], ""),
        (["nan", "no", "null"], ""),
        (["9" * 30, "1"], ""),
    ],
)
def test_numbers_that_are_no_labels(words: list[str], told: str) -> None:
    if told:
        with pytest.raises(FieldguideError, match=re.escape(told)):
            numbers_if_any(np.array(words), "x")
    else:
        found = numbers_if_any(np.array(words), "x")
        assert found is not None and found.tolist() == words, "names of classes"


def test_strings_of_bytes_are_text_or_told(tmp_path: Path, arrays: Arrays) -> None:
    names = np.char.encode(arrays["class_names"], "utf-8")
    labels = arrays["labels"]
    for given_names in ({"class_names": names}, {"labels": names[labels], "class_names": names}):
        _, classes, _ = imported(tmp_path, "--features", "all", save(tmp_path / "a.npz", {**arrays, **given_names}))
        assert [row["class_name"] for row in classes] == list(NAMES)
    cafe = np.array([b"caf\xe9", b"cat", b"no"])
    for name, array in (("labels", cafe[labels]), ("class_names", cafe)):
        (tmp_path / "images.csv").unlink(missing_ok=True)
        (tmp_path / "classes.csv").unlink(missing_ok=True)
        (tmp_path / "target.safetensors").unlink(missing_ok=True)
        told = refused(tmp_path, "--features", "all", save(tmp_path / "a.npz", {**arrays, name: array}))
        assert f"{name}: holds bytes that are not UTF-8, as in caf\\xe9; save text instead" in told


def test_equal_features_are_named(tmp_path: Path, arrays: Arrays, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.npz"
    arrays["features"][[3, 11]] = arrays["features"][0]
    arrays["features"][5] = arrays["features"][2]
    log = said(import_features.main, capsys, *argv(tmp_path, "--features", "all", save(file, arrays)))
    leak = "1 features are both in training and test, so that accuracy may be too high: rows 0 and 3 and 11"
    assert f"{file}: {leak}" in log and f"{file}: 1 features occur more than once: rows 2 and 5" in log


def test_hashes_as_labels_are_names(tmp_path: Path, arrays: Arrays) -> None:
    del arrays["class_names"]
    hashes = [7, 9, 2**63 + 5]
    arrays["labels"] = np.array(hashes, dtype=np.uint64)[arrays["labels"]]
    _, classes, _ = imported(tmp_path, "--features", "all", save(tmp_path / "a.npz", arrays))
    assert [row["class_name"] for row in classes] == [str(number) for number in hashes]


@pytest.mark.parametrize("names", [np.array("Fly agaric"), np.array([["a", "b", "c"]])])
def test_class_names_of_another_shape_are_refused(tmp_path: Path, arrays: Arrays, names: Any) -> None:
    file = save(tmp_path / "a.npz", {**arrays, "class_names": names})
    assert f"class names have the shape {names.shape}; give a list of them" in refused(
        tmp_path, "--features", "all", file
    )


def test_a_text_file_keeps_its_lines(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffÄ\r\n b \n\nc\n".encode())
    assert read_arrays(tmp_path / "a.txt")[""].tolist() == ["Ä", "b", "", "c"]
