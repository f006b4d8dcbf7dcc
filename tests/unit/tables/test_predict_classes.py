"""Accuracy by class and confused pairs: known answers on a planted classifier, and weights that are not a cell's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldguide.core.files import read_csv, write_csv
from fieldguide.features.store import save_features, save_tensors
from fieldguide.tables.predict_classes import CLASS_FORMATS, CONFUSION_FORMATS, main
from fieldguide.tables.predictions import class_accuracy, count_predictions, find_confusions, images_by_class
from tests.unit.planted_cells import BACKBONE, planted_cell

LABELS = np.array([0, 0, 0, 0, 1, 1, 2, 2])
# Two runs: half of class 0 is taken for 1, all of class 1 for 0 once, class 2 is always right.
PREDICTED = np.array([[0, 0, 1, 1, 0, 0, 2, 2], [0, 0, 1, 1, 1, 1, 2, 2]])


def test_accuracy_of_each_class_and_run():
    assert class_accuracy(PREDICTED, LABELS, 3).tolist() == [[50, 0, 100], [50, 100, 100]]


def test_a_class_without_test_images_has_no_accuracy():
    assert np.isnan(class_accuracy(PREDICTED, LABELS, 4)[:, 3]).all()


def test_predictions_are_counted_as_a_mean_over_runs():
    assert count_predictions(PREDICTED, LABELS, 3).tolist() == [[2, 2, 0], [1, 1, 0], [0, 0, 2]]


def test_a_pair_is_listed_once_with_both_shares_and_the_image_that_most_runs_mistake():
    (pair,) = find_confusions(PREDICTED, LABELS, 3, 10)
    assert (pair.label, pair.taken_for, pair.percent, pair.back, pair.image) == (0, 1, 50, 50, 2)


def test_no_more_pairs_than_asked_and_the_worst_first():
    predicted = np.array([[1, 1, 1, 0, 2, 1, 2, 2]])
    pairs = find_confusions(predicted, LABELS, 3, 1)
    assert [(p.label, p.taken_for, p.percent) for p in pairs] == [(0, 1, 75)]


def test_a_perfect_classifier_confuses_nothing():
    assert find_confusions(LABELS[None], LABELS, 3, 10) == []


def test_images_kept_are_counted_by_class_as_a_mean_over_runs():
    kept = [np.array([0, 1, 4]), np.array([0, 4, 5])]
    assert images_by_class(kept, LABELS, 3).tolist() == [1.5, 1.5, 0]


def plant(folder: Path, **changes: Any) -> list[str]:
    """Two classes told apart by the sign of one feature; one test image of each lies on the wrong side."""
    rows = [
        {"image_id": str(i), "path": f"{i}.jpg", "class_id": str(1 + i % 2), "split": "train" if i < 8 else "test"}
        for i in range(16)
    ]
    write_csv(folder / "images.csv", ("image_id", "path", "class_id", "split"), rows)
    names = [{"class_id": "1", "class_name": "Ash Wren"}, {"class_id": "2", "class_name": "Oak Wren"}]
    write_csv(folder / "classes.csv", ("class_id", "class_name"), names)
    features = np.array([[1.0 if i % 2 == 0 else -1.0, 0.0] for i in range(16)], np.float32)
    features[14], features[15] = features[15].copy(), features[14].copy()
    save_features(folder / "features.safetensors", {"features": features}, [r["image_id"] for r in rows], BACKBONE, {})
    weight = np.array([[[1, 0], [-1, 0]]] * 3, np.float32)
    save_tensors(folder / "ratio-50.safetensors", {"weight": weight, "bias": np.zeros((3, 2), np.float32)}, {})
    cell = planted_cell("none", 50, accuracy=[75.0, 75.0, 75.0]) | changes
    (folder / "ratio-50.json").write_text(json.dumps(cell), encoding="utf-8")
    paths = ("--records", "images.csv"), ("--classes", "classes.csv"), ("--images", "features.safetensors")
    outs = ("--class-accuracy", "by_class.csv"), ("--confusions", "confusions.csv"), ("--cells", "ratio-50.json")
    return [word for name, file in (*paths, *outs) for word in (name, str(folder / file))]


def test_the_tables_have_a_row_per_class_and_per_pair(tmp_path: Path):
    main(plant(tmp_path))
    by_class = read_csv(tmp_path / "by_class.csv", tuple(CLASS_FORMATS))
    assert [(r["class_name"], r["accuracy_mean"], r["test_images"]) for r in by_class] == [
        ("Ash Wren", "75.00", "4"),
        ("Oak Wren", "75.00", "4"),
    ]
    # Half of the eight training images are kept, class by class.
    assert [r["images"] for r in by_class] == ["2", "2"]
    (pair,) = read_csv(tmp_path / "confusions.csv", tuple(CONFUSION_FORMATS))
    assert (pair["class_name"], pair["taken_for_name"], pair["percent"], pair["image_id"]) == (
        "Ash Wren",
        "Oak Wren",
        "25.00",
        "14",
    )


def test_the_mean_over_classes_is_the_cells_accuracy(tmp_path: Path):
    main(plant(tmp_path))
    by_class = read_csv(tmp_path / "by_class.csv", tuple(CLASS_FORMATS))
    assert np.mean([float(row["accuracy_mean"]) for row in by_class]) == 75


def test_weights_of_another_run_are_refused(tmp_path: Path):
    with pytest.raises(SystemExit, match=r"gives 75\.00% on the test images, and .* says 90\.00%"):
        main(plant(tmp_path, accuracy=[90.0, 90.0, 90.0]))
    assert not (tmp_path / "by_class.csv").exists()


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: (folder / "ratio-50.safetensors").unlink(), "is not there"),
        (lambda folder: (folder / "ratio-50.safetensors").write_bytes(b"x"), "not a whole feature file"),
        (
            lambda folder: save_tensors(
                folder / "ratio-50.safetensors",
                {"weight": np.zeros((3, 5, 2), np.float32), "bias": np.zeros((3, 5), np.float32)},
                {},
            ),
            "do not fit its cell",
        ),
    ],
    ids=["missing", "damaged", "misshapen"],
)
def test_weights_that_cannot_be_used_are_named(tmp_path: Path, damage: Any, says: str):
    argv = plant(tmp_path)
    damage(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(argv)
    assert "ratio-50" in str(stopped.value) and says in str(stopped.value)


def test_a_classifier_of_another_form_is_left_out(tmp_path: Path):
    argv = plant(tmp_path)
    save_tensors(tmp_path / "ratio-50.safetensors", {"keys": np.zeros((3, 2), np.float32)}, {})
    main(argv)
    assert read_csv(tmp_path / "by_class.csv", tuple(CLASS_FORMATS)) == []
