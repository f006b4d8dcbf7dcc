"""What the Snakefile does when a run starts and when it ends: the time left, and `run.md`.

The page is written from `onsuccess` and `onerror` and not by a rule: then it is there whatever target was asked for and
however the run ended, and it never gives a run that has nothing to do a job.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fieldguide.core.stage import ERRORS
from fieldguide.run.logger import begin_jobs, close_with, current_progress
from fieldguide.run.run_page import RunFacts, config_hash, write_page
from fieldguide.run.snakemake_internals import executor_name
from fieldguide.run.stopping import state

KILLED_MESSAGE = (
    "This job was killed outright, most often because the machine, or what the job had asked for, ran out of memory:"
    " run fewer jobs at once (--cores 1), or ask for more (--set-resources RULE:mem_mb=N), and run the same command"
    " again."
)


def shell_prefix() -> str:
    """What a rule's shell does first: keep a way past the log, and say that a stage was killed outright.

    A stage says on descriptor 3 what its log does not take (`stage.stop_with`); where standard error is closed, nobody
    reads that. The words travel in the environment, so that they do not stand in every command that Snakemake shows.
    """
    os.environ[ERRORS] = "3"
    os.environ["FIELDGUIDE_KILLED"] = KILLED_MESSAGE
    is_open = "[ -e /dev/fd/2 ] || exec 2>/dev/null; exec 3>&2; "
    return is_open + """trap '[ $? -ne 137 ] || echo "$FIELDGUIDE_KILLED" >&2' EXIT; """


def start_run(workflow: Any, results: Path) -> None:
    """For `onstart`."""
    state.jobs_began = True
    begin_jobs(results)


def end_run(workflow: Any, results: Path, checkout: Path, config: Mapping[str, Any], is_success: bool) -> None:
    """For `onsuccess` and `onerror`: write `run.md`. What goes wrong with it is logged, and harms nothing."""
    from snakemake.logging import logger

    state.jobs_ended = True
    how = "finished" if is_success else "was stopped" if state.stop_requested else "failed"
    progress, ended = current_progress(), time.time()
    executor = executor_name(workflow)

    def write() -> None:
        facts = RunFacts(
            results=results,
            how=how,
            started=progress.started,
            wall=ended - progress.started,
            cores=str(progress.cores or ""),
            executor=executor,
            config=config_hash(config),
            config_files=[os.path.relpath(path) for path in progress.config_files],
            failed=sorted(f"{rule}, {logs}" for rule, logs in progress.failed.values()),
        )
        try:
            write_page(facts, checkout)
        except Exception as error:
            logger.warning(f"{results}/run.md was not written: {error}")

    close_with(write)
