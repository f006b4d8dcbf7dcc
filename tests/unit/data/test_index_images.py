"""CUB's lists: what is read, and every inconsistency refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fieldguide.core.files import read_csv
from fieldguide.data.index_images import main
from fieldguide.data.records import CLASS_COLUMNS, IMAGE_COLUMNS, class_name
from tests.tiny_data import CLASSES, as_settings, edit_lines, jpeg, refusal, said, write_cub

Edit = Callable[[list[str]], list[str]]


def argv(root: Path, out: Path, **values: object) -> list[str]:
    written = ["--images-out", str(out / "images.csv"), "--classes-out", str(out / "classes.csv")]
    return ["--root", str(root), *written, "--workers", "2", *as_settings(**values)]


def refused(root: Path) -> str:
    out = root.parent / "records"
    sentence = refusal(main, *argv(root, out))
    assert {path.name for path in out.glob("*")} <= {"images.damaged.csv"}
    return sentence


def replaced(number: int, line: str) -> Edit:
    """Line `number`, counted from 1, becomes `line`."""
    return lambda lines: [*lines[: number - 1], line, *lines[number:]]


def test_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_cub(tmp_path)
    edit_lines(root / "images.txt", lambda lines: lines[::-1])
    log = said(main, capsys, *argv(root, tmp_path))
    images = read_csv(tmp_path / "images.csv", IMAGE_COLUMNS)
    assert [row["image_id"] for row in images] == [str(number) for number in range(1, 10)]
    assert images[3] == {
        "image_id": "4",
        "path": "images/002.Laysan_Albatross/Laysan_Albatross_0001_1001.jpg",
        "class_id": "2",
        "split": "train",
    }
    assert [row["split"] for row in images] == ["train", "train", "test"] * 3
    classes = read_csv(tmp_path / "classes.csv", CLASS_COLUMNS)
    assert classes[0] == {
        "class_id": "1",
        "class_name": "Black footed Albatross",
        "folder": "001.Black_footed_Albatross",
    }
    assert "3 classes, 9 images, 6 train and 3 test" in log


def test_ids_are_sorted_as_numbers(tmp_path: Path) -> None:
    main(argv(write_cub(tmp_path, train=4, test=2), tmp_path))
    ids = [int(row["image_id"]) for row in read_csv(tmp_path / "images.csv", IMAGE_COLUMNS)]
    assert ids == sorted(ids) and ids[-1] == 18


def test_windows_line_ends_and_blank_lines_are_read(tmp_path: Path) -> None:
    root = write_cub(tmp_path)
    main(argv(root, tmp_path / "one"))
    for path in root.glob("*.txt"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    main(argv(root, tmp_path / "two"))
    for name in ("images.csv", "classes.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "edit", "telling"),
    [
        (
            "images.txt",
            replaced(2, "1 001.Black_footed_Albatross/other.jpg"),
            "line 2: the id 1 is given twice, first on line 1",
        ),
        (
            "images.txt",
            lambda lines: [*lines, "99 " + lines[0].split()[1]],
            "Black_footed_Albatross_0001_1001.jpg has two ids, 1 and 99",
        ),
        ("images.txt", replaced(2, "x y.jpg"), "line 2: 'x y.jpg' is not an id and a value"),
        ("images.txt", replaced(2, "2"), "line 2: '2' is not an id and a value"),
        ("images.txt", lambda lines: [], "images.txt: is empty"),
        ("images.txt", lambda lines: lines[1:], "ids that images.txt does not list (1): 1 (line 1)"),
        (
            "images.txt",
            replaced(1, "1 002.Laysan_Albatross/Black_footed_Albatross_0001_1001.jpg"),
            "folder of another class than their label's (1): line 1, image 1",
        ),
        ("images.txt", lambda lines: [*lines, "99 001.Black_footed_Albatross/z.jpg"], "lacks the class label of"),
        (
            "image_class_labels.txt",
            lambda lines: lines[1:],
            "lacks the class label of images listed in images.txt (1): 1 (",
        ),
        ("image_class_labels.txt", replaced(3, "3 4"), "one of classes.txt's 3 ids (1): line 3, image 3: 4"),
        ("image_class_labels.txt", replaced(3, "3 0"), "line 3, image 3: 0"),
        ("image_class_labels.txt", replaced(3, "3 3"), "labelled 3 (003.Sooty_Albatross)"),
        ("image_class_labels.txt", lambda lines: [*lines, "99 1"], "99 (line 10)"),
        ("image_class_labels.txt", lambda lines: [*lines, "1 2"], "line 10: the id 1 is given twice"),
        (
            "train_test_split.txt",
            lambda lines: lines[:-1],
            "lacks the split flag of images listed in images.txt (1): 9 (",
        ),
        ("train_test_split.txt", replaced(2, "2 2"), "1 (train) or 0 (test) (1): line 2, image 2: 2"),
        ("train_test_split.txt", lambda lines: [*lines, "99 1"], "99 (line 10)"),
        (
            "train_test_split.txt",
            lambda lines: ["1 0", "2 0", *lines[2:]],
            "001.Black_footed_Albatross) has no training image",
        ),
        ("train_test_split.txt", replaced(9, "9 1"), "003.Sooty_Albatross) has no test image"),
        ("classes.txt", lambda lines: [*lines, "4 003.Sooty_Albatross"], "003.Sooty_Albatross has two ids, 3 and 4"),
        ("classes.txt", lambda lines: lines[:2], "line 7, image 7: 3; line 8"),
    ],
)
def test_inconsistent_lists_are_refused(tmp_path: Path, name: str, edit: Edit, telling: str) -> None:
    root = write_cub(tmp_path)
    edit_lines(root / name, edit)
    sentence = refused(root)
    assert telling in sentence
    assert str(root) in sentence


@pytest.mark.parametrize("name", ["images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt"])
def test_missing_lists_are_refused(tmp_path: Path, name: str) -> None:
    root = write_cub(tmp_path)
    (root / name).unlink()
    assert f"{root / name}: is missing" in refused(root)
    (root / name).write_bytes(b"1 \xff\xfe\xfa")
    assert f"{root / name}, line 1: is not UTF-8" in refused(root)


def test_all_missing_images_are_in_one_report(tmp_path: Path) -> None:
    root = write_cub(tmp_path, train=9, test=1)
    for path in root.rglob("*.jpg"):
        path.unlink()
    sentence = refused(root)
    assert "lacks images that images.txt lists (30)" in sentence
    assert sentence.count(".jpg") == 10 and "and 20 more" in sentence


def test_all_damaged_images_are_in_one_report(tmp_path: Path) -> None:
    root = write_cub(tmp_path)
    paths = sorted(root.rglob("*.jpg"))
    paths[0].write_bytes(b"")
    paths[3].write_bytes(jpeg(1, 64)[:-900])
    paths[5].write_bytes(b"<html>")
    sentence = refused(root)
    assert "images that do not open (3)" in sentence
    assert all(paths[number].name in sentence for number in (0, 3, 5))
    assert "0x" not in sentence


FIRST = "001.Black_footed_Albatross/Black_footed_Albatross_0001_1001.jpg"


def test_more_damaged_images_than_a_sentence_holds_are_all_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_cub(tmp_path, train=9, test=1)
    paths = sorted(root.rglob("*.jpg"))
    for path in paths[:25]:
        path.write_bytes(b"<html>")
    sentence = refused(root)
    listing = tmp_path / "records" / "images.damaged.csv"
    assert "images that do not open (25)" in sentence and "and 15 more" in sentence and str(listing) in sentence
    assert "dataset.leave_out" in sentence and "dataset.skip_damaged" in sentence
    told = {row["path"]: row["reason"] for row in read_csv(listing, ("path", "reason"))}
    assert list(told) == [path.relative_to(root).as_posix() for path in paths[:25]]
    assert all("not an image" in reason for reason in told.values())
    log = capsys.readouterr().err.splitlines()
    assert all(sum(name in line for line in log) == 1 for name in told)


def test_damaged_images_are_left_out_only_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_cub(tmp_path, train=3)
    (root / "images" / FIRST).write_bytes(b"")
    log = said(main, capsys, *argv(root, tmp_path, skip_damaged=True))
    assert f"images/{FIRST} is empty" in log and "left out 1 images that do not open" in log
    assert "1" not in {row["image_id"] for row in read_csv(tmp_path / "images.csv", IMAGE_COLUMNS)}
    assert len(read_csv(tmp_path / "images.csv", IMAGE_COLUMNS)) == 11
    listing = tmp_path / "images.damaged.csv"
    assert read_csv(listing, ("path", "reason")) == [{"path": f"images/{FIRST}", "reason": "is empty"}]
    (root / "images" / FIRST).write_bytes(jpeg())
    main(argv(root, tmp_path))
    assert not listing.exists()


def test_a_class_that_loses_all_its_images_is_refused(tmp_path: Path) -> None:
    root = write_cub(tmp_path)
    for path in sorted(root.rglob("*.jpg"))[:2]:
        path.write_bytes(b"")
    assert "has no training image" in refusal(main, *argv(root, tmp_path / "records", skip_damaged=True))


@pytest.mark.parametrize("name", [FIRST, f"images/{FIRST}"])
@pytest.mark.parametrize("damage", ["empty", "gone", "none"])
def test_named_images_are_left_out(tmp_path: Path, name: str, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_cub(tmp_path, train=3)
    if damage == "empty":
        (root / "images" / FIRST).write_bytes(b"")
    elif damage == "gone":
        (root / "images" / FIRST).unlink()
    assert "left out 1 images that dataset.leave_out names" in said(
        main, capsys, *argv(root, tmp_path, leave_out=[name])
    )
    assert [row["image_id"] for row in read_csv(tmp_path / "images.csv", IMAGE_COLUMNS)] == [
        str(n) for n in range(2, 13)
    ]


def test_a_class_of_a_single_training_image_is_refused(tmp_path: Path) -> None:
    # One image is held out to choose hyper-parameters: said here, and not in tuning, after everything was encoded.
    told = refusal(main, *argv(write_cub(tmp_path), tmp_path, leave_out=[FIRST]))
    assert "classes with fewer than 2 training images, of which one is held out to choose settings (1): 001." in told


def test_a_name_to_leave_out_that_is_not_there_is_refused(tmp_path: Path) -> None:
    root = write_cub(tmp_path)
    sentence = refusal(main, *argv(root, tmp_path, leave_out=[FIRST, "nothing.jpg"]))
    assert "dataset.leave_out names (1): nothing.jpg" in sentence


def test_an_image_outside_the_folder_is_refused(tmp_path: Path) -> None:
    root = write_cub(tmp_path)
    edit_lines(root / "images.txt", replaced(1, "1 ../../001.Black_footed_Albatross/x.jpg"))
    assert "x.jpg" in refused(root)


def test_classes_without_any_image_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_cub(tmp_path)
    edit_lines(root / "classes.txt", lambda lines: ["200 200.Common_Yellowthroat", *lines])
    assert "left out 1 classes without any image: 200.Common_Yellowthroat" in said(main, capsys, *argv(root, tmp_path))
    assert [row["class_id"] for row in read_csv(tmp_path / "classes.csv", CLASS_COLUMNS)] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("001.Black_footed_Albatross", "Black footed Albatross"),
        ("Laysan_Albatross", "Laysan Albatross"),
        ("023.Brandt_Cormorant", "Brandt Cormorant"),
    ],
)
def test_class_name(folder: str, name: str) -> None:
    assert class_name(folder) == name


def test_a_class_of_which_no_image_opens_stops_the_run(tmp_path: Path) -> None:
    root = write_cub(tmp_path)
    for path in (root / "images" / CLASSES[1]).iterdir():
        path.write_bytes(b"")
    told = refusal(main, *argv(root, tmp_path / "records", skip_damaged=True))
    assert f"classes of which no image opens (1): {CLASSES[1]} - mend their images" in told


@pytest.mark.parametrize(("encoding", "line_end"), [("utf-8-sig", "\r\n"), ("utf-16", "\n"), ("utf-8", "\r")])
def test_lists_of_other_systems_are_read(tmp_path: Path, encoding: str, line_end: str) -> None:
    """Tabs for spaces, an empty line at the end, and a folder's name with what is a line's end to Python alone."""
    root = write_cub(tmp_path)
    folder = f"{CLASSES[0]}\u0085x"
    (root / "images" / CLASSES[0]).rename(root / "images" / folder)
    for name in ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt"):
        text = (root / name).read_text(encoding="utf-8").replace(CLASSES[0], folder).replace(" ", "\t")
        (root / name).write_bytes((text + "\n").replace("\n", line_end).encode(encoding))
    main([str(word) for word in argv(root, tmp_path / "records")])
    classes = read_csv(tmp_path / "records" / "classes.csv", CLASS_COLUMNS)
    assert classes[0]["class_name"] == "Black footed Albatross x" and len(classes) == len(CLASSES)
