"""The labelled features: each shard is opened once, and only the rows that are asked for are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import write_csv
from fieldguide.data.records import IMAGE_COLUMNS
from fieldguide.features.labelled import ImageTable, LabelledFeatures, read_images, read_split
from fieldguide.features.store import Shard, save_features

IDS = [f"image {n}" for n in range(11)]
SPLIT = [True, True, False, True, False, False, False, True, True, True, False]
FEATURES = np.arange(33, dtype=np.float32).reshape(11, 3)


class Reads:
    """Counts how often files are opened, and which rows of each are read."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.rows: list[tuple[str, int]] = []

    def open(self, path: Path, framework: str) -> Any:
        self.opened.append(path.name)
        return CountingFile(safe_open(path, framework), path.name, self)


class CountingFile:
    def __init__(self, stream: Any, name: str, reads: Reads) -> None:
        self.stream, self.name, self.reads = stream, name, reads
        self.metadata = stream.metadata

    def get_slice(self, tensor: str) -> CountingSlice:
        return CountingSlice(self.stream.get_slice(tensor), self)


class CountingSlice:
    def __init__(self, part: Any, file: CountingFile) -> None:
        self.part, self.file = part, file
        self.get_shape = part.get_shape

    def __getitem__(self, rows: slice) -> np.ndarray:
        self.file.reads.rows += [(self.file.name, row) for row in range(rows.start, rows.stop)]
        return self.part[rows]


safe_open = safetensors.safe_open


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    counted = Reads()
    monkeypatch.setattr(safetensors, "safe_open", counted.open)
    return counted


@pytest.fixture
def images() -> ImageTable:
    return ImageTable(IDS, np.arange(11) % 4, np.array(SPLIT), ["1", "2", "3", "4"])


def save(folder: Path, count: int) -> list[Path]:
    paths = []
    for number in range(1, count + 1):
        rows = Shard(number, count).rows(len(IDS))
        about = {"shard": str(number), "shards": str(count), "model": "tiny"}
        paths.append(folder / f"{number}.safetensors")
        save_features(paths[-1], {"features": FEATURES[rows]}, IDS[rows], "tiny_1", about)
    return paths


@pytest.mark.parametrize("count", [1, 2, 3, 11, 13])
def test_each_shard_is_opened_once_for_both_splits_and_what_it_says(
    tmp_path: Path, images: ImageTable, reads: Reads, count: int
) -> None:
    paths = save(tmp_path, count)
    features = LabelledFeatures(paths, images)
    assert (features.width, features.backbone, features.about["model"]) == (3, "tiny_1", "tiny")
    for (found, labels), is_train in ((features.read_train(), True), (features.read_test(), False)):
        rows = np.flatnonzero(np.array(SPLIT) == is_train)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, FEATURES[rows])
        np.testing.assert_array_equal(labels, rows % 4)
    assert reads.opened == [path.name for path in paths]
    assert len(reads.rows) == len(set(reads.rows)) == len(IDS)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("rows", [[], [0], [10], [0, 1, 2], [2, 3, 4, 5, 6, 7], [0, 5, 10], [3, 4, 9]])
def test_only_the_rows_that_are_asked_for_are_read(
    tmp_path: Path, images: ImageTable, reads: Reads, count: int, rows: list[int]
) -> None:
    found, labels, _ = read_split(save(tmp_path, count), images, np.array(rows, np.int64))
    np.testing.assert_array_equal(found, FEATURES[rows])
    np.testing.assert_array_equal(labels, images.labels[rows])
    assert len(reads.rows) == len(rows) and len(reads.opened) == count


def test_features_of_other_images_are_refused(tmp_path: Path, images: ImageTable) -> None:
    first, second = save(tmp_path, 2)
    others = ImageTable([*IDS[:-1], "another"], images.labels, images.is_train, images.class_ids)
    with pytest.raises(FieldguideError, match=r"2\.safetensors: was made for other rows"):
        LabelledFeatures([first, second], others)
    with pytest.raises(FieldguideError, match=r"2\.safetensors: is shard 2 of 2, where shard 1 of 2"):
        LabelledFeatures([second, first], images)


def test_classes_are_numbered_in_the_order_of_their_ids(tmp_path: Path) -> None:
    rows = [("7", "a", "10", "train"), ("8", "b", "9", "test"), ("9", "c", "100", "train"), ("10", "d", "9", "train")]
    path = tmp_path / "images.csv"
    write_csv(path, IMAGE_COLUMNS, (dict(zip(IMAGE_COLUMNS, row, strict=True)) for row in rows))
    images = read_images(path)
    assert images.class_ids == ["9", "10", "100"]
    assert images.labels.tolist() == [1, 0, 2, 0]
    assert images.train_ids == ["7", "9", "10"]
    assert images.train_rows.tolist() == [0, 2, 3] and images.test_rows.tolist() == [1]
    assert images.train_labels.tolist() == [1, 2, 0]


def test_read_split_takes_these_rows(tmp_path: Path, images: ImageTable) -> None:
    paths = save(tmp_path, 2)
    features, labels, backbone = read_split(paths, images, images.test_rows)
    np.testing.assert_array_equal(features, FEATURES[images.test_rows])
    np.testing.assert_array_equal(labels, images.labels[images.test_rows])
    assert backbone == "tiny_1"
