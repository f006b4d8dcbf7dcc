"""How a run ends on a signal: no further job is started, jobs at work get SIGTERM, all within seconds.

A handler runs in the midst of whatever the main thread does, which may hold any lock: the scheduler's, an event's, the
log's. So a handler takes none. It sets plain values, and leaves the rest to a thread.
"""

from __future__ import annotations

import _thread
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

from fieldguide.core.signals import REPEAT_WINDOW
from fieldguide.run.lock import is_stage
from fieldguide.run.snakemake_internals import (
    has_scheduler,
    is_main_process,
    runs_jobs_here,
    stop_scheduling,
)

SHELLS = ("bash", "sh", "dash")
NAME_AFTER, KILL_AFTER = 10.0, 5.0
"""Seconds until jobs that still run are named, and until they are killed where the signal came twice."""


@dataclass
class RunState:
    """How far this process's run is: plain values, which a signal handler may set."""

    jobs_began: bool = False
    jobs_ended: bool = False
    stop_requested: bool = False
    stopped_at: float = 0.0  # by the monotonic clock


state = RunState()


def make_handler(workflow: Any) -> Callable[[int, FrameType | None], None]:
    """The handler of SIGINT, SIGTERM and SIGHUP.

    Snakemake would wait for running jobs, which may take hours. On a cluster it cancels what it submitted. A job in the
    midst of one long computation hears nothing before that returns; a second signal, some seconds later, ends it then.
    In the process of one job on a cluster's node the job hears the same signal by itself.
    """
    from snakemake.logging import logger

    def on_signal(number: int, frame: FrameType | None) -> None:
        is_first = not state.stop_requested
        state.stop_requested = True
        state.stopped_at = time.monotonic() if is_first else state.stopped_at
        if not has_scheduler(workflow):
            if is_first or time.monotonic() - state.stopped_at > REPEAT_WINDOW:
                raise KeyboardInterrupt
            return
        _thread.start_new_thread(stop, (number, is_first))
        if is_first and is_main_process(workflow) and not runs_jobs_here(workflow):
            raise KeyboardInterrupt

    def stop(number: int, is_first: bool) -> None:
        if not is_main_process(workflow):
            return stop_scheduling(workflow)
        is_here = runs_jobs_here(workflow)
        if is_first:
            logger.warning(f"Stopping ({signal.Signals(number).name}): running jobs are asked to end and clean up.")
            if is_here:
                stop_scheduling(workflow)
        is_urgent = not is_first and time.monotonic() - state.stopped_at > REPEAT_WINDOW
        # The scheduler may be about to start jobs for the last time.
        kill_after = KILL_AFTER if is_urgent else None
        end_jobs(not is_here, kill_after=kill_after, log=logger.warning, is_over=lambda: state.jobs_ended)
        return None

    return on_signal


@contextlib.contextmanager
def stop_on_signals(workflow: Any) -> Iterator[None]:
    """Within, SIGINT, SIGTERM and SIGHUP end the run; what is ignored (nohup, a shell's background) stays ignored."""
    on_signal = make_handler(workflow)
    numbers = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_jobs(
    stages_alone: bool = False,
    seconds: float = 60.0,
    kill_after: float | None = None,
    log: Callable[[str], None] = print,
    is_over: Callable[[], bool] | None = None,
) -> None:
    """Send SIGTERM to the jobs under this process, once each, until none is left; their shells end with them.

    is_over: says that no job is left and none will come; without it, the first moment without jobs is the end.
    stages_alone: on a cluster, where the command that cancels jobs there is under this process too.
    kill_after: seconds until those that are still there are killed outright.
    """
    import psutil  # Snakemake's

    signalled: set[int] = set()
    began, has_named = time.monotonic(), False
    while (elapsed := time.monotonic() - began) < seconds:
        if is_over is not None and is_over():
            return  # what runs now is no job
        running = psutil.Process().children(recursive=True)
        running = [process for process in running if is_stage(process)] if stages_alone else running
        for process in running:
            with contextlib.suppress(psutil.Error):
                if process.pid not in signalled and process.name() not in SHELLS:
                    process.terminate()
                    signalled.add(process.pid)
                elif kill_after is not None and elapsed > kill_after and process.name() not in SHELLS:
                    process.kill()
        if not running and is_over is None:
            return
        if not has_named and elapsed > NAME_AFTER and (stages := [each.pid for each in running if is_stage(each)]):
            has_named = True
            log(
                f"Still at work: process(es) {' '.join(map(str, stages))}, with what cannot be left midway. They end"
                " when that is done; the same signal once more (Ctrl-C, kill) ends them at once."
            )
        time.sleep(0.1)
