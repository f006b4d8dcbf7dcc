"""What `kill -9` costs: tiny runs, their whole process group, killed at random moments and started again; a table.

    python -m tests.crashes --kills 25                  # each run is killed once, and its second start has to finish
    python -m tests.crashes --kills 25 --per-run 5      # five kills on the way to one table: quicker
    python -m tests.crashes --kills 25 --late           # among the many short jobs, which start and end all the time

The moments are drawn uniformly over the time that an undisturbed run took here. `half-written` counts files under a
result's own name that differ from the undisturbed run's, `repeated` jobs that ran again though Snakemake had recorded
them as finished.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
from base64 import urlsafe_b64decode
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.processes import members, start_group
from tests.workflow_runs import (
    ROOT,
    Answer,
    command,
    copy_checkout,
    copy_run,
    environment,
    results_of,
    run,
    unfinished_files,
)

NOTHING = "(no job)"
JOB = re.compile(r"^(?:local)?rule (?P<rule>\w+):\n(?P<lines>(?:    .*\n)+)", re.MULTILINE)


class Kill(NamedTuple):
    """What a kill left, and what the start after it did."""

    moment: float  # seconds into the run
    at_work: str  # the rules of jobs that had begun and not ended
    recorded: int  # outputs of jobs that Snakemake had recorded as finished
    half_written: list[str]
    unfinished: int  # files that were being written, under names that nothing reads
    was_locked: bool  # Snakemake's lock was left behind
    by_hand: bool  # `snakemake --unlock` was typed before the next start
    repeated: list[str]
    ended: bool = False  # the next start reached the table
    same: bool = False  # and every result is that of the undisturbed run

    @property
    def is_well(self) -> bool:
        return not self.half_written and not self.repeated


def start(folder: Path, output: Path, *argv: str | Path, **how: object) -> subprocess.Popen[bytes]:
    """Start the tiny run in a process group of its own, as a terminal does; the test that starts it ends it."""
    with output.open("wb") as stream:
        return start_group(
            command(*argv, **how),  # type: ignore[arg-type]
            cwd=folder,
            env=environment(folder),
            stdout=stream,
            stderr=subprocess.STDOUT,
        )


def at_work_in(folder: Path) -> list[int]:
    """The living processes that run in a folder or below it, whatever group they belong to."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder.resolve()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def kill_group(process: subprocess.Popen[bytes], folder: Path) -> None:
    """`kill -9` all of it, and wait until nobody is left to write anything: no job may have left the group."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    until = time.monotonic() + 60
    while members(process.pid) or at_work_in(folder):
        assert time.monotonic() < until, f"killed processes do not go away: {at_work_in(folder)}"
        time.sleep(0.02)


def written_results(folder: Path) -> dict[str, bytes]:
    """Every result under its own name, with its bytes."""
    return {name: content for name, content in results_of(folder).items() if not name.endswith(".part")}


def recorded_outputs(folder: Path) -> set[str]:
    """Output files that are there and that Snakemake has recorded as made by a job that ended well."""

    def names(kind: str) -> set[str]:
        base = folder / ".snakemake" / kind
        files = [path.relative_to(base) for path in base.rglob("*") if path.is_file()]
        return {urlsafe_b64decode("".join(part.lstrip("@") for part in path.parts)).decode() for path in files}

    return {name for name in names("metadata") - names("incomplete") if (folder / name).exists()}


def jobs_of(text: str) -> dict[str, set[str]]:
    """The jobs that a run began, as rule and log, with their outputs."""
    jobs = {}
    for match in JOB.finditer(text):
        details = dict(re.findall(r"^    (\w+): (.*)$", match["lines"], re.MULTILINE))
        if "output" in details:
            jobs[f"{match['rule']} {details.get('log', '')}"] = set(details["output"].split(", "))
    return jobs


def repeated_jobs(before: set[str], text: str) -> list[str]:
    """The jobs of a run of which all outputs had been recorded."""
    return [job for job, outputs in jobs_of(text).items() if outputs <= before]


def is_locked(folder: Path) -> bool:
    """Snakemake's lock lies in a folder."""
    return any((folder / ".snakemake/locks").glob("*.lock"))


def kill_on_the_way(
    folder: Path, whole: dict[str, bytes], waits: Sequence[float], by_hand: Sequence[bool]
) -> list[Kill]:
    """Kill the run of a checkout so often, each some seconds after its start; the last start has to finish."""
    kills: list[Kill] = []
    elapsed = 0.0
    output = folder.parent / f"{folder.name}.txt"
    before: set[str] = set()
    for number, wait in enumerate([*waits, None]):
        if number and by_hand[number - 1]:
            run(folder, "--unlock")
        process = start(folder, output)
        began = time.monotonic()
        try:
            process.wait(timeout=wait if wait is not None else 1800)
        except subprocess.TimeoutExpired:
            kill_group(process, folder)
        elapsed += time.monotonic() - began
        text = output.read_text(errors="replace")
        if number:
            same = process.returncode == 0 and written_results(folder) == whole
            kills[-1] = kills[-1]._replace(
                repeated=repeated_jobs(before, text), ended=process.returncode == 0, same=same
            )
        assert wait is not None or process.returncode == 0, text
        if wait is None or process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, text
        before = recorded_outputs(folder)
        found = written_results(folder)
        ended = set(re.findall(r"^Finished jobid: (\d+)", text, re.MULTILINE))
        begun = {re.search(r"jobid: (\d+)", m["lines"])[1]: m["rule"] for m in JOB.finditer(text)}  # type: ignore[index]
        kills.append(
            Kill(
                moment=elapsed,
                at_work=" ".join(sorted({rule for job, rule in begun.items() if job not in ended})) or NOTHING,
                recorded=len(before),
                half_written=[name for name, content in found.items() if whole.get(name) != content],
                unfinished=len(unfinished_files(folder)),
                was_locked=is_locked(folder),
                by_hand=by_hand[number],
                repeated=[],
            )
        )
    assert not unfinished_files(folder) and not is_locked(folder)
    return kills


def elapsed_seconds(text: str) -> float:
    """What Snakemake says that a run took."""
    hours, minutes, seconds = re.search(r"^Elapsed time: (\d+):(\d+):([\d.]+)", text, re.MULTILINE).groups()  # type: ignore[union-attr]
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


LATE = ("adapters", "figures", "plans", "tables", "tuning")  # what the many short jobs make


def prepare(finished: Path, to: Path, is_late: bool) -> Path:
    """A checkout to run: without results, or with those of the long jobs alone."""
    if not is_late:
        return copy_checkout(to, finished)
    copy_run(finished, to)
    for name in LATE:
        shutil.rmtree(to / "results/tiny" / name)
    return to


def check_measures(finished: Path, text: str) -> None:
    """Whether an undisturbed run's output and Snakemake's records are read whole; else every count here would be 0."""
    made = set().union(*jobs_of(text).values())
    assert made and recorded_outputs(finished) == made, "Snakemake's records are not those that are read here"
    assert repeated_jobs(made, text) == list(jobs_of(text)), "jobs that are repeated would not be seen"


def kill_often(
    finished: Path, duration: float, kills: int, per_run: int = 1, seed: int = 0, is_late: bool = False
) -> list[Kill]:
    """Kill so many tiny runs at random moments; `finished` is an undisturbed run, which took `duration` seconds."""
    rng = random.Random(seed)
    whole = written_results(finished)
    rows: list[Kill] = []
    with tempfile.TemporaryDirectory() as parent:
        while len(rows) < kills:
            count = min(per_run, kills - len(rows))
            moments = sorted(rng.uniform(0, duration) for _ in range(count))
            # A start after a kill needs some seconds to come where the last one was.
            waits = [moment - (moments[i - 1] - 0.1 * duration if i else 0) for i, moment in enumerate(moments)]
            folder = prepare(finished, Path(parent) / f"run-{len(rows)}", is_late)
            found = kill_on_the_way(folder, whole, waits, [(len(rows) + i) % 3 == 2 for i in range(count)])
            if not found:
                continue  # it was done before its moment came
            rows += found
            for kill in found:
                print(row_of(kill), flush=True)
    return rows


HEAD = (
    f"{'kill -9 after':>13}{'recorded':>10}{'half-written':>14}{'left .part':>12}{'lock left':>11}{'unlock':>9}"
    f"{'repeated':>10}  {'then':<22}at work"
)


def row_of(kill: Kill) -> str:
    then = ("same results" if kill.same else "OTHER RESULTS") if kill.ended else "killed once more"
    unlock = "by hand" if kill.by_hand else "itself"
    return (
        f"{kill.moment:>11.1f} s{kill.recorded:>10}{len(kill.half_written):>14}{kill.unfinished:>12}"
        f"{'yes' if kill.was_locked else 'no':>11}{unlock:>9}{len(kill.repeated):>10}  {then:<22}{kill.at_work}"
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=25, help="how often a run is killed (default: %(default)s)")
    parser.add_argument("--per-run", type=int, default=1, help="kills on the way to one table (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")
    parser.add_argument("--late", action="store_true", help="only among the many short jobs, with the long ones done")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        finished = copy_checkout(Path(folder) / "finished", ROOT)
        answer: Answer = run(finished)
        check_measures(finished, answer.text)
        duration = elapsed_seconds(answer.text)
        if args.late:
            duration = elapsed_seconds(run(prepare(finished, Path(folder) / "late", True)).text)
        print(f"An undisturbed run took {duration:.0f} s.\n{HEAD}", flush=True)
        kills = kill_often(finished, duration, args.kills, args.per_run, args.seed, args.late)
    last = [kill for kill in kills if kill.ended]
    print(
        f"{len(kills)} kills: {sum(len(kill.half_written) for kill in kills)} half-written files, "
        f"{sum(len(kill.repeated) for kill in kills)} jobs repeated; "
        f"{sum(kill.same for kill in last)} of {len(last)} runs ended in the results of the undisturbed run"
    )


if __name__ == "__main__":
    main()
