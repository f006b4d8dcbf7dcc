"""Feature files: what comes back, and which files are refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fieldguide.errors import FieldguideError
from fieldguide.features import check_same_backbone, read_features, save_features

IDS = ["1", "2", "3"]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "images.safetensors"
    tensors = {"features": torch.arange(12.0).view(4, 3).T, "tokens": torch.ones(5, 2).half()}
    save_features(path, tensors, IDS, "tiny_1", {"kind": "image"})
    return path


def test_what_was_saved_comes_back(saved: Path) -> None:
    tensors, about = read_features(saved, IDS)
    assert torch.equal(tensors["features"], torch.arange(12.0).view(4, 3).T)
    assert tensors["tokens"].dtype == torch.float16
    assert about["backbone"] == "tiny_1" and about["kind"] == "image" and about["count"] == "3"
    arrays, _ = read_features(saved, IDS, "np")
    assert isinstance(arrays["features"], np.ndarray)
    np.testing.assert_array_equal(arrays["features"], tensors["features"].numpy())


def test_equal_content_gives_equal_bytes(saved: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    tensors, _ = read_features(saved)
    save_features(again, tensors, IDS, "tiny_1", {"kind": "image"})
    assert again.read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("ids", [["1", "2"], ["1", "2", "4"], ["2", "1", "3"], ["1", "2", "3", "4"], []])
def test_other_rows_are_refused(saved: Path, ids: list[str]) -> None:
    with pytest.raises(FieldguideError, match=r"images\.safetensors: was made for other rows"):
        read_features(saved, ids)


@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_a_file_that_is_not_whole_is_refused_by_name(saved: Path, size: int) -> None:
    saved.write_bytes(saved.read_bytes()[:size])
    with pytest.raises(FieldguideError, match=r"images\.safetensors: not a whole feature file"):
        read_features(saved)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        read_features(tmp_path / "no.safetensors")
    # This is what `run_stage` tells.
    assert caught.value.filename == str(tmp_path / "no.safetensors")


def test_different_backbones_are_refused() -> None:
    one, two = (Path("a"), {"backbone": "x"}), (Path("b"), {"backbone": "y"})
    assert check_same_backbone(one) == check_same_backbone(one, one) == "x"
    with pytest.raises(FieldguideError, match="b is of backbone y, but a of x"):
        check_same_backbone(one, one, two)
    with pytest.raises(FieldguideError, match="b is of backbone None"):
        check_same_backbone(one, (Path("b"), {}))
