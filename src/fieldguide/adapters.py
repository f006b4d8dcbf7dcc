"""The adapter: one linear layer on features. Pure functions on arrays; every run of a cell is one slice of a batch.

R runs (seeds, or trials of a tuning) train at once: weights (R, C, D), biases (R, C). The work is three matrix products
a step, and the gradient of the mean cross-entropy is written out, softmax(logits) - onehot. This is numpy, not torch: a
cell trains for about a second, which is less than torch takes to import.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

BETAS = (0.9, 0.999)
EPSILON = 1e-8


@dataclass(frozen=True)
class Adapter:
    """`weight` (R, C, D) float32, `bias` (R, C) float32."""

    weight: Floats
    bias: Floats


def random_start(classes: int, width: int, seeds: Sequence[int]) -> Adapter:
    """Uniform in +-1/sqrt(D) as torch.nn.Linear starts, with one generator per seed."""
    bound = 1 / math.sqrt(width)
    generators = [np.random.default_rng([seed, 0]) for seed in seeds]
    weight = np.stack([g.uniform(-bound, bound, (classes, width)) for g in generators])
    bias = np.stack([g.uniform(-bound, bound, classes) for g in generators])
    return Adapter(weight.astype(np.float32), bias.astype(np.float32))


def cross_entropy_gradient(logits: Floats, labels: Ints) -> Floats:
    """Gradient (R, B, C) of each run's mean cross-entropy by its logits (R, B, C), in their place; labels (R, B)."""
    logits -= logits.max(2, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(2, keepdims=True)
    runs, batch, _ = logits.shape
    logits[np.arange(runs)[:, None], np.arange(batch), labels] -= 1
    logits /= batch
    return logits


def fit(
    table: Floats,
    labels: Ints,
    rows: Ints,
    start: Adapter,
    lr: Floats | Sequence[float],
    weight_decay: Floats | Sequence[float],
) -> Adapter:
    """Train on the mean cross-entropy with AdamW (Loshchilov and Hutter, 2019) and a cosine schedule to zero.

    table (N, D) float32: images, then texts. labels (N,). rows (R, steps, B): what each run sees at each step.
    lr, weight_decay (R,).
    """
    parameters = [start.weight.copy(), start.bias.copy()]
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    rates, decays = np.asarray(lr, np.float32), np.asarray(weight_decay, np.float32)
    shapes = [(-1, 1, 1), (-1, 1)]
    steps = rows.shape[1]
    for step in range(steps):
        batch = rows[:, step]
        x, y = table[batch], labels[batch]
        weight, bias = parameters
        logits = x @ weight.transpose(0, 2, 1) + bias[:, None]
        gradient = cross_entropy_gradient(logits, y)
        gradients = [gradient.transpose(0, 2, 1) @ x, gradient.sum(1)]
        rate = rates * np.float32(0.5 * (1 + math.cos(math.pi * step / steps)))
        correct1, correct2 = 1 - BETAS[0] ** (step + 1), 1 - BETAS[1] ** (step + 1)
        for p, g, (m, v), shape in zip(parameters, gradients, moments, shapes, strict=True):
            r = rate.reshape(shape)
            p *= 1 - r * decays.reshape(shape)
            m += np.float32(1 - BETAS[0]) * (g - m)
            v += np.float32(1 - BETAS[1]) * (g * g - v)
            p -= r * np.float32(1 / correct1) * m / (np.sqrt(v * np.float32(1 / correct2)) + np.float32(EPSILON))
    return Adapter(parameters[0], parameters[1])


def predict(adapter: Adapter, features: Floats) -> Ints:
    """Predicted labels (R, M) of features (M, D)."""
    return np.stack([(features @ w.T + b).argmax(1) for w, b in zip(adapter.weight, adapter.bias, strict=True)])


def accuracy(adapter: Adapter, features: Floats, labels: Ints) -> NDArray[np.float64]:
    """Accuracy (R,) in percent on features (M, D) with labels (M,)."""
    return (predict(adapter, features) == labels).mean(1) * 100
