"""What the jobs that make texts are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fieldguide.adapters.recipes.registry import NAMES
from fieldguide.core.settings import parse_settings
from fieldguide.texts.settings import CaptionSettings, CheckSettings, FileSource, GenerateSettings, PriceSettings
from fieldguide.workflow.texts import TextJobs
from tests.unit.workflow.configurations import OWN_FEATURES, TINY, layout_of, wildcards

ODD = "a b='{x}' <x> ü"
LLM = wildcards(source="gpt-6-luna")
FILE = {"kind": "file", "path": f"{ODD}.csv", "fields": [ODD], "class_names": {ODD: "Ani=1"}, "text_column": ODD}


def jobs(*changes: dict[str, Any]) -> TextJobs:
    return TextJobs(layout_of(*changes))


def llm(**settings: Any) -> TextJobs:
    return jobs({"texts": {"gpt-6-luna": settings}})


def test_an_llm_is_told_all_and_only_its_question_makes_texts_anew() -> None:
    before = llm()
    settings = parse_settings(GenerateSettings, before.generate_settings(LLM, None))
    assert settings.model == "gpt-6-luna" and settings.thing == before.config.dataset.thing
    other = llm(budget_usd=3.0, max_concurrency=2, timeout=9, prices={"input": 9.0, "output": 9.0}, at_least=2)
    assert other.question(LLM) == before.question(LLM)
    assert other.generate_settings(LLM, None) != before.generate_settings(LLM, None)
    for asked in ({"temperature": 0.5}, {"fields": [ODD[:1]]}, {"replies_per_class": 2}, {"parameters": {"top_p": 1}}):
        assert llm(**asked).question(LLM) != before.question(LLM)


def test_a_ledger_is_an_input_where_nothing_is_asked(tmp_path: Path) -> None:
    ledger = tmp_path / "a b='.jsonl"
    ledger.touch()
    assert llm(ledger=str(ledger), base_url="").replayed_ledger(LLM) == [str(ledger)]
    assert llm(ledger=str(ledger), base_url="http://127.0.0.1:1/v1").replayed_ledger(LLM) == []
    assert llm(ledger=str(tmp_path / "none"), base_url="").replayed_ledger(LLM) == []


def test_prices_are_of_the_llms_of_the_table_and_their_classes() -> None:
    settings = parse_settings(PriceSettings, jobs().price_settings(None))
    assert list(settings.sources) == ["gpt-6-luna"] and settings.class_count == 200
    assert parse_settings(PriceSettings, jobs(TINY).price_settings(None)).class_count == 6


@pytest.mark.parametrize(("naming", "matters"), [("as-is", set()), ("added", {"template"}), ("removed", {"thing"})])
def test_what_does_not_matter_to_a_check_makes_nothing_anew(naming: str, matters: set[str]) -> None:
    given = json.loads(llm(naming=naming, template=f"{ODD[:1]} {{class_name}} {{text}}").check_settings(LLM))
    assert given.keys() == {"at_least", "naming", "visible_only", *matters}
    assert parse_settings(CheckSettings, json.dumps(given)).naming == naming


def test_a_file_is_read_as_it_says_whatever_it_is_called() -> None:
    mine = {"texts": {"mine": FILE}}
    first = jobs(mine).import_settings(wildcards(source="mine"))
    assert parse_settings(FileSource, first) == FileSource.model_validate(FILE)
    checked_otherwise = {"texts": {"mine": {**FILE, "naming": "removed", "at_least": 3}}}
    assert jobs(checked_otherwise).import_settings(wildcards(source="mine")) == first


def test_captions_know_how_their_folders_are_called() -> None:
    given = jobs({"texts": {"reed": {"kind": "captions", "class_names": {ODD: "Ani"}}}}).caption_settings(None)
    assert parse_settings(CaptionSettings, given).class_names == {ODD: "Ani"}
    assert parse_settings(CaptionSettings, jobs().caption_settings(None)).class_names == {}


def test_features_name_their_files(tmp_path: Path) -> None:
    for name in ("a=b.npz", "c.txt"):
        (tmp_path / name).touch()
    files = {"path": str(tmp_path / "a=b.npz"), "classes": str(tmp_path / "c.txt"), "texts": str(tmp_path / "none")}
    own = jobs(OWN_FEATURES, {"texts": {"llm": files}})
    assert own.feature_files(wildcards(source="llm")) == [files["path"], files["classes"]]
    assert json.loads(own.feature_settings(wildcards(source="llm")))["classes"] == files["classes"]


def test_prompts_stand_before_texts() -> None:
    assert jobs(TINY).named_texts(wildcards(prompts="class-names")) == []
    assert jobs(TINY).named_texts(wildcards(prompts="reed-with-names")) == ["results/tiny/texts/reed.csv"]


def test_a_control_is_made_of_its_source_and_nearest_by_names_or_by_given_features() -> None:
    controls = {
        name: {"kind": "control", "of": "gpt-6-luna", "control": name} for name in ("shuffled", "family", "name-only")
    }
    sweep = {"variants": [{"sampling": "class-wise", "redraw": "fixed", "sources": ["none", *controls]}]}
    made = jobs({"texts": controls, "sweep": sweep})
    shuffled, family = wildcards(source="shuffled"), wildcards(source="family")
    assert made.control_table(family) == made.layout.texts("gpt-6-luna")
    assert made.control_features(family) == made.control_names(shuffled) == made.control_name_features(shuffled) == []
    assert made.control_names(family) == [made.layout.texts(NAMES)]
    assert made.control_name_features(family) == made.layout.text_features(NAMES)
    # The LLM behind a control is asked, and priced, though the table does not show it.
    assert list(made.llms()) == ["gpt-6-luna"]
    given = jobs(OWN_FEATURES, {"texts": {"family": {"kind": "control", "of": "llm", "control": "family"}}})
    assert given.control_features(family) == given.layout.text_features("llm")
    assert given.control_names(family) == given.control_name_features(family) == []
