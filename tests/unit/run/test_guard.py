"""One run at a time per results folder, and what a run that was killed leaves to the next."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from snakemake.exceptions import WorkflowError

from fieldguide.core.errors import FieldguideError
from fieldguide.run import guard as run_guard
from fieldguide.run.guard import (
    LOCK,
    Holder,
    end_jobs,
    guard,
    hold,
    jobs_at_work,
    last_holder,
    locks_on,
    remove_unfinished,
    stopping_early,
    unfinished_files,
)

US = Holder.this_process()


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = Path("results/tiny")
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def told() -> list[str]:
    return []


def leave_note(results: Path, **other: object) -> None:
    """What a run that was killed leaves."""
    note = replace(US, **{"pid": 999_999, **other})  # type: ignore[arg-type]
    (results / LOCK).write_text(json.dumps(note.__dict__) + "\n")


def leave_locks(*names: str) -> list[Path]:
    folder = Path(".snakemake/locks")
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("src/code.py\nresults/tiny/tables/accuracy.csv\n")
    (folder / "7.output.lock").write_text("results/tiny-other/tables/accuracy.csv\nresults/cub/x\n")
    return [folder / name for name in names]


def hold_elsewhere(results: Path) -> subprocess.Popen[str]:
    """Another process that holds the folder."""
    code = (
        "import sys, time; from pathlib import Path; from fieldguide.run.guard import hold\n"
        f"with hold(Path({str(results)!r})):\n print('held', flush=True); time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_a_second_run_is_refused_and_told_who_is_at_work(results: Path, told: list[str]) -> None:
    process = hold_elsewhere(results)
    try:
        with pytest.raises(FieldguideError) as error, hold(results):
            pass
        sentence = str(error.value)
        assert f"process {process.pid} of {US.user} on {US.host}" in sentence
        assert f"kill {process.pid}" in sentence and "\n" not in sentence
        with hold(Path("results/other")):  # another folder is free
            pass
    finally:
        process.kill()
        process.wait()
    # The system has taken the lock back, and the note says that the run did not end in order.
    with hold(results, tell=told.append):
        pass
    assert len(told) == 1 and f"process {process.pid} " in told[0] and "was killed" in told[0]


def test_a_run_that_ended_leaves_nothing_to_clear_up(results: Path, told: list[str]) -> None:
    with hold(results, tell=told.append):
        assert json.loads((results / LOCK).read_text())["pid"] == os.getpid()
    assert (results / LOCK).read_bytes() == b""
    with pytest.raises(ValueError, match="a job failed"), hold(results, tell=told.append):
        raise ValueError("a job failed")
    assert (results / LOCK).read_bytes() == b""
    with hold(results, tell=told.append):
        pass
    assert told == []


def test_after_a_kill_its_locks_and_unfinished_files_go_and_nobody_elses(results: Path, told: list[str]) -> None:
    leave_note(results)
    mine = leave_locks("0.input.lock", "0.output.lock")
    whole = results / "texts" / "reed.csv"
    whole.parent.mkdir()
    whole.write_text("a\n")
    half = whole.with_name(".reed.csv.4711.part")
    half.write_bytes(b"x" * 1000)
    folder = results / "unpacked" / ".cub.4711.part"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "1.jpg").write_bytes(b"y" * 500)
    download = results / "train2017.zip.part"  # goes on where it stopped, and is no leftover
    download.write_bytes(b"z")
    assert locks_on(results) == mine
    assert unfinished_files(results) == sorted([half, folder])
    with hold(results, tell=told.append):
        assert not any(path.exists() for path in (*mine, half, folder))
    assert whole.exists() and download.exists() and Path(".snakemake/locks/7.output.lock").exists()
    (sentence,) = told
    assert "2 unfinished file(s)" in sentence and "What it finished is kept" in sentence


@pytest.mark.parametrize("other", [{"executor": "slurm"}, {"host": "another-node"}])
def test_what_may_be_at_work_elsewhere_is_left_to_the_user(results: Path, other: dict[str, str]) -> None:
    leave_note(results, **other)
    locks = leave_locks("0.output.lock")
    for _ in range(2):  # being refused is no end in order
        with pytest.raises(FieldguideError, match="snakemake --unlock"), hold(results):
            pass
    assert all(lock.exists() for lock in locks)
    for lock in locks:  # what --unlock does
        lock.unlink()
    with hold(results):
        pass


def test_a_torn_note_counts_as_a_kill(results: Path, told: list[str]) -> None:
    (results / LOCK).write_text('{"pid": 12, "ho')
    locks = leave_locks("0.output.lock")
    with hold(results, tell=told.append):
        pass
    assert told and not any(lock.exists() for lock in locks)


def test_jobs_that_outlived_their_snakemake_are_named(results: Path) -> None:
    leave_note(results)
    locks = leave_locks("0.output.lock")
    code = "import time; time.sleep(60)"
    job = subprocess.Popen(
        [sys.executable, "-c", code, "fieldguide.adapters.train_adapter", "--out", f"{results}/a.json"]
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, "fieldguide.adapters.train_adapter", "--out", "results/cub/a.json"]
    )
    try:
        until = time.monotonic() + 20
        while not jobs_at_work(results):
            assert time.monotonic() < until
        with pytest.raises(FieldguideError, match=f"`kill {job.pid}`"), hold(results):
            pass
        assert all(lock.exists() for lock in locks)
    finally:
        job.kill()
        job.wait()
        other.kill()
        other.wait()
    with hold(results):
        assert not any(lock.exists() for lock in locks)


def test_jobs_of_another_user_count_though_they_do_not_say_where_they_run(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_note(results)

    def no_right(process: psutil.Process) -> str:
        raise psutil.AccessDenied(process.pid)

    monkeypatch.setattr(psutil.Process, "cwd", no_right)
    code = "import time; time.sleep(60)"
    job = subprocess.Popen(
        [sys.executable, "-c", code, "fieldguide.adapters.train_adapter", "--out", f"{results}/a.json"]
    )
    try:
        until = time.monotonic() + 20
        while job.pid not in jobs_at_work(results):
            assert time.monotonic() < until
        with pytest.raises(FieldguideError, match=str(job.pid)), hold(results):
            pass
    finally:
        job.kill()
        job.wait()


def test_a_run_is_looked_at_without_touching_its_lock(results: Path) -> None:
    assert last_holder(results) == (None, False) and not (results / LOCK).exists()
    process = hold_elsewhere(results)
    try:
        holder, is_alive = last_holder(results)
        assert holder is not None and holder.pid == process.pid and is_alive
    finally:
        process.kill()
        process.wait()
    holder, is_alive = last_holder(results)
    assert holder is not None and holder.pid == process.pid and not is_alive


@pytest.mark.parametrize("is_whole", [True, False])
def test_a_link_to_nowhere_is_named(results: Path, is_whole: bool) -> None:
    link = Path("others")
    link.symlink_to("gone")
    with (
        pytest.raises(FieldguideError, match="others is a link to gone, which is not there: bring"),
        hold(link if is_whole else link / "tiny"),
    ):
        pass
    assert not Path("gone").exists()


def test_a_folder_that_cannot_be_made_is_one_sentence(results: Path) -> None:
    (results / "file").write_text("")
    with (
        pytest.raises(FieldguideError, match="results/tiny/file/mine: Not a directory"),
        hold(results / "file" / "mine"),
    ):
        pass


def test_where_files_cannot_be_locked_snakemakes_own_lock_has_to_do(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(run_guard.NO_LOCKING[0], "No locks available")

    monkeypatch.setattr(run_guard.fcntl, "flock", no_locks)
    with hold(results):
        pass


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
    monkeypatch.setattr(run_guard, "jobs_began", SimpleNamespace(is_set=lambda: has_begun))
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


def test_only_what_a_run_was_writing_is_removed(results: Path) -> None:
    (results / ".hidden.csv").write_text("")
    assert remove_unfinished(results) == (0, 0)
    assert (results / ".hidden.csv").exists()


def test_sigterm_before_the_scheduler_is_an_interrupt_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stopping_early():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert signal.getsignal(signal.SIGTERM) is before


def test_stages_are_told_to_end_and_their_shells_wait_for_them(tmp_path: Path) -> None:
    stage = tmp_path / "stage.py"
    stage.write_text(
        "import sys, time\nfrom fieldguide.core.stage import new_parser, run_stage\n"
        "def run(args):\n try:\n  print('at work', flush=True); time.sleep(60)\n"
        " finally:\n  time.sleep(0.3); print('tidy', flush=True)\n"
        "run_stage('try_it', run, new_parser('try_it', ''), [])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    shell = subprocess.Popen(
        ["bash", "-c", f"{sys.executable} {stage}; echo status $?"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    assert shell.stdout is not None and shell.stdout.readline() == "at work\n"
    end_jobs(seconds=10)
    assert shell.stdout.read() == "tidy\ntry_it: stopped; run the same command again to go on\nstatus 1\n"
    shell.wait()


def test_a_stage_that_hears_nothing_is_named_and_told_twice_it_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_guard, "TELL_AFTER", 0.3)
    # As in the midst of one long computation, which does not return to Python.
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    stage = subprocess.Popen([sys.executable, "-c", code, "fieldguide.try_it"], stdout=subprocess.PIPE, text=True)
    try:
        assert stage.stdout is not None and stage.stdout.readline() == "deaf\n"
        told: list[str] = []
        end_jobs(seconds=1, tell=told.append)
        assert stage.poll() is None
        (sentence,) = told
        assert f"process(es) {stage.pid}, " in sentence and "ends them at once" in sentence
        end_jobs(seconds=20, kill_after=0.2, tell=told.append)
        assert stage.wait(timeout=20) == -signal.SIGKILL
    finally:
        stage.kill()
        stage.wait()
