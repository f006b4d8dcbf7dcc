"""One tiny run for all tests of the workflow; each that changes something works on a copy of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.workflow_runs import copy_checkout, copy_run, one_at_a_time, run, shared_folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which the tiny run is finished, on two cores; tests read it only."""
    shared = shared_folder(tmp_path_factory)
    folder, output = shared / "finished", shared / "finished.txt"
    with one_at_a_time(shared / "finished.lock"):
        if not output.exists():
            answer = run(copy_checkout(folder), cores=2)
            output.write_text(answer.text, encoding="utf-8")
    return folder


@pytest.fixture
def tiny(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to change and to run again."""
    return copy_run(finished, tmp_path / "checkout")
