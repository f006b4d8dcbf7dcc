"""CLAP (Silva-Rodriguez et al., CVPR 2024): a linear probe that starts at the zero-shot weights and is held near them.

As published: logits 100 cosine(x, w_c), and the loss is the mean cross-entropy of the images plus the mean over classes
of lambda_c ||w_c - t_c||^2, with t_c the zero-shot weights, where w starts, and lambda_c the mean probability that
zero-shot gives class c on its own images. SGD with a momentum of 0.9, rate 0.1, a cosine per step and no weight decay.
There on twenty augmented views of each image for 300 epochs; here on the images, with the run's own budget and batch.
`penalty` multiplies every lambda_c (1 as published), and `learning_rate` is chosen with it. A class without text starts
at the mean of its images and is not held; one with neither stays at zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fieldguide.adapters.linear import Adapter
from fieldguide.adapters.plans import cell_size, count_steps
from fieldguide.adapters.recipes.cross_modal import endless
from fieldguide.adapters.recipes.task import (
    LOGIT_SCALE,
    Fitted,
    Setting,
    Task,
    class_means,
    grid,
    normalise,
    softmax,
    zero_shot_weights,
)
from fieldguide.core.arrays import Floats, Ints
from fieldguide.core.random import generator

MOMENTUM = 0.9


def trials(count: int) -> list[dict[str, float]]:
    """The penalty and the rate around those published, 1 and 0.1; lower rates, which stay nearer to zero-shot, too."""
    return grid(count, ("penalty", 0.1, 10.0), ("learning_rate", 1e-3, 1.0))


def strengths(x: Floats, labels: Ints, text: Floats) -> Floats:
    """lambda (C,): the mean probability of the true class of unit images x (n, D) by texts (C, D); 0 without images.

    A class without text, a row of zeros, has 0.
    """
    right = softmax(LOGIT_SCALE * (x @ text.T))[np.arange(len(x)), labels]
    counts = np.bincount(labels, minlength=len(text))
    means = np.bincount(labels, weights=right, minlength=len(text)) / np.maximum(counts, 1)
    return np.where(text.any(1), means, 0).astype(np.float32)


def descend(x: Floats, labels: Ints, text: Floats, strength: Floats, rate: float, batches: Ints) -> Floats:
    """Trained weights (C, D), not of unit norm, from unit images x (n, D), texts (C, D) and lambda (C,).

    batches (steps, b): the rows of every step.
    """
    weight = np.where(text.any(1, keepdims=True), text, normalise(class_means(x, labels, len(text)))).astype(np.float32)
    moves = weight.any(1, keepdims=True)
    velocity = np.zeros_like(weight)
    pull = (2 * strength / len(text))[:, None]
    for step, rows in enumerate(batches):
        length = np.maximum(np.linalg.norm(weight, axis=1, keepdims=True), 1e-12)
        unit = weight / length
        error = softmax(LOGIT_SCALE * (x[rows] @ unit.T))
        error[np.arange(len(rows)), labels[rows]] -= 1
        gradient = (LOGIT_SCALE / np.float32(len(rows))) * (error.T @ x[rows])
        gradient -= (gradient * unit).sum(1, keepdims=True) * unit
        gradient /= length
        gradient += pull * (weight - text)
        velocity *= np.float32(MOMENTUM)
        velocity += np.where(moves, gradient, 0)
        weight -= np.float32(rate * 0.5 * (1 + math.cos(math.pi * step / len(batches)))) * velocity
    return weight


def fit(task: Task, settings: Sequence[Setting]) -> Fitted:
    """Settings: `penalty`, `learning_rate`. Without images it is zero-shot."""
    steps = count_steps(task.budget, task.amount, max(1, cell_size(task.percent, len(task.labels), False)), task.batch)
    weights = []
    for setting in settings:
        for seed in task.seeds:
            images, _ = task.draw(seed)
            text = zero_shot_weights(task, seed)
            if len(images):
                x, labels, batch = normalise(task.images[images]), task.labels[images], min(task.batch, len(images))
                rows = endless(np.arange(len(x)), steps * batch, generator(seed, "clap"))
                strength = np.float32(setting["penalty"]) * strengths(x, labels, text)
                weight = descend(x, labels, text, strength, setting["learning_rate"], rows.reshape(steps, batch))
                weights.append(LOGIT_SCALE * normalise(weight))
            else:
                weights.append(LOGIT_SCALE * text)
    weight = np.stack(weights).astype(np.float32)
    return Fitted(Adapter(weight, np.zeros(weight.shape[:2], np.float32)), steps)
