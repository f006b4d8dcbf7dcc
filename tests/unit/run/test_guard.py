"""What stands around Snakemake's run."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.exceptions import WorkflowError

from fieldguide.run.guard import guard
from fieldguide.run.lock import (
    LOCK,
)
from fieldguide.run.stopping import state
from tests.unit.run.test_lock import hold_elsewhere


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = Path("results/tiny")
    folder.mkdir(parents=True)
    return folder


class Plugin:
    """As much of an executor's plugin as the guard looks at."""

    name = "local"

    def __init__(self, dryrun: bool = False) -> None:
        self.common_settings = SimpleNamespace(dryrun_exec=dryrun, local_exec=True)


class Workflow:
    """As much of Snakemake's workflow object."""

    is_main_process = True

    def __init__(self, *problems: BaseException) -> None:
        self.problems = list(problems)
        self.executed = self.unlocked = 0

    def execute(self, executor_plugin: Plugin) -> None:
        self.executed += 1
        if self.problems:
            raise self.problems.pop(0)

    def unlock(self) -> None:
        self.unlocked += 1


def test_snakemake_is_guarded(results: Path) -> None:
    ours, process = Workflow(), hold_elsewhere(results)
    guard(ours, results)
    try:
        with pytest.raises(WorkflowError, match="is being made by another run"):
            ours.execute(executor_plugin=Plugin())
        with pytest.raises(WorkflowError, match="is being made by another run"):
            ours.unlock()
        assert (ours.executed, ours.unlocked) == (0, 0)
        ours.execute(executor_plugin=Plugin(dryrun=True))  # looking is free
        assert ours.executed == 1
    finally:
        process.kill()
        process.wait()
    ours.unlock()
    assert ours.unlocked == 1 and (results / LOCK).read_bytes() == b""
    ours.execute(executor_plugin=Plugin())
    assert ours.executed == 2


def test_results_from_the_future_are_refused_until_their_time_is_now(results: Path) -> None:
    """The clock was set back between two runs: what is edited now would look older than what was made from it."""
    ours, folder = Workflow(), results / "the tables"
    folder.mkdir()
    (folder / "accuracy.csv").write_text("1")
    guard(ours, results)
    ours.execute(executor_plugin=Plugin())
    for later, is_refused in ((60, False), (3600, True)):  # a file server's clock may be a minute ahead
        os.utime(folder / "accuracy.csv", (time.time() + later,) * 2)
        for plugin in (Plugin(), Plugin(dryrun=True)):
            if is_refused:
                with pytest.raises(WorkflowError, match=r"accuracy\.csv was made .* which is yet to come") as raised:
                    ours.execute(executor_plugin=plugin)
            else:
                ours.execute(executor_plugin=plugin)
    subprocess.run(str(raised.value).split("`")[1], shell=True, check=True)  # what the message says
    ours.execute(executor_plugin=Plugin())
    assert ours.executed == 4


def test_a_job_in_a_process_of_its_own_holds_nothing(results: Path) -> None:
    ours = Workflow()
    ours.is_main_process = False
    guard(ours, results)
    ours.execute(executor_plugin=Plugin())
    assert ours.executed == 1 and not (results / LOCK).exists()


def test_the_end_of_another_run_takes_snakemakes_locks_along_and_ours_goes_on(results: Path) -> None:
    gone = FileNotFoundError(2, "No such file or directory", ".snakemake/locks/0.input.lock")
    ours = Workflow(gone)
    guard(ours, results)
    ours.execute(executor_plugin=Plugin())
    assert ours.executed == 2 and Path(".snakemake/locks").is_dir()
    other = Workflow(FileNotFoundError(2, "No such file or directory", "results/tiny/x.csv"))
    guard(other, results)
    with pytest.raises(FileNotFoundError, match=r"x\.csv"):
        other.execute(executor_plugin=Plugin())


@pytest.mark.parametrize("has_begun", [True, False])
def test_what_killed_jobs_left_goes_only_where_jobs_ran(
    results: Path, monkeypatch: pytest.MonkeyPatch, has_begun: bool
) -> None:
    """Where Snakemake refuses to start, what lies there may be of a run that our lock could not see."""
    half = results / ".a.json.4711.part"
    half.write_text("half")
    monkeypatch.setattr(state, "jobs_began", has_begun)
    ours = Workflow(WorkflowError("no"))
    guard(ours, results)
    with pytest.raises(WorkflowError, match="no"):
        ours.execute(executor_plugin=Plugin())
    assert half.exists() is not has_begun


def test_a_disk_that_is_full_for_snakemakes_notes_is_one_sentence(results: Path) -> None:
    ours = Workflow(OSError(errno.ENOSPC, "No space left on device"))
    guard(ours, results)
    with pytest.raises(WorkflowError, match=r"/\.snakemake: No space left on device; make room there"):
        ours.execute(executor_plugin=Plugin())
    assert not logging.raiseExceptions  # or the log's own tracebacks would bury the sentence
    other = Workflow(OSError(errno.EIO, "Input/output error"))
    guard(other, results)
    with pytest.raises(OSError, match="Input/output error"):
        other.execute(executor_plugin=Plugin())


@pytest.mark.parametrize("dryrun", [True, False])
def test_notes_of_another_user_are_not_sent_to_the_results(results: Path, dryrun: bool) -> None:
    notes = Path(".snakemake").absolute()
    ours = Workflow(PermissionError(errno.EACCES, "Permission denied", str(notes / "locks")))
    guard(ours, results)
    with pytest.raises(
        WorkflowError, match=f"{notes}/locks: Permission denied; .* right to write {notes} .*--directory"
    ):
        ours.execute(executor_plugin=Plugin(dryrun))
    # A file elsewhere keeps the other way out.
    theirs = Workflow(PermissionError(errno.EACCES, "Permission denied", "results/tiny/x"))
    guard(theirs, results)
    with pytest.raises(WorkflowError, match="name another folder by `results`"):
        theirs.execute(executor_plugin=Plugin())


def test_an_interrupt_before_any_job_is_one_sentence(results: Path) -> None:
    ours = Workflow(KeyboardInterrupt())
    guard(ours, results)
    with pytest.raises(WorkflowError, match="The run was stopped; run the same command again to go on"):
        ours.execute(executor_plugin=Plugin())
    assert (results / LOCK).read_bytes() == b""
