"""One run at a time per results folder, and what a run that was killed leaves to the next."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from fieldguide.core.errors import FieldguideError
from fieldguide.run import lock as run_lock
from fieldguide.run.lock import (
    LOCK,
    Holder,
    hold,
    jobs_at_work,
    last_holder,
    locks_on,
    remove_unfinished,
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
        "import sys, time; from pathlib import Path; from fieldguide.run.lock import hold\n"
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
    # The system has taken the lock back, and the note says that the run did not end cleanly.
    with hold(results, log=told.append):
        pass
    assert len(told) == 1 and f"process {process.pid} " in told[0] and "was killed" in told[0]


def test_a_run_that_ended_leaves_nothing_to_clear_up(results: Path, told: list[str]) -> None:
    with hold(results, log=told.append):
        assert json.loads((results / LOCK).read_text())["pid"] == os.getpid()
    assert (results / LOCK).read_bytes() == b""
    with pytest.raises(ValueError, match="a job failed"), hold(results, log=told.append):
        raise ValueError("a job failed")
    assert (results / LOCK).read_bytes() == b""
    with hold(results, log=told.append):
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
    with hold(results, log=told.append):
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
    with hold(results, log=told.append):
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
        raise OSError(run_lock.NO_LOCKING[0], "No locks available")

    monkeypatch.setattr(run_lock.fcntl, "flock", no_locks)
    with hold(results):
        pass


def test_only_what_a_run_was_writing_is_removed(results: Path) -> None:
    (results / ".hidden.csv").write_text("")
    assert remove_unfinished(results) == (0, 0)
    assert (results / ".hidden.csv").exists()
