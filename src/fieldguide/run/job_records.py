"""What each job took: Snakemake's benchmark files, and the last lines of the stages' logs beside them."""

from __future__ import annotations

import ast
import contextlib
import csv
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

csv.field_size_limit(1 << 30)  # the extended format lists all inputs of a job in one field

# What `stage.format_usage` logs.
USAGE_LINE = re.compile(
    r": used: memory (?P<memory>\d+) MB, CPU (?P<cpu>[\d.]+) s"
    r"(?:, GPU memory (?P<gpu_memory>\d+) MB of (?P<gpu>.+))?$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Job:
    """One job's measurements. Memory in MB, as Snakemake counts (2^20 bytes); None where nothing was measured."""

    rule: str
    name: str  # which of the rule's jobs
    seconds: float
    cpu: float | None
    memory: float | None
    is_new: bool  # of the run that the page is about
    began: float = 0.0  # seconds since the epoch
    threads: int = 1
    requested: Mapping[str, float] = field(default_factory=dict)  # mem_mb, runtime in minutes, gpu
    gpu: str = ""
    gpu_memory: float | None = None


def number_or_none(text: str | None) -> float | None:
    """A number of a benchmark file; None for NA, and where there is none."""
    try:
        return float(text or "")
    except ValueError:
        return None


def read_requested(text: str | None) -> dict[str, float]:
    """The resources that a rule asked for, from the extended format."""
    try:
        given = ast.literal_eval(text or "{}")
    except (ValueError, SyntaxError):
        return {}
    wanted = ("mem_mb", "runtime", "gpu")
    return {name: float(given[name]) for name in wanted if isinstance(given.get(name), int | float)}


def read_job(path: Path, benchmarks: Path, logs: Path, started: float) -> Job | None:
    """One benchmark file and the log beside it; None for a file that is empty or torn."""
    with path.open(encoding="utf-8", errors="replace", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    seconds = number_or_none(rows[-1].get("s")) if rows else None
    if seconds is None:
        return None
    row, inside = rows[-1], path.relative_to(benchmarks).with_suffix("")
    used = None
    with contextlib.suppress(OSError):
        text = (logs / inside).with_suffix(".log").read_text(encoding="utf-8", errors="replace")
        used = next(iter(USAGE_LINE.finditer(text)), None)
    # Snakemake samples, at first every half second and then every 30: a short job's, or a short peak, escapes it.
    memory = [number_or_none(row.get("max_rss")), number_or_none(used["memory"]) if used else None]
    cpu = [number_or_none(row.get("cpu_time")), number_or_none(used["cpu"]) if used else None]
    return Job(
        rule=inside.parts[0],
        name="/".join(inside.parts[1:]),
        seconds=seconds,
        cpu=max((each for each in cpu if each is not None), default=None),
        memory=max((each for each in memory if each is not None), default=None),
        is_new=(ended := path.stat().st_mtime) >= started,
        began=ended - seconds,
        threads=int(number_or_none(row.get("threads")) or 1),
        requested=read_requested(row.get("resources")),
        gpu=(used["gpu"] or "") if used else "",
        gpu_memory=number_or_none(used["gpu_memory"]) if used else None,
    )


def read_jobs(results: Path, started: float = math.inf) -> list[Job]:
    """All jobs that left a benchmark file under a results folder, by rule and name."""
    benchmarks = results / "benchmarks"
    jobs = [read_job(path, benchmarks, results / "logs", started) for path in sorted(benchmarks.rglob("*.tsv"))]
    return [job for job in jobs if job is not None]
