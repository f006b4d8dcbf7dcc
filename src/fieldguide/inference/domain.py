"""Whether a photograph is of the kind that a classifier was trained on. Pure functions on arrays.

Sun et al., Out-of-distribution detection with deep nearest neighbors, ICML 2022: the distance of its feature to the
nearest training image's, beside how far training images lie from the nearest other one. Nothing is assumed of how the
features are distributed. The distance is 1 - cosine, in [0, 2].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fieldguide.core.arrays import Floats
from fieldguide.core.random import generator

WITHIN = 95.0
"""Percent of training images that count as inside: the share that this measure is usually reported at."""
LEFT_OUT = 2000
"""How many training images are asked how far the others are; more would cost time and change little."""
BLOCK = 256


@dataclass(frozen=True)
class Domain:
    """`features` (n, D) float32, unit norm, of the training images; `distances` (m,) of some to the nearest other."""

    features: Floats
    distances: Floats

    def measure(self, features: Floats) -> Floats:
        """Distances (b,) of features (b, D), unit norm, to the nearest training image."""
        return 1 - (features @ self.features.T).max(1)

    def threshold(self, within: float = WITHIN) -> float:
        """The distance that this percentage of training images does not exceed."""
        return float(np.quantile(self.distances, within / 100))

    def farther_than(self, distances: Floats) -> Floats:
        """The percentage (b,) of training images that lie nearer to the others than these distances (b,)."""
        found = np.searchsorted(np.sort(self.distances), distances, side="left")
        return (100 * found / len(self.distances)).astype(np.float32)


def learn_domain(features: Floats) -> Domain:
    """The domain of training images (n, D), n at least 2; of many, some drawn at random are asked about the others."""
    sample = np.sort(generator(0, "domain").permutation(len(features))[:LEFT_OUT])
    distances = []
    for start in range(0, len(sample), BLOCK):
        rows = sample[start : start + BLOCK]
        cosines = features[rows] @ features.T
        cosines[np.arange(len(rows)), rows] = -np.inf  # itself
        distances.append(1 - cosines.max(1))
    return Domain(features, np.concatenate(distances))
