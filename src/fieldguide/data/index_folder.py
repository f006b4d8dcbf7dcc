"""Read a data set of one's own: a folder per split and class, or a table of images. Nothing in the folder is changed.

  python -m fieldguide.data.index_folder --root mushrooms --settings '{"splits": {"test": "val"}}' \\
      --images-out records/images.csv --classes-out records/classes.csv

Without --table the images are <root>/<split>/<class>/…; with it, its columns path, class and split (and image_id, if
there) say what they are. Every image is decoded here, once, so that no later stage meets a damaged one. Those that do
not open are listed with the reason in <images-out>.damaged.csv.
"""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tqdm import tqdm

from fieldguide.core.errors import FieldguideError, name_some, refuse_if_any, repeated
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.data.image_store import (
    FolderStore,
    ImageStore,
    find_unreadable,
    is_image_name,
    is_inside,
    report_unreadable,
)
from fieldguide.data.records import check_train_images, class_name, name_classes, natural, write_records
from fieldguide.data.settings import FolderSettings
from fieldguide.data.user_files import read_rows

SPLITS = ("train", "test")
TABLE_COLUMNS = ("path", "class", "split")


class Photograph(NamedTuple):
    """An image as the folder or the table gives it; `path` is relative to the root."""

    path: str
    folder: str
    split: str
    image_id: str


def photographs_in(store: ImageStore, splits: Mapping[str, str]) -> list[Photograph]:
    """The images of <split folder>/<class>/…, by our names of the splits; refuses a split folder that is not there."""
    names = [path for path in map(PurePosixPath, store.names()) if not any(part.startswith(".") for part in path.parts)]
    found: list[Photograph] = []
    for split, folder in splits.items():
        top = PurePosixPath(folder)
        if not (store.path / top).is_dir():
            has = name_some(sorted(path.name for path in store.path.iterdir() if path.is_dir())) or "none"
            raise FieldguideError(
                f"{store.path}: has no folder {folder}/ with the images for {split}ing (its folders: {has}); "
                "name it under dataset.splits"
            )
        below = [(path, path.relative_to(top).parts) for path in names if path.is_relative_to(top)]
        loose = [str(path) for path, parts in below if len(parts) < 2]
        refuse_if_any(loose, f"{store.path}: images of no class", f"put them into {folder}/<class>/")
        found += [Photograph(str(path), parts[0], split, str(path)) for path, parts in below]
    return found


def log_left_out(store: ImageStore, splits: Mapping[str, str], photographs: Sequence[Photograph]) -> None:
    """Name the class folders without images, and the files that are no images by their ending."""
    classes = {one.folder for one in photographs}
    files, empty = [], set()
    for folder in splits.values():
        for top in sorted(path for path in (store.path / folder).iterdir() if path.is_dir()):
            if top.name.startswith("."):
                continue
            if top.name not in classes:
                empty.add(top.name)
            files += [
                path.relative_to(store.path).as_posix()
                for path in sorted(top.rglob("*"))
                if path.is_file() and not path.name.startswith(".") and not is_image_name(path.name)
            ]
    if empty:
        log.warning("left out %d folders without any image: %s", len(empty), name_some(sorted(empty, key=natural)))
    if files:
        log.warning("left out %d files that are no images by their ending: %s", len(files), name_some(files))


def photographs_of(table: Path, splits: Mapping[str, str]) -> list[Photograph]:
    """The images that a table lists; refuses rows without a class, of another split, or outside the root."""
    split_of = {theirs: ours for ours, theirs in splits.items()}
    rows = read_rows(table, TABLE_COLUMNS)
    bad = [f"line {row.line}: no {column}" for row in rows for column in TABLE_COLUMNS if not row.values[column]]
    refuse_if_any(bad, f"{table}: lines that lack something", "fill it in")
    other = [f"line {row.line}: {split}" for row in rows if (split := row.values["split"]) not in split_of]
    refuse_if_any(
        other,
        f"{table}: splits that are not {' or '.join(split_of)}",
        "correct the column split, or name its words under dataset.splits",
    )
    paths = [row.values["path"].replace("\\", "/") for row in rows]
    outside = [f"line {row.line}: {path}" for row, path in zip(rows, paths, strict=True) if not is_inside(path)]
    refuse_if_any(outside, f"{table}: paths that leave dataset.root", "give paths relative to it")
    paths = [str(PurePosixPath(path)) for path in paths]
    refuse_if_any(repeated(paths), f"{table}: images listed twice", "remove one of the lines of each")
    has_ids = bool(rows) and "image_id" in rows[0].values
    return [
        Photograph(
            path, row.values["class"], split_of[row.values["split"]], row.values["image_id"] if has_ids else path
        )
        for row, path in zip(rows, paths, strict=True)
    ]


def without(photographs: Sequence[Photograph], left_out: Sequence[str], where: Path) -> list[Photograph]:
    """The photographs that the user does not leave out, named by their paths below the root."""
    unknown = sorted(set(left_out) - {one.path for one in photographs})
    refuse_if_any(unknown, f"{where}: has no images that dataset.leave_out names", "correct their names there")
    if left_out:
        log.info("%s: left out %d images that dataset.leave_out names", where, len(left_out))
    return [one for one in photographs if one.path not in set(left_out)]


def class_rows(photographs: Sequence[Photograph], where: Path) -> list[dict[str, str]]:
    """The rows of classes.csv, numbered from 1 in the natural order of their folders' names."""
    folders = sorted({one.folder for one in photographs}, key=natural)
    return name_classes(folders, [class_name(folder) for folder in folders], where)


def image_rows(
    photographs: Sequence[Photograph], classes: Sequence[Mapping[str, str]], where: Path
) -> list[dict[str, str]]:
    """The rows of images.csv: by class, training images first, then by path."""
    bad = [repr(one.image_id) for one in photographs if not one.image_id or one.image_id.splitlines() != [one.image_id]]
    refuse_if_any(bad, f"{where}: image ids that are empty or not on one line", "correct them")
    refuse_if_any(repeated(one.image_id for one in photographs), f"{where}: image ids given twice", "correct them")
    class_id = {row["folder"]: row["class_id"] for row in classes}
    ordered = sorted(
        photographs, key=lambda one: (int(class_id[one.folder]), SPLITS.index(one.split), natural(one.path))
    )
    return [
        {"image_id": one.image_id, "path": one.path, "class_id": class_id[one.folder], "split": one.split}
        for one in ordered
    ]


def check_splits(photographs: Sequence[Photograph], classes: Sequence[Mapping[str, str]], where: Path) -> None:
    """Refuse classes with fewer than two training images, and no test images at all; name classes without any."""
    count = Counter((one.folder, one.split) for one in photographs)
    folders = [row["folder"] for row in classes]
    check_train_images({folder: count[folder, "train"] for folder in folders}, folders, where)
    untested = [folder for folder in folders if not count[folder, "test"]]
    if len(untested) == len(folders):
        raise FieldguideError(f"{where}: has no test image at all; name the split under dataset.splits")
    if untested:
        log.warning(
            "%d classes have no test image, so that accuracy says nothing about them: %s",
            *(len(untested), name_some(untested)),
        )


def same_names(photographs: Iterable[Photograph]) -> list[str]:
    """Files of one name in training and test, where names say something (`1.jpg` in every folder says nothing)."""
    by_name: dict[tuple[str, str], dict[str, str]] = {}
    for one in photographs:
        by_name.setdefault((one.folder, PurePosixPath(one.path).name), {})[one.split] = one.path
    return [f"{found['train']} and {found['test']}" for found in by_name.values() if len(found) == len(SPLITS)]


def same_pictures(photographs: Sequence[Photograph], hashes: Sequence[bytes]) -> list[str]:
    """Pictures of equal content in training and test: the test set leaks."""
    by_hash: dict[bytes, dict[str, str]] = {}
    for one, digest in zip(photographs, hashes, strict=True):
        by_hash.setdefault(digest, {}).setdefault(one.split, one.path)
    return [f"{found['train']} and {found['test']}" for found in by_hash.values() if len(found) == len(SPLITS)]


def content_hashes(store: ImageStore, names: Sequence[str], workers: int) -> list[bytes]:
    """A digest of each file's bytes."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        found = pool.map(lambda name: hashlib.blake2b(store.read(name), digest_size=16).digest(), names)
        return list(tqdm(found, "comparing", len(names), unit=" images", disable=None))


def warn_of_leaks(photographs: Sequence[Photograph], hashes: Sequence[bytes]) -> None:
    """Say in the log what stands in training and test alike."""
    for same, what in (
        (same_pictures(photographs, hashes), "pictures"),
        (same_names(photographs), "file names of a class"),
    ):
        if same:
            log.warning(
                "%d %s are both in training and test, so that accuracy may be too high: %s",
                *(len(same), what, name_some(same, "; ")),
            )


def run(args: argparse.Namespace) -> None:
    """Read, check and write."""
    root, where = args.root, args.table or args.root
    settings = parse_settings(FolderSettings, args.settings)
    if not root.is_dir():
        raise FieldguideError(f"{root}: is no folder; give dataset.root the folder of the images")
    splits = {"train": settings.splits.train, "test": settings.splits.test}
    if splits["train"] == splits["test"]:
        raise FieldguideError(f"dataset.splits: {splits['train']} cannot be both training and test")
    store = FolderStore(root)
    photographs = photographs_of(args.table, splits) if args.table else photographs_in(store, splits)
    if not photographs:
        raise FieldguideError(f"{where}: has no image; check dataset.root and dataset.splits")
    if not args.table:
        log_left_out(store, splits, photographs)
    missing = [one.path for one in photographs if one.path not in store]
    refuse_if_any(
        missing, f"{where}: lists images that are not in {root}", "correct the paths; they are relative to it"
    )
    foreign = [one.path for one in photographs if not is_image_name(one.path)]
    refuse_if_any(foreign, f"{where}: lists files that are no images by their ending", "take them out")
    photographs = without(photographs, settings.leave_out, where)
    check_splits(photographs, class_rows(photographs, where), where)
    unreadable = find_unreadable(store, [one.path for one in photographs], args.workers)
    report_unreadable(store, unreadable, args.images_out.with_suffix(".damaged.csv"), settings.skip_damaged, "dataset")
    photographs = [one for one in photographs if one.path not in unreadable]
    classes = class_rows(photographs, where)
    check_splits(photographs, classes, where)
    images = image_rows(photographs, classes, where)
    warn_of_leaks(photographs, content_hashes(store, [one.path for one in photographs], args.workers))
    write_records(args.images_out, args.classes_out, images, classes, root, "; all of them open")


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("data.index_folder", __doc__)
    parser.add_argument("--root", type=Path, required=True, help="the folder of the images")
    parser.add_argument("--table", type=Path, help="CSV with the columns path, class, split and, if wanted, image_id")
    parser.add_argument("--images-out", type=Path, required=True, help="table of images to write")
    parser.add_argument("--classes-out", type=Path, required=True, help="table of classes to write")
    add_settings(parser, FolderSettings)
    parser.add_argument("--workers", type=int, default=1, help="threads that decode; the result is the same")
    run_stage("index_folder", run, parser, argv)


if __name__ == "__main__":
    main()
