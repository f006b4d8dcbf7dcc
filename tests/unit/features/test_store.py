"""Feature files: what comes back, and which files are refused by name."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.core.errors import FieldguideError
from fieldguide.features.store import (
    Shard,
    check_same_backbone,
    create_features,
    parse_shard,
    read_features,
    read_file,
    save_features,
)

IDS = ["1", "2", "3"]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "images.safetensors"
    tensors = {"features": torch.arange(12.0).view(4, 3).T, "tokens": torch.ones(5, 2).half()}
    save_features(path, tensors, IDS, "tiny_1", {"kind": "image"})
    return path


def test_what_was_saved_comes_back(saved: Path) -> None:
    tensors, about = read_features(saved, IDS)
    np.testing.assert_array_equal(tensors["features"], np.arange(12.0).reshape(4, 3).T)
    assert tensors["features"].dtype == np.float32 and tensors["tokens"].dtype == np.float16
    assert about["backbone"] == "tiny_1" and about["kind"] == "image" and about["count"] == "3"


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


def test_different_precisions_are_refused() -> None:
    one = (Path("a"), {"backbone": "x", "dtype": "float32"})
    assert check_same_backbone(one, (Path("b"), {"backbone": "x"})) == "x", "computed elsewhere"
    with pytest.raises(FieldguideError, match="b was encoded in bfloat16, but a in float32: set backbone"):
        check_same_backbone(one, (Path("b"), {"backbone": "x", "dtype": "bfloat16"}))


def test_different_backbones_are_refused() -> None:
    one, two = (Path("a"), {"backbone": "x"}), (Path("b"), {"backbone": "y"})
    assert check_same_backbone(one) == check_same_backbone(one, one) == "x"
    with pytest.raises(FieldguideError, match="b is of backbone y, but a of x"):
        check_same_backbone(one, one, two)
    with pytest.raises(FieldguideError, match="b is of backbone None"):
        check_same_backbone(one, (Path("b"), {}))


# ---------------------------------------------------------------- shards


TEXTS = ["a", "b", "a", "c", "d", "b", "a"]


def text_tensors(texts: list[str]) -> dict[str, np.ndarray]:
    """Text features in which a text's tokens are as many as its place in the alphabet, each with that number."""
    distinct = list(dict.fromkeys(texts))
    lengths = [ord(text) - 96 for text in distinct]
    return {
        "pooled": np.array([[length] * 3 for length in lengths], np.float32),
        "tokens": np.array([[length, i] for length in lengths for i in range(length)], np.float16),
        "offsets": np.cumsum([0, *lengths]),
        "rows": np.array([distinct.index(text) for text in texts]),
    }


def save_shards(folder: Path, count: int = 3, **changes: str) -> list[Path]:
    """Write text features in shards; `changes` are of the last one's metadata."""
    paths = []
    for number in range(1, count + 1):
        own = TEXTS[Shard(number, count).rows(len(TEXTS))]
        about = {"shard": str(number), "shards": str(count), "dtype": "float32"} | (changes if number == count else {})
        paths.append(folder / f"shard-{number}.safetensors")
        save_features(paths[-1], text_tensors(own), own, about.pop("backbone", "tiny_1"), about)
    return paths


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shards_are_read_as_one_table(tmp_path: Path, count: int) -> None:
    tensors, about = read_features(save_shards(tmp_path, count), TEXTS)
    assert about["shards"] == str(count)
    assert isinstance(tensors["pooled"], np.ndarray)
    for text, row in zip(TEXTS, tensors["rows"].tolist(), strict=True):
        length = ord(text) - 96
        assert tensors["pooled"][row].tolist() == [length] * 3
        tokens = tensors["tokens"][tensors["offsets"][row] : tensors["offsets"][row + 1]]
        assert tokens.tolist() == [[length, i] for i in range(length)]


def test_only_what_is_named_is_read(tmp_path: Path) -> None:
    tensors, _ = read_features(save_shards(tmp_path), TEXTS, names=("rows", "pooled"))
    assert sorted(tensors) == ["pooled", "rows"]
    assert read_file(save_shards(tmp_path)[0])[1]["dtype"] == "float32"


@given(st.integers(0, 200), st.integers(1, 40))
def test_shards_cover_a_table_once_and_evenly(total: int, count: int) -> None:
    parts = [list(range(total))[Shard(number, count).rows(total)] for number in range(1, count + 1)]
    assert [row for part in parts for row in part] == list(range(total))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "1/", "-1/3", "a/b", "1/3/5"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not NUMBER/COUNT"):
        parse_shard(text)
    assert parse_shard("3/16") == Shard(3, 16) and str(Shard(3, 16)) == "3/16"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"backbone": "other_1"}, r"shard-3\.safetensors is of backbone other_1, but .*shard-1\.safetensors of tiny_1"),
        ({"dtype": "bfloat16"}, r"shard-3\.safetensors was encoded in bfloat16, but .* in float32: set backbone\.prec"),
        ({"shards": "4"}, r"shard-3\.safetensors: is shard 3 of 4, where shard 3 of 3 was expected; give all shards"),
        ({"shard": "2"}, r"shard-3\.safetensors: is shard 2 of 3, where shard 3 of 3 was expected"),
    ],
)
def test_files_that_are_no_set_are_refused(tmp_path: Path, changes: dict[str, str], told: str) -> None:
    paths = save_shards(tmp_path, **changes)
    with pytest.raises(FieldguideError, match=told):
        read_features(paths, TEXTS)


def test_shards_of_other_rows_or_in_another_order_are_refused(tmp_path: Path) -> None:
    first, second, third = save_shards(tmp_path)
    with pytest.raises(FieldguideError, match=r"shard-2\.safetensors: is shard 2 of 3, where shard 1 of 3"):
        read_features([second, first, third], TEXTS)
    with pytest.raises(FieldguideError, match=r"shard-1\.safetensors: is shard 1 of 3, where shard 1 of 1"):
        read_features(first, TEXTS)
    with pytest.raises(FieldguideError, match=r"shard-3\.safetensors: was made for other rows"):
        read_features([first, second, third], [*TEXTS[:-1], "x"])


# ---------------------------------------------------------------- row by row


def test_row_by_row_gives_the_bytes_of_one_go(tmp_path: Path) -> None:
    tensors = text_tensors(TEXTS)
    save_features(tmp_path / "whole", tensors, TEXTS, "tiny_é", {"kind": "text", "dtype": "float32"})
    sizes, types = {n: t.shape for n, t in tensors.items()}, {n: t.dtype for n, t in tensors.items()}
    about = {"dtype": "float32", "kind": "text"}
    with create_features(tmp_path / "rows", sizes, types, TEXTS, "tiny_é", about) as writer:
        assert not (tmp_path / "rows").exists()
        for name, tensor in tensors.items():
            for row in reversed(range(len(tensor))):
                writer.write(name, row, tensor[row : row + 1])
    assert (tmp_path / "rows").read_bytes() == (tmp_path / "whole").read_bytes()
    assert (tmp_path / "rows").stat().st_mode & 0o777 == 0o644


def test_a_file_that_lacks_rows_never_takes_its_name(tmp_path: Path) -> None:
    size, kind = {"features": (2, 3)}, {"features": np.float32}
    with (
        pytest.raises(RuntimeError, match="rows were not written"),
        create_features(tmp_path / "x", size, kind, ["1", "2"], "tiny_1", {}) as writer,
    ):
        writer.write("features", 0, np.zeros((1, 3), np.float32))
    with (
        pytest.raises(RuntimeError, match="is not what the header says"),
        create_features(tmp_path / "x", size, kind, ["1", "2"], "tiny_1", {}) as writer,
    ):
        writer.write("features", 0, np.zeros((1, 3)))
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_too_small_is_told_before_anything_is_done(tmp_path: Path) -> None:
    size, kind = {"features": (2**40, 2**10)}, {"features": np.float32}
    told = r"x: needs 4503599\.6 GB of disk, and \d+\.\d GB are free"
    with pytest.raises(FieldguideError, match=told), create_features(tmp_path / "x", size, kind, [], "tiny_1", {}):
        pass
    assert list(tmp_path.iterdir()) == []
