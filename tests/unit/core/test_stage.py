"""How a stage runs, logs and fails."""

from __future__ import annotations

import argparse
import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fieldguide.core.errors import FieldguideError
from fieldguide.core.signals import REPEAT_WINDOW
from fieldguide.core.stage import log, new_parser, run_stage, stop_with, use_threads

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
        "from fieldguide.core.errors import FieldguideError\n"
        "from fieldguide.core.stage import new_parser, run_stage\n"
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


def test_what_begins_anew_is_not_told_to_go_on() -> None:
    def stop(_: argparse.Namespace) -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as end:
        run_stage("try_it", stop, parser(), [], resumes=False)
    assert end.value.code == "try_it: stopped"


def test_the_log_says_how_long_the_work_took(capsys: pytest.CaptureFixture[str]) -> None:
    run_stage("try_it", lambda args: log.info("threads are %d", args.threads), parser(), ["--threads", "3"])
    first, used, last = capsys.readouterr().err.splitlines()
    assert used.startswith("try_it: used: memory ")
    assert first == "try_it: threads are 3"
    assert last.startswith("try_it: done: work 0.0") and last.endswith("s, threads 3")


def test_threads_are_set_before_anything_heavy_is_imported() -> None:
    code = (
        "import os, sys\n"
        "from fieldguide.core.stage import new_parser, run_stage\n"
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


STAGE = """
import os, sys, time
from pathlib import Path
from fieldguide.core.files import atomic_path, write_text
from fieldguide.core.stage import new_parser, run_stage
def run(args):
{body}
run_stage('try_it', run, new_parser('try_it', ''), [])
"""


def start_stage(body: str, **variables: str) -> subprocess.Popen[str]:
    """A stage in a process of its own, whose `run` is these lines."""
    code = STAGE.format(body="\n".join(f"    {line}" for line in body.splitlines()))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


WRITING = """
with atomic_path(Path({out!r})) as beside:
    beside.write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_stage_in_order(tmp_path: Path, number: signal.Signals) -> None:
    process = start_stage(WRITING.format(out=str(tmp_path / "out.csv")))
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    process.send_signal(number)
    process.send_signal(signal.SIGTERM)  # a terminal and Snakemake both send one; tidying up goes on
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (1, "try_it: stopped; run the same command again to go on\n")
    assert not list(tmp_path.iterdir())


def test_a_second_signal_later_ends_a_stage_that_hangs(tmp_path: Path) -> None:
    process = start_stage("try:\n  print('at work', flush=True); time.sleep(60)\nfinally:\n  time.sleep(60)")
    assert process.stdout is not None and process.stdout.readline() == "at work\n"
    process.terminate()
    time.sleep(REPEAT_WINDOW + 0.3)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM


def test_handlers_come_back_after_a_stage() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    run_stage("try_it", lambda args: None, parser(), [])
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_memory_that_runs_out_is_one_sentence() -> None:
    body = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\nbytearray(1 << 31)"
    _, said = start_stage(body).communicate(timeout=60)
    assert said.startswith("try_it: error: memory ran out (MemoryError); run fewer jobs at once")
    assert "--set-resources try_it:mem_mb=" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried 8 bytes.",
        "CUDA out of memory. Tried to allocate 20.00 MiB.\nMore words.",
        "DataLoader worker (pid 7) is killed by signal: Killed. ",
    ],
)
def test_what_libraries_say_when_memory_runs_out(words: str) -> None:
    def run(_: argparse.Namespace) -> None:
        raise RuntimeError(words)

    sentence = str(stopped(run))
    assert (
        sentence.startswith(f"try_it: error: memory ran out ({words.splitlines()[0].strip()}); ")
        and "\n" not in sentence
    )

    def other(_: argparse.Namespace) -> None:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        run_stage("try_it", other, parser(), [])


def test_a_worker_that_the_system_kills_ends_the_stage() -> None:
    """And is not waited for, as `multiprocessing.Pool` would."""
    body = (
        "from fieldguide.aviary.render_aviary import mapper\nimport signal\n"
        "with mapper(2) as over:\n  over(os._exit, [9] * 64, 'dying')"
    )
    _, said = start_stage(body).communicate(timeout=60)
    # Python words it by when the pool was found broken: while a part was computed, or when one more was handed in.
    assert said.splitlines()[-1].startswith(
        (
            "try_it: error: memory ran out (A process in the process pool was terminated",
            "try_it: error: memory ran out (A child process terminated abruptly, the process pool",
        )
    )


def test_a_full_disk_is_told_even_where_the_log_takes_no_word(tmp_path: Path) -> None:
    """/dev/full takes nothing, as a full disk: the log, and the file that is written."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    log_file, told = tmp_path / "told.txt", tmp_path / "out.csv"
    code = STAGE.format(
        body="    with atomic_path(Path('out.csv')) as beside:\n"
        "        beside.symlink_to('/dev/full')\n        beside.write_text('x')"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "FIELDGUIDE_ERRORS": "3"}
    (tmp_path / "stage.py").write_text(code)
    command = f"exec 3>{log_file}; {sys.executable} stage.py &>/dev/full"
    assert subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment).returncode == 1
    assert log_file.read_text() == (
        "try_it: error: out.csv: No space left on device; make room there and run the same command again;"
        " what is finished is kept\n"
    )
    assert not told.exists() and not list(tmp_path.glob("*.part"))


def test_a_name_that_is_not_utf8_can_be_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIELDGUIDE_ERRORS", "2")
    with pytest.raises(SystemExit):
        stop_with("caf\udce9.png: is missing")
    assert capfd.readouterr().err == "caf\\udce9.png: is missing\n"


def test_a_place_that_may_not_be_written_is_told_with_the_way_out() -> None:
    def refuse(number: int) -> object:
        def run(_: argparse.Namespace) -> None:
            raise OSError(number, os.strerror(number), "results/x.csv")

        return stopped(run)

    assert refuse(errno.EROFS) == (
        "try_it: error: results/x.csv: Read-only file system; make it writable, or name another folder by `results` in"
        " the configuration"
    )
    assert re.fullmatch(
        r"try_it: error: results/x\.csv: Permission denied; give \S+ the right to it, or name another folder .*",
        str(refuse(errno.EACCES)),
    )
