"""What a recipe is given and what it gives back. Pure functions on arrays; nothing here has seen a test image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldguide.adapters.linear import Classifier
from fieldguide.adapters.plans import Drawer, TextPool
from fieldguide.core.arrays import Floats, Ints

LOGIT_SCALE = np.float32(100)
"""CLIP's own scale of a cosine."""

Setting = Mapping[str, float]
"""Hyper-parameters by name: one trial of the tuning, or what it chose."""


@dataclass(frozen=True)
class Texts:
    """The texts of one source: features (T, D) of whichever kind the recipe asked for, and labels (T,)."""

    labels: Ints
    pool: TextPool
    translated: Floats | None = None
    raw: Floats | None = None


@dataclass(frozen=True)
class Task:
    """One cell: training images (N, D) with labels (N,), its texts if any, and the draws that say which it may use.

    A recipe trains on the images and texts that `draw` names for a seed (or, redrawing, on a stream of draws) and on no
    other, although the tables hold all training images and all texts.
    """

    images: Floats
    labels: Ints
    classes: int
    texts: Texts | None
    drawer: Drawer
    percent: int
    seeds: Sequence[int]
    redraw: str = "fixed"
    budget: str = "steps"
    amount: int = 1
    batch: int = 256

    def draw(self, seed: int) -> tuple[Ints, Ints]:
        """The rows of the images kept and of the texts that take the others' places."""
        return self.drawer.cell(self.percent, self.texts.pool if self.texts else None, seed)


@dataclass(frozen=True)
class Fitted:
    """A trained classifier with a run per setting and seed, settings first; what the first setting's runs saw, if not
    what `draw` says; and the optimiser steps of those runs, 0 for a closed form or a solver that runs to convergence.

    own_length: the steps are the recipe's own, whatever the budget.
    """

    classifier: Classifier
    steps: int = 0
    distinct_images: list[int] | None = None
    distinct_texts: list[int] | None = None
    own_length: bool = False


def join_runs(parts: Sequence[Fitted]) -> Fitted:
    """Classifiers of one recipe as one, with the runs of all."""
    tensors = [part.classifier.tensors() for part in parts]
    classifier: Any = type(parts[0].classifier)
    return Fitted(
        classifier(**{name: np.concatenate([t[name] for t in tensors]) for name in tensors[0]}),
        max(part.steps for part in parts),
        [count for part in parts for count in part.distinct_images or []] or None,
        [count for part in parts for count in part.distinct_texts or []] or None,
        parts[0].own_length,
    )


def normalise(rows: NDArray[Any]) -> NDArray[Any]:
    """Rows (..., D) of unit length; a row of zeros stays one."""
    return rows / np.maximum(np.linalg.norm(rows, axis=-1, keepdims=True), 1e-12)


def class_sums(features: Floats, labels: Ints, classes: int) -> tuple[Floats, Floats]:
    """Sums (C, D) of features (n, D) by class, and how many there are (C,)."""
    onehot = np.zeros((classes, len(labels)), np.float32)
    onehot[labels, np.arange(len(labels))] = 1
    return onehot @ features, onehot.sum(1)


def class_means(features: Floats, labels: Ints, classes: int) -> Floats:
    """Means (C, D) of features (n, D) by class; zeros for a class that has none."""
    sums, counts = class_sums(features, labels, classes)
    return (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)


def text_weights(features: Floats, labels: Ints, classes: int) -> Floats:
    """Zero-shot weights (C, D): the unit-norm mean of a class's unit text features."""
    return normalise(class_means(normalise(features), labels, classes))


def zero_shot_weights(task: Task, seed: int) -> Floats:
    """`text_weights` (C, D) of the raw texts that a seed draws."""
    assert task.texts is not None and task.texts.raw is not None
    _, drawn = task.draw(seed)
    return text_weights(task.texts.raw[drawn], task.texts.labels[drawn], task.classes)


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    """Probabilities (n, C) of logits (n, C), in their place."""
    logits -= logits.max(1, keepdims=True)
    np.exp(logits, out=logits)
    logits /= logits.sum(1, keepdims=True)
    return logits


def spread(low: float, high: float, count: int) -> list[float]:
    """`count` values from low to high in equal ratios; one is their geometric middle."""
    if count == 1:
        return [math.sqrt(low * high)]
    return [low * (high / low) ** (i / (count - 1)) for i in range(count)]


def grid(count: int, first: tuple[str, float, float], second: tuple[str, float, float]) -> list[dict[str, float]]:
    """`count` trials over two hyper-parameters (name, low, high): a grid as near to a square as count's divisors allow.

    The second gets the finer steps.
    """
    rows = max(n for n in range(1, math.isqrt(count) + 1) if count % n == 0)
    return [{first[0]: a, second[0]: b} for a in spread(*first[1:], rows) for b in spread(*second[1:], count // rows)]
