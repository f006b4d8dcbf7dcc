"""How `make demo` runs Snakemake, and what it says at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fieldguide.run import demo as run_demo
from fieldguide.run.demo import follow, main


def test_a_missing_configuration_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"^demo: error: config/aviary\.yaml: no such file; [^\n]*$"):
        main([])


def test_snakemake_is_followed_to_its_exit_status(capfd):
    code = "import sys; print('a line', flush=True); print('an error', file=sys.stderr); raise SystemExit(3)"
    assert follow([sys.executable, "-c", code]) == 3
    assert capfd.readouterr() == ("a line\nan error\n", "")


def run_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int) -> None:
    """A demo whose Snakemake leaves so many logs."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("config.yaml", ""), ("results/tables/accuracy.html", ""), ("results/logs/old.log", "")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    os.utime(tmp_path / "results/logs/old.log", (1.0, 1.0))

    def follow(command: list[str]) -> int:
        for number in range(jobs):
            (tmp_path / f"results/logs/{number}.log").write_text("train_adapter: done: work 1.50 s, threads 1\n")
        return 0

    monkeypatch.setattr(run_demo, "follow", follow)
    with pytest.raises(SystemExit, match="0"):
        main(["--configfile", "config.yaml", "--results", "results", "--cores", "2"])


def test_where_the_time_went_and_where_the_files_are(tmp_path, monkeypatch, capsys):
    run_with(tmp_path, monkeypatch, jobs=3)
    text = capsys.readouterr().out
    assert text.startswith("Running the workflow with config.yaml, target all, on 2 core(s).\n")
    assert "The run took 0 s." in text and "train_adapter      3       4.50" in text
    assert "Under results/:\n" in text and "  tables/accuracy.html   the comparison table as a page\n" in text
    assert "tables/accuracy.csv" not in text


def test_nothing_to_do_is_noticed(tmp_path, monkeypatch, capsys):
    run_with(tmp_path, monkeypatch, jobs=0)
    assert "Nothing to do: every result was there and up to date (checked in 0 s).\n" in capsys.readouterr().out


DEMO = """
import sys
from pathlib import Path
from fieldguide.run import demo
job = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); Path('at_work').touch()"
code = "from pathlib import Path; " + job + "; time.sleep(60)"
demo.say("at work")
sys.exit(demo.follow([sys.executable, "-c", code]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_passed_on_and_a_lost_reader_does_no_harm(tmp_path: Path, number: signal.Signals) -> None:
    code = DEMO.replace("signal.SIGTERM", f"signal.{number.name}")
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=writing, stderr=writing)
    os.close(writing)
    try:
        until = time.monotonic() + 20
        while not (tmp_path / "at_work").exists():
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(timeout=20) == 7
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("variables", "is_moved"),
    [({"HOME": "{here}"}, False), ({"HOME": "{here}/a-file/x"}, True), ({"XDG_CACHE_HOME": "{here}/a-file"}, True)],
)
def test_a_home_that_cannot_be_written_is_not_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], is_moved: bool
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    (tmp_path / "a-file").touch()
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("{here}", str(tmp_path)))
    expected = str(tmp_path / ".snakemake/cache") if is_moved else None
    assert run_demo.environment().get("XDG_CACHE_HOME") == expected
