"""Gaussian discriminant analysis with one covariance, and beside it the texts' zero-shot classifier.

Wang et al., A hard-to-beat baseline for training-free CLIP-based adaptation, ICLR 2024: class means and a shared,
shrunk covariance of the images give a linear classifier in closed form; its logits are added to those of the texts.
There the inverse covariance is D ((N - 1) S + tr(S) I)^-1, which is a shrinkage of a = D / (N - 1 + D) here up to a
factor; here a is tuned as the weight of the texts is, so that no cell rests on one guess of how much to shrink.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fieldguide.adapters.linear import Adapter
from fieldguide.adapters.recipes.task import LOGIT_SCALE, Fitted, Setting, Task, class_sums, grid, zero_shot_weights
from fieldguide.core.arrays import Floats, Ints


def trials(count: int) -> list[dict[str, float]]:
    """Shrinkage of the covariance towards a sphere, and the weight of the texts' logits (none without texts)."""
    return grid(count, ("text_weight", 0.03, 1.0), ("shrinkage", 0.05, 0.8))


def gaussian(x: Floats, labels: Ints, classes: int, shrinkage: float) -> tuple[Floats, Floats]:
    """Weights (C, D) and biases (C,) of linear discriminant analysis with equal priors.

    The pooled within-class covariance S is shrunk to (1 - a) S + a tr(S) / D I. A class without an image lies at the
    overall mean.
    """
    sums, counts = class_sums(x.astype(np.float64), labels, classes)
    means = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], x.mean(0, dtype=np.float64))
    inside = x - means[labels]
    covariance = inside.T @ inside / len(x)
    # One image per class has no spread at all: then every direction counts alike.
    level = np.trace(covariance) / x.shape[1] or 1.0
    covariance = (1 - shrinkage) * covariance + shrinkage * level * np.eye(x.shape[1])
    weight = np.linalg.solve(covariance, means.T).T
    return weight.astype(np.float32), (-np.einsum("cd,cd->c", weight, means) / 2).astype(np.float32)


def fit(task: Task, settings: Sequence[Setting]) -> Fitted:
    """Settings: `shrinkage` in (0, 1], `text_weight`. Without images it is zero-shot, without texts plain GDA."""
    weights, biases = [], []
    for setting in settings:
        for seed in task.seeds:
            images, texts = task.draw(seed)
            weight = np.zeros((task.classes, task.images.shape[1]), np.float32)
            bias = np.zeros(task.classes, np.float32)
            if len(images):
                weight, bias = gaussian(task.images[images], task.labels[images], task.classes, setting["shrinkage"])
            if task.texts is not None and len(texts):
                weight = weight + np.float32(LOGIT_SCALE * setting["text_weight"]) * zero_shot_weights(task, seed)
            weights.append(weight)
            biases.append(bias)
    return Fitted(Adapter(np.stack(weights), np.stack(biases)))
