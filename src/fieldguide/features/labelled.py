"""The labelled data set as arrays: its images, their labels and split, and the features of a part of them.

The one place that reads the features of a split: the rows that are asked for, and no others.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fieldguide.core.arrays import Ints
from fieldguide.core.files import hash_ids, read_csv
from fieldguide.features.store import Paths, check_shards, list_files, open_file

if TYPE_CHECKING:
    from fieldguide.core.arrays import Floats


@dataclass(frozen=True)
class ImageTable:
    """Images of the labelled data set with labels 0 ... classes - 1, as rows of their feature file."""

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


class LabelledFeatures:
    """The features of the labelled images: all shards are opened once, rows are read when they are asked for.

    `about`: what the files say of what made them; `backbone`: its key; `width` d: of one row.

    Raises FieldguideError when a file is not whole, was made for other images, or is not a shard of this set.
    """

    def __init__(self, paths: Paths, images: ImageTable) -> None:
        self.files, self.images = list_files(paths), images
        streams = [open_file(path) for path in self.files]
        abouts = [stream.metadata() or {} for stream in streams]
        check_shards(self.files, abouts, images.ids)
        self.about: dict[str, str] = abouts[0]
        self.backbone = self.about["backbone"]
        self._slices = [stream.get_slice("features") for stream in streams]
        counts = [part.get_shape()[0] for part in self._slices]
        self.width: int = self._slices[0].get_shape()[1]
        self._starts = np.cumsum([0, *counts])

    def read_rows(self, rows: Ints) -> Floats:
        """The features (m, d) float32 of these rows (m,), which ascend; no other row is read."""
        features = np.empty((len(rows), self.width), np.float32)
        shards = np.searchsorted(self._starts, rows, side="right") - 1
        # A run of rows that follow each other in a shard is one read.
        begins = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
        begins = np.union1d(begins, np.flatnonzero(np.diff(shards, prepend=-1)))
        for begin, end in pairwise([*begins.tolist(), len(rows)]):
            shard = shards[begin]
            first = rows[begin] - self._starts[shard]
            features[begin:end] = self._slices[shard][int(first) : int(first) + end - begin]
        return features

    def read_train(self) -> tuple[Floats, Ints]:
        """Features (n, d) and labels (n,) of the training images."""
        return self.read_rows(self.images.train_rows), self.images.train_labels

    def read_test(self) -> tuple[Floats, Ints]:
        """Features (m, d) and labels (m,) of the test images."""
        return self.read_rows(self.images.test_rows), self.images.labels[self.images.test_rows]


def read_split(paths: Paths, images: ImageTable, rows: Ints) -> tuple[Floats, Ints, str]:
    """Features (m, d) float32 and labels (m,) of some rows, which ascend, and the backbone's key."""
    features = LabelledFeatures(paths, images)
    return features.read_rows(rows), images.labels[rows], features.backbone


def hash_training_images(images: ImageTable) -> str:
    """Fingerprint of what an order is drawn from: the training images' ids and classes."""
    return hash_ids(images.train_ids, [images.class_ids[label] for label in images.train_labels])
