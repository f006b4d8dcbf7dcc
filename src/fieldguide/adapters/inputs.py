"""Everything that tuning and training read: labelled image features, the plan, text sources, hyper-parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fieldguide.adapters.recipes.registry import RECIPES
from fieldguide.adapters.results import NONE
from fieldguide.core.arrays import Floats, Ints
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv, read_json
from fieldguide.features.labelled import ImageTable, LabelledFeatures, hash_training_images, read_images
from fieldguide.features.store import check_same_backbone
from fieldguide.texts.options import SourceFiles
from fieldguide.texts.source import TextSource, check_width, read_source

LEARNING = ("learning_rate", "weight_decay")
"""The hyper-parameters of the thesis's recipe, whose trials the configuration lists."""


@dataclass(frozen=True)
class LabelledSet:
    """Images of one split: features (n, D) float32 and labels (n,) in 0 ... classes - 1, by image id."""

    features: Floats
    labels: Ints
    ids: list[str]
    classes: int

    def take(self, rows: Ints) -> LabelledSet:
        """Some of them, in this order."""
        return LabelledSet(self.features[rows], self.labels[rows], [self.ids[row] for row in rows], self.classes)


@dataclass(frozen=True)
class DataSet:
    """The labelled data set: its training images, and its test images for those who ask."""

    images: ImageTable
    features: LabelledFeatures
    train: LabelledSet

    @property
    def classes(self) -> int:
        return len(self.images.class_ids)

    def read_test(self) -> LabelledSet:
        """The test images; the one place that reads their features."""
        features, labels = self.features.read_test()
        return LabelledSet(features, labels, [self.images.ids[row] for row in self.images.test_rows], self.classes)


@dataclass(frozen=True)
class Plan:
    """Per seed the order (n,) in which training images are kept, as rows of the training images."""

    sampling: str
    orders: Mapping[int, Ints]


def read_data_set(records: Path, features: Sequence[Path]) -> DataSet:
    """Read records/images.csv and the training images' features, whose files stay open."""
    images = read_images(records)
    labelled = LabelledFeatures(features, images)
    return DataSet(images, labelled, LabelledSet(*labelled.read_train(), images.train_ids, len(images.class_ids)))


def read_plan(path: Path, images: ImageTable, seeds: Sequence[int]) -> Plan:
    """Read plans/<sampling>.json; raises FieldguideError where it is not of these images, or lacks a seed."""
    plan = read_json(path)
    row = {image_id: i for i, image_id in enumerate(images.train_ids)}
    orders = {}
    for seed in seeds:
        planned = plan["seeds"].get(str(seed))
        if planned is None or plan.get("images_sha256") != hash_training_images(images):
            raise FieldguideError(f"{path}: its order for seed {seed} is not of these images; make the plan anew")
        orders[seed] = np.array([row[image_id] for image_id in planned["image_ids"]])
    return Plan(plan["sampling"], orders)


def read_sources(
    files: Sequence[SourceFiles], recipe: str, data: DataSet, replies: Sequence[str] = ()
) -> list[TextSource]:
    """The text sources of a job, with the features that its recipe takes; those in `replies` reply by reply.

    Raises FieldguideError where a file is missing, of another backbone, or of another width than the images.
    """
    sources = []
    for one in files:
        source = read_source(one.name, one.table, one.translated, data.images, one.raw, one.name in replies)
        path = one.translated or one.raw
        assert path is not None
        check_same_backbone((data.features.files[0], data.features.about), (path, {"backbone": source.backbone}))
        check_width(data.train.features, source)
        for kind, features in (("translated", source.features), ("raw", source.raw)):
            if kind in RECIPES[recipe].texts and features is None:
                raise FieldguideError(f"--source {one.name}: recipe {recipe} needs {kind} text features too")
        sources.append(source)
    return sources


@dataclass(frozen=True)
class Choice:
    """Hyper-parameters of a cell, and how they were chosen.

    settings: one for all seeds, or one for each. tune: the rule; none where there is nothing to choose. labels: how
    many labelled images the choice was made with, None where that is not known. edges: ends of the ranges tried that
    the choice lies at, such as "largest penalty".
    """

    settings: tuple[Mapping[str, float], ...] = ({},)
    tune: str = NONE
    labels: int | None = 0
    edges: tuple[str, ...] = ()


def read_choice(path: Path | None, recipe: str, ratio: int) -> Choice:
    """What tune_adapter chose for a recipe, at a ratio where it chose for each."""
    if not RECIPES[recipe].tuned:
        return Choice()
    if path is None:
        raise FieldguideError(f"recipe {recipe} needs --tuning: the JSON of tune_adapter for it")
    module, tuning = RECIPES[recipe].load(), read_json(path)
    names = module.trials(1)[0] if hasattr(module, "trials") else LEARNING
    tune = tuning.get("tune", "once")
    if tune == "per-ratio" and str(ratio) not in tuning["ratios"]:
        raise FieldguideError(f"{path}: nothing was chosen for ratio {ratio}; name it among the tuning's ratios")
    chosen = tuning["ratios"][str(ratio)] if tune == "per-ratio" else tuning
    try:
        setting = {name: chosen[name] for name in names}
    except KeyError as error:
        raise FieldguideError(f"{path}: lacks {error.args[0]}; it was not made for {recipe}") from error
    return Choice((setting,), tune, chosen.get("labels"), tuple(chosen.get("edges", ())))


def read_class_names(path: Path | None, class_ids: Sequence[str]) -> list[str]:
    """The classes' names in the order of their ids; without a table their ids."""
    if path is None:
        return list(class_ids)
    names = {row["class_id"]: row["class_name"] for row in read_csv(path, ("class_id", "class_name"))}
    missing = [class_id for class_id in class_ids if class_id not in names]
    if missing:
        raise FieldguideError(f"{path}: lacks class {missing[0]}, which has images; make the records anew")
    return [names[class_id] for class_id in class_ids]
