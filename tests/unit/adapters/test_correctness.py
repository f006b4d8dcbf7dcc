"""Which test images are right, as bits on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fieldguide.adapters.correctness import correctness_path, read_correctness, write_correctness
from fieldguide.core.arrays import Ints
from fieldguide.core.errors import FieldguideError
from fieldguide.features.store import save_tensors


@given(
    st.tuples(st.integers(1, 4), st.integers(1, 40)).flatmap(
        lambda shape: arrays(np.int64, shape, elements=st.integers(0, 3))
    )
)
def test_bits_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, predicted: Ints) -> None:
    cell, labels = tmp_path_factory.mktemp("cell") / "ratio-10.json", np.arange(predicted.shape[1]) % 4
    write_correctness(cell, predicted, labels, [str(n) for n in range(len(labels))])
    kept = read_correctness(cell)
    assert kept is not None and (kept.right == (predicted == labels)).all()


def test_predictions_that_differ_where_both_are_wrong_are_told_apart(tmp_path: Path) -> None:
    labels, prints = np.array([0, 1, 2]), []
    for name, predicted in (("a", [[0, 1, 0]]), ("b", [[0, 1, 1]]), ("c", [[0, 1, 0]])):
        write_correctness(tmp_path / f"{name}.json", np.array(predicted), labels, ["x", "y", "z"])
        kept = read_correctness(tmp_path / f"{name}.json")
        assert kept is not None
        prints.append(kept.predictions)
    assert prints[0] == prints[2] != prints[1]


def test_a_cell_of_an_older_version_has_none_and_a_wrong_file_is_named(tmp_path: Path) -> None:
    cell = tmp_path / "ratio-10.json"
    assert read_correctness(cell) is None
    for tensors, about in (
        ({"weight": np.zeros((1, 2), np.uint8)}, {"test_images": "9"}),
        ({"right": np.zeros((1, 1), np.uint8)}, {"test_images": "9"}),
        ({"right": np.zeros((1, 2), np.float32)}, {"test_images": "9"}),
        ({"right": np.zeros((1, 2), np.uint8)}, {}),
    ):
        save_tensors(correctness_path(cell), tensors, about)
        with pytest.raises(FieldguideError, match=r"ratio-10\.correct\.safetensors: does not say which test images"):
            read_correctness(cell)
