"""Mistakes that users make on Snakemake's command line: each ends in one sentence, and shows nothing of the inside."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.workflow_runs import ROOT, TINY, Answer, snakemake, write_config

pytestmark = pytest.mark.workflow

FILES = {
    "a-file": b"",
    "torn.yaml": b"sweep:\n  seeds: [0\n",
    "tab.yaml": b"sweep:\n\tseeds: [0]\n",
    "latin-1.yaml": "# möglich\n".encode("latin-1"),
    "a folder/c.yaml": b"",
}
"""What lies where Snakemake is run."""
INTERNALS = re.compile(r"Traceback|Exception|WildcardError|guarded_execute|pydantic|  File \"|\.smk\", line")
ACCURACY = "results/tiny/tables/accuracy.csv"
CELL = "results/tiny/adapters/aviary-clip_f81a1a4a/none/{recipe}/steps/none/class-wise/fixed/ratio-{ratio}.json"

# name: command line, what differs from the tiny configuration, and words of the sentence
MISTAKES: dict[str, tuple[tuple[str, ...], dict[str, object], str]] = {
    "a target's name": (("evrything",), {}, "did you mean everything?"),
    "a table's name": (("results/tiny/tables/acuracy.csv",), {}, f"did you mean {ACCURACY}?"),
    "a folder": (("results/tiny/tables",), {}, "a target is one of all, everything"),
    "another data set's": (("results/aviary/tables/accuracy.csv",), {}, "results are in results/tiny"),
    "a rule that makes many files": (("train_adapter",), {}, "a rule that makes many files cannot be a target"),
    "a pattern": (("results/{dataset}/x.csv",), {}, "results/{dataset}/x.csv: "),
    "a pattern of Snakemake's paths": (("results/<x>/x.csv",), {}, "results/<x>/x.csv: "),
    "an absolute path": (("{here}/" + ACCURACY,), {}, f"as {ACCURACY}"),
    "a ratio above 100": ((CELL.format(recipe="thesis", ratio=150),), {}, "no rule makes it"),
    "a recipe's name": ((CELL.format(recipe="thsis", ratio=50),), {}, "did you mean"),
    "a rule to stop at": (("--until", "train_adaptr"), {}, "did you mean train_adapter?"),
    "a rule to run again": (("--forcerun", "train_adaptr"), {}, "did you mean train_adapter?"),
    "a resource without a number": (("--set-resources", "train_adapter:mem_mb=abc"), {}, "train_adapter: Resource"),
    "a rule to be allowed": (("--allowed-rules", "train_adaptr"), {}, "there is no such file"),
    "a report before the run": (("--report", "r.html"), {}, "not made yet"),
    "a prompt that is not there": ((), {"texts": {"aviary-llm": {"prompt": "no.txt"}}}, "no.txt: there is no such"),
    "an unknown section": ((), {"swep": {"seeds": [1]}}, "swep: unknown key"),
    "an unknown key": ((), {"texts": {"aviary-llm": {"ledgr": "x"}}}, "texts.aviary-llm.ledgr: unknown key"),
    "a number for a list": ((), {"sweep": {"seeds": 3}}, "sweep.seeds: should be a list"),
    "a list for a section": ((), {"sweep": [1]}, "sweep: should be a section"),
    "a translator's name": ((), {"sweep": {"translator": "qfromer"}}, "qfromer"),
    "a configuration file's name": (("--configfile", "no.yaml"), {}, "no.yaml: No such file"),
    "a folder for a configuration file": (("--configfile", "a folder"), {}, "a folder: Is a directory"),
    "an empty configuration file": (("--configfile", "a folder/c.yaml"), {}, "a folder/c.yaml: has no keys"),
    "YAML that ends too early": (("--configfile", "torn.yaml"), {}, "torn.yaml, line 3: is not YAML"),
    "YAML indented by tabs": (("--configfile", "tab.yaml"), {}, "tab.yaml, line 2: is not YAML"),
    "a configuration that is not UTF-8": (("--configfile", "latin-1.yaml"), {}, "latin-1.yaml: is not UTF-8"),
    "a value without a key": (("--config", "results"), {}, "takes KEY=VALUE, not 'results'"),
    "threads without a number": (("--set-threads", "train_adapter=x"), {}, "threads: should be a number, not 'x'"),
    "results where a file is": ((), {"results": "a-file"}, "a-file is a file"),
}


def ask(folder: Path, name: str) -> Answer:
    argv, config, _ = MISTAKES[name]
    place = folder / re.sub(r"\W", "-", name)
    place.mkdir()
    for path, content in FILES.items():
        (place / path).parent.mkdir(exist_ok=True)
        (place / path).write_bytes(content)
    words = tuple(word.replace("{here}", str(place)) for word in argv)
    configs = (ROOT / TINY, write_config(place, config)) if config else (ROOT / TINY,)
    if "--configfile" in words:
        configs = ()
    dry = () if "--report" in words else ("--dry-run",)
    return snakemake(place, *words, *dry, configs=configs, checkout=ROOT)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    folder = tmp_path_factory.mktemp("mistakes")
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(MISTAKES, pool.map(lambda name: ask(folder, name), MISTAKES), strict=True))


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_in_one_sentence(answers: dict[str, Answer], name: str):
    answer = answers[name]
    assert answer.code != 0
    (line,) = [line for line in answer.text.splitlines() if line.startswith("Error: ")]
    assert MISTAKES[name][2] in line
    assert not INTERNALS.search(answer.text), answer.text
