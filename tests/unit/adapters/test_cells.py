"""What a cell trains on: labels, text pools, and which tables are refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.adapters.cells import draw_runs, hash_plan, pool_texts
from fieldguide.adapters.plans import Drawer
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv, write_csv
from fieldguide.data.records import IMAGE_COLUMNS
from fieldguide.features.labelled import ImageTable, read_images, read_split
from fieldguide.texts.source import check_width, group_replies, mean_by_group, read_source
from fieldguide.texts.table import TEXT_COLUMNS
from tests.unit.planted_features import BACKBONE, CAPTIONS, SENTENCES, World, write_source, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return write_world(tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def images(world: World) -> ImageTable:
    return read_images(world.records)


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


def test_read_split_takes_these_rows(world: World, images: ImageTable) -> None:
    whole, labels, key = read_split(world.images, images, np.arange(len(images.ids)))
    some, few, _ = read_split(world.images, images, images.test_rows)
    np.testing.assert_array_equal(some, whole[images.test_rows])
    np.testing.assert_array_equal(few, images.labels[images.test_rows])
    assert key == BACKBONE and len(whole) == len(labels) == 60


def test_reeds_pool_is_each_images_own_captions(world: World, images: ImageTable) -> None:
    source = read_source("reed", world.table("reed"), world.translated("reed"), images)
    assert source.unit == "caption" and source.backbone == BACKBONE
    # Also of a part of the training images, in whatever order.
    for ids in (images.train_ids, images.train_ids[7:2:-1]):
        pool = pool_texts(source, ids, 4)
        assert pool.by_class is None and pool.by_image is not None
        assert len(pool.by_image) == len(ids)
        for image_id, texts in zip(ids, pool.by_image, strict=True):
            assert [source.image_ids[t] for t in texts] == [image_id] * CAPTIONS
            assert {int(source.labels[t]) for t in texts} == {int(images.labels[images.ids.index(image_id)])}


def test_an_llms_pool_is_its_classes_sentences(world: World, images: ImageTable) -> None:
    source = read_source("llm", world.table("llm"), world.translated("llm"), images)
    pool = pool_texts(source, images.train_ids, 4)
    assert source.unit == "field" and pool.by_image is None and pool.by_class is not None
    assert [texts.tolist() for texts in pool.by_class] == np.arange(4 * SENTENCES).reshape(4, SENTENCES).tolist()


def refused(world: World, images: ImageTable, rows: Sequence[tuple[str, ...]]) -> str:
    """What is said of a source with these rows."""
    write_source(world, "bad", rows)
    with pytest.raises(FieldguideError) as caught:
        pool_texts(read_source("bad", world.table("bad"), world.translated("bad"), images), images.train_ids, 4)
    return str(caught.value)


def reed_rows(world: World) -> list[tuple[str, ...]]:
    return [tuple(row.values()) for row in read_csv(world.table("reed"), TEXT_COLUMNS)]


def test_a_caption_of_a_test_image_is_refused(world: World, images: ImageTable) -> None:
    test = images.ids[images.test_rows[3]]
    rows = reed_rows(world)
    rows.insert(5, ("1", "", test, "", "a leak"))
    assert f"bad.csv: holds a caption of test image {test}" in refused(world, images, rows)


def test_an_unknown_class_is_refused(world: World, images: ImageTable) -> None:
    rows = [*reed_rows(world), ("5", "", "", "", "a fifth class")]
    assert "bad.csv: class_id 5 is not among the images' classes" in refused(world, images, rows)


def test_an_image_without_caption_is_refused(world: World, images: ImageTable) -> None:
    image = images.train_ids[11]
    rows = [row for row in reed_rows(world) if row[2] != image]
    assert f"text source bad: training image {image} has no caption" in refused(world, images, rows)


def test_a_class_without_text_is_refused(world: World, images: ImageTable) -> None:
    rows = [("1", "", "", "Size", "a"), ("2", "", "", "Size", "b"), ("4", "", "", "Size", "d")]
    assert "text source bad: class number 3 has no text" in refused(world, images, rows)
    assert "class number 1 has no text" in refused(world, images, [])


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


def test_runs_stack_the_seeds_streams(images: ImageTable) -> None:
    drawer = Drawer(images.train_labels, "class-wise")
    runs = draw_runs(drawer, 25, None, "fixed", [4, 2], 6, 5)
    assert runs.rows.shape == (2, 6, 5)
    assert runs.distinct_images == [10, 10] and runs.distinct_texts == [0, 0]
    alone = draw_runs(drawer, 25, None, "fixed", [2], 6, 5)
    np.testing.assert_array_equal(alone.rows[0], runs.rows[1])
    np.testing.assert_array_equal(np.unique(runs.rows[1]), np.sort(drawer.order(2)[:10]))


def test_the_plans_hash_tells_every_part(world: World, images: ImageTable) -> None:
    class_wise, drawn = Drawer(images.train_labels, "class-wise"), Drawer(images.train_labels, "global")
    pool = pool_texts(read_source("reed", world.table("reed"), world.translated("reed"), images), images.train_ids, 4)
    ids = images.train_ids
    hashes = [
        hash_plan(class_wise, 50, pool, [0, 1], ids),
        hash_plan(class_wise, 50, pool, [0, 2], ids),
        hash_plan(class_wise, 50, pool, [0], ids),
        hash_plan(class_wise, 40, pool, [0, 1], ids),
        hash_plan(class_wise, 50, None, [0, 1], ids),
        hash_plan(drawn, 50, pool, [0, 1], ids),
        hash_plan(class_wise, 50, pool, [0, 1], [f"x{i}" for i in ids]),
    ]
    assert len(set(hashes)) == len(hashes)
    assert hash_plan(Drawer(images.train_labels, "class-wise"), 50, pool, [0, 1], ids) == hashes[0]


# ---------------------------------------------------------------- whole replies as texts

FIELDS = ("Size", "Coloration", "Beak")


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


def test_a_source_may_be_read_reply_by_reply(world: World, images: ImageTable) -> None:
    rows = [(str(c + 1), "", "", field, f"{c} {r} {field}") for c in range(4) for r in range(2) for field in FIELDS]
    write_source(world, "replies", rows)
    place = (world.table("replies"), world.translated("replies"), images)
    whole, parts = read_source("replies", *place, by_reply=True), read_source("replies", *place)
    assert (whole.name, whole.unit, parts.unit) == ("replies", "reply", "field")
    assert whole.labels.tolist() == [0, 0, 1, 1, 2, 2, 3, 3] and len(parts.labels) == 24
    expected = parts.features.reshape(8, 3, -1).mean(1)
    np.testing.assert_allclose(
        whole.features, expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-5, atol=1e-6
    )
    pool = pool_texts(whole, images.train_ids, 4)
    assert pool.by_class is not None and [texts.tolist() for texts in pool.by_class] == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_captions_are_not_replies(world: World, images: ImageTable) -> None:
    with pytest.raises(FieldguideError, match=r"reed\.csv: its texts are captions of images; .* taken reply by reply"):
        read_source("reed", world.table("reed"), world.translated("reed"), images, by_reply=True)
