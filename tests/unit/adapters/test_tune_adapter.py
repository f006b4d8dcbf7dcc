"""Tuning: the planted best is found, on training images alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldguide.adapters import train_adapter
from fieldguide.adapters.cells import draw_runs
from fieldguide.adapters.linear import accuracy, fit, random_start
from fieldguide.adapters.plans import Drawer, split_validation
from fieldguide.adapters.settings import RATIOS
from fieldguide.adapters.tune_adapter import main
from fieldguide.adapters.tuning import find_edges
from fieldguide.core.files import read_json, write_csv
from fieldguide.data.records import IMAGE_COLUMNS
from fieldguide.features.labelled import read_images, read_split
from tests.tiny_data import refusal
from tests.unit.planted_features import (
    CAPTIONS,
    SENTENCES,
    World,
    cell_options,
    features_of,
    save_images,
    save_raw,
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


# Per ratio, within a cell, and at the edge


def test_per_ratio_each_ratio_has_its_own_best_and_its_own_number_of_labels(world: World) -> None:
    words = argv(world, *world.source_options("llm", "zs-text+gda"))
    settings = {**SETTINGS, "recipe": "zs-text+gda", "tune": "per-ratio", "ratios": [90, 50, 10, 0]}
    words[words.index("--settings") + 1] = json.dumps(settings)
    main(words)
    found = read_json(world.folder / "out.json")
    # Of 40 training images 8 are held out; of the other 32 the ratio keeps its share.
    assert {ratio: own["labels"] for ratio, own in found["ratios"].items()} == {"90": 37, "50": 24, "10": 11, "0": 8}
    for ratio, own in found["ratios"].items():
        best = max(trial["by_ratio"][ratio] for trial in found["trials"])
        assert next(t for t in found["trials"] if t["alpha"] == own["alpha"])["by_ratio"][ratio] == best
    out = world.folder / "out.json"
    options = ["--tuning", out, *world.source_options("llm", "zs-text+gda")]
    train_adapter.main(cell_options(world, "cell", *options, recipe="zs-text+gda", ratio=50))
    cell = read_json(world.folder / "cell.json")
    assert (cell["tune"], cell["tuning_labels"]) == ("per-ratio", 24)
    assert cell["config"]["alpha"] == found["ratios"]["50"]["alpha"]
    words = cell_options(world, "cell", *options, recipe="zs-text+gda", ratio=30)
    told = refusal(train_adapter.main, *words)
    assert "out.json: nothing was chosen for ratio 30; name it among the tuning's ratios" in told


def test_once_says_with_how_many_labels(world: World) -> None:
    assert (found := tuned(world, *with_sources(world)))["labels"] == 40 and found["tune"] == "once"


def within(world: World, recipe: str, **settings: Any) -> dict[str, Any]:
    own = {"recipe": recipe, "tune": "within-cell", "learning_rates": [1e-6, 0.1], "weight_decays": [0]} | settings
    words = cell_options(world, "cell", *world.source_options("llm", recipe), **own)
    words.remove("--tuning")
    words.remove(str(world.tuning))
    train_adapter.main(words)
    found: dict[str, Any] = read_json(world.folder / "cell.json")
    return found


def test_within_a_cell_its_own_images_choose(world: World) -> None:
    cell = within(world, "thesis", ratio=50)
    assert (cell["tune"], cell["tuning_labels"], cell["distinct_images"]) == ("within-cell", 20, [20] * 3)
    assert cell["config"]["learning_rate"] == [0.1] * 3, "the other one cannot move"
    assert min(cell["accuracy"]) > 80


def test_within_a_cell_text_that_is_wrong_gets_less_weight(world: World) -> None:
    """The texts of each class are those of another: the images are worth more, and the cell finds it out."""
    trials = {"learning_rates": [1, 2, 3], "weight_decays": [0, 1, 2, 3]}
    good = within(world, "zs-text+gda", ratio=50, **trials)
    labels = [(c + 1) % 4 for c in range(4) for _ in range(SENTENCES)]
    save_raw(world, "llm", features_of(world.directions, labels, 0.1, 0))
    wrong = within(world, "zs-text+gda", ratio=50, **trials)
    assert np.all(np.array(wrong["config"]["alpha"]) > good["config"]["alpha"]) and min(wrong["accuracy"]) > 70


def test_within_a_cell_neither_other_images_nor_test_images_are_looked_at(world: World) -> None:
    before = within(world, "zs-text+gda", ratio=50, seeds=[0])
    images = read_images(world.records)
    plan = read_json(world.plan)["seeds"]["0"]["image_ids"]
    other = set(plan[20:])
    features = features_of(world.directions, images.labels.tolist(), 0.35, 2)
    rows = [row for row, image_id in enumerate(images.ids) if image_id in other]
    features[rows] = float("nan")
    save_images(world, features)
    assert within(world, "zs-text+gda", ratio=50, seeds=[0]) == before


@pytest.mark.parametrize(("recipe", "ratio"), [("zs-text+gda", 10), ("zs-text+gda", 0), ("thesis", 0), ("anchored", 0)])
def test_where_no_class_has_two_images_the_middle_is_taken(world: World, recipe: str, ratio: int) -> None:
    cell = within(world, recipe, ratio=ratio, learning_rates=[0.01, 0.03, 0.1])
    assert cell["tuning_labels"] == 0
    middle = {"zs-text+gda": ("alpha", 0.1), "thesis": ("learning_rate", 0.03), "anchored": ("penalty", 30**0.5)}
    name, value = middle[recipe]
    assert np.unique(cell["config"][name]) == pytest.approx(value)


def test_what_is_tried_must_be_said(world: World) -> None:
    words = cell_options(world, "cell", tune="within-cell")
    assert "tune is within-cell without learning_rates and weight_decays" in refusal(train_adapter.main, *words)


@pytest.mark.parametrize(
    ("values", "scores", "edges"),
    [
        ([1, 2, 3], [1, 2, 3], ["largest a"]),
        ([1, 2, 3], [3, 2, 1], ["smallest a"]),
        ([1, 2, 3], [1, 3, 1], []),
        ([1, 2, 3], [1, 3, 3], []),
        ([3, 2, 1], [5, 5, 5], []),
        ([0, 1, 2], [3, 2, 1], []),
        ([1, 2], [1, 2], []),
    ],
    ids=["above", "below", "inside", "as good inside", "all as good", "nothing below 0", "no inside"],
)
def test_edges_by_hand(values: list[float], scores: list[float], edges: list[str]) -> None:
    assert find_edges([{"a": value} for value in values], np.array(scores)) == edges


def test_a_choice_at_the_edge_is_told_in_the_log_the_file_and_the_cell(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    words = argv(world)
    words[words.index("--settings") + 1] = json.dumps({**SETTINGS, "learning_rates": [1e-8, 1e-7, 1e-6, 0.1]})
    main(words)
    out = world.folder / "out.json"
    assert read_json(out)["edges"] == ["largest learning_rate"]
    assert "the best trial has the largest learning_rate tried; beyond may be better" in capsys.readouterr().err
    train_adapter.main(cell_options(world, "cell", "--tuning", out))
    assert read_json(world.folder / "cell.json")["tuning_edges"] == ["largest learning_rate"]
