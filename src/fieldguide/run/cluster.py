"""Checks before a run hands jobs to a cluster: none of an earlier run is left there, and partitions have what is asked.

A run that is killed outright leaves its jobs on the cluster. Started again, Snakemake knows nothing of them and would
submit them once more, beside the first. So every run puts down the name that its jobs have, and the next one on the
same results looks for it. The rules know nothing of this: the Snakefile calls `check_cluster`, which does nothing for
an executor that it does not know.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import write_text
from fieldguide.run.snakemake_internals import executor_name, jobs_to_run, run_uuid

RUNS = Path(".snakemake") / "fieldguide_runs"
"""One file per results folder: the names of the runs whose jobs may still be on the cluster."""
QUEUE_TIMEOUT = 60
"""Seconds to wait for cancelled jobs to be gone."""
MAX_NAMED = 20
"""Jobs that a message names."""


@dataclass(frozen=True)
class QueuedJob:
    """A job that a cluster holds: its id, the name of its run, and its state in the cluster's word."""

    id: str
    run: str
    state: str


def ask(*argv: str) -> str:
    """What a command of the cluster says."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FieldguideError(f"`{' '.join(argv)}` could not be run: {error}") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise FieldguideError(f"`{' '.join(argv)}` failed: {lines[0]}; once the cluster answers, run the same command")
    return done.stdout


def parse_queue(text: str) -> list[QueuedJob]:
    """Jobs from lines of `id|run|state`."""
    rows = [line.split("|") for line in text.splitlines() if line.count("|") == 2]
    return [QueuedJob(*(word.strip() for word in row)) for row in rows]


def slurm_queue() -> list[QueuedJob]:
    """Everybody's jobs that are queued, running or ending."""
    return parse_queue(ask("squeue", "--noheader", "--format=%A|%j|%T"))


def slurm_gpus(partition: str) -> bool:
    """Whether a node of the partition has GPUs."""
    return "gpu" in ask("sinfo", "--noheader", f"--partition={partition}", "--format=%G")


@dataclass(frozen=True)
class System:
    """What has to be asked of a cluster, and by which command its jobs are cancelled."""

    queue: Callable[[], list[QueuedJob]]
    has_gpus: Callable[[str], bool]
    partition: str
    cancel: str


SYSTEMS = {"slurm": System(slurm_queue, slurm_gpus, "slurm_partition", "scancel")}
"""By the name of Snakemake's executor."""


def refuse_earlier(queue: Callable[[], list[QueuedJob]], runs: set[str], cancel: str, timeout: float) -> None:
    """Raises FieldguideError while jobs of one of the runs are on the cluster; waits for those that are ending."""
    until = time.monotonic() + timeout
    while left := [job for job in queue() if job.run in runs]:
        if any(job.state != "COMPLETING" for job in left) or time.monotonic() > until:
            ids = list(dict.fromkeys(job.id for job in left))
            named = ", ".join(f"{job.id} ({job.state.lower()})" for job in left[:MAX_NAMED])
            more = f" and {len(left) - MAX_NAMED} more" if len(left) > MAX_NAMED else ""
            raise FieldguideError(
                f"{len(ids)} jobs of an earlier run on these results are still on the cluster: {named}{more}. "
                f"Run `{cancel} {' '.join(ids)}`, then the same command again; nothing was submitted."
            )
        time.sleep(1)


def refuse_without_gpus(requests: Iterable[tuple[str, int, str]], has_gpus: Callable[[str], bool], key: str) -> None:
    """Raises FieldguideError where a rule asks for GPUs in a partition without; (rule, GPUs, partition) each."""
    found: dict[str, bool] = {}
    for rule, count, partition in requests:
        if not count or not partition:
            continue
        if partition not in found:
            found[partition] = has_gpus(partition)
        if not found[partition]:
            raise FieldguideError(
                f"rule {rule} asks for {count} GPU, but partition {partition} has no node with GPUs, or is not there"
                " (`sinfo` lists partitions and their GPUs); name one that has them in the profile (`set-resources`,"
                f" {rule}, `{key}`), or set `gpu: 0` there to compute without"
            )


def record_run(file: Path, runs: Sequence[str]) -> None:
    """Put down the names of the runs whose jobs may be on the cluster from now on."""
    write_text(file, "".join(f"{run}\n" for run in runs))  # on the disk before anything is submitted


def check_cluster(workflow: Any, results: str) -> None:
    """Both checks, and a note of this run; for `onstart`, before anything is submitted.

    Snakemake's lock makes sure that no other run on these results is alive.
    """
    system = SYSTEMS.get(executor_name(workflow))
    if system is None:
        return
    run = run_uuid(workflow)
    file = RUNS / (results.strip("/").replace("/", "--") + ".txt")
    earlier = file.read_text(encoding="utf-8").split() if file.exists() else []
    refuse_earlier(system.queue, set(earlier), system.cancel, QUEUE_TIMEOUT)
    jobs = [job for job in jobs_to_run(workflow) if not job.is_local]
    refuse_without_gpus(
        ((job.rule.name, job.resources.get("gpu", 0), str(job.resources.get(system.partition, ""))) for job in jobs),
        system.has_gpus,
        system.partition,
    )
    record_run(file, [run])
