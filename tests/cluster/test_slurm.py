"""The SLURM profile on a real SLURM: the same table as without, and through every fault that a cluster has."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.cluster.runs import forget_cells, most_at_once, plant, started, submit
from tests.cluster.slurm import Cluster, Job, run, wait_until
from tests.workflow_runs import ADAPTERS, TABLES, WHOLE, Answer, copy_checkout, copy_run, results_of

# The first test waits for two whole runs; on a busy machine each takes minutes.
pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1800)]

ON_GPU = ("encode_images", "encode_texts", "train_qformer", "translate_texts")
HERE = ("plan_images", "generate_texts", *TABLES)
"""Small jobs, which run where Snakemake runs."""
CELLS = ADAPTERS["train_adapter"]
BUNDLE = "rule_cells_train_adapter"


def new_jobs(cluster: Cluster, after: int) -> list[Job]:
    """The jobs that were submitted since."""
    return [job for job in cluster.jobs() if job.id > after]


def last_job(cluster: Cluster) -> int:
    """The highest job id so far."""
    return max((job.id for job in cluster.jobs()), default=0)


def named(rule: str, jobs: list[Job]) -> list[Job]:
    """The jobs of a rule."""
    return [job for job in jobs if job.comment == rule or job.comment.startswith(f"{rule}_wildcards_")]


@pytest.fixture(scope="module")
def on_cluster(cluster: Cluster, finished: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Job]]:
    """The tiny run on the cluster, from nothing, and its jobs."""
    folder = copy_checkout(tmp_path_factory.mktemp("slurm") / "checkout", finished)
    before = last_job(cluster)
    answer = submit(folder)
    assert answer.code == 0, answer.text
    return folder, new_jobs(cluster, before)


def test_the_run_ends_in_the_same_bytes_as_without_a_cluster(on_cluster: tuple[Path, list[Job]], finished: Path):
    ours, theirs = results_of(on_cluster[0]), results_of(finished)
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []


def test_cells_share_a_submission_and_small_jobs_make_none(on_cluster: tuple[Path, list[Job]]):
    jobs = on_cluster[1]
    assert len(named(BUNDLE, jobs)) == 1 and not named("rule_train_adapter", jobs)
    expected = {rule: count for rule, count in WHOLE.items() if rule not in HERE and rule != "train_adapter"}
    assert {rule: len(named(f"rule_{rule}", jobs)) for rule in expected} == expected
    assert len(jobs) == sum(expected.values()) + 1
    assert {job.state for job in jobs} == {"COMPLETED"}


def test_gpu_rules_land_on_the_gpu_node_two_at_once_at_most(on_cluster: tuple[Path, list[Job]]):
    jobs = on_cluster[1]
    with_gpu = [job for rule in ON_GPU for job in named(f"rule_{rule}", jobs)]
    assert len(with_gpu) == sum(WHOLE[rule] for rule in ON_GPU)
    assert {job.node for job in with_gpu} == {"g1"}
    assert most_at_once(with_gpu) == 2
    others = [job for job in jobs if job not in with_gpu]
    assert {job.node for job in others} <= {"c1", "c2"}
    # `gres:gpu:1`, and `N/A` where none was asked for.
    assert all("gpu" in job.gpus for job in with_gpu) and not any("gpu" in job.gpus for job in others)


def test_a_second_start_submits_nothing(cluster: Cluster, on_cluster: tuple[Path, list[Job]]):
    before = last_job(cluster)
    answer = submit(on_cluster[0])
    assert answer.code == 0 and answer.says_nothing_to_do
    assert last_job(cluster) == before


def test_one_lost_cell_is_trained_alone(cluster: Cluster, finished: Path, tmp_path: Path):
    folder, faults = copy_run(finished, tmp_path / "checkout"), plant(tmp_path / "faults")
    before, jobs_before = results_of(folder), last_job(cluster)
    (cell,) = (folder / "results/tiny/adapters").rglob("reed/class-wise/fixed/ratio-50.json")
    cell.unlink()
    answer = submit(folder, first=(faults.folder,))
    assert answer.code == 0, answer.text
    assert [Path(path) for path in faults.started] == [cell.relative_to(folder)]
    assert [job.comment for job in new_jobs(cluster, jobs_before)] == [BUNDLE]
    assert results_of(folder) == before


def test_a_partition_without_gpus_is_refused_before_anything_is_submitted(
    cluster: Cluster, finished: Path, tmp_path: Path
):
    folder, before = copy_checkout(tmp_path / "checkout", finished), last_job(cluster)
    profile = folder / "profiles/slurm/profile.yaml"
    profile.write_text(profile.read_text().replace("slurm_partition: gpu ", "slurm_partition: cpu "))
    answer = submit(folder)
    assert answer.code != 0 and "Traceback" not in answer.text
    assert re.search(
        r"rule (\w+) asks for 1 GPU, but partition cpu has no node with GPUs, or .*; name one .*, \1, ", answer.text
    )
    assert last_job(cluster) == before


def test_what_fails_overruns_is_cancelled_or_loses_its_node_is_tried_again(
    cluster: Cluster, finished: Path, tmp_path: Path
):
    """A submission per cell, and four of them struck."""
    folder = copy_run(finished, tmp_path / "checkout")
    before, jobs_before = results_of(folder), last_job(cluster)
    assert forget_cells(folder) == CELLS
    faults = plant(
        tmp_path / "faults",
        {"cell": "none/class-wise/fixed/ratio-100.", "sleep": 900},
        {"cell": "reed/class-wise/fixed/ratio-50.", "sleep": 900},
        {"cell": "aviary-llm/class-wise/fixed/ratio-50.", "sleep": 900},
        {"cell": "reed/global/per-epoch/ratio-50.", "fail": True},
    )

    def asleep() -> list[Job]:
        """Jobs whose cell sleeps, in the order in which they fell asleep."""
        return [job for job in new_jobs(cluster, jobs_before) if job.state == "RUNNING"]

    def seen(state: str) -> bool:
        return any(job.state == state for job in new_jobs(cluster, jobs_before))

    output = tmp_path / "output.txt"
    options = ("--group-components", "cells=1", "--set-resources", "train_adapter:runtime=5")
    with started(folder, output, *options, first=(faults.folder,)) as driver:
        wait_until(lambda: len(list(faults.folder.glob("*.done"))) == 4 and seen("FAILED"), 300, "four faults")
        wait_until(lambda: len(asleep()) == 3, 300, "three cells that sleep alone")
        cancelled, overrun, crashed = asleep()
        run("scancel", str(cancelled.id))
        # Shorter than a profile could say it: a minute is the least there.
        run("scontrol", "update", f"JobId={overrun.id}", "TimeLimit=0:01")
        wait_until(lambda: seen("CANCELLED") and seen("TIMEOUT"), 180, "cancelled job and one out of time")
        cluster.crash_node(crashed.node)
        try:
            wait_until(lambda: seen("NODE_FAIL"), 180, "job that lost its node")
            assert driver.wait(timeout=500) == 0, output.read_text()
        finally:
            cluster.start_node(crashed.node)
    wait_until(lambda: crashed.node in cluster.nodes("idle"), 60, "return of the crashed node")
    states = Counter(job.state for job in new_jobs(cluster, jobs_before))
    # The node took others with it that ran there by then.
    assert states.pop("NODE_FAIL") >= 1
    assert states == {"COMPLETED": CELLS, "FAILED": 1, "CANCELLED": 1, "TIMEOUT": 1}
    assert faults.twice_at_once == []
    assert results_of(folder) == before


def test_a_bundle_in_which_a_cell_fails_is_tried_again(cluster: Cluster, finished: Path, tmp_path: Path):
    folder = copy_run(finished, tmp_path / "checkout")
    before, jobs_before = results_of(folder), last_job(cluster)
    count = forget_cells(folder, "reed/class-wise")
    faults = plant(tmp_path / "faults", {"cell": "reed/class-wise/fixed/ratio-10.", "fail": True})
    answer = submit(folder, first=(faults.folder,))
    assert answer.code == 0, answer.text
    jobs = new_jobs(cluster, jobs_before)
    assert [(job.comment, job.state) for job in jobs] == [(BUNDLE, "FAILED"), (BUNDLE, "COMPLETED")]
    assert len(set(faults.started)) == count == 3
    assert faults.twice_at_once == []
    assert results_of(folder) == before


def test_after_the_driver_is_killed_no_job_runs_beside_its_double(cluster: Cluster, finished: Path, tmp_path: Path):
    folder = copy_run(finished, tmp_path / "checkout")
    before, jobs_before = results_of(folder), last_job(cluster)
    assert forget_cells(folder) == CELLS
    faults = plant(tmp_path / "faults", {"cell": "ratio-", "sleep": 15})
    output, options = tmp_path / "output.txt", ("--group-components", "cells=2")
    with started(folder, output, *options, first=(faults.folder,)) as driver:

        def has_both() -> bool:
            states = {job.state for job in new_jobs(cluster, jobs_before)}
            return {"RUNNING", "PENDING"} <= states and bool(faults.started)

        wait_until(has_both, 200, "jobs running and queued")
        os.killpg(driver.pid, signal.SIGKILL)
        driver.wait(timeout=60)

    def left() -> list[Job]:
        return [job for job in new_jobs(cluster, jobs_before) if job.state in ("RUNNING", "PENDING", "COMPLETING")]

    orphans = left()
    assert {"RUNNING", "PENDING"} <= {job.state for job in orphans}

    locked = submit(folder, *options, first=(faults.folder,))
    assert locked.code != 0 and "--unlock" in locked.text
    assert submit(folder, "--unlock").code == 0

    last = last_job(cluster)
    refused = submit(folder, *options, first=(faults.folder,))
    assert refused.code != 0 and "Traceback" not in refused.text
    assert "jobs of an earlier run on these results are still on the cluster: " in refused.text
    assert last_job(cluster) == last and left()

    # As the sentence says it.
    (told,) = [line.partition("Run `")[2].partition("`")[0] for line in refused.text.splitlines() if "Run `" in line]
    words = told.split()
    assert words[0] == "scancel" and {str(job.id) for job in left()} <= set(words[1:])
    run(*words)
    again = submit(folder, *options, first=(faults.folder,))
    assert again.code == 0, again.text
    assert faults.twice_at_once == []
    assert results_of(folder) == before


def test_control_c_takes_its_jobs_off_the_cluster(cluster: Cluster, finished: Path, tmp_path: Path):
    folder = copy_run(finished, tmp_path / "checkout")
    before, jobs_before = results_of(folder), last_job(cluster)
    forget_cells(folder, "none/class-wise")
    faults = plant(tmp_path / "faults", {"cell": "ratio-50.", "sleep": 900})
    output = tmp_path / "output.txt"
    with started(folder, output, first=(faults.folder,)) as driver:
        wait_until(lambda: any(faults.folder.glob("*.done")), 300, "cell that sleeps")
        os.killpg(driver.pid, signal.SIGINT)
        assert driver.wait(timeout=120) != 0
    wait_until(
        lambda: not [job for job in new_jobs(cluster, jobs_before) if job.state != "CANCELLED"], 120, "end of it"
    )
    again = submit(folder, first=(faults.folder,))
    assert again.code == 0, again.text
    assert results_of(folder) == before


def test_the_driver_of_another_results_folder_is_not_in_the_way(cluster: Cluster, finished: Path, tmp_path: Path):
    """A run in the same checkout whose results are others' may be alive and have jobs on the cluster."""
    folder = copy_run(finished, tmp_path / "checkout")
    jobs_before = last_job(cluster)
    run("sbatch", "--job-name=of_another_run", f"--chdir={folder}", "--output=/dev/null", "--wrap=sleep 60")
    (cell,) = (folder / "results/tiny/adapters").rglob("reed/class-wise/fixed/ratio-50.json")
    cell.unlink()
    answer = submit(folder)
    assert answer.code == 0, answer.text
    assert Answer(0, answer.text).ran["tabulate_accuracy"] == 1
    run("scancel", "--name=of_another_run")
    assert len(new_jobs(cluster, jobs_before)) == 2
