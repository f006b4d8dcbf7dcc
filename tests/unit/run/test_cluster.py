"""What is checked before jobs are handed to a cluster, with a cluster that a test makes up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fieldguide.core import files
from fieldguide.core.errors import FieldguideError
from fieldguide.run import cluster
from fieldguide.run.cluster import QueuedJob, System, check_cluster, parse_queue, refuse_earlier, refuse_without_gpus


def workflow(run: str, executor: str = "made-up", jobs: tuple[Any, ...] = ()) -> Any:
    """As much of Snakemake's workflow as is looked at."""
    return SimpleNamespace(
        executor_plugin=SimpleNamespace(name=executor),
        scheduler=SimpleNamespace(_executor=SimpleNamespace(run_uuid=run)),
        dag=SimpleNamespace(needrun_jobs=lambda: jobs),
    )


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[QueuedJob]:
    """The jobs of a cluster, to change, in a folder that is the run's."""
    jobs: list[QueuedJob] = []
    system = System(lambda: list(jobs), lambda partition: partition == "gpu", "partition", "cancel-jobs")
    monkeypatch.setitem(cluster.SYSTEMS, "made-up", system)
    monkeypatch.chdir(tmp_path)
    return jobs


def test_a_queue_is_read_and_other_lines_are_not():
    said = "12|run_a|RUNNING\n 13_4|b|PENDING \nslurm_load_jobs error\n"
    assert parse_queue(said) == [QueuedJob("12", "run_a", "RUNNING"), QueuedJob("13_4", "b", "PENDING")]


def test_jobs_of_an_earlier_run_are_refused_with_the_command_that_ends_them(queue: list[QueuedJob]):
    check_cluster(workflow("first"), "results/tiny")
    queue += [QueuedJob("7", "first", "RUNNING"), QueuedJob("8", "first", "PENDING"), QueuedJob("9", "else", "RUNNING")]
    with pytest.raises(FieldguideError, match=r"7 \(running\), 8 \(pending\).*`cancel-jobs 7 8`") as refused:
        check_cluster(workflow("second"), "results/tiny")
    assert "9" not in str(refused.value)
    # The refused run has submitted nothing: the first one's jobs are still those to look for.
    with pytest.raises(FieldguideError, match="`cancel-jobs 7 8`"):
        check_cluster(workflow("third"), "results/tiny")
    queue.clear()
    check_cluster(workflow("fourth"), "results/tiny")
    queue.append(QueuedJob("10", "fourth", "PENDING"))
    with pytest.raises(FieldguideError, match="10"):
        check_cluster(workflow("fifth"), "results/tiny")


def test_other_results_are_not_in_the_way(queue: list[QueuedJob]):
    check_cluster(workflow("first"), "results/tiny")
    queue.append(QueuedJob("7", "first", "RUNNING"))
    check_cluster(workflow("second"), "results/aviary")


def test_on_one_machine_nothing_is_asked_or_written(queue: list[QueuedJob], tmp_path: Path):
    check_cluster(workflow("first", executor="local"), "results/tiny")
    assert list(tmp_path.iterdir()) == []


def test_jobs_that_are_ending_are_waited_for():
    answers = iter([[QueuedJob("7", "first", "COMPLETING")], []])
    refuse_earlier(lambda: next(answers), {"first"}, "cancel-jobs", 60)
    with pytest.raises(FieldguideError, match="7"):
        refuse_earlier(lambda: [QueuedJob("7", "first", "COMPLETING")], {"first"}, "cancel-jobs", 0)


def test_a_long_queue_is_told_in_short_and_cancelled_whole():
    jobs = [QueuedJob(str(number), "first", "PENDING") for number in range(100, 150)]
    with pytest.raises(FieldguideError, match=r"50 jobs of .* and 30 more\. ") as refused:
        refuse_earlier(lambda: jobs, {"first"}, "cancel-jobs", 0)
    assert " ".join(job.id for job in jobs) in str(refused.value)


def test_a_rule_with_a_gpu_in_a_partition_without_is_named():
    def has_gpus(partition: str) -> bool:
        return partition == "gpu"

    refuse_without_gpus([("index", 0, "cpu"), ("encode", 1, "gpu"), ("encode", 1, "")], has_gpus, "slurm_partition")
    with pytest.raises(FieldguideError, match=r"rule encode asks for 1 GPU, but partition cpu .*`slurm_partition`"):
        refuse_without_gpus([("index", 0, "cpu"), ("encode", 1, "cpu")], has_gpus, "slurm_partition")


def test_a_refused_partition_leaves_the_earlier_runs_name(queue: list[QueuedJob]):
    check_cluster(workflow("first"), "results/tiny")
    job = SimpleNamespace(is_local=False, rule=SimpleNamespace(name="encode"), resources={"gpu": 1, "partition": "cpu"})
    with pytest.raises(FieldguideError, match="rule encode"):
        check_cluster(workflow("second", jobs=(job,)), "results/tiny")
    queue.append(QueuedJob("7", "first", "RUNNING"))
    with pytest.raises(FieldguideError, match="7"):
        check_cluster(workflow("third"), "results/tiny")


def test_a_disk_that_fails_leaves_the_earlier_runs_name(queue: list[QueuedJob], monkeypatch: pytest.MonkeyPatch):
    check_cluster(workflow("first"), "results/tiny")

    def fail(path: Path) -> None:
        raise OSError(5, "Input/output error", str(path))

    with monkeypatch.context() as patched, pytest.raises(OSError, match="Input/output error"):
        patched.setattr(files, "flush_to_disk", fail)
        check_cluster(workflow("second"), "results/tiny")
    queue.append(QueuedJob("7", "first", "RUNNING"))
    with pytest.raises(FieldguideError, match="7"):
        check_cluster(workflow("third"), "results/tiny")


def test_a_command_that_is_missing_or_fails_is_a_sentence():
    with pytest.raises(FieldguideError, match="`no-such-command-here` could not be run"):
        cluster.ask("no-such-command-here")
    with pytest.raises(FieldguideError, match="`sh -c echo down >&2; exit 3` failed: down; once"):
        cluster.ask("sh", "-c", "echo down >&2; exit 3")
