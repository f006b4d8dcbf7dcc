"""The anchored recipe: softmax regression on the images, pulled towards what the texts say, so that text does not hurt.

For one run with n images and m texts (docs/anchored.md says why each part is there):

1. Images are centred at their mean and whitened by their within-class covariance S, shrunk: x = f (S + e I)^(-1/2),
   with e = SHRINKAGE tr(S) / D, and f so that their root mean square length is LENGTH.
2. A class's text direction is u_c = unit(unit(p_c) + TRANSLATED unit(q_c)) in that space, p_c and q_c the unit-norm
   mean of the class's raw and of its translated texts, less the mean over classes: the modality gap, the same for all
   classes, falls out.
3. The anchor is a_c = g PULL max(0, m_c - n_c) / (m_c + n_c) u_c for a class with m_c texts and n_c images: the pull
   fades as images come in, and where they are as many as the texts it is gone and the run is the image-only one. g in
   [0, 1] is how surely the texts agree with the images of the run: 1 - (2 / t)^2, not below 0, with t that of the mean
   cosine of u_c and the class's image mean against those of other classes. Texts that say nothing about the images get
   g = 0.
4. The weights minimise  sum_i CE(y_i, W x_i) + penalty / 2 ||W - A||^2, a convex problem.

Without images it is zero-shot with the directions of 2, centred at the mean text. Without texts, A = 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fieldguide.adapters.linear import Adapter
from fieldguide.adapters.recipes.softmax import fit_softmax
from fieldguide.adapters.recipes.task import (
    Fitted,
    Setting,
    Task,
    class_means,
    class_sums,
    normalise,
    spread,
    text_weights,
)
from fieldguide.core.arrays import Doubles, Floats, Ints

SHRINKAGE = 1.0
LENGTH = 10.0
PULL = 3.0
TRANSLATED = 0.3


def trials(count: int) -> list[dict[str, float]]:
    """The penalty from 1 to 30."""
    return [{"penalty": penalty} for penalty in spread(1, 30, count)]


def whitener(x: Floats, labels: Ints, classes: int) -> Doubles:
    """The map (D, D) of centred images x (n, D) to whitened ones of root mean square length LENGTH."""
    inside = (x - class_means(x, labels, classes)[labels]).astype(np.float64)
    covariance = inside.T @ inside / max(len(x) - classes, 1)
    level = np.trace(covariance) / x.shape[1]
    if level <= 0:  # one image per class: no spread to tell directions by
        values, vectors = np.ones(x.shape[1]), np.eye(x.shape[1])
    else:
        values, vectors = np.linalg.eigh(covariance + SHRINKAGE * level * np.eye(x.shape[1]))
    found: Doubles = vectors / np.sqrt(values)
    length = math.sqrt(((x @ found) ** 2).sum(1).mean())
    return found * (LENGTH / length) if length > 0 else found


def class_directions(features: Floats, labels: Ints, classes: int) -> Floats:
    """Unit-norm class means (C, D) of unit text features, less their mean over the classes that have a text."""
    means = text_weights(features, labels, classes)
    known = np.bincount(labels, minlength=classes) > 0
    return (means - means[known].mean(0)) * known[:, None]


def text_directions(raw: Floats, translated: Floats | None, labels: Ints, classes: int, into: Doubles) -> Floats:
    """Unit text directions (C, D) in the space that `into` (D, D) maps to; zeros for a class without a text."""
    directions = normalise(class_directions(raw, labels, classes) @ into)
    if translated is not None:
        directions = directions + TRANSLATED * normalise(class_directions(translated, labels, classes) @ into)
    return normalise(directions).astype(np.float32)


def agreement(directions: Floats, means: Floats, seen: NDArray[np.bool_]) -> float:
    """How surely texts agree with images, in [0, 1]: 1 - (2 / t)^2 or 0, over the classes that were seen in both.

    t is the mean cosine of a class's text direction and its image mean, in standard errors of that mean if texts and
    images were matched at random: the spread of the cosines of unlike classes tells it.
    """
    if seen.sum() < 2:
        return 0.0
    cosines = normalise(directions[seen]) @ normalise(means[seen]).T
    unlike = cosines[~np.eye(len(cosines), dtype=bool)]
    error = unlike.std() / math.sqrt(len(cosines))
    t = (np.trace(cosines) / len(cosines) - unlike.mean()) / error if error > 0 else 0.0
    return float(max(0.0, 1 - (2 / t) ** 2)) if t > 0 else 0.0


def zero_shot(raw: Floats, translated: Floats | None, labels: Ints, classes: int) -> tuple[Floats, Floats]:
    """Weights (C, D) and biases (C,) from texts alone."""
    weight = text_directions(raw, translated, labels, classes, np.eye(raw.shape[1]))
    return weight, -(weight @ normalise(raw).mean(0))


def fit_one(task: Task, seed: int, penalties: Sequence[float]) -> tuple[Floats, Floats]:
    """Weights (T, C, D) and biases (T, C) of one seed for T penalties."""
    images, drawn = task.draw(seed)
    texts, classes = task.texts, task.classes
    raw, translated, text_labels = None, None, drawn
    if texts is not None and len(drawn):
        assert texts.raw is not None
        raw, text_labels = texts.raw[drawn], texts.labels[drawn]
        translated = texts.translated[drawn] if texts.translated is not None else None
    if not len(images):
        assert raw is not None
        weight, bias = zero_shot(raw, translated, text_labels, classes)
        return np.tile(weight, (len(penalties), 1, 1)), np.tile(bias, (len(penalties), 1))
    labels, centre = task.labels[images], task.images[images].mean(0)
    x = task.images[images] - centre
    into = whitener(x, labels, classes)
    z = (x @ into).astype(np.float32)
    anchor = np.zeros((classes, z.shape[1]), np.float32)
    if raw is not None:
        directions = text_directions(raw, translated, text_labels, classes, into)
        sums, counts = class_sums(z, labels, classes)
        texts_of = np.bincount(text_labels, minlength=classes)
        sure = agreement(directions, sums, (counts > 0) & (texts_of > 0))
        share = np.maximum(texts_of - counts, 0) / np.maximum(texts_of + counts, 1)
        anchor = (sure * PULL * share[:, None] * directions).astype(np.float32)
    weight = fit_softmax(z, labels, np.tile(anchor, (len(penalties), 1, 1)), np.asarray(penalties, np.float32))
    weight = (weight @ into.T).astype(np.float32)
    return weight, -(weight @ centre)


def fit(task: Task, settings: Sequence[Setting]) -> Fitted:
    """Settings: `penalty`. Texts, if there are any, raw and (where there is a translator) translated."""
    penalties = [setting["penalty"] for setting in settings]
    fitted = [fit_one(task, seed, penalties) for seed in task.seeds]
    weight, bias = (np.stack(parts, 1) for parts in zip(*fitted, strict=True))
    return Fitted(Adapter(weight.reshape(-1, *weight.shape[2:]), bias.reshape(-1, bias.shape[2])))
