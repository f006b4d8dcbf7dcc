"""Tip-Adapter-F (Zhang et al., ECCV 2022): Tip-Adapter whose cached features are trained.

As published: the keys start at the images' features and are trained on the same images by AdamW, rate 1e-3, epsilon
1e-4, 20 epochs in batches of 256 with a cosine per step; labels and zero-shot weights stay as they are. There alpha and
beta are chosen again after the training, by the test set's best epoch; here a trial trains with the alpha and beta that
it is scored with, and the last epoch counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fieldguide.adapters.linear import BETAS
from fieldguide.adapters.recipes.cache import Cache, kernel, one_hot
from fieldguide.adapters.recipes.task import (
    LOGIT_SCALE,
    Fitted,
    Setting,
    Task,
    grid,
    normalise,
    softmax,
    zero_shot_weights,
)
from fieldguide.core.arrays import Floats, Ints
from fieldguide.core.random import generator

EPOCHS, BATCH, RATE, EPSILON, WEIGHT_DECAY = 20, 256, 1e-3, 1e-4, 1e-2
"""As published; the weight decay is AdamW's own default, which the published code leaves as it is."""


def trials(count: int) -> list[dict[str, float]]:
    """beta and alpha from what they are while the published code trains, 1 and about 1, upwards."""
    return grid(count, ("beta", 1.0, 30.0), ("alpha", 1.0, 100.0))


def draw_batches(n: int, seed: int) -> list[Ints]:
    """The rows (b,) of every step: each epoch all n images, shuffled, in batches."""
    orders = [generator(seed, "tip-adapter-f", epoch).permutation(n) for epoch in range(EPOCHS)]
    return [order[first : first + BATCH] for order in orders for first in range(0, n, BATCH)]


def train_keys(x: Floats, zero_shot: Floats, values: Floats, beta: float, batches: Sequence[Ints]) -> Floats:
    """Trained keys (n, D) that start at unit features x (n, D).

    zero_shot (n, C): the images' logits by the texts. values (n, C): alpha times their one-hot labels.
    """
    keys, labels = x.copy(), values > 0
    first, second, spare = (np.zeros_like(keys) for _ in range(3))
    for step, rows in enumerate(batches):
        near = kernel(x[rows], keys, np.float32(beta))
        error = softmax(zero_shot[rows] + near @ values)
        error -= labels[rows]
        error /= np.float32(len(rows))
        near *= error @ values.T
        near *= np.float32(beta)
        gradient = near.T @ x[rows]
        # In place: the keys are many, and half of the time would go into getting memory anew.
        first *= np.float32(BETAS[0])
        first += np.multiply(gradient, np.float32(1 - BETAS[0]), out=spare)
        second *= np.float32(BETAS[1])
        gradient *= gradient
        second += np.multiply(gradient, np.float32(1 - BETAS[1]), out=gradient)
        np.sqrt(np.multiply(second, np.float32(1 / (1 - BETAS[1] ** (step + 1))), out=spare), out=spare)
        spare += np.float32(EPSILON)
        np.divide(first, spare, out=spare)
        rate = RATE * 0.5 * (1 + math.cos(math.pi * step / len(batches)))
        spare *= np.float32(rate / (1 - BETAS[0] ** (step + 1)))
        keys *= np.float32(1 - rate * WEIGHT_DECAY)
        keys -= spare
    return keys


def fit(task: Task, settings: Sequence[Setting]) -> Fitted:
    """Settings: `alpha`, the weight of the cache, and `beta`, how sharply it looks. Without images it is zero-shot."""
    runs = []
    for setting in settings:
        for seed in task.seeds:
            images, _ = task.draw(seed)
            x, weight = normalise(task.images[images]), LOGIT_SCALE * zero_shot_weights(task, seed)
            values = np.float32(setting["alpha"]) * one_hot(task.labels[images], task.classes)
            batches = draw_batches(len(images), seed)
            keys = train_keys(x, x @ weight.T, values, setting["beta"], batches)
            runs.append((weight, keys, values, setting["beta"]))
    return Fitted(Cache.of(runs), len(batches), own_length=True)
