"""Read COCO's captions: pairs of an image and a caption, on which translators are trained. Both zips are read in place.

Pairs of one's own are a CSV or TSV with the columns path and caption, paths relative to the folder or zip of images.

`images` takes the first images of one seeded order, so a larger number keeps all images of a smaller one. Images that
do not open are listed with the reason in <out>.damaged.csv.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fieldguide.core.errors import FieldguideError, name_some, refuse_if_any, repeated
from fieldguide.core.files import write_csv
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.data.archives import (
    DAMAGE,
    NO_LIMITS,
    Limits,
    too_large,
    zip_content,
    zip_entries,
)
from fieldguide.data.image_store import HINT, ImageStore, find_unreadable, open_image_store, report_unreadable
from fieldguide.data.records import PAIR_COLUMNS
from fieldguide.data.settings import PairStageSettings
from fieldguide.data.user_files import DELIMITERS, Row, forward_slashes, read_rows


class Caption(NamedTuple):
    """A caption of an image."""

    pair_id: int
    image_id: int
    text: str


def read_annotations(path: Path, split: str, limits: Limits = NO_LIMITS) -> Any:
    """`captions_<split>.json`, from the annotations' zip or from a file of its own."""
    if not path.exists():
        raise FieldguideError(f"{path}: does not exist; put COCO's annotations there, or name their place")
    if path.is_dir():
        found = next(path.rglob(f"captions_{split}.json"), None)
        if found is None:
            raise FieldguideError(f"{path}: has no captions_{split}.json; check the split and the folder")
        path = found
    if path.suffix.lower() in DELIMITERS:
        return annotations_of(read_rows(path, ("path", "caption")))
    is_zip = path.suffix.lower() == ".zip"
    if is_zip:
        text = read_from_zip(path, f"captions_{split}.json", limits)
    elif path.stat().st_size > limits.size:
        raise too_large(path, limits)
    else:
        text = path.read_bytes()
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        what = "is damaged, or no zip of JSON" if is_zip else "is not JSON"
        raise FieldguideError(f"{path}: {what} ({error}); {HINT}") from error


def read_from_zip(path: Path, file_name: str, limits: Limits) -> bytes:
    """The one file of that name in a zip, in whatever folder."""
    try:
        entries = zip_entries(path, limits)
        found = [entry for entry in entries if entry.orig_filename.rpartition("/")[2] == file_name]
        if not found:
            has = name_some([entry.orig_filename for entry in entries])
            raise FieldguideError(f"{path}: has no {file_name} (it has {has}); check the split and the archive")
        if len(found) > 1:
            names = name_some([entry.orig_filename for entry in found])
            raise FieldguideError(f"{path}: has {file_name} more than once ({names}); pack one of them alone")
        with path.open("rb") as stream:
            return b"".join(zip_content(stream.fileno(), found[0]))
    except DAMAGE as error:
        raise FieldguideError(f"{path}: is damaged, or no zip of JSON ({error}); {HINT}") from error


def annotations_of(rows: Sequence[Row]) -> dict[str, Any]:
    """Rows of path and caption as COCO has them: images numbered in the order of their paths, captions by line."""
    paths = [forward_slashes(row.values["path"]) for row in rows]
    number = {path: i for i, path in enumerate(sorted(set(paths)), 1)}
    return {
        "images": [{"id": image_id, "file_name": path} for path, image_id in number.items()],
        "annotations": [
            {"id": row.line, "image_id": number[path], "caption": row.values["caption"]}
            for row, path in zip(rows, paths, strict=True)
        ],
    }


def parse_images(annotations: Any, path: Path) -> dict[int, str]:
    """Image file names by id; two images of one id, or one image under two, are refused by name."""
    items = _items(annotations, "images", path)
    images = [(int(item["id"]), forward_slashes(str(item["file_name"]))) for item in items]
    refuse_if_any([str(i) for i in repeated(i for i, _ in images)], f"{path}: two images of one id", HINT)
    refuse_if_any(repeated(name for _, name in images), f"{path}: an image listed under two ids", HINT)
    return dict(images)


def parse_captions(annotations: Any, images: Mapping[int, str], path: Path) -> list[Caption]:
    """The captions with their spaces put right, by image and caption id; empty ones are dropped and counted."""
    found = [
        Caption(int(item["id"]), int(item["image_id"]), str(item["caption"]))
        for item in _items(annotations, "annotations", path)
    ]
    refuse_if_any([str(i) for i in repeated(c.pair_id for c in found)], f"{path}: two captions of one id", HINT)
    unwritable = [f"caption {c.pair_id}" for c in found if not is_writable(c.text)]
    refuse_if_any(unwritable, f"{path}: captions with half a character (a lone surrogate)", HINT)
    unknown = [f"caption {c.pair_id} of image {c.image_id}" for c in found if c.image_id not in images]
    refuse_if_any(unknown, f"{path}: captions of images that it does not list", HINT)
    clean = [caption._replace(text=" ".join(caption.text.split())) for caption in found]
    kept = sorted((c for c in clean if c.text), key=lambda c: (c.image_id, c.pair_id))
    changed = sum(old.text != new.text for old, new in zip(found, clean, strict=True) if new.text)
    log.info(
        "%s: %d images, %d captions; dropped %d empty ones, corrected spaces in %d",
        *(path, len(images), len(found), len(found) - len(kept), changed),
    )
    return kept


def is_writable(text: str) -> bool:
    """Whether a text can be written as UTF-8; JSON can hold one that cannot."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _items(annotations: Any, key: str, path: Path) -> list[Any]:
    needed = {"images": ("id", "file_name"), "annotations": ("id", "image_id", "caption")}[key]
    items = annotations.get(key) if isinstance(annotations, dict) else None
    if not isinstance(items, list):
        raise FieldguideError(f"{path}: has no list {key!r}; give COCO's captions_<split>.json")
    for number, item in enumerate(items):
        ids_good = isinstance(item, dict) and all(
            type(item.get(name)) is (int if name.endswith("id") else str) for name in needed
        )
        if not ids_good:
            raise FieldguideError(f"{path}: {key}[{number}] lacks a proper {' or '.join(needed)}; {HINT}")
    return items


def without(captions: Sequence[Caption], pattern: re.Pattern[str]) -> list[Caption]:
    """The captions of images of which no caption matches."""
    excluded = {caption.image_id for caption in captions if pattern.search(caption.text)}
    return [caption for caption in captions if caption.image_id not in excluded]


def left_out_ids(names: Sequence[str], file_names: Mapping[int, str], split: str, path: Path) -> set[int]:
    """The images that the user leaves out, named as in the annotations or as in the image archive."""
    named = {name.removeprefix(f"{split}/") for name in names}
    unknown = sorted(named - set(file_names.values()))
    refuse_if_any(unknown, f"{path}: does not list images that pairs.leave_out names", "correct their names there")
    return {image_id for image_id, file_name in file_names.items() if file_name in named}


def chosen_images(image_ids: Sequence[int], limit: int, seed: int) -> set[int]:
    """The first `limit` images of a seeded order in which no image's place depends on the others; 0 is all."""
    if not limit:
        return set(image_ids)
    return set(sorted(image_ids, key=lambda i: hashlib.sha256(f"{seed}:{i}".encode()).digest())[:limit])


def image_paths(store: ImageStore, file_names: Mapping[int, str], split: str) -> dict[int, str]:
    """Each image's name in the store, under the split's folder or at the top; missing ones are refused by name."""
    paths, missing = {}, []
    for image_id, file_name in file_names.items():
        path = next((name for name in (f"{split}/{file_name}", file_name) if name in store), None)
        if path is None:
            missing.append(f"{split}/{file_name}")
        else:
            paths[image_id] = path
    refuse_if_any(missing, f"{store.path}: lacks images that have captions", HINT)
    return paths


def compile_pattern(pattern: str) -> re.Pattern[str] | None:
    """The pattern of `exclude`, in any case; None where there is none."""
    if not pattern:
        return None
    try:
        return re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise FieldguideError(f"exclude {pattern!r}: is not a regular expression ({error}); correct it") from error


def run(args: argparse.Namespace) -> None:
    """Read, choose, check and write."""
    settings = parse_settings(PairStageSettings, args.settings)
    pattern = compile_pattern(settings.exclude)
    split, limits = settings.split, Limits.of(settings.image_limits)
    annotations = read_annotations(args.annotations, split, Limits.of(settings.annotation_limits))
    file_names = parse_images(annotations, args.annotations)
    captions = parse_captions(annotations, file_names, args.annotations)
    del annotations  # the largest thing in memory
    if left_out := left_out_ids(settings.leave_out, file_names, split, args.annotations):
        log.info("left out %d images that pairs.leave_out names", len(left_out))
        file_names = {i: name for i, name in file_names.items() if i not in left_out}
        captions = [caption for caption in captions if caption.image_id not in left_out]
    described = {caption.image_id for caption in captions}
    if len(described) < len(file_names):
        log.info("left out %d images without any caption", len(file_names) - len(described))
    if pattern:
        captions = without(captions, pattern)
        kept = {caption.image_id for caption in captions}
        log.info("exclude %s: left out %d of %d images", settings.exclude, len(described) - len(kept), len(described))
        described = kept
    if not described:
        raise FieldguideError(f"{args.annotations}: no image is left; check exclude and the captions")
    chosen = chosen_images(sorted(described), settings.images, settings.seed)
    store = open_image_store(args.images, limits)
    paths = image_paths(store, {i: file_names[i] for i in sorted(chosen)}, split)
    if settings.check == "decode":
        unreadable = find_unreadable(store, paths.values(), args.workers)
        report_unreadable(store, unreadable, args.out.with_suffix(".damaged.csv"), settings.skip_damaged, "pairs")
        chosen = {image_id for image_id in chosen if paths[image_id] not in unreadable}
        if not chosen:
            raise FieldguideError(f"{args.images}: no image that opens is left; {HINT}")
    rows = [
        {"pair_id": c.pair_id, "image_id": c.image_id, "path": paths[c.image_id], "caption": c.text}
        for c in captions
        if c.image_id in chosen
    ]
    write_csv(args.out, PAIR_COLUMNS, rows)
    if settings.images > len(described):
        log.info("images %d: only %d images are there", settings.images, len(described))
    log.info("%s: %d pairs of %d images", args.images, len(rows), len(chosen))


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("data.index_pairs", __doc__)
    parser.add_argument("--images", type=Path, required=True, help="train2017.zip, or a folder")
    parser.add_argument("--annotations", type=Path, required=True, help="annotations_trainval2017.zip, .json or .csv")
    parser.add_argument("--workers", type=int, default=1, help="threads that decode; the result is the same")
    add_settings(parser, PairStageSettings)
    parser.add_argument("--out", type=Path, required=True, help="table of pairs to write")
    run_stage("index_pairs", run, parser, argv)


if __name__ == "__main__":
    main()
