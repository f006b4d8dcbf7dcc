"""Run the workflow on the aviary, a line per job; then print the table, where the time went and where the files are.

`make demo` and `make everything` call this. The lines come from Snakemake itself, by the logger plugin `fieldguide`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from fieldguide.core.errors import FieldguideError
from fieldguide.core.stage import new_parser
from fieldguide.core.streams import TolerantStream
from fieldguide.run.summarise_run import format_times, read_logs

# What a run leaves, in the order a reader wants it.
PLACES = (
    ("tables/accuracy.html", "the comparison table as a page"),
    ("tables/accuracy.md", "the same as Markdown"),
    ("tables/accuracy.tex", "the same for LaTeX"),
    ("tables/accuracy.csv", "the numbers, one row per cell"),
    ("figures/accuracy.svg", "the picture of it"),
    ("tables/differences.csv", "differences between columns, and which of them are significant"),
    ("tables/image_worth.md", "how many labelled images each text saves"),
    ("tables/sampling.md", "what each sampling, redraw and budget gives"),
    ("tables/conversion.csv", "how well each translator's output stands in for image features"),
    ("figures/conversion.svg", "the picture of it"),
    ("figures/birds.png", "the aviary's species: male, female and juvenile"),
    ("tables/classes.csv", "every cell's accuracy by class"),
    ("tables/confusions.csv", "which classes are taken for which"),
    ("tables/probe.csv", "how far the backbone's features alone go"),
    ("translators", "each translator, and how its training went"),
    ("report.html", "the report"),
    ("adapters", "one JSON per cell: accuracy per seed, configuration, versions"),
    ("texts", "every text that was used, and a page of each source to read them on"),
    ("plans", "which images and texts each cell used, by id"),
    ("logs", "what every job said"),
    ("run.md", "what the run took: time, memory and GPU by rule, beside what was asked for"),
)


def say(line: str) -> None:
    """Print a line; where nobody reads any more, nothing."""
    print(line, file=TolerantStream(sys.stdout), flush=True)


def environment() -> dict[str, str]:
    """This process's environment; where the home cannot be written, Snakemake keeps its cache beside its notes."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME", "/")) / ".cache").absolute()
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    is_writable = there.is_dir() and os.access(there, os.W_OK)
    return {**os.environ} if is_writable else {**os.environ, "XDG_CACHE_HOME": str(Path(".snakemake/cache").absolute())}


def follow(command: Sequence[str]) -> int:
    """Run Snakemake, which prints a line per job by itself, and give its exit status; a signal lets it end in order."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, env=environment())

    def pass_on(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)  # Snakemake ends its jobs, and this process with it

    handlers = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                say("Stopping: Snakemake ends its jobs and tidies up.")  # it got the same interrupt from the terminal
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def print_table(table: Path) -> None:
    """Print the comparison table; the log of the module that does matters only when it fails."""
    command = [sys.executable, "-m", "fieldguide.tables.print_table", "--csv", str(table)]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, text=True, capture_output=True)
    say(result.stdout.rstrip())
    if result.returncode:
        raise FieldguideError(f"{command[2]} failed: {result.stderr.strip()}")


def run(args: argparse.Namespace) -> int:
    if not args.configfile.is_file():
        raise FieldguideError(f"{args.configfile}: no such file; run this in the project's folder or give --configfile")
    command = [sys.executable, "-m", "snakemake", args.target, "--configfile", str(args.configfile)]
    command += ["--workflow-profile", str(args.profile)]
    if args.cores:
        command += ["--cores", str(args.cores)]
    cores = args.cores or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)

    say(f"Running the workflow with {args.configfile}, target {args.target}, on {cores} core(s).")
    began = time.time()
    status = follow(command)
    wall = time.time() - began
    if status:
        say(f"\nThe run stopped after {wall:.0f} s; what is finished is kept, and the same command goes on from there.")
        return status

    table, logs = args.results / "tables" / "accuracy.csv", args.results / "logs"
    if table.is_file():
        say("")
        print_table(table)
    say("")
    times, unfinished = read_logs(logs, began) if logs.is_dir() else ([], 0)
    if not times and not unfinished:
        say(f"Nothing to do: every result was there and up to date (checked in {wall:.0f} s).")
    else:
        say(f"The run took {wall:.0f} s.")
        say(format_times(times, unfinished, wall, cores))
    say(f"\nUnder {args.results}/:")
    for name, meaning in PLACES:
        if (args.results / name).exists():
            say(f"  {name:<22} {meaning}")
    return 0


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("run.demo", __doc__)
    parser.add_argument("--target", default="all", help="rule or file to make (default: all)")
    parser.add_argument("--configfile", type=Path, default=Path("config/aviary.yaml"), help="default: %(default)s")
    parser.add_argument("--profile", type=Path, default=Path("profiles/demo"), help="default: %(default)s")
    parser.add_argument("--results", type=Path, default=Path("results/aviary"), help="where they go: %(default)s")
    parser.add_argument("--cores", type=int, metavar="N", help="default: what the profile says, which is all")
    args = parser.parse_args(argv)
    try:
        sys.exit(run(args))
    except FieldguideError as error:
        sys.exit(f"demo: error: {error}")


if __name__ == "__main__":
    main()
