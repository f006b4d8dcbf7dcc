"""Your own data: the configurations of the README run as they stand there, each kind of data set to its table."""

from __future__ import annotations

import colorsys
import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from fieldguide.workflow.config import check_config, merge
from tests.tiny_data import write_lines
from tests.workflow_runs import ROOT, TINY, Answer, run, snakemake, write_config

pytestmark = pytest.mark.workflow

CLASSES = ("Fly agaric", "Death cap", "Chanterelle", "Cep")
COLOURS = ("red", "olive green", "yellow", "brown")
TRAIN, TEST = 6, 2
SMALL = {"sweep": {"ratios": [100, 50, 0], "seeds": [0, 1]}}
BY_IDENTITY = {"translators": {"identity": {"kind": "identity"}}, "sweep": {"translator": "identity"}}


def readme_blocks() -> list[dict[str, Any]]:
    """The configurations in the README's section, in order."""
    section = (
        (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Your own data\n")[2].partition("\n## ")[0]
    )
    return [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", section, re.DOTALL | re.MULTILINE)]


BLOCKS = readme_blocks()
FOLDER, TABLE, FEATURES, CUB = (block for block in BLOCKS if "dataset" in block)
NAMES, PAIRS = (block for block in BLOCKS if "dataset" not in block)


def draw(path: Path, label: int, seed: int, size: int = 48) -> None:
    """A cap of the class's colour on a ground of any."""
    from PIL import Image, ImageDraw

    rng = np.random.default_rng([label, seed])
    image = Image.new("RGB", (size, size), tuple(int(value) for value in rng.integers(90, 160, 3)))
    colour = tuple(int(255 * value) for value in colorsys.hsv_to_rgb(label / len(CLASSES), 0.9, 0.9))
    x, y = (int(value) for value in rng.integers(4, 14, 2))
    ImageDraw.Draw(image).ellipse((x, y, x + 28, y + 22 + label), fill=colour)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=90)


def draw_all(root: Path, pattern: str) -> list[tuple[str, int, int]]:
    """Draw every image of the world; the paths below the root, with label and number of each."""
    drawn = []
    for label, name in enumerate(CLASSES):
        for number in range(TRAIN + TEST):
            split = "train" if number < TRAIN else "test"
            drawn.append((pattern.format(split=split, name=name, label=label, number=number), label, number))
            draw(root / drawn[-1][0], label, number)
    return drawn


def write_texts(folder: Path) -> None:
    texts = {name: [f"A {colour} cap.", f"The cap is {colour}."] for name, colour in zip(CLASSES, COLOURS, strict=True)}
    (folder / "my-llm.json").write_text(json.dumps(texts), encoding="utf-8")


def run_own(folder: Path, *blocks: dict[str, Any]) -> tuple[Answer, list[dict[str, str]]]:
    """Run configurations over the tiny one; the answer and the rows of the table."""
    configs = [write_config(folder, block, f"config-{i}.yaml") for i, block in enumerate((*blocks, SMALL))]
    answer = run(folder, "all", configs=(ROOT / TINY, *configs), checkout=ROOT)
    name = next(block["dataset"]["name"] for block in blocks if "dataset" in block)
    with (folder / "results" / name / "tables" / "accuracy.csv").open(encoding="utf-8", newline="") as stream:
        return answer, list(csv.DictReader(stream))


def cells(rows: list[dict[str, str]]) -> set[tuple[str, str]]:
    return {(row["image_percent"], row["text_source"]) for row in rows}


def test_every_configuration_of_the_readme_is_valid() -> None:
    base = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    assert [block["dataset"]["kind"] for block in (FOLDER, TABLE, FEATURES, CUB)] == [
        "folder",
        "folder",
        "features",
        "cub",
    ]
    for block in BLOCKS:
        check_config(merge(json.loads(json.dumps(base)), block))


def test_a_folder_with_texts_and_pairs_of_its_own(tmp_path: Path) -> None:
    """From photographs and a JSON of texts to the table, and from a CSV of pairs to the list of pairs."""
    data = tmp_path / "data"
    draw_all(data / "mushrooms", "{split}/{name}/IMG {number}.jpg")
    write_texts(data)
    pairs = ["path,caption"]
    for number in range(16):
        draw(data / "pairs" / f"{number}.png", number % 4, 100 + number)
        pairs += [f'{number}.png,"a {COLOURS[number % 4]} thing, seen {word}"' for word in ("once", "twice")]
    write_lines(data / "pairs.csv", pairs)
    before = sorted((path, path.stat().st_mtime_ns) for path in data.rglob("*"))
    answer, rows = run_own(tmp_path, FOLDER, PAIRS, BY_IDENTITY)
    assert cells(rows) == {("100", "none"), ("50", "none"), ("50", "my-llm"), ("0", "my-llm")}
    assert answer.ran["index_folder"] == answer.ran["import_texts"] == 1
    assert not answer.ran.keys() & {"unpack_archive", "index_images", "index_captions", "generate_texts"}
    assert before == sorted((path, path.stat().st_mtime_ns) for path in data.rglob("*")), "only read"
    listed = "results/mushrooms/records/pairs.csv"
    configs = (ROOT / TINY, *sorted(tmp_path.glob("config-*.yaml")))
    assert run(tmp_path, listed, configs=configs, checkout=ROOT).ran == {"index_pairs": 1}
    assert len((tmp_path / listed).read_text(encoding="utf-8").splitlines()) == 1 + 32
    # One more photograph makes the records anew; nothing else has changed.
    draw(data / "mushrooms" / "train" / "Cep" / "new.jpg", 3, 50)
    assert run(tmp_path, "all", "-n", configs=configs, checkout=ROOT).planned["index_folder"] == 1


def test_a_table_of_images_with_captions(tmp_path: Path) -> None:
    root = tmp_path / "data" / "photographs"
    drawn = draw_all(root, "{label}-{number}.jpg")
    lines = [
        f"{path},{CLASSES[label]},{'training' if number < TRAIN else 'validation'}" for path, label, number in drawn
    ]
    write_lines(tmp_path / "data" / "photographs.csv", ["path,class,split", *lines])
    captions = [
        json.dumps({"image": path, "text": f"a {COLOURS[label]} cap, {number}"}) for path, label, number in drawn
    ]
    write_lines(tmp_path / "data" / "captions.jsonl", captions)
    answer, rows = run_own(tmp_path, TABLE, BY_IDENTITY)
    assert cells(rows) == {("100", "none"), ("50", "none"), ("50", "captions"), ("0", "captions")}
    assert answer.ran["index_folder"] == 1 and "train_qformer" not in answer.ran
    assert {row["text_unit"] for row in rows} == {"none", "caption"}
    assert float(next(row["accuracy_mean"] for row in rows if row["image_percent"] == "100")) > 50, "colours differ"


def test_features_that_are_there_already(tmp_path: Path) -> None:
    """Planted features: images near their class's direction, texts shifted by a gap, so that both classify well."""
    rng = np.random.default_rng(0)
    labels = np.arange(80) % 4
    centres, gap = rng.normal(size=(4, 16)), rng.normal(size=16)
    features = centres[labels] + 0.3 * rng.normal(size=(80, 16))
    (tmp_path / "data").mkdir()
    splits = np.where(np.arange(80) < 60, "train", "test")
    names = np.array(CLASSES)
    np.savez(tmp_path / "data" / "clip.npz", features=features, labels=labels, splits=splits, class_names=names)
    texts = centres[labels[:20]] + 0.2 * gap + 0.3 * rng.normal(size=(20, 16))
    spelled = np.array([CLASSES[label].upper().replace(" ", "_") for label in labels[:20]])
    np.savez(tmp_path / "data" / "llm.npz", features=texts, classes=spelled)
    answer, rows = run_own(tmp_path, FEATURES)
    assert answer.ran == {
        "import_features": 1,
        "import_text_features": 1,
        "plan_images": 1,
        "translate_texts": 1,
        "tune_adapter": 2,
        "train_adapter": 8,
        "tabulate_accuracy": 1,
        "tabulate_image_worth": 1,
        "plot_accuracy": 1,
    }
    four = {("100", "none"), ("50", "none"), ("50", "my-llm"), ("0", "my-llm")}
    recipes = {"thesis": four, "anchored": {("50", "my-llm"), ("0", "my-llm")}}
    recipes["anchored-image-only"] = four - recipes["anchored"]
    assert {recipe: cells([row for row in rows if row["recipe"] == recipe]) for recipe in recipes} == recipes
    assert min(float(row["accuracy_mean"]) for row in rows) > 90
    assert {row["translator"] for row in rows} == {"none", "identity"}
    (key,) = {row["backbone"] for row in rows}
    assert re.fullmatch(r"given_[0-9a-f]{8}", key)
    # Other files are another folder, and `everything` asks for no translator that is trained.
    configs = [ROOT / TINY, *sorted(tmp_path.glob("config-*.yaml"))]
    tables = ("probe_features", "compare_recipes", "score_sampling", "predict_classes", "typeset_tables")
    ran = run(tmp_path, "everything", configs=tuple(configs), checkout=ROOT).ran
    adapters = {"tune_adapter": 1, "train_adapter": 14, "calibrate_adapters": 1}
    assert ran == {**dict.fromkeys(tables, 1), "write_report": 1, **adapters}
    (page,) = (tmp_path / "results").glob("*/report.html")
    said = page.read_text(encoding="utf-8")
    assert 'id="confusions"' in said and "data:image/jpeg" not in said
    # A control of given features is rows of them, wherever a source may stand.
    control = {"texts": {"other": {"kind": "control", "of": "my-llm", "control": "family"}}}
    control["sweep"] = {
        "variants": [{"sampling": "class-wise", "redraw": "fixed", "recipes": ["zs-text"], "sources": ["other"]}]
    }
    ran = run(tmp_path, "all", configs=(*configs, write_config(tmp_path, control, "control.yaml")), checkout=ROOT).ran
    tables = {"tabulate_accuracy": 1, "tabulate_image_worth": 1, "plot_accuracy": 1}
    assert ran == {"write_control": 1, "translate_texts": 1, "train_adapter": 2, **tables}
    configs.append(write_config(tmp_path, {"dataset": {"images": {"path": "data/other.npz"}}}))
    np.savez(tmp_path / "data" / "other.npz", features=features, labels=labels, splits=splits)
    assert run(tmp_path, "all", "-n", configs=tuple(configs), checkout=ROOT).planned["import_features"] == 1


def test_cubs_layout(tmp_path: Path) -> None:
    root = tmp_path / "data" / "my-birds" / "CUB_200_2011"
    drawn = draw_all(root / "images", "{label}.{name}/{number}.jpg")
    numbered = list(enumerate(drawn, 1))
    write_lines(root / "images.txt", [f"{i} {path}" for i, (path, _, _) in numbered])
    write_lines(root / "image_class_labels.txt", [f"{i} {label + 1}" for i, (_, label, _) in numbered])
    write_lines(root / "train_test_split.txt", [f"{i} {int(number < TRAIN)}" for i, (_, _, number) in numbered])
    write_lines(root / "classes.txt", [f"{i + 1} {i}.{name}" for i, name in enumerate(CLASSES)])
    answer, rows = run_own(tmp_path, CUB)
    assert cells(rows) == {("100", "none"), ("50", "none")}
    assert answer.ran["index_images"] == 1 and "encode_texts" not in answer.ran


def test_names_that_no_rule_explains_stop_the_run_until_they_are_written_down(tmp_path: Path) -> None:
    data = tmp_path / "data"
    draw_all(data / "mushrooms", "{split}/{name}/{number}.jpg")
    write_texts(data)
    texts = json.loads((data / "my-llm.json").read_text(encoding="utf-8"))
    texts["Amanita muscaria"] = texts.pop("Fly agaric")
    texts["Truffle"] = ["Black."]
    (data / "my-llm.json").write_text(json.dumps(texts), encoding="utf-8")
    target = "results/mushrooms/texts/my-llm.csv"
    configs = [ROOT / TINY, write_config(tmp_path, FOLDER, "folder.yaml")]
    stopped = snakemake(tmp_path, target, configs=tuple(configs), checkout=ROOT)
    assert stopped.code and not (tmp_path / target).exists()
    log = (tmp_path / "results/mushrooms/logs/import_texts/my-llm.log").read_text(encoding="utf-8")
    assert "names that are no class of the data set (2): Truffle; Amanita muscaria" in log or (
        "names that are no class of the data set (2): Amanita muscaria; Truffle" in log
    )
    assert "`their name: our name` under `class_names`" in log and "Traceback" not in log
    configs.append(write_config(tmp_path, NAMES, "names.yaml"))
    run(tmp_path, target, configs=tuple(configs), checkout=ROOT)
    assert "A red cap." in (tmp_path / target).read_text(encoding="utf-8")
