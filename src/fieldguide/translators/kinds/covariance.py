"""Statistics matching: the affine map that gives texts the images' mean and covariance, and moves them least.

Between Gaussians that is the optimal transport map A = S^(-1/2) (S^(1/2) R S^(1/2))^(1/2) S^(-1/2), with S the texts'
and R the images' covariance (Olkin and Pukelsheim, 1982). Which text belongs to which image is not used. Both are
shrunk to (1 - a) S + a tr(S) / d I; at a = 1 only means and overall spreads are matched.
"""

from __future__ import annotations

import numpy as np

from fieldguide.core.arrays import Doubles, Floats
from fieldguide.translators.task import Pairs, Setting, State, affine, apply_affine

VALUES: dict[str, tuple[float, ...]] = {"shrinkage": (0.001, 0.01, 0.1, 0.3, 1.0)}
LARGEST = {"shrinkage": 1.0}
"""Beyond it a covariance would be subtracted."""


def power(matrix: Doubles, exponent: float) -> Doubles:
    """A symmetric, positive matrix (d, d) to a power."""
    values, vectors = np.linalg.eigh(matrix)
    # Rounding may leave eigenvalues of zero below it, and a negative power of zero has no bound.
    values = np.maximum(values, values[-1] * 1e-12)
    return (vectors * values**exponent) @ vectors.T


def shrunk(covariance: Doubles, shrinkage: float) -> Doubles:
    """Shrunk towards a sphere of the same overall spread."""
    level = np.trace(covariance) / len(covariance)
    return (1 - shrinkage) * covariance + shrinkage * level * np.eye(len(covariance))


def fit(pairs: Pairs, setting: Setting, seed: int) -> dict[str, Floats]:
    """`shrinkage` in (0, 1]."""
    moments = pairs.moments
    texts, images = (shrunk(part, setting["shrinkage"]) for part in (moments.texts, moments.images))
    root, inverse = power(texts, 0.5), power(texts, -0.5)
    return affine(inverse @ power(root @ images @ root, 0.5) @ inverse, moments)


def translate(state: State, texts: Floats) -> Floats:
    """texts (n, d) of unit norm to (n, d) of unit norm."""
    return apply_affine(state, texts)
