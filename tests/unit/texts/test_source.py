"""Text sources: on a command line, and as they are read with their features, by text or by whole reply."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.core.errors import FieldguideError
from fieldguide.features.labelled import ImageTable, read_images, read_split
from fieldguide.texts.options import SourceFiles, add_source_option
from fieldguide.texts.source import check_width, group_replies, mean_by_group, read_source
from tests.unit.planted_features import BACKBONE, World, write_world

FIELDS = ("Size", "Coloration", "Beak")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return write_world(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="module")
def images(world: World) -> ImageTable:
    return read_images(world.records)


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    add_source_option(parser)
    return parser


def test_each_option_is_a_source(parser: argparse.ArgumentParser) -> None:
    words = ["--source", "reed", "a.csv", "t.st", "--source", "gpt=4", "b=c.csv"]
    assert parser.parse_args([*words, "", "r .st"]).source == [
        SourceFiles("reed", Path("a.csv"), Path("t.st")),
        SourceFiles("gpt=4", Path("b=c.csv"), None, Path("r .st")),
    ]
    assert parser.parse_args([]).source == parser.parse_args([]).source == []


@pytest.mark.parametrize("words", ["reed", "reed a.csv", "reed a.csv t.st r.st more"])
def test_other_numbers_of_files_are_refused(
    parser: argparse.ArgumentParser, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parser.parse_args(["--source", *words.split()])
    assert "is not NAME TABLE TRANSLATED [RAW]" in capsys.readouterr().err


def test_features_of_other_texts_are_refused(world: World, images: ImageTable) -> None:
    with pytest.raises(FieldguideError, match=r"llm\.safetensors: was made for other rows"):
        read_source("reed", world.table("reed"), world.translated("llm"), images)


def test_texts_of_another_width_are_refused(world: World, images: ImageTable) -> None:
    features, _, _ = read_split(world.images, images, images.train_rows)
    source = read_source("llm", world.table("llm"), world.translated("llm"), images)
    check_width(features, source)
    with pytest.raises(FieldguideError, match="text source llm: its features are 12 wide, the images' 11"):
        check_width(features[:, :11], source)


def test_raw_and_translated_features_are_of_the_same_rows(world: World, images: ImageTable) -> None:
    both = read_source("llm", world.table("llm"), world.translated("llm"), images, world.raw("llm"))
    assert both.features is not None and both.raw is not None and both.features.shape == both.raw.shape
    alone = read_source("llm", world.table("llm"), None, images, world.raw("llm"))
    assert alone.features is None and alone.backbone == BACKBONE
    np.testing.assert_array_equal(alone.raw, both.raw)


def test_replies_are_found_by_hand() -> None:
    classes = ["1"] * 7 + ["2"] * 4
    # A field in two rows, a reply that lacks its first field, and a new class in the middle of an order.
    fields = ["Size", "Coloration", "Coloration", "Beak", "Coloration", "Beak", "Beak", "Size", "Beak", "Size", "Beak"]
    assert group_replies(classes, fields).tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3]
    # With a single field nothing tells replies apart, so every row is one.
    assert group_replies(["1", "1", "2"], ["Size"] * 3).tolist() == [0, 1, 2]
    assert group_replies([], []).tolist() == []


@given(
    st.lists(
        st.lists(st.lists(st.integers(1, 4), min_size=3, max_size=3), min_size=1, max_size=4), min_size=1, max_size=4
    )
)
def test_replies_are_found_however_often_their_fields_are_split(classes: list[list[list[int]]]) -> None:
    """classes: per class its replies, per reply the number of rows that each field takes."""
    rows = [
        (str(class_id), field, f"{class_id} {reply}")
        for class_id, replies in enumerate(classes)
        for reply, splits in enumerate(replies)
        for field, times in zip(FIELDS, splits, strict=True)
        for _ in range(times)
    ]
    groups = group_replies([r[0] for r in rows], [r[1] for r in rows]).tolist()
    assert groups == sorted(groups) and len(set(groups)) == sum(map(len, classes))
    assert len({(group, told) for group, (_, _, told) in zip(groups, rows, strict=True)}) == len(set(groups))


def test_the_mean_of_a_reply_weighs_fields_and_not_rows() -> None:
    features = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    means = mean_by_group(features, np.array([0, 0, 0, 1]), ["Size", "Beak", "Beak", "Size"])
    np.testing.assert_allclose(means, [[0.5**0.5, 0.5**0.5, 0], [0, 0, 1]], atol=1e-7)
    assert means.dtype == np.float32


def test_captions_are_not_replies(world: World, images: ImageTable) -> None:
    with pytest.raises(FieldguideError, match=r"reed\.csv: its texts are captions of images; .* taken reply by reply"):
        read_source("reed", world.table("reed"), world.translated("reed"), images, by_reply=True)
