"""Where a run is, from the events of Snakemake's log: jobs planned, at work, ended and failed; and the time left."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fieldguide.run.job_records import Job

TARGETS = ("all", "everything")
"""Rules that run nothing."""


@dataclass(frozen=True)
class RunningJob:
    """A job at work: its rule, a label that tells it from the rule's others, and when it began, by the clock."""

    rule: str
    label: str
    threads: int
    began: float


@dataclass
class RunProgress:
    """What the log has said so far. Job ids are Snakemake's; times are seconds of `clock`, `started` of the epoch."""

    clock: Callable[[], float] = time.monotonic
    started: float = field(default_factory=time.time)
    cores: int | None = None  # on a cluster: None
    config_files: tuple[str, ...] = ()
    planned: Counter[str] = field(default_factory=Counter)  # jobs by rule
    ended: Counter[str] = field(default_factory=Counter)
    running: dict[int, RunningJob] = field(default_factory=dict)
    failed: dict[int, tuple[str, str]] = field(default_factory=dict)  # rule, log files
    done: int = 0
    total: int = 0
    new: list[tuple[RunningJob, float]] = field(default_factory=list)  # ended since the last progress, with seconds

    def update(self, record: logging.LogRecord) -> None:
        """Take one record of the log; those that are no event change nothing."""
        from snakemake_interface_logger_plugins.common import LogEvent

        event = vars(record)
        match event.get("event"):
            case LogEvent.WORKFLOW_STARTED:
                self.config_files = tuple(map(str, event.get("configfiles", ())))
            case LogEvent.RESOURCES_INFO if event.get("cores"):
                self.cores = event["cores"]
            case LogEvent.RUN_INFO:
                self.planned = Counter({rule: count for rule, count in event["stats"].items() if rule != "total"})
            case LogEvent.JOB_INFO:
                self.failed.pop(event["jobid"], None)  # it is tried again
                self.running[event["jobid"]] = RunningJob(
                    event["rule_name"], label_job(event), event["threads"], self.clock()
                )
            case LogEvent.JOB_FINISHED:
                if job := self.running.pop(event["job_id"], None):
                    self.ended[job.rule] += 1
                    self.new.append((job, self.clock() - job.began))
            case LogEvent.JOB_ERROR:
                self._fail(event)
            case LogEvent.GROUP_ERROR:
                for each in event["job_error_info"]:
                    self._fail(each)
            case LogEvent.PROGRESS:
                self.done, self.total = event["done"], event["total"]

    def _fail(self, event: Mapping[str, Any]) -> None:
        self.running.pop(event["jobid"], None)
        self.failed[event["jobid"]] = (event["rule_name"], ", ".join(map(str, event["log"])) or "no log")

    def take_new(self) -> list[tuple[RunningJob, float]]:
        """The jobs that ended since this was asked last, each with its seconds."""
        taken, self.new = self.new, []
        return taken

    def count_waiting(self) -> Counter[str]:
        """Jobs by rule that have not begun."""
        begun = self.ended + Counter(job.rule for job in self.running.values())
        return self.planned - begun - Counter(rule for rule, _ in self.failed.values())


def label_job(event: Mapping[str, Any]) -> str:
    """A job in a few words: its rule's message, or the rule and its wildcards' values."""
    values = ", ".join(map(str, dict(event["wildcards"] or {}).values()))
    return str(event["rule_msg"] or f"{event['rule_name']} {values}".rstrip())


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


def format_time(seconds: float) -> str:
    """A time span in the units that suit it."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def format_time_left(progress: RunProgress, timed: Sequence[Job]) -> str:
    """How long the run will take, by what jobs took so far; empty where nothing is left."""
    seconds: dict[str, list[float]] = {}
    threads: dict[str, int] = {}
    for job in timed:
        seconds.setdefault(job.rule, []).append(job.seconds)
        threads[job.rule] = max(job.threads, threads.get(job.rule, 1))
    running, now = list(progress.running.values()), progress.clock()

    def share(threads: int) -> float:
        return min(1.0, threads / progress.cores) if progress.cores else 1 / max(1, len(running))

    left = [(job.rule, share(job.threads), now - job.began) for job in running]
    left += [(rule, share(threads.get(rule, 1)), 0.0) for rule in progress.count_waiting().elements()]
    left = [each for each in left if each[0] not in TARGETS]
    if not left:
        return ""
    total, unknown = time_left({rule: sum(of) / len(of) for rule, of in seconds.items()}, left)
    names = ", ".join(unknown) if len(unknown) < 4 else f"{len(unknown)} other rules"
    more = f", and what {names} will take: not timed yet" if unknown else ""
    return f"About {format_time(max(total, 1))} left by what jobs took so far ({len(left)} jobs){more}."
