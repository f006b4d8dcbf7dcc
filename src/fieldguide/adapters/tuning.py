"""The choice of a recipe's hyper-parameters on held-out training images, from arrays. Reads and writes no file."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from fieldguide.adapters.inputs import LabelledSet
from fieldguide.adapters.linear import accuracy
from fieldguide.adapters.plans import Drawer, cell_size, split_validation
from fieldguide.adapters.recipes.registry import RECIPES
from fieldguide.adapters.settings import CellSettings, TuningSettings
from fieldguide.adapters.training import make_task
from fieldguide.core.arrays import Doubles
from fieldguide.core.errors import FieldguideError
from fieldguide.core.stage import log
from fieldguide.texts.source import TextSource

RATIOS = (100, 50, 10, 0)


class TooFewImagesError(FieldguideError):
    """The training images do not suffice to hold some out."""


def list_trials(settings: TuningSettings) -> list[dict[str, float]]:
    """Learning rates by weight decays, or as many trials of the recipe's own."""
    pairs = itertools.product(settings.learning_rates, settings.weight_decays)
    trials = [{"learning_rate": rate, "weight_decay": decay} for rate, decay in pairs]
    module = RECIPES[settings.recipe].load()
    return module.trials(len(trials)) if hasattr(module, "trials") else trials


def choose_hyperparameters(
    train: LabelledSet, sources: Sequence[TextSource], settings: TuningSettings
) -> dict[str, Any]:
    """The best trial by its mean accuracy over ratios, and what every trial reached: what tuning/…/<budget>.json holds.

    Every trial sees the same seeds, class-wise and fixed, image only and mixed with each source, as far as the recipe
    goes: one batched training of trials x seeds. Raises TooFewImagesError.
    """
    recipe, trials = RECIPES[settings.recipe], list_trials(settings)
    try:
        fit_rows, held_rows = split_validation(train.labels, settings.validation, seed=0)
    except ValueError as error:
        raise TooFewImagesError(str(error)) from error
    part, held = train.take(fit_rows), train.take(held_rows)
    drawer = Drawer(part.labels, "class-wise")
    by_ratio: dict[int, list[Doubles]] = defaultdict(list)
    for ratio in RATIOS:
        columns: list[TextSource | None] = [None] if recipe.does(ratio, has_text=False) else []
        columns += sources if recipe.does(ratio, has_text=True) else []
        for source in columns:
            if cell_size(ratio, len(fit_rows), source is not None) == 0:
                raise TooFewImagesError(
                    f"{ratio}% of the {len(fit_rows)} training images that are not held out for validation are none; "
                    "tuning needs more images"
                )
            cell = CellSettings(
                ratio=ratio,
                recipe=settings.recipe,
                seeds=tuple(range(settings.tuning_seeds)),
                budget=settings.budget,
                amount=settings.amount,
                batch=settings.batch,
            )
            classifier = recipe.load().fit(make_task(part, drawer, source, cell), trials).classifier
            scores = accuracy(classifier, held.features, held.labels).reshape(len(trials), -1).mean(1)
            by_ratio[ratio].append(scores)
            log.info("ratio %d, %s: best trial %.1f%%", ratio, source.name if source else "image only", scores.max())
    if not by_ratio:
        raise FieldguideError(f"recipe {settings.recipe} needs a text source: give one by --source")
    mean = np.mean([np.mean(scores, axis=0) for scores in by_ratio.values()], axis=0)
    best = int(mean.argmax())
    chosen = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in trials[best].items())
    log.info("%s: %.2f%% on %d validation images", chosen, mean[best], len(held_rows))
    return {
        **trials[best],
        "validation_images": len(held_rows),
        "trials": [
            {
                **trial,
                "accuracy": round(float(mean[i]), 3),
                "by_ratio": {str(r): round(float(np.mean(s, axis=0)[i]), 3) for r, s in by_ratio.items()},
            }
            for i, trial in enumerate(trials)
        ],
    }
