"""Retrieval of images by translated captions: the one rule by which R@k is counted. Pure functions on arrays.

The gallery is of distinct images: one that occurs twice is the caption's own image in both places (several positives,
as wherever images have several captions). Any other tie counts as not found, so that texts that are all one point, or
nothing at all, find nothing.
"""

from __future__ import annotations

import numpy as np

from fieldguide.core.arrays import Floats, Ints

BLOCK = 2048
"""Texts that are compared with all images at a time."""


def distinct_images(images: Floats, image_of: Ints) -> tuple[Floats, Ints]:
    """Images (m, d) without copies, in order of appearance, and the row of each text's image (n,) among them."""
    seen: dict[bytes, int] = {}
    number = np.array([seen.setdefault(image.tobytes(), len(seen)) for image in images])
    return images[np.unique(number, return_index=True)[1]], number[image_of]


def ranks(texts: Floats, images: Floats, image_of: Ints) -> Ints:
    """How many other distinct images have at least the cosine to each text that its own image has: (n,).

    texts (n, d) and images (m, d) of unit norm, image_of (n,) rows of images.
    """
    images, image_of = distinct_images(images, image_of)
    found = np.empty(len(texts), np.int64)
    for start in range(0, len(texts), BLOCK):
        rows = slice(start, start + BLOCK)
        scores = texts[rows] @ images.T
        own = np.take_along_axis(scores, image_of[rows, None], 1)
        # Nothing compares with NaN: without the second part a broken translator would find everything.
        found[rows] = np.where(np.isfinite(own[:, 0]), (scores >= own).sum(1) - 1, len(images))
    return found


def recall_at(texts: Floats, images: Floats, image_of: Ints, k: int) -> float:
    """R@k in percent: how often a text's own image is among the k nearest; arrays as in `ranks`."""
    return float(100.0 * (ranks(texts, images, image_of) < k).mean())
