"""Say where a run's time went: each stage's own work, and the share of the wall time that was anything else."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import write_csv
from fieldguide.core.stage import new_parser, run_stage

# The last line that `stage.run_stage` logs.
DONE = re.compile(r"^(?P<stage>[\w.-]+): done: work (?P<work>\d+(?:\.\d+)?) s, threads (?P<threads>\d+)$")
COLUMNS = ("stage", "jobs", "work_seconds", "core_seconds")


@dataclass(frozen=True)
class StageTime:
    """What one stage's jobs took together: seconds of work, and those times the threads they held."""

    stage: str
    jobs: int
    work_seconds: float
    core_seconds: float


def read_logs(folder: Path, started: float) -> tuple[list[StageTime], int]:
    """Times per stage, in order of the work done, from the logs changed since `started` (seconds since the epoch).

    Also the number of such logs that do not end in a stage's last line: jobs that failed, or still run.
    """
    if not folder.is_dir():
        raise FieldguideError(f"{folder}: no such folder; give --logs the run's results/<dataset>/logs")
    jobs: dict[str, list[tuple[float, int]]] = {}
    unfinished = 0
    for path in sorted(folder.rglob("*.log")):
        if path.stat().st_mtime < started:
            continue
        lines = path.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
        done = DONE.match(lines[-1].strip()) if lines else None
        if done is None:
            unfinished += 1
        else:
            jobs.setdefault(done["stage"], []).append((float(done["work"]), int(done["threads"])))
    times = [
        StageTime(stage, len(each), sum(work for work, _ in each), sum(work * threads for work, threads in each))
        for stage, each in jobs.items()
    ]
    return sorted(times, key=lambda time: (-time.work_seconds, time.stage)), unfinished


def share_elsewhere(times: Iterable[StageTime], wall: float, cores: int) -> float:
    """The share of cores x wall that was not the stages' own work; below 0 where jobs held more threads than cores."""
    return 1 - sum(time.core_seconds for time in times) / (cores * wall)


def format_times(times: Sequence[StageTime], unfinished: int, wall: float, cores: int) -> str:
    """The times in words and an aligned table."""
    lines = []
    if times:
        width = max(len("stage"), *(len(time.stage) for time in times))
        lines.append(f"{'stage':<{width}}  {'jobs':>5}  {'work, s':>9}")
        lines += [f"{time.stage:<{width}}  {time.jobs:>5}  {time.work_seconds:>9.2f}" for time in times]
        share = share_elsewhere(times, wall, cores)
        held = f"{cores} core{'s' if cores > 1 else ''} for {wall:.1f} s"
        lines.append(f"{share:.0%} of the wall time ({held}) was not the stages' own work: starting up and waiting.")
    elif not unfinished:
        lines.append("nothing to do")
    if unfinished:
        lines.append(f"{unfinished} log(s) end without a stage's last line: those jobs failed or still run.")
    return "\n".join(lines)


def run(args: argparse.Namespace) -> None:
    if args.wall <= 0:
        raise FieldguideError(f"--wall is {args.wall:g}; give the run's wall time in seconds, above 0")
    if args.cores < 1:
        raise FieldguideError(f"--cores is {args.cores}; give the number of cores that the run had, at least 1")
    times, unfinished = read_logs(args.logs, args.started)
    print(format_times(times, unfinished, args.wall, args.cores))
    # A run with nothing to do leaves the times of the run before it.
    if args.out and times:
        rows = [
            {
                "stage": time.stage,
                "jobs": time.jobs,
                "work_seconds": f"{time.work_seconds:.2f}",
                "core_seconds": f"{time.core_seconds:.2f}",
            }
            for time in times
        ]
        write_csv(args.out, COLUMNS, rows)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("run.summarise_run", __doc__)
    parser.add_argument("--logs", type=Path, required=True, help="the run's logs: results/<dataset>/logs")
    parser.add_argument("--started", type=float, required=True, metavar="EPOCH", help="when it began, `date +%%s`")
    parser.add_argument("--wall", type=float, required=True, metavar="SECONDS", help="how long it took")
    parser.add_argument("--cores", type=int, required=True, metavar="N", help="how many cores it had")
    parser.add_argument("--out", type=Path, metavar="CSV", help="also write the times per stage here")
    run_stage("summarise_run", run, parser, argv)


if __name__ == "__main__":
    main()
