"""Tuning: the planted best is found, on training images alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fieldguide.adapters.cells import draw_runs
from fieldguide.adapters.linear import accuracy, fit, random_start
from fieldguide.adapters.plans import Drawer, split_validation
from fieldguide.adapters.tune_adapter import main
from fieldguide.adapters.tuning import RATIOS
from fieldguide.core.files import read_json, write_csv
from fieldguide.data.records import IMAGE_COLUMNS
from fieldguide.features.labelled import read_images, read_split
from tests.tiny_data import refusal
from tests.unit.planted_features import (
    CAPTIONS,
    SENTENCES,
    World,
    features_of,
    save_images,
    save_texts,
    write_world,
)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return write_world(tmp_path, spread=0.35)


SETTINGS = {
    "learning_rates": [1e-6, 0.1],
    "weight_decays": [0, 0.01],
    "budget": "steps",
    "amount": 20,
    "batch": 20,
    "validation": 0.2,
    "tuning_seeds": 2,
}


def argv(world: World, *options: object) -> list[str]:
    given = ["--records", world.records, "--images", world.images, "--out", world.folder / "out.json"]
    return [str(word) for word in (*given, "--settings", json.dumps(SETTINGS), *options)]


def with_sources(world: World) -> list[str]:
    return [*world.source_options("reed"), *world.source_options("llm")]


def tuned(world: World, *more: object) -> dict[str, Any]:
    main(argv(world, *more))
    found: dict[str, Any] = read_json(world.folder / "out.json")
    return found


def test_the_planted_best_is_found(world: World) -> None:
    found = tuned(world, *with_sources(world))
    assert found["learning_rate"] == 0.1, "the other one cannot move"
    assert found["validation_images"] == 8
    trials = found["trials"]
    assert [(t["learning_rate"], t["weight_decay"]) for t in trials] == [
        (1e-6, 0),
        (1e-6, 0.01),
        (0.1, 0),
        (0.1, 0.01),
    ]
    for trial in trials:
        assert sorted(trial["by_ratio"]) == sorted(map(str, RATIOS))
        assert trial["accuracy"] == pytest.approx(sum(trial["by_ratio"].values()) / 4, abs=0.002)
    best = max(trials, key=lambda trial: float(trial["accuracy"]))
    assert (found["learning_rate"], found["weight_decay"]) == (best["learning_rate"], best["weight_decay"])
    assert best["accuracy"] > max(trial["accuracy"] for trial in trials[:2]) + 10


def test_a_score_is_of_the_validation_images(tmp_path: Path) -> None:
    world = write_world(tmp_path, spread=0.6)
    images = read_images(world.records)
    features, labels, _ = read_split(world.images, images, images.train_rows)
    fit_rows, held_rows = split_validation(labels, 0.2, 0)
    runs = draw_runs(Drawer(labels[fit_rows], "class-wise"), 50, None, "fixed", [0, 1], 20, 20)
    start = random_start(4, features.shape[1], [0, 1])
    adapter = fit(features[fit_rows], labels[fit_rows], runs.rows, start, [0.1] * 2, [0.01] * 2)
    scores = [accuracy(adapter, features[rows], labels[rows]).mean() for rows in (held_rows, fit_rows)]
    assert abs(scores[0] - scores[1]) > 5, "the two differ here"
    assert tuned(world)["trials"][3]["by_ratio"]["50"] == pytest.approx(scores[0], abs=1e-3)


def test_without_text_there_is_no_ratio_zero(world: World) -> None:
    assert sorted(tuned(world)["trials"][0]["by_ratio"]) == ["10", "100", "50"]


def test_test_images_are_not_read(world: World) -> None:
    before = tuned(world, *with_sources(world))
    images = read_images(world.records)
    features = features_of(world.directions, images.labels.tolist(), 0.35, 2)
    features[images.test_rows] = float("nan")
    save_images(world, features)
    assert tuned(world, *with_sources(world)) == before


def test_captions_of_validation_images_are_not_read(world: World) -> None:
    before = tuned(world, *with_sources(world))
    images = read_images(world.records)
    _, held = split_validation(images.train_labels, 0.2, 0)
    labels = [label for label in images.train_labels.tolist() for _ in range(CAPTIONS)]
    features = features_of(world.directions, labels, 0.35, 3)
    for row in held:
        features[row * CAPTIONS : (row + 1) * CAPTIONS] = float("nan")
    save_texts(world, "reed", features)
    assert tuned(world, *with_sources(world)) == before


def test_the_same_bytes_twice(world: World) -> None:
    contents = []
    for _ in range(2):
        tuned(world, *with_sources(world))
        contents.append((world.folder / "out.json").read_bytes())
    assert contents[0] == contents[1]


def refused(world: World, *more: object) -> str:
    sentence = refusal(main, *argv(world, *more))
    assert not (world.folder / "out.json").exists()
    return sentence


def test_texts_of_another_backbone_are_refused(world: World) -> None:
    labels = [c for c in range(4) for _ in range(SENTENCES)]
    save_texts(world, "llm", features_of(world.directions, labels, 0.1, 0), "other_1")
    assert "llm.safetensors is of backbone other_1" in refused(world, *with_sources(world))


def test_a_class_of_one_image_is_refused(world: World) -> None:
    rows = world.rows()
    alone = [row for row in rows if row["class_id"] == "3" and row["split"] == "train"]
    for row in alone[1:]:
        row["split"] = "test"
    write_csv(world.records, IMAGE_COLUMNS, rows)
    assert "images.csv: class 2 has one training image" in refused(world)


def test_too_few_images_for_ten_percent_are_refused(tmp_path: Path) -> None:
    small = write_world(tmp_path, classes=2, train=2, test=1)
    assert "10% of the 2 training images that are not held out" in refused(small)
