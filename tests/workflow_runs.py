"""Running the workflow for real: in a copy of the checkout, so that what a test edits or damages is its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.processes import run_to_end

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ("Snakefile", "config.yaml", "config", "envs", "profiles", "src", "workflow")
TINY = "config/tiny.yaml"
TARGETS = ("all", "everything")

TABLES = {"tabulate_accuracy": 1, "tabulate_image_worth": 1, "plot_accuracy": 1}
ADAPTERS = {"tune_adapter": 1, "train_adapter": 15}
TRANSLATOR = {"train_qformer": 1, "translate_texts": 2}
FEATURES = {"encode_images": 2, "encode_texts": 3}
DATA = {
    "render_aviary": 1,
    "unpack_archive": 2,
    "index_images": 1,
    "index_pairs": 1,
    "index_captions": 1,
    "generate_texts": 1,
    "check_texts": 2,
    "plan_images": 2,
}
WHOLE = {**DATA, **FEATURES, **TRANSLATOR, **ADAPTERS, **TABLES}
"""Jobs of a tiny run, by rule and stage."""


@dataclass(frozen=True)
class Answer:
    """What Snakemake answered: its exit status, and its output and errors as one text."""

    code: int
    text: str

    @property
    def ran(self) -> dict[str, int]:
        """Jobs that ended well, by rule."""
        return count_jobs(re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)", self.text, re.MULTILINE))

    @property
    def planned(self) -> dict[str, int]:
        """Jobs of a dry run, by rule."""
        if self.says_nothing_to_do:
            return {}
        table = re.search(r"^Job stats:\njob +count\n[- ]+\n((?:\w+ +\d+\n)+)", self.text, re.MULTILINE)
        assert table, self.text
        jobs = {rule: int(count) for rule, count in (line.split() for line in table[1].splitlines())}
        assert jobs.pop("total") == sum(jobs.values())
        return {rule: count for rule, count in jobs.items() if rule not in TARGETS}

    @property
    def says_nothing_to_do(self) -> bool:
        return bool(re.search(r"^Nothing to be done", self.text, re.MULTILINE))


def count_jobs(rules: list[str]) -> dict[str, int]:
    """How often each rule is named, targets left out."""
    return dict(Counter(rule for rule in rules if rule not in TARGETS))


def command(*argv: str | Path, configs: tuple[str | Path, ...] = (TINY,), cores: int = 2) -> list[str]:
    """Snakemake's command line; a target has to stand before the options."""
    words = [sys.executable, "-m", "snakemake", *map(str, argv), "--cores", str(cores)]
    return [*words, "--configfile", *map(str, configs)] if configs else words


def environment(source: Path, *first: Path) -> dict[str, str]:
    """The environment in which jobs run the package of this checkout, whichever is installed."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SNAKEMAKE_")}
    paths = os.pathsep.join(map(str, [*first, source / "src"]))
    return {**kept, "PYTHONPATH": paths, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def snakemake(
    folder: Path,
    *argv: str | Path,
    configs: tuple[str | Path, ...] = (TINY,),
    cores: int = 2,
    checkout: Path | None = None,
    first: tuple[Path, ...] = (),
) -> Answer:
    """Run Snakemake in a folder, which is the checkout itself unless another one is given."""
    if checkout:
        argv = (*argv, "--snakefile", checkout / "Snakefile")
    line = command(*argv, configs=configs, cores=cores)
    return Answer(*run_to_end(line, 800, cwd=folder, env=environment(checkout or folder, *first)))


def run(folder: Path, *argv: str | Path, **how: Any) -> Answer:
    """Run Snakemake, which has to succeed."""
    answer = snakemake(folder, *argv, **how)
    assert answer.code == 0, answer.text
    return answer


def plan(folder: Path, *argv: str | Path, **how: Any) -> dict[str, int]:
    """The jobs that Snakemake would run."""
    return run(folder, *argv, "--dry-run", **how).planned


def write_config(folder: Path, values: Mapping[str, Any], name: str = "extra.yaml") -> Path:
    """Write a configuration file that holds only what differs."""
    path = folder / name
    path.write_text(yaml.safe_dump(dict(values), sort_keys=False), encoding="utf-8")
    return path


def copy_checkout(to: Path, checkout: Path = ROOT) -> Path:
    """Copy what a run needs, as it stands in the working tree or in another copy, without results."""
    to.mkdir(parents=True)
    for name in PROJECT:
        if (checkout / name).is_dir():
            shutil.copytree(checkout / name, to / name, ignore=shutil.ignore_patterns("__pycache__", ".snakemake"))
        else:
            shutil.copy2(checkout / name, to / name)
    return to


def copy_run(run_folder: Path, to: Path) -> Path:
    """Copy a folder with everything in it, times and Snakemake's own records included."""
    return Path(shutil.copytree(run_folder, to, symlinks=True))


@contextlib.contextmanager
def one_at_a_time(lock: Path) -> Iterator[None]:
    """Hold a lock that the workers of pytest-xdist share."""
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """A temporary folder that the workers of pytest-xdist share."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def results_of(checkout: Path) -> dict[str, bytes]:
    """Every result of the tiny run by its path; what tells of runs, and holds times, is left out."""
    found, folder, of_runs = {}, checkout / "results" / "tiny", ("logs", "benchmarks", "run.md", ".lock")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and name.parts[0] not in of_runs and path.name != ".snakemake_timestamp":
            found[name.as_posix()] = path.read_bytes()
    return found


def unfinished_files(folder: Path) -> list[Path]:
    """What a stage has begun and not finished."""
    return sorted(folder.rglob("*.part"))
