"""The probe beside the adapter: full marks on easy data, chosen on training images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression

from fieldguide.adapters import train_adapter
from fieldguide.adapters.plans import split_validation
from fieldguide.core.files import read_csv, write_csv
from fieldguide.data.records import IMAGE_COLUMNS
from fieldguide.features.labelled import read_images, read_split
from fieldguide.tables.probe_features import PROBE_FORMATS, main
from tests.tiny_data import refusal
from tests.unit.planted_features import World, cell_options, plan, write_world


def write_cell(world: World, name: str, *options: object, **settings: Any) -> Path:
    train_adapter.main(cell_options(world, name, *options, **settings))
    return world.folder / f"{name}.json"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return write_world(tmp_path)


def argv(world: World, *cells: Path) -> list[str]:
    given = ["--records", world.records, "--images", world.images, "--cells", *cells]
    return [
        str(word)
        for word in (
            *given,
            "--settings",
            '{"seeds": [0, 1, 2], "c": [0.001, 10]}',
            "--out",
            world.folder / "probe.csv",
        )
    ]


def test_easy_data(world: World) -> None:
    plan(world, world.folder / "global.json", "global")
    cells = [
        write_cell(world, "all", ratio=100),
        write_cell(world, "few", "--plan", world.folder / "global.json"),
    ]
    main(argv(world, *cells))
    rows = read_csv(world.folder / "probe.csv", list(PROBE_FORMATS))
    assert [(row["image_percent"], row["sampling"], row["n_seeds"]) for row in rows] == [
        ("100", "class-wise", "1"),
        ("50", "global", "3"),
    ]
    for row in rows:
        assert (row["probe_accuracy"], row["thesis_accuracy"], row["difference"]) == ("100.00", "100.00", "+0.00")


def test_validation_images_choose_c(tmp_path: Path) -> None:
    world = write_world(tmp_path, test=8, spread=0.6)
    images = read_images(world.records)
    train, labels, _ = read_split(world.images, images, images.train_rows)
    test, truth, _ = read_split(world.images, images, images.test_rows)
    fit, held = split_validation(labels, 0.2, seed=0)
    probes = {c: LogisticRegression(C=c, max_iter=2000).fit(train[fit], labels[fit]) for c in (0.001, 10)}
    # Here the test images would choose the other C.
    assert probes[10].score(train[held], labels[held]) > probes[0.001].score(train[held], labels[held])
    assert probes[10].score(test, truth) < probes[0.001].score(test, truth)
    main(argv(world, write_cell(world, "all", ratio=100)))
    (row,) = read_csv(world.folder / "probe.csv", list(PROBE_FORMATS))
    assert float(row["c"]) == 10
    final = LogisticRegression(C=10, max_iter=2000).fit(train, labels).score(test, truth)
    assert row["probe_accuracy"] == f"{100 * final:.2f}"


def test_other_cells_are_refused(world: World) -> None:
    for cell in (
        write_cell(world, "text", *world.source_options("reed")),
        write_cell(world, "redrawn", redraw="per-epoch"),
    ):
        assert f"{cell}: the probe is compared with image-only cells" in refusal(main, *argv(world, cell))


def test_a_class_of_one_image_is_refused(world: World) -> None:
    cell = write_cell(world, "all", ratio=100)
    rows = world.rows()
    for row in [row for row in rows if row["class_id"] == "1" and row["split"] == "train"][1:]:
        row["split"] = "test"
    write_csv(world.records, IMAGE_COLUMNS, rows)
    assert "class 0 has one training image" in refusal(main, *argv(world, cell))
