"""All that a run needs of Snakemake and that Snakemake does not promise to keep, each with the reason.

`missing_requirements` says in sentences what a version of Snakemake lacks; a test fails with them.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NamedTuple


class Requirement(NamedTuple):
    """A class or module of Snakemake, words that must stand in its source, and what they are needed for."""

    owner: str
    words: tuple[str, ...]
    reason: str


REQUIREMENTS = (
    Requirement(
        "snakemake.workflow.Workflow",
        ("def execute(", "def unlock(", "executor_plugin: ExecutorPlugin"),
        "`guard` wraps both: no hook stands between reading the Snakefile and taking Snakemake's own lock, and none at"
        " `--unlock`",
    ),
    Requirement(
        "snakemake.workflow.Workflow",
        ("def is_main_process(",),
        "a job's own process reads the Snakefile too, and must not hold the results folder",
    ),
    Requirement(
        "snakemake.workflow.Workflow",
        ("def local_exec(", "self.scheduler = JobScheduler(", "def executor_plugin("),
        "how a run stops depends on where its jobs run; no event of the log says so",
    ),
    Requirement(
        "snakemake.scheduling.job_scheduler.JobScheduler",
        ("def exit_gracefully(self, *args)", "signal.signal(signal.SIGTERM, self.exit_gracefully)"),
        "its handler of SIGTERM takes a lock that the interrupted code may hold, and then waits for ever: it is"
        " replaced, and called from a thread",
    ),
    Requirement(
        "snakemake.scheduling.job_scheduler.JobScheduler",
        ("self._executor = executor_plugin.executor(",),
        "the executor for SLURM gives all jobs of a run the name `run_uuid`; the next run looks for those left behind",
    ),
    Requirement(
        "snakemake.dag.DAG",
        ("def needrun_jobs(",),
        "whether a cluster has what is asked must be known before anything is submitted, with each job's resources",
    ),
    Requirement(
        "snakemake.common.configfile",
        ("def load_configfile(configpath)", "keys at top level", "is not valid JSON or YAML"),
        "its errors name no file; `error_messages.explain_command_line` takes the name from here",
    ),
    Requirement(
        "snakemake.logging",
        ("logger = logging.getLogger(__name__)", "StreamHandler", "except BrokenPipeError:"),
        "its handler raises when nobody reads the terminal's or pipe's other end; its stream is replaced by one that"
        " drops what is written",
    ),
)


def missing_requirements() -> Iterator[str]:
    """What this version of Snakemake lacks, a sentence for each."""
    import snakemake.api  # noqa: F401  first of all, or its modules import each other in a circle
    from snakemake.common import __version__

    for owner, words, reason in REQUIREMENTS:
        module, _, name = owner.rpartition(".")
        try:
            found = importlib.import_module(owner) if name.islower() else getattr(importlib.import_module(module), name)
            source = inspect.getsource(found)
        except (ImportError, AttributeError):
            source = ""
        for word in words:
            if word not in source:
                yield f"Snakemake {__version__}: {owner} has no `{word}` any more. Needed since {reason}."


def is_main_process(workflow: Any) -> bool:
    """Whether this is the process that schedules jobs, not one that Snakemake started for a job."""
    return bool(workflow.is_main_process)


def own_execution(workflow: Any) -> tuple[Callable[..., None], Callable[[], None]]:
    """Snakemake's own functions that run the workflow and that unlock its folder."""
    return workflow.execute, workflow.unlock


def wrap_execution(workflow: Any, execute: Callable[..., None], unlock: Callable[[], None]) -> None:
    """Have Snakemake call these in place of its own."""
    workflow.execute, workflow.unlock = execute, unlock


def executor_name(workflow: Any) -> str:
    """The executor's name: local, slurm, …"""
    return str(workflow.executor_plugin.name)


def runs_jobs_here(workflow: Any) -> bool:
    """Whether jobs run on this machine, under this process."""
    return bool(workflow.local_exec)


def has_scheduler(workflow: Any) -> bool:
    """Whether jobs may run already."""
    return getattr(workflow, "scheduler", None) is not None


def run_uuid(workflow: Any) -> str:
    """The name that the executor gives to all jobs of a run."""
    return str(workflow.scheduler._executor.run_uuid)


def jobs_to_run(workflow: Any) -> list[Any]:
    """The jobs that are to be run, with the resources that they ask for."""
    return list(workflow.dag.needrun_jobs())


def stop_scheduling(workflow: Any) -> None:
    """Start no further job. Waits for the scheduler's lock: never call it in a signal handler, but in a thread."""
    workflow.scheduler.exit_gracefully()


def replace_sigterm_handler(on_signal: Callable[[int, FrameType | None], None]) -> None:
    """Have the handler that the scheduler sets for SIGTERM be this one; called without arguments it is Snakemake's."""
    from snakemake.scheduling.job_scheduler import JobScheduler

    theirs = getattr(JobScheduler.exit_gracefully, "__wrapped__", JobScheduler.exit_gracefully)

    def exit_gracefully(scheduler: Any, *signal: Any) -> None:
        if signal:
            on_signal(*signal)
        else:
            theirs(scheduler)

    exit_gracefully.__wrapped__ = theirs  # type: ignore[attr-defined]
    JobScheduler.exit_gracefully = exit_gracefully
