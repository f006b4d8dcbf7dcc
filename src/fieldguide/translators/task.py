"""What a translator is fitted to and what it gives back. Pure functions on arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fieldguide.core.arrays import Doubles, Floats, Ints

State = Mapping[str, Any]
"""What a translator learnt: arrays by name. One that draws at random has its `seed` among them."""
Setting = Mapping[str, float]
"""Hyper-parameters by name."""

BLOCK = 16384
"""Rows that are turned into double precision at a time."""


@dataclass(frozen=True)
class Moments:
    """Means (d,) and covariances (d, d) of texts and images over pairs, and between them (d_text, d_image); float64."""

    text_mean: Doubles
    image_mean: Doubles
    texts: Doubles
    images: Doubles
    between: Doubles


@dataclass(frozen=True)
class Pairs:
    """Pooled text features (n, d_text) float32, image features (m, d_image) float32, and each text's image (n,)."""

    texts: Floats
    images: Floats
    image_of: Ints

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Ints) -> Pairs:
        """Some of the pairs, with the images that these have."""
        kept, image_of = np.unique(self.image_of[rows], return_inverse=True)
        return Pairs(self.texts[rows], self.images[kept], image_of)

    @cached_property
    def moments(self) -> Moments:
        """Taken in double precision, block by block."""
        text_mean = self.texts.mean(0, dtype=np.float64)
        times = np.bincount(self.image_of, minlength=len(self.images)) / len(self)
        image_mean = times @ self.images
        sums = [np.zeros((len(a), len(b))) for a, b in ((text_mean, text_mean), (text_mean, image_mean))]
        for start in range(0, len(self), BLOCK):
            texts = self.texts[start : start + BLOCK] - text_mean
            sums[0] += texts.T @ texts
            sums[1] += texts.T @ (self.images[self.image_of[start : start + BLOCK]] - image_mean)
        centred = self.images - image_mean
        return Moments(
            text_mean, image_mean, sums[0] / len(self), (centred * times[:, None]).T @ centred, sums[1] / len(self)
        )


class Tokens(Protocol):
    """Token features of distinct texts, taken a batch at a time: `features.TokenTable`, or a part of one."""

    lengths: Ints

    def take(self, texts: Ints) -> tuple[NDArray[Any], Ints]: ...


class TokenRows:
    """Some texts of a table of token features, as a table of their own."""

    def __init__(self, table: Tokens, rows: Ints) -> None:
        self.table, self.rows = table, rows
        self.lengths = table.lengths[rows]

    def take(self, texts: Ints) -> tuple[NDArray[Any], Ints]:
        """The tokens of these of its texts, end to end, and offsets (b + 1,)."""
        return self.table.take(self.rows[texts])


def normalise(rows: NDArray[Any]) -> Floats:
    """Rows (n, d) of unit length, float32; a row of zeros stays one."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.maximum(length, 1e-12)).astype(np.float32, copy=False)


def apply_affine(state: State, texts: Floats) -> Floats:
    """Unit rows of texts @ weight + bias, with weight (d_text, d_image) and bias (d_image,)."""
    return normalise(texts @ state["weight"] + state["bias"])


def affine(weight: Doubles, moments: Moments) -> dict[str, Floats]:
    """The state of the map that takes the texts' mean to the images' and has this linear part."""
    bias = moments.image_mean - moments.text_mean @ weight
    return {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}
