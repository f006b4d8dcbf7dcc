"""Processes that tests start: each group ends with the test that started it, and none outlives the session."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from typing import Any

import psutil

MARK = "FIELDGUIDE_TEST_SESSION"
"""The variable by which a session knows its descendants, whatever group or parent they have."""
SESSION = f"{os.getpid()}-{uuid.uuid4().hex}"
HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver", "loky")
"""Python's own, which live as long as the process that needs them."""


def mark_session() -> None:
    """Have all processes that are started from here on carry the mark."""
    os.environ[MARK] = SESSION


def is_alive(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def find_left() -> list[psutil.Process]:
    """Living processes that this session started."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            is_ours = process.pid != os.getpid() and process.environ().get(MARK) == SESSION and is_alive(process)
            if is_ours and not any(name in " ".join(process.cmdline()) for name in HELPERS):
                found.append(process)
    return found


def end_left(patience: float = 5.0) -> list[str]:
    """Kill what still lives after so many seconds; returns what that was, by id and command line."""
    until = time.monotonic() + patience
    while (left := find_left()) and time.monotonic() < until:
        time.sleep(0.1)
    said = []
    for process in left:
        with contextlib.suppress(psutil.Error):
            said.append(f"{process.pid}: {' '.join(process.cmdline())[:200]}")
            process.kill()
    return said


def hear_interrupts() -> None:
    """For `preexec_fn`: tests that a shell starts in the background ignore Ctrl-C, and would have runs ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def members(group: int) -> list[psutil.Process]:
    """The living processes of a process group."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getpgid(process.pid) == group and is_alive(process):
                found.append(process)
    return found


def kill_group(group: int) -> None:
    """`kill -9` a process group, if it is still there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


started: list[subprocess.Popen[Any]] = []
"""The leaders of the groups that the present test has started."""


def start_group(command: list[str], **how: Any) -> subprocess.Popen[Any]:
    """Start a process with a group of its own, as a terminal gives it; the end of the test ends the group."""
    how = {"stdin": subprocess.DEVNULL, "start_new_session": True, "preexec_fn": hear_interrupts, **how}
    started.append(subprocess.Popen(command, **how))
    return started[-1]


@contextlib.contextmanager
def process_group(command: list[str], **how: Any) -> Iterator[subprocess.Popen[Any]]:
    """The same for a while: the group ends here, whatever happens."""
    process = start_group(command, **how)
    try:
        yield process
    finally:
        kill_group(process.pid)
        process.wait(timeout=60)


def run_to_end(command: list[str], seconds: float, **how: Any) -> tuple[int, str]:
    """The exit status of a command, and all that it says as one text; after so many seconds its group is killed."""
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    with process_group(command, **output, **how) as process:
        text, _ = process.communicate(timeout=seconds)
        return process.returncode, text


def end_groups() -> None:
    """End all that `start_group` started, whatever became of the first process of each group."""
    while started:
        process = started.pop()
        if process.poll() is None or members(process.pid):
            kill_group(process.pid)
            process.wait(timeout=60)
