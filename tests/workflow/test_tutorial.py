"""The tutorial's commands run as they stand in it, one after another, in a fresh copy of the checkout."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workflow_runs import ROOT, copy_checkout, environment

pytestmark = [pytest.mark.workflow, pytest.mark.slow]

TUTORIAL = ROOT / "docs" / "tutorial.md"
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks() -> list[tuple[str, str]]:
    """Every block of the tutorial, as its info string and its commands."""
    return FENCE.findall(TUTORIAL.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What every block said, by its commands; each block but the first needs the environment activated, as the first
    one does. A block marked `fails` has to."""
    if not Path(sys.prefix, "bin", "activate").is_file():
        pytest.skip("the tests do not run in a virtual environment")
    folder = copy_checkout(tmp_path_factory.mktemp("tutorial") / "fieldguide")
    shutil.copytree(ROOT / "docs", folder / "docs")
    (folder / ".venv").symlink_to(sys.prefix)
    found: dict[str, str] = {"folder": str(folder)}
    for info, commands in blocks():
        script = f"set -eo pipefail\nsource .venv/bin/activate\n{commands}"
        answer = subprocess.run(
            ["bash", "-c", script],
            cwd=folder,
            env=environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        assert (answer.returncode != 0) == (info == "bash fails"), f"{commands}\n{answer.stdout[-6000:]}"
        found[commands] = answer.stdout
    yield found


def of(said: dict[str, str], words: str) -> str:
    """What the one block that holds these words said."""
    (answer,) = (text for commands, text in said.items() if words in commands)
    return answer


def test_every_block_is_of_commands() -> None:
    infos = [info for info, _ in blocks()]
    assert set(infos) == {"bash", "bash fails"} and len(infos) >= 10


def test_the_first_block_makes_what_the_others_assume() -> None:
    assert blocks()[0][1].startswith("source .venv/bin/activate\n")


def test_the_mistake_is_told_as_the_tutorial_says(said: dict[str, str]) -> None:
    (answer,) = (text for commands, text in said.items() if commands == blocks_marked("bash fails")[0])
    assert "names that are no class of the data set (1): Melrose Cragwern [perhaps Melrose Cragwren]" in answer
    assert "import_texts" in answer and "Traceback" not in answer


def blocks_marked(mark: str) -> list[str]:
    return [commands for info, commands in blocks() if info == mark]


def test_there_is_a_table_of_every_cell(said: dict[str, str]) -> None:
    path = Path(said["folder"], "results/my-birds/tables/accuracy.csv")
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    cells = {(row["recipe"], row["image_percent"], row["text_source"]) for row in rows}
    assert (
        ("anchored", "20", "my-guide") in cells
        and ("thesis", "100", "none") in cells
        and ("thesis", "0", "my-guide") in cells
    )
    assert float(next(r["accuracy_mean"] for r in rows if r["image_percent"] == "100" and r["recipe"] == "thesis")) > 60
    assert "100:0" in of(said, "fieldguide print_table")


def test_a_second_start_does_nothing_and_a_seed_more_little(said: dict[str, str]) -> None:
    answer = of(said, "seeds: [0, 1, 2, 3]/")
    assert answer.count("Nothing to be done") == 1
    planned = answer.rpartition("Job stats:")[2]
    assert "train_adapter" in planned and "encode_images" not in planned and "tune_adapter" not in planned


def test_birds_are_named_and_another_picture_is_out_of_domain(said: dict[str, str]) -> None:
    named = of(said, "test/*/23.png")
    assert named.count("%") > 12 and "my-guide)" in named
    figure = json.loads(next(line for line in of(said, "docs/birds.png").splitlines() if line.startswith("{")))
    assert figure["out_of_domain"] is True
    names = Path(said["folder"], "data/names.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(names) == 32 and "\n32\n" in of(said, "wc -l")
    right = [a["classes"][0]["class_name"] in a["photograph"] for a in map(json.loads, names)]
    assert sum(right) > 0.6 * len(right)
    assert "Morrow Mirefinch (class" in of(said, "fieldguide show --list") or "Morrow Mirefinch" in of(said, "show 2")
    assert "data/damaged.png: does not decode" in of(said, "data/damaged.png data/my-birds")
