"""What a cell trains on: labels, text pools, and which tables are refused by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from fieldguide.adapters.cells import draw_runs, hash_plan, pool_texts
from fieldguide.adapters.plans import Drawer
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv
from fieldguide.features.labelled import ImageTable, read_images
from fieldguide.texts.source import read_source
from fieldguide.texts.table import TEXT_COLUMNS
from tests.unit.planted_features import BACKBONE, CAPTIONS, SENTENCES, World, write_source, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return write_world(tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def images(world: World) -> ImageTable:
    return read_images(world.records)


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
