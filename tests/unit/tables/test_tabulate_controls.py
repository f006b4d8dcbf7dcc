"""Text sources beside their controls, on planted cells: a gain is the text's own only above family and random words."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fieldguide.core.significance import holm
from fieldguide.tables.differences import find_differences
from fieldguide.tables.results import read_cells
from fieldguide.tables.tabulate_controls import GAIN, decide, main
from tests.tiny_data import refusal
from tests.unit.planted_cells import plant, planted_cell

SEEDS = [0, 1, 2, 3, 4]
CONTROLS = {
    "llm-family": ("llm", "family"),
    "llm-words": ("llm", "random-words"),
    "llm-shuffled": ("llm", "shuffled"),
}
# By ratio and source: what each reaches, with a little noise of its own per seed.
LEVELS = {
    10: {"none": 60, "llm": 70, "llm-family": 66, "llm-words": 61, "llm-shuffled": 58, "reed": 65},
    30: {"none": 70, "llm": 74, "llm-family": 74, "llm-words": 71, "llm-shuffled": 70, "reed": 72},
    50: {"none": 80, "llm": 80, "llm-family": 80, "llm-words": 78, "llm-shuffled": 77, "reed": 80},
    0: {"llm": 50, "llm-family": 40, "llm-words": 20, "llm-shuffled": 10, "reed": 45},
}


def planted() -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    return [
        planted_cell(
            source,
            percent,
            seeds=SEEDS,
            accuracy=[level + float(noise) for noise in rng.normal(0, 0.05, 5)],
            distinct_images=[percent] * 5,
            distinct_texts=[0 if source == "none" else 100 - percent] * 5,
        )
        for percent, levels in LEVELS.items()
        for source, level in levels.items()
    ]


def tabulate(folder: Path, controls: dict[str, tuple[str, str]] = CONTROLS) -> tuple[list[dict[str, str]], str]:
    settings = json.dumps({"dataset": "toy", "controls": controls})
    out = ["--csv", str(folder / "controls.csv"), "--md", str(folder / "controls.md")]
    main(["--cells", *plant(folder / "cells", planted()), "--settings", settings, *out])
    with (folder / "controls.csv").open(newline="") as stream:
        return list(csv.DictReader(stream)), (folder / "controls.md").read_text()


def test_a_gain_is_the_texts_own_only_above_family_and_random_words(tmp_path: Path) -> None:
    rows, page = tabulate(tmp_path)
    assert {row["text_source"] for row in rows} == {"llm"}  # reed has no control
    verdicts = {row["image_percent"]: row["verdict"] for row in rows}
    assert verdicts == {"10": "own", "30": "not above family", "50": "no gain", "0": "own"}
    by_kind = {row["against"]: row for row in rows if row["image_percent"] == "10"}
    assert set(by_kind) == {GAIN, "family", "random-words", "shuffled"}
    differences = {kind: float(row["difference_mean"]) for kind, row in by_kind.items()}
    expected = {GAIN: 10, "family": 4, "random-words": 9, "shuffled": 12}
    assert differences == pytest.approx(expected, abs=0.2)
    assert by_kind["family"]["control_source"] == "llm-family" and by_kind[GAIN]["control_source"] == "none"
    assert [row["control_source"] for row in rows[:4]] == ["none", *CONTROLS]  # as the configuration has them
    assert "## llm, thesis: " in page and "The text's own at 2 of 4 ratios." in page
    gains = {kind: row["control_gain_mean"] for kind, row in by_kind.items()}
    assert gains.pop(GAIN) == ""
    assert {kind: float(gain) for kind, gain in gains.items()} == pytest.approx(
        {"family": 6, "random-words": 1, "shuffled": -2}, abs=0.2
    )
    (line,) = [line for line in page.splitlines() if line.startswith("| 0:100")]
    assert line.count("\N{EN DASH}") == 1 + 3  # no gain of own text or of a control at no images


def test_the_correction_is_over_the_differences_of_the_table_alone(tmp_path: Path) -> None:
    rows, _ = tabulate(tmp_path)
    assert len(rows) == 3 * 4 + 3  # neither reed's differences nor those between controls
    pairs = find_differences(read_cells(plant(tmp_path / "again", planted()))).to_dict("records")
    sides = [{row["first_text_source"], row["second_text_source"]} for row in pairs]
    alone = [row["p"] for row, two in zip(pairs, sides, strict=True) if "llm" in two and two & {"none", *CONTROLS}]
    assert sorted(float(row["p_holm"]) for row in rows) == pytest.approx(sorted(holm(alone)), rel=1e-2)


def test_own_text_has_to_beat_each_of_two_controls_of_a_kind(tmp_path: Path) -> None:
    rows, page = tabulate(tmp_path, {"llm-words": ("llm", "random-words"), "llm-family": ("llm", "random-words")})
    verdicts = {row["image_percent"]: row["verdict"] for row in rows}
    assert verdicts == {"10": "own", "30": "not above random-words", "50": "no gain", "0": "own"}
    assert "own less random-words (llm-family)" in page and "own less random-words (llm-words)" in page


def test_without_a_control_that_decides_nothing_is_decided(tmp_path: Path) -> None:
    rows, page = tabulate(tmp_path, {"llm-shuffled": ("llm", "shuffled")})
    verdicts = {row["image_percent"]: row["verdict"] for row in rows}
    assert verdicts == {"10": "not decided", "30": "not decided", "50": "no gain", "0": "not decided"}
    assert "(none is configured)" in page


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([(GAIN, 1, True), ("family", 1, True), ("random-words", 1, True)], "own"),
        ([(GAIN, 1, True), ("family", 1, False), ("random-words", 1, True)], "not above family"),
        ([(GAIN, 1, True), ("family", -1, True), ("random-words", 0, None)], "not above family and random-words"),
        ([(GAIN, -1, True), ("family", 1, True)], "no gain"),
        ([(GAIN, 1, True), ("random-words", 1, True)], "own"),
        ([(GAIN, 1, True), ("name-only", 1, True)], "not decided"),
    ],
)
def test_verdicts(rows: list[tuple[str, float, bool | None]], verdict: str) -> None:
    named = [dict(zip(("against", "difference_mean", "significant"), row, strict=True)) for row in rows]
    assert decide([{**row, "image_percent": 10} for row in named]) == verdict


def test_no_gain_is_own_that_was_not_measured() -> None:
    beaten = {"against": "family", "difference_mean": 1, "significant": True}
    assert decide([{**beaten, "image_percent": 10}]) == "not decided"
    assert decide([{**beaten, "image_percent": 0}]) == "own"


def test_no_control_is_refused(tmp_path: Path) -> None:
    out = ["--csv", str(tmp_path / "c.csv"), "--md", str(tmp_path / "c.md"), "--settings", '{"dataset": "toy"}']
    assert "names no control" in refusal(main, "--cells", *plant(tmp_path / "cells", planted()), *out)
