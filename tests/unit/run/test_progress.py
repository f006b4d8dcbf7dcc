"""Where a run is, from the events of its log."""

from __future__ import annotations

import logging

import pytest
from snakemake_interface_logger_plugins.common import LogEvent

from fieldguide.run.job_records import Job
from fieldguide.run.progress import RunProgress, format_time_left, time_left
from tests.unit.run.events import fail, finish, make_record, plan, progress, start


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def run(clock: Clock) -> RunProgress:
    return RunProgress(clock, cores=2)


def take(run: RunProgress, *records: logging.LogRecord) -> None:
    for record in records:
        run.update(record)


TIMED = [Job("train", name, seconds, None, None, True) for name, seconds in (("a", 30.0), ("b", 50.0))] + [
    Job("encode", "a", 600.0, None, None, True)
]
"""Means: train 40 s, encode 600 s."""


def test_jobs_begin_end_and_fail(run: RunProgress, clock: Clock) -> None:
    take(run, plan(train=3, all=1), start(1, "train", ratio="10"), start(2, "train", ratio="20"))
    clock.now = 5.0
    take(run, finish(1), fail(2, "train", "logs/train/20.log"), progress(1, 4), make_record(None, "any words"))
    (job, seconds), *others = run.take_new()
    assert (job.rule, job.label, seconds) == ("train", "train 10", 5.0) and not others and not run.take_new()
    assert run.failed == {2: ("train", "logs/train/20.log")} and not run.running
    assert run.count_waiting() == {"train": 1, "all": 1} and (run.done, run.total) == (1, 4)


def test_a_job_that_is_tried_again_has_not_failed(run: RunProgress) -> None:
    take(run, plan(train=1), start(1, "train"), fail(1, "train"))
    assert run.failed == {1: ("train", "no log")}
    take(run, start(1, "train"), finish(1))
    assert not run.failed and not run.count_waiting()


def test_the_jobs_of_a_group_fail_together(run: RunProgress) -> None:
    each = [{"jobid": number, "rule_name": "train", "log": []} for number in (1, 2)]
    take(run, start(1, "train"), start(2, "train"), make_record(LogEvent.GROUP_ERROR, job_error_info=each))
    assert sorted(run.failed) == [1, 2] and not run.running


def test_cores_are_heard_of(run: RunProgress) -> None:
    take(run, make_record(LogEvent.RESOURCES_INFO, cores=8), make_record(LogEvent.RESOURCES_INFO, nodes=64))
    assert run.cores == 8


def test_a_rules_message_is_its_label(run: RunProgress) -> None:
    take(run, start(1, "download", message="Downloading CUB", archive="cub"))
    assert run.running[1].label == "Downloading CUB"


def test_time_left_is_the_work_left_over_the_machine() -> None:
    # Four jobs of 10 s on half the machine each; one has been at work for 4 s and one for too long; a rule that never
    # ran is named.
    left = [("train", 0.5, 0.0), ("train", 0.5, 0.0), ("train", 0.5, 4.0), ("train", 0.5, 99.0), ("tabulate", 0.5, 0.0)]
    assert time_left({"train": 10.0, "encode": 99.0}, left) == (13.0, ["tabulate"])
    assert time_left({}, []) == (0.0, [])


def test_the_sentence(run: RunProgress, clock: Clock) -> None:
    # On two cores: 3 x 40 / 2 + 600 / 2, and one training half done, 20 / 2.
    take(run, plan(train=4, encode=1, all=1), start(1, "train"))
    clock.now = 20.0
    assert format_time_left(run, TIMED) == "About 6.2 min left by what jobs took so far (5 jobs)."


def test_the_sentence_names_rules_that_are_not_timed_yet() -> None:
    run = RunProgress(cores=2)
    take(run, plan(train=1, plot=1))
    assert format_time_left(run, TIMED) == (
        "About 20.0 s left by what jobs took so far (2 jobs), and what plot will take: not timed yet."
    )
    take(run, plan(a=1, b=1, c=1, d=1))
    assert "and what 4 other rules will take: not timed yet." in format_time_left(run, TIMED)
    take(run, plan(all=1))
    assert format_time_left(run, TIMED) == ""


def test_on_a_cluster_jobs_at_work_share_the_time() -> None:
    run = RunProgress(lambda: 0.0)
    take(run, plan(train=4), start(1, "train"), start(2, "train"))
    assert format_time_left(run, TIMED).startswith("About 80.0 s left")
