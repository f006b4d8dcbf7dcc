"""A stop takes seconds, and a run comes to its end, whatever is closed and wherever it runs.

The workflow is two rules of a few lines with the project's own hooks.
"""

from __future__ import annotations

import contextlib
import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.processes import kill_group, process_group
from tests.workflow_runs import ROOT, environment

pytestmark = pytest.mark.workflow

SECONDS = 30.0
"""In which a run that is told to stop must have ended; a job of it takes ten times as long."""
LOGGERS = {
    "plain": (),
    "plugin": ("--logger", "fieldguide"),
    "compact": ("--logger", "fieldguide", "--logger-fieldguide-compact"),
}

SNAKEFILE = """
from pathlib import Path
from fieldguide.run.guard import guard
from fieldguide.run.hooks import end_run, shell_prefix, start_run
guard(workflow, Path("results"))
shell.prefix("set -euo pipefail; " + shell_prefix())
rule all:
    default_target: True
    input: "results/second.txt"
    localrule: True
rule first:
    output: "results/first.txt"
    shell: "touch at_work; sleep {config[seconds]}; touch {output}"
rule second:
    input: "results/first.txt"
    output: "results/second.txt"
    shell: "touch {output}"
onstart: start_run(workflow, Path("results"))
onsuccess: end_run(workflow, Path("results"), Path("."), config, True)
onerror: end_run(workflow, Path("results"), Path("."), config, False)
"""

# SIGTERM comes while the scheduler holds its lock: `_finish_jobs` "must be called from within lock".
SIGTERM_WITHIN_THE_LOCK = """
import os, signal, time
from snakemake.scheduling.job_scheduler import JobScheduler
finish_jobs = JobScheduler._finish_jobs
def finish_jobs_and_be_stopped(self):
    assert self._lock.locked()
    JobScheduler._finish_jobs = finish_jobs
    Path("within").touch()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.1)  # where the handler is run
    finish_jobs(self)
JobScheduler._finish_jobs = finish_jobs_and_be_stopped
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    return tmp_path


def snakemake(*argv: str, seconds: int = 300) -> list[str]:
    """The command line; Snakemake is run with what the profiles say of loggers, not by a profile."""
    return [sys.executable, "-m", "snakemake", "--cores", "1", "--config", f"seconds={seconds}", *argv]


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < until and process.poll() is None, f"no {path.name}"
        time.sleep(0.05)


def at_work(folder: Path) -> list[psutil.Process]:
    """Living processes in a folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def find_run(folder: Path) -> int:
    """The id of the Snakemake in a folder."""
    (run,) = (process.pid for process in at_work(folder) if "snakemake" in process.cmdline())
    return run


def wait_until_ended(folder: Path) -> None:
    until = time.monotonic() + SECONDS
    while left := at_work(folder):
        assert time.monotonic() < until, f"still at work: {[each.cmdline() for each in left]}"
        time.sleep(0.1)


def is_whole(folder: Path) -> bool:
    """Whether the run came to its end and left nothing that hinders the next."""
    return (folder / "results/second.txt").exists() and not any((folder / ".snakemake/locks").glob("*"))


def assert_stopped(folder: Path) -> None:
    assert not (folder / "results/first.txt").exists()
    assert (folder / "results/.lock").read_bytes() == b""
    assert "The run was stopped." in (folder / "results/run.md").read_text()
    assert "- first, no log" in (folder / "results/run.md").read_text()


# ---------------------------------------------------------------- the scheduler's lock


def test_snakemakes_own_handler_waits_for_the_lock_that_it_interrupted(folder: Path) -> None:
    """The fault itself. Where this fails, Snakemake has mended it, and `replace_sigterm_handler` may go."""
    rules = SNAKEFILE[SNAKEFILE.index("rule all") : SNAKEFILE.index("onstart")]
    (folder / "Snakefile").write_text("from pathlib import Path\n" + SIGTERM_WITHIN_THE_LOCK + rules)
    with process_group(snakemake(seconds=0), cwd=folder, env=environment(ROOT)) as process:
        wait_for(folder / "within", process)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=5)


@pytest.mark.parametrize("options", [(), ("--no-hooks",)])
def test_sigterm_while_the_scheduler_holds_its_lock_ends_our_run(folder: Path, options: tuple[str, ...]) -> None:
    (folder / "Snakefile").write_text(SNAKEFILE + SIGTERM_WITHIN_THE_LOCK)
    with process_group(snakemake(*options), cwd=folder, env=environment(ROOT)) as process:
        wait_for(folder / "within", process)
        assert process.wait(timeout=SECONDS) == 1
    assert not at_work(folder)


def test_in_the_process_of_one_job_too(folder: Path) -> None:
    """As a cluster's node runs it."""
    (folder / "Snakefile").write_text(SNAKEFILE + SIGTERM_WITHIN_THE_LOCK)
    job = ("results/first.txt", "--mode", "remote", "--nolock", "--no-hooks", "--allowed-rules", "first")
    with process_group(
        [*snakemake(seconds=1)[:3], *job, *snakemake(seconds=1)[3:]], cwd=folder, env=environment(ROOT)
    ) as process:
        wait_for(folder / "within", process)
        process.wait(timeout=SECONDS)
    assert not at_work(folder)


# ---------------------------------------------------------------- output that nobody reads


@contextlib.contextmanager
def read_no_more(folder: Path, *argv: str, seconds: int = 300) -> Iterator[subprocess.Popen[bytes]]:
    """A run whose output goes to a pipe, the reader of which leaves when the first job is at work."""
    reading, writing = os.pipe()
    command = snakemake(*argv, seconds=seconds)
    with process_group(command, cwd=folder, env=environment(ROOT), stdout=writing, stderr=writing) as process:
        os.close(writing)
        wait_for(folder / "at_work", process)
        os.close(reading)
        yield process


@pytest.mark.parametrize("options", LOGGERS.values(), ids=LOGGERS)
def test_a_run_that_nobody_reads_any_more_comes_to_its_end(folder: Path, options: tuple[str, ...]) -> None:
    with read_no_more(folder, *options, seconds=1) as process:
        assert process.wait(timeout=SECONDS) == 0
    assert is_whole(folder) and "The run finished." in (folder / "results/run.md").read_text()


@pytest.mark.parametrize("kind", ["plain", "compact"])
def test_a_run_that_nobody_reads_any_more_is_stopped(folder: Path, kind: str) -> None:
    with read_no_more(folder, *LOGGERS[kind]) as process:
        process.terminate()
        assert process.wait(timeout=SECONDS) == 1
        assert not at_work(folder)
    assert_stopped(folder)


def test_piped_into_head(folder: Path) -> None:
    command = f"{shlex.join(snakemake(seconds=1))} 2>&1 | head -1"
    with process_group(["bash", "-c", command], cwd=folder, env=environment(ROOT), stdout=subprocess.DEVNULL) as shell:
        assert shell.wait(timeout=120) == 0
        wait_until_ended(folder)
    assert is_whole(folder)


@pytest.mark.parametrize("closed", ["2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_with_standard_streams_closed_it_runs_and_is_stopped(folder: Path, closed: str) -> None:
    for seconds in (300, 0):
        command = ["bash", "-c", f"exec {shlex.join(snakemake(seconds=seconds))} {closed}"]
        (folder / "at_work").unlink(missing_ok=True)
        with process_group(command, cwd=folder, env=environment(ROOT)) as process:
            wait_for(folder / "at_work", process)
            if seconds:
                process.terminate()
            assert process.wait(timeout=SECONDS) == (1 if seconds else 0)
            assert not at_work(folder)
        if seconds:
            assert_stopped(folder)
    assert is_whole(folder)


def test_a_terminal_that_is_closed_stops_it(folder: Path) -> None:
    child, terminal = pty.fork()
    if not child:
        try:
            os.chdir(folder)
            os.execve(sys.executable, snakemake(), environment(ROOT))
        finally:
            os._exit(99)
    try:
        until = time.monotonic() + 120
        while not (folder / "at_work").exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        os.close(terminal)
        wait_until_ended(folder)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    finally:
        kill_group(child)
    assert_stopped(folder)


# ---------------------------------------------------------------- nohup, and the background of a script


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_the_foreground(folder: Path, number: signal.Signals) -> None:
    with process_group(snakemake(), cwd=folder, env=environment(ROOT)) as process:
        wait_for(folder / "at_work", process)
        process.send_signal(number)
        assert process.wait(timeout=SECONDS) == 1
        assert not at_work(folder)
    assert_stopped(folder)


@pytest.mark.parametrize(
    ("script", "ignored"),
    [("nohup {} >/dev/null", signal.SIGHUP), ("{} >/dev/null 2>&1 & wait", signal.SIGINT), ("(nohup {} &) >&-", None)],
)
def test_what_is_ignored_stays_ignored_and_sigterm_stops_it(
    folder: Path, script: str, ignored: signal.Signals | None
) -> None:
    """`nohup` ignores SIGHUP, and a shell has what it puts into the background ignore SIGINT."""
    with process_group(["sh", "-c", script.format(shlex.join(snakemake()))], cwd=folder, env=environment(ROOT)):
        until = time.monotonic() + 120
        while not (folder / "at_work").exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        run = find_run(folder)
        if ignored:
            os.kill(run, ignored)
            time.sleep(2)
            assert find_run(folder) == run
        os.kill(run, signal.SIGTERM)
        wait_until_ended(folder)
    assert_stopped(folder)
