"""Read Reed et al.'s captions: ten for each image, of which only those of training images are taken.

An image's captions are found by its file name, as some class folders are spelled otherwise than CUB's; the folder has
to agree with the image's class by the rule of `data.class_names`, or by the source's own `class_names`.
"""

from __future__ import annotations

import argparse
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from tqdm import tqdm

from fieldguide.core.errors import FieldguideError, refuse_if_any, repeated
from fieldguide.core.files import read_csv
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.data.class_names import ClassRule
from fieldguide.data.image_store import HINT
from fieldguide.data.records import CLASS_COLUMNS, IMAGE_COLUMNS
from fieldguide.texts.settings import CaptionSettings
from fieldguide.texts.table import TextRow, write_texts

FIELD = "caption"
# What became of a three-byte apostrophe, and of anything else that was no ASCII (mostly non-breaking spaces), when
# each byte was replaced by U+FFFD before publication.
LOST_APOSTROPHE = re.compile(r"(?<=[^\W\d_])\ufffd{3}(?=(?:s|t|d|m|ll|re|ve)\b)")
LOST = re.compile("\ufffd+")
WORD = re.compile(r"[^\W\d_]{2}")


class Captions(NamedTuple):
    """A file's captions, and how many lines were dropped or put right."""

    texts: list[str]
    dropped: int
    cleaned: int


def clean_caption(line: str) -> str:
    """A caption with plain spaces and without control characters; empty when no word is left."""
    text = LOST.sub(" ", LOST_APOSTROPHE.sub("'", unicodedata.normalize("NFKC", line)))
    text = "".join(
        " " if (kind := unicodedata.category(c)) in ("Cc", "Cs", "Co", "Cn") else "" if kind == "Cf" else c
        for c in text
    )
    text = " ".join(text.split())
    return text if WORD.search(text) else ""


def parse_captions(data: bytes) -> Captions:
    """The captions in a file, one a line; UTF-8, else Windows-1252."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n").split("\n")
    texts = [clean_caption(line) for line in lines]
    cleaned = sum(bool(text) and text != line for line, text in zip(lines, texts, strict=True))
    kept = [text for text in texts if text]
    return Captions(kept, len(texts) - len(kept), cleaned)


def caption_files(root: Path) -> dict[str, list[Path]]:
    """The caption files below a folder, by the file name of their image without its ending."""
    files: dict[str, list[Path]] = {}
    for path in sorted(root.glob("*/*.txt")):
        if not path.name.startswith("."):
            files.setdefault(path.stem, []).append(path)
    if not files:
        raise FieldguideError(f"{root}: has no <class>/<image>.txt; give the folder text_c10 of Reed et al.'s captions")
    return files


def match_files(
    images: Sequence[Mapping[str, str]], files: Mapping[str, Sequence[Path]], root: Path
) -> dict[str, Path]:
    """Each image's caption file, by image id; images without one, or with two, are refused by name."""
    stems = [stem_of(row) for row in images]
    refuse_if_any(
        repeated(stems), f"{root}: captions are found by image file name, but images share one", "rename one of each"
    )
    lacking = [row["path"] for row, stem in zip(images, stems, strict=True) if stem not in files]
    refuse_if_any(lacking, f"{root}: training images without a caption file", HINT)
    twice = [" and ".join(map(str, files[stem])) for stem in stems if len(files[stem]) > 1]
    refuse_if_any(twice, f"{root}: training images with two caption files", "remove one of each")
    return {row["image_id"]: files[stem][0] for row, stem in zip(images, stems, strict=True)}


def check_folders(
    images: Sequence[Mapping[str, str]],
    paths: Mapping[str, Path],
    classes: Sequence[Mapping[str, str]],
    names: Mapping[str, str],
    root: Path,
) -> dict[str, str]:
    """The folders that are spelled otherwise than their images' class folder, with that one; others are refused.

    `names` gives classes, by name, folder or id, for folders that the rule of `class_names` does not match.
    """
    rule = ClassRule(classes)
    otherwise: dict[str, str] = {}
    wrong = []
    for row in images:
        path, class_id = paths[row["image_id"]], row["class_id"]
        folder, ours = path.parent.name, rule.rows[class_id]["folder"]
        if folder == ours or otherwise.get(folder) == ours:
            continue
        if rule.is_called(names.get(folder, folder), class_id) or names.get(folder) == class_id:
            otherwise[folder] = ours
        else:
            wrong.append(f"{folder}/{path.name} (the image is of {ours})")
    refuse_if_any(
        wrong,
        f"{root}: captions in the folder of another class than their image's",
        "move them, or write `their folder: our class` under `class_names` of the text source",
    )
    return otherwise


def stem_of(image: Mapping[str, str]) -> str:
    """An image's file name without its ending."""
    return PurePosixPath(image["path"]).stem


def index_captions(args: argparse.Namespace) -> None:
    """Read, check and write."""
    root: Path = args.root
    settings = parse_settings(CaptionSettings, args.settings)
    images = [row for row in read_csv(args.images, IMAGE_COLUMNS) if row["split"] == "train"]
    classes = read_csv(args.classes, CLASS_COLUMNS)
    names = {row["class_id"]: row["class_name"] for row in classes}
    unknown = sorted({row["class_id"] for row in images} - names.keys())
    refuse_if_any(unknown, f"{args.classes}: lacks classes of {args.images}", "make both again with index_images")
    paths = match_files(images, caption_files(root), root)
    otherwise = check_folders(images, paths, classes, settings.class_names, root)
    # `disable=None`: no bar where stderr is not a terminal.
    read = {
        image_id: parse_captions(path.read_bytes())
        for image_id, path in tqdm(paths.items(), "reading", unit=" files", disable=None)
    }
    empty = [str(paths[image_id]) for image_id, captions in read.items() if not captions.texts]
    refuse_if_any(empty, f"{root}: caption files of training images without any caption", HINT)
    write_texts(
        args.out,
        (
            TextRow(row["class_id"], names[row["class_id"]], row["image_id"], FIELD, text)
            for row in images
            for text in read[row["image_id"]].texts
        ),
    )
    _log_counts(root, images, list(read.values()))
    if otherwise:
        named = ", ".join(f"{theirs} ({ours})" for theirs, ours in sorted(otherwise.items()))
        log.info("%d class folders are spelled differently from the images': %s", len(otherwise), named)


def _log_counts(root: Path, images: Sequence[Mapping[str, str]], read: Sequence[Captions]) -> None:
    texts = [text for captions in read for text in captions.texts]
    log.info("%s: %d captions of %d training images, %d distinct", root, len(texts), len(images), len(set(texts)))
    per_image = Counter(len(captions.texts) for captions in read)
    if set(per_image) != {10}:
        counts = ", ".join(f"{count} images have {number}" for number, count in sorted(per_image.items()))
        log.info("captions for an image, usually 10: %s", counts)
    dropped, cleaned = sum(c.dropped for c in read), sum(c.cleaned for c in read)
    if dropped or cleaned:
        log.info("dropped %d lines without a word, corrected %d (spaces, lost characters)", dropped, cleaned)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("texts.index_captions", __doc__)
    parser.add_argument("--root", type=Path, required=True, help="the unpacked folder text_c10")
    parser.add_argument("--images", type=Path, required=True, help="table of images, from index_images")
    parser.add_argument("--classes", type=Path, required=True, help="table of classes, from index_images")
    add_settings(parser, CaptionSettings)
    parser.add_argument("--out", type=Path, required=True, help="table of texts to write")
    run_stage("index_captions", index_captions, parser, argv)


if __name__ == "__main__":
    main()
