"""How accurately translated texts stand in for image features. Pure functions on arrays.

On pairs a text is measured against its own image and against all others; on the data set against class means of
real images. Features are of unit norm throughout. Intervals are 95%: 1.96 standard errors by the bootstrap, which draws
whole images (of pairs) or whole classes (of the data set) anew, since their texts are not independent of each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fieldguide.core.arrays import Doubles, Floats, Ints
from fieldguide.core.random import generator
from fieldguide.translators.retrieval import ranks

RECALLS = (1, 5, 10)
"""The ranks k of R@k."""
RESAMPLES = 200
"""Bootstrap samples: enough for a standard error."""
WORD = re.compile(r"[a-z][a-z'-]*[a-z]")
"""What counts as a word, in lower case."""


@dataclass(frozen=True)
class Estimate:
    """A value and the half-width of its 95% interval, None where it has none."""

    value: float
    half_width: float | None = None

    def rounded(self) -> tuple[float, float | None]:
        """As it stands in a JSON file."""
        return round(self.value, 6), None if self.half_width is None else round(self.half_width, 6)


# ---------------------------------------------------------------- pairs


def paired_cosines(texts: Floats, images: Floats, image_of: Ints) -> tuple[Doubles, Doubles]:
    """Each text's cosine to its own image (n,), and its mean cosine to all other images (n,), the control.

    texts (n, d), images (m, d), image_of (n,) rows of images. A raw cosine alone misleads: where all features lie close
    together it is high between any two.
    """
    own = np.einsum("nd,nd->n", texts, images[image_of], dtype=np.float64)
    everything = texts @ images.sum(0, dtype=np.float64)
    return own, (everything - own) / (len(images) - 1)


def centred(features: Floats) -> Floats:
    """Unit rows of features (n, d) less their mean; where nothing is left, zeros."""
    rest = features - features.mean(0, dtype=np.float64)
    away: Floats = (rest / np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-6)).astype(np.float32)
    return away


def centroid_distance(texts: Doubles, images: Doubles) -> float:
    """Euclidean distance of two means (d,)."""
    return float(np.linalg.norm(texts - images))


def covariance_distance(texts: Doubles, images: Doubles) -> float:
    """||S - R|| / ||R|| in the Frobenius norm, for covariances S of texts and R of images (d, d).

    0: the same. 1: no nearer than texts that all are one point.
    """
    return float(np.linalg.norm(texts - images) / np.linalg.norm(images))


def weighted_moments(features: Floats, weights: Doubles) -> tuple[Doubles, Doubles]:
    """Mean (d,) and covariance (d, d) of features (n, d) with weights (n,) that sum to one."""
    mean = weights @ features
    centred = features - mean
    return mean, (centred * weights[:, None]).T @ centred


def resampled(groups: int, seed: int, purpose: str) -> Iterator[Doubles]:
    """Bootstrap samples of groups: how often each (g,) occurs."""
    rng = generator(seed, f"bootstrap {purpose}")
    for _ in range(RESAMPLES):
        yield rng.multinomial(groups, np.full(groups, 1 / groups)).astype(np.float64)


def half_width_of(samples: Sequence[float] | Doubles) -> float:
    """1.96 standard errors, by the spread of bootstrap samples."""
    return 1.96 * float(np.std(samples, ddof=1))


def grouped_mean(values: NDArray[np.generic], groups: Ints, seed: int) -> Estimate:
    """Mean of values (n,) and its interval when whole groups (n,) are drawn anew; a single group has no interval."""
    names, place = np.unique(groups, return_inverse=True)
    sums = np.bincount(place, weights=values.astype(np.float64))
    counts = np.bincount(place)
    mean = float(sums.sum() / counts.sum())
    if len(names) < 2:
        return Estimate(mean)
    return Estimate(
        mean, half_width_of([float(times @ sums / (times @ counts)) for times in resampled(len(names), seed, "mean")])
    )


def measure_pairs(texts: Floats, images: Floats, image_of: Ints, seed: int = 0) -> dict[str, Estimate]:
    """All measures on pairs no translator learnt from; texts (n, d), images (m, d), each with a text, image_of (n,).

    cosine and control; recall_k in percent, the own image among the k first of all images; centred_recall_1, the same
    with texts and images each less their own mean, which no constant shift can change; centroid_distance,
    covariance_distance and variance_ratio (of the overall spreads) of texts to images. The bootstrap keeps the gallery.
    """
    own, control = paired_cosines(texts, images, image_of)
    rank = ranks(texts, images, image_of)
    found = {name: grouped_mean(v, image_of, seed) for name, v in (("cosine", own), ("control", control))}
    found |= {f"recall_{k}": grouped_mean(100.0 * (rank < k), image_of, seed) for k in RECALLS}
    rank = ranks(centred(texts), centred(images), image_of)
    found["centred_recall_1"] = grouped_mean(100.0 * (rank < 1), image_of, seed)
    per_image = np.bincount(image_of, minlength=len(images))

    def distances(times: Doubles) -> tuple[float, float, float]:
        """With each image counted so many times, and its texts with it."""
        counts = times[image_of]
        (text_mean, text_spread), (image_mean, image_spread) = (
            weighted_moments(texts, counts / counts.sum()),
            weighted_moments(images, times * per_image / (times * per_image).sum()),
        )
        ratio = float(np.trace(text_spread) / np.trace(image_spread))
        return centroid_distance(text_mean, image_mean), covariance_distance(text_spread, image_spread), ratio

    whole = distances(np.ones(len(images)))
    samples = np.array([distances(times) for times in resampled(len(images), seed, "moments")])
    names = ("centroid_distance", "covariance_distance", "variance_ratio")
    return found | {n: Estimate(v, half_width_of(s)) for n, v, s in zip(names, whole, samples.T, strict=True)}


# ---------------------------------------------------------------- data set


def image_class_means(images: Floats, labels: Ints, classes: int) -> Floats:
    """Unit-norm mean image features (c, d) of every class; images (n, d), labels (n,), none of the classes empty."""
    sums = np.zeros((classes, images.shape[1]))
    np.add.at(sums, labels, images)
    means: Floats = (sums / np.linalg.norm(sums, axis=1, keepdims=True)).astype(np.float32)
    return means


@dataclass(frozen=True)
class Placed:
    """Texts among class means: whether the nearest is their own (n,) bool, and the cosines to their own mean (n,) and
    to the others, on average (n,)."""

    right: NDArray[np.bool_]
    own: Doubles
    others: Doubles

    @property
    def margin(self) -> Doubles:
        """How much nearer a text is to its own class than to the others, on average (n,)."""
        return self.own - self.others


def place(texts: Floats, labels: Ints, means: Floats) -> Placed:
    """Texts (n, d) with labels (n,) among class means (c, d)."""
    cosines = (texts @ means.T).astype(np.float64)
    own = np.take_along_axis(cosines, labels[:, None], 1)[:, 0]
    return Placed(cosines.argmax(1) == labels, own, (cosines.sum(1) - own) / (len(means) - 1))


def summarise(placed: Placed, labels: Ints, rows: Ints, seed: int = 0) -> dict[str, Estimate]:
    """Measures of some texts (rows): nearest_class_mean in percent, and cosine and control to class means."""
    values = {"nearest_class_mean": 100.0 * placed.right, "cosine": placed.own, "control": placed.others}
    return {name: grouped_mean(column[rows], labels[rows], seed) for name, column in values.items()}


def words_of(text: str) -> set[str]:
    """The words of a text, each once, in lower case."""
    return set(WORD.findall(text.lower()))


@dataclass(frozen=True)
class WordEffect:
    """A word: how many texts of how many classes have it, how much more margin these have than the other texts of the
    same class and field (in hundredths of a cosine), and that difference in its standard errors."""

    word: str
    texts: int
    classes: int
    effect: float
    t: float


def word_effects(
    texts: Sequence[str], margin: Doubles, labels: Ints, fields: Sequence[str], at_least: int
) -> list[WordEffect]:
    """What goes with a text's containing a word, for words in `at_least` texts or more; the best converted first.

    Margins (n,) are taken relative to the mean of the same class and field, so that a word is not credited with the
    classes and the fields that it occurs in. The t value is Welch's, of texts with the word against those without.
    """
    keys = np.unique([f"{label} {field}" for label, field in zip(labels, fields, strict=True)], return_inverse=True)[1]
    relative = margin - (np.bincount(keys, weights=margin) / np.bincount(keys))[keys]
    rows: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        for word in words_of(text):
            rows.setdefault(word, []).append(row)
    found = []
    total, squares = relative.sum(), (relative**2).sum()
    for word, has in rows.items():
        n, rest = len(has), len(texts) - len(has)
        if n < max(2, at_least) or rest < 2:
            continue
        part = relative[has]
        mean, other = part.mean(), (total - part.sum()) / rest
        spread = max((squares - (part**2).sum()) / rest - other**2, 0.0)
        error = float(np.sqrt(part.var(ddof=1) / n + spread / (rest - 1)))
        difference = float(mean - other)
        classes = len(np.unique(labels[has]))
        found.append(WordEffect(word, n, classes, 100 * difference, difference / error if error > 0 else 0.0))
    return sorted(found, key=lambda effect: (-effect.t, effect.word))


# ---------------------------------------------------------------- pictures


def principal_axes(points: Floats, count: int = 2) -> tuple[Doubles, Doubles]:
    """Mean (d,) and the first principal axes (count, d) of points (n, d), each with its largest entry positive."""
    mean = points.mean(0, dtype=np.float64)
    axes = np.linalg.svd(points - mean, full_matrices=False)[2][:count]
    signs = np.sign(np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1))
    return mean, axes * signs
