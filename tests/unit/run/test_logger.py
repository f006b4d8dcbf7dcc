"""What is shown of a run, by Snakemake's logger plugin and without it."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry
from snakemake_interface_logger_plugins.tests import MockOutputSettings

from fieldguide.run import logger as run_logger
from fieldguide.run.logger import (
    ESTIMATE_AFTER,
    ESTIMATE_EVERY,
    NAME_AFTER,
    LogFollower,
    ProgressPrinter,
    begin_jobs,
    close_with,
    current_progress,
    follow_log,
    followed,
)
from fieldguide.run.progress import RunProgress
from tests.unit.run.events import fail, finish, make_record, plan, progress, start
from tests.unit.run.test_progress import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def printing(clock: Clock, lines: list[str]) -> LogFollower:
    run = RunProgress(clock, cores=2)
    return LogFollower(run, ProgressPrinter(run, lines.append, logging.LogRecord.getMessage))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    path = tmp_path / "benchmarks" / "train" / "a.tsv"
    path.parent.mkdir(parents=True)
    path.write_text("s\th:m:s\n40.0\t0:00:40\n")
    return tmp_path


def take(follower: LogFollower, *records: logging.LogRecord) -> None:
    for record in records:
        follower.handle(record)


def test_a_job_is_one_line(printing: LogFollower, lines: list[str], clock: Clock) -> None:
    words = [make_record(None, "Building DAG of jobs..."), make_record(LogEvent.SHELLCMD, "Shell command: …")]
    take(printing, *words, plan(train_adapter=1, all=1), start(4, "train_adapter", source="reed", ratio="7"))
    assert lines == []
    clock.now = 12.0
    take(printing, make_record(None, "Nothing of weight"), finish(4), progress(1, 2))
    assert lines == ["   12 s  1 of 2  train_adapter reed, 7, 12 s"]


def test_the_jobs_of_a_group_are_a_line_each(printing: LogFollower, lines: list[str]) -> None:
    take(printing, start(1, "train", ratio="1"), start(2, "train", ratio="2"), finish(1), finish(2), progress(12, 20))
    assert lines == ["    0 s  11 of 20  train 1, 0 s", "    0 s  12 of 20  train 2, 0 s"]


def test_a_long_line_is_cut(printing: LogFollower, lines: list[str]) -> None:
    take(printing, start(1, "train", name="x" * 200), finish(1), progress(1, 1))
    assert len(lines[0]) == 100 and lines[0].endswith("…")


def test_a_long_job_is_named_while_it_runs(printing: LogFollower, lines: list[str], clock: Clock) -> None:
    take(printing, start(4, "train_adapter", source="reed", ratio="7"))
    clock.now = NAME_AFTER
    printing.check_time()
    assert lines == []
    clock.now += 5
    printing.check_time()
    printing.check_time()
    assert lines == ["   35 s  at work: train_adapter reed, 7, 35 s"]


def test_trouble_is_passed_on_whole_and_all_that_is_said_after_it(printing: LogFollower, lines: list[str]) -> None:
    words = make_record(None, "Shutting down, this might take some time.")
    warning = make_record(None, "Stopping (SIGTERM): …", logging.WARNING)
    take(
        printing, words, start(4, "train"), fail(4, "train", "logs/7.log"), words, make_record(LogEvent.SHELLCMD, "sh")
    )
    assert lines == ["Error in rule train", words.getMessage()]
    take(printing, warning)
    assert lines[-1] == "Stopping (SIGTERM): …"


def test_the_time_left_is_said_now_and_then(
    printing: LogFollower, lines: list[str], clock: Clock, results: Path
) -> None:
    printing.results = results
    take(printing, plan(train=9))
    for moment in (1.0, ESTIMATE_EVERY + 1, ESTIMATE_EVERY + 2, 2 * ESTIMATE_EVERY + 2):
        clock.now = moment
        take(printing, progress(0, 9))
    assert lines == ["About 3.0 min left by what jobs took so far (9 jobs)."] * 2
    clock.now += ESTIMATE_AFTER - 1
    printing.check_time()
    assert len(lines) == 2
    clock.now += 1
    printing.check_time()  # though no job has ended
    assert len(lines) == 3


def test_an_estimate_that_fails_harms_no_run(
    printing: LogFollower, lines: list[str], clock: Clock, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_logger, "read_jobs", lambda results: 1 / 0)
    printing.results, clock.now = results, 99 * ESTIMATE_EVERY
    take(printing, progress(0, 9))
    assert lines == []


def test_while_jobs_run_it_looks_by_itself(
    printing: LogFollower, monkeypatch: pytest.MonkeyPatch, results: Path
) -> None:
    seen: list[float] = []
    monkeypatch.setattr(LogFollower, "check_time", lambda self: seen.append(1.0))
    printing.begin(results)
    until = time.monotonic() + 20
    while not seen:
        assert time.monotonic() < until
        time.sleep(0.05)
    printing.close()


@pytest.mark.parametrize("compact", [True, False])
def test_snakemake_finds_the_plugin(compact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    plugin = LoggerPluginRegistry().get_plugin("fieldguide")
    handler = plugin.log_handler(MockOutputSettings(), plugin.settings_cls(compact=compact))
    try:
        assert handler.writes_to_stream is compact and not handler.writes_to_file and followed.is_plugin
        for record in (plan(train=1), start(1, "train"), finish(1), progress(1, 1)):
            handler.handle(record)
        assert screen.getvalue() == ("    0 s  1 of 1  train, 0 s\n" if compact else "")
        assert current_progress().ended == {"train": 1}
        written: list[str] = []
        close_with(lambda: written.append("page"))
        assert not written  # records may still be on their way
    finally:
        handler.close()
    assert written == ["page"] and followed.follower is None


def test_without_the_plugin_the_log_is_followed_too(results: Path) -> None:
    log = logging.Logger("snakemake")
    follow_log(log)
    try:
        log.handle(plan(train=2))
        assert current_progress().planned == {"train": 2}
        written: list[str] = []
        close_with(lambda: written.append("page"))
        assert written == ["page"]
        begin_jobs(results)
    finally:
        assert followed.follower is not None
        followed.follower.close()
        followed.follower = None


def test_what_the_plugin_imports_is_light() -> None:
    """Every `snakemake` on this environment imports it, whatever workflow it runs."""
    code = (
        "import sys, snakemake_logger_plugin_fieldguide;"
        "print([name for name in ('torch', 'pandas', 'numpy', 'snakemake.workflow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
