"""A classifier that keeps images: the texts' zero-shot classifier, and beside it a sum over images that are near.

Logits of a feature x:  x W' + exp(-beta (1 - x F')) V,  with weights W (C, D), the kept unit features F (n, D), and
what each of them says of the classes, V (n, C). On the unit sphere exp(-beta (1 - x F')) is the Gaussian kernel
exp(-beta / 2 ||x - F||^2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldguide.core.arrays import Floats, Ints


@dataclass(frozen=True)
class Cache:
    """R runs: `weight` (R, C, D), `keys` (R, n, D), `values` (R, n, C), `beta` (R,), all float32."""

    weight: Floats
    keys: Floats
    values: Floats
    beta: Floats

    def logits(self, run: int, features: Floats) -> Floats:
        """Logits (M, C) of unit features (M, D)."""
        return features @ self.weight[run].T + kernel(features, self.keys[run], self.beta[run]) @ self.values[run]

    def predict(self, features: Floats) -> Ints:
        """Predicted labels (R, M) of unit features (M, D)."""
        return np.stack([self.logits(run, features).argmax(1) for run in range(len(self.weight))])

    def tensors(self) -> dict[str, NDArray[Any]]:
        """All of it by name."""
        return {"weight": self.weight, "keys": self.keys, "values": self.values, "beta": self.beta}

    @classmethod
    def of(cls, runs: Sequence[tuple[NDArray[Any], NDArray[Any], NDArray[Any], float]]) -> Cache:
        """Of each run's weights, keys, values and beta."""
        return cls(*(np.stack([np.asarray(part, np.float32) for part in parts]) for parts in zip(*runs, strict=True)))


def kernel(x: NDArray[Any], keys: NDArray[Any], beta: Any) -> NDArray[Any]:
    """exp(-beta (1 - cosine)) (M, n) of unit rows x (M, D) and keys (n, D)."""
    return np.exp(beta * (x @ keys.T - 1))


def one_hot(labels: Ints, classes: int) -> Floats:
    """Rows (n, C) with a 1 at each label (n,)."""
    rows = np.zeros((len(labels), classes), np.float32)
    rows[np.arange(len(labels)), labels] = 1
    return rows
