"""Read a data set of one's own: a folder per split and class, or a table of images. Nothing in the folder is changed.

  python -m fieldguide.data.index_folder --root mushrooms --settings '{"splits": {"test": "val"}}' \\
      --images-out records/images.csv --classes-out records/classes.csv

Without --table the images are <root>/<split>/<class>/…, or, with the setting "classes": "path", in folders at any depth
that are a class each; with it, its columns path, class and split (and image_id, if there) say what they are. Every
image is decoded here, once, so that no later stage meets a damaged one. Those that do not open are listed with the
reason in <images-out>.damaged.csv.
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
from fieldguide.data.class_names import in_nfc
from fieldguide.data.image_store import (
    IMAGE_SUFFIXES,
    SYSTEM_FILES,
    SYSTEM_FOLDERS,
    FolderStore,
    ImageStore,
    find_unreadable,
    is_image_name,
    is_inside,
    report_unreadable,
)
from fieldguide.data.records import check_train_images, class_name, name_classes, natural, write_records
from fieldguide.data.settings import FolderSettings
from fieldguide.data.user_files import forward_slashes, read_rows

SPLITS = ("train", "test")
TABLE_COLUMNS = ("path", "class", "split")


class Photograph(NamedTuple):
    """An image as the folder or the table gives it; `path` is relative to the root."""

    path: str
    folder: str
    split: str
    image_id: str


def class_of(parts: Sequence[str], classes: str) -> str:
    """The class of a file by its path below the split: the first folder, or all of them."""
    return parts[0] if classes == "folder" else "/".join(parts[:-1])


def photographs_in(
    root: Path, files: Sequence[str], splits: Mapping[str, str], classes: str = "folder"
) -> list[Photograph]:
    """The images among the files of <split folder>/<class>/…, by our names of the splits.

    Refuses a split folder that is not there, images of no class, and a class of which no file is an image.
    """
    found: list[Photograph] = []
    others: dict[str, Counter[str]] = {}
    left_out: list[str] = []
    for split, folder in splits.items():
        top = PurePosixPath(folder)
        if not (root / top).is_dir():
            has = name_some(sorted(path.name for path in root.iterdir() if path.is_dir())) or "none"
            raise FieldguideError(
                f"{root}: has no folder {folder}/ with the images for {split}ing (its folders: {has}); "
                "name it under dataset.splits"
            )
        below = [
            (name, path.relative_to(top).parts) for name in files if (path := PurePosixPath(name)).is_relative_to(top)
        ]
        images = [(name, parts) for name, parts in below if is_image_name(name)]
        loose = [name for name, parts in images if len(parts) < 2]
        refuse_if_any(loose, f"{root}: images of no class", f"put them into {folder}/<class>/")
        found += [Photograph(name, class_of(parts, classes), split, name) for name, parts in images]
        for name, parts in below:
            if len(parts) > 1 and not is_image_name(name) and not is_of_the_system(parts[-1]):
                left_out.append(name)
                others.setdefault(in_nfc(class_of(parts, classes)), Counter())[
                    PurePosixPath(name).suffix or "no ending"
                ] += 1
    has_images = {in_nfc(one.folder) for one in found}
    lost = [
        f"{one} ({', '.join(f'{count} {ending}' for ending, count in endings.most_common())})"
        for one, endings in others.items()
        # A folder of notes within a class is none itself.
        if not any(other == one or other.startswith(f"{one}/") or one.startswith(f"{other}/") for other in has_images)
    ]
    refuse_if_any(
        lost,
        f"{root}: classes of which no file is an image by its ending",
        f"read are {', '.join(IMAGE_SUFFIXES)}; convert or rename the files to one of these, or move the folder away",
    )
    if left_out:
        log.warning("left out %d files that are no images by their ending: %s", len(left_out), name_some(left_out))
    return found


def is_of_the_system(name: str) -> bool:
    """Whether a file is hidden, or what a system puts into folders of images."""
    return name.startswith(".") or name.lower() in SYSTEM_FILES


def log_folders(root: Path, splits: Mapping[str, str], photographs: Sequence[Photograph]) -> None:
    """Name the class folders without images, and those whose images all lie in several folders below them."""
    inside: dict[str, set[str]] = {}
    for one in photographs:
        below = PurePosixPath(one.path).relative_to(splits[one.split]).parts[1:-1]
        inside.setdefault(one.folder.split("/")[0], set()).add(below[0] if below else "")
    tops = {path.name for folder in splits.values() for path in (root / folder).iterdir() if path.is_dir()}
    has = set(map(in_nfc, inside))
    empty = sorted(
        (top for top in tops if in_nfc(top) not in has and not top.startswith(".") and top not in SYSTEM_FOLDERS),
        key=natural,
    )
    if empty:
        log.warning("left out %d folders without any image: %s", len(empty), name_some(empty))
    nested = {top: sorted(below, key=natural) for top, below in inside.items() if "" not in below and len(below) > 1}
    if nested and all("/" not in one.folder for one in photographs):
        named = name_some([f"{top} ({name_some(below)})" for top, below in nested.items()], "; ")
        log.warning(
            "%d classes have all their images in several folders, which are taken as one class each: %s; to make every"
            " folder a class of its own, called by its whole path, set dataset.classes: path",
            *(len(nested), named),
        )


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
    paths = [forward_slashes(row.values["path"]) for row in rows]
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


def as_spelled(photographs: Sequence[Photograph], store: FolderStore) -> list[Photograph]:
    """The photographs of a table with their paths as the folder spells them, which may be composed where it is not."""
    if all(one.path in store for one in photographs):
        return list(photographs)
    spelled = {in_nfc(name): name for name in store.names()}

    def spell(one: Photograph) -> Photograph:
        path = one.path if one.path in store else spelled.get(in_nfc(one.path), one.path)
        return one._replace(path=path, image_id=path if one.image_id == one.path else one.image_id)

    return [spell(one) for one in photographs]


def of_one_spelling(photographs: Sequence[Photograph]) -> list[Photograph]:
    """The photographs with classes that look alike, composed here and decomposed there, called as the first of them."""
    first: dict[str, str] = {}
    for one in photographs:
        first.setdefault(in_nfc(one.folder), one.folder)
    if twice := sorted({one.folder for one in photographs} - set(first.values()), key=natural):
        log.info(
            "%d classes are spelled in two ways that look alike (composed and decomposed Unicode), and each is one: %s",
            *(len(twice), name_some(twice)),
        )
    return [one._replace(folder=first[in_nfc(one.folder)]) for one in photographs]


def without(photographs: Sequence[Photograph], left_out: Sequence[str], where: Path) -> list[Photograph]:
    """The photographs that the user does not leave out, named by their paths below the root."""
    names = {in_nfc(name): name for name in left_out}
    paths = {in_nfc(one.path) for one in photographs}
    unknown = sorted(name for spelling, name in names.items() if spelling not in paths)
    refuse_if_any(unknown, f"{where}: has no images that dataset.leave_out names", "correct their names there")
    kept = [one for one in photographs if in_nfc(one.path) not in names]
    if left_out:
        log.info("%s: left out %d images that dataset.leave_out names", where, len(photographs) - len(kept))
        gone = {one.folder for one in photographs} - {one.folder for one in kept}
        if gone:
            log.info("%s: so %d classes are left out: %s", where, len(gone), name_some(sorted(gone, key=natural)))
    return kept


def class_rows(photographs: Sequence[Photograph], where: Path, classes: str = "folder") -> list[dict[str, str]]:
    """The rows of classes.csv, numbered from 1 in the natural order of their folders' names."""
    folders = sorted({one.folder for one in photographs}, key=natural)
    parts = [folder.split("/") if classes == "path" else [folder] for folder in folders]
    return name_classes(folders, [" ".join(map(class_name, part)) for part in parts], where)


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


def same_pictures(photographs: Sequence[Photograph], hashes: Sequence[bytes]) -> list[list[Photograph]]:
    """Photographs of equal content, all of one content together."""
    by_hash: dict[bytes, list[Photograph]] = {}
    for one, digest in zip(photographs, hashes, strict=True):
        by_hash.setdefault(digest, []).append(one)
    return [same for same in by_hash.values() if len(same) > 1]


def content_hashes(store: ImageStore, names: Sequence[str], workers: int) -> list[bytes]:
    """A digest of each file's bytes."""
    with ThreadPoolExecutor(max(1, workers)) as pool:
        found = pool.map(lambda name: hashlib.blake2b(store.read(name), digest_size=16).digest(), names)
        return list(tqdm(found, "comparing", len(names), unit=" images", disable=None))


def warn_of_repeats(photographs: Sequence[Photograph], hashes: Sequence[bytes]) -> None:
    """Say in the log what stands in training and test alike, several times in one of them, or in several classes."""
    same = same_pictures(photographs, hashes)
    by_split = [{one.split: one.path for one in reversed(group)} for group in same]
    leaks = [f"{found['train']} and {found['test']}" for found in by_split if len(found) == len(SPLITS)]
    for leak, what in ((leaks, "pictures"), (same_names(photographs), "file names of a class")):
        if leak:
            log.warning(
                "%d %s are both in training and test, so that accuracy may be too high: %s",
                *(len(leak), what, name_some(leak, "; ")),
            )
    for split in SPLITS:
        paths = [[one.path for one in group if one.split == split] for group in same]
        if again := [" and ".join(some) for some in paths if len(some) > 1]:
            log.warning("%d pictures occur more than once in %s: %s", len(again), split, name_some(again, "; "))
    if torn := [group for group in same if len({one.folder for one in group}) > 1]:
        named = name_some([" and ".join(one.path for one in group) for group in torn], "; ")
        log.warning("%d pictures are of several classes at once, of which one can be right: %s", len(torn), named)


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
    if args.table:
        photographs = as_spelled(photographs_of(args.table, splits), store)
    else:
        photographs = photographs_in(root, store.files(), splits, settings.classes)
    if not photographs:
        raise FieldguideError(f"{where}: has no image; check dataset.root and dataset.splits")
    missing = [one.path for one in photographs if one.path not in store]
    if args.table:
        refuse_if_any(
            missing, f"{where}: lists images that are not in {root}", "correct the paths; they are relative to it"
        )
        foreign = [one.path for one in photographs if not is_image_name(one.path)]
        refuse_if_any(foreign, f"{where}: lists files that are no images by their ending", "take them out")
    else:
        refuse_if_any(missing, f"{root}: links to files that are not there", "mend the links, or remove them")
        log_folders(root, splits, photographs)
    photographs = without(of_one_spelling(photographs), settings.leave_out, where)
    classes = class_rows(photographs, where, settings.classes)
    check_splits(photographs, classes, where)
    unreadable = find_unreadable(store, [one.path for one in photographs], args.workers)
    report_unreadable(store, unreadable, args.images_out.with_suffix(".damaged.csv"), settings.skip_damaged, "dataset")
    photographs = [one for one in photographs if one.path not in unreadable]
    if unreadable:  # a class that loses all its images is refused, as one that has too few
        check_splits(photographs, classes, where)
    images = image_rows(photographs, classes, where)
    warn_of_repeats(photographs, content_hashes(store, [one.path for one in photographs], args.workers))
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
