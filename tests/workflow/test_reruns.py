"""What a change makes run again: exactly what hangs on it."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.workflow_runs import ADAPTERS, FEATURES, TABLES, TINY, TRANSLATOR, plan, results_of, run, write_config

pytestmark = pytest.mark.workflow

# One text source's way to the table.
ONE_SOURCE = {"encode_texts": 1, "translate_texts": 1, **ADAPTERS, **TABLES}
CHECKED = {"check_texts": 1, **ONE_SOURCE}
UNUSED = {"kind": "llm", "model": "m", "ledger": "l", "prompt": "p", "fields": ["Size"], "replies_per_class": 1}


def case(name: str, change: Any, expected: dict[str, int]) -> Any:
    return pytest.param(change, expected, id=name)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        case("adapter's budget", {"adapter": {"amount": 31}}, {**ADAPTERS, **TABLES}),
        case("adapter's threads", {"threads": {"adapter": 2}}, {**ADAPTERS, **TABLES}),
        case("translator's rate", {"translators": {"qformer": {"lr": 0.002}}}, {**TRANSLATOR, **ADAPTERS, **TABLES}),
        case(
            "replies per class",
            {"texts": {"aviary-llm": {"replies_per_class": 1}}},
            {"generate_texts": 1, **CHECKED},
        ),
        case("naming", {"texts": {"aviary-llm": {"naming": "added"}}}, CHECKED),
        case("texts a class needs", {"texts": {"aviary-llm": {"at_least": 3}}}, CHECKED),
        case("only what is visible", {"texts": {"aviary-llm": {"visible_only": True}}}, CHECKED),
        case("a template that nothing uses", {"texts": {"aviary-llm": {"template": "{class_name}: {text}"}}}, {}),
        case("one seed more", {"sweep": {"seeds": [0, 1, 2, 3]}}, {"plan_images": 2, "train_adapter": 15, **TABLES}),
        case("one ratio more", {"sweep": {"ratios": [100, 50, 20, 10, 0]}}, {"train_adapter": 5, **TABLES}),
        case("one ratio fewer", {"sweep": {"ratios": [100, 50, 0]}}, TABLES),
        case("the note", {"dataset": {"note": "Another sentence."}}, TABLES),
        case(
            "images per pass",
            {"backbone": {"image_batch": 64}},
            {"encode_images": 2, **TRANSLATOR, **ADAPTERS, **TABLES},
        ),
        case(
            "texts per pass", {"backbone": {"text_batch": 64}}, {"encode_texts": 3, **TRANSLATOR, **ADAPTERS, **TABLES}
        ),
        case(
            "shards of texts",
            {"backbone": {"shards": {"texts": 2}}},
            {"encode_texts": 4, "translate_texts": 2, **ADAPTERS, **TABLES},
        ),
        case("shards of images", {"backbone": {"shards": {"dataset": 2}}}, {"encode_images": 2, **ADAPTERS, **TABLES}),
        case("a source that nothing uses", {"texts": {"other": UNUSED}}, {}),
    ],
)
def test_a_change_of_the_configuration(tiny: Path, change: dict[str, Any], expected: dict[str, int]):
    assert plan(tiny, configs=(TINY, write_config(tiny, change))) == expected


def test_another_precision_is_another_backbone(tiny: Path):
    answer = run(tiny, "--dry-run", configs=(TINY, write_config(tiny, {"backbone": {"precision": "bf16"}})))
    assert answer.planned == {**FEATURES, **TRANSLATOR, **ADAPTERS, **TABLES}
    (old,) = (path.name for path in (tiny / "results/tiny/features").iterdir())
    (new,) = set(re.findall(r"output: results/tiny/features/([^/]+)/", answer.text))
    assert new != old and new.rpartition("_")[0] == old.rpartition("_")[0] == "aviary-clip"


def test_another_preprocessing_is_another_backbone(tiny: Path):
    path = tiny / "workflow/resources/aviary-clip/open_clip_config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["preprocess_cfg"]["interpolation"] = "bilinear"
    path.write_text(json.dumps(content), encoding="utf-8")
    # The same file says how long a text may be.
    assert plan(tiny) == {**FEATURES, "check_texts": 2, **TRANSLATOR, **ADAPTERS, **TABLES}


def test_another_number_of_shards_is_other_files_and_a_lost_shard_is_made_alone(tiny: Path):
    configs = (TINY, write_config(tiny, {"backbone": {"shards": {"pairs": 3}}}))
    before = (tiny / "results/tiny/tables/accuracy.csv").read_bytes()
    changed = {"encode_images": 3, "encode_texts": 3, **TRANSLATOR, **ADAPTERS, **TABLES}
    assert run(tiny, configs=configs).ran == changed
    shards = sorted((tiny / "results/tiny/features").rglob("texts/pairs/shard-*-of-3.safetensors"))
    assert len(shards) == 3
    after = results_of(tiny)
    # As if the run had been killed in the middle: one shard is made again and no other, and all ends in the same bytes.
    shards[1].unlink()
    for name in ("translators", "translated", "tuning", "adapters", "tables", "figures"):
        shutil.rmtree(tiny / "results/tiny" / name)
    assert run(tiny, configs=configs).ran == {"encode_texts": 1, **TRANSLATOR, **ADAPTERS, **TABLES}
    assert results_of(tiny) == after
    # Back again, the first files still serve: nothing is encoded, and what was trained on the others is made anew.
    assert run(tiny).ran == {**TRANSLATOR, **ADAPTERS, **TABLES}
    assert (tiny / "results/tiny/tables/accuracy.csv").read_bytes() == before


@pytest.mark.parametrize(
    "options",
    [("--set-resources", "train_adapter:mem_mb=9000"), ("--workflow-profile", "profiles/demo"), ("--jobs", "1")],
    ids=" ".join,
)
def test_where_it_runs_changes_nothing(tiny: Path, options: tuple[str, ...]):
    assert plan(tiny, *options) == {}


def test_a_changed_budget_changes_the_cells_and_keeps_the_rest(tiny: Path):
    assert run(tiny, configs=(TINY, write_config(tiny, {"adapter": {"amount": 31}}))).ran == {**ADAPTERS, **TABLES}
    cells = list((tiny / "results/tiny/adapters").rglob("ratio-*.json"))
    assert {json.loads(cell.read_text(encoding="utf-8"))["optimiser_steps"] for cell in cells} == {31}


def add_line(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as stream:
        stream.write(f"\n{line}\n")


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("texts/text_page.py", {**CHECKED, "check_texts": 2, "encode_texts": 2, "translate_texts": 2}),
        ("features/encode_texts.py", {"encode_texts": 3, **TRANSLATOR, **ADAPTERS, **TABLES}),
        ("texts/index_captions.py", {"index_captions": 1, **CHECKED}),
        ("translators/qformer.py", {**TRANSLATOR, **ADAPTERS, **TABLES}),
        ("adapters/linear.py", {**ADAPTERS, **TABLES}),
        ("adapters/recipes/thesis.py", {**ADAPTERS, **TABLES}),
        ("adapters/recipes/gda.py", {}),
        ("translators/kinds/ridge.py", {}),
        ("tables/comparison.py", TABLES),
        ("core/stage.py", {}),
        ("core/settings.py", {}),
        ("core/files.py", {}),
        ("cli.py", {}),
        ("data/settings.py", {}),
        ("adapters/settings.py", {}),
    ],
)
def test_a_changed_line_reruns_what_it_can_change(tiny: Path, file: str, expected: dict[str, int]):
    add_line(tiny / "src/fieldguide" / file, "CHANGED = 1")
    assert plan(tiny) == expected


def test_a_changed_template_reruns_its_tables(tiny: Path):
    (template,) = (tiny / "src/fieldguide").rglob("accuracy.html.j2")
    add_line(template, "<!-- changed -->")
    assert plan(tiny) == {"tabulate_accuracy": 1, "plot_accuracy": 1}


def test_a_comment_or_a_docstring_reruns_nothing(tiny: Path):
    for path in (tiny / "src").rglob("*.py"):
        add_line(path, "# A remark.")
    for name in ("data/archives.py", "features/encode_images.py", "adapters/linear.py"):
        path = tiny / "src/fieldguide" / name
        text = path.read_text(encoding="utf-8")
        assert text.startswith('"""')
        path.write_text('"""Here it says: ' + text.removeprefix('"""'), encoding="utf-8")
    assert plan(tiny) == {}


def test_another_recipe_or_translator_trains_nothing_anew(tiny: Path):
    recipes = tiny / "src/fieldguide/adapters/recipes/registry.py"
    add_line(recipes, 'RECIPES = {**RECIPES, "mine": Recipe("gda", "another.", images_alone=True)}')
    kinds = tiny / "src/fieldguide/translators/registry.py"
    add_line(kinds, 'TRANSLATORS = {**TRANSLATORS, "mine": Translator("ridge")}')
    assert not {"train_qformer", "translate_texts", *ADAPTERS} & {*plan(tiny)}


def test_a_changed_recipe_reruns_its_own_cells(tiny: Path):
    """Both recipes in one table: what one of them is made of leaves the other's cells alone."""
    first = {"sampling": "class-wise", "redraw": "fixed", "recipes": ["thesis", "gda"], "sources": ["none", "reed"]}
    configs = (TINY, write_config(tiny, {"sweep": {"variants": [first]}}))
    assert run(tiny, configs=configs).ran
    add_line(tiny / "src/fieldguide/adapters/recipes/gda.py", "CHANGED = 1")
    answer = run(tiny, "--dry-run", configs=configs)
    assert set(answer.planned) == {"train_adapter", "tune_adapter", *TABLES}
    assert set(re.findall(r"recipe=([\w-]+)", answer.text)) == {"gda"}


def test_files_that_are_only_newer_change_nothing(tiny: Path):
    # As after `git clone` or `git checkout`: Snakemake compares the content of small files.
    for path in (tiny / "src").rglob("*.py"):
        os.utime(path)
    assert plan(tiny) == {}


def test_a_reply_more_in_the_ledger_makes_its_texts_anew(tiny: Path):
    ledger = tiny / "workflow/resources/aviary-llm.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join([*lines, lines[-1]]))
    assert plan(tiny) == {"generate_texts": 1, **CHECKED}


def test_a_word_more_in_the_lexicon_checks_the_texts_anew(tiny: Path):
    lexicon = tiny / "workflow/resources/not_visible.txt"
    lexicon.write_text(lexicon.read_text(encoding="utf-8") + "bumpy\n", encoding="utf-8")
    assert plan(tiny)["check_texts"] == 2
