"""Ridge regression drawn towards the text feature as it is: W = a I + (C + p c I)^(-1) (D - a C).

That is the minimum of E||(t - E t) W - (x - E x)||^2 + p c ||W - a I||^2 over pairs of a text t and an image x, ridge
regression with a target that is not zero (van Wieringen, Lecture notes on ridge regression, 2015). C is the texts'
covariance, D that between texts and images, c the texts' mean variance, and a = tr D / tr C the best multiple of the
text itself. So a direction in which the pairs hardly vary is kept, where plain ridge gives it up.
"""

from __future__ import annotations

import numpy as np

from fieldguide.core.arrays import Floats
from fieldguide.translators.task import Pairs, Setting, State, affine, apply_affine

VALUES: dict[str, tuple[float, ...]] = {"penalty": (5.0,)}
"""One value, not the held-out pairs' choice: those vary as the fitted pairs do, and would give up what these lack."""


def fit(pairs: Pairs, setting: Setting, seed: int) -> dict[str, Floats]:
    """`penalty` above 0, in units of the texts' mean variance; texts and images of one width."""
    moments = pairs.moments
    width, spread = len(moments.texts), np.trace(moments.texts)
    towards = np.trace(moments.between) / spread
    ridge = moments.texts + setting["penalty"] * spread / width * np.eye(width)
    change = np.linalg.solve(ridge, moments.between - towards * moments.texts)
    return affine(towards * np.eye(width) + change, moments)


def translate(state: State, texts: Floats) -> Floats:
    """texts (n, d) of unit norm to (n, d) of unit norm."""
    return apply_affine(state, texts)
