"""Cells calibrated on training images that neither they nor their texts know, and their cards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fieldguide.adapters import train_adapter
from fieldguide.adapters.plans import split_validation
from fieldguide.core.files import read_json, write_json
from fieldguide.features.labelled import read_images
from fieldguide.inference.calibrate_adapters import main
from fieldguide.inference.held_out import HELD_OUT
from tests.tiny_data import refusal
from tests.unit.planted_features import CAPTIONS, World, cell_options, features_of, save_images, save_texts, write_world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return write_world(tmp_path, spread=0.35)


def options(world: World, *more: object) -> list[str]:
    words: list[object] = ["--records", world.records, "--images", world.images, "--plans", world.plan]
    for source in ("reed", "llm"):
        words += ["--texts", source, world.table(source), "--features", "qformer", source, world.translated(source)]
        words += ["--features", "identity", source, world.raw(source)]
    return [str(word) for word in (*words, *more, "--cells", world.folder / "cell.json")]


def trained(world: World, source: str = "none", recipe: str = "thesis", **settings: Any) -> None:
    texts = [] if source == "none" else world.source_options(source, recipe)
    train_adapter.main(
        cell_options(world, "cell", *texts, recipe=recipe, translator="qformer", dataset="x", **settings)
    )


def calibrated(world: World) -> dict[str, Any]:
    main(options(world))
    found: dict[str, Any] = read_json(world.folder / "cell.calibration.json")
    return found


@pytest.mark.parametrize(
    ("source", "ratio", "redraw", "held_out"),
    [
        ("none", 50, "fixed", 20),
        ("llm", 90, "fixed", 4),
        ("llm", 95, "fixed", 8),
        ("none", 100, "fixed", 8),
        ("llm", 50, "per-epoch", 8),
        # The captions of the images that it left out have trained it.
        ("reed", 50, "fixed", 8),
        ("reed", 0, "fixed", 8),
    ],
)
def test_it_is_asked_about_images_that_it_does_not_know(
    world: World, source: str, ratio: int, redraw: str, held_out: int
) -> None:
    trained(world, source, ratio=ratio, redraw=redraw)
    found = calibrated(world)
    assert found["held_out_images"] == held_out and found["temperature"] > 0
    assert 50 < found["held_out_accuracy"] <= 100 and found["calibration_error"] < 60
    assert f"{held_out} training images" in (world.folder / "cell.md").read_text(encoding="utf-8")


def test_a_cell_whose_seeds_have_settings_of_their_own(world: World) -> None:
    trained(world, "llm", "zs-text+gda", ratio=95, tune="within-cell", learning_rates=[1, 2], weight_decays=[0, 1, 2])
    assert len(read_json(world.folder / "cell.json")["config"]["alpha"]) == 3
    assert calibrated(world)["held_out_accuracy"] > 50


@pytest.mark.parametrize("recipe", ["tip-adapter-f", "lp++"])
def test_a_recipe_with_steps_of_its_own(world: World, recipe: str) -> None:
    names = {"tip-adapter-f": {"alpha": 100.0, "beta": 5.0}, "lp++": {"steps": 30}}
    write_json(world.tuning, names[recipe])
    trained(world, "llm", recipe, ratio=95)
    assert calibrated(world)["held_out_accuracy"] > 50


def test_captions_of_the_images_asked_about_are_not_read(world: World) -> None:
    trained(world, "reed")
    before, images = calibrated(world), read_images(world.records)
    _, held = split_validation(images.train_labels, HELD_OUT, 0)
    labels = [label for label in images.train_labels.tolist() for _ in range(CAPTIONS)]
    features = features_of(world.directions, labels, 0.35, 3)
    for row in held:
        features[row * CAPTIONS : (row + 1) * CAPTIONS] = float("nan")
    save_texts(world, "reed", features)
    assert calibrated(world) == before


def test_test_images_have_no_part_in_it(world: World) -> None:
    trained(world, "llm")
    before, images = calibrated(world), read_images(world.records)
    features = features_of(world.directions, images.labels.tolist(), 0.35, 2)
    features[images.test_rows] = float("nan")
    save_images(world, features)
    assert calibrated(world) == before


def test_weights_and_result_stay(world: World) -> None:
    write_json(world.tuning, {"penalty": 3.0})
    trained(world, "reed", "anchored", ratio=10)
    before = {path: path.read_bytes() for path in world.folder.glob("cell.*")}
    calibrated(world)
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(path.name for path in set(world.folder.glob("cell.*")) - set(before)) == [
        "cell.calibration.json",
        "cell.md",
    ]


def test_a_class_with_one_image_is_not_calibrated(tmp_path: Path) -> None:
    world = write_world(tmp_path, train=1)
    trained(world, ratio=100)
    assert calibrated(world) == {"temperature": 1.0, "held_out_images": 0}
    assert "Not calibrated" in (world.folder / "cell.md").read_text(encoding="utf-8")


def test_texts_that_were_not_named_are_refused(world: World) -> None:
    trained(world, "llm")
    words = options(world)
    words[words.index("llm")] = "another"
    assert "recipe thesis with llm needs its table by --texts" in refusal(main, *words)
