"""What a run took, as a page: wall time, CPU, memory and GPU by rule, from Snakemake's benchmark files and the stages'
logs, beside what the rules asked for. The Snakefile writes it to `run.md` when a run ends, however it ends; by hand it
says how far a run is, or how far one came that was killed."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fieldguide import __version__
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import write_text
from fieldguide.core.stage import new_parser, run_stage
from fieldguide.run.job_records import Job, read_jobs
from fieldguide.run.lock import Holder, last_holder
from fieldguide.run.progress import format_time
from fieldguide.tables.grid import Grid
from fieldguide.tables.markdown import grid_table

PACKAGES = ("snakemake", "torch", "open_clip_torch", "numpy", "scikit-learn", "safetensors")
SLOWEST = 10
NONE = "–"


@dataclass(frozen=True)
class RunFacts:
    """What the page says of a run beyond its jobs."""

    results: Path
    how: str  # "finished", "failed", …
    started: float  # seconds since the epoch
    wall: float  # seconds
    cores: str = ""
    executor: str = ""
    config: str = ""  # SHA-256 of the configuration
    config_files: Sequence[str] = ()
    failed: Sequence[str] = ()  # jobs, each with its log


# ---------------------------------------------------------------- reading


def config_hash(config: Mapping[str, Any]) -> str:
    """SHA-256 of a configuration, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()


def git_commit(folder: Path) -> str:
    """The commit of a checkout, and whether files differ from it; empty where there is none.

    A copy that lies somewhere in another project's checkout has none; a checkout of another user has.
    """

    def git(*words: str) -> str:
        command = ["git", "-c", "safe.directory=*", "-C", str(folder), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "src/fieldguide/run/run_page.py")
        commit = git("rev-parse", "HEAD")
        return commit + (", with changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def versions() -> dict[str, str]:
    """Versions of Python, this package and those that matter most, without importing them."""
    found = {"Python": platform.python_version(), "fieldguide": __version__}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


# ---------------------------------------------------------------- the page


def show(value: float | None, digits: int = 0) -> str:
    """A number, or a dash where there is none."""
    return NONE if value is None else f"{value:,.{digits}f}"


def most(jobs: Iterable[Job], what: Callable[[Job], float | None]) -> float | None:
    """The largest of a measurement; None where none of the jobs has it."""
    return max((value for job in jobs if (value := what(job)) is not None), default=None)


def share(used: float | None, requested: float | None) -> str:
    """What was asked for, and how much of it was used."""
    if not requested:
        return NONE
    return f"{requested:,.0f} ({used / requested:.0%})" if used is not None else f"{requested:,.0f}"


def by_rule(jobs: Sequence[Job]) -> dict[str, list[Job]]:
    """The jobs of each rule, the rule that took longest first."""
    rules: dict[str, list[Job]] = {}
    for job in jobs:
        rules.setdefault(job.rule, []).append(job)
    return dict(sorted(rules.items(), key=lambda item: (-sum(job.seconds for job in item[1]), item[0])))


def rule_row(jobs: Sequence[Job]) -> tuple[str, ...]:
    """A rule's line in the first table."""
    cpu = [job.cpu for job in jobs if job.cpu is not None]
    memory, longest = most(jobs, lambda job: job.memory), max(job.seconds for job in jobs)
    requested_memory = most(jobs, lambda job: job.requested.get("mem_mb"))
    requested_time = most(jobs, lambda job: job.requested.get("runtime"))
    # A job holds the GPU that it asked for, or found, as long as it runs.
    held = sum(job.seconds * job.requested.get("gpu", 1) for job in jobs if job.gpu)
    gpu_memory = most(jobs, lambda job: job.gpu_memory)
    return (
        f"{len(jobs)} ({sum(job.is_new for job in jobs)})",
        show(sum(job.seconds for job in jobs), 1),
        show(longest, 1),
        share(longest / 60, requested_time),
        show(sum(cpu), 1) if cpu else NONE,
        show(memory),
        share(memory, requested_memory),
        f"{held:,.1f} s, {show(gpu_memory)} MB" if gpu_memory is not None else NONE,
    )


RULE_COLUMNS = (
    "jobs (in this run)",
    "wall, s",
    "longest, s",
    "requested, min (used)",
    "CPU, s",
    "peak memory, MB",
    "requested, MB (used)",
    "GPU: held, peak memory",
)
JOB_COLUMNS = ("job", "wall, s", "CPU, s", "peak memory, MB", "threads")


def round_up(value: float, step: int) -> int:
    """The next multiple of `step`, which is the least."""
    return max(1, math.ceil(value / step)) * step


def advice(jobs: Sequence[Job]) -> list[str]:
    """Lines for a profile: for each rule 1.5 times the most memory and thrice the longest time that were measured."""
    lines = []
    for rule, of_rule in by_rule(jobs).items():
        memory = most(of_rule, lambda job: job.memory)
        if memory is not None and any(job.requested for job in of_rule):
            minutes = round_up(3 * max(job.seconds for job in of_rule) / 60, 5)
            lines += [f"  {rule}:", f"    mem_mb: {round_up(1.5 * memory, 500)}", f"    runtime: {minutes}"]
    return ["set-resources:", *lines] if lines else []


def page(facts: RunFacts, jobs: Sequence[Job], about: Mapping[str, str]) -> str:
    """The whole page as Markdown."""
    new = [job for job in jobs if job.is_new]
    began = datetime.fromtimestamp(facts.started).astimezone().isoformat(" ", "seconds")
    work = sum(job.seconds for job in new)
    took = "has taken" if facts.how.startswith("is ") else "took"
    opening = [
        f"The run {facts.how}. It started {began} and {took} {format_time(facts.wall)};"
        f" {len(new)} jobs ended well in it, together {format_time(work)}.",
    ]
    if facts.failed:
        opening += ["", "Jobs that failed, or were stopped:", "", *(f"- {job}" for job in facts.failed)]
    lines = ["# The last run", "", *opening, "", *(f"- {name}: {value}" for name, value in about.items() if value)]
    if jobs:
        rows = [(rule, rule_row(of_rule)) for rule, of_rule in by_rule(jobs).items()]
        slowest = sorted(jobs, key=lambda job: (-job.seconds, job.rule, job.name))[:SLOWEST]
        slow_rows = [
            (job.rule, (job.name, show(job.seconds, 1), show(job.cpu, 1), show(job.memory), str(job.threads)))
            for job in slowest
        ]
        lines += [
            "",
            "## By rule",
            "",
            "All jobs that left a benchmark file here, also those of earlier runs.",
            "",
            grid_table(Grid("rule", RULE_COLUMNS, tuple(rows))),
            "",
            "Wall and CPU are sums over a rule's jobs; memory is that of its hungriest job: the larger of what"
            " Snakemake sampled, all processes together, and the peak that the system counted for the stage itself."
            " A share in brackets is how much of what the rule asked for (`mem_mb`, `runtime`) was used; without it the"
            " benchmark files were not written with `benchmark-extended`, which the profiles set.",
            "",
            f"## The slowest {len(slowest)} jobs",
            "",
            grid_table(Grid("rule", JOB_COLUMNS, tuple(slow_rows)), 1),
        ]
        if lines_of_profile := advice(jobs):
            lines += [
                "",
                "## For a profile",
                "",
                "1.5 times the memory and three times the time of the hungriest and the longest job measured here."
                " Another data set, backbone or machine needs others.",
                "",
                "```yaml",
                *lines_of_profile,
                "```",
            ]
    return "\n".join(lines) + "\n"


def describe(facts: RunFacts, jobs: Sequence[Job], checkout: Path) -> dict[str, str]:
    """The lines at the head of the page: machine, versions, commit, configuration."""
    gpus = sorted({job.gpu for job in jobs if job.gpu})
    files = f" ({', '.join(facts.config_files)})" if facts.config_files else ""
    return {
        "machine": f"{platform.node()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "cores for jobs": facts.cores,
        "executor": facts.executor,
        "GPU": ", ".join(gpus) or "none used",
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
        "git commit": git_commit(checkout) or "not a git checkout",
        "configuration": f"sha256 {facts.config}{files}" if facts.config else "",
    }


def write_page(facts: RunFacts, checkout: Path, out: Path | None = None) -> None:
    """Write `run.md` into the results folder."""
    jobs = read_jobs(facts.results, facts.started)
    write_text(out or facts.results / "run.md", page(facts, jobs, describe(facts, jobs, checkout)))


def begin_of(holder: Holder | None, results: Path, now: float) -> float:
    """When the run began, in seconds since the epoch: by its note, or by the first job that left a benchmark file."""
    if holder:
        with contextlib.suppress(ValueError):
            return datetime.fromisoformat(holder.started).timestamp()
    return min((job.began for job in read_jobs(results)), default=now)


def run(args: argparse.Namespace) -> None:
    benchmarks = args.results / "benchmarks"
    if not benchmarks.is_dir():
        raise FieldguideError(f"{benchmarks}: no such folder; give --results a run's results/<dataset>")
    now = datetime.now().timestamp()
    ends = [path.stat().st_mtime for path in benchmarks.rglob("*.tsv")]
    holder, is_alive = last_holder(args.results)
    how = "was looked at from outside"
    if holder:
        how = f"{'is at work' if is_alive else 'did not end cleanly, or is at work elsewhere'} ({holder})"
    started = args.started if args.started is not None else begin_of(holder, args.results, now)
    facts = RunFacts(args.results, how, started, max((now if is_alive else max(ends, default=now)) - started, 0.0))
    jobs = read_jobs(facts.results, started)
    text = page(facts, jobs, describe(facts, jobs, Path(__file__).parents[3]))
    if args.out:
        write_text(args.out, text)
    else:
        print(text, end="")


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("run.run_page", __doc__)
    parser.add_argument("--results", type=Path, required=True, help="a run's folder: results/<dataset>")
    parser.add_argument(
        "--started",
        type=float,
        metavar="EPOCH",
        help="when it began; default: by the note of a run at work, or of a killed one, else its first job's begin",
    )
    parser.add_argument("--out", type=Path, metavar="MD", help="write the page here; default: print it")
    run_stage("run_page", run, parser, argv)


if __name__ == "__main__":
    main()
