"""What is said when a run ends, and by a rule's shell."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

from fieldguide.core.stage import ERRORS
from fieldguide.run.hooks import KILLED_MESSAGE, end_run, shell_prefix
from fieldguide.run.logger import LogFollower, current_progress, followed
from fieldguide.run.progress import RunProgress
from fieldguide.run.stopping import state
from tests.unit.run.events import fail, make_record

WORKFLOW = SimpleNamespace(executor_plugin=SimpleNamespace(name="local"))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "benchmarks" / "train" / "a.tsv"
    path.parent.mkdir(parents=True)
    path.write_text("s\th:m:s\n30.0\t0:00:30\n")
    return tmp_path


def test_the_page_is_written_however_the_run_ended(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for is_success, is_stopped, words in (
        (True, False, "finished"),
        (False, False, "failed"),
        (False, True, "was stopped"),
    ):
        monkeypatch.setattr(state, "stop_requested", is_stopped)
        monkeypatch.setattr(followed, "follower", LogFollower(RunProgress()))
        files = [Path("config/tiny.yaml").resolve()]
        current_progress().update(make_record(LogEvent.WORKFLOW_STARTED, configfiles=files))
        if not is_success:
            current_progress().update(fail(1, "train", "logs/train/a.log"))
        end_run(WORKFLOW, results, Path("/nowhere"), {"a": 1}, is_success)
        text = (results / "run.md").read_text()
        assert f"The run {words}. It started" in text and "(config/tiny.yaml)" in text
        assert ("- train, logs/train/a.log" in text) is not is_success


def test_a_page_that_cannot_be_written_is_told_and_harms_nothing(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(logger, "warning", told.append)
    end_run(WORKFLOW, results / "benchmarks/train/a.tsv", Path("/nowhere"), {}, True)
    (sentence,) = told
    assert "run.md was not written: " in sentence


@pytest.mark.parametrize(
    ("code", "status", "words"), [("os.kill(os.getpid(), 9)", 137, KILLED_MESSAGE), ("sys.exit(1)", 1, "")]
)
def test_a_stage_that_is_killed_outright_is_told_by_its_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, status: int, words: str
) -> None:
    for name in (ERRORS, "FIELDGUIDE_KILLED"):
        monkeypatch.setenv(name, "")
    command = f"set -euo pipefail; {shell_prefix()}{sys.executable} -c 'import os, sys; {code}' &>{tmp_path / 'log'}"
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert answer.returncode == status
    assert (KILLED_MESSAGE in answer.stderr) is bool(words)
    assert KILLED_MESSAGE not in command  # which Snakemake shows whenever a job fails
