"""Cross-modal training (Lin et al., Multimodality helps unimodality, CVPR 2023): raw texts as further examples.

As published: half of every batch are images and half are texts, all of unit norm, through one linear layer without a
bias at CLIP's scale of 100, which starts at the texts' zero-shot weights; AdamW. Here with the run's own budget, batch
and cosine schedule, on the cell's own images and texts. A cell without images has batches of texts alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fieldguide.adapters.linear import Adapter
from fieldguide.adapters.linear import fit as fit_adapters
from fieldguide.adapters.plans import cell_size, count_steps
from fieldguide.adapters.recipes.task import LOGIT_SCALE, Fitted, Setting, Task, grid, normalise, zero_shot_weights
from fieldguide.core.arrays import Ints
from fieldguide.core.random import generator


def trials(count: int) -> list[dict[str, float]]:
    """Weight decays and learning rates around those published, up to 0.01 and 1e-3."""
    return grid(count, ("weight_decay", 1e-4, 1e-2), ("learning_rate", 1e-5, 1e-3))


def endless(rows: Ints, needed: int, rng: np.random.Generator) -> Ints:
    """`needed` rows, in one shuffled pass over `rows` after the other."""
    passes = -(-needed // len(rows))
    return np.concatenate([rng.permutation(rows) for _ in range(passes)])[:needed]


def draw_halves(task: Task, seed: int, steps: int) -> Ints:
    """Batches (steps, B) of one seed: rows of the table [images; texts], the first half images."""
    images, texts = task.draw(seed)
    half = task.batch // 2 if len(images) else 0
    kept = endless(images, steps * half, generator(seed, "cross-modal images")) if half else images
    replaced = endless(texts, steps * (task.batch - half), generator(seed, "cross-modal texts"))
    return np.concatenate([kept.reshape(steps, half), len(task.labels) + replaced.reshape(steps, -1)], axis=1)


def fit(task: Task, settings: Sequence[Setting]) -> Fitted:
    """Settings: `learning_rate`, `weight_decay`."""
    assert task.texts is not None and task.texts.raw is not None
    size = cell_size(task.percent, len(task.labels), True, task.texts.pool.beside)
    steps = count_steps(task.budget, task.amount, size, task.batch)
    table = LOGIT_SCALE * normalise(np.concatenate([task.images, task.texts.raw]))
    labels = np.concatenate([task.labels, task.texts.labels])
    weight = np.stack([zero_shot_weights(task, seed) for seed in task.seeds])
    start = Adapter(
        np.tile(weight, (len(settings), 1, 1)), np.zeros((len(settings) * len(task.seeds), task.classes), np.float32)
    )
    rows = np.tile(np.stack([draw_halves(task, seed, steps) for seed in task.seeds]), (len(settings), 1, 1))
    rates = [setting["learning_rate"] for setting in settings for _ in task.seeds]
    decays = [setting["weight_decay"] for setting in settings for _ in task.seeds]
    return Fitted(fit_adapters(table, labels, rows, start, rates, decays, with_bias=False), steps)
