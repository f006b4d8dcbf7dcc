"""Ridge regression from text to image features, in closed form: W = (C + p c I)^(-1) D.

C is the texts' covariance, D that between texts and images, p the penalty in units of c, the texts' mean variance.
Moments are centred, so that the means are matched whatever the penalty. As CLOSE's linear adapter (2023).
"""

from __future__ import annotations

import numpy as np

from fieldguide.core.arrays import Floats
from fieldguide.translators.task import Pairs, Setting, State, affine, apply_affine

VALUES: dict[str, tuple[float, ...]] = {"penalty": (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)}


def fit(pairs: Pairs, setting: Setting, seed: int) -> dict[str, Floats]:
    """`penalty` above 0."""
    moments = pairs.moments
    width = len(moments.texts)
    level = setting["penalty"] * np.trace(moments.texts) / width
    return affine(np.linalg.solve(moments.texts + level * np.eye(width), moments.between), moments)


def translate(state: State, texts: Floats) -> Floats:
    """texts (n, d_text) of unit norm to (n, d_image) of unit norm."""
    return apply_affine(state, texts)
