"""The mix of a cell as examples: the images kept, and the translated texts in the others' places."""

from __future__ import annotations

import numpy as np

from fieldguide.adapters.recipes.task import Task
from fieldguide.core.arrays import Floats, Ints


def examples(task: Task, seed: int) -> tuple[Floats, Ints]:
    """Features (n, D) and labels (n,) of one seed's draw."""
    images, texts = task.draw(seed)
    features, labels = task.images[images], task.labels[images]
    if task.texts is None:
        return features, labels
    assert task.texts.translated is not None
    return (
        np.concatenate([features, task.texts.translated[texts]]),
        np.concatenate([labels, task.texts.labels[texts]]),
    )
