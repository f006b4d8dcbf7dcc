"""How a run ends on a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from fieldguide.run import stopping as run_stopping
from fieldguide.run.stopping import end_jobs, stop_on_signals


def test_sigterm_before_the_scheduler_is_an_interrupt_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stop_on_signals(SimpleNamespace()):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert signal.getsignal(signal.SIGTERM) is before


def test_stages_are_told_to_end_and_their_shells_wait_for_them(tmp_path: Path) -> None:
    stage = tmp_path / "stage.py"
    stage.write_text(
        "import sys, time\nfrom fieldguide.core.stage import new_parser, run_stage\n"
        "def run(args):\n try:\n  print('at work', flush=True); time.sleep(60)\n"
        " finally:\n  time.sleep(0.3); print('tidy', flush=True)\n"
        "run_stage('try_it', run, new_parser('try_it', ''), [])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    shell = subprocess.Popen(
        ["bash", "-c", f"{sys.executable} {stage}; echo status $?"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    assert shell.stdout is not None and shell.stdout.readline() == "at work\n"
    end_jobs(seconds=10)
    assert shell.stdout.read() == "tidy\ntry_it: stopped; run the same command again to go on\nstatus 1\n"
    shell.wait()


def test_a_stage_that_hears_nothing_is_named_and_told_twice_it_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_stopping, "NAME_AFTER", 0.3)
    # As in the midst of one long computation, which does not return to Python.
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    stage = subprocess.Popen([sys.executable, "-c", code, "fieldguide.try_it"], stdout=subprocess.PIPE, text=True)
    try:
        assert stage.stdout is not None and stage.stdout.readline() == "deaf\n"
        told: list[str] = []
        end_jobs(seconds=1, log=told.append)
        assert stage.poll() is None
        (sentence,) = told
        assert f"process(es) {stage.pid}, " in sentence and "ends them at once" in sentence
        end_jobs(seconds=20, kill_after=0.2, log=told.append)
        assert stage.wait(timeout=20) == -signal.SIGKILL
    finally:
        stage.kill()
        stage.wait()
