"""Where a run's time went, from planted logs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fieldguide.core.stage import new_parser, run_stage
from fieldguide.run.summarise_run import DONE, main, read_logs, share_elsewhere

STARTED = 1_700_000_000


def write_log(path: Path, text: str, modified: float = STARTED + 10) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (modified, modified))


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    write_log(folder / "train_adapter" / "reed" / "ratio-10.log", "a: 1\ntrain_adapter: done: work 6.00 s, threads 2\n")
    write_log(folder / "train_adapter" / "reed" / "ratio-20.log", "train_adapter: done: work 4.00 s, threads 2\n\n")
    write_log(folder / "read_cub" / "cub.log", "read_cub: done: work 2.50 s, threads 1\n")
    write_log(folder / "read_cub" / "old.log", "read_cub: done: work 99.00 s, threads 1\n", STARTED - 10)
    return folder


def summarise(logs: Path, *options: str, wall: str = "15", cores: str = "2") -> None:
    main(["--logs", str(logs), "--started", str(STARTED), "--wall", wall, "--cores", cores, *options])


def test_known_times(logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summarise(logs, "--out", str(tmp_path / "run_times.csv"))
    # 1 - (6*2 + 4*2 + 2.5*1) / (2 * 15) = 0.25
    assert capsys.readouterr().out.splitlines() == [
        "stage           jobs    work, s",
        "train_adapter      2      10.00",
        "read_cub           1       2.50",
        "25% of the wall time (2 cores for 15.0 s) was not the stages' own work: starting up and waiting.",
    ]
    assert (tmp_path / "run_times.csv").read_text(encoding="utf-8") == (
        "stage,jobs,work_seconds,core_seconds\ntrain_adapter,2,10.00,20.00\nread_cub,1,2.50,2.50\n"
    )


def test_share_elsewhere(logs: Path) -> None:
    times, unfinished = read_logs(logs, STARTED)
    assert unfinished == 0
    assert share_elsewhere(times, wall=15, cores=2) == pytest.approx(0.25)


def test_nothing_to_do_keeps_the_times_that_are_there(
    logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run_times.csv"
    out.write_text("earlier\n", encoding="utf-8")
    main(["--logs", str(logs), "--started", str(STARTED + 99), "--wall", "1", "--cores", "2", "--out", str(out)])
    assert capsys.readouterr().out == "nothing to do\n"
    assert out.read_text(encoding="utf-8") == "earlier\n"


def test_a_log_that_does_not_end_well_is_told(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_log(logs / "train_adapter" / "failed.log", "train_adapter: done: work 1.00 s, threads 1\nTraceback\n")
    write_log(logs / "train_adapter" / "empty.log", "")
    summarise(logs)
    out = capsys.readouterr().out
    assert "2 log(s) end without a stage's last line" in out
    assert "train_adapter      2      10.00" in out


def test_the_line_that_stages_log_is_the_line_read_here(capsys: pytest.CaptureFixture[str]) -> None:
    run_stage("some_stage", lambda args: None, new_parser("some_stage", ""), [])
    done = DONE.match(capsys.readouterr().err.splitlines()[-1])
    assert done is not None
    assert (done["stage"], done["threads"]) == ("some_stage", "1")


@pytest.mark.parametrize(("options", "told"), [({"wall": "0"}, "--wall is 0"), ({"cores": "0"}, "--cores is 0")])
def test_impossible_runs_are_refused(logs: Path, options: dict[str, str], told: str) -> None:
    with pytest.raises(SystemExit, match=told):
        summarise(logs, **options)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no such folder"):
        summarise(tmp_path / "logs")
