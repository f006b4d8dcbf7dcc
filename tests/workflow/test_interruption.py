"""A run that is interrupted, or killed, goes on with the same command and ends in the same bytes.

`FIELDGUIDE_SOAK=<rounds>` adds so many runs that are killed outright at random moments, each a minute or two.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.crashes import start
from tests.workflow_runs import (
    TABLES,
    Answer,
    copy_checkout,
    plan,
    results_of,
    run,
    unfinished_files,
)

pytestmark = pytest.mark.workflow

SOAK = int(os.environ.get("FIELDGUIDE_SOAK") or 0)


def test_after_control_c_it_goes_on(tiny: Path, tmp_path: Path):
    before = results_of(tiny)
    (adapters,) = (tiny / "results/tiny/adapters").iterdir()
    shutil.rmtree(adapters)
    output = tmp_path / "output.txt"
    process = start(tiny, output)
    until = time.monotonic() + 300
    while output.read_text().count("(Rule: train_adapter)") < 3 and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=120) != 0
    done = Answer(process.returncode, output.read_text()).ran["train_adapter"]
    assert 3 <= done < 15
    assert not unfinished_files(tiny)

    again = run(tiny)
    assert set(again.ran) == {"train_adapter", *TABLES}
    assert 0 < again.ran["train_adapter"] <= 15 - done
    assert results_of(tiny) == before


@pytest.mark.slow
@pytest.mark.skipif(not SOAK, reason="FIELDGUIDE_SOAK=<rounds> runs it")
@pytest.mark.parametrize("seed", range(SOAK))
def test_killed_at_random_moments(finished: Path, tmp_path: Path, seed: int):
    rng = random.Random(seed)
    folder = copy_checkout(tmp_path / "checkout", finished)
    for _ in range(4):
        process = start(folder, tmp_path / "output.txt")
        time.sleep(rng.uniform(1, 25))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=60)
        run(folder, "--unlock")
    run(folder)
    assert plan(folder) == {}
    # What a killed process was writing stays beside the result, under a name that nothing reads.
    ours, whole = results_of(folder), results_of(finished)
    assert {name: content for name, content in ours.items() if not name.endswith(".part")} == whole
