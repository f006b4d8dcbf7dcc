"""What stands around Snakemake's run: the lock of the results folder, signals, and output that nobody reads any more.

The Snakefile calls `guard` before it says anything of rules.
"""

from __future__ import annotations

import errno
import logging
import os
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fieldguide.core.errors import FieldguideError, format_os_error, hint_for_os_error, user_name
from fieldguide.core.stage import STOPPED
from fieldguide.core.streams import TolerantStream, discard_output, open_missing_descriptors
from fieldguide.run.lock import hold, open_lock, read_holder, refusal, remove_unfinished, try_lock, write_holder
from fieldguide.run.logger import follow_log
from fieldguide.run.snakemake_internals import is_main_process, own_execution, replace_sigterm_handler, wrap_execution
from fieldguide.run.stopping import make_handler, state, stop_on_signals

NO_ACCESS = (errno.EACCES, errno.EPERM, errno.EROFS)


CLOCK_TOLERANCE = 120.0
"""Seconds by which a file's time may lie ahead of this machine's clock: a file server's clock is another one."""


def refuse_future(results: Path) -> None:
    """Raises FieldguideError where a result is from the future: whatever is changed now would look older than it."""
    limit = time.time() + CLOCK_TOLERANCE
    for folder, _, names in os.walk(results):
        for name in names:
            try:
                made = os.lstat(f"{folder}/{name}").st_mtime  # half the time of a Path's, for 20,000 files
            except OSError:  # a job of another run takes its files away
                continue
            if made > limit:
                when = time.strftime("%Y-%m-%d %H:%M", time.localtime(made))
                raise FieldguideError(
                    f"{folder}/{name} was made at {when}, which is yet to come: the clock was set back, and what is"
                    " changed now would count as older; set the clock right, or say that the results are up to date by"
                    f""" `find {shlex.quote(str(results))} -exec touch -h -d "$(date)" {{}} +`"""
                )


def guard(workflow: Any, results: Path) -> None:
    """Have Snakemake's main process hold the lock while it runs jobs, and unlock only what nobody holds.

    Every process that reads the Snakefile, a job's on a cluster too, ends on SIGTERM, and goes on without its reader.
    """
    from snakemake.exceptions import WorkflowError
    from snakemake.logging import logger

    # A log that cannot be written fills the terminal with tracebacks otherwise, and nobody finds the sentence.
    logging.raiseExceptions = False
    open_missing_descriptors()
    tolerate_lost_readers(logger)
    replace_sigterm_handler(make_handler(workflow))
    if not is_main_process(workflow):
        return
    follow_log(logger)
    execute, unlock = own_execution(workflow)

    def guarded_execute(*args: Any, executor_plugin: Any, **options: Any) -> None:
        try:
            refuse_future(results)
            if executor_plugin.common_settings.dryrun_exec:
                return execute(*args, executor_plugin=executor_plugin, **options)
            with hold(results, executor_plugin.name, logger.warning), stop_on_signals(workflow):
                try:
                    beside_others(lambda: execute(*args, executor_plugin=executor_plugin, **options))
                finally:
                    # Of jobs that were killed outright. A cluster's may still be at work on theirs.
                    if state.jobs_began and executor_plugin.common_settings.local_exec:
                        remove_unfinished(results)
        except FieldguideError as error:
            raise WorkflowError(str(error)) from None
        except OSError as error:  # of Snakemake's own notes
            if not hint_for_os_error(error.errno):
                raise
            raise WorkflowError(format_notes_error(error)) from None
        except KeyboardInterrupt:
            raise WorkflowError(f"The run was {STOPPED}.") from None
        except WorkflowError:
            if state.stop_requested:
                raise WorkflowError(f"The run was {STOPPED}; what is finished is kept.") from None
            raise
        return None

    def guarded_unlock() -> None:
        try:
            descriptor = open_lock(results)
            try:
                if not try_lock(descriptor):
                    raise refusal(results, read_holder(descriptor))
                unlock()
                write_holder(descriptor, None)
            finally:
                os.close(descriptor)
        except FieldguideError as error:
            raise WorkflowError(str(error)) from None

    wrap_execution(workflow, guarded_execute, guarded_unlock)


def tolerate_lost_readers(logger: logging.Logger) -> None:
    """Have a log drop what its terminal or pipe takes no more; its files are as they were."""
    for handler in logger.handlers:
        if not isinstance(handler, logging.StreamHandler) or isinstance(handler, logging.FileHandler):
            continue
        if handler.stream is not None and not isinstance(handler.stream, TolerantStream):
            tolerant = TolerantStream(handler.stream)
            try:
                handler.setStream(tolerant)  # it flushes the former one
            except OSError:
                discard_output(handler.stream.fileno())
                handler.setStream(tolerant)


def format_notes_error(error: OSError, notes: Path = Path(".snakemake")) -> str:
    """A sentence on an error of Snakemake's own notes: they lie where it runs, whatever `results` says."""
    error.filename = error.filename or notes.absolute()
    if error.errno not in NO_ACCESS or notes.absolute() not in (
        Path(error.filename),
        *Path(error.filename).parents,
    ):
        return format_os_error(error)
    return (
        f"{error.filename}: {error.strerror}; Snakemake keeps its notes there: give {user_name()} the right to write"
        f" {notes.absolute()} and all in it, or run in a folder of your own with --directory"
    )


def beside_others(execute: Callable[[], None], locks: Path = Path(".snakemake/locks")) -> None:
    """Execute; once more where the end of a run on another results folder took Snakemake's folder of locks from us.

    That happens before the first job or after the last one: the second time begins anew, or finds nothing to do.
    """
    for _ in range(3):
        try:
            return execute()
        except FileNotFoundError as error:
            if locks.as_posix() not in str(error.filename):
                raise
            locks.mkdir(parents=True, exist_ok=True)
    return execute()
