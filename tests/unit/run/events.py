"""Records as Snakemake logs them, with what is read of each event."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from snakemake_interface_logger_plugins.common import LogEvent


def make_record(
    event: LogEvent | None, message: str = "", level: int = logging.INFO, **said: object
) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"event": event, "msg": message, "levelno": level, **said} if event else {"msg": message, "levelno": level}
    )


def plan(**jobs: int) -> logging.LogRecord:
    return make_record(LogEvent.RUN_INFO, stats={**jobs, "total": sum(jobs.values())})


def start(number: int, rule: str, threads: int = 1, message: str | None = None, **wildcards: str) -> logging.LogRecord:
    said: Mapping[str, object] = {
        "jobid": number,
        "rule_name": rule,
        "rule_msg": message,
        "threads": threads,
        "wildcards": wildcards,
    }
    return make_record(LogEvent.JOB_INFO, **said)


def finish(number: int) -> logging.LogRecord:
    return make_record(LogEvent.JOB_FINISHED, job_id=number)


def progress(done: int, total: int) -> logging.LogRecord:
    return make_record(LogEvent.PROGRESS, done=done, total=total)


def fail(number: int, rule: str, *log: str) -> logging.LogRecord:
    said: Mapping[str, object] = {"jobid": number, "rule_name": rule, "log": list(log)}
    return make_record(LogEvent.JOB_ERROR, f"Error in rule {rule}", logging.ERROR, **said)
