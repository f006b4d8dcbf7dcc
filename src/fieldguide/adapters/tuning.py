"""The choice of a recipe's hyper-parameters on held-out training images, from arrays. Reads and writes no file.

Once for all cells or for each ratio, on a part of all training images; or within a cell, on its own images alone.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fieldguide.adapters.inputs import Choice, LabelledSet
from fieldguide.adapters.linear import accuracy
from fieldguide.adapters.plans import Drawer, FixedDrawer, cell_size, images_kept, split_folds, split_validation
from fieldguide.adapters.recipes.registry import RECIPES
from fieldguide.adapters.recipes.task import Task
from fieldguide.adapters.settings import CellSettings, TuningSettings
from fieldguide.adapters.training import make_task
from fieldguide.core.arrays import Doubles, Ints
from fieldguide.core.errors import FieldguideError
from fieldguide.core.stage import log
from fieldguide.texts.source import TextSource

FOLDS = 5
"""Of the cross-validation within a cell."""


class TooFewImagesError(FieldguideError):
    """The training images do not suffice to hold some out."""


def list_trials(settings: TuningSettings | CellSettings, recipe: str) -> list[dict[str, float]]:
    """Learning rates by weight decays, or as many trials of the recipe's own."""
    pairs = itertools.product(settings.learning_rates, settings.weight_decays)
    trials = [{"learning_rate": rate, "weight_decay": decay} for rate, decay in pairs]
    module = RECIPES[recipe].load()
    return module.trials(len(trials)) if hasattr(module, "trials") else trials


def middle_trial(settings: CellSettings, recipe: str) -> dict[str, float]:
    """The middle of each range: for where no label can tell trials apart."""
    module = RECIPES[recipe].load()
    if hasattr(module, "trials"):
        only: dict[str, float] = module.trials(1)[0]
        return only
    rates, decays = sorted(settings.learning_rates), sorted(settings.weight_decays)
    return {"learning_rate": rates[(len(rates) - 1) // 2], "weight_decay": decays[(len(decays) - 1) // 2]}


def find_edges(trials: Sequence[Mapping[str, float]], scores: NDArray[Any]) -> list[str]:
    """Ends of ranges that the best trials lie at, such as "largest penalty", by the trials' scores (T,).

    A range of two values has no inside, nothing lies below 0, and where trials with other values are as good as the
    best no end is told.
    """
    best, found = scores == scores.max(), []
    for name in trials[0]:
        values = np.array([trial[name] for trial in trials])
        at = set(values[best].tolist())
        if len(set(values.tolist())) > 2 and len(at) == 1:
            found += [f"smallest {name}"] if at == {values.min()} and values.min() > 0 else []
            found += [f"largest {name}"] if at == {values.max()} else []
    return found


def warn_of_edges(edges: Sequence[str], where: str) -> None:
    """Log the ends of ranges that a choice lies at."""
    if edges:
        log.warning("%s: the best trial has the %s tried; beyond may be better", where, " and the ".join(edges))


def score_trials(
    train: LabelledSet, sources: Sequence[TextSource], settings: TuningSettings
) -> tuple[dict[int, Doubles], int, int]:
    """Validation accuracies (T,) of all trials by ratio, mean over seeds and sources; images fitted on and held out.

    Every trial sees the same seeds, class-wise and fixed, image only and mixed with each source, as far as the recipe
    goes: one batched training of trials x seeds. Raises TooFewImagesError.
    """
    recipe, trials = RECIPES[settings.recipe], list_trials(settings, settings.recipe)
    try:
        fit_rows, held_rows = split_validation(train.labels, settings.validation, seed=0)
    except ValueError as error:
        raise TooFewImagesError(str(error)) from error
    part, held = train.take(fit_rows), train.take(held_rows)
    drawer = Drawer(part.labels, "class-wise")
    by_ratio: dict[int, list[Doubles]] = defaultdict(list)
    for ratio in settings.ratios:
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
    return {ratio: np.mean(scores, axis=0) for ratio, scores in by_ratio.items()}, len(fit_rows), len(held_rows)


def choose_hyperparameters(
    train: LabelledSet, sources: Sequence[TextSource], settings: TuningSettings
) -> dict[str, Any]:
    """The best trial by its mean accuracy over ratios, or the best of each ratio, and what every trial reached: what
    tuning/…/<budget>.json holds. Raises TooFewImagesError.
    """
    per_ratio, trials = settings.tune == "per-ratio", list_trials(settings, settings.recipe)
    by_ratio, fitted, held = score_trials(train, sources, settings)
    mean = np.mean(list(by_ratio.values()), axis=0)

    def choose(scores: Doubles, labels: int, where: str) -> dict[str, Any]:
        best, edges = int(scores.argmax()), find_edges(trials, scores)
        chosen = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in trials[best].items())
        log.info("%s: %s: %.2f%% on %d validation images", where, chosen, scores[best], held)
        warn_of_edges(edges, where)
        return {**trials[best], "labels": labels, "edges": edges}

    if per_ratio:
        of_ratio = {
            str(ratio): choose(scores, images_kept(ratio, fitted) + held, f"ratio {ratio}")
            for ratio, scores in by_ratio.items()
        }
        chosen: dict[str, Any] = {"ratios": of_ratio}
    else:
        chosen = choose(mean, fitted + held, "all ratios")
    return {
        **chosen,
        "tune": settings.tune,
        "validation_images": held,
        "trials": [
            {
                **trial,
                "accuracy": round(float(mean[i]), 3),
                "by_ratio": {str(ratio): round(float(scores[i]), 3) for ratio, scores in by_ratio.items()},
            }
            for i, trial in enumerate(trials)
        ],
    }


def cross_validate(task: Task, seed: int, recipe: str, trials: Sequence[Mapping[str, float]]) -> tuple[Ints, int]:
    """How many of a seed's own images each trial names rightly (T,) while they are held out, and of how many."""
    images, texts = task.draw(seed)
    folds = split_folds(task.labels[images], FOLDS, seed)
    right = np.zeros(len(trials), np.int64)
    for fold in np.unique(folds[folds >= 0]):
        held = images[folds == fold]
        drawer = FixedDrawer(task.labels, images[folds != fold], texts)
        part = replace(task, seeds=(seed,), drawer=drawer, redraw="fixed")
        predicted = RECIPES[recipe].load().fit(part, trials).classifier.predict(task.images[held])
        right += (predicted == task.labels[held]).sum(1)
    return right, int((folds >= 0).sum())


def choose_within_cell(train: LabelledSet, drawer: Drawer, source: TextSource | None, cell: CellSettings) -> Choice:
    """For each seed of a cell the best trial by cross-validation over its own images (of a run that redraws, those of
    its first epoch); all of its texts are there in every fold. Of trials that are as good the middle one is taken.

    An image that is its class's only one is never held out. Where no class has two images the middle of each range is
    taken, and no label has a part in it.
    """
    name = RECIPES[cell.recipe].tuned_as or cell.recipe
    recipe = RECIPES[name]
    if not recipe.tuned:
        return Choice()
    middle = middle_trial(cell, name)
    if not images_kept(cell.ratio, len(train.ids)):
        return Choice((middle,), cell.tune)
    trials = list_trials(cell, name)
    task = make_task(train, drawer, source if recipe.texts else None, cell.model_copy(update={"recipe": name}))
    settings, labels, edges = [], 0, Counter[str]()
    for seed in cell.seeds:
        right, judged = cross_validate(task, seed, name, trials)
        best = np.flatnonzero(right == right.max())
        settings.append(trials[best[(len(best) - 1) // 2]] if judged else middle)
        labels = max(labels, len(task.draw(seed)[0]) if judged else 0)
        edges.update(find_edges(trials, right))
        log.info("seed %d: %d of %d images right while held out, %s", seed, right.max(), judged, settings[-1])
    often = tuple(edge for edge, count in edges.items() if 2 * count > len(cell.seeds))
    warn_of_edges(often, "most seeds")
    return Choice(tuple(settings), cell.tune, labels, often)
