"""The adapter: one linear layer on features. Pure functions on arrays; every run of a cell is one slice of a batch.

R runs (seeds, or trials of a tuning) train at once: weights (R, C, D), biases (R, C). The work is two matrix products
a step, and the gradient of the mean cross-entropy is written out, softmax(logits) - onehot. Threads share the runs, and
each has its own products: none waits for another, and the result is the same to the bit for any number of threads. This
is numpy, not torch: a cell trains for about a second, which is less than torch takes to import.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_info, threadpool_limits

from fieldguide.core.arrays import Floats, Ints

BETAS = (0.9, 0.999)
EPSILON = 1e-8
BATCHED_WEIGHTS = 1 << 18
"""Weights that are trained as one batch: they and their moments stay in a core's cache; of small runs that is many."""


class Classifier(Protocol):
    """What a recipe ends in: R trained runs that score features."""

    def logits(self, run: int, features: Floats) -> Floats:
        """Logits (M, C) that one run gives features (M, D); their scale is the recipe's own."""

    def predict(self, features: Floats) -> Ints:
        """Predicted labels (R, M) of features (M, D)."""

    def tensors(self) -> dict[str, NDArray[Any]]:
        """What is kept of it in a file, each with R first."""


@dataclass(frozen=True)
class Adapter:
    """`weight` (R, C, D) float32, `bias` (R, C) float32."""

    weight: Floats
    bias: Floats

    def logits(self, run: int, features: Floats) -> Floats:
        """Logits (M, C) of features (M, D)."""
        return features @ self.weight[run].T + self.bias[run]

    def predict(self, features: Floats) -> Ints:
        """Predicted labels (R, M) of features (M, D)."""
        return np.stack([self.logits(run, features).argmax(1) for run in range(len(self.weight))])

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Weights and biases by name."""
        return {"weight": self.weight, "bias": self.bias}


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
    with_bias: bool = True,
) -> Adapter:
    """Train on the mean cross-entropy with AdamW (Loshchilov and Hutter, 2019) and a cosine schedule to zero.

    table (N, D) float32: images, then texts. labels (N,). rows (R, steps, B): what each run sees at each step.
    lr, weight_decay (R,). Without a bias it stays as it starts. A signal that raises in the main thread ends all
    threads at their next step.
    """
    rates, decays = np.asarray(lr, np.float32), np.asarray(weight_decay, np.float32)
    threads = max((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1)
    runs, classes, width = start.weight.shape
    size = max(1, min(math.ceil(runs / threads), BATCHED_WEIGHTS // (classes * width)))
    parts = [slice(first, first + size) for first in range(0, runs, size)]

    stop = Event()

    def train(part: slice) -> Adapter:
        begun = Adapter(start.weight[part], start.bias[part])
        return fit_batch(table, labels, rows[part], begun, rates[part], decays[part], with_bias, stop)

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(train, part) for part in parts]
        try:
            trained = [part.result() for part in waiting]
        finally:
            stop.set()
    return Adapter(np.concatenate([t.weight for t in trained]), np.concatenate([t.bias for t in trained]))


def fit_batch(
    table: Floats,
    labels: Ints,
    rows: Ints,
    start: Adapter,
    rates: Floats,
    decays: Floats,
    with_bias: bool,
    stop: Event,
) -> Adapter:
    """`fit` of runs that are computed together; once `stop` is set, nothing of worth."""
    weight, bias = parameters = [start.weight.copy(), start.bias.copy()]
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    shapes = [(-1, 1, 1), (-1, 1)]
    runs, steps, batch = rows.shape
    # Everything of a step is written into the same memory: half of the time would go into getting it anew.
    gradients = [np.empty_like(p) for p in parameters]
    spare = [np.empty_like(p) for p in parameters]
    x = np.empty((runs, batch, table.shape[1]), np.float32)
    logits = np.empty((runs, batch, bias.shape[1]), np.float32)
    for step in range(steps):
        if stop.is_set():
            break
        seen = rows[:, step]
        np.take(table, seen, axis=0, out=x, mode="clip")
        np.matmul(x, weight.transpose(0, 2, 1), out=logits)
        logits += bias[:, None]
        gradient = cross_entropy_gradient(logits, labels[seen])
        np.matmul(gradient.transpose(0, 2, 1), x, out=gradients[0])
        np.sum(gradient, axis=1, out=gradients[1])
        rate = rates * np.float32(0.5 * (1 + math.cos(math.pi * step / steps)))
        correct1, correct2 = 1 - BETAS[0] ** (step + 1), 1 - BETAS[1] ** (step + 1)
        for p, g, (m, v), other, shape in zip(parameters, gradients, moments, spare, shapes, strict=True):
            if p is bias and not with_bias:
                continue
            r = rate.reshape(shape)
            p *= 1 - r * decays.reshape(shape)
            # m += (1 - beta1) (g - m), v += (1 - beta2) (g g - v)
            np.subtract(g, m, out=other)
            other *= np.float32(1 - BETAS[0])
            m += other
            g *= g
            g -= v
            g *= np.float32(1 - BETAS[1])
            v += g
            # p -= rate m / correct1 / (sqrt(v / correct2) + epsilon)
            np.multiply(v, np.float32(1 / correct2), out=g)
            np.sqrt(g, out=g)
            g += np.float32(EPSILON)
            np.multiply(r * np.float32(1 / correct1), m, out=other)
            other /= g
            p -= other
    return Adapter(parameters[0], parameters[1])


def accuracy(classifier: Classifier, features: Floats, labels: Ints) -> NDArray[np.float64]:
    """Accuracy (R,) in percent on features (M, D) with labels (M,)."""
    return (classifier.predict(features) == labels).mean(1) * 100
