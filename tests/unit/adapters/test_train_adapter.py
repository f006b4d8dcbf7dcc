"""One cell from files to files: its contract, its determinism, and that the test images only score."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from fieldguide.adapters.correctness import read_correctness
from fieldguide.adapters.train_adapter import main
from fieldguide.core.files import read_json, write_csv, write_json
from fieldguide.data.records import IMAGE_COLUMNS
from fieldguide.features.labelled import read_images
from tests.tiny_data import refusal, said
from tests.unit.planted_features import (
    BACKBONE,
    SENTENCES,
    World,
    cell_options,
    features_of,
    plan,
    save_images,
    save_texts,
    write_source,
    write_world,
)

TRAIN, STEPS, BATCH = 40, 30, 20


@pytest.fixture
def world(tmp_path: Path) -> World:
    return write_world(tmp_path)


def mixed(world: World, source: str = "reed") -> list[str]:
    return world.source_options(source)


def trained(world: World, *options: object, out: str = "cell", **settings: Any) -> dict[str, Any]:
    main(cell_options(world, out, *options, **{"translator": "qformer"} | settings))
    cell: dict[str, Any] = read_json(world.folder / f"{out}.json")
    return cell


def test_a_cells_json(world: World) -> None:
    cell = trained(world, *mixed(world))
    versions = cell.pop("versions")
    assert {"fieldguide", "numpy"} <= versions.keys()
    assert len(cell.pop("plan_sha256")) == 64
    assert cell.pop("accuracy") == [100, 100, 100], "the world is easy"
    assert cell == {
        "image_percent": 50,
        "text_percent": 50,
        "text_source": "reed",
        "text_names": "unnamed",
        "text_unit": "caption",
        "sampling": "class-wise",
        "redraw": "fixed",
        "budget": "steps",
        "recipe": "thesis",
        "translator": "qformer",
        "backbone": BACKBONE,
        "seeds": [0, 1, 2],
        "distinct_images": [20, 20, 20],
        "distinct_texts": [20, 20, 20],
        "optimiser_steps": STEPS,
        "examples_per_epoch": TRAIN,
        "config": {"batch": BATCH, "amount": STEPS, "learning_rate": 0.1, "weight_decay": 0.0, "threads": 1},
        "tune": "once",
        "tuning_edges": [],
    }


@pytest.mark.parametrize(("naming", "told"), [(3, "named"), (2, "unnamed")])
def test_a_cell_tells_whether_most_of_its_texts_name_their_class(world: World, naming: int, told: str) -> None:
    rows = [(str(n + 1), "Blue Jay", "", "Size", f"{'a blue-jay' if n < naming else 'a bird'} {n}") for n in range(4)]
    write_source(world, "mine", rows)
    assert trained(world, *mixed(world, "mine"))["text_names"] == told


def test_an_image_only_cell_names_no_text(world: World) -> None:
    cell = trained(world, ratio=10)
    assert [cell[key] for key in ("text_source", "text_names", "text_unit", "translator")] == ["none"] * 4
    assert (cell["text_percent"], cell["distinct_texts"], cell["examples_per_epoch"]) == (0, [0, 0, 0], 4)
    assert cell["distinct_images"] == [4, 4, 4]


@pytest.mark.parametrize(
    ("ratio", "source", "redraw", "images", "texts"),
    [
        (0, "reed", "fixed", 0, 40),
        (10, "reed", "fixed", 4, 36),
        (100, "reed", "fixed", 40, 0),
        (10, "llm", "fixed", 4, 4 * SENTENCES),
        (90, "llm", "fixed", 36, 4),
        (10, "reed", "per-epoch", None, None),
    ],
)
def test_distinct_images_and_texts(
    world: World, ratio: int, source: str, redraw: str, images: int | None, texts: int | None
) -> None:
    cell = trained(world, *mixed(world, source), ratio=ratio, redraw=redraw)
    if images is None:  # 15 epochs of 4 images and 36 texts each
        assert min(cell["distinct_images"]) > 20 and min(cell["distinct_texts"]) > 100
    else:
        assert cell["distinct_images"] == [images] * 3 and cell["distinct_texts"] == [texts] * 3


def test_the_weights_file(world: World) -> None:
    trained(world)
    weights = load_file(world.folder / "cell.safetensors")
    assert weights["weight"].shape == (3, 4, 12) and weights["bias"].shape == (3, 4)
    assert (world.folder / "cell.safetensors").stat().st_mode & 0o777 == 0o644


def test_which_test_images_are_right_is_kept_beside_the_cell(world: World) -> None:
    images = read_images(world.records)
    features = features_of(world.directions, images.labels.tolist(), 0.15, 2)
    features[images.test_rows] = features[images.test_rows].flip(0)
    save_images(world, features)
    cell = trained(world, ratio=10)
    kept = read_correctness(world.folder / "cell.json")
    assert kept is not None and kept.right.shape == (3, len(images.test_rows))
    assert (kept.right.mean(1) * 100).round(6).tolist() == cell["accuracy"] and max(cell["accuracy"]) < 100
    weights = load_file(world.folder / "cell.safetensors")
    logits = features.numpy()[images.test_rows] @ weights["weight"][1].T + weights["bias"][1]
    assert (kept.right[1] == (logits.argmax(1) == images.labels[images.test_rows])).all()


def test_each_seed_is_the_same_alone(world: World) -> None:
    together = trained(world, *mixed(world))
    alone = trained(world, *mixed(world), seeds=[1], out="alone")
    assert alone["accuracy"] == together["accuracy"][1:2]
    both, one = (load_file(world.folder / f"{name}.safetensors")["weight"] for name in ("cell", "alone"))
    np.testing.assert_allclose(one[0], both[1], atol=1e-6)


def test_a_budget_of_epochs(world: World) -> None:
    cell = trained(world, ratio=50, budget="epochs", amount=7)
    assert (cell["optimiser_steps"], cell["examples_per_epoch"]) == (7, 20)
    assert trained(world, *mixed(world), budget="epochs", amount=7)["optimiser_steps"] == 14


def test_test_labels_only_score(world: World) -> None:
    before = trained(world, *mixed(world), redraw="per-epoch")
    weights = (world.folder / "cell.safetensors").read_bytes()
    rows = world.rows()
    for row in rows:
        if row["split"] == "test":
            row["class_id"] = str(int(row["class_id"]) % 4 + 1)
    write_csv(world.records, IMAGE_COLUMNS, rows)
    after = trained(world, *mixed(world), redraw="per-epoch")
    assert (world.folder / "cell.safetensors").read_bytes() == weights
    assert (before.pop("accuracy"), after.pop("accuracy")) == ([100] * 3, [0] * 3)
    assert before == after


def test_test_features_only_score(world: World) -> None:
    trained(world, *mixed(world))
    weights = (world.folder / "cell.safetensors").read_bytes()
    images = read_images(world.records)
    features = features_of(world.directions, images.labels.tolist(), 0.15, 2)
    features[images.test_rows] = features[images.test_rows].flip(0)
    save_images(world, features)
    assert max(trained(world, *mixed(world))["accuracy"]) < 100
    assert (world.folder / "cell.safetensors").read_bytes() == weights


def test_dropped_images_and_texts_not_drawn_are_not_read(world: World) -> None:
    trained(world, *mixed(world), ratio=10, seeds=[1])
    weights = load_file(world.folder / "cell.safetensors")
    images = read_images(world.records)
    kept = set(read_json(world.plan)["seeds"]["1"]["image_ids"][:4])
    features = features_of(world.directions, images.labels.tolist(), 0.15, 2)
    unused = [row for row in images.train_rows if images.ids[row] not in kept]
    assert len(unused) == 36
    features[unused] = float("nan")
    save_images(world, features)
    trained(world, *mixed(world), ratio=10, seeds=[1])
    after = load_file(world.folder / "cell.safetensors")
    assert all((after[name] == weights[name]).all() for name in weights)


def test_the_same_bytes_whatever_the_environment_says(world: World) -> None:
    main(cell_options(world, "first", *mixed(world)))
    main(cell_options(world, "second", *mixed(world)))
    # A job of its own, as the workflow starts it; without torch, which takes longer to import than a cell trains.
    code = "import sys; from fieldguide.adapters.train_adapter import main; main(sys.argv[1:])"
    code += "; assert not {'torch', 'pandas', 'scipy', 'sklearn'} & set(sys.modules)"
    threads = {name: "4" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    command = [sys.executable, "-c", code, *cell_options(world, "third", *mixed(world))]
    subprocess.run(command, env={**os.environ, **threads, "PYTHONPATH": os.pathsep.join(sys.path)}, check=True)
    for ending in ("json", "safetensors", "correct.safetensors"):
        contents = [(world.folder / f"{name}.{ending}").read_bytes() for name in ("first", "second", "third")]
        assert contents[0] == contents[1] == contents[2]


def refused(world: World, *options: object, **settings: Any) -> str:
    sentence = refusal(main, *cell_options(world, "cell", *options, **settings))
    assert not list(world.folder.glob("cell.*")), "nothing is written"
    return sentence


def test_a_plan_of_other_images_is_refused(world: World) -> None:
    plan_of_all = world.plan.read_text()
    rows = world.rows()
    rows[next(i for i, row in enumerate(rows) if row["split"] == "train")]["class_id"] = "1"
    rows[next(i for i, row in enumerate(rows) if row["split"] == "train" and row["class_id"] != "1")]["class_id"] = "1"
    write_csv(world.records, IMAGE_COLUMNS, rows)
    assert "class-wise.json: its order for seed 0 is not of these images" in refused(world)
    plan(world, world.plan, "class-wise")
    assert world.plan.read_text() != plan_of_all
    assert "its order for seed 7" in refused(world, seeds=[0, 7])


def test_the_order_is_the_plans(world: World) -> None:
    before = trained(world, seeds=[0])
    content = read_json(world.plan)
    content["seeds"]["0"]["image_ids"].reverse()
    write_json(world.plan, content)
    after = trained(world, seeds=[0])
    assert before["plan_sha256"] != after["plan_sha256"] and after["distinct_images"] == [20]


def test_nothing_to_train_on_is_refused(world: World) -> None:
    assert "ratio 0 needs a text source" in refused(world, ratio=0)
    assert "ratio 1 keeps none of the 40 training images" in refused(world, ratio=1)


def test_texts_of_another_backbone_are_refused(world: World) -> None:
    labels = [c for c in range(4) for _ in range(SENTENCES)]
    save_texts(world, "llm", features_of(world.directions, labels, 0.1, 0), "other_1")
    sentence = refused(world, *mixed(world, "llm"))
    assert "llm.safetensors is of backbone other_1" in sentence and BACKBONE in sentence


def test_damaged_and_missing_files_are_named(world: World) -> None:
    assert f"{world.folder / 'no.json'}: No such file" in refused(world, "--plan", world.folder / "no.json")
    world.tuning.write_text("{")
    assert "tuning.json: not valid JSON" in refused(world)
    world.images.write_bytes(world.images.read_bytes()[:-8])
    world.tuning.write_text(json.dumps({"learning_rate": 0.1, "weight_decay": 0.0}))
    assert "images.safetensors: not a whole feature file" in refused(world)
    world.images.unlink()
    assert f"{world.images}: No such file" in refused(world)


def test_the_log_ends_with_the_work_it_took(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    log = said(main, capsys, *cell_options(world, "cell"))
    assert "20 examples an epoch, 30 steps" in log
    assert "threads 1" in log.splitlines()[-1]
