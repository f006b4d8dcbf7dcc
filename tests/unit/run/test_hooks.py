"""What is told while a run is at work, and when it ends."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

from fieldguide.core.stage import ERRORS
from fieldguide.run import hooks as run_hooks
from fieldguide.run.hooks import EVERY, KILLED, TimeLeft, end_run, tell_of_kills, time_left


def job(rule: str, threads: int = 1) -> Any:
    return SimpleNamespace(
        rule=SimpleNamespace(name=rule), threads=threads, log=[f"logs/{rule}/a.log"], is_group=lambda: False
    )


class Hashable(SimpleNamespace):
    __hash__ = object.__hash__


def make_workflow(left: list[Any], running: list[Any], failed: list[Any] | None = None, cores: int = 2) -> Any:
    return SimpleNamespace(
        scheduler=SimpleNamespace(remaining_jobs=left, running=running, failed=failed or []),
        resource_settings=SimpleNamespace(cores=cores),
        local_exec=True,
        start_time=datetime.now(),
        executor_plugin=SimpleNamespace(name="local"),
        configfiles=[Path("config/tiny.yaml").resolve()],
    )


def hashable(rule: str) -> Any:
    return Hashable(**vars(job(rule)))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for name, seconds in (("train/a", 30.0), ("train/b", 50.0), ("encode/a", 600.0)):
        path = tmp_path / "benchmarks" / f"{name}.tsv"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"s\th:m:s\n{seconds}\t0:00:01\n")
    return tmp_path


def test_time_left_is_the_work_left_over_the_machine() -> None:
    # Four jobs of 10 s on half the machine each; one has been at work for 4 s and one for too long; a rule that never
    # ran is named.
    left = [("train", 0.5, 0.0), ("train", 0.5, 0.0), ("train", 0.5, 4.0), ("train", 0.5, 99.0), ("tabulate", 0.5, 0.0)]
    assert time_left({"train": 10.0, "encode": 99.0}, left) == (13.0, ["tabulate"])
    assert time_left({}, []) == (0.0, [])


def test_the_sentence(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(run_hooks.time, "monotonic", lambda: clock[0])
    # Means: train 40 s, encode 600 s. On two cores: 3 x 40 / 2 + 600 / 2, and one training half done, 20 / 2.
    left = [hashable("train") for _ in range(3)] + [hashable("encode"), hashable("all")]
    workflow = make_workflow(left, [hashable("train")])
    handler = TimeLeft(workflow, results)
    handler.look()
    clock[0] = 20.0
    assert handler.sentence() == "About 6.2 min left by what jobs took so far (5 jobs)."
    workflow = make_workflow([hashable("train"), hashable("plot")], [])
    assert TimeLeft(workflow, results).sentence() == (
        "About 20.0 s left by what jobs took so far (2 jobs), and what plot will take: not timed yet."
    )
    workflow = make_workflow([hashable(rule) for rule in "abcd"], [])
    assert "and what 4 other rules will take: not timed yet." in TimeLeft(workflow, results).sentence()
    assert TimeLeft(make_workflow([hashable("all")], []), results).sentence() == ""


def test_it_is_told_now_and_then(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, told = [0.0], []
    monkeypatch.setattr(run_hooks.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(logger, "info", told.append)
    handler = TimeLeft(make_workflow([hashable("train")], []), results)
    progress = logging.makeLogRecord({"event": LogEvent.PROGRESS})
    for moment in (1.0, EVERY + 1, EVERY + 2, 2 * EVERY + 2):
        clock[0] = moment
        handler.emit(progress)
    handler.emit(logging.makeLogRecord({"event": LogEvent.JOB_INFO}))
    assert len(told) == 2
    # An estimate that fails harms no run.
    clock[0] = 9 * EVERY
    handler.workflow = None
    handler.emit(progress)
    assert len(told) == 2


def test_it_is_told_too_while_one_job_takes_long(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(logger, "info", told.append)
    monkeypatch.setattr(run_hooks, "EVERY", 0.01)
    monkeypatch.setattr(run_hooks, "SILENCE", 0.05)
    handler = TimeLeft(make_workflow([], [hashable("encode")]), results)
    thread = threading.Thread(target=handler.watch, daemon=True)
    thread.start()
    until = time.monotonic() + 20
    while len(told) < 2:
        assert time.monotonic() < until
        time.sleep(0.01)
    handler.ended.set()
    thread.join(timeout=20)
    assert not thread.is_alive() and "left by what jobs took so far (1 jobs)" in told[0]


def test_the_page_is_written_however_the_run_ended(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for is_success, is_stopped, words in (
        (True, False, "finished"),
        (False, False, "failed"),
        (False, True, "was stopped"),
    ):
        monkeypatch.setattr(run_hooks, "stop_requested", SimpleNamespace(is_set=lambda said=is_stopped: said))
        failed = [] if is_success else [job("train")]
        end_run(make_workflow([], [], failed), results, Path("/nowhere"), {"a": 1}, is_success)
        text = (results / "run.md").read_text()
        assert f"The run {words}. It started" in text and "(config/tiny.yaml)" in text
        assert ("- train, logs/train/a.log" in text) is not is_success


def test_a_page_that_cannot_be_written_is_told_and_harms_nothing(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(logger, "warning", told.append)
    end_run(make_workflow([], []), results / "benchmarks/train/a.tsv", Path("/nowhere"), {}, True)
    (sentence,) = told
    assert "run.md was not written: " in sentence


@pytest.mark.parametrize(
    ("code", "status", "words"), [("os.kill(os.getpid(), 9)", 137, KILLED), ("sys.exit(1)", 1, "")]
)
def test_a_stage_that_is_killed_outright_is_told_by_its_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, status: int, words: str
) -> None:
    for name in (ERRORS, "FIELDGUIDE_KILLED"):
        monkeypatch.setenv(name, "")
    command = f"set -euo pipefail; {tell_of_kills()}{sys.executable} -c 'import os, sys; {code}' &>{tmp_path / 'log'}"
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert answer.returncode == status
    assert (KILLED in answer.stderr) is bool(words)
    assert KILLED not in command  # which Snakemake shows whenever a job fails
