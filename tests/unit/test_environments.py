"""One set of versions: pyproject.toml, requirements/, envs/ and what runs here agree."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ENVS = sorted((ROOT / "envs").glob("*.yaml"))


def as_requirements(lines: list[str]) -> dict[str, Requirement]:
    """Requirements by canonical name; comments and blank lines left out."""
    told = [line.partition("#")[0].strip() for line in lines]
    found = [Requirement(line) for line in told if line]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def read_lock(name: str = "fieldguide.lock") -> dict[str, Requirement]:
    """The pinned requirements of a lock, hashes left out."""
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    return as_requirements([line.rstrip("\\ ") for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line)])


def pinned_version(requirement: Requirement) -> Version:
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", f"{requirement} is not pinned"
    return Version(specifier.version)


LOCK = read_lock()
DIRECT = as_requirements((ROOT / "requirements" / "fieldguide.in").read_text(encoding="utf-8").splitlines())
RUNTIME = as_requirements(PROJECT["project"]["dependencies"])
DEV = as_requirements(PROJECT["project"]["optional-dependencies"]["dev"])
SLURM = as_requirements(PROJECT["project"]["optional-dependencies"]["slurm"])


@pytest.mark.parametrize("name", ["fieldguide.lock", "uv.lock"])
def test_every_line_of_a_lock_is_a_pin_with_hashes(name):
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    pins = re.findall(r"^[A-Za-z0-9][^\n]*==[^\n]*(?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?)+$", text, re.MULTILINE)
    assert len(pins) == len(read_lock(name)) > 0
    others = [line for line in text.splitlines() if not re.match(r"[A-Za-z0-9]|    --hash=|\s*#|$", line)]
    assert not others, "a lock holds pins, hashes and comments only"


def test_the_lock_is_that_of_its_input():
    assert not DIRECT.keys() - LOCK.keys(), "run `make lock`"
    for name, requirement in DIRECT.items():
        assert requirement.specifier.contains(pinned_version(LOCK[name])), f"{requirement}: run `make lock`"


def test_the_input_is_what_pyproject_asks_for():
    build_tools = {"editables", "hatchling", "setuptools"}
    assert DIRECT.keys() == RUNTIME.keys() | DEV.keys() | SLURM.keys() | build_tools


def test_the_lock_is_within_the_ranges_of_pyproject():
    for name, requirement in (RUNTIME | DEV | SLURM | as_requirements(PROJECT["build-system"]["requires"])).items():
        assert requirement.specifier.contains(pinned_version(LOCK[name])), f"{requirement} excludes {LOCK[name]}"


@pytest.mark.parametrize("path", ENVS, ids=lambda path: path.name)
def test_a_conda_environment_has_the_locks_versions(path):
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    conda = [entry for entry in told["dependencies"] if isinstance(entry, str)]
    (pip,) = [entry["pip"] for entry in told["dependencies"] if isinstance(entry, dict)]
    pins = as_requirements(pip)
    assert path.stem == told["name"]
    assert "pip" in conda
    (python,) = [entry.partition("=")[2] for entry in conda if entry.startswith("python=")]
    assert PROJECT["project"]["requires-python"] == f">={python}"
    for name, requirement in pins.items():
        assert pinned_version(requirement) == pinned_version(LOCK[name]), f"{requirement}, but {LOCK[name]}"
    if path.stem == "fieldguide":
        assert pins.keys() == DIRECT.keys()


def test_there_is_a_conda_environment():
    assert ROOT / "envs" / "fieldguide.yaml" in ENVS


@pytest.mark.skipif(Path(sys.prefix) != ROOT / ".venv", reason="runs in another environment than .venv")
def test_what_is_installed_is_what_is_locked():
    for name in DIRECT:
        installed = Version(importlib.metadata.version(name))
        assert installed == pinned_version(LOCK[name]), f"{name}: make again with `rm .venv/.installed; make test`"


def test_the_version_is_told_once():
    from fieldguide import __version__

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
