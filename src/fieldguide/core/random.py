"""Random generators: every draw has one of its own, so that adding a seed or a draw changes no other."""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, purpose: str, epoch: int = 0) -> np.random.Generator:
    """The generator of one purpose, seed and epoch."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), epoch])
