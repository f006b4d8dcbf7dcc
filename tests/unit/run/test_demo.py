"""How `make demo` tells of a run."""

from __future__ import annotations

import sys

import pytest

from fieldguide.run.demo import SILENCE, Narrator, follow, main

RUN = """\
Using workflow specific profile profiles/demo for setting default command line arguments.
Assuming unrestricted shared filesystem usage.
Building DAG of jobs...
Using shell: /usr/bin/bash
Provided cores: 2
Rules claiming more threads will be scaled down.
Job stats:
job              count
-------------  -------
train_adapter        1
all                  1
total                2

Select jobs to execute...
Execute 1 jobs...

[Mon Nov 23 14:38:45 2026]
localrule train_adapter:
    input: features.safetensors
    output: ratio-7.json
    log: logs/7.log
    jobid: 4
    benchmark: bench/7.tsv
    wildcards: source=reed, ratio=7
    resources: tmpdir=/tmp
"""
END = """\
[Mon Nov 23 14:38:50 2026]
Finished jobid: 4 (Rule: train_adapter)
1 of 2 steps (50%) done
Complete log(s): some.snakemake.log
Elapsed time: 0:00:02.285724
"""
FAILURE = """\
RuleException:
CalledProcessError in file "Snakefile", line 15:
[Mon Nov 23 14:38:45 2026]
Error in rule train_adapter:
    message: None
    jobid: 4
    log: logs/7.log (check log file(s) for error details)
Logfile logs/7.log:
===================
train_adapter: error: images.csv: lacks the column(s) class_id

===================
Exiting because a job execution failed. Look above for error messages
"""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def narrator(told, clock) -> Narrator:
    return Narrator(told.append, clock)


def hear(narrator: Narrator, text: str) -> None:
    for line in text.splitlines():
        narrator.hear(line)


def test_a_job_is_one_line(narrator, told, clock):
    hear(narrator, RUN)
    assert told == []
    clock.now = 12.0
    hear(narrator, END)
    assert told == ["   12 s  1 of 2  train_adapter reed, 7, 12 s"]


def test_a_long_job_is_named_while_it_runs(narrator, told, clock):
    hear(narrator, RUN)
    clock.now = SILENCE
    narrator.wait()
    assert told == []
    clock.now += 5
    narrator.wait()
    narrator.wait()
    assert told == ["   35 s  at work: train_adapter reed, 7, 35 s"]


def test_trouble_is_passed_on_whole(narrator, told):
    hear(narrator, RUN + FAILURE)
    assert told == [line for line in FAILURE.splitlines() if not line.startswith("[")]


def test_what_is_not_known_is_passed_on(narrator, told):
    hear(narrator, "The configuration's key `ratio` is unknown; did you mean `ratios`?")
    assert told == ["The configuration's key `ratio` is unknown; did you mean `ratios`?"]


def test_nothing_to_do_is_noticed(narrator, told):
    hear(narrator, "Building DAG of jobs...\nNothing to be done (all requested files are present and up to date).")
    assert narrator.nothing_to_do
    assert told == []


def test_a_missing_configuration_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"^demo: error: config/aviary\.yaml: no such file; [^\n]*$"):
        main([])


def test_what_snakemake_says_is_followed_to_its_exit_status(narrator, told):
    code = "print('Building DAG of jobs...'); print('no such rule', flush=True); raise SystemExit(3)"
    assert follow([sys.executable, "-c", code], narrator) == 3
    assert told == ["no such rule"]
