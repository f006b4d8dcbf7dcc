"""Tip-Adapter (Zhang et al., ECCV 2022): a cache of the images beside the texts' zero-shot classifier, untrained.

Logits of a feature x:  100 x W' + alpha exp(-beta (1 - x F')) L,  with the cache's features F (n, D) and one-hot labels
L (n, C), and the zero-shot weights W (C, D) of the cell's own texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldguide.adapters.recipes.task import Fitted, Setting, Task, grid, normalise, text_weights
from fieldguide.core.arrays import Floats, Ints

LOGIT_SCALE = np.float32(100)


@dataclass(frozen=True)
class Cache:
    """R runs: zero-shot weights (R, C, D), cached features (R, n, D) and labels (R, n), alpha and beta (R,)."""

    weight: Floats
    keys: Floats
    labels: Ints
    alpha: Floats
    beta: Floats

    def logits(self, run: int, features: Floats) -> Floats:
        """Logits (M, C) of features (M, D)."""
        logits = LOGIT_SCALE * (features @ self.weight[run].T)
        if self.keys.shape[1]:
            onehot = np.zeros((self.keys.shape[1], logits.shape[1]), np.float32)
            onehot[np.arange(len(onehot)), self.labels[run]] = 1
            near = np.exp(self.beta[run] * (features @ self.keys[run].T - 1))
            logits += self.alpha[run] * (near @ onehot)
        return logits

    def predict(self, features: Floats) -> Ints:
        """Predicted labels (R, M) of unit features (M, D)."""
        return np.stack([self.logits(run, features).argmax(1) for run in range(len(self.weight))])

    def tensors(self) -> dict[str, NDArray[Any]]:
        """All of it by name."""
        return {"weight": self.weight, "keys": self.keys, "labels": self.labels, "alpha": self.alpha, "beta": self.beta}


def trials(count: int) -> list[dict[str, float]]:
    """beta and alpha from their published defaults, 5.5 and 1, upwards: a cache of thirty images a class has more to
    say than one of sixteen at most."""
    return grid(count, ("beta", 5.5, 30.0), ("alpha", 1.0, 300.0))


def fit(task: Task, settings: Sequence[Setting]) -> Fitted:
    """Settings: `alpha`, the weight of the cache, and `beta`, how sharply it looks. Without images it is zero-shot."""
    assert task.texts is not None and task.texts.raw is not None
    draws = [task.draw(seed) for seed in task.seeds]
    weight = [text_weights(task.texts.raw[t], task.texts.labels[t], task.classes) for _, t in draws]
    times = len(settings)
    cache = Cache(
        np.tile(np.stack(weight), (times, 1, 1)),
        np.tile(np.stack([normalise(task.images[k]) for k, _ in draws]), (times, 1, 1)),
        np.tile(np.stack([task.labels[k] for k, _ in draws]), (times, 1)),
        np.repeat(np.array([s["alpha"] for s in settings], np.float32), len(draws)),
        np.repeat(np.array([s["beta"] for s in settings], np.float32), len(draws)),
    )
    return Fitted(cache)
