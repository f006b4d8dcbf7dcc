"""Photographs named with a finished run: as the run itself scored them, and real ones told from rendered ones."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.workflow_runs import ROOT, environment

pytestmark = pytest.mark.workflow

REAL = Path(os.environ.get("FIELDGUIDE_REAL_DATA", ROOT / ".." / "shared" / "real")) / "CUB_200_2011.tgz"


def fieldguide(folder: Path, *argv: str | Path) -> subprocess.CompletedProcess[str]:
    """The `fieldguide` command, in a folder that holds results."""
    command = [sys.executable, "-m", "fieldguide.cli", *map(str, argv)]
    return subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=300)


def named(folder: Path, *argv: str | Path) -> list[dict[str, Any]]:
    """What `fieldguide classify --json` says of photographs."""
    answer = fieldguide(folder, "classify", *argv, "--json", "--threads", "1")
    assert answer.returncode == 0, answer.stderr
    return [json.loads(line) for line in answer.stdout.splitlines()]


def test_photographs_are_named_as_the_run_scored_them(finished: Path) -> None:
    """Every image of the run, through the whole command: the test images' accuracy is that of the cell's JSON."""
    results = finished / "results/tiny"
    with (results / "records/images.csv").open(encoding="utf-8", newline="") as stream:
        images = {row["path"]: row for row in csv.DictReader(stream)}
    (cell,) = results.glob("adapters/*/none/thesis/*/none/class-wise/fixed/ratio-100.json")
    store = Path("results/tiny/unpacked/cub")
    told = named(finished, store / "images", "--checkpoint", cell.relative_to(finished), "--top", "1")
    assert len(told) == len(images)
    right: dict[str, list[bool]] = {"train": [], "test": []}
    outside: dict[str, list[bool]] = {"train": [], "test": []}
    for answer in told:
        row = images[Path(answer["photograph"]).relative_to(store).as_posix()]
        right[row["split"]].append(answer["classes"][0]["class_id"] == row["class_id"])
        outside[row["split"]].append(answer["out_of_domain"])
    scored = json.loads(cell.read_text(encoding="utf-8"))["accuracy"]
    # The seeds' layers are asked together, so that a photograph or two may come out otherwise than for each alone.
    share = 100 * sum(right["test"]) / len(right["test"])
    assert min(scored) - 6 <= share <= max(scored) + 6
    assert sum(outside["test"]) <= 0.25 * len(outside["test"]), "renders of the same kind are inside"
    assert not any(outside["train"]), "a training image lies at no distance from itself"


def test_sentences_and_classes_of_the_guide(finished: Path) -> None:
    photograph = next((finished / "results/tiny/unpacked/cub/images").rglob("*.jpg"))
    (told,) = named(finished, photograph, "--texts", "reed", "aviary-llm", "--sentences", "5")
    assert len(told["classes"]) == len(told["sentences"]) == 5
    for sentence in told["sentences"]:
        answer = fieldguide(finished, "show", sentence["class_name"], "--json")
        texts = json.loads(answer.stdout)["texts"][sentence["source"]]
        assert sentence["text"] in [text["text"] for text in texts]


def test_a_misspelt_class_and_a_damaged_photograph(finished: Path, tmp_path: Path) -> None:
    listed = fieldguide(finished, "show", "--list").stdout.split("\n")[0].split(None, 1)[1]
    typo = fieldguide(finished, "show", listed.replace("e", "ee", 1))
    assert typo.returncode == 1 and f"did you mean {listed}" in typo.stderr and "Traceback" not in typo.stderr
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8 no more")
    answer = fieldguide(finished, "classify", tmp_path / "bad.jpg")
    assert answer.returncode == 3 and f"{tmp_path / 'bad.jpg'}: does not decode" in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.real
def test_real_photographs_are_out_of_the_domain_of_rendered_ones(finished: Path, tmp_path: Path) -> None:
    if not REAL.is_file():
        pytest.skip(f"no {REAL}; FIELDGUIDE_REAL_DATA names the folder")
    with tarfile.open(REAL) as archive:
        photographs = [member for member in archive.getmembers() if member.name.endswith(".jpg")][::4]
        archive.extractall(tmp_path, photographs, filter="data")
    told = named(finished, tmp_path, "--sentences", "0")
    assert len(told) == len(photographs) > 50
    outside = [answer["out_of_domain"] for answer in told]
    assert sum(outside) >= 0.7 * len(outside)
