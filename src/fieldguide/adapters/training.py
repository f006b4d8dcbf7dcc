"""One cell from arrays to its result: what it trains on, its adapters, and their accuracy. Reads and writes no file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fieldguide.adapters.cells import hash_plan, pool_texts
from fieldguide.adapters.inputs import Choice, LabelledSet
from fieldguide.adapters.linear import Classifier
from fieldguide.adapters.plans import Drawer, cell_size
from fieldguide.adapters.recipes.registry import RECIPES
from fieldguide.adapters.recipes.task import Fitted, Task, Texts, join_runs
from fieldguide.adapters.results import NONE, CellResult
from fieldguide.adapters.settings import CellSettings
from fieldguide.core.arrays import Ints
from fieldguide.core.errors import FieldguideError
from fieldguide.core.versions import find_versions
from fieldguide.texts.source import TextSource

PACKAGES = ("fieldguide", "numpy", "safetensors")
"""What computes every cell; a recipe may name more."""


@dataclass(frozen=True)
class CellInputs:
    """All that a cell is computed from; the test images only score it.

    text_names: whether the texts name their class. choice: the recipe's hyper-parameters.
    """

    train: LabelledSet
    test: LabelledSet
    backbone: str
    drawer: Drawer
    source: TextSource | None
    text_names: str
    choice: Choice


@dataclass(frozen=True)
class TrainedCell:
    """A cell's result, the classifier with a run for each seed, and the labels (R, M) it gives the test images."""

    result: CellResult
    classifier: Classifier
    predicted: Ints


def check_cell(cell: CellSettings, has_text: bool) -> None:
    """Raise FieldguideError where there is no such cell."""
    recipe = RECIPES[cell.recipe]
    if has_text and not recipe.texts:
        raise FieldguideError(f"recipe {cell.recipe} takes no text; leave --source out")
    if not has_text and cell.ratio == 0:
        raise FieldguideError("ratio 0 needs a text source: without images and texts there is nothing to train on")
    if not has_text and not recipe.images_alone:
        raise FieldguideError(f"recipe {cell.recipe} needs a text source: give one by --source")


def make_task(train: LabelledSet, drawer: Drawer, source: TextSource | None, cell: CellSettings) -> Task:
    """What a recipe is given; raises FieldguideError where there is nothing to train on."""
    recipe, texts = RECIPES[cell.recipe], None
    if cell_size(cell.ratio, len(train.ids), source is not None) == 0:
        raise FieldguideError(f"ratio {cell.ratio} keeps none of the {len(train.ids)} training images")
    if source is not None:
        texts = Texts(
            source.labels,
            pool_texts(source, train.ids, train.classes, cell.texts == "all"),
            source.features if recipe.translates else None,
            source.raw if "raw" in recipe.texts else None,
        )
    return Task(
        train.features,
        train.labels,
        train.classes,
        texts,
        drawer,
        cell.ratio,
        cell.seeds,
        redraw=cell.redraw,
        budget=cell.budget,
        amount=cell.amount,
        batch=cell.batch,
    )


def fit_runs(recipe: str, task: Task, settings: Sequence[Mapping[str, float]]) -> Fitted:
    """All seeds of a task, with one setting or with one for each."""
    module = RECIPES[recipe].load()
    if len(settings) == 1:
        fitted: Fitted = module.fit(task, settings)
        return fitted
    seeds = zip(task.seeds, settings, strict=True)
    return join_runs([module.fit(replace(task, seeds=(seed,)), [setting]) for seed, setting in seeds])


def list_hyperparameters(choice: Choice) -> dict[str, Any]:
    """By name: the value, or a list of each seed's."""
    if len(choice.settings) == 1:
        return dict(choice.settings[0])
    return {name: [setting[name] for setting in choice.settings] for name in choice.settings[0]}


def train_cell(inputs: CellInputs, cell: CellSettings, threads: int) -> TrainedCell:
    """Train all seeds of a cell at once, and score them on the test images."""
    recipe, module, source = RECIPES[cell.recipe], RECIPES[cell.recipe].load(), inputs.source
    task = make_task(inputs.train, inputs.drawer, source, cell)
    fitted = fit_runs(cell.recipe, task, inputs.choice.settings)
    draws = [task.draw(seed) for seed in cell.seeds]
    pool = task.texts.pool if task.texts else None
    predicted = fitted.classifier.predict(inputs.test.features)
    result = CellResult(
        image_percent=cell.ratio,
        text_percent=0 if source is None else 100 if cell.texts == "all" else 100 - cell.ratio,
        text_source=source.name if source else NONE,
        text_names=inputs.text_names,
        text_unit=source.unit if source else NONE,
        sampling=inputs.drawer.sampling,
        redraw=cell.redraw,
        budget=cell.budget,
        recipe=cell.recipe,
        translator=cell.translator if source and recipe.translates else NONE,
        backbone=inputs.backbone,
        seeds=cell.seeds,
        accuracy=tuple(round(a, 6) for a in ((predicted == inputs.test.labels).mean(1) * 100).tolist()),
        distinct_images=tuple(fitted.distinct_images or [len(kept) for kept, _ in draws]),
        distinct_texts=tuple(fitted.distinct_texts or [len(np.unique(texts)) for _, texts in draws]),
        optimiser_steps=fitted.steps,
        examples_per_epoch=cell_size(cell.ratio, len(inputs.train.ids), source is not None, cell.texts == "all"),
        plan_sha256=hash_plan(inputs.drawer, cell.ratio, pool, cell.seeds, inputs.train.ids),
        config={
            **({"batch": cell.batch, "amount": cell.amount} if fitted.steps and not fitted.own_length else {}),
            **list_hyperparameters(inputs.choice),
            "threads": threads,
        },
        tune=inputs.choice.tune,
        tuning_labels=inputs.choice.labels,
        tuning_edges=inputs.choice.edges,
        versions=find_versions((*PACKAGES, *getattr(module, "PACKAGES", ()))),
    )
    return TrainedCell(result, fitted.classifier, predicted)
