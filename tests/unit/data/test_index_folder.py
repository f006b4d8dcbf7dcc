"""A data set of one's own: folders or a table become the records, and what is amiss is told by name."""

from __future__ import annotations

import errno
import itertools
import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from fieldguide.core.files import read_csv
from fieldguide.data.image_store import HEIC_BRANDS, IMAGE_SUFFIXES, SYSTEM_FOLDERS
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
    (root / "train" / "class 2" / "photo.cr2").write_bytes(b"x")
    (root / "train" / "class 2" / ".DS_Store").write_bytes(b"x")
    (root / "train" / "class 2" / "Thumbs.db").write_bytes(b"x")
    (root / "train" / "class 2" / ".ipynb_checkpoints").mkdir()
    (root / "train" / "class 2" / ".ipynb_checkpoints" / "IMG 1-0.jpg").write_bytes(jpeg())
    (root / "train" / "class 3").mkdir()
    log = said(main, capsys, *argv(root))
    assert "left out 1 files that are no images by their ending: train/class 2/photo.cr2" in log
    assert "left out 1 folders without any image: class 3" in log
    assert len(records(root)[0]) == 12


@pytest.mark.parametrize("folder", SYSTEM_FOLDERS)
@pytest.mark.parametrize("place", [".", "train", "train/class 2"])
def test_folders_of_the_system_are_passed_over_and_named(
    root: Path, folder: str, place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network disk's thumbnails are no photographs of the class in whose folder they lie, nor a class."""
    (root / place / folder / "a.jpg").mkdir(parents=True)
    (root / place / folder / "a.jpg" / "SYNOFILE_THUMB_M.jpg").write_bytes(jpeg(50))
    log = said(main, capsys, *argv(root))
    assert f"passed over {(Path(place) / folder).as_posix()}" in log and "4 classes, 12 images" in log


# ---------------------------------------------------------------- links


LOOPS = [
    {"train/class 2/again": "train"},
    {"train/class 2/again": "."},
    {"train/class 2/again": "train/class 2"},
    {"train/class 2/above": ".."},
    {"train/class 2/root": "/"},
    {"train/class 2/there": "train/class 10", "train/class 10/back": "train/class 2"},
    {"train/class 2/a": "test", "test/class 2/b": "train"},
]


@pytest.mark.parametrize("links", LOOPS)
def test_a_link_to_a_folder_that_it_lies_in_is_passed_over(
    root: Path, links: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    for link, target in links.items():
        (root / link).symlink_to((root / target).resolve())
    log = said(main, capsys, *argv(root))
    assert ", a link to a folder that it lies in" in log
    # What another class's folder holds comes in once by each of its paths, and is told.
    images = records(root)[0]
    assert len(images) <= 12 + 3 * sum(len(list((root / target).rglob("*.jpg"))) for target in ("train", "test"))
    if len(images) > 12:
        assert "occur more than once in" in log or "are both in training and test" in log


def test_folders_that_are_links_are_read(root: Path) -> None:
    main([str(word) for word in argv(root)])
    wanted = records(root)
    (root / "train" / "class 2").rename(root.parent / "elsewhere")
    (root / "train" / "class 2").symlink_to(root.parent / "elsewhere")
    main([str(word) for word in argv(root)])
    assert records(root) == wanted


def test_a_link_to_nothing_is_named(root: Path) -> None:
    (root / "train" / "class 2" / "gone.jpg").symlink_to("/nowhere/gone.jpg")
    assert "links to files that are not there (1): train/class 2/gone.jpg - mend the links" in refused(root)


def test_a_folder_that_cannot_be_read_stops_the_run(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read every folder, so that the refusal of the system is played."""
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith("train/class 10"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert "train/class 10: Permission denied" in refused(root)


def test_a_picture_twice_within_a_split_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = (root / "train" / "class 2" / "IMG 1-0.jpg").read_bytes()
    (root / "train" / "class 2" / "copy.jpg").write_bytes(content)
    log = said(main, capsys, *argv(root))
    assert "1 pictures occur more than once in train: train/class 2/IMG 1-0.jpg and train/class 2/copy.jpg" in log
    assert "of several classes" not in log and "both in training and test" not in log
    (root / "train" / "class 10" / "copy.jpg").write_bytes(content)
    assert "1 pictures are of several classes at once, of which one can be right: train/class 10/copy.jpg and" in said(
        main, capsys, *argv(root)
    )


# ---------------------------------------------------------------- classes within classes


@pytest.fixture
def nested(tmp_path: Path) -> Path:
    root = tmp_path / "nested"
    for seed, (split, folder, name) in enumerate(
        itertools.product(
            ("train", "test"), ("001.Finches/Red_Finch", "001.Finches/Blue_Finch", "Wrens/002.Grey_Wren"), "ab"
        )
    ):
        (root / split / folder).mkdir(parents=True, exist_ok=True)
        (root / split / folder / f"{split}{name}.jpg").write_bytes(jpeg(seed))
    return root


def test_classes_of_several_folders_are_told_and_can_be_taken_apart(
    nested: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = said(main, capsys, *argv(nested))
    assert (
        "1 classes have all their images in several folders, which are taken as one class each: 001.Finches"
        " (Blue_Finch, Red_Finch); to make every folder a class of its own,"
        " called by its whole path, set dataset.classes: path"
    ) in log
    assert len(records(nested)[1]) == 2
    log = said(main, capsys, *argv(nested, classes="path"))
    assert "several folders" not in log
    assert [(row["folder"], row["class_name"]) for row in records(nested)[1]] == [
        ("001.Finches/Blue_Finch", "Finches Blue Finch"),
        ("001.Finches/Red_Finch", "Finches Red Finch"),
        ("Wrens/002.Grey_Wren", "Wrens Grey Wren"),
    ]


def test_folders_that_only_sort_a_classs_images_are_nothing_to_tell(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "train" / "class 2" / "more").mkdir()
    (root / "train" / "class 2" / "more" / "a.jpg").write_bytes(jpeg(60))
    assert "several folders" not in said(main, capsys, *argv(root))


# ---------------------------------------------------------------- endings


@pytest.mark.parametrize("ending", IMAGE_SUFFIXES)
def test_every_ending_that_pillow_reads_is_read(root: Path, ending: str) -> None:
    for path in (root / "train" / "class 2").iterdir():
        path.rename(path.with_suffix(ending.upper()))
    main([str(word) for word in argv(root)])
    assert sum(row["path"].endswith(ending.upper()) for row in records(root)[0]) == 2


@pytest.mark.parametrize("ending", [".svg", ".CR2", ".jxl", ""])
def test_a_class_of_which_no_file_is_an_image_stops_the_run(root: Path, ending: str) -> None:
    for split in ("train", "test"):
        for path in (root / split / "class 2").iterdir():
            path.rename(path.with_suffix(ending))
    told = refused(root)
    assert f"classes of which no file is an image by its ending (1): class 2 (3 {ending or 'no ending'})" in told
    assert ".jfif" in told and "move the folder away" in told


@pytest.mark.parametrize("name", ["IMG 1-0.jpg", "IMG 1-3.HEIC", "IMG 1-3.heif"])
@pytest.mark.parametrize("brand", HEIC_BRANDS)
def test_what_is_heic_is_named_for_what_it_is(root: Path, name: str, brand: bytes) -> None:
    (root / "train" / "class 2" / name).write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(40))
    assert f"{name} does not decode (it is HEIC; convert it to JPEG, as by: magick mogrify -format jpg)" in refused(
        root
    )


def test_a_jpeg_that_is_called_heic_is_read(root: Path) -> None:
    (root / "train" / "class 2" / "IMG 1-0.jpg").rename(root / "train" / "class 2" / "IMG 1-0.HEIC")
    main([str(word) for word in argv(root)])
    assert "train/class 2/IMG 1-0.HEIC" in {row["path"] for row in records(root)[0]}


def test_a_class_that_loses_all_its_images_stops_the_run(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost = [path for split in ("train", "test") for path in (root / split / "class 2").iterdir()]
    names = [path.relative_to(root).as_posix() for path in lost]
    for path in lost:
        path.write_bytes(b"")
    assert "classes with fewer than 2 training images" in refused(root, skip_damaged=True)
    assert "so 1 classes are left out: class 2" in said(main, capsys, *argv(root, leave_out=names)), "by name"


# ---------------------------------------------------------------- how names are spelled


FORMS = ("NFC", "NFD")
NAME = "Grünfink é 각"


@pytest.mark.parametrize("forms", list(itertools.product(FORMS, FORMS)))
def test_one_class_in_two_spellings_that_look_alike(
    root: Path, forms: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    spelled = [unicodedata.normalize(form, NAME) for form in forms]
    for split, name in zip(("train", "test"), spelled, strict=True):
        (root / split / "class 2").rename(root / split / name)
        (root / split / name / "note.txt").write_text("x")
    log = said(main, capsys, *argv(root))
    images, classes = records(root)
    assert [row["folder"] for row in classes if row["folder"] in spelled] == [spelled[0]], "as found first"
    assert len(classes) == 4 and all((root / row["path"]).is_file() for row in images)
    assert ("1 classes are spelled in two ways that look alike" in log) == (forms[0] != forms[1])
    assert "folders without any image" not in log


@pytest.mark.parametrize("forms", list(itertools.permutations(FORMS)))
def test_a_table_may_compose_what_the_folder_decomposes(root: Path, forms: tuple[str, str]) -> None:
    on_disk, in_table = (unicodedata.normalize(form, NAME) for form in forms)
    for split in ("train", "test"):
        (root / split / "class 2").rename(root / split / on_disk)
    paths = [path.relative_to(root).as_posix() for path in sorted(root.rglob("*.jpg"))]
    lines = [f"{path.replace(on_disk, in_table)},{Path(path).parent.name},{path.split('/')[0]}" for path in paths]
    table = write_table(root, *lines)
    out = unicodedata.normalize(forms[1], f"test/{NAME}/IMG 1-2.jpg")
    main([str(word) for word in argv(root, "--table", table, leave_out=[out])])
    assert {row["path"] for row in records(root)[0]} == set(paths) - {f"test/{on_disk}/IMG 1-2.jpg"}


@pytest.mark.parametrize("name", [b"caf\xe9.jpg", "鳥.jpg".encode("shift_jis"), b"\xed\xa0\x80.jpg"])
@pytest.mark.parametrize("what", ["file", "class"])
def test_names_that_are_not_utf8_are_refused_by_name(root: Path, name: bytes, what: str) -> None:
    old = root / "train" / "class 2" / ("IMG 1-0.jpg" if what == "file" else "")
    old.rename(old.parent / os.fsdecode(name))
    told = refused(root)
    assert "names that are not UTF-8" in told and name.decode("utf-8", "backslashreplace") in told
    assert f"convmv -f windows-1252 -t utf-8 -r --notest {root}" in told


def test_a_number_in_front_of_some_names_only_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split in ("train", "test"):
        (root / split / "class 2").rename(root / split / "1. FC Köln")
        (root / split / "class 10").rename(root / split / "1.8T Sedan")
    log = said(main, capsys, *argv(root))
    assert (
        "2 of 4 classes have a number in front, which is not taken for a part of their names: 1. FC Köln, 017." in log
    )
    assert {row["class_name"] for row in records(root)[1]} == {"FC Köln", "1.8T Sedan", "Death's cap", "Fly agaric"}


def test_other_mistakes_in_folders(root: Path, tmp_path: Path) -> None:
    (root / "train" / "loose.jpg").write_bytes(jpeg())
    assert "images of no class (1): train/loose.jpg" in refused(root)
    (root / "train" / "loose.jpg").unlink()
    (root / "train" / "class_2").mkdir()
    (root / "train" / "class_2" / "x.jpg").write_bytes(jpeg())
    assert "classes of the same name (1): class 2 and class_2" in refused(root)
    (root / "train" / "class_2").rename(root / "train" / "class 2 ")
    assert "classes of the same name (1): class 2 and 'class 2 '" in refused(root)
    assert "is no folder; give dataset.root" in refusal(main, *argv(tmp_path / "nowhere"))
