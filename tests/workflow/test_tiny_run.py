"""The tiny run from archives to the table: what it leaves, what a second start does, and the same bytes every time."""

from __future__ import annotations

import csv
import itertools
import json
import zipfile
from pathlib import Path
from statistics import fmean

import pytest

from fieldguide.adapters.recipes.registry import RECIPES
from tests.workflow_runs import (
    TABLES,
    TINY,
    WHOLE,
    Answer,
    copy_checkout,
    plan,
    results_of,
    run,
    unfinished_files,
    write_config,
)

pytestmark = pytest.mark.workflow

# The contract with whoever reads the table, in this order.
COLUMNS = (
    "image_percent,text_percent,text_source,text_names,text_unit,sampling,redraw,budget,recipe,translator,backbone,"
    "accuracy_mean,accuracy_ci95,n_seeds,distinct_images,distinct_texts"
)
RATIOS = (100, 50, 10, 0)
VARIANTS = {("class-wise", "fixed"): ("none", "reed", "aviary-llm"), ("global", "per-epoch"): ("none", "reed")}
CELLS = {
    (ratio, 0 if source == "none" else 100 - ratio, source, *variant)
    for (variant, sources), ratio in itertools.product(VARIANTS.items(), RATIOS)
    for source in sources
    if (ratio > 0 if source == "none" else ratio < 100)
}
TRAINING_IMAGES = 59  # 6 classes of 10, one of them with one image fewer


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "results/tiny/tables/accuracy.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_every_target_is_there(finished: Path):
    results = finished / "results" / "tiny"
    for name in (*(f"tables/accuracy.{ending}" for ending in ("csv", "md", "tex", "html")), "figures/accuracy.svg"):
        assert (results / name).stat().st_size > 0, name
    assert not unfinished_files(finished)


def test_every_rule_ran_once_for_each_of_its_results(finished: Path):
    text = (finished.parent / "finished.txt").read_text(encoding="utf-8")
    assert Answer(0, text).ran == WHOLE
    for folder in ("logs", "benchmarks"):
        assert {path.name for path in (finished / "results/tiny" / folder).iterdir()} == set(WHOLE)
    logs = list((finished / "results/tiny/logs").rglob("*.log"))
    assert len(logs) == sum(WHOLE.values())
    assert all(": done: work " in log.read_text(encoding="utf-8") for log in logs)


def test_the_table_has_the_contracts_columns_and_one_row_per_cell(finished: Path):
    rows = rows_of(finished)
    assert ",".join(rows[0]) == COLUMNS
    keys = [
        (int(r["image_percent"]), int(r["text_percent"]), r["text_source"], r["sampling"], r["redraw"]) for r in rows
    ]
    assert len(keys) == len(set(keys)) == 15
    assert set(keys) == CELLS


def test_the_rows_hold_what_they_must(finished: Path):
    for row in rows_of(finished):
        assert 0 <= float(row["accuracy_mean"]) <= 100
        assert float(row["accuracy_ci95"]) >= 0
        assert (row["n_seeds"], row["budget"], row["recipe"]) == ("3", "steps", "thesis")
        assert row["backbone"].startswith("aviary-clip_")
        images = int(row["image_percent"])
        if row["text_source"] == "none":
            assert (row["text_names"], row["text_unit"], row["translator"]) == ("none", "none", "none")
            assert float(row["distinct_texts"]) == 0
        else:
            assert row["text_unit"] == {"reed": "caption", "aviary-llm": "field"}[row["text_source"]]
            assert row["translator"] == "qformer"
            assert float(row["distinct_texts"]) > 0
        kept = (images * TRAINING_IMAGES + 50) // 100
        if row["redraw"] == "fixed":
            assert float(row["distinct_images"]) == kept
        else:
            assert kept <= float(row["distinct_images"]) <= (TRAINING_IMAGES if images else 0)


def test_a_cell_tells_how_it_was_made(finished: Path):
    cells = list((finished / "results/tiny/adapters").rglob("ratio-*.json"))
    assert len(cells) == 15
    for path in cells:
        cell = json.loads(path.read_text(encoding="utf-8"))
        assert cell["seeds"] == [0, 1, 2] and len(cell["accuracy"]) == 3
        assert len(cell["plan_sha256"]) == 64 and cell["optimiser_steps"] == 30
        assert {"torch", "numpy"} & set(cell["versions"])
        assert path.with_suffix(".safetensors").exists()


def test_cells_are_calibrated_and_get_their_cards(tiny: Path):
    """As `everything` has it, in one job; probabilities of `fieldguide classify` rest on it."""
    assert run(tiny, "calibrate_adapters").ran == {"calibrate_adapters": 1}
    cards = list((tiny / "results/tiny/adapters").rglob("ratio-*.md"))
    assert len(cards) == 15
    for path in cards:
        cell, card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8")), path.read_text(encoding="utf-8")
        assert f"**{fmean(cell['accuracy']):.2f}" in card and cell["plan_sha256"] in card
        calibration = json.loads(path.with_suffix(".calibration.json").read_text(encoding="utf-8"))
        assert calibration["temperature"] > 0 and calibration["held_out_images"] > 5
    assert run(tiny, "calibrate_adapters").says_nothing_to_do


def test_a_second_start_does_nothing(tiny: Path):
    before = results_of(tiny)
    answer = run(tiny)
    assert answer.says_nothing_to_do and answer.ran == {}
    assert results_of(tiny) == before


def test_a_lost_cell_is_made_again_and_nothing_else(tiny: Path):
    before = results_of(tiny)
    (cell,) = (tiny / "results/tiny/adapters").rglob("reed/class-wise/fixed/ratio-50.json")
    cell.unlink()
    assert run(tiny).ran == {"train_adapter": 1, **TABLES}
    assert results_of(tiny) == before


def test_controls_are_sources_like_any_other(tiny: Path):
    controls = {f"llm-{name}": ("aviary-llm", name) for name in ("shuffled", "family", "random-words", "name-only")}
    controls["reed-shuffled"] = ("reed", "shuffled")
    texts = {name: {"kind": "control", "of": of, "control": control} for name, (of, control) in controls.items()}
    variant = {"sampling": "class-wise", "redraw": "fixed", "recipes": ["zs-text", "zs-name+attributes"]}
    sweep = {"ratios": [50, 0], "variants": [{**variant, "sources": ["aviary-llm", *controls]}]}
    configs = (TINY, write_config(tiny, {"texts": texts, "sweep": sweep}))
    answer = run(tiny, configs=configs)
    # The names are encoded for `family`, and once more before each text of an LLM and its controls.
    prompts = {"write_prompts": 1 + 5, "encode_texts": 1 + 5 + 5}
    as_they_are = {"translate_texts": 6 + 5}
    assert answer.ran == {"write_control": 5, **prompts, **as_they_are, "train_adapter": 6 * 2 + 5, **TABLES}
    accuracy = {
        row["text_source"]: float(row["accuracy_mean"])
        for row in rows_of(tiny)
        if (row["recipe"], row["image_percent"]) == ("zs-text", "0")
    }
    assert accuracy.keys() == {"aviary-llm", *controls}
    assert accuracy["aviary-llm"] > max(accuracy["llm-shuffled"], accuracy["llm-random-words"])
    table = "results/tiny/tables/controls.md"
    assert run(tiny, table, configs=configs).ran == {"tabulate_controls": 1}
    page = (tiny / table).read_text(encoding="utf-8")
    assert "aviary-llm, zs-text" in page and "less random-words" in page  # reed itself is not in this table


def test_all_texts_stand_beside_the_images_in_every_table(tiny: Path):
    variant = {"sampling": "class-wise", "redraw": "fixed", "sources": ["none", "reed"]}
    # The table's sources stay those that the tuning saw.
    first = {**variant, "sources": ["none", "reed", "aviary-llm"]}
    sweep = {"ratios": [100, 50, 0], "variants": [first, {**variant, "texts": "all"}]}
    answer = run(tiny, configs=(TINY, write_config(tiny, {"sweep": sweep})))
    assert answer.ran == {"train_adapter": 2, **TABLES}, answer.ran
    rows = [row for row in rows_of(tiny) if row["text_source"] == "reed"]
    shares = [(row["image_percent"], row["text_percent"], float(row["distinct_texts"])) for row in rows]
    half = TRAINING_IMAGES - (50 * TRAINING_IMAGES + 50) // 100
    assert sorted(shares) == [("0", "100", 59.0), ("100", "100", 59.0), ("50", "100", 59.0), ("50", "50", half)]
    page = (tiny / "results/tiny/tables/accuracy.md").read_text(encoding="utf-8")
    assert "texts replaced" in page and "texts all" in page


def test_everything_adds_the_extras_and_nothing_else(tiny: Path):
    # The sampling study: two redraws and two budgets of six cells each, six of which the table has already.
    study = {"tune_adapter": 1, "train_adapter": 2 * 2 * 6 - 6, "score_sampling": 1}
    # Three translators are compared, at 50, at 0 and by zero-shot, with two sources; the table has four of these cells.
    study["train_adapter"] += 3 * 2 * 3 - 4
    conversion = {"fit_translator": 1, "translate_texts": 4, "measure_conversion": 3}
    conversion |= {"tabulate_conversion": 1, "plot_conversion": 1}
    further = ("probe_features", "draw_birds", "compare_recipes", "predict_classes", "typeset_tables", "write_report")
    further += ("calibrate_adapters",)
    assert run(tiny, "everything").ran == {**dict.fromkeys(further, 1), **study, **conversion}
    results = tiny / "results/tiny"
    assert (results / "tables/probe.csv").exists() and (results / "figures/birds.png").exists()
    assert len(list((results / "translators").rglob("curve.svg"))) == 1
    with (results / "tables/conversion.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["translator"] for row in rows] == ["identity", "ridge", "qformer"]
    assert all(value for row in rows for value in row.values())
    for name in ("conversion", "conversion_pca"):
        assert (results / f"figures/{name}.svg").stat().st_size > 10_000
    assert plan(tiny, "everything") == {}
    page = (results / "report.html").read_text(encoding="utf-8")
    assert len(page.encode()) < 10_000_000
    assert "aviary-llm" in page and "data:image/jpeg" in page and "Recipes and baselines" in page


def test_snakemakes_own_report_holds_the_table_and_says_what_each_file_is(tiny: Path):
    run(tiny, "--report", "results/tiny/report.zip")
    with zipfile.ZipFile(tiny / "results/tiny/report.zip") as archive:
        names = {Path(name).name for name in archive.namelist()}
        (index,) = [name for name in archive.namelist() if name.endswith("report.html")]
        told = archive.read(index).decode("utf-8")
        (table,) = [name for name in archive.namelist() if name.endswith("accuracy.html")]
        assert archive.read(table) == (tiny / "results/tiny/tables/accuracy.html").read_bytes()
    assert {"accuracy.csv", "accuracy.html", "accuracy.svg", "differences.csv", "image_worth.csv"} <= names
    for words in ("comparison table", "paired differences", "Bands are 95% t intervals", "How far can text stand in"):
        assert words in told, words
    assert "Six rendered species" in told


def test_every_recipe_and_baseline_stands_in_one_table(tiny: Path):
    recipes = [name for name in RECIPES if name != "thesis"]
    sweep = {"ratios": [100, 50, 0], "baselines": recipes}
    config = write_config(tiny, {"sweep": sweep, "adapter": {"weight_decays": [0.0]}})
    before = results_of(tiny)
    ran = run(tiny, "results/tiny/tables/recipes.csv", configs=("config/tiny.yaml", config)).ran
    # Of two sources: cells with text at 50 and 0, image only at 100 and 50.
    text, alone = 2 * 2, 2
    counts = {"anchored": text, "anchored-image-only": alone, "zs-name": 1, "zs-name+attributes": 1, "zs-text": text}
    few_shot = ("tip-adapter", "tip-adapter-f", "proker", "clap", "lp++", "zs-text+gda", "cross-modal")
    counts |= {"zs-translated": text} | dict.fromkeys(few_shot, text)
    counts |= dict.fromkeys(("nearest-class-mean", "gda", "logistic-regression"), text + alone)
    assert counts.keys() == set(recipes)
    # One trial instead of two: the thesis's recipe is tuned anew too, to the same choice or another.
    assert ran["tune_adapter"] == 1 + 10 and ran["train_adapter"] >= sum(counts.values())
    assert ran["write_prompts"] == 2 and ran["compare_recipes"] == 1
    with (tiny / "results/tiny/tables/recipes.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {name: sum(row["recipe"] == name for row in rows) for name in recipes} == counts
    (all_labels,) = {row["tuning_labels"] for row in rows if row["tune"] == "once"}
    assert int(all_labels) > 0 and {row["tuning_labels"] for row in rows if row["tune"] == "none"} == {"0"}
    named = {row["recipe"] for row in rows if row["text_names"] == "named"}
    assert {"zs-name", "zs-name+attributes"} <= named
    after = results_of(tiny)
    assert all(after[name] == before[name] for name in before if name.startswith(("features/", "translated/qformer")))


def test_one_core_or_two_and_once_more_give_the_same_bytes(finished: Path, tmp_path: Path):
    other = copy_checkout(tmp_path / "checkout", finished)
    assert run(other, cores=1).ran == WHOLE
    ours, theirs = results_of(finished), results_of(other)
    assert {"tables/accuracy.csv", "raw/CUB_200_2011.tgz", "raw/train2017.zip"} <= set(ours)
    assert sorted(ours) == sorted(theirs)
    assert [name for name in ours if ours[name] != theirs[name]] == []
