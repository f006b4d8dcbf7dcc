"""Run the workflow on the aviary, telling its progress in one line per job; then print the table, where the time went
and where the files are. `make demo` and `make everything` call this."""

from __future__ import annotations

import argparse
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import FrameType

from fieldguide.core.errors import FieldguideError
from fieldguide.core.stage import new_parser

WIDTH = 100
SILENCE = 30.0  # seconds without a line after which the jobs at work are named

# What Snakemake writes and nobody running the demo needs.
NOISE = re.compile(
    r"""Using\ workflow\ specific\ profile | Assuming\ unrestricted\ shared | Building\ DAG | Using\ shell:
    | Provided\ cores: | Provided\ resources: | Rules\ claiming\ more\ threads | Select\ jobs\ to | Execute\ \d+\ jobs
    | Complete\ log | Elapsed\ time: | Job\ stats: | job\s+count | -{3,} | \[\w{3}\ \w{3}\ [\d :]+\]$ | Touching\ output
    | (?:Write-protecting|Removing\ temporary)\ output | Nothing\ to\ be\ done | Reason: | host:
    | Conda\ environments:\ ignored | Config\ file\ .*\ is\ extended | $""",
    re.VERBOSE,
)
STARTS = re.compile(r"(?:local)?(?:rule|checkpoint) (?P<rule>\w+):$")
MESSAGE = re.compile(r"Job (?P<job>\d+): (?P<message>.*)")
DETAIL = re.compile(r"    (?P<key>[\w-]+): (?P<value>.*)")
WILDCARD = re.compile(r"(^|, )\w+=")
FINISHED = re.compile(r"Finished jobid: (?P<job>\d+) \(Rule: (?P<rule>\w+)\)")
STEPS = re.compile(r"(?P<done>\d+) of (?P<total>\d+) steps \(\S+%\) done")
STATS = re.compile(r"\w+ +\d+$")
TROUBLE = re.compile(r"\w*(?:Error|Exception)\b|Traceback|Exiting because")

# What a run leaves, in the order a reader wants it.
PLACES = (
    ("tables/accuracy.html", "the comparison table as a page"),
    ("tables/accuracy.md", "the same as Markdown"),
    ("tables/accuracy.tex", "the same for LaTeX"),
    ("tables/accuracy.csv", "the numbers, one row per cell"),
    ("figures/accuracy.svg", "the picture of it"),
    ("tables/differences.csv", "differences between columns, and which of them can be told apart"),
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


class Narrator:
    """Turns Snakemake's log into a line per finished job. Lines it does not know, and all trouble, it passes on."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self.say = say
        self.clock = clock
        self.started = self.last = clock()
        self.at_work: dict[str, tuple[str, float]] = {}
        self.nothing_to_do = False
        self.in_trouble = False
        self._rule = self._job = ""
        self._in_stats = False
        self._finished = ("", 0.0)

    def hear(self, line: str) -> None:
        """Take one line of the log."""
        if TROUBLE.match(line):
            self.in_trouble = True
        if starts := STARTS.match(line):
            self._rule, self._job = starts["rule"], ""
        elif self._rule and (detail := DETAIL.match(line)):
            self._note(detail["key"], detail["value"])
        elif message := MESSAGE.match(line):
            self.at_work[message["job"]] = (message["message"], self.clock())
        elif finished := FINISHED.match(line):
            self._rule = ""
            self._finished = self.at_work.pop(finished["job"], (finished["rule"], self.clock()))
        elif steps := STEPS.match(line):
            label, since = self._finished
            took = self.clock() - since
            self._tell(f"{steps['done']:>{len(steps['total'])}} of {steps['total']}  {label}, {took:.0f} s")
        else:
            self._rule = ""
            self._pass_on(line)

    def wait(self) -> None:
        """Nothing has been heard for a moment: after a long silence, name the jobs at work."""
        if self.at_work and self.clock() - self.last > SILENCE:
            jobs = (f"{label}, {self.clock() - since:.0f} s" for label, since in self.at_work.values())
            self._tell(f"at work: {'; '.join(jobs)}")

    def _note(self, key: str, value: str) -> None:
        if key == "jobid":
            self._job = value
            self.at_work[value] = (self._rule, self.clock())
        elif key == "wildcards" and self._job:
            values = WILDCARD.sub(r"\1", value)  # their names are too long for a line, and tell little more
            self.at_work[self._job] = (f"{self._rule} {values}", self.at_work[self._job][1])

    def _pass_on(self, line: str) -> None:
        if line.startswith("Nothing to be done"):
            self.nothing_to_do = True
        if line.startswith("Job stats:"):
            self._in_stats = True
        elif self._in_stats:
            self._in_stats = bool(line)
            if STATS.match(line):
                return
        # In trouble blank lines and rules drawn with hyphens belong to the message, as all else does.
        if not NOISE.match(line) or (self.in_trouble and (not line or line.startswith("---"))):
            self.last = self.clock()
            self.say(line)

    def _tell(self, text: str) -> None:
        self.last = self.clock()
        text = f"{self.last - self.started:5.0f} s  {text}"
        self.say(text if len(text) <= WIDTH else text[: WIDTH - 1] + "…")


def say(line: str) -> None:
    print(line, flush=True)


def follow(command: Sequence[str], narrator: Narrator) -> int:
    """Run Snakemake, narrate its log, and give its exit status; an interrupt lets it end in order."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    lines: queue.Queue[str | None] = queue.Queue()

    def read(stream: Iterable[str]) -> None:
        for line in stream:
            lines.put(line.rstrip())
        lines.put(None)

    def pass_on(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)  # Snakemake ends its jobs, and this process with it

    handlers = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGHUP)}
    assert process.stdout is not None
    threading.Thread(target=read, args=(process.stdout,), daemon=True).start()
    try:
        while True:
            try:
                line = lines.get(timeout=1)
                if line is None:
                    return process.wait()
                narrator.hear(line)
            except queue.Empty:
                narrator.wait()
            except KeyboardInterrupt:
                say("Stopping: Snakemake ends its jobs and tidies up.")  # it got the same interrupt from the terminal
                narrator.in_trouble = True
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def run_module(*args: str) -> None:
    """Print what a module of the package prints; its log matters only when it fails."""
    result = subprocess.run([sys.executable, "-m", *args], stdin=subprocess.DEVNULL, text=True, capture_output=True)
    say(result.stdout.rstrip())
    if result.returncode:
        raise FieldguideError(f"{args[0]} failed: {result.stderr.strip()}")


def run(args: argparse.Namespace) -> int:
    if not args.configfile.is_file():
        raise FieldguideError(f"{args.configfile}: no such file; run this in the project's folder or give --configfile")
    command = [sys.executable, "-m", "snakemake", args.target, "--configfile", str(args.configfile)]
    command += ["--workflow-profile", str(args.profile)]
    if args.cores:
        command += ["--cores", str(args.cores)]
    cores = args.cores or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)

    say(f"Running the workflow with {args.configfile}, target {args.target}, on {cores} core(s).")
    began, narrator = time.time(), Narrator(say)
    status = follow(command, narrator)
    wall = time.time() - began
    if status:
        say(f"\nThe run stopped after {wall:.0f} s; what is finished is kept, and the same command goes on from there.")
        return status

    table = args.results / "tables" / "accuracy.csv"
    if table.is_file():
        say("")
        run_module("fieldguide.tables.print_table", "--csv", str(table))
    say("")
    if narrator.nothing_to_do:
        say(f"Nothing to do: every result was there and up to date (checked in {wall:.0f} s).")
    else:
        say(f"The run took {wall:.0f} s.")
        logs = args.results / "logs"
        if logs.is_dir():
            times = ["--started", f"{began:.3f}", "--wall", f"{wall:.3f}", "--cores", str(cores)]
            run_module("fieldguide.run.summarise_run", "--logs", str(logs), *times)
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
