"""Zero-shot: one unit-norm mean of unit text features per class, no bias; images are not looked at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fieldguide.adapters.linear import Adapter
from fieldguide.adapters.recipes.task import Fitted, Setting, Task, text_weights
from fieldguide.core.arrays import Floats


def fit(task: Task, settings: Sequence[Setting]) -> Fitted:
    """Nothing to set. The texts are the cell's own, raw or translated as the registry says."""
    assert task.texts is not None
    features = task.texts.raw if task.texts.raw is not None else task.texts.translated
    assert features is not None
    weights: list[Floats] = []
    for seed in task.seeds:
        _, texts = task.draw(seed)
        weights.append(text_weights(features[texts], task.texts.labels[texts], task.classes))
    weight = np.tile(np.stack(weights), (len(settings), 1, 1))
    seen = [len(np.unique(task.draw(seed)[1])) for seed in task.seeds]
    return Fitted(Adapter(weight, np.zeros(weight.shape[:2], np.float32)), 0, [0] * len(seen), seen)
