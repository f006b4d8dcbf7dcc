"""No process outlives the tests that started it."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from tests import processes
from tests.processes import MARK, end_groups, end_left, members, start_group


def test_a_process_is_found_whatever_its_group_and_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "SESSION", "of this test")
    environment = {**os.environ, MARK: "of this test"}
    code = f"import subprocess, sys; print(subprocess.Popen([{sys.executable!r}, '-c', 'import time; time.sleep(60)'],"
    code += " start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).pid)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    orphan = psutil.Process(int(done.stdout))
    (left,) = end_left(patience=0.0)
    assert left.startswith(f"{orphan.pid}: ") and "sleep(60)" in left
    assert not orphan.is_running() or orphan.wait(timeout=10) is None
    assert end_left(patience=1.0) == []


def test_a_group_ends_with_its_test_though_its_first_process_is_gone() -> None:
    process = start_group(["bash", "-c", "sleep 60 & sleep 60 & exit 0"])
    assert process.wait(timeout=20) == 0 and len(members(process.pid)) == 2
    end_groups()
    until = time.monotonic() + 10
    while members(process.pid):
        assert time.monotonic() < until
        time.sleep(0.05)
