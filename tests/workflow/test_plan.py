"""What `snakemake -n` says before anything is done: the whole plan, or one line about a mistake."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from fieldguide.translators.registry import TRANSLATORS
from fieldguide.workflow.config import merge
from tests.workflow_runs import ROOT, TINY, copy_checkout, environment, plan, snakemake, write_config

pytestmark = pytest.mark.workflow

CONFIGS = ((), ("config/cub-quick.yaml",), ("config/aviary.yaml",), (TINY,))

DOWNLOADS = ("download_cub", "download_reed_captions", "download_coco_images", "download_coco_annotations")

# Put before everything else on the path: what needs a network or a heavy library then fails loudly.
GUARD = """
import socket, sys

def refuse(*args, **kwargs):
    raise RuntimeError("GUARD: a connection was opened")

socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse

HEAVY = {"torch", "torchvision", "open_clip", "transformers", "sklearn", "scipy", "matplotlib", "openai", "tiktoken"}

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in HEAVY:
            raise RuntimeError(f"GUARD: {name} was imported")

sys.meta_path.insert(0, Finder())
"""


@pytest.fixture
def guard(tmp_path: Path) -> Path:
    folder = tmp_path / "guard"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
    return folder


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def read_config(*files: str) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for file in ("config.yaml", *files):
        merge(merged, yaml.safe_load((ROOT / file).read_text(encoding="utf-8")))
    return merged


def expected_plan(config: dict[str, Any]) -> dict[str, int]:
    """The jobs of a whole run, counted from the configuration alone."""
    sweep, is_aviary = config["sweep"], config["dataset"]["kind"] == "aviary"
    shards = config["backbone"]["shards"]
    ratios, further = sweep["ratios"], sweep["text_only_translators"]
    mixed, alone = sum(ratio < 100 for ratio in ratios), sum(ratio > 0 for ratio in ratios)
    # By recipe: cells of a column of text, and of the image-only column.
    columns = {"thesis": (mixed, alone), "anchored": (mixed, 0), "anchored-image-only": (0, alone)}
    cells = sum(
        columns[recipe][source == "none"]
        for variant in sweep["variants"]
        for recipe in variant.get("recipes", ["thesis"])
        for source in variant["sources"]
    )
    anchored = {s for v in sweep["variants"] if "anchored" in v.get("recipes", []) for s in v["sources"]} - {"none"}
    sources = {source for variant in sweep["variants"] for source in variant["sources"]} - {"none"}
    written = len(sources - {"reed"})
    of_first = len(set(sweep["variants"][0]["sources"]) - {"none"})
    jobs = {
        "render_aviary": int(is_aviary),
        **dict.fromkeys(DOWNLOADS, 0 if is_aviary else 1),
        "download_backbone": 0 if config["backbone"]["model"].startswith("local-dir:") else 1,
        "unpack_archive": 2,
        "index_images": 1,
        "index_pairs": 1,
        "index_captions": 1,
        "generate_texts": written,
        "check_texts": len(sources),
        "encode_images": shards["dataset"] + shards["pairs"],
        "encode_texts": shards["pairs"] + shards["texts"] * len(sources),
        "train_qformer": 1 + len(further),
        "translate_texts": len(sources) + of_first * len(further) + len(anchored),
        "plan_images": len({variant["sampling"] for variant in sweep["variants"]}),
        "tune_adapter": 1 + bool(anchored),
        "train_adapter": cells + of_first * len(further),
        "select_published": int(config["dataset"]["kind"] == "cub"),
        "tabulate_accuracy": 1,
        "tabulate_image_worth": 1,
        "plot_accuracy": 1,
    }
    return {rule: count for rule, count in jobs.items() if count}


def expected_study(config: dict[str, Any]) -> dict[str, int]:
    """The jobs that the sampling study adds: budgets and cells that the table does not have yet."""
    sweep, study, adapter = config["sweep"], config["sampling_study"], config["adapter"]
    sources = {source for variant in sweep["variants"] for source in variant["sources"]} | {"none"}

    def cells(
        budgets: list[tuple[str, int]], variants: list[dict[str, Any]], ratios: list[int]
    ) -> set[tuple[Any, ...]]:
        return {
            (variant["sampling"], variant["redraw"], budget, source, ratio)
            for variant in variants
            for budget in budgets
            for source in variant["sources"]
            for ratio in ratios
            if (ratio > 0 if source == "none" else ratio < 100)
        }

    own = (adapter["budget"], adapter["amount"])
    budgets = [(kind, amount) for kind in ("steps", "epochs") for amount in study[kind]]
    variants = [
        {"sampling": sampling, "redraw": redraw, "sources": sources}
        for sampling in study["samplings"]
        for redraw in study["redraws"]
    ]
    new = cells(budgets, variants, study["ratios"]) - cells([own], sweep["variants"], sweep["ratios"])
    return {"train_adapter": len(new), "tune_adapter": len({budget for _, _, budget, *_ in new} - {own})}


def expected_conversion(config: dict[str, Any]) -> dict[str, int]:
    """The jobs that comparing translators adds, where the table and its baselines have one of them already.

    The anchored recipe has the texts as they are translated, which is the identity's translation.
    """
    compared = config["conversion"]["translators"]
    kinds = [config["translators"][name]["kind"] for name in compared]
    new = len(compared) - 1
    return {
        "train_qformer": kinds.count("qformer-pooled"),
        "fit_translator": sum(not kind.startswith("qformer") and kind != "identity" for kind in kinds),
        "translate_texts": 2 * (new - 1),
        # With two sources: at 50 and at 0, and zero-shot.
        "train_adapter": 2 * 3 * new,
        "measure_conversion": len(compared),
        "tabulate_conversion": 1,
        "plot_conversion": 1,
    }


def test_every_kind_of_translator_is_compared():
    config = read_config()
    named = [config["translators"][name]["kind"] for name in config["conversion"]["translators"]]
    assert sorted(named) == sorted(TRANSLATORS)
    birds = read_config("config/aviary.yaml")
    assert {birds["translators"][name]["kind"] for name in birds["conversion"]["translators"]} == {*TRANSLATORS}


def test_the_thesis_has_eighty_cells_and_the_anchored_recipe_thirty():
    # 30 of the thesis's table, once fixed and once drawn anew each epoch, and 20 of Hirano's; 30 anchored.
    assert expected_plan(read_config())["train_adapter"] == 30 + 30 + 20 + 30


def test_the_guard_guards(guard: Path):
    for code in ("import torch", "import socket; socket.create_connection(('localhost', 9))"):
        answer = subprocess.run(
            [sys.executable, "-c", code], env=environment(ROOT, guard), capture_output=True, text=True
        )
        assert answer.returncode and "GUARD" in answer.stderr


@pytest.mark.parametrize("configs", CONFIGS, ids=lambda configs: configs[0] if configs else "config.yaml")
def test_an_empty_folder_gets_the_whole_plan_without_network_or_torch(
    guard: Path, empty: Path, configs: tuple[str, ...]
):
    files = tuple(ROOT / config for config in configs)
    planned = plan(empty, checkout=ROOT, configs=files, first=(guard,))
    assert planned == expected_plan(read_config(*configs))


def test_identity_translates_without_being_trained(empty: Path):
    change = {"translators": {"identity": {"kind": "identity"}}, "sweep": {"translator": "identity"}}
    configs = (ROOT / TINY, write_config(empty, change))
    planned = plan(empty, "everything", checkout=ROOT, configs=configs)
    assert "train_qformer" not in plan(empty, checkout=ROOT, configs=configs)
    # `everything` draws the curves of all translators that are trained and that a table names.
    # Three translators are compared, with two sources each.
    assert planned["train_qformer"] == 1 and planned["translate_texts"] == 3 * 2


def test_everything_plans_more_without_network_or_torch(guard: Path, empty: Path):
    planned = plan(empty, "everything", checkout=ROOT, configs=(), first=(guard,))
    all_of_it = expected_plan(read_config())
    # Zero-shot: one cell with names, one with the LLM's attributes, two columns of texts twice; three baselines of
    # three columns (class mean, GDA, logistic regression), seven of two (Tip-Adapter and its F, ProKeR, CLAP, LP++,
    # zero-shot + GDA, cross-modal).
    baselines = 1 + 1 + 2 * 20 + 3 * 30 + 7 * 20
    shards = read_config()["backbone"]["shards"]["texts"]
    extras = {
        "probe_features": 1,
        "compare_recipes": 1,
        "predict_classes": 1,
        "score_sampling": 1,
        "typeset_tables": 1,
        "write_report": 1,
        "write_prompts": 2,
        "encode_texts": 2 * shards,
        "translate_texts": 2,
        "tune_adapter": 9,
        "train_adapter": baselines,
        "calibrate_adapters": 1,
    }
    study, conversion = expected_study(read_config()), expected_conversion(read_config())
    assert planned == Counter(all_of_it) + Counter(extras) + Counter(study) + Counter(conversion)


def test_everything_holds_the_aviarys_texts_against_controls(empty: Path):
    """One recipe at three ratios with four controls: texts as they are and translated, no tuning, nothing in `all`."""
    birds = ROOT / "config/aviary.yaml"
    without = (birds, write_config(empty, {"sweep": {"controls": {"sources": []}}}))
    planned, before = (Counter(plan(empty, "everything", checkout=ROOT, configs=c)) for c in ((birds,), without))
    assert planned - before == {
        "write_control": 4,
        "encode_texts": 4,
        "translate_texts": 4 * 2,
        "train_adapter": 4 * 3,
        "tabulate_controls": 1,
    }
    assert not before - planned
    assert "write_control" not in plan(empty, checkout=ROOT, configs=(birds,))


def test_cells_that_choose_for_themselves_wait_for_no_tuning(empty: Path):
    configs = (ROOT / TINY, write_config(empty, {"sweep": {"tune": "within-cell"}}))
    within, once = (plan(empty, checkout=ROOT, configs=these) for these in (configs, configs[:1]))
    assert once.pop("tune_adapter") > 0 and within == once


def test_the_study_tries_every_combination_once_and_shares_the_tables_cells():
    # Two samplings, two redraws, 2,000 steps and three numbers of epochs, three columns of ten ratios each; the table
    # has 30 + 30 + 20 of them by the thesis's recipe.
    assert expected_study(read_config()) == {"train_adapter": 2 * 2 * 4 * 30 - 80, "tune_adapter": 3}


def test_an_archive_that_is_there_is_never_made_again(empty: Path):
    """Snakemake deletes what it is about to make, and the archives of users are older than the code."""
    archives = [Path(archive["path"]) for archive in read_config()["data"].values()]
    assert len(archives) == 4
    for archive in archives:
        (empty / archive).parent.mkdir(exist_ok=True)
        (empty / archive).write_bytes(b"old")
        os.utime(empty / archive, (1, 1))
    assert not {*DOWNLOADS} & {*plan(empty, checkout=ROOT, configs=())}
    (empty / archives[0]).unlink()
    assert {*DOWNLOADS} & {*plan(empty, checkout=ROOT, configs=())} == {"download_cub"}


@pytest.mark.parametrize("rule", DOWNLOADS)
def test_a_missing_archive_is_a_target_of_its_own(guard: Path, empty: Path, rule: str):
    assert plan(empty, rule, checkout=ROOT, configs=(), first=(guard,)) == {rule: 1}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"adapter": {"amuont": 3}}, "config: adapter.amuont: unknown key"),
        ({"sweep": {"ratios": [100, 101]}}, "config: sweep.ratios.1: "),
        ({"sweep": {"variants": [{"sampling": "global", "redraw": "fixed", "sources": ["red"]}]}}, "'red'"),
        ({"sweep": {"translator": "babel"}}, "'babel'"),
        ({"backbone": {"model": "local-dir:nowhere"}}, "backbone.model: nowhere "),
        ({"data": {"cub": {"urls": ["ftp://x/y"]}}}, "config: data.cub.urls: should begin with http:// or https://"),
        ({"data": {"cub": {"md5": "12"}}}, "config: data.cub.md5: should be 32 hexadecimal digits"),
    ],
    ids=["unknown key", "ratio 101", "unknown source", "unknown translator", "no such backbone", "ftp", "md5"],
)
def test_a_mistake_in_the_configuration_is_one_line(empty: Path, change: dict[str, Any], said: str):
    answer = snakemake(empty, checkout=ROOT, configs=(ROOT / TINY, write_config(empty, change)))
    assert answer.code != 0
    assert len([line for line in answer.text.splitlines() if said in line]) == 1, answer.text
    assert "Traceback" not in answer.text and len(answer.text.splitlines()) < 8
    assert not (empty / "results").exists()


def test_a_file_in_the_place_of_the_results_folder_is_one_line(empty: Path):
    (empty / "mine").write_text("a file", encoding="utf-8")
    answer = snakemake(empty, "-n", checkout=ROOT, configs=(ROOT / TINY, write_config(empty, {"results": "mine/r"})))
    assert answer.code != 0 and "config: results: mine is a file" in answer.text
    assert "Traceback" not in answer.text and len(answer.text.splitlines()) < 8


def test_a_checkout_runs_its_own_code_where_another_one_is_installed(tmp_path: Path, empty: Path):
    """Snakemake imports the installed logger plugin, and with it the other package, before it reads the Snakefile."""
    other = tmp_path / "other"
    shutil.copytree(ROOT / "src", other, ignore=shutil.ignore_patterns("__pycache__"))
    for module in ("run/logger.py", "run/guard.py", "workflow/config.py"):
        with (other / "fieldguide" / module).open("a", encoding="utf-8") as stream:
            stream.write(f"import sys\nprint('OTHER {module}', file=sys.stderr)\n")
    answer = snakemake(empty, "-n", checkout=ROOT, configs=(ROOT / TINY,), first=(other,))
    assert answer.code == 0, answer.text
    # The logger is the plugin; a Snakefile that went on with its package would read the other two.
    assert re.findall(r"^OTHER (\S+)", answer.text, re.MULTILINE) == ["run/logger.py"]


@pytest.mark.parametrize("config", ["config.yaml", "config/aviary.yaml"])
def test_snakemake_lints_it(tmp_path: Path, config: str):
    checkout = copy_checkout(tmp_path / "checkout")
    answer = snakemake(checkout, "--lint", configs=(config,))
    assert answer.code == 0, answer.text


def test_it_is_formatted():
    answer = subprocess.run(
        [sys.executable, "-m", "snakefmt", "--check", "Snakefile", "workflow"],
        cwd=ROOT,
        env=environment(ROOT),
        capture_output=True,
        text=True,
    )
    assert answer.returncode == 0, answer.stderr
