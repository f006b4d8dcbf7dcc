"""How a stage runs, logs and fails."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldguide.errors import FieldguideError
from fieldguide.stage import log, new_parser, run_stage, use_threads

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@pytest.fixture(autouse=True)
def same_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage sets variables of the process; put them back."""
    for name in (*THREADS, "OMP_DYNAMIC", "MKL_DYNAMIC"):
        monkeypatch.setenv(name, os.environ.get(name, "1"))


def parser() -> argparse.ArgumentParser:
    made = new_parser("try_it", "Try it.")
    made.add_argument("--threads", type=int, default=1)
    return made


def stopped(run: Callable[[argparse.Namespace], None], *argv: str) -> object:
    with pytest.raises(SystemExit) as caught:
        run_stage("try_it", run, parser(), list(argv))
    return caught.value.code


def test_bad_input_is_one_line_and_exit_code_one(tmp_path: Path) -> None:
    code = (
        "from fieldguide.errors import FieldguideError\n"
        "from fieldguide.stage import new_parser, run_stage\n"
        "def run(args): raise FieldguideError('birds.csv: no bird; bring one')\n"
        "run_stage('try_it', run, new_parser('try_it', ''), [])\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr == "try_it: error: birds.csv: no bird; bring one\n"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "no.csv"

    def read(_: argparse.Namespace) -> None:
        missing.read_text()

    assert stopped(read) == f"try_it: error: {missing}: No such file or directory"

    def list_it(_: argparse.Namespace) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder").read_text()

    assert stopped(list_it) == f"try_it: error: {tmp_path / 'folder'}: Is a directory"


def test_an_error_of_ours_keeps_its_traceback() -> None:
    def divide(_: argparse.Namespace) -> None:
        print(1 // 0)

    with pytest.raises(ZeroDivisionError):
        run_stage("try_it", divide, parser(), [])

    def nameless(_: argparse.Namespace) -> None:
        raise OSError("something about no file")

    with pytest.raises(OSError, match="something about no file"):
        run_stage("try_it", nameless, parser(), [])


def test_a_stopped_stage_says_how_to_go_on() -> None:
    def stop(_: argparse.Namespace) -> None:
        raise KeyboardInterrupt

    assert stopped(stop) == "try_it: stopped; run the same command again to go on"


def test_the_log_says_how_long_the_work_took(capsys: pytest.CaptureFixture[str]) -> None:
    run_stage("try_it", lambda args: log.info("threads are %d", args.threads), parser(), ["--threads", "3"])
    first, last = capsys.readouterr().err.splitlines()
    assert first == "try_it: threads are 3"
    assert last.startswith("try_it: done: work 0.0") and last.endswith("s, threads 3")


def test_threads_are_set_before_anything_heavy_is_imported() -> None:
    code = (
        "import os, sys\n"
        "from fieldguide.stage import new_parser, run_stage\n"
        "def run(args):\n"
        "    import numpy\n"
        "    from threadpoolctl import threadpool_info\n"
        "    print({pool['num_threads'] for pool in threadpool_info()}, os.environ['OMP_NUM_THREADS'])\n"
        "assert 'numpy' not in sys.modules\n"
        "parser = new_parser('try_it', '')\n"
        "parser.add_argument('--threads', type=int, default=1)\n"
        "run_stage('try_it', run, parser, ['--threads', '1'])\n"
    )
    environment = {**os.environ, **dict.fromkeys(THREADS, "2"), "PYTHONPATH": os.pathsep.join(sys.path)}
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert answer.stdout == "{1} 1\n"


def test_use_threads() -> None:
    use_threads(5)
    assert [os.environ[name] for name in THREADS] == ["5", "5", "5"]
    assert os.environ["OMP_DYNAMIC"] == os.environ["MKL_DYNAMIC"] == "FALSE"


def test_what_is_to_be_imported_is_imported_first() -> None:
    seen = []
    run_stage("try_it", lambda _: seen.append("wave" in sys.modules), parser(), [], imports=("wave",))
    assert seen == [True]


def test_help_names_the_module(capsys: pytest.CaptureFixture[str]) -> None:
    assert stopped(lambda _: None, "--help") == 0
    told = capsys.readouterr().out
    assert told.startswith("usage: python -m fieldguide.try_it")
    assert "The same --threads gives the same result to the bit." in told


def test_the_one_exception_is_a_plain_one() -> None:
    assert str(FieldguideError("a sentence")) == "a sentence"
