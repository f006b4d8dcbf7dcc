"""What a cell's texts say of its classes, and how far the cell's own images bear them out. Pure functions on arrays.

A text feature of CLIP acts as a discriminant weight, not as a class mean: so logits are x . d_c + bias. Only
differences between classes count: a shift of all text features by one vector changes nothing. The images of a cell had
no part in its texts, so their likelihood under the texts alone is an unbiased measure of what the texts are worth, at
one image a class too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fieldguide.core.arrays import Doubles, Floats, Ints

COSINE = 0.22
"""The usual cosine of an image and an unrelated text in CLIP; it weighs what normalising a class mean does."""
SPREAD = 8.0
"""Standard deviation of the prior of the texts' scale, in nats of spread between classes."""
BIAS_SPREAD = 0.25
"""The same of how far the scale of the biases may leave that of the weights."""
COST = 4.0
"""Nats that texts must explain before they count at all: what three fitted scalars explain by chance, seldom more."""
RIGHT = 0.8
"""Prior probability that a class's texts are its own."""


@dataclass(frozen=True)
class TextPrior:
    """Weights (C, D) and biases (C,) for images less their mean; zeros for a class without a text.

    worth: the share of log C, the information that a class label holds, which the texts alone explain of the cell's
    images, in [0, 1].
    """

    weight: Doubles
    bias: Doubles
    worth: float


def log_sum_exp(logits: Doubles) -> Doubles:
    """The logarithm of the sum of exponentials over the last axis."""
    top = logits.max(-1, keepdims=True)
    total: Doubles = top[..., 0] + np.log(np.exp(logits - top).sum(-1))
    return total


def class_directions(features: Floats, labels: Ints, classes: int) -> tuple[Doubles, Doubles, NDArray[np.bool_]]:
    """Weights (C, D), biases (C,) of zero-shot by texts (T, D) to first order, and which classes have a text (C,).

    Zero-shot divides a class's mean by its length. For unit texts that length is rho = sqrt(1 - v), v the variance of
    the class's texts, which no shift changes: so x . m_c / |m_c| is, up to what all classes share, x . (m_c - m) / rho
    + COSINE / rho, m the mean over classes.
    """
    counts = np.bincount(labels, minlength=classes)
    known, number = counts > 0, np.maximum(counts, 1)
    onehot = np.zeros((classes, len(labels)))
    onehot[labels, np.arange(len(labels))] = 1
    # Less one text, so that rounding does not depend on where all of them lie.
    rows = features.astype(np.float64) - features[0].astype(np.float64)
    means = onehot @ rows / number[:, None]
    variance = np.bincount(labels, ((rows - means[labels]) ** 2).sum(1), classes) / number
    length = np.sqrt(np.clip(1 - variance, 0.05, 1))
    weight = np.where(known[:, None], (means - means[known].mean(0)) / length[:, None], 0.0)
    bias = np.where(known, COSINE / length, 0.0)
    return weight, np.where(known, bias - bias[known].mean(), 0.0), known


def fit_scales(views: Doubles, labels: Ints, precision: Doubles) -> tuple[Doubles, float]:
    """The scales (K,) of views (K, n, C) whose summed logits explain labels (n,) best, and their log-likelihood.

    Maximum a posteriori with a normal prior around 0 of that precision (K,), by Newton's method; the problem is convex.
    """
    count, images, _ = views.shape
    scales, row = np.zeros(count), np.arange(images)

    def objective(at: Doubles) -> tuple[float, float]:
        logits = np.tensordot(at, views, 1)
        likelihood = float((logits[row, labels] - log_sum_exp(logits)).sum())
        return float(precision @ at**2) / 2 - likelihood, likelihood

    value, likelihood = objective(scales)
    for _ in range(50):
        logits = np.tensordot(scales, views, 1)
        chance = np.exp(logits - log_sum_exp(logits)[:, None])
        mean = np.einsum("nc,knc->kn", chance, views)
        gradient = (mean - views[:, row, labels]).sum(1) + precision * scales
        hessian = np.einsum("nc,knc,lnc->kl", chance, views, views) - mean @ mean.T + np.diag(precision)
        step, length = np.linalg.solve(hessian, gradient), 1.0
        while (tried := objective(scales - length * step))[0] > value and length > 1e-4:
            length /= 2
        if tried[0] >= value - 1e-9 * max(images, 1):
            break
        scales = scales - length * step
        value, likelihood = tried
    return scales, likelihood


def reliability(logits: Doubles, labels: Ints, known: NDArray[np.bool_]) -> Doubles:
    """Probability (C,) that the texts of a class are its own, given logits (n, C) by texts of images with labels (n,).

    A mixture: a class's logits are the texts', or 0 as for a class of which nothing is said. Mean field, with the share
    of right classes as common knowledge that the classes with images inform the others by.
    """
    row, share = np.arange(len(labels)), RIGHT
    shown = np.bincount(labels, minlength=logits.shape[1]) > 0
    right = np.full(logits.shape[1], RIGHT) * known
    on = np.exp(np.clip(logits, -50, 50))
    for _ in range(15):
        now = np.exp(np.clip(right * logits, -50, 50))
        others = np.maximum(now.sum(1, keepdims=True) - now, 1e-12)
        gain = np.log(others + 1) - np.log(others + on)
        gain[row, labels] += logits[row, labels]
        # A class without images could only lose: of it no more is known than of texts at large.
        odds = np.log(share / (1 - share)) + gain.sum(0) * shown
        right = (right + known / (1 + np.exp(-np.clip(odds, -30, 30)))) / 2
        share = float(np.clip((4 * RIGHT + right.sum()) / (4 + known.sum()), 0.02, 0.98))
    return right


def fit_text_prior(
    images: Doubles,
    labels: Ints,
    centre: Doubles,
    raw: Floats,
    translated: Floats | None,
    text_labels: Ints,
    classes: int,
) -> TextPrior:
    """What texts raw (T, D) and, if any, translated say, scaled by images (n, D) less their mean `centre` (D,)."""
    weight, bias, known = class_directions(raw, text_labels, classes)
    nothing = np.zeros_like(weight)
    # As zero-shot has it, weights and biases scaled alike; the biases beside it; and what the translator makes of it.
    parts = [(weight, bias + weight @ centre), (nothing, bias + weight @ centre)]
    if translated is not None:
        parts.append((class_directions(translated, text_labels, classes)[0], np.zeros(classes)))
    parts = [(w - known[:, None] * w[known].mean(0), known * (b - b[known].mean())) for w, b in parts]
    views = np.stack([images @ w.T + b for w, b in parts])
    # One unit is one nat of spread between the classes.
    unit = [np.sqrt(np.mean((images @ w.T)[:, known] ** 2)) for w, _ in (parts[0], parts[0], *parts[2:])]
    used = known[labels]
    if not used.any() or min(unit) <= 0:
        return TextPrior(nothing, np.zeros(classes), 0.0)
    views /= np.array(unit)[:, None, None]
    precision = np.array([1 / SPREAD**2, 1 / BIAS_SPREAD**2, 1.0][: len(parts)])
    scales, likelihood = fit_scales(views[:, used], labels[used], precision)
    gain = likelihood + used.sum() * np.log(classes)
    scales *= max(0.0, 1 - COST / gain) if gain > 0 and scales[0] > 0 else 0.0
    weight = sum((s / u * w for s, u, (w, _) in zip(scales, unit, parts, strict=True)), start=nothing)
    bias = sum((s / u * b for s, u, (_, b) in zip(scales, unit, parts, strict=True)), start=np.zeros(classes))
    logits = images @ weight.T + bias
    right = reliability(logits, labels, known)
    odds = np.log(np.clip(right, 1e-6, 1 - 1e-6) / (1 - np.clip(right, 1e-6, 1 - 1e-6)))
    # The mixture's slope where the class would win: what is probably right counts nearly as if it were sure.
    slope = known / (1 + np.exp(-(odds + logits.max(1).mean())))
    worth = max(0.0, float(gain)) / (used.sum() * np.log(classes)) if scales.any() else 0.0
    return TextPrior(weight * slope[:, None], bias * slope, min(worth, 1.0))
