"""What the Snakefile does when a run starts and when it ends: signals, the time left, and `run.md`.

The page is written by `onsuccess` and `onerror` and not by a rule: then it is there whatever target was asked for and
however the run ended, and it never gives a run that has nothing to do a job.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fieldguide.core.stage import ERRORS
from fieldguide.run.guard import heed_signals, stop_requested
from fieldguide.run.run_page import RunFacts, config_hash, read_jobs, show_time, write_page

TARGETS = ("all", "everything")  # rules that run nothing
EVERY = 30.0  # seconds between two estimates while jobs end
SILENCE = 600.0  # and while none does


def time_left(seconds: Mapping[str, float], left: Iterable[tuple[str, float, float]]) -> tuple[float, list[str]]:
    """Seconds of work left, and the rules of which no job has been timed yet.

    `seconds`: a job's mean by rule. `left`: the rule of each job that is left, the share of the machine that it holds,
    and the seconds that it has been at work; one that is at work longer than the mean may end any moment.
    """
    total, unknown = 0.0, set()
    for rule, part, elapsed in left:
        if rule in seconds:
            total += max(seconds[rule] - elapsed, 0.0) * part
        else:
            unknown.add(rule)
    return total, sorted(unknown)


class TimeLeft(logging.Handler):
    """Hears Snakemake's progress and says now and then how long it will take, by what jobs took so far."""

    def __init__(self, workflow: Any, results: Path) -> None:
        super().__init__()
        self.workflow, self.results = workflow, results
        self.last = time.monotonic()
        self.began: dict[Any, float] = {}  # when each job at work was first seen there
        self.ended = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        from snakemake_interface_logger_plugins.common import LogEvent

        if getattr(record, "event", None) == LogEvent.PROGRESS and time.monotonic() - self.last >= EVERY:
            self.tell()

    def watch(self) -> None:
        """Look now and then until the run ends: one job may take hours, in which Snakemake says nothing."""
        while not self.ended.wait(EVERY):
            with contextlib.suppress(Exception):  # an estimate is worth no run
                self.look()
            if time.monotonic() - self.last >= SILENCE:
                self.tell()

    def look(self) -> set[Any]:
        """The jobs at work, each with the moment at which it was first seen."""
        running = set(self.workflow.scheduler.running)
        self.began = {job: self.began.get(job, time.monotonic()) for job in running}
        return running

    def tell(self) -> None:
        """Log the estimate."""
        from snakemake.logging import logger

        self.last = time.monotonic()
        try:
            if sentence := self.sentence():
                logger.info(sentence)
        except Exception as error:  # an estimate is worth no run
            logger.debug(f"no estimate of the time left: {error!r}")

    def sentence(self) -> str:
        """The estimate in words; empty where there is nothing to tell."""
        scheduler, cores = self.workflow.scheduler, self.workflow.resource_settings.cores
        times: dict[str, list[float]] = {}
        for job in read_jobs(self.results):
            times.setdefault(job.rule, []).append(job.seconds)
        running, now = self.look(), time.monotonic()

        def part(job: Any) -> float:
            return job.threads / cores if self.workflow.local_exec and cores else 1 / max(1, len(running))

        jobs = [job for job in [*scheduler.remaining_jobs, *running] if not job.is_group()]
        left = [(job.rule.name, part(job), now - self.began.get(job, now)) for job in jobs]
        timed = [each for each in left if each[0] not in TARGETS]
        seconds, unknown = time_left({rule: sum(of) / len(of) for rule, of in times.items()}, timed)
        if not timed:
            return ""
        names = ", ".join(unknown) if len(unknown) < 4 else f"{len(unknown)} other rules"
        more = f", and what {names} will take: not timed yet" if unknown else ""
        return f"About {show_time(max(seconds, 1))} left by what jobs took so far ({len(timed)} jobs){more}."


KILLED = (
    "This job was killed outright, most often because the machine, or what the job had asked for, ran out of memory:"
    " run fewer jobs at once (--cores 1), or ask for more (--set-resources RULE:mem_mb=N), and run the same command"
    " again."
)


def tell_of_kills() -> str:
    """What a rule's shell does first: keep a way past the log, and tell of a stage that was killed outright.

    A stage says on descriptor 3 what its log does not take (`stage.stop_with`). The words travel in the environment,
    so that they do not stand in every command that Snakemake shows.
    """
    os.environ[ERRORS] = "3"
    os.environ["FIELDGUIDE_KILLED"] = KILLED
    return """exec 3>&2; trap '[ $? -ne 137 ] || echo "$FIELDGUIDE_KILLED" >&2' EXIT; """


handlers: list[TimeLeft] = []  # of this run


def start_run(workflow: Any, results: Path) -> None:
    """For `onstart`."""
    from snakemake.logging import logger

    heed_signals(workflow)
    handler = TimeLeft(workflow, results)
    logger.addHandler(handler)
    handlers.append(handler)
    threading.Thread(target=handler.watch, daemon=True).start()


def end_run(workflow: Any, results: Path, checkout: Path, config: Mapping[str, Any], is_success: bool) -> None:
    """For `onsuccess` and `onerror`: write `run.md`. What goes wrong with it is told, and harms nothing."""
    from snakemake.logging import logger

    for handler in handlers:
        handler.ended.set()
    how = "finished" if is_success else "was stopped" if stop_requested.is_set() else "failed"
    failed = [f"{job.rule.name}, {', '.join(job.log) or 'no log'}" for job in workflow.scheduler.failed]
    started = workflow.start_time.timestamp()
    facts = RunFacts(
        results=results,
        how=how,
        started=started,
        wall=time.time() - started,
        cores=str(workflow.resource_settings.cores or ""),
        executor=workflow.executor_plugin.name,
        config=config_hash(config),
        config_files=[os.path.relpath(path) for path in workflow.configfiles],
        failed=sorted(failed),
    )
    try:
        write_page(facts, checkout)
    except Exception as error:
        logger.warning(f"{results}/run.md was not written: {error}")
