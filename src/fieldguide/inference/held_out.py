"""What a cell's classifier says of training images that it does not know: what it is calibrated by. No file is read."""

from __future__ import annotations

import numpy as np

from fieldguide.adapters.inputs import LabelledSet
from fieldguide.adapters.linear import Classifier
from fieldguide.adapters.plans import Drawer, cell_size, split_validation
from fieldguide.adapters.recipes.registry import RECIPES
from fieldguide.adapters.results import CellResult
from fieldguide.adapters.settings import CellSettings
from fieldguide.adapters.training import make_task
from fieldguide.inference.calibration import UNCALIBRATED, Calibration
from fieldguide.texts.source import TextSource

HELD_OUT = 0.2
"""The part of the training images that one run more is trained without."""
LEFT_OUT = 10
"""Percent of the training images: a fixed cell that leaves out as many is calibrated on those."""
NOT_TUNED = ("batch", "amount", "threads")
"""What a cell's `config` holds beside its hyper-parameters."""


def is_trained_again(cell: CellResult) -> bool:
    """Whether a cell's own runs saw nearly all images, or captions of those that they did not see."""
    return cell.redraw != "fixed" or cell.image_percent > 100 - LEFT_OUT or cell.text_unit == "caption"


def calibrate_on_left_out(cell: CellResult, train: LabelledSet, drawer: Drawer, classifier: Classifier) -> Calibration:
    """By what each run of a cell says of the images that it left out."""
    every = np.arange(len(train.ids))
    left = [np.setdiff1d(every, drawer.cell(int(cell.image_percent), None, seed)[0]) for seed in cell.seeds]
    logits = np.concatenate([classifier.logits(run, train.features[rows]) for run, rows in enumerate(left)])
    return Calibration.of(logits, np.concatenate([train.labels[rows] for rows in left]), len(left[0]))


def calibrate_by_training(cell: CellResult, train: LabelledSet, source: TextSource | None) -> Calibration:
    """By what one run of the first seed, trained without a part of the images and of their captions, says of it."""
    try:
        rows, held_rows = split_validation(train.labels, HELD_OUT, seed=0)
    except ValueError:  # a class with a single image
        return UNCALIBRATED
    if cell_size(int(cell.image_percent), len(rows), source is not None) == 0:
        return UNCALIBRATED
    part, held, config = train.take(rows), train.take(held_rows), cell.config or {}
    settings = CellSettings.model_construct(
        ratio=int(cell.image_percent),
        redraw=cell.redraw,
        recipe=cell.recipe,
        texts="all" if cell.texts_beside else "replaced",
        seeds=cell.seeds[:1],
        budget=cell.budget,
        amount=config.get("amount", 1),
        batch=config.get("batch", 1),
    )
    task = make_task(part, Drawer(part.labels, cell.sampling), source, settings)
    # Where each seed has its own, those of the first.
    hyperparameters = {
        name: value[0] if isinstance(value, list) else value for name, value in config.items() if name not in NOT_TUNED
    }
    classifier = RECIPES[cell.recipe].load().fit(task, [hyperparameters]).classifier
    return Calibration.of(classifier.logits(0, held.features), held.labels, len(held.ids))
