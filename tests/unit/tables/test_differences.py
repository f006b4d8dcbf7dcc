"""Differences between columns on planted cells: which pairs, significant or not, marked, and said in words."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fieldguide.tables.differences import DIFFERENCE_FORMATS, describe_pair, find_differences, mark_cells
from fieldguide.tables.results import format_frame, read_cells
from fieldguide.tables.tabulate_accuracy import main
from tests.unit.planted_cells import plant, planted_cell

SEEDS = [0, 1, 2, 3, 4]
# The same seeds draw the same images, so all columns go up and down together; what is left is a little noise.
TOGETHER = (0.0, 2.0, -1.5, 1.0, -1.5)
NOISE = {"none": (0.1, -0.1, 0.05, -0.05, 0), "reed": (0, 0.1, -0.1, 0.05, -0.05), "llm": (-0.1, 0, 0.1, 0, 0.05)}


def noisy(source: str, percent: int, level: float, **changes: Any) -> dict[str, Any]:
    accuracy = [level + t + n for t, n in zip(TOGETHER, NOISE[source], strict=True)]
    counts = {"distinct_images": [percent] * 5, "distinct_texts": [0 if source == "none" else 100 - percent] * 5}
    return planted_cell(source, percent, seeds=SEEDS, accuracy=accuracy, **(counts | changes))


def planted() -> list[dict[str, Any]]:
    """Human text like image only at 50% and 3 points below at 10%; LLM text like human at both."""
    levels = {("none", 50): 80, ("reed", 50): 80, ("llm", 50): 80, ("none", 10): 66, ("reed", 10): 63, ("llm", 10): 63}
    return [noisy(source, percent, level) for (source, percent), level in levels.items()]


def cells_of(folder: Path, planted: list[dict[str, Any]]) -> pd.DataFrame:
    return read_cells(plant(folder / "cells", planted))


def by_pair(differences: pd.DataFrame) -> dict[tuple[str, str, float], Any]:
    return {(d.first_text_source, d.second_text_source, d.image_percent): d for d in differences.itertuples()}


def test_planted_differences_are_found_and_no_others(tmp_path: Path) -> None:
    found = by_pair(find_differences(cells_of(tmp_path, planted())))
    pairs = [("reed", "llm"), ("reed", "none"), ("llm", "none")]
    assert set(found) == {(*pair, ratio) for pair in pairs for ratio in (50, 10)}
    assert {key for key, d in found.items() if d.significant} == {("reed", "none", 10), ("llm", "none", 10)}
    below = found["reed", "none", 10]
    assert below.difference_mean == pytest.approx(-3.0)
    assert below.difference_ci95 < 0.3, "paired: what the seeds share does not widen the interval"
    assert below.tests == 6
    assert below.p <= below.p_holm <= 6 * below.p


def test_marks_say_what_is_alike(tmp_path: Path) -> None:
    cells = cells_of(tmp_path, planted())
    marks = mark_cells(find_differences(cells))
    told = {(c.text_source, c.image_percent): marks.get(c.path, "") for c in cells.itertuples()}
    assert told == {
        ("none", 50): "",
        ("reed", 50): "†",
        ("llm", 50): "†‡",
        ("none", 10): "",
        ("reed", 10): "",
        ("llm", 10): "‡",
    }


def test_a_further_recipe_is_held_against_both_controls_and_changes_no_mark(tmp_path: Path) -> None:
    before = find_differences(cells_of(tmp_path / "thesis", planted()))
    more = [noisy("reed", p, 82, recipe="anchored") for p in (50, 10)]
    more += [noisy("none", p, 81, recipe="anchored-image-only") for p in (50, 10)]
    more += [noisy("reed", p, 30, recipe="tip-adapter") for p in (50, 10)]
    after = find_differences(cells_of(tmp_path / "more", [*planted(), *more]))
    is_old = (after["first_recipe"] == "thesis") & (after["second_recipe"] == "thesis")
    same = [column for column in after.columns if column not in ("first_path", "second_path")]
    same = [column for column in same if not column.endswith(("place", "lower", "upper", "family"))]
    pd.testing.assert_frame_equal(after.loc[is_old, same].reset_index(drop=True), before[same])
    pairs = {
        (d.comparison, d.first_recipe, d.second_recipe, d.first_text_source, d.second_text_source)
        for d in after[~is_old & (after["image_percent"] == 10)].itertuples()
    }
    assert pairs == {
        ("text and image only", "anchored", "anchored-image-only", "reed", "none"),
        ("text and image only", "anchored", "thesis", "reed", "none"),
        ("recipes", "anchored", "thesis", "reed", "reed"),
        ("recipes", "anchored-image-only", "thesis", "none", "none"),
    }


def test_variants_are_not_mixed(tmp_path: Path) -> None:
    cells = [*planted(), noisy("reed", 50, 70, sampling="global"), noisy("none", 50, 75, redraw="per-epoch")]
    read = cells_of(tmp_path, cells)
    variants = {cell.path: (cell.sampling, cell.redraw) for cell in read.itertuples()}
    for d in find_differences(read).itertuples():
        assert variants[d.first_path] == variants[d.second_path] == (d.sampling, d.redraw) == ("class-wise", "fixed")


def test_one_seed_tells_nothing(tmp_path: Path) -> None:
    one = {"seeds": [0], "accuracy": [80.0], "distinct_images": [5], "distinct_texts": [0]}
    cells = [planted_cell("none", 50, **one), planted_cell("reed", 50, **one)]
    difference = find_differences(cells_of(tmp_path, cells))
    (line,) = format_frame(difference, DIFFERENCE_FORMATS)
    assert difference["significant"].tolist() == [None] and mark_cells(difference) == {}
    assert line["p_holm"] == line["significant"] == ""
    assert describe_pair(difference, "human", "images") == (
        "human minus images: +0.00 points at ratio 50:50. One seed, so nothing can be said about chance."
    )


def test_what_may_go_unseen_is_told_over_the_ratios_where_the_columns_differ(tmp_path: Path) -> None:
    """A cell that its text does not touch is its control to the last digit: no sensitivity can be read off it."""
    columns = {"none": {50: 0.0, 10: 0.0}, "reed": {50: 0.0, 10: 1.0}}
    cells = [
        planted_cell(source, percent, seeds=SEEDS, accuracy=[80 + t + gain * (1 + 0.1 * t) for t in TOGETHER])
        | {"distinct_images": [1] * 5, "distinct_texts": [int(source == "reed")] * 5}
        for source, gains in columns.items()
        for percent, gain in gains.items()
    ]
    both = find_differences(cells_of(tmp_path, cells))
    same, other = both.itertuples()
    assert (same.difference_ci95, same.detectable) == (0, 0) and other.detectable
    assert f"differences below {other.detectable:.2f} points may go unseen" in describe_pair(both, "a", "b")
    assert describe_pair(both[:1], "a", "b").endswith("Every 95% interval lies within ±0.00 points.")


def test_the_page_answers_and_the_csv_holds_the_tests(tmp_path: Path) -> None:
    outputs = [word for name in ("csv", "md", "tex", "html") for word in (f"--{name}", str(tmp_path / f"a.{name}"))]
    paths = plant(tmp_path / "cells", planted())
    main(
        [
            "--cells",
            *paths,
            "--settings",
            '{"dataset": "tiny"}',
            *outputs,
            "--differences",
            str(tmp_path / "differences.csv"),
        ]
    )
    page = (tmp_path / "a.md").read_text(encoding="utf-8")
    assert (
        "- Marks: † does not differ significantly from its recipe's image only on the same images; ‡ does not differ"
        in page
    )
    assert [line.count("‡") for line in page.splitlines() if line.startswith(("| 50:50 |", "| 10:90 |"))] == [
        1,
        1,
        0,
        0,
    ]
    (answer,) = [line for line in page.splitlines() if line.startswith("human (Reed) minus llm")]
    assert "points at 2 ratios (50:50 to 10:90); significant at none of 2. Every 95% interval lies within ±0." in answer
    assert re.search(r"with 5 seeds differences below 0\.\d\d to 0\.\d\d points, by ratio, may go unseen\.$", answer)
    assert r"$\dagger$$\ddagger$" in (tmp_path / "a.tex").read_text(encoding="utf-8")
    assert "†‡" in (tmp_path / "a.html").read_text(encoding="utf-8")
    with (tmp_path / "differences.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == tuple(DIFFERENCE_FORMATS) and len(rows) == 6
    first = rows[0]
    assert (first["comparison"], first["first_text_source"], first["second_text_source"]) == (
        "text and image only",
        "reed",
        "none",
    )
    assert {row["significant"] for row in rows if row["image_percent"] == "50"} == {"no"}


def test_baselines_stand_below_in_a_table_of_their_own(tmp_path: Path) -> None:
    more = [noisy("reed", 0, 40, recipe="zs-text"), noisy("reed", 10, 55, recipe="tip-adapter")]
    outputs = [word for name in ("csv", "md", "tex", "html") for word in (f"--{name}", str(tmp_path / f"a.{name}"))]
    main(["--cells", *plant(tmp_path / "cells", [*planted(), *more]), "--settings", '{"dataset": "tiny"}', *outputs])
    page = (tmp_path / "a.md").read_text(encoding="utf-8")
    main_table, below = page.split("## Baselines: sampling class-wise, redraw fixed")
    assert "zs-text" not in main_table.split("## ")[1]
    assert "| baseline | 10:90 | 0:100 |" in below
    assert "| tip-adapter, human (Reed) | 55.00 ± 2.01 | – |" in below
    assert "| zs-text, human (Reed) | – | 40.00" in below
