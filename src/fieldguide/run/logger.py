"""Snakemake's log, followed: a line per job where that is asked for, the time left, and what `run.md` says of the run.

`snakemake --logger fieldguide` (the demo's profile has it) uses `LogHandler`, by Snakemake's plugin interface.
Without it `follow_log` listens to the same log, so that a run with another logger has its `run.md` too.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from fieldguide.core.streams import TolerantStream
from fieldguide.run.job_records import read_jobs
from fieldguide.run.progress import RunProgress, format_time_left

WIDTH = 100
NAME_AFTER = 30.0  # seconds without a line after which the jobs at work are named
ESTIMATE_EVERY = 30.0  # seconds between two estimates while jobs end
ESTIMATE_AFTER = 600.0  # and while none does

SELF_EXPLANATORY = (LogEvent.ERROR, LogEvent.JOB_ERROR, LogEvent.GROUP_ERROR)
"""Events that are shown as Snakemake words them."""


class ProgressPrinter:
    """A line for each job that ended; warnings and errors as Snakemake words them, and after one all that it says."""

    def __init__(
        self, progress: RunProgress, write: Callable[[str], None], format_record: Callable[[logging.LogRecord], str]
    ) -> None:
        self.progress, self.write, self.format_record = progress, write, format_record
        self.started = self.last = progress.clock()
        self.in_trouble = False

    def update(self, record: logging.LogRecord) -> None:
        """Print what a record is worth, after the progress has taken it."""
        event = getattr(record, "event", None)
        if event == LogEvent.PROGRESS:
            new = self.progress.take_new()
            width = len(str(self.progress.total))
            for number, (job, seconds) in enumerate(new, self.progress.done - len(new) + 1):
                self._print_timed(f"{number:>{width}} of {self.progress.total}  {job.label}, {seconds:.0f} s")
        elif event in SELF_EXPLANATORY or record.levelno >= logging.WARNING:
            self.in_trouble = True
            self._print(self.format_record(record))
        elif event is None and self.in_trouble and record.levelno >= logging.INFO:
            self._print(self.format_record(record))

    def print_estimate(self, sentence: str) -> None:
        self._print(sentence)

    def print_at_work(self) -> None:
        """After a long silence, name the jobs at work."""
        now, jobs = self.progress.clock(), list(self.progress.running.values())
        if jobs and now - self.last > NAME_AFTER:
            self._print_timed(f"at work: {'; '.join(f'{job.label}, {now - job.began:.0f} s' for job in jobs)}")

    def _print_timed(self, text: str) -> None:
        text = f"{self.progress.clock() - self.started:5.0f} s  {text}"
        self._print(text if len(text) <= WIDTH else text[: WIDTH - 1] + "…")

    def _print(self, text: str) -> None:
        self.last = self.progress.clock()
        if text and text != "None":
            self.write(text)


class LogFollower:
    """Takes a run's log, prints it where it has a printer, and says now and then how long the run will take."""

    def __init__(
        self,
        progress: RunProgress,
        printer: ProgressPrinter | None = None,
    ) -> None:
        self.progress, self.printer = progress, printer
        self.log = printer.print_estimate if printer else logging.getLogger("snakemake.logging").info
        self.results: Path | None = None
        self.estimated = progress.clock()
        self.at_close: list[Callable[[], None]] = []
        self.closing = threading.Event()
        self.lock = threading.Lock()

    def handle(self, record: logging.LogRecord) -> None:
        """Take one record."""
        with self.lock:
            self.progress.update(record)
            if self.printer:
                self.printer.update(record)
        if getattr(record, "event", None) == LogEvent.PROGRESS:
            self.estimate(ESTIMATE_EVERY)

    def begin(self, results: Path) -> None:
        """Jobs begin: look now and then until the run ends, since Snakemake says nothing while one takes hours."""
        self.results = results
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while not self.closing.wait(1.0):
            with contextlib.suppress(Exception):  # a line on the screen is worth no run
                self.check_time()

    def check_time(self) -> None:
        """Say what is due though no job has ended."""
        self.estimate(ESTIMATE_AFTER)
        if self.printer:
            with self.lock:
                self.printer.print_at_work()

    def estimate(self, after: float) -> None:
        """Log the time left, if so many seconds have passed since the last time."""
        if self.results is None or self.progress.clock() - self.estimated < after:
            return
        self.estimated = self.progress.clock()
        with contextlib.suppress(Exception):  # an estimate is worth no run
            if sentence := format_time_left(self.progress, read_jobs(self.results)):
                self.log(sentence)

    def close(self) -> None:
        """The log has ended, and every record of it was taken."""
        self.closing.set()
        while self.at_close:
            self.at_close.pop()()


@dataclass
class Followed:
    """The follower of this process's run, and whether Snakemake closes it when the log has ended."""

    follower: LogFollower | None = None
    is_plugin: bool = False


followed = Followed()


class LogHandler(LogHandlerBase):
    """Snakemake's logger plugin `fieldguide`. Snakemake hands it the records in a thread of its own."""

    def __post_init__(self) -> None:
        progress, printer = RunProgress(), None
        if self.is_compact:
            stream = TolerantStream(sys.stdout if self.common_settings.stdout else sys.stderr)
            printer = ProgressPrinter(progress, lambda text: print(text, file=stream, flush=True), self.format)
        self.follower = LogFollower(progress, printer)
        followed.follower, followed.is_plugin = self.follower, True

    @property
    def is_compact(self) -> bool:
        # A dry run is looked at for what Snakemake says of it.
        return bool(getattr(self.settings, "compact", False)) and not self.common_settings.dryrun

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):  # what is shown of a run harms it never
            self.follower.handle(record)

    def close(self) -> None:
        followed.follower, followed.is_plugin = None, False
        self.follower.close()
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        return self.is_compact

    @property
    def writes_to_file(self) -> bool:
        return False

    @property
    def has_filter(self) -> bool:
        return True  # progress counts what `--quiet` hides

    @property
    def has_formatter(self) -> bool:
        return False

    @property
    def needs_rulegraph(self) -> bool:
        return False


class FollowingHandler(logging.Handler):
    """Hands records to a follower; for a run without the plugin."""

    def __init__(self, follower: LogFollower) -> None:
        super().__init__()
        self.follower = follower

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(Exception):
            self.follower.handle(record)


def follow_log(logger: logging.Logger) -> None:
    """Follow a run's log without the plugin; nothing where the plugin does."""
    if not followed.is_plugin:
        followed.follower = LogFollower(RunProgress())
        logger.addHandler(FollowingHandler(followed.follower))


def close_with(page: Callable[[], None]) -> None:
    """Call this when every record of the log has been taken: at once, or when Snakemake closes the plugin."""
    if followed.follower and followed.is_plugin:
        followed.follower.at_close.append(page)
    else:
        page()


def current_progress() -> RunProgress:
    """What the log of this process's run has said so far."""
    return followed.follower.progress if followed.follower else RunProgress()


def begin_jobs(results: Path) -> None:
    """Jobs begin, and leave what they took in a results folder."""
    if followed.follower:
        followed.follower.begin(results)
