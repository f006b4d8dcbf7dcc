"""A data set of one's own: folders or a table become the records, and what is amiss is told by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldguide.core.files import read_csv
from fieldguide.data.index_folder import main
from fieldguide.data.records import CLASS_COLUMNS, IMAGE_COLUMNS, natural
from tests.tiny_data import as_settings, jpeg, refusal, said, write_lines

CLASSES = ("Fly_agaric", "class 2", "class 10", "017.Death's cap")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two training images and a test image of each class, under train/ and test/."""
    root = tmp_path / "mushrooms"
    for number, folder in enumerate(CLASSES):
        for place, split in enumerate(("train", "train", "test")):
            path = root / split / folder / f"IMG {number}-{place}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(jpeg(10 * number + place))
    return root


def argv(root: Path, *more: object, **values: object) -> list[object]:
    written = ["--images-out", root.parent / "images.csv", "--classes-out", root.parent / "classes.csv"]
    return ["--root", root, *written, *as_settings(**values), *more]


def records(root: Path) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    return read_csv(root.parent / "images.csv", IMAGE_COLUMNS), read_csv(root.parent / "classes.csv", CLASS_COLUMNS)


def refused(root: Path, *more: object, **values: object) -> str:
    sentence = refusal(main, *argv(root, *more, **values))
    assert not (root.parent / "images.csv").exists() and not (root.parent / "classes.csv").exists()
    return sentence.removeprefix("index_folder: error: ")


def write_table(root: Path, *lines: str, header: str = "path,class,split") -> Path:
    write_lines(root.parent / "images.table.csv", [header, *lines])
    return root.parent / "images.table.csv"


def test_folders_become_the_records(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(path.stat().st_mtime_ns for path in root.rglob("*"))
    log = said(main, capsys, *argv(root, "--workers", 2))
    images, classes = records(root)
    assert [row["class_name"] for row in classes] == ["Death's cap", "class 2", "class 10", "Fly agaric"]
    assert [row["class_id"] for row in classes] == ["1", "2", "3", "4"]
    assert classes[0]["folder"] == "017.Death's cap"
    assert images[0] == {
        "image_id": "train/017.Death's cap/IMG 3-0.jpg",
        "path": "train/017.Death's cap/IMG 3-0.jpg",
        "class_id": "1",
        "split": "train",
    }
    assert [row["split"] for row in images] == ["train", "train", "test"] * 4
    assert "4 classes, 12 images, 8 train and 4 test; all of them open" in log and "left out" not in log
    assert before == sorted(path.stat().st_mtime_ns for path in root.rglob("*")), "the folder is only read"


def test_natural_order() -> None:
    names = ["b 10", "a", "B 9", "b 2", "", "10", "9", "007", "a1b2", "a1b10"]
    assert sorted(names, key=natural) == ["", "007", "9", "10", "a", "a1b2", "a1b10", "b 2", "B 9", "b 10"]


def test_splits_may_have_other_names(root: Path) -> None:
    (root / "test").rename(root / "val")
    assert refused(root) == (
        f"{root}: has no folder test/ with the images for testing (its folders: train, val); "
        "name it under dataset.splits"
    )
    main([str(word) for word in argv(root, splits={"test": "val"})])
    assert records(root)[0][2]["path"] == "val/017.Death's cap/IMG 3-2.jpg"
    assert "cannot be both training and test" in refusal(main, *argv(root, splits={"test": "train"}))


def test_a_table_says_the_same_as_folders(root: Path) -> None:
    main([str(word) for word in argv(root)])
    images, classes = records(root)
    folder = {row["class_id"]: row["folder"] for row in classes}
    lines = [f'"{row["path"]}","{folder[row["class_id"]]}",{row["split"]}' for row in reversed(images)]
    main([str(word) for word in argv(root, "--table", write_table(root, *lines))])
    assert records(root) == (images, classes)


def test_a_table_with_ids_and_its_own_words(root: Path) -> None:
    paths = [path.relative_to(root) for path in sorted(root.rglob("*.jpg"))]
    lines = [
        f"p{n},{path},{path.parent.name},{'dev' if path.parts[0] == 'test' else 'fit'}" for n, path in enumerate(paths)
    ]
    table = write_table(root, *lines, header="image_id,path,class,split")
    assert "line 2: dev" in refused(root, "--table", table)
    main([str(word) for word in argv(root, "--table", table, splits={"train": "fit", "test": "dev"})])
    assert {row["image_id"]: row["path"] for row in records(root)[0]} == {f"p{n}": str(p) for n, p in enumerate(paths)}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("nowhere.jpg,class 2,train", "lists images that are not in"),
        ("../x.jpg,class 2,train", "paths that leave dataset.root (1): line 2: ../x.jpg"),
        ("train/class 2/IMG 1-0.jpg,,train", "lines that lack something (1): line 2: no class"),
        ("train/class 2/IMG 1-0.jpg,class 2,valid", "splits that are not train or test (1): line 2: valid"),
        ("train/class 2/IMG 1-0.jpg,class 2", "lines of another length than the header (1): line 2: 2 values for 3"),
    ],
)
def test_a_bad_line_of_a_table_is_named(root: Path, line: str, told: str) -> None:
    assert told in refused(root, "--table", write_table(root, line))


def test_tables_of_another_shape_are_refused(root: Path) -> None:
    assert "lacks the column(s) class, split (it has path, label)" in refused(
        root, "--table", write_table(root, "a.jpg,x", header="path,label")
    )
    line = "train/class 2/IMG 1-0.jpg,class 2,train"
    assert "images listed twice (1): train/class 2/IMG 1-0.jpg" in refused(
        root, "--table", write_table(root, line, line)
    )
    assert "has no image" in refused(root, "--table", write_table(root))


def test_all_images_that_do_not_open_are_in_one_report(root: Path) -> None:
    (root / "train" / "class 2" / "IMG 1-0.jpg").write_bytes(b"")
    (root / "test" / "class 10" / "IMG 2-2.jpg").write_bytes(jpeg()[:200])
    told = refused(root)
    assert "images that do not open (2): train/class 2/IMG 1-0.jpg is empty; test/class 10/IMG 2-2.jpg does not" in told
    assert told.endswith("leave them out by dataset.leave_out or dataset.skip_damaged")
    listed = read_csv(root.parent / "images.damaged.csv", ("path", "reason"))
    assert [row["path"] for row in listed] == ["train/class 2/IMG 1-0.jpg", "test/class 10/IMG 2-2.jpg"]


def test_damaged_images_are_left_out_when_asked_to(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = "test/class 10/IMG 2-2.jpg"
    (root / damaged).write_bytes(b"")
    (root / "test" / "class 10" / "good.jpg").write_bytes(jpeg(98))
    everything = {row["path"] for row in records_of(root, capsys, leave_out=[damaged])}
    assert damaged not in everything and "test/class 10/good.jpg" in everything
    assert {row["path"] for row in records_of(root, capsys, skip_damaged=True)} == everything
    told = refusal(main, *argv(root, leave_out=["test/class 10/gone.jpg"]))
    assert "has no images that dataset.leave_out names (1): test/class 10/gone.jpg" in told


def records_of(root: Path, capsys: pytest.CaptureFixture[str], **values: object) -> list[dict[str, str]]:
    said(main, capsys, *argv(root, **values))
    return records(root)[0]


def test_leaks_are_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "test" / "class 10" / "other.jpg").write_bytes((root / "train" / "class 2" / "IMG 1-0.jpg").read_bytes())
    (root / "test" / "class 2" / "IMG 1-0.jpg").write_bytes(jpeg(99))
    log = said(main, capsys, *argv(root))
    assert (
        "1 pictures are both in training and test, so that accuracy may be too high: "
        "train/class 2/IMG 1-0.jpg and test/class 10/other.jpg"
    ) in log
    assert (
        "1 file names of a class are both in training and test, so that accuracy may be too high: "
        "train/class 2/IMG 1-0.jpg and test/class 2/IMG 1-0.jpg"
    ) in log
    assert len(records(root)[0]) == 14, "a warning, not an error"


def test_a_class_without_test_images_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "test" / "class 10" / "IMG 2-2.jpg").unlink()
    log = said(main, capsys, *argv(root))
    assert "1 classes have no test image, so that accuracy says nothing about them: class 10" in log


def test_classes_that_cannot_be_learnt_are_refused(root: Path) -> None:
    (root / "train" / "class 10" / "IMG 2-0.jpg").unlink()
    assert "classes with fewer than 2 training images, of which one is held out" in refused(root)
    for path in (root / "test").rglob("*.jpg"):
        path.unlink()
    (root / "train" / "class 10" / "more.jpg").write_bytes(jpeg(77))
    assert "has no test image at all" in refused(root)


def test_what_is_no_image_is_left_out_and_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "train" / "class 2" / "photo.heic").write_bytes(b"x")
    (root / "train" / "class 2" / ".DS_Store").write_bytes(b"x")
    (root / "train" / "class 2" / ".ipynb_checkpoints").mkdir()
    (root / "train" / "class 2" / ".ipynb_checkpoints" / "IMG 1-0.jpg").write_bytes(jpeg())
    (root / "train" / "class 3").mkdir()
    log = said(main, capsys, *argv(root))
    assert "left out 1 files that are no images by their ending: train/class 2/photo.heic" in log
    assert "left out 1 folders without any image: class 3" in log
    assert len(records(root)[0]) == 12


def test_other_mistakes_in_folders(root: Path, tmp_path: Path) -> None:
    (root / "train" / "loose.jpg").write_bytes(jpeg())
    assert "images of no class (1): train/loose.jpg" in refused(root)
    (root / "train" / "loose.jpg").unlink()
    (root / "train" / "class_2").mkdir()
    (root / "train" / "class_2" / "x.jpg").write_bytes(jpeg())
    assert "classes of the same name (1): class 2 and class_2" in refused(root)
    assert "is no folder; give dataset.root" in refusal(main, *argv(tmp_path / "nowhere"))
