"""The thesis's recipe: a random start and plain cross-entropy on the mix of images and translated texts, by AdamW."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fieldguide.adapters.cells import draw_runs
from fieldguide.adapters.linear import fit as fit_adapters
from fieldguide.adapters.linear import random_start
from fieldguide.adapters.plans import cell_size, count_steps
from fieldguide.adapters.recipes.task import Fitted, Setting, Task


def fit(task: Task, settings: Sequence[Setting]) -> Fitted:
    """Settings: `learning_rate`, `weight_decay` (the configuration's own lists are its trials)."""
    table, labels, pool = task.images, task.labels, None
    if task.texts is not None:
        assert task.texts.translated is not None
        pool = task.texts.pool
        table = np.concatenate([table, task.texts.translated])
        labels = np.concatenate([labels, task.texts.labels])
    size = cell_size(task.percent, len(task.labels), pool is not None, pool is not None and pool.beside)
    steps = count_steps(task.budget, task.amount, size, task.batch)
    runs = draw_runs(task.drawer, task.percent, pool, task.redraw, task.seeds, steps, task.batch)
    start = random_start(task.classes, table.shape[1], list(task.seeds) * len(settings))
    rates = [setting["learning_rate"] for setting in settings for _ in task.seeds]
    decays = [setting["weight_decay"] for setting in settings for _ in task.seeds]
    adapter = fit_adapters(table, labels, np.tile(runs.rows, (len(settings), 1, 1)), start, rates, decays)
    return Fitted(adapter, steps, runs.distinct_images, runs.distinct_texts)
