"""Ratio plans: which images stay and which texts take the others' places. Pure functions of labels and a seed.

Every draw has a generator of its own, keyed by (seed, purpose, epoch), so that adding a seed, a ratio, an epoch or a
text source changes no existing plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fieldguide.core.arrays import Ints
from fieldguide.core.random import generator


def images_kept(percent: int, n: int) -> int:
    """Round-half-up of percent * n / 100."""
    return (2 * percent * n + 100) // 200


def chairman_sequence(counts: Sequence[int]) -> Ints:
    """An order of classes in which every prefix holds each class within one of its share.

    Tijdeman's chairman assignment (R. Tijdeman, The chairman assignment problem, Discrete Mathematics 32, 1980), in
    exact integers. `counts` (c,) positive; returns (sum of counts,) class indices, class j occurring counts[j] times.
    """
    size = np.asarray(counts, np.int64)
    total, classes = int(size.sum()), len(size)
    if classes == 1:
        return np.zeros(total, np.int64)
    twice = 2 * classes - 2
    taken = np.zeros(classes, np.int64)
    sequence = np.empty(total, np.int64)
    for step in range(1, total + 1):
        # due = (step * share - taken), scaled by total * twice to stay in integers
        due = (step * size - taken * total) * twice
        eligible = due >= total
        urgency = np.where(eligible, ((twice - 1) * total - due) / size, np.inf)
        chosen = int(urgency.argmin())
        taken[chosen] += 1
        sequence[step - 1] = chosen
    return sequence


@dataclass(frozen=True)
class ClassWise:
    """Draws class-wise orders of the images with labels `labels` (n,); the costly part is done once."""

    members: tuple[Ints, ...]  # image rows per class, classes sorted by size
    sequence: Ints  # (n,) index into members
    turn: Ints  # (n,) how many of that class came before
    groups: tuple[Ints, ...]  # indices of classes of equal size: interchangeable, so shuffled for each draw

    @classmethod
    def of(cls, labels: Ints) -> ClassWise:
        values = np.unique(labels)
        members = sorted((np.flatnonzero(labels == v) for v in values), key=len)
        size = np.array([len(m) for m in members])
        sequence = chairman_sequence(size.tolist())
        turn = np.empty_like(sequence)
        for index in range(len(members)):
            turn[sequence == index] = np.arange(size[index])
        return cls(tuple(members), sequence, turn, tuple(np.flatnonzero(size == s) for s in np.unique(size)))

    def draw(self, rng: np.random.Generator) -> Ints:
        """One order (n,) of image rows: shuffled within classes, merged by the chairman assignment."""
        who = np.arange(len(self.members))
        for group in self.groups:
            who[group] = rng.permutation(group)
        shuffled = [rng.permutation(m) for m in self.members]
        starts = np.concatenate([[0], np.cumsum([len(m) for m in shuffled])[:-1]])
        return np.concatenate(shuffled)[starts[who[self.sequence]] + self.turn]


@dataclass(frozen=True)
class TextPool:
    """The texts that may replace images, as rows of the text table.

    `by_image`: one of the image's own captions (Reed). `by_class`: the class's sentences, dealt without replacement
    until exhausted (LLM). Exactly one of the two is used. `beside`: the texts of all images stand beside those that
    stay, not only in the places of those that do not.
    """

    by_image: tuple[Ints, ...] | None = None  # per image row, its captions' rows
    by_class: tuple[Ints, ...] | None = None  # per label, its sentences' rows
    beside: bool = False

    def assign_texts(self, order: Ints, labels: Ints, rng: np.random.Generator) -> Ints:
        """The text row (n,) that stands in for each image of `order` (n,), if it is replaced.

        Dealt from the end of the order, which is replaced first: so a larger ratio's texts are a subset of a smaller's.
        """
        texts = np.empty(len(order), np.int64)
        if self.by_image is not None:
            draws = rng.random(len(labels))  # one draw per image, whatever the order
            for position, image in enumerate(order):
                own = self.by_image[image]
                texts[position] = own[int(draws[image] * len(own))]
            return texts
        assert self.by_class is not None
        backwards = order[::-1]
        for label, sentences in enumerate(self.by_class):
            positions = np.flatnonzero(labels[backwards] == label)
            if len(positions):
                decks = -(-len(positions) // len(sentences))
                shuffled_sentences = np.concatenate([rng.permutation(sentences) for _ in range(decks)])
                texts[len(order) - 1 - positions] = shuffled_sentences[: len(positions)]
        return texts


class Drawer:
    """Draws orders and texts of one sampling over images with labels (n,) in 0 ... classes - 1.

    orders: by seed the order (n,) of epoch 0 where a plan holds it; others are drawn.
    """

    def __init__(self, labels: Ints, sampling: str, orders: Mapping[int, Ints] | None = None) -> None:
        self.labels = labels
        self.sampling = sampling
        self.orders = orders or {}

    @cached_property
    def _class_wise(self) -> ClassWise | None:
        return ClassWise.of(self.labels) if self.sampling == "class-wise" else None

    def order(self, seed: int, epoch: int = 0) -> Ints:
        """The order (n,) of all image rows for a seed and an epoch; epoch 0 is the one that `fixed` uses."""
        if epoch == 0 and seed in self.orders:
            return self.orders[seed]
        rng = generator(seed, f"order-{self.sampling}", epoch)
        if self._class_wise is None:
            return rng.permutation(len(self.labels))
        return self._class_wise.draw(rng)

    def cell(self, percent: int, pool: TextPool | None, seed: int, epoch: int = 0) -> tuple[Ints, Ints]:
        """Image rows (k,) that stay and text rows (n - k,) that replace the others (none for image only).

        Of a pool whose texts stand beside the images the text rows are (n,), the same at every ratio.
        """
        order = self.order(seed, epoch)
        kept = images_kept(percent, len(order))
        if pool is None:
            return order[:kept], np.empty(0, np.int64)
        texts = pool.assign_texts(order, self.labels, generator(seed, f"texts-{self.sampling}", epoch))
        return order[:kept], texts if pool.beside else texts[kept:]


class FixedDrawer(Drawer):
    """Draws the same image rows (k,) and text rows (m,) whatever it is asked: a part of what a cell has."""

    def __init__(self, labels: Ints, images: Ints, texts: Ints) -> None:
        super().__init__(labels, "class-wise")
        self.images = images
        self.texts = texts

    def cell(self, percent: int, pool: TextPool | None, seed: int, epoch: int = 0) -> tuple[Ints, Ints]:
        return self.images, self.texts


@dataclass(frozen=True)
class Stream:
    """What one run trains on, step by step.

    `rows` (steps * batch,): rows of the table [images; texts]. `images`, `texts`: distinct rows seen.
    """

    rows: Ints
    images: Ints
    texts: Ints


def cell_size(percent: int, n: int, has_texts: bool, beside: bool = False) -> int:
    """Training examples in one epoch of a cell; `beside`: each of the n images has a text, whether it stays or not."""
    if not has_texts:
        return images_kept(percent, n)
    return n + images_kept(percent, n) if beside else n


def count_steps(budget: str, amount: int, size: int, batch: int) -> int:
    """Optimiser steps of a cell: `amount` steps, or `amount` epochs over `size` examples; at least one."""
    return amount if budget == "steps" else max(1, -(-amount * size // batch))


def draw_stream(
    drawer: Drawer, percent: int, pool: TextPool | None, redraw: str, seed: int, steps: int, batch: int
) -> Stream:
    """The examples of one run in training order: epochs, each shuffled, one after the other, cut into batches.

    `redraw`: `fixed` draws the cell's set once, `per-epoch` anew for every epoch (epoch 0 is the fixed one).
    Raises ValueError when the cell is empty.
    """
    n = len(drawer.labels)
    if not cell_size(percent, n, pool is not None):
        raise ValueError(f"{percent}% of {n} images are none, and no text takes their places: nothing to train on")
    needed = steps * batch
    chunks: list[Ints] = []
    images: list[Ints] = []
    texts: list[Ints] = []
    have = epoch = 0
    kept, replaced = drawer.cell(percent, pool, seed)
    while have < needed:
        if redraw == "per-epoch" and epoch:
            kept, replaced = drawer.cell(percent, pool, seed, epoch)
        rows = np.concatenate([kept, n + replaced])
        shuffled = generator(seed, "shuffle", epoch).permutation(rows)[: needed - have]
        chunks.append(shuffled)
        images.append(shuffled[shuffled < n])
        texts.append(shuffled[shuffled >= n] - n)
        have += len(shuffled)
        epoch += 1
    return Stream(np.concatenate(chunks), np.unique(np.concatenate(images)), np.unique(np.concatenate(texts)))


def split_validation(labels: Ints, share: float, seed: int) -> tuple[Ints, Ints]:
    """Class-stratified rows for fitting and for validation, sorted; each class gives `share`, at least one, not all.

    Raises ValueError when a class has a single image.
    """
    rng = generator(seed, "validation")
    held: list[Ints] = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        if len(members) < 2:
            raise ValueError(f"class {label} has one training image: none can be held out for validation")
        held.append(members[: min(max(1, round(share * len(members))), len(members) - 1)])
    validation = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), validation), validation


def split_folds(labels: Ints, folds: int, seed: int) -> Ints:
    """The fold (n,), 0 ... folds - 1, of each image with labels (n,): classes are spread over folds, folds of one size.

    An image that is its class's only one is in none, -1: held out, it would leave its class without any.
    """
    rng = generator(seed, "folds")
    found, dealt = np.full(len(labels), -1), 0
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        if len(members) > 1:
            found[members] = (dealt + np.arange(len(members))) % folds
            dealt += len(members)
    return found
