"""The workflow on the cluster, and faults that strike a cell's first attempt."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.cluster.slurm import Job
from tests.processes import process_group, run_to_end
from tests.workflow_runs import TINY, Answer, environment

PROFILE = ("--workflow-profile", "profiles/slurm")
# As the profile has it, but looking sooner.
SOONER = ("--slurm-init-seconds-before-status-checks", "3")

# Put before everything else on the path of driver and jobs. A cell holds a lock as long as it lives, so that a second
# one for the same output is noticed; then what `faults.json` has for it happens, once.
SITE = """
import sys
if sys.orig_argv[1:3] == ["-m", "fieldguide.adapters.train_adapter"]:
    import fcntl, json, os, pathlib, time
    folder = pathlib.Path(__file__).parent
    out = sys.orig_argv[sys.orig_argv.index("--out") + 1]
    name = out.replace("/", "_")
    sys.held = (folder / f"{name}.lock").open("a")
    try:
        fcntl.flock(sys.held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        with (folder / "twice_at_once").open("a") as stream:
            stream.write(out + "\\n")
    with (folder / "started").open("a") as stream:
        stream.write(out + "\\n")
    for number, fault in enumerate(json.loads((folder / "faults.json").read_text())):
        if fault["cell"] in out:
            try:
                (folder / f"{name}.{number}.done").touch(exist_ok=False)
            except FileExistsError:
                continue
            time.sleep(fault.get("sleep", 0))
            if fault.get("fail"):
                print("train_adapter: error: a fault of the test", file=sys.stderr, flush=True)
                os._exit(1)
"""


@dataclass(frozen=True)
class Faults:
    """A folder for the path: what it is to do, and what it has seen."""

    folder: Path

    @property
    def started(self) -> list[str]:
        """Outputs of the cells that were begun, in order."""
        return self._read("started")

    @property
    def twice_at_once(self) -> list[str]:
        """Outputs of cells that were begun while another job worked on the same."""
        return self._read("twice_at_once")

    def _read(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text(encoding="utf-8").split() if path.exists() else []


def plant(folder: Path, *faults: dict[str, object]) -> Faults:
    """Faults for cells: `cell` is a part of the output's path, `sleep` seconds, `fail` an exit status of 1."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(SITE, encoding="utf-8")
    (folder / "faults.json").write_text(json.dumps(faults), encoding="utf-8")
    return Faults(folder)


def submit_command(*argv: str | Path) -> list[str]:
    """The command line that a user types, with what a test adds."""
    return [sys.executable, "-m", "snakemake", *PROFILE, "--configfile", TINY, *SOONER, *map(str, argv)]


@contextmanager
def started(folder: Path, output: Path, *argv: str | Path, first: tuple[Path, ...] = ()) -> Iterator[subprocess.Popen]:
    """A run in the background, killed at the end if it still lives."""
    with output.open("wb") as stream:
        command, how = submit_command(*argv), {"stdout": stream, "stderr": subprocess.STDOUT}
        with process_group(command, cwd=folder, env=environment(folder, *first), **how) as process:
            yield process


def submit(folder: Path, *argv: str | Path, first: tuple[Path, ...] = ()) -> Answer:
    """Run the workflow on the cluster to its end."""
    return Answer(*run_to_end(submit_command(*argv), 1500, cwd=folder, env=environment(folder, *first)))


def forget_cells(folder: Path, part: str = "") -> int:
    """Delete the cells of a finished run that have this in their path; so many there were."""
    cells = [path for path in (folder / "results/tiny/adapters").rglob("ratio-*.json") if part in path.as_posix()]
    for path in cells:
        path.unlink()
        path.with_suffix(".safetensors").unlink()
    return len(cells)


def most_at_once(jobs: list[Job]) -> int:
    """How many of the jobs ran at the same time at most."""
    turns: list[tuple[datetime, int]] = []
    for job in jobs:
        # One that ends when another begins is no overlap, to the second that SLURM tells.
        turns += [(datetime.fromisoformat(job.began), 1), (datetime.fromisoformat(job.ended), -1)]
    now = most = 0
    for _, step in sorted(turns):
        now += step
        most = max(most, now)
    return most
