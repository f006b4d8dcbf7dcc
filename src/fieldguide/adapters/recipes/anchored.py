"""The anchored recipe: softmax regression on the images, with as much of the texts as the cell's own images bear out.

For one run (docs/anchored.md says why each part is there):

1. Images are centred at their mean and whitened by their within-class covariance S, shrunk: x = f (S + e I)^(-1/2),
   with e = sqrt(D / n) tr(S) / D, and f so that their root mean square length is LENGTH.
2. Texts give a classifier T of their own, scaled by its likelihood on the cell's images, which had no part in it, and
   trusted class by class (`text_prior.py`).
3. Two softmax regressions of the images:  min over W of  sum_i CE(y_i, W x_i) + penalty / 2 ||W - A||^2  with A = 0,
   the images alone, and with A = T, the images where the texts fall short. Both convex.
4. The classifier is a W_0 + b W_T + c T, with (a, b, c) the posterior mean over a grid, by the likelihood of images
   held out: the regressions are fitted again without them, whitening and all.

Without images it is zero-shot, without texts the first regression. Nothing here depends on where all texts lie: a shift
of all text features by one vector changes no prediction.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fieldguide.adapters.linear import Adapter
from fieldguide.adapters.recipes.softmax import fit_softmax
from fieldguide.adapters.recipes.task import Fitted, Setting, Task, class_means, spread
from fieldguide.adapters.recipes.text_prior import TextPrior, class_directions, fit_text_prior, log_sum_exp
from fieldguide.core.arrays import Doubles, Floats, Ints

LENGTH = 10.0
CONSTANT = 0.1
"""The column that carries the texts' biases, small, so that the images hardly move them."""
FOLDS = 5
HELD_OUT = 500
"""So many images held out are enough: of many images not every fold is fitted."""
FOLD_TOLERANCE = 1e-2
STEPS = (0, 0.1, 0.25, 0.5, 0.75, 1)
MIXES = np.array([m for m in itertools.product(STEPS, STEPS, (0, 0.25, 0.5, 1)) if 0.2 < sum(m) <= 1.5])
"""How much of the images alone, of the anchored regression and of the texts alone is tried."""


def trials(count: int) -> list[dict[str, float]]:
    """The penalty from 1 to 30."""
    return [{"penalty": penalty} for penalty in spread(1, 30, count)]


@dataclass(frozen=True)
class Whitener:
    """Images (n, D) less `centre` (D,) times `into` (D, D) are white; `back` (D, D) is the inverse of `into`."""

    centre: Doubles
    into: Doubles
    back: Doubles

    @classmethod
    def of(cls, images: Floats, labels: Ints, classes: int) -> Whitener:
        """That of images (n, D), whose root mean square length it makes LENGTH.

        The fewer images, the more their covariance is shrunk: by sqrt(D / n) of its mean variance, which lies between
        none and the D / n of Kubokawa and Srivastava (J. Multivariate Analysis, 2008).
        """
        centre = images.mean(0)
        x = images - centre
        inside = (x - class_means(x, labels, classes)[labels]).astype(np.float64)
        covariance = inside.T @ inside / max(len(x) - classes, 1)
        level = np.trace(covariance) / x.shape[1]
        if level <= 0:  # one image per class: no spread to tell directions by
            values, vectors = np.ones(x.shape[1]), np.eye(x.shape[1])
        else:
            shrinkage = math.sqrt(x.shape[1] / len(x)) * level
            values, vectors = np.linalg.eigh(covariance + shrinkage * np.eye(x.shape[1]))
        root = np.sqrt(values)
        into = vectors / root
        length = math.sqrt(((x @ into) ** 2).sum(1).mean())
        factor = LENGTH / length if length > 0 else 1.0
        return cls(centre, into * factor, (vectors * root).T / factor)

    def apply(self, images: Floats, constant: float = 0.0) -> Floats:
        """White images (n, D), and a constant column if it is not 0."""
        white = ((images - self.centre) @ self.into).astype(np.float32)
        return np.hstack([white, np.full((len(white), 1), constant, np.float32)]) if constant else white

    def anchors(self, prior: TextPrior, centre: Doubles) -> Floats:
        """Anchors (2, C, D + 1) of white images: nothing, and the texts, whose biases are for images less `centre`."""
        bias = prior.bias + prior.weight @ (self.centre - centre)
        anchor = np.hstack([prior.weight @ self.back.T, bias[:, None] / CONSTANT])
        return np.stack([np.zeros_like(anchor), anchor]).astype(np.float32)


def zero_shot(raw: Floats, labels: Ints, classes: int) -> tuple[Floats, Floats]:
    """Weights (C, D) and biases (C,) from texts alone; a class without any is never named."""
    weight, bias, known = class_directions(raw, labels, classes)
    return weight.astype(np.float32), np.where(known, bias, -10.0).astype(np.float32)


def deal_folds(labels: Ints, classes: int) -> list[tuple[Ints, Doubles]]:
    """The images held out in each fold, as rows (h,) of labels (n,), and what each of them counts (h,).

    The images of a class go round. Where there are classes without images, those with images go round too: all that a
    class has is held out once, to stand for such classes, in proportion to their number.
    """
    counts = np.bincount(labels, minlength=classes)
    seen = np.flatnonzero(counts)
    fold, dropped = np.full(len(labels), -1), np.full(classes, -1)
    for label in seen[counts[seen] > 1]:
        fold[labels == label] = np.arange(counts[label]) % FOLDS
    if len(seen) < classes:
        dropped[seen] = np.arange(len(seen)) % FOLDS
    share = min(1.0, (classes - len(seen)) / len(seen))
    folds = []
    for number in range(FOLDS):
        without = dropped[labels] == number
        rows = np.flatnonzero(without | (fold == number))
        folds.append((rows, np.where(without, share, 1.0)[rows]))
    return folds


def fit_pair(table: Floats, labels: Ints, anchors: Floats, penalty: float, tolerance: float = 3e-3) -> Floats:
    """The regressions (2, C, D + 1) with two anchors on white images (n, D + 1).

    Among the classes that have images: a class without any keeps its anchor, and is not pushed away for their want.
    """
    seen, place = np.unique(labels, return_inverse=True)
    found = anchors.copy()
    found[:, seen] = fit_softmax(table, place, anchors[:, seen], np.full(2, penalty, np.float32), tolerance)
    return found


def hold_out(
    images: Floats, labels: Ints, classes: int, prior: TextPrior, centre: Doubles, penalty: float
) -> tuple[Doubles, Ints, Doubles]:
    """Logits (3, h, C) of images held out, by images alone, anchored and by texts alone; their rows (h,) and counts."""
    logits: list[Floats] = [np.zeros((3, 0, classes), np.float32)]
    rows: list[Ints] = [np.zeros(0, np.int64)]
    counts: list[Doubles] = [np.zeros(0)]
    for out, count in deal_folds(labels, classes):
        kept = np.setdiff1d(np.arange(len(labels)), out)
        if not len(out) or not len(kept) or sum(len(r) for r in rows) >= HELD_OUT:
            continue
        white = Whitener.of(images[kept], labels[kept], classes)
        anchors = white.anchors(prior, centre)
        table, held = white.apply(images[kept], CONSTANT), white.apply(images[out], CONSTANT)
        weight = fit_pair(table, labels[kept], anchors, penalty, FOLD_TOLERANCE)
        logits.append(np.stack([held @ w.T for w in (*weight, anchors[1])]))
        rows.append(out)
        counts.append(count)
    return np.concatenate(logits, 1).astype(np.float64), np.concatenate(rows), np.concatenate(counts)


def choose_mix(logits: Doubles, labels: Ints, counts: Doubles, worth: float) -> Doubles:
    """How much of each (3,): the posterior mean over MIXES, by logits (3, h, C) of images that count `counts` (h,).

    What the texts leave open is the most that the images can add: without evidence that says how to weigh them.
    """
    if not len(labels):
        return np.array([1 - worth, worth, 0.0])
    row, found = np.arange(len(labels)), np.empty(len(MIXES))
    for number, mix in enumerate(MIXES):
        mixed = np.tensordot(mix, logits, 1)
        found[number] = ((mixed[row, labels] - log_sum_exp(mixed)) * counts).sum()
    chance = np.exp(found - found.max())
    return chance @ MIXES / chance.sum()


def fit_images(images: Floats, labels: Ints, classes: int, penalties: Sequence[float]) -> tuple[Floats, Floats]:
    """Weights (T, C, D) and biases (T, C) of the images alone for T penalties."""
    white = Whitener.of(images, labels, classes)
    table = white.apply(images)
    nothing = np.zeros((len(penalties), classes, table.shape[1]), np.float32)
    weight = fit_softmax(table, labels, nothing, np.asarray(penalties, np.float32))
    weight = (weight @ white.into.T).astype(np.float32)
    return weight, -(weight @ white.centre).astype(np.float32)


def fit_mix(images: Floats, labels: Ints, prior: TextPrior, centre: Doubles, penalty: float) -> tuple[Floats, Floats]:
    """Weights (C, D) and biases (C,) of images and texts."""
    classes = len(prior.bias)
    logits, rows, counts = hold_out(images, labels, classes, prior, centre, penalty)
    mix = choose_mix(logits, labels[rows], counts, prior.worth)
    white = Whitener.of(images, labels, classes)
    anchors = white.anchors(prior, centre)
    found = fit_pair(white.apply(images, CONSTANT), labels, anchors, penalty)
    mixed = np.tensordot(mix, np.stack([*found, anchors[1]]), 1)
    weight = mixed[:, :-1] @ white.into.T
    return weight.astype(np.float32), (mixed[:, -1] * CONSTANT - weight @ white.centre).astype(np.float32)


def fit_one(task: Task, seed: int, penalties: Sequence[float]) -> tuple[Floats, Floats]:
    """Weights (T, C, D) and biases (T, C) of one seed for T penalties."""
    rows, drawn = task.draw(seed)
    images, labels, texts, classes = task.images[rows], task.labels[rows], task.texts, task.classes
    if texts is None or not len(drawn):
        return fit_images(images, labels, classes, penalties)
    assert texts.raw is not None
    raw, text_labels = texts.raw[drawn], texts.labels[drawn]
    if not len(images):
        weight, bias = zero_shot(raw, text_labels, classes)
        return np.tile(weight, (len(penalties), 1, 1)), np.tile(bias, (len(penalties), 1))
    translated = texts.translated[drawn] if texts.translated is not None else None
    centre = images.mean(0, dtype=np.float64)
    prior = fit_text_prior(images - centre, labels, centre, raw, translated, text_labels, classes)
    if prior.worth == 0:
        return fit_images(images, labels, classes, penalties)
    fitted = [fit_mix(images, labels, prior, centre, penalty) for penalty in penalties]
    weights, biases = zip(*fitted, strict=True)
    return np.stack(weights), np.stack(biases)


def fit(task: Task, settings: Sequence[Setting]) -> Fitted:
    """Settings: `penalty`. Texts, if there are any, raw and (where there is a translator) translated."""
    penalties = [setting["penalty"] for setting in settings]
    fitted = [fit_one(task, seed, penalties) for seed in task.seeds]
    weight, bias = (np.stack(parts, 1) for parts in zip(*fitted, strict=True))
    return Fitted(Adapter(weight.reshape(-1, *weight.shape[2:]), bias.reshape(-1, bias.shape[2])))
