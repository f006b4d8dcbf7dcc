"""Tip-Adapter (Zhang et al., ECCV 2022): a cache of the images beside the texts' zero-shot classifier, untrained.

Logits of a feature x:  100 x W' + alpha exp(-beta (1 - x F')) L,  with the cache's features F (n, D) and one-hot labels
L (n, C), and the zero-shot weights W (C, D) of the cell's own texts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fieldguide.adapters.recipes.cache import Cache, one_hot
from fieldguide.adapters.recipes.task import LOGIT_SCALE, Fitted, Setting, Task, grid, normalise, zero_shot_weights


def trials(count: int) -> list[dict[str, float]]:
    """beta and alpha from their published defaults, 5.5 and 1, upwards: a cache of thirty images a class has more to
    say than one of sixteen at most."""
    return grid(count, ("beta", 5.5, 30.0), ("alpha", 1.0, 300.0))


def fit(task: Task, settings: Sequence[Setting]) -> Fitted:
    """Settings: `alpha`, the weight of the cache, and `beta`, how sharply it looks. Without images it is zero-shot."""
    runs = []
    for setting in settings:
        for seed in task.seeds:
            images, _ = task.draw(seed)
            values = np.float32(setting["alpha"]) * one_hot(task.labels[images], task.classes)
            weight = LOGIT_SCALE * zero_shot_weights(task, seed)
            runs.append((weight, normalise(task.images[images]), values, setting["beta"]))
    return Fitted(Cache.of(runs))
