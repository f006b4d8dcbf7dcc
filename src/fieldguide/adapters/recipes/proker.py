"""ProKeR (Bendou et al., CVPR 2025): kernel ridge regression of what the zero-shot classifier leaves unexplained.

Logits of a feature x:  x W' + k(x, F) (K / lam + I)^-1 (L - F W'),  with the zero-shot weights W (C, D), the images'
features F (n, D) and one-hot labels L (n, C), k(x, f) = exp(-beta (1 - cosine)) and K that of the images among
themselves. Cosines are not scaled. The closed form is the one of the authors' code; the minimiser of the squared error
plus lam times the squared distance from zero-shot in the kernel's space has a factor of 1 / lam before its second term.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldguide.adapters.recipes.cache import Cache, kernel, one_hot
from fieldguide.adapters.recipes.task import Fitted, Setting, Task, grid, normalise, zero_shot_weights
from fieldguide.core.arrays import Doubles


def trials(count: int) -> list[dict[str, float]]:
    """beta and lam over what is searched in the authors' code for its several data sets."""
    return grid(count, ("beta", 0.1, 10.0), ("lam", 1e-3, 10.0))


def solve(x: Doubles, residual: Doubles, beta: float, lam: float) -> NDArray[Any]:
    """(K / lam + I)^-1 residual (n, C) of unit rows x (n, D)."""
    return np.linalg.solve(kernel(x, x, beta) / lam + np.eye(len(x)), residual)


def fit(task: Task, settings: Sequence[Setting]) -> Fitted:
    """Settings: `beta`, how sharply the kernel looks, and `lam`, the penalty. Without images it is zero-shot."""
    runs = []
    for setting in settings:
        for seed in task.seeds:
            images, _ = task.draw(seed)
            # In double precision: K is nearly singular where images are alike.
            x, weight = normalise(task.images[images].astype(np.float64)), zero_shot_weights(task, seed)
            residual = one_hot(task.labels[images], task.classes) - x @ weight.T
            runs.append((weight, x, solve(x, residual, setting["beta"], setting["lam"]), setting["beta"]))
    return Fitted(Cache.of(runs))
