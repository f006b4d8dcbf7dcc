"""Texts made worse on purpose: how a recipe bears texts that are wrong, weak or about nothing. Pure functions.

Each takes text features (T, D) with labels (T,) and gives rows that stand for them. What belongs to a class is changed
for the class as a whole, so that raw and translated features of one source are made worse alike by the same seed.
"""

from __future__ import annotations

import numpy as np

from fieldguide.adapters.recipes.task import class_means, normalise, text_weights
from fieldguide.core.arrays import Floats, Ints
from fieldguide.core.random import generator


def swap_classes(classes: int, share: float, seed: int) -> Ints:
    """For each class the class (C,) whose texts it is given: a share of the classes, two at least, pass theirs round.

    None of those keeps its own; the others do. A share of 0 changes nothing.
    """
    whose = np.arange(classes)
    if share > 0:
        moved = generator(seed, "swapped-classes").permutation(classes)[: max(2, round(share * classes))]
        whose[moved] = np.roll(moved, 1)
    return whose


def swap_families(features: Floats, labels: Ints, classes: int, share: float, seed: int) -> Ints:
    """As `swap_classes`, but each class exchanges its texts with the nearest other: the whose (C,) of texts (T, D).

    Classes come in random order; each that is left takes the one left whose mean text is nearest to its own.
    """
    means = normalise(class_means(normalise(features), labels, classes))
    near, whose = means @ means.T, np.arange(classes)
    left = np.ones(classes, bool)
    for label in generator(seed, "swapped-families").permutation(classes):
        moved = classes - left.sum()
        if share <= 0 or left.sum() < 2 or (moved and moved >= 2 * round(share * classes / 2)):
            break
        if left[label]:
            left[label] = False
            other = int(np.where(left, near[label], -np.inf).argmax())
            whose[label], whose[other] = other, label
            left[other] = False
    return whose


def swap_texts(labels: Ints, whose: Ints) -> Ints:
    """Rows (T,) of texts that stand in for those with labels (T,): row i is of class whose[labels[i]].

    A class with fewer texts than those it stands in for gives them again.
    """
    rows = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        own, others = np.flatnonzero(labels == label), np.flatnonzero(labels == whose[label])
        rows[own] = np.resize(others if len(others) else own, len(own))
    return rows


def random_directions(features: Floats, labels: Ints, classes: int, seed: int) -> Floats:
    """Unit features (T, D) of texts about nothing: the texts of a class share a random deviation from the mean text.

    It is as long as the deviation of the class's own mean was, so that only its direction is lost.
    """
    return blend(features, labels, classes, 1.0, seed)


def blend(features: Floats, labels: Ints, classes: int, noise: float, seed: int) -> Floats:
    """Unit features (T, D) whose class means deviate in part at random: 0 leaves them, 1 keeps nothing but lengths.

    A class's deviation d from the mean over classes becomes sqrt(1 - noise^2) d + noise |d| r, r a random unit vector.
    """
    means = class_means(normalise(features), labels, classes)
    known = np.bincount(labels, minlength=classes) > 0
    away = (means - means[known].mean(0)) * known[:, None]
    length = np.linalg.norm(away, axis=1, keepdims=True)
    drawn = normalise(generator(seed, "random-directions").normal(size=away.shape)) * length
    change = np.sqrt(1 - noise**2) * away + noise * drawn - away
    return normalise(normalise(features) + change[labels]).astype(np.float32)


def zero_shot_accuracy(features: Floats, labels: Ints, images: Floats, image_labels: Ints, classes: int) -> float:
    """Percent of images (N, D) that zero-shot by the texts names rightly."""
    found = (images @ text_weights(features, labels, classes).T).argmax(1)
    return float((found == image_labels).mean() * 100)


def weaken(
    features: Floats, labels: Ints, images: Floats, image_labels: Ints, classes: int, target: float, seed: int
) -> float:
    """The noise of `blend` at which zero-shot gets `target` percent of the images (N, D) right, by bisection.

    0 where it is no better than that as it is.
    """
    low, high = 0.0, 1.0
    if zero_shot_accuracy(features, labels, images, image_labels, classes) <= target:
        return 0.0
    for _ in range(12):
        middle = (low + high) / 2
        worse = blend(features, labels, classes, middle, seed)
        above = zero_shot_accuracy(worse, labels, images, image_labels, classes) > target
        low, high = (middle, high) if above else (low, middle)
    return (low + high) / 2
