"""`make real-features`: what it runs, and what it says where there is nothing to measure on."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

ROOT = Path(__file__).parents[3]


def run(tmp_path: Path, *args: str, script: str = "text_bound") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"FIELDGUIDE_REAL_DATA": str(tmp_path / "nothing here")}
    command = [sys.executable, f"benchmarks/{script}.py", *args]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def write_features(path: Path, classes: int = 4, images: int = 6, width: int = 8, **other: np.ndarray) -> Path:
    """Classes far apart, whose texts are their means."""
    rng = np.random.default_rng(0)
    means = np.eye(classes, width)
    labels = np.repeat(np.arange(classes), images)
    train, test = ((means[labels] + rng.normal(0, 0.1, (len(labels), width))).astype(np.float16) for _ in range(2))
    arrays = {"train": train, "train_labels": labels, "test": test, "test_labels": labels, "text": means}
    save_file(arrays | other, path)
    return path


def test_the_target_runs_the_bound() -> None:
    command = ["make", "-n", "-o", ".venv/.installed", "real-features", "RESULTS=results/mine", "SOURCES=my-llm"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "benchmarks/text_bound.py" in printed
    assert '--results "results/mine" --sources my-llm' in printed


@pytest.mark.parametrize("script", ["text_bound", "dose_response"])
def test_without_real_features_it_is_skipped_in_a_sentence(tmp_path: Path, script: str) -> None:
    done = run(tmp_path, script=script)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith(f"Skipped: {tmp_path / 'nothing here'} has none of pets24_clip_vitb32.safetensors")


def test_features_of_the_users_own_get_a_row_per_cell_the_worst_first(tmp_path: Path) -> None:
    path = write_features(tmp_path / "mine.safetensors")
    done = run(tmp_path, "--features", str(path), "--seeds", "1", "--texts", "good", "all swapped")
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("            mine ")]
    # 100% of the images without text; with texts ten shares, all texts beside three, and 1, 2, 3 a class; twice.
    assert len(rows) == 1 + 2 * 16
    distances = [float(row.split()[-1]) for row in rows]
    assert distances == sorted(distances)
    assert f"33 cells; worst {distances[0]:+.2f}" in done.stdout


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"train_labels": np.full(24, 4)}, "train_labels must be from 0 to 3, a row of text each"),
        ({"test": np.zeros((24, 3))}, "test (24, 3) fits neither test_labels nor text (4, 8)"),
    ],
)
def test_features_that_do_not_fit_are_one_sentence(
    tmp_path: Path, arrays: dict[str, np.ndarray], sentence: str
) -> None:
    path = write_features(tmp_path / "mine.safetensors", **arrays)
    done = run(tmp_path, "--features", str(path))
    assert (done.returncode, done.stderr) == (1, f"{path}: {sentence}\n")


@pytest.mark.parametrize("option", ["--features", "--results"])
def test_what_is_named_and_not_there_is_no_reason_to_skip(tmp_path: Path, option: str) -> None:
    done = run(tmp_path, option, str(tmp_path / "missing"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"{tmp_path / 'missing'}: no ")
    assert done.stderr.count("\n") == 1


def test_dose_and_response(tmp_path: Path) -> None:
    """Planted: with the texts as they are they help at few images; once all are swapped discriminant analysis falls."""
    path = write_features(tmp_path / "mine.safetensors")
    table, figure = tmp_path / "dose.csv", tmp_path / "dose.svg"
    done = run(
        tmp_path, "--features", str(path), "--seeds", "1", "--methods", "anchored", "zs-text+gda", "--out", str(table),
        "--figure", str(figure), script="dose_response",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    # 12 doses, three shares of images, two methods.
    assert len(rows) == 12 * 3 * 2
    for row in rows:
        assert float(row["gain"]) == pytest.approx(float(row["accuracy"]) - float(row["image_only"]))
    as_they_are = [row for row in rows if row["texts"] == "none"]
    assert {float(row["zero_shot"]) for row in as_they_are} == {100.0}
    assert {float(row["zero_shot"]) for row in rows if row["texts"] == "random" and row["dose"] == "1.0"} == {0.0}
    assert min(float(row["gain"]) for row in as_they_are) >= 0
    assert figure.read_text().lstrip().startswith("<?xml")
    assert figure.with_suffix(".png").stat().st_size > 1000
    assert "no cell loses more than 0.5 points" in done.stdout


def test_where_does_not_hurt_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from dose_response import find_end

    def cells(*pairs: tuple[float, float]) -> list[dict[str, float]]:
        return [{"zero_shot": zero_shot, "gain": gain} for zero_shot, gain in pairs]

    # A loss at 40% ends it there, whatever is gained below; 0.5 points are none.
    assert find_end(cells((90, 1), (60, -0.5), (40, -0.6), (20, 3))) == 60
    assert find_end(cells((90, 1), (20, 0))) == 20
    assert find_end(cells((90, -1), (20, 0))) == float("inf")
