"""The world's pairs as translators learn from them: read, some left out, some held out, some kept for measuring."""

from __future__ import annotations

import re
import zlib
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fieldguide.core.arrays import Ints
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_columns
from fieldguide.core.stage import log

if TYPE_CHECKING:
    pass


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

    Chosen by a hash of their ids, so that another number of images in the world moves none to the other side.
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


def fault_of_expression(pattern: str) -> str:
    """What is wrong with a regular expression; empty if nothing is."""
    try:
        re.compile(pattern)
    except re.error as error:
        return str(error)
    return ""


def excluded_images(image_of: Ints, captions: Sequence[str], pattern: str) -> Ints:
    """The images one of whose captions matches, sorted; raises FieldguideError on a broken expression.

    image_of (n,): the image of each caption.
    """
    import numpy as np

    if fault := fault_of_expression(pattern):
        raise FieldguideError(f"--exclude {pattern!r}: is not a regular expression: {fault}")
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
