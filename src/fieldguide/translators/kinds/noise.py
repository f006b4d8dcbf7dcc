"""Gaussian noise on the text feature, in place of what a caption leaves open (CapDec, Nukrai et al., 2022).

CapDec trains on noised texts and reads images as they are; here too the classifier trains on what `translate` gives and
sees images untouched. A text has one draw, made by the seed and the feature itself: the same wherever the text stands.
`scale` is the standard deviation in each coordinate; CapDec's is sqrt(0.016).
"""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from fieldguide.core.arrays import Floats
from fieldguide.core.random import generator
from fieldguide.translators.task import Pairs, Setting, State, normalise

VALUES: dict[str, tuple[float, ...]] = {"scale": (0.01, 0.02, 0.04, 0.08, 0.1265)}


def fit(pairs: Pairs, setting: Setting, seed: int) -> dict[str, Any]:
    """The scale as it is, and the seed."""
    return {"scale": np.array([setting["scale"]], np.float32), "seed": np.array([seed])}


def draw(state: State, texts: Floats) -> Floats:
    """Gaussian noise (n, d) of the state's scale: a row of its own for each distinct text feature."""
    seed = int(state["seed"][0])
    rows = np.ascontiguousarray(texts, np.float32)
    drawn = np.empty_like(rows)
    for place, row in enumerate(rows):
        drawn[place] = generator(seed, "translation noise", zlib.crc32(row.data)).standard_normal(
            len(row), dtype=np.float32
        )
    return drawn * state["scale"][0]


def translate(state: State, texts: Floats) -> Floats:
    """texts (n, d) of unit norm to (n, d) of unit norm."""
    return normalise(texts + draw(state, texts))
