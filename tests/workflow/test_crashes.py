"""Kills, signals, disks and permissions: what a user reads, what is left, and that the same command goes on.

`python -m tests.crashes --kills 25` kills as often as one likes; here it is a few.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crashes import check_measures, elapsed_seconds, is_locked, kill_group, kill_often, start
from tests.processes import members
from tests.workflow_runs import (
    TABLES,
    TINY,
    copy_run,
    plan,
    results_of,
    run,
    snakemake,
    unfinished_files,
    write_config,
)

pytestmark = pytest.mark.workflow

SLOW = "ratio-50"  # the cells whose jobs wait to be disturbed
AT_WORK = "waiting to be disturbed"


@contextlib.contextmanager
def slow_cells(folder: Path) -> Iterator[None]:
    """Remove a few cells, and have their jobs wait in the midst of writing; afterwards the code is as it was."""
    for path in (folder / "results/tiny/adapters").rglob(f"{SLOW}.*"):
        path.unlink()
    # No rule hangs on this module, so that the other cells are not trained anew for it.
    module = folder / "src/fieldguide/core/stage.py"
    code, times = module.read_text(), (module.stat().st_atime, module.stat().st_mtime)
    begun = "            started = time.perf_counter()\n"
    assert begun in code
    wait = (
        "            if name == 'train_adapter':\n"
        "                from fieldguide.core.files import atomic_path as writing\n"
        "                with writing(args.out) as half_written:\n"
        "                    half_written.write_text('half')\n"
        f"                    print({AT_WORK!r}, flush=True)\n"
        "                    time.sleep(300)\n"
    )
    module.write_text(code.replace(begun, begun + wait))
    os.utime(module, times)
    try:
        yield
    finally:
        module.write_text(code)
        os.utime(module, times)


def jobs_that_wait(folder: Path) -> int:
    logs = (folder / "results/tiny/logs/train_adapter").rglob(f"{SLOW}.log")
    return sum(AT_WORK in log.read_text(errors="replace") for log in logs)


def start_slow(folder: Path, output: Path, jobs: int = 2) -> subprocess.Popen[bytes]:
    """Start a run and wait until so many of its jobs are at work."""
    for log in (folder / "results/tiny/logs/train_adapter").rglob(f"{SLOW}.log"):
        log.unlink()
    process = start(folder, output)
    until = time.monotonic() + 200
    while jobs_that_wait(folder) < jobs:
        assert process.poll() is None and time.monotonic() < until, output.read_text()
        time.sleep(0.1)
    return process


def sentence_of(text: str, words: str) -> str:
    """The one line that has these words."""
    (line,) = {line.strip() for line in text.splitlines() if words in line}
    return line


def test_killed_at_random_moments_it_ends_in_the_same_results(finished: Path, tmp_path: Path):
    text = (finished.parent / "finished.txt").read_text()
    check_measures(finished, text)
    duration = elapsed_seconds(text)
    kills = kill_often(finished, duration, kills=3, per_run=3, seed=1)
    assert all(kill.is_well for kill in kills), kills
    assert kills[-1].ended and kills[-1].same
    assert any(kill.was_locked for kill in kills)  # and yet only every third is unlocked by hand


def test_a_signal_ends_a_run_in_seconds_and_it_says_how_to_go_on(tiny: Path, tmp_path: Path):
    before, output = results_of(tiny), tmp_path / "output.txt"
    with slow_cells(tiny):
        for number in (signal.SIGTERM, signal.SIGINT):
            process = start_slow(tiny, output)
            process.send_signal(number)  # to Snakemake alone, as `kill` does; a terminal tells the jobs too
            began = time.monotonic()
            assert process.wait(timeout=60) == 1
            assert time.monotonic() - began < 30
            text = output.read_text()
            assert "The run was stopped; run the same command again to go on; what is finished is kept." in text
            assert "train_adapter: stopped; run the same command again to go on" in text
            assert not members(process.pid) and not unfinished_files(tiny) and not is_locked(tiny)
            page = (tiny / "results/tiny/run.md").read_text()
            assert "The run was stopped." in page and "train_adapter, results/tiny/logs/train_adapter/" in page
    assert run(tiny).ran == {"train_adapter": 5, **TABLES}
    assert results_of(tiny) == before


def test_one_run_at_a_time_and_another_results_folder_beside_it(tiny: Path, tmp_path: Path):
    output = tmp_path / "output.txt"
    other = (TINY, write_config(tiny, {"results": "results/others"}))
    copy_run(tiny / "results/tiny", tiny / "results/others/tiny")
    shutil.rmtree(tiny / "results/others/tiny/tables")
    with slow_cells(tiny):
        process = start_slow(tiny, output)
        try:
            second = snakemake(tiny)
            assert second.code == 1 and "Traceback" not in second.text and "LockException" not in second.text
            sentence = sentence_of(second.text, "is being made by another run")
            assert f"(process {process.pid} of " in sentence and f"`kill {process.pid}`" in sentence
            assert "results/tiny" in sentence and not second.ran
            # Unlocking under a living run is refused too; looking is not.
            unlock = snakemake(tiny, "--unlock")
            assert unlock.code == 1 and "is being made by another run" in unlock.text and is_locked(tiny)
            assert snakemake(tiny, "--dry-run").code == 0

            beside = run(tiny, configs=other)
            assert beside.ran == TABLES
            assert process.poll() is None and jobs_that_wait(tiny) == 2
            # Its end took Snakemake's lock of the first run along; ours still stands.
            assert "is being made by another run" in snakemake(tiny).text
        finally:
            kill_group(process, tiny)
    tables = {path.name: path.read_bytes() for path in (tiny / "results/tiny/tables").iterdir()}
    assert {path.name: path.read_bytes() for path in (tiny / "results/others/tiny/tables").iterdir()} == tables


def test_however_results_is_written_a_killed_runs_lock_is_known(tiny: Path, tmp_path: Path):
    odd = (TINY, write_config(tiny, {"results": "./others//x"}))
    process = start(tiny, tmp_path / "output.txt", configs=odd)
    until = time.monotonic() + 100
    while not is_locked(tiny):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.02)
    kill_group(process, tiny)
    assert is_locked(tiny)
    again = run(tiny, "--until", "render_aviary", configs=odd)
    assert "The last run of others/x/tiny" in again.text and "its lock is taken away" in again.text


def test_jobs_that_outlive_their_snakemake_are_waited_for(tiny: Path, tmp_path: Path):
    before = results_of(tiny)
    with slow_cells(tiny):
        process = start_slow(tiny, tmp_path / "output.txt")
        process.kill()
        process.wait()
        orphans = members(process.pid)
        try:
            refused = snakemake(tiny)
            sentence = sentence_of(refused.text, "jobs of it are still at work")
            pids = {int(pid) for pid in re.search(r"`kill ([\d ]+)`", sentence)[1].split()}  # type: ignore[index]
            assert refused.code == 1 and len(pids) == 2 and pids <= {orphan.pid for orphan in orphans}
            for pid in pids:
                os.kill(pid, signal.SIGTERM)
            until = time.monotonic() + 30
            while members(process.pid):
                assert time.monotonic() < until
                time.sleep(0.1)
        finally:
            for orphan in members(process.pid):
                orphan.kill()
    again = run(tiny)
    assert "was killed; its lock is taken away" in again.text
    assert again.ran == {"train_adapter": 5, **TABLES}
    assert results_of(tiny) == before


def test_a_job_killed_for_memory_is_told_and_the_rest_goes_on(tiny: Path, tmp_path: Path):
    before, output = results_of(tiny), tmp_path / "output.txt"
    (only, *_) = sorted((tiny / "results/tiny/adapters").rglob(f"{SLOW}.json"))
    with slow_cells(tiny):
        process = start_slow(tiny, output)
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until:
            for job in members(process.pid):
                with contextlib.suppress(Exception):
                    if (
                        "fieldguide.adapters.train_adapter" in job.cmdline()
                        and job.name() != "bash"
                        and jobs_that_wait(tiny)
                    ):
                        job.kill()  # as the system does when memory runs out
            time.sleep(0.5)
        assert process.poll() == 1
    text = output.read_text()
    assert "This job was killed outright, most often because the machine" in text
    assert not only.exists()
    assert run(tiny).ran == {"train_adapter": 5, **TABLES}
    assert results_of(tiny) == before
    assert not unfinished_files(tiny)


@contextlib.contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """A small disk of its own."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs root, and the right to mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_disk(tiny: Path) -> Iterator[Path]:
    """The results of a finished run on a small disk of their own."""
    kept = (tiny / "results").rename(tiny / "kept")
    with mounted(tiny / "results") as results:
        subprocess.run(["cp", "-a", f"{kept}/.", str(results)], check=True)
        yield results


def fill(disk: Path, room: int = 0) -> Path:
    """Fill a disk but for so many bytes; returns the file that does it."""
    with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(b"0" * 4096)
    os.truncate(disk / "ballast", (disk / "ballast").stat().st_size - room)
    return disk / "ballast"


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def test_a_full_disk_and_one_that_is_read_only(tiny: Path, small_disk: Path):
    before = results_of(tiny)
    for name, pattern in (("features", "images/dataset/*.safetensors"), ("adapters", f"{SLOW}.json")):
        for path in (small_disk / "tiny" / name).rglob(pattern):
            path.unlink()
    fill(small_disk)
    refused = snakemake(tiny)
    assert refused.code == 1 and "Traceback" not in refused.text
    assert "results/tiny: No space left on device; make room there and run the same command again" in refused.text

    # Room for a log, but not for the features: the disk gets full on the way.
    os.truncate(small_disk / "ballast", (small_disk / "ballast").stat().st_size - 40_960)
    full = snakemake(tiny)
    assert full.code == 1 and "Traceback" not in full.text, full.text
    sentence = sentence_of(full.text, "encode_images: error:")
    assert re.search(r"No space left on device|are free", sentence) and "images/dataset" in sentence
    assert not unfinished_files(tiny)

    remount(small_disk, "ro")
    refused = snakemake(tiny)
    assert refused.code == 1 and "Traceback" not in refused.text
    assert "results/tiny: Read-only file system; make it writable, or name another folder by `results`" in refused.text

    remount(small_disk, "rw")
    (small_disk / "ballast").unlink()
    assert "encode_images" in run(tiny).ran
    assert results_of(tiny) == before


def test_a_full_disk_that_takes_snakemakes_notes_too(finished: Path, tmp_path: Path):
    """As a user has it: the project and its results on one disk."""
    with mounted(tmp_path / "disk") as disk:
        folder = copy_run(finished, disk / "checkout")
        before = results_of(folder)
        (features,) = (folder / "results/tiny/features").glob("*/images/dataset/*.safetensors")
        for path in (features, *(folder / "results/tiny/adapters").rglob(f"{SLOW}.json")):
            path.unlink()
        for room in (0, 40_960, 81_920):  # nothing; not enough for Snakemake's notes; not enough for the features
            ballast = fill(disk, room)
            full = snakemake(folder)
            assert full.code == 1, full.text
            # The log's first line comes before the workflow is read; afterwards no traceback buries the sentence.
            assert full.text.count("Logging error") <= 1 and full.text.count("Traceback") <= 1
            assert re.search(r"^\S.*(No space left on device|are free); make room there", full.text, re.MULTILINE)
            assert not unfinished_files(folder) and not is_locked(folder)
            ballast.unlink()
        assert "encode_images" in run(folder).ran
        assert results_of(folder) == before


def test_a_results_folder_of_somebody_else_is_named(tiny: Path):
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c"]
    if os.geteuid() or not shutil.which("setpriv") or subprocess.run([*nobody, ""], capture_output=True).returncode:
        pytest.skip("needs root, setpriv and a Python that others may run")
    with tempfile.TemporaryDirectory() as folder:
        public = Path(folder)
        public.chmod(0o755)
        (public / "results").mkdir(mode=0o755)
        copy_run(tiny / "src/fieldguide", public / "fieldguide")
        code = "from pathlib import Path; from fieldguide.run.guard import hold; hold(Path('results/tiny')).__enter__()"
        answer = subprocess.run([*nobody, code], cwd=public, env={"PYTHONPATH": folder}, capture_output=True, text=True)
        assert answer.returncode == 1
        assert re.search(r"results/tiny: Permission denied; give \S+.* the right to it, or name another", answer.stderr)
        assert not (public / "results/tiny").exists()


def test_killed_amid_a_change_nothing_that_it_made_stale_is_kept(tiny: Path, tmp_path: Path):
    """What a job is about to make again is taken away first, so that a kill leaves older results behind a gap."""
    changed = (TINY, write_config(tiny, {"texts": {"aviary-llm": {"replies_per_class": 1}}}))
    output = tmp_path / "output.txt"
    process = start(tiny, output, configs=changed)
    features = next((tiny / "results/tiny/features").glob("*/texts/aviary-llm/*.safetensors"))
    until = time.monotonic() + 200
    while features.exists():
        assert process.poll() is None and time.monotonic() < until, output.read_text()
        time.sleep(0.02)
    kill_group(process, tiny)
    left = plan(tiny, configs=changed)
    assert left.pop("encode_texts") == left.pop("translate_texts") == 1
    assert left == {"tune_adapter": 1, "train_adapter": 15, **TABLES}


def test_a_run_with_nothing_to_do_says_nothing_of_runs(tiny: Path):
    page = tiny / "results/tiny/run.md"
    before = page.stat().st_mtime_ns
    answer = run(tiny)
    assert answer.says_nothing_to_do and page.stat().st_mtime_ns == before and plan(tiny) == {}
