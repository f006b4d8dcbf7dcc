"""The labelled data set as arrays: its images, their labels and split, and the features of a part of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fieldguide.core.arrays import Ints
from fieldguide.core.files import read_csv
from fieldguide.features.store import Paths, read_features

if TYPE_CHECKING:
    from fieldguide.core.arrays import Floats


@dataclass(frozen=True)
class ImageTable:
    """Images of the target data set with labels 0 ... classes - 1, as rows of their feature file."""

    ids: list[str]
    labels: Ints
    is_train: np.ndarray
    class_ids: list[str]

    @property
    def train_rows(self) -> Ints:
        return np.flatnonzero(self.is_train)

    @property
    def test_rows(self) -> Ints:
        return np.flatnonzero(~self.is_train)

    @property
    def train_ids(self) -> list[str]:
        return [self.ids[i] for i in self.train_rows]

    @property
    def train_labels(self) -> Ints:
        return self.labels[self.is_train]


def read_images(records: Path) -> ImageTable:
    """Read records/images.csv; classes are numbered in the order of their ids."""
    rows = read_csv(records, ("image_id", "class_id", "split"))
    class_ids = sorted({row["class_id"] for row in rows}, key=lambda c: (len(c), c))
    number = {class_id: i for i, class_id in enumerate(class_ids)}
    return ImageTable(
        [row["image_id"] for row in rows],
        np.array([number[row["class_id"]] for row in rows]),
        np.array([row["split"] == "train" for row in rows]),
        class_ids,
    )


def read_split(paths: Paths, images: ImageTable, rows: Ints) -> tuple[Floats, Ints, str]:
    """Features (m, d) float32 and labels (m,) of some rows, and the backbone's key."""
    tensors, about = read_features(paths, images.ids, "np")
    return tensors["features"][rows], images.labels[rows], about["backbone"]
