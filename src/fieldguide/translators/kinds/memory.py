"""Support projection (DeCap, Li et al., ICLR 2023), turned round: a text becomes a weighted mean of image features.

The weights are a softmax over the text's cosines with a memory of images, divided by the temperature. So what comes out
lies among images, whatever went in. Captions are not used.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fieldguide.core.arrays import Floats
from fieldguide.core.random import generator
from fieldguide.translators.task import BLOCK, Pairs, Setting, State, normalise

VALUES: dict[str, tuple[float, ...]] = {"temperature": (0.005, 0.01, 0.02, 0.03, 0.05, 0.1), "images": (20_000,)}


def fit(pairs: Pairs, setting: Setting, seed: int) -> dict[str, Any]:
    """`temperature` above 0; `images`, how many are remembered at most, drawn by the seed."""
    chosen = generator(seed, "memory").permutation(len(pairs.images))[: int(setting["images"])]
    return {
        "memory": pairs.images[np.sort(chosen)],
        "temperature": np.array([setting["temperature"]], np.float32),
    }


def translate(state: State, texts: Floats) -> Floats:
    """texts (n, d) of unit norm to (n, d) of unit norm."""
    memory, temperature = state["memory"], state["temperature"][0]
    out = np.empty((len(texts), memory.shape[1]), np.float32)
    rows = max(1, BLOCK * 512 // len(memory))
    for start in range(0, len(texts), rows):
        scores = texts[start : start + rows] @ memory.T / temperature
        weights = np.exp(scores - scores.max(1, keepdims=True))
        out[start : start + rows] = weights @ memory
    return normalise(out)
