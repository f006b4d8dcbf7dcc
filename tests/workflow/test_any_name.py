"""Whatever paths and texts are called: small runs with spaces, quotes, braces, brackets and the like in all of them."""

from __future__ import annotations

import html
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny_data import pack, write_coco, write_cub, write_lines, write_reed
from tests.workflow.test_own_data import BY_IDENTITY, SMALL, draw
from tests.workflow_runs import ROOT, TINY, Answer, run, snakemake, write_config

pytestmark = pytest.mark.workflow

ODD = "a b=c'd {x} <x> ~ü"
"""What Snakemake, a shell and our own command lines could each take for something else."""
FREE = f'{ODD} "$HOME" `ls` \\n * 100% &;|\n--out=x {{wildcards.x}} {{params}} <results>'
CLASSES = ("Cep", "Death cap", f"Fly {ODD}")
QUICK = {"adapter": {"amount": 5, "tuning_seeds": 1, "learning_rates": [0.1], "weight_decays": [0.0]}}


def run_odd(folder: Path, targets: tuple[str, ...], *blocks: dict[str, Any]) -> Answer:
    configs = [write_config(folder, block, f"config {i} {ODD}.yaml") for i, block in enumerate(blocks)]
    return run(folder, *targets, configs=(ROOT / TINY, *configs), checkout=ROOT)


def test_features_and_texts_of_ones_own(tmp_path: Path) -> None:
    here = tmp_path / ODD
    here.mkdir()
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    centres = rng.normal(size=(3, 8))
    np.save(here / f"{ODD}.npy", centres[labels] + 0.1 * rng.normal(size=(30, 8)))
    write_lines(here / f"labels {ODD}.txt", [CLASSES[label] for label in labels])
    write_lines(here / f"splits {ODD}.txt", ["train" if number < 24 else "test" for number in range(30)])
    np.save(here / f"texts {ODD}.npy", centres[labels[:6]] + 0.1 * rng.normal(size=(6, 8)))
    write_lines(here / f"classes {ODD}.txt", [f"their {CLASSES[label]}" for label in labels[:6]])
    images = {key: f"{ODD}/{key} {ODD}.txt" for key in ("labels", "splits")}
    source = {"path": f"{ODD}/texts {ODD}.npy", "classes": f"{ODD}/classes {ODD}.txt"}
    answer = run_odd(
        here.parent,
        ("everything",),
        {
            "dataset": {
                "name": "odd",
                "kind": "features",
                "note": FREE,
                "images": {"path": f"{ODD}/{ODD}.npy", **images},
            }
        },
        {
            "results": f"my {ODD}/results",
            "texts": {
                "mine": {"kind": "features", **source, "class_names": {f"their {name}": name for name in CLASSES}}
            },
            "sweep": {
                "variants": [{"sampling": "class-wise", "redraw": "fixed", "sources": ["none", "mine"]}],
                "baselines": [],
            },
        },
        BY_IDENTITY,
        QUICK,
        SMALL,
    )
    assert answer.ran["import_features"] == 1
    results = tmp_path / f"my {ODD}/results/odd"
    assert (results / "tables/accuracy.csv").is_file() and (results / "report.html").is_file()
    page = html.unescape((results / "tables/accuracy.md").read_text(encoding="utf-8"))
    assert f'{ODD} "$HOME" `ls`' in page and "--out=x {wildcards.x} {params} <results>" in page
    assert (results / "run.md").is_file() and (results / "logs/import_features/all.log").is_file()
    configs = sorted(tmp_path.glob("config *.yaml"))
    again = run(tmp_path, "everything", configs=(ROOT / TINY, *configs), checkout=ROOT)
    assert again.says_nothing_to_do, again.text
    assert {path.name for path in tmp_path.iterdir() if not path.name.startswith(("config", "."))} == {ODD, f"my {ODD}"}


def test_a_folder_of_images_and_a_file_of_texts(tmp_path: Path) -> None:
    here = tmp_path / ODD
    left_out = f"val {ODD}/{CLASSES[2]}/0 {ODD}.jpg"
    for label, name in enumerate(CLASSES):
        for number in range(6):
            split = "train" if number >= 2 else "val"
            draw(here / f"images {ODD}" / f"{split} {ODD}" / name / f"{number} {ODD}.jpg", label, number)
    texts = [f"text {ODD}", *(f"A cap, {ODD} {number}" for number in range(2))]
    rows = [{f"class {ODD}": name, f"text {ODD}": text} for name in CLASSES for text in texts[1:]]
    (here / f"texts {ODD}.json").write_text(json.dumps(rows), encoding="utf-8")
    shutil.copytree(ROOT / "workflow/resources/aviary-clip", here / f"clip {ODD}")
    shutil.copy(ROOT / "workflow/resources/not_visible.txt", here / f"words {ODD}.txt")
    answer = run_odd(
        tmp_path,
        ("all",),
        {
            "dataset": {
                "name": "odd",
                "kind": "folder",
                "note": FREE,
                "root": f"{ODD}/images {ODD}",
                "splits": {"train": f"train {ODD}", "test": f"val {ODD}"},
                "leave_out": [left_out],
                "thing": "wild cap",
                "not_visible": f"{ODD}/words {ODD}.txt",
            },
            "results": f"my {ODD}/results",
            "backbone": {"model": f"local-dir:{ODD}/clip {ODD}", "cache": f"cache {ODD}"},
        },
        {
            "texts": {
                "mine": {
                    "kind": "file",
                    "path": f"{ODD}/texts {ODD}.json",
                    "class_column": f"class {ODD}",
                    "text_column": f"text {ODD}",
                    "naming": "added",
                    "template": f"{ODD.replace('{x}', '')} {{class_name}}: {{text}}",
                }
            },
            "sweep": {"variants": [{"sampling": "class-wise", "redraw": "fixed", "sources": ["none", "mine"]}]},
        },
        BY_IDENTITY,
        QUICK,
        SMALL,
    )
    assert answer.ran["index_folder"] == answer.ran["import_texts"] == 1
    results = tmp_path / f"my {ODD}/results/odd"
    assert (results / "tables/accuracy.csv").is_file()
    records = (results / "records/images.csv").read_text(encoding="utf-8")
    assert left_out not in records and left_out.replace("/0 ", "/1 ") in records
    assert f"A cap, {ODD} 0" in (results / "texts/mine.csv").read_text(encoding="utf-8")


def test_archives_and_pairs(tmp_path: Path) -> None:
    here = tmp_path / ODD
    here.mkdir()
    pack(write_cub(tmp_path / "raw"), here / f"cub {ODD}.tgz")
    pack(write_reed(tmp_path / "raw"), here / f"reed {ODD}.tgz")
    images, annotations = write_coco(tmp_path / "raw")
    moved = [shutil.move(path, here / f"{path.stem} {ODD}{path.suffix}") for path in (images, annotations)]
    shutil.rmtree(tmp_path / "raw")
    files = {"cub": f"cub {ODD}.tgz", "reed": f"reed {ODD}.tgz"}
    files |= {name: Path(path).name for name, path in zip(("coco_images", "coco_annotations"), moved, strict=True)}
    results = f"my {ODD}/odd"
    config = write_config(
        tmp_path,
        {
            "dataset": {"name": "odd", "kind": "cub", "note": FREE},
            "results": f"my {ODD}",
            "data": {name: {"path": f"{ODD}/{file}", "by_hand": FREE} for name, file in files.items()},
        },
    )
    made = run(tmp_path, "--until", "index_captions", "index_pairs", configs=(ROOT / TINY, config), checkout=ROOT)
    assert made.ran == {"unpack_archive": 2, "index_images": 1, "index_captions": 1, "index_pairs": 1}
    assert (tmp_path / results / "records/pairs.csv").is_file()


def test_a_ledger_and_a_prompt(tmp_path: Path) -> None:
    here = tmp_path / ODD
    here.mkdir()
    shutil.copy(ROOT / "workflow/resources/aviary-llm.jsonl", here / f"ledger {ODD}.jsonl")
    shutil.copy(ROOT / "workflow/resources/prompts/field_guide.txt", here / f"prompt {ODD}.txt")
    source = {"ledger": f"{ODD}/ledger {ODD}.jsonl", "prompt": f"{ODD}/prompt {ODD}.txt"}
    config = write_config(
        tmp_path, {"results": f"my {ODD}", "dataset": {"note": FREE}, "texts": {"aviary-llm": source}}
    )
    configs = (ROOT / TINY, config)
    made = run(tmp_path, "--until", "generate_texts", "draw_birds", configs=configs, checkout=ROOT)
    assert made.ran["generate_texts"] == 1
    assert (tmp_path / f"my {ODD}/tiny/texts/raw/aviary-llm.csv").is_file()
    prices = run(tmp_path, "price_texts", configs=configs, checkout=ROOT)
    assert "aviary-llm" in prices.text


def test_an_archive_to_download_needs_a_name_that_can_be_made(tmp_path: Path) -> None:
    wanted = {"dataset": {"kind": "cub"}, "data": {"cub": {"path": "data/cub{1}.tgz"}}}
    answer = snakemake(tmp_path, "-n", configs=(ROOT / TINY, write_config(tmp_path, wanted)), checkout=ROOT)
    assert answer.code and "config: data.cub.path: Snakemake cannot make a file called 'cub{1}.tgz'" in answer.text
    assert "Traceback" not in answer.text
    wanted["data"] = {"cub": {"path": f"data {ODD}/cub.tgz"}}
    answer = run(tmp_path, "-n", configs=(ROOT / TINY, write_config(tmp_path, wanted)), checkout=ROOT)
    assert answer.planned["download_cub"] == 1
