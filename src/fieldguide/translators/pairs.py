"""Image/caption pairs as translators learn from them: read, some left out, some held out, some kept for measuring."""

from __future__ import annotations

import argparse
import re
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_columns
from fieldguide.core.stage import log

if TYPE_CHECKING:
    from typing import Any

    from fieldguide.core.arrays import Floats, Ints


def add_pair_options(parser: argparse.ArgumentParser) -> None:
    """The options that name image/caption pairs and their features."""
    parser.add_argument("--pairs", type=Path, required=True, help="CSV with image_id and caption")
    parser.add_argument("--pair-images", type=Path, nargs="+", required=True, help="their image features, in shards")
    parser.add_argument("--pair-texts", type=Path, nargs="+", required=True, help="their text features, in shards")


def read_pairs(path: Path) -> tuple[list[str], list[str], Ints]:
    """The distinct images' ids in order of appearance, the captions (n), and the image of each caption (n,)."""
    import numpy as np

    captions: list[str] = []
    number: dict[str, int] = {}
    image_rows = array("q")
    for image_id, caption in read_columns(path, ("image_id", "caption")):
        image_rows.append(number.setdefault(image_id, len(number)))
        captions.append(caption)
    return list(number), captions, np.array(image_rows, np.int64)


def measured_images(image_ids: Sequence[str], share: float) -> Ints:
    """The images that no translator learns from, about that share of all: conversion accuracy is measured on them.

    Chosen by a hash of their ids, so that further images move none to the other side.
    """
    import numpy as np

    return np.array([i for i, name in enumerate(image_ids) if zlib.crc32(name.encode()) < share * 2**32], np.int64)


def split_images(image_of: Ints, share: float, seed: int) -> tuple[Ints, Ints]:
    """Rows of pairs to train on and, for each held-out image, the row of its first caption; whole images are held out.

    image_of (n,): the image row of each pair, of two images at least; one at least is held out, and not all.
    """
    import numpy as np

    from fieldguide.core.random import generator

    images = np.unique(image_of)
    count = min(max(1, round(share * len(images))), len(images) - 1)
    held = generator(seed, "held-out pairs").permutation(images)[:count]
    is_held = np.isin(image_of, held)
    _, first = np.unique(image_of[is_held], return_index=True)
    return np.flatnonzero(~is_held), np.flatnonzero(is_held)[first]


def excluded_images(image_of: Ints, captions: Sequence[str], pattern: str) -> Ints:
    """The images one of whose captions matches, sorted; image_of (n,): the image of each caption."""
    import numpy as np

    wanted = re.compile(pattern, re.IGNORECASE)
    return np.unique(image_of[[wanted.search(caption) is not None for caption in captions]])


def usable_pairs(
    path: Path, image_ids: Sequence[str], captions: Sequence[str], image_of: Ints, exclude: str, test_share: float
) -> Ints:
    """Rows of the pairs that a translator may learn from: without the images excluded and those kept for measuring.

    Raises FieldguideError when fewer than two images are left.
    """
    import numpy as np

    left_out = [measured_images(image_ids, test_share)]
    if exclude:
        left_out.append(excluded_images(image_of, captions, exclude))
        log.info("left out %d of %d images whose captions match %s", len(left_out[-1]), len(image_ids), exclude)
    usable = np.flatnonzero(~np.isin(image_of, np.concatenate(left_out)))
    if len(np.unique(image_of[usable])) < 2:
        raise FieldguideError(f"{path}: fewer than two images to train on and hold out")
    return usable


@dataclass(frozen=True)
class EncodedPairs:
    """Pairs with their features, as a translator learns from them."""

    image_of: Ints  # (n,) row in `images` of each pair
    images: Floats  # (m, d) unit norm
    texts: dict[str, Any]  # arrays of the text features; "rows" (n,): each pair's distinct text
    usable: Ints  # (k,) pairs that may be learnt from
    about: dict[str, str]  # backbone and precision, as what is learnt says them in its metadata


def read_encoded(args: argparse.Namespace, names: Sequence[str], exclude: str, test_share: float) -> EncodedPairs:
    """The pairs of `add_pair_options`, with these arrays of their text features.

    Raises FieldguideError where files do not fit together, or too few pairs are left (`usable_pairs`).
    """
    from fieldguide.features.store import check_same_backbone, kept_dtype, read_features

    image_ids, captions, image_of = read_pairs(args.pairs)
    images, about_images = read_features(args.pair_images, image_ids)
    texts, about = read_features(args.pair_texts, captions, names=names)
    backbone = check_same_backbone((args.pair_images[0], about_images), (args.pair_texts[0], about))
    usable = usable_pairs(args.pairs, image_ids, captions, image_of, exclude, test_share)
    return EncodedPairs(image_of, images["features"], texts, usable, {"backbone": backbone, **kept_dtype(about)})
