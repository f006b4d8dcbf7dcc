"""Read a data set in CUB-200-2011's layout: which image is of which class, and in which split.

Every listed image is decoded here, once, so that no later stage meets a damaged one. Those that do not open are listed
with the reason in <images-out>.damaged.csv.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from fieldguide.core.errors import FieldguideError, name_some, refuse_if_any
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.data.image_store import HINT, find_unreadable, open_image_store, report_unreadable
from fieldguide.data.records import check_train_images, class_name, write_records
from fieldguide.data.settings import ImageSelection
from fieldguide.data.user_files import read_lines

SPLITS = {"1": "train", "0": "test"}


class Entry(NamedTuple):
    """What a list says of an id, and on which line."""

    value: str
    line: int


def read_list(path: Path) -> dict[int, Entry]:
    """A list of `id value` lines; raises FieldguideError naming the file and the line of a bad or second id."""
    if not path.is_file():
        raise FieldguideError(f"{path}: is missing; the folder must have the layout of CUB_200_2011")
    entries: dict[int, Entry] = {}
    for number, line in read_lines(path):
        key, *rest = line.split(maxsplit=1)
        if not (key.isascii() and key.isdigit()) or not rest:
            raise FieldguideError(f"{path}, line {number}: {line!r} is not an id and a value; correct the line")
        if int(key) in entries:
            raise FieldguideError(
                f"{path}, line {number}: the id {key} is given twice, first on line {entries[int(key)].line}; "
                "remove one of the two lines"
            )
        entries[int(key)] = Entry(rest[0], number)
    if not entries:
        raise FieldguideError(f"{path}: is empty; {HINT}")
    return entries


def check_unique(entries: Mapping[int, Entry], path: Path, what: str) -> None:
    """Refuse a value given under two ids."""
    first: dict[str, int] = {}
    for key, (value, line) in entries.items():
        if value in first:
            raise FieldguideError(
                f"{path}, line {line}: the {what} {value} has two ids, {first[value]} and {key}; remove one of them"
            )
        first[value] = key


def check_same_ids(images: Mapping[int, Entry], others: Mapping[int, Entry], path: Path, what: str) -> None:
    """Refuse images without an entry in another list, and entries there of unknown images."""
    lacking = [f"{key} ({images[key].value})" for key in images if key not in others]
    refuse_if_any(lacking, f"{path}: lacks the {what} of images listed in images.txt", "add their lines")
    unknown = [f"{key} (line {others[key].line})" for key in others if key not in images]
    refuse_if_any(unknown, f"{path}: gives the {what} of ids that images.txt does not list", "remove their lines")


def check_values(entries: Mapping[int, Entry], path: Path, good: Callable[[str], bool], must: str) -> None:
    """Refuse values that are not what they must be."""
    bad = [f"line {line}, image {key}: {value}" for key, (value, line) in entries.items() if not good(value)]
    refuse_if_any(bad, f"{path}: values that are not {must}", "correct the lines")


def image_rows(root: Path, classes: Mapping[int, Entry]) -> list[dict[str, str]]:
    """The rows of images.csv, in the order of their ids; every inconsistency of the lists is refused."""
    images = read_list(root / "images.txt")
    labels = read_list(root / "image_class_labels.txt")
    flags = read_list(root / "train_test_split.txt")
    check_unique(images, root / "images.txt", "image")
    check_same_ids(images, labels, root / "image_class_labels.txt", "class label")
    check_same_ids(images, flags, root / "train_test_split.txt", "split flag")
    known = {str(key) for key in classes}
    check_values(labels, root / "image_class_labels.txt", known.__contains__, f"one of classes.txt's {len(known)} ids")
    check_values(flags, root / "train_test_split.txt", SPLITS.__contains__, "1 (train) or 0 (test)")
    wrong = [
        f"line {line}, image {key}: {path}, labelled {labels[key].value} ({folder})"
        for key, (path, line) in images.items()
        if str(PurePosixPath(path).parent) != (folder := classes[int(labels[key].value)].value)
    ]
    refuse_if_any(wrong, f"{root / 'images.txt'}: images in the folder of another class than their label's", HINT)
    return [
        {
            "image_id": str(key),
            "path": f"images/{images[key].value}",
            "class_id": labels[key].value,
            "split": SPLITS[flags[key].value],
        }
        for key in sorted(images)
    ]


def without(rows: Sequence[dict[str, str]], left_out: Sequence[str], path: Path) -> list[dict[str, str]]:
    """The rows without images that the user leaves out, named as in images.txt or as in images.csv."""
    named = {name.removeprefix("images/") for name in left_out}
    unknown = sorted(named - {row["path"].removeprefix("images/") for row in rows})
    refuse_if_any(unknown, f"{path}: does not list images that dataset.leave_out names", "correct their names there")
    return [row for row in rows if row["path"].removeprefix("images/") not in named]


def class_rows(classes: Mapping[int, Entry], rows: Sequence[Mapping[str, str]], path: Path) -> list[dict[str, str]]:
    """The rows of classes.csv, in the order of their ids.

    A class without any image at all is left out, as cut-down archives keep all of classes.txt; one with too few
    training images or without test images is refused.
    """
    count = Counter((row["class_id"], row["split"]) for row in rows)
    kept, left_out = [], []
    for key, (folder, _) in sorted(classes.items()):
        has = {split: count[str(key), split] for split in SPLITS.values()}
        if not any(has.values()):
            left_out.append(folder)
            continue
        kept.append((key, folder))
        for split, word in (("train", "training"), ("test", "test")):
            if not has[split]:
                raise FieldguideError(
                    f"{path.parent / 'train_test_split.txt'}: the class {key} ({folder}) has no {word} image; "
                    "give it some, or remove the class and its images from the lists"
                )
    train = {folder: count[str(key), "train"] for key, folder in kept}
    check_train_images(train, list(train), path.parent / "train_test_split.txt")
    if left_out:
        log.info("%s: left out %d classes without any image: %s", path, len(left_out), name_some(left_out))
    return [{"class_id": str(key), "class_name": class_name(folder), "folder": folder} for key, folder in kept]


def run(args: argparse.Namespace) -> None:
    """Read, check and write."""
    root: Path = args.root
    settings = parse_settings(ImageSelection, args.settings)
    classes = read_list(root / "classes.txt")
    check_unique(classes, root / "classes.txt", "class")
    listed = image_rows(root, classes)
    images = without(listed, settings.leave_out, root / "images.txt")
    if len(images) < len(listed):
        log.info("%s: left out %d images that dataset.leave_out names", root, len(listed) - len(images))
    named = class_rows(classes, images, root / "classes.txt")
    store = open_image_store(root)
    paths = [row["path"] for row in images]
    missing = [path for path in paths if path not in store]
    refuse_if_any(missing, f"{root}: lacks images that images.txt lists", HINT)
    unreadable = find_unreadable(store, paths, args.workers)
    report_unreadable(store, unreadable, args.images_out.with_suffix(".damaged.csv"), settings.skip_damaged, "dataset")
    if unreadable:
        images = [row for row in images if row["path"] not in unreadable]
        left = {row["class_id"] for row in images}
        lost = [row["folder"] for row in named if row["class_id"] not in left]
        refuse_if_any(
            lost, f"{root}: classes of which no image opens", "mend their images, or name them in dataset.leave_out"
        )
        named = class_rows(classes, images, root / "classes.txt")
    write_records(args.images_out, args.classes_out, images, named, root, "; all of them open")


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("data.index_images", __doc__)
    parser.add_argument("--root", type=Path, required=True, help="the folder with images.txt, classes.txt and images/")
    parser.add_argument("--images-out", type=Path, required=True, help="table of images to write")
    parser.add_argument("--classes-out", type=Path, required=True, help="table of classes to write")
    parser.add_argument("--workers", type=int, default=1, help="threads that decode; the result is the same")
    add_settings(parser, ImageSelection)
    run_stage("index_images", run, parser, argv)


if __name__ == "__main__":
    main()
