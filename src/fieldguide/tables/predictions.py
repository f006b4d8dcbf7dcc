"""What trained adapters say of each test image, by class: how often it is right, and what is taken for what.

Pure functions on arrays. R runs (seeds), M test images, C classes; labels count from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fieldguide.core.arrays import Doubles, Ints


def count_predictions(predicted: Ints, labels: Ints, classes: int) -> Doubles:
    """How often (C, C) images of a class (row) are taken for a class (column), as a mean over runs.

    predicted (R, M), labels (M,).
    """
    pairs = labels[None] * classes + predicted
    counts = np.bincount(pairs.ravel(), minlength=classes * classes)
    return counts.reshape(classes, classes) / len(predicted)


def class_accuracy(predicted: Ints, labels: Ints, classes: int) -> Doubles:
    """Accuracy (R, C) in percent of each run on each class; NaN for a class without test images."""
    onehot = np.zeros((len(labels), classes))
    onehot[np.arange(len(labels)), labels] = 1
    right = (predicted == labels) @ onehot
    images = onehot.sum(0)
    return np.divide(right * 100, images, out=np.full(right.shape, np.nan), where=images > 0)


@dataclass(frozen=True)
class Confusion:
    """Images of class `label` taken for class `taken_for`, in percent of the class's test images, a mean over runs.

    `back` is the same the other way round. `image`: the row, among the test images, that most runs take for it.
    """

    label: int
    taken_for: int
    percent: float
    back: float
    image: int


def find_confusions(predicted: Ints, labels: Ints, classes: int, most: int) -> list[Confusion]:
    """The pairs of classes that are confused most, each pair once, by the larger of its two shares."""
    counts = count_predictions(predicted, labels, classes)
    images = np.bincount(labels, minlength=classes)
    share = np.divide(counts * 100, images[:, None], out=np.zeros_like(counts), where=images[:, None] > 0)
    np.fill_diagonal(share, 0)
    order = np.argsort(-share, axis=None, kind="stable")
    found: list[Confusion] = []
    seen: set[tuple[int, int]] = set()
    for place in order:
        label, other = divmod(int(place), classes)
        if len(found) == most or share[label, other] == 0:
            break
        pair = (min(label, other), max(label, other))
        if pair in seen:
            continue
        seen.add(pair)
        times = (predicted == other).sum(0) * (labels == label)
        found.append(
            Confusion(label, other, float(share[label, other]), float(share[other, label]), int(times.argmax()))
        )
    return found


def images_by_class(kept: Sequence[Ints], labels: Ints, classes: int) -> Doubles:
    """Labelled images (C,) of each class among those that each run keeps (rows of `labels`), as a mean over runs."""
    counts = [np.bincount(labels[rows], minlength=classes) for rows in kept]
    return np.mean(counts, axis=0)
