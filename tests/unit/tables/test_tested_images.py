"""Differences and their intervals where the cells keep which test images they name rightly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldguide.adapters.correctness import Bools, correctness_path
from fieldguide.tables.compare_recipes import main as compare_recipes
from fieldguide.tables.differences import (
    DIFFERENCE_FORMATS,
    find_differences,
    format_legend,
    mark_cells,
    tabulate_differences,
)
from fieldguide.tables.image_worth import find_worth
from fieldguide.tables.results import TrainingImages, format_frame, read_cells
from fieldguide.tables.tabulate_accuracy import main
from fieldguide.tables.tested_images import read_tested_images
from tests.tiny_data import refusal
from tests.unit.planted_cells import plant_runs, planted_cell

IMAGES = 400


def runs(percent: float, spread: float = 0.0) -> Bools:
    """Five seeds that are right on about so many percent of the images, the first ones; without spread all alike."""
    shares = percent / 100 + spread * np.array([0, 1, -1, 0.5, -0.5])
    right: Bools = np.arange(IMAGES) < (shares * IMAGES).round()[:, None]
    return right


def cell(source: str, percent: int, recipe: str = "thesis") -> dict[str, Any]:
    counts = {"distinct_images": [percent] * 5, "distinct_texts": [int(source != "none")] * 5}
    return planted_cell(source, percent, seeds=[0, 1, 2, 3, 4], recipe=recipe, **counts)


def test_seeds_that_agree_are_no_certainty(tmp_path: Path) -> None:
    """Equal in all five seeds, two images apart: the t test over seeds gave p = 0."""
    cells = read_cells(plant_runs(tmp_path, [(cell("none", 50), runs(80)), (cell("reed", 50), runs(80.5))]))
    (over_seeds,) = find_differences(cells).itertuples()
    assert over_seeds.difference_mean == 0.5 and np.isnan(over_seeds.p) and over_seeds.significant is None
    (found,) = find_differences(cells, read_tested_images(cells)).itertuples()
    assert found.p_seeds_images == pytest.approx(0.157, abs=0.03) and found.significant is False
    assert found.difference_ci95 == 0 and found.difference_ci95_seeds_images == pytest.approx(0.69, abs=0.05)


def test_the_same_predictions_are_no_comparison(tmp_path: Path) -> None:
    planted = [(cell("none", p), runs(p / 5 + 60, 0.02)) for p in (50, 30, 10)]
    planted += [
        (cell("reed", 50), runs(70, 0.02)),
        (cell("reed", 30), runs(66.25, 0.01)),
        (cell("reed", 10), runs(52, 0.02)),
    ]
    cells = read_cells(plant_runs(tmp_path, planted))
    tested = read_tested_images(cells)
    differences = find_differences(cells, tested)
    same, near, apart = differences.sort_values("image_percent", ascending=False).itertuples()
    assert (same.same_predictions, near.same_predictions, apart.same_predictions) == (True, False, False)
    assert same.significant is None and np.isnan(same.p_holm) and np.isnan(same.detectable)
    assert [d.tests for d in (same, near, apart)] == [2, 2, 2], "it is in no family"
    assert apart.p_holm == pytest.approx(2 * apart.p_seeds_images) and apart.significant
    marks = mark_cells(differences)
    assert {c.image_percent: marks.get(c.path, "") for c in cells.itertuples() if c.text_source == "reed"} == {
        50: "=",
        30: "†",
        10: "",
    }
    assert format_legend(marks.values(), differences).startswith("= names every test image as its recipe's image only")
    (table,) = tabulate_differences(differences)
    assert next(row for _, (row,) in table.accuracies.rows) == "="
    assert (
        "95% interval over seeds and the 400 test images, which leaves out what another training" in table.remarks[-1]
    )
    assert "so there is no test, and none is counted" in table.remarks[-1]
    line = format_frame(differences, DIFFERENCE_FORMATS)[0]
    assert (line["same_predictions"], line["p_holm"], line["n_test_images"]) == ("yes", "", "400")


def test_recipes_side_by_side_hold_images_and_count_no_control_against_itself(tmp_path: Path) -> None:
    planted = [(cell("none", p), runs(60 + p / 5, 0.01)) for p in (90, 10)]
    planted += [(cell("none", p, "anchored-image-only"), runs(62 + p / 5, 0.01)) for p in (90, 10)]
    planted += [(cell("reed", 90, "anchored"), runs(80, 0.01)), (cell("reed", 10, "anchored"), runs(60, 0.0))]
    outputs = ["--csv", str(tmp_path / "r.csv"), "--md", str(tmp_path / "r.md")]
    compare_recipes(["--cells", *plant_runs(tmp_path, planted), "--settings", '{"dataset": "tiny"}', *outputs])
    page = (tmp_path / "r.md").read_text(encoding="utf-8")
    (row,) = [line for line in page.splitlines() if line.startswith("| 90:10 | +2.00 ±")]
    assert row.endswith(" | = |")
    assert "Of 3 differences from an image-only control on the same images 2 are lower" in page
    assert "95% interval over seeds and the 400 test images" in page and "=: the very predictions" in page


def test_what_holds_more_is_never_surer(tmp_path: Path) -> None:
    planted = [(cell("none", p), runs(60 + p / 5, 0.01)) for p in (90, 50, 10)]
    planted += [(cell("reed", p), runs(62 + p / 6, 0.04)) for p in (90, 50, 10)]
    cells = read_cells(plant_runs(tmp_path, planted))
    found = find_differences(cells, read_tested_images(cells))
    assert (found["difference_ci95_seeds_images"] >= found["difference_ci95"]).all()
    assert (found["p_seeds_images"] >= found["p"]).all()


def test_worth_has_an_interval_over_images_too(tmp_path: Path) -> None:
    planted = [(cell("none", p), runs(50 + 10 * np.log10(p), 0.01)) for p in (10, 50, 100)]
    planted += [(cell("reed", 10), runs(50 + 10 * np.log10(20), 0.01))]
    cells = read_cells(plant_runs(tmp_path, planted))
    (worth,) = find_worth(cells, TrainingImages(300, 10), read_tested_images(cells))[0].itertuples()
    assert worth.images_per_class_saved == pytest.approx(3, abs=0.4)
    assert worth.images_saved == pytest.approx(worth.images_per_class_saved * 10)
    # The accuracies' interval of 1.7 points at 10 points for ten times the images is some 40% of 20% of the images.
    assert worth.images_per_class_saved_ci95 < worth.images_per_class_saved_ci95_seeds_images < 5


def test_seeds_in_any_order_are_paired(tmp_path: Path) -> None:
    right = runs(70, 0.02)
    turned = cell("reed", 50) | {"seeds": [4, 3, 2, 1, 0]}
    paths = plant_runs(tmp_path, [(cell("none", 50), right), (turned, right[::-1])])
    cells = read_cells(paths)
    tested = read_tested_images(cells)
    assert tested is not None and (tested.resampled[paths[0]] == tested.resampled[paths[1]]).all()


def test_what_does_not_fit_is_refused_and_what_is_missing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pair = [(cell("none", 50), runs(80)), (cell("reed", 50), runs(70))]
    paths = plant_runs(tmp_path / "a", pair)
    (other, *_) = plant_runs(tmp_path / "b", pair, images="of another test set ")
    outputs = [word for name in ("csv", "md", "tex", "html") for word in (f"--{name}", str(tmp_path / f"a.{name}"))]
    rest = ["--settings", '{"dataset": "tiny"}', *outputs]
    correctness_path(other).replace(correctness_path(paths[0]))
    assert "tested on other images than" in refusal(main, "--cells", *paths, *rest)
    correctness_path(paths[1]).write_bytes(correctness_path(paths[0]).read_bytes())
    sentence = refusal(main, "--cells", *paths, *rest)
    assert "001-ratio-50.correct.safetensors: is not of the run of" in sentence and "trained again" in sentence
    assert not (tmp_path / "a.csv").exists()
    correctness_path(paths[1]).unlink()
    with caplog.at_level("WARNING", logger="fieldguide"):
        assert read_tested_images(read_cells(paths)) is None
    main(["--cells", *paths, *rest])
    page = (tmp_path / "a.md").read_text(encoding="utf-8")
    assert "over seeds and test images" not in page
    assert "95% t interval over seeds, which leaves out that other test images would give other figures" in page
