"""The SLURM profile as far as it shows without a cluster: what jobs would ask for, and that no rule knows of it."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from tests.workflow_runs import ROOT, environment

PROFILE = ROOT / "profiles" / "slurm" / "profile.yaml"
RULE_FILES = [ROOT / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]
# What a system is called, and its commands.
SYSTEMS = re.compile(r"slurm|sbatch|squeue|scancel|\bsacct|\bqsub|\bbsub|kubernetes|htcondor", re.IGNORECASE)


def read_profile() -> dict[str, Any]:
    return yaml.safe_load(PROFILE.read_text(encoding="utf-8"))


def rules_with_gpu() -> set[str]:
    """Rules that declare a GPU, told from their text."""
    bodies = [
        part for path in RULE_FILES for part in re.split(r"\n *rule (?=\w+:)", path.read_text(encoding="utf-8"))[1:]
    ]
    return {body.partition(":")[0] for body in bodies if re.search(r"^ +gpu=", body, re.MULTILINE)}


def local_rules() -> set[str]:
    """Rules that run where Snakemake runs, told from their text; a dry run does not say it."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in RULE_FILES)
    named = re.findall(r"^ *localrules:\n((?: +\w+,\n)+)", text, re.MULTILINE)
    downloads = {f"download_{archive}" for archive in ("cub", "reed_captions", "coco_images", "coco_annotations")}
    targets = {"all", "everything"}
    assert text.count("localrule: True") == 1 + len(targets)
    return {name for names in named for name in re.findall(r"\w+", names)} | downloads | targets


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, str]]]:
    """Resources of every job of the thesis's experiment under the profile, by rule."""
    folder = tmp_path_factory.mktemp("profile")
    argv = ["--snakefile", str(ROOT / "Snakefile"), "--workflow-profile", str(PROFILE.parent), "--dry-run"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *argv],
        cwd=folder,
        env=environment(ROOT),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, list[dict[str, str]]] = {}
    for block in re.split(r"\n(?= *(?:local)?rule \w+:\n)", done.stdout + done.stderr):
        head = re.match(r" *(?:local)?rule (\w+):\n", block)
        told = re.search(r"^ +resources: (.*)$", block, re.MULTILINE)
        if head and told:
            resources = dict(pair.split("=", 1) for pair in told[1].split(", ") if "=" in pair)
            threads = re.search(r"^ +threads: (\d+)$", block, re.MULTILINE)
            found.setdefault(head[1], []).append({**resources, "threads": threads[1] if threads else "1"})
    return found


def test_no_rule_names_a_system():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in RULE_FILES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if SYSTEMS.search(line)
    ]
    assert not found, "\n".join(found)


def test_the_profile_sends_every_rule_with_a_gpu_to_one_place():
    placed = {rule: values for rule, values in read_profile()["set-resources"].items() if "slurm_partition" in values}
    assert placed.keys() == rules_with_gpu() and len(placed) >= 4
    assert {values["slurm_partition"] for values in placed.values()} == {"gpu"}


def test_partitions_are_named_in_two_places_only():
    text = PROFILE.read_text(encoding="utf-8")
    settings = [line for line in text.splitlines() if "slurm_partition:" in line and not line.strip().startswith("#")]
    assert [line.split()[1] for line in settings] == ["cpu", "gpu"]


@pytest.mark.workflow
def test_gpu_rules_ask_for_a_gpu_and_no_other_does(asked: dict[str, list[dict[str, str]]]):
    with_gpu = {rule for rule, jobs in asked.items() if any(job.get("gpu", "0") != "0" for job in jobs)}
    assert with_gpu == rules_with_gpu() & asked.keys() >= {"encode_images", "encode_texts", "train_qformer"}
    for rule, jobs in asked.items():
        if rule not in local_rules():
            assert {job["slurm_partition"] for job in jobs} == {"gpu" if rule in with_gpu else "cpu"}, rule


@pytest.mark.workflow
def test_what_is_asked_fits_a_node_and_a_day_even_at_the_third_try(asked: dict[str, list[dict[str, str]]]):
    """An A100 node shares some 128 CPUs and 512 GB among eight GPUs, and partitions often end jobs after a day."""
    for rule, jobs in asked.items():
        if rule not in local_rules():
            assert all(int(job["threads"]) <= 16 and 3 * int(job["mem_mb"]) <= 64_000 for job in jobs), rule
            assert all(3 * int(job["runtime"]) <= 24 * 60 for job in jobs), rule
    cells = read_profile()["group-components"]["cells"]
    assert 3 * cells * int(asked["train_adapter"][0]["runtime"]) <= 24 * 60


@pytest.mark.workflow
def test_small_jobs_run_where_snakemake_runs(asked: dict[str, list[dict[str, str]]]):
    here = local_rules() & asked.keys()
    small = {"plan_images", "tabulate_accuracy", "tabulate_image_worth", "plot_accuracy", "generate_texts"}
    assert here >= small | {"all", "download_cub", "download_coco_images", "download_backbone"}
    assert not here & {"unpack_archive", "index_images", "tune_adapter", "train_adapter", *rules_with_gpu()}
