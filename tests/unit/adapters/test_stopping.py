"""A stop in the midst of a long training: its threads end within seconds, and the stage says how to go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

LONG_TRAINING = """
import sys
import numpy as np
from fieldguide.adapters.linear import fit, random_start
from fieldguide.core.stage import new_parser, run_stage

def train(args):
    rows = np.broadcast_to(np.arange(8), (4, 10**8, 8))
    print("training", flush=True)
    fit(np.ones((8, 4), np.float32), np.arange(8) % 3, rows, random_start(3, 4, range(4)), [0.1] * 4, [0.0] * 4)

parser = new_parser("adapters.train_adapter", "")
parser.add_argument("--threads", type=int)
run_stage("train_adapter", train, parser, sys.argv[1:], imports=("numpy",))
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_training_that_is_stopped_ends_within_seconds(threads: int) -> None:
    job = subprocess.Popen(
        [sys.executable, "-c", LONG_TRAINING, "--threads", str(threads)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        assert job.stdout is not None and job.stdout.readline() == "training\n"
        time.sleep(1)
        assert job.poll() is None
        job.send_signal(signal.SIGTERM)
        _, errors = job.communicate(timeout=10)
    finally:
        job.kill()
    assert job.returncode == 1
    assert errors.splitlines()[-1] == "train_adapter: stopped; run the same command again to go on"
