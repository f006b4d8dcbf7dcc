"""scikit-learn's logistic regression on the mix of images and translated texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fieldguide.adapters.linear import Adapter
from fieldguide.adapters.recipes.mix import examples
from fieldguide.adapters.recipes.task import Fitted, Setting, Task, spread
from fieldguide.core.arrays import Floats, Ints

PACKAGES = ("scikit-learn",)
ABSENT_CLASS_LOGIT = np.float32(-1e30)
"""The bias of a class without an example."""


def trials(count: int) -> list[dict[str, float]]:
    """C from 1 to 1000: features are of unit norm, so that it is large."""
    return [{"c": c} for c in spread(1, 1000, count)]


def fit_one(x: Floats, labels: Ints, classes: int, c: float) -> tuple[Floats, Floats]:
    """Weights (C, D) and biases (C,) of one regression."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, max_iter=2000).fit(x, labels)
    weight, bias = np.zeros((classes, x.shape[1]), np.float32), np.full(classes, ABSENT_CLASS_LOGIT)
    if len(model.classes_) == 2:  # scikit-learn keeps one row for two classes
        weight[model.classes_] = np.concatenate([-model.coef_, model.coef_]) / 2
        bias[model.classes_] = np.concatenate([-model.intercept_, model.intercept_]) / 2
    else:
        weight[model.classes_], bias[model.classes_] = model.coef_, model.intercept_
    return weight, bias


def fit(task: Task, settings: Sequence[Setting]) -> Fitted:
    """Settings: `c`, the inverse of the penalty's strength."""
    mixes = [examples(task, seed) for seed in task.seeds]
    fitted = [fit_one(x, y, task.classes, setting["c"]) for setting in settings for x, y in mixes]
    return Fitted(Adapter(np.stack([w for w, _ in fitted]), np.stack([b for _, b in fitted])))
