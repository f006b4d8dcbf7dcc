"""What a run took, from planted benchmark files and logs."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import pytest

from fieldguide import __version__
from fieldguide.core.stage import new_parser, run_stage
from fieldguide.run.job_records import Job, read_jobs
from fieldguide.run.lock import LOCK, Holder
from fieldguide.run.progress import format_time
from fieldguide.run.run_page import (
    RunFacts,
    advice,
    config_hash,
    describe,
    git_commit,
    main,
    page,
    rule_row,
    versions,
)

STARTED = 1_700_000_000
HEAD = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time"
EXTENDED = f"{HEAD}\tjobid\trule_name\twildcards\tparams\tthreads\tcpu_usage\tresources\tinput_size_mb"


def plant(
    results: Path, name: str, seconds: float, *, rss: str = "NA", cpu: str = "NA", asked: str = "", log: str = ""
) -> Path:
    """One job's benchmark file, and its log."""
    path = results / "benchmarks" / f"{name}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    row = f"{seconds}\t0:00:01\t{rss}\t1\t1\t1\t0\t0\t1\t{cpu}"
    more = f"\t4\ta_rule\t{{}}\t{{'note': '\"quoted\"'}}\t2\t9\t{asked}\t{{'a.csv': 0.5}}" if asked else ""
    path.write_text(f"{EXTENDED if asked else HEAD}\n{row}{more}\n", encoding="utf-8")
    os.utime(path, (STARTED + 5, STARTED + 5))
    if log:
        log_path = results / "logs" / f"{name}.log"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        log_path.write_text(log, encoding="utf-8")
    return path


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results" / "birds"
    asked = "{'tmpdir': '/tmp', 'mem_mb': 4000, 'runtime': 10, 'gpu': 1, 'mem': '4 GB'}"
    used = "encode: used: memory 3000 MB, CPU 80.50 s, GPU memory 5120 MB of Some GPU 80GB\nencode: done: work 1 s\n"
    plant(folder, "encode/images/shard-1", 120.0, rss="2000.5", cpu="60.0", asked=asked, log=used)
    plant(folder, "encode/images/shard-2", 60.0, rss="1000.0", cpu="30.0", asked=asked, log="encode: done: work 1 s\n")
    plant(folder, "tabulate/all", 1.5)
    old = plant(folder, "train/old", 30.0, rss="100.0", cpu="29.0")
    os.utime(old, (STARTED - 99, STARTED - 99))
    (folder / "benchmarks" / "train" / "torn.tsv").write_text("")
    return folder


def facts(results: Path, **more: object) -> RunFacts:
    return RunFacts(results, "finished", STARTED, 150.0, **more)  # type: ignore[arg-type]


def test_a_jobs_measurements_are_read(results: Path) -> None:
    first, second, short, old = read_jobs(results, STARTED)
    # The peak that the system counted is above what Snakemake happened to sample.
    assert (first.rule, first.name, first.seconds, first.cpu, first.memory) == (
        "encode",
        "images/shard-1",
        120,
        80.5,
        3000,
    )
    assert (first.threads, first.requested) == (2, {"mem_mb": 4000, "runtime": 10, "gpu": 1})
    assert (first.gpu, first.gpu_memory) == ("Some GPU 80GB", 5120)
    assert (second.memory, second.cpu, second.gpu) == (1000, 30, "")
    # A job over before it was sampled has no memory, and none is made up.
    assert (short.rule, short.memory, short.cpu, short.requested) == ("tabulate", None, None, {})
    assert [job.is_new for job in (first, short, old)] == [True, True, False]


def test_what_the_page_says(results: Path) -> None:
    jobs = read_jobs(results, STARTED)
    text = page(facts(results, failed=["train, logs/train/x.log"]), jobs, {"executor": "local", "nothing": ""})
    assert "The run finished." in text and "took 2.5 min; 3 jobs ended well in it, together 3.0 min." in text
    assert "- train, logs/train/x.log" in text and "- executor: local" in text and "nothing" not in text
    rules = [line for line in text.splitlines() if line.startswith("| ")]
    # 2 of 10 minutes, 3000 of 4000 MB; the GPU was held by the job that used it.
    assert rules[2] == (
        "| encode | 2 (2) | 180.0 | 120.0 | 10 (20%) | 110.5 | 3,000 | 4,000 (75%) | 120.0 s, 5,120 MB |"
    )
    assert rules[3] == "| train | 1 (0) | 30.0 | 30.0 | – | 29.0 | 100 | – | – |"
    assert rules[4] == "| tabulate | 1 (1) | 1.5 | 1.5 | – | – | – | – | – |"
    assert rules[7] == "| encode | images/shard-1 | 120.0 | 80.5 | 3,000 | 2 |"


def test_only_the_ten_slowest_jobs_are_listed(tmp_path: Path) -> None:
    jobs = [Job("train", f"cell-{i:02}", float(i), None, None, True) for i in range(25)]
    text = page(facts(tmp_path), jobs, {})
    listed = [line.split(" | ")[1] for line in text.splitlines() if line.startswith("| train | cell-")]
    assert listed == [f"cell-{i:02}" for i in range(24, 14, -1)]


def test_advice_leaves_room(results: Path) -> None:
    # 1.5 x 3000 MB; 3 x 2 minutes, up to five.
    assert advice(read_jobs(results)) == ["set-resources:", "  encode:", "    mem_mb: 4500", "    runtime: 10"]


def test_a_page_without_jobs_has_no_tables(tmp_path: Path) -> None:
    text = page(facts(tmp_path), [], {})
    assert "0 jobs ended well" in text and "|" not in text


def test_the_line_that_stages_log_is_the_line_read_here(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_stage("tabulate", lambda args: None, new_parser("tabulate", ""), [])
    plant(results, "tabulate/all", 1.5, log=capsys.readouterr().err)
    job = read_jobs(results)[2]
    assert job.memory is not None and 5 < job.memory < 100_000 and job.cpu is not None and job.gpu == ""


def test_configurations_are_told_apart_whatever_their_order() -> None:
    assert config_hash({"a": 1, "b": {"c": [1, 2]}}) == config_hash({"b": {"c": [1, 2]}, "a": 1})
    assert config_hash({"a": 1}) != config_hash({"a": 2})


def test_versions_and_commit(tmp_path: Path) -> None:
    assert versions()["fieldguide"] == __version__ and "snakemake" in versions()
    assert git_commit(tmp_path / "no") == ""
    said = describe(facts(tmp_path, config="abc", config_files=["config/x.yaml"]), [], tmp_path / "no")
    assert said["configuration"] == "sha256 abc (config/x.yaml)" and said["git commit"] == "not a git checkout"


def test_only_a_checkouts_own_commit_is_told(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        subprocess.run(["git", *who, "-C", str(tmp_path), *words], check=True, capture_output=True)

    git("init")
    (tmp_path / "theirs").write_text("another project")
    copy = tmp_path / "copy"
    module = copy / "src/fieldguide/run/run_page.py"
    module.parent.mkdir(parents=True)
    module.write_text("")
    git("add", "theirs")
    git("commit", "-m", "theirs")
    assert git_commit(copy) == ""
    git("add", "copy")
    git("commit", "-m", "ours")
    assert re.fullmatch("[0-9a-f]{40}", git_commit(copy))
    module.write_text("changed")
    assert git_commit(copy).endswith(", with changes")
    if not os.geteuid():  # a checkout that another user made, which git mistrusts
        for path in (tmp_path, *tmp_path.rglob("*")):
            os.chown(path, 65534, 65534)
        assert git_commit(copy).endswith(", with changes")


def test_a_gpu_counts_where_nothing_says_what_was_asked() -> None:
    row = rule_row([Job("encode", "a", 60.0, None, None, True, gpu="A100", gpu_memory=5120.0)])
    assert row[-1] == "60.0 s, 5,120 MB"


def test_by_hand_it_tells_of_a_run_at_work_and_of_one_that_was_killed(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def printed() -> str:
        main(["--results", str(results)])
        return capsys.readouterr().out

    # The first job's begin, not its end.
    first = min(path.stat().st_mtime - job.seconds for path, job in planted(results))
    assert f"It started {datetime.fromtimestamp(first).astimezone().isoformat(' ', 'seconds')} and took" in printed()
    note = Holder.this_process()
    (results / LOCK).write_text(json.dumps(asdict(note)) + "\n")
    assert f"The run is at work ({note}). It started {note.started}" in (text := printed()) and "has taken" in text
    (results / LOCK).write_text(json.dumps(asdict(replace(note, pid=999_999))) + "\n")
    assert "The run did not end cleanly, or is at work elsewhere (process 999999 of " in printed()


def planted(results: Path) -> list[tuple[Path, Job]]:
    return [(results / "benchmarks" / job.rule / f"{job.name}.tsv", job) for job in read_jobs(results)]


def test_by_hand_it_prints_and_writes(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--results", str(results)])
    printed = capsys.readouterr().out
    assert "## By rule" in printed and "| encode | 2 (2) |" in printed
    main(["--results", str(results), "--out", str(tmp_path / "page.md")])
    assert (tmp_path / "page.md").read_text().splitlines()[:1] == ["# The last run"]
    with pytest.raises(SystemExit, match=r"benchmarks: no such folder; give --results a run's"):
        main(["--results", str(tmp_path / "no")])


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.04, "0.0 s"), (119.9, "119.9 s"), (120, "2.0 min"), (7199, "120.0 min"), (7200, "2.0 h")]
)
def test_times_in_units_that_suit(seconds: float, shown: str) -> None:
    assert format_time(seconds) == shown
