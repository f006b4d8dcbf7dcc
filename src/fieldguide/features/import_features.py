"""Take image features that were computed elsewhere: write the tables of images and classes, and the feature file.

  python -m fieldguide.features.import_features --features all clip.npz --backbone given_0a1b2c3d \\
      --images-out records/images.csv --classes-out records/classes.csv --out features/…/images/dataset.safetensors

A file holds the arrays features (n, d), labels (n,), splits (n,) and, if wanted, ids (n,) and class_names (c,); labels,
splits and ids may be files of their own. Without splits give two files, --features train FILE --features test FILE.
Labels are names, or whole numbers from 0 or from 1. Splits are train and test, or 1 (train) and 0.
"""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fieldguide.core.errors import FieldguideError, name_some, refuse_if_any, repeated
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.data.records import check_train_images, class_name, name_classes, natural, write_records

PARTS = ("all", "train", "test")
WORDS = {"train": "train", "training": "train", "1": "train", "test": "test", "testing": "test", "0": "test"}


class GivenImages(NamedTuple):
    """One file's images."""

    features: Any
    labels: Any
    splits: list[str]
    ids: list[str]
    paths: list[str]
    class_names: Any


def read_part(part: str, path: Path, own: Mapping[str, Mapping[str, Path]]) -> GivenImages:
    """A file's arrays, of one length; `own` has files of their own by array and part."""
    from fieldguide.features.given_features import array_of, check_one_line, numbers_if_any, unit_rows, vector_of

    given = array_of("features", path)
    assert given is not None
    features = unit_rows(given, str(path))
    count = len(features)
    labels = numbers_if_any(
        vector_of("labels", path, count, own["labels"].get(part)), f"{own['labels'].get(part) or path}: labels"
    )
    ids = vector_of("ids", path, count, own["ids"].get(part), needed=False)
    if part == "all":
        given = numbers_if_any(vector_of("splits", path, count, own["splits"].get(part)), f"{path}: splits")
        assert given is not None
        words = [str(word).casefold() for word in given.tolist()]
        bad = [f"row {row}: {word}" for row, word in enumerate(words) if word not in WORDS]
        refuse_if_any(bad, f"{path}: splits that are not train or test, 1 or 0", "correct them")
        splits = [WORDS[word] for word in words]
    else:
        splits = [part] * count
    prefix = "" if part == "all" else f"{part}-"
    named = [f"{prefix}{row}" for row in range(count)] if ids is None else [str(one) for one in ids.tolist()]
    check_one_line(named, f"{path}: ids")
    paths = [f"{path.name}#{row}" for row in range(count)]
    return GivenImages(features, labels, splits, named, paths, array_of("class_names", path, needed=False))


def read_labels(labels: Any, names: Sequence[str], where: str) -> tuple[list[str], list[str]]:
    """Distinct labels in order, as strings, and the classes' names.

    `names` are the classes of labels that are whole numbers: from 0 where a 0 occurs, from 1 where the number of names
    does; without them a class is called by its label. Raises FieldguideError for numbers out of range.
    """
    import numpy as np

    distinct = np.unique(labels)
    if distinct.dtype.kind == "U":
        if names:
            unknown = sorted(set(distinct.tolist()) - set(names), key=natural)
            refuse_if_any(unknown, f"{where}: labels that are none of the class names", "correct one of the two")
        ordered = sorted(distinct.tolist(), key=list(names).index if names else natural)
        return ordered, ordered
    numbers = [int(number) for number in distinct]
    if not names:
        refuse_if_any([str(n) for n in numbers if n < 0], f"{where}: labels below 0", "number the classes from 0")
        return [str(n) for n in numbers], [str(n) for n in numbers]
    first = 0 if numbers[0] <= 0 else 1
    if first and numbers[-1] < len(names):
        raise FieldguideError(
            f"{where}: labels go from {numbers[0]} to {numbers[-1]} for {len(names)} class names, which leaves open "
            "whether they count from 0 or from 1; name only the classes that have images"
        )
    out = [str(n) for n in numbers if not first <= n < first + len(names)]
    refuse_if_any(out, f"{where}: labels out of range for {len(names)} class names", "correct the labels or the names")
    return [str(n) for n in numbers], [names[n - first] for n in numbers]


def check_classes(labels: Sequence[str], splits: Sequence[str], folders: Sequence[str], where: str) -> None:
    """Refuse classes with too few training images or without test images."""
    count = Counter(zip(labels, splits, strict=True))
    check_train_images({one: count[one, "train"] for one in folders}, folders, where)
    untested = [one for one in folders if not count[one, "test"]]
    refuse_if_any(untested, f"{where}: classes without test images", "give them more, or take the class out")


def log_repeats(features: Any, splits: Sequence[str], where: str) -> None:
    """Say in the log which rows of features (n, d) are in training and test alike, or several times in one of them."""
    rows_of: dict[bytes, list[int]] = {}
    for row, feature in enumerate(features):
        rows_of.setdefault(hashlib.blake2b(feature.tobytes(), digest_size=16).digest(), []).append(row)
    leaks: list[str] = []
    repeats: list[str] = []
    for rows in rows_of.values():
        if len(rows) > 1:
            (repeats if len({splits[row] for row in rows}) == 1 else leaks).append(" and ".join(map(str, rows)))
    for found, what in (
        (leaks, "are both in training and test, so that accuracy may be too high"),
        (repeats, "occur more than once"),
    ):
        if found:
            log.warning("%s: %d features %s: rows %s", where, len(found), what, name_some(found, "; "))


def class_list(parts: Sequence[GivenImages], path: Path | None) -> list[str]:
    """The class names, from a file of their own or from the arrays `class_names`, which must agree; else none."""
    from fieldguide.features.given_features import check_one_line, names_of, read_arrays

    given = [part.class_names for part in parts if part.class_names is not None]
    if path:
        given = list(read_arrays(path).values())
    where = str(path or "class_names")
    lists = [names_of(one, where) for one in given]
    if not lists:
        return []
    if any(one != lists[0] for one in lists):
        raise FieldguideError("class_names differ between the files of training and test images; make them the same")
    check_one_line(lists[0], where)
    refuse_if_any(repeated(name.casefold() for name in lists[0]), f"{where}: class names given twice", "correct them")
    return lists[0]


def run(args: argparse.Namespace) -> None:
    """Read, check and write."""
    import numpy as np

    from fieldguide.features.store import save_features

    files, own = args.features, {"labels": args.labels, "splits": args.splits, "ids": args.ids}
    if set(files) not in ({"all"}, {"train", "test"}):
        raise FieldguideError("dataset: give `images`, or `train` and `test`, as the features of the images")
    parts = [read_part(part, files[part], own) for part in PARTS if part in files]
    where = " and ".join(map(str, files.values()))
    widths = {part.features.shape[1] for part in parts}
    if len(widths) > 1:
        raise FieldguideError(
            f"{where}: features are {' and '.join(map(str, sorted(widths)))} wide; encode both with one model"
        )
    if len({part.labels.dtype.kind == "U" for part in parts}) > 1:
        raise FieldguideError(f"{where}: labels are names in one and numbers in the other; give both alike")
    labels = np.concatenate([part.labels for part in parts])
    folders, names = read_labels(labels, class_list(parts, args.class_names), where)
    classes = name_classes(folders, [class_name(name) for name in names], where)
    splits = [split for part in parts for split in part.splits]
    ids = [one for part in parts for one in part.ids]
    paths = [path for part in parts for path in part.paths]
    refuse_if_any(repeated(ids), f"{where}: ids given twice", "correct them")
    own_names = [str(label) for label in labels.tolist()]
    check_classes(own_names, splits, folders, where)
    class_id = {row["folder"]: row["class_id"] for row in classes}
    images = [
        {"image_id": one, "path": path, "class_id": class_id[label], "split": split}
        for one, path, label, split in zip(ids, paths, own_names, splits, strict=True)
    ]
    features = np.concatenate([part.features for part in parts])
    log_repeats(features, splits, where)
    save_features(args.out, {"features": features}, ids, args.backbone, {"kind": "image"})
    write_records(
        args.images_out, args.classes_out, images, classes, where, f"; {features.shape[1]} wide, in {args.out}"
    )


class ByPart(argparse.Action):
    """Collects PART FILE into a mapping; each part once."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any) -> None:
        part, file = values
        found = getattr(namespace, self.dest)
        if part not in PARTS or part in found:
            parser.error(f"{self.option_strings[0]} {part}: should be one of {', '.join(PARTS)}, each given once")
        setattr(namespace, self.dest, {**found, part: Path(file)})


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("features.import_features", __doc__)
    for option, what in (
        ("features", "the file of features; all, or train and test"),
        ("labels", "a file of its own for the labels"),
        ("splits", "a file of its own for the splits, of all images"),
        ("ids", "a file of its own for the ids"),
    ):
        parser.add_argument(
            f"--{option}",
            action=ByPart,
            nargs=2,
            default={},
            metavar=("PART", "FILE"),
            help=what,
            required=option == "features",
        )
    parser.add_argument("--class-names", type=Path, help="a file of the class names, in the order of their numbers")
    parser.add_argument("--backbone", required=True, help="the key to write down as what encoded them")
    parser.add_argument("--images-out", type=Path, required=True, help="table of images to write")
    parser.add_argument("--classes-out", type=Path, required=True, help="table of classes to write")
    parser.add_argument("--out", type=Path, required=True, help="feature file to write")
    run_stage("import_features", run, parser, argv, imports=("numpy", "safetensors.numpy"))


if __name__ == "__main__":
    main()
