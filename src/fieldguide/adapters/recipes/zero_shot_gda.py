"""Zero-shot plus Gaussian discriminant analysis with one weight, as published.

Wang et al., A hard-to-beat baseline for training-free CLIP-based adaptation, ICLR 2024: logits 100 x W' + alpha (x V'
+ b), with the texts' zero-shot weights W, V = M P and b = -diag(M P M') / 2 of the images' class means M, and the
precision P = D ((n - 1) S + tr(S) I)^-1, S the unbiased covariance of images about their class mean. alpha alone is
chosen; `gda` chooses the shrinkage too, and works without text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fieldguide.adapters.linear import Adapter
from fieldguide.adapters.recipes.gda import gaussian
from fieldguide.adapters.recipes.task import LOGIT_SCALE, Fitted, Setting, Task, spread, zero_shot_weights
from fieldguide.core.arrays import Floats, Ints


def trials(count: int) -> list[dict[str, float]]:
    """alpha from 1e-4 to 100, the ends of the published grid."""
    return [{"alpha": alpha} for alpha in spread(1e-4, 100, count)]


def discriminant(x: Floats, labels: Ints, classes: int) -> tuple[Floats, Floats]:
    """Weights V (C, D) and biases b (C,) of the paper, from images x (n, D) with labels (n,).

    Where no class has two images there is no covariance, and it is the nearest class mean.
    """
    n, width = x.shape
    shrinkage = width / (n - 1 + width)
    weight, bias = gaussian(x, labels, classes, shrinkage)
    # The inverse of the shrunk covariance, as it is there, is so many times the paper's.
    factor = np.float32(shrinkage * (n - 1) / n if n > 1 else shrinkage)
    return factor * weight, factor * bias


def fit(task: Task, settings: Sequence[Setting]) -> Fitted:
    """Settings: `alpha`, the weight of the images' logits. Without images it is zero-shot."""
    weights, biases = [], []
    alphas = np.array([setting["alpha"] for setting in settings], np.float32)
    for seed in task.seeds:
        images, _ = task.draw(seed)
        weight, bias = np.zeros((task.classes, task.images.shape[1]), np.float32), np.zeros(task.classes, np.float32)
        if len(images):
            weight, bias = discriminant(task.images[images], task.labels[images], task.classes)
        weights.append(LOGIT_SCALE * zero_shot_weights(task, seed) + alphas[:, None, None] * weight)
        biases.append(alphas[:, None] * bias)
    weight, bias = np.stack(weights, 1), np.stack(biases, 1)
    return Fitted(Adapter(weight.reshape(-1, *weight.shape[2:]), bias.reshape(-1, task.classes)))
