"""The configuration: what ships is valid, and what is wrong is told in one clear line."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from snakemake.utils import update_config

from fieldguide.core.errors import FieldguideError
from fieldguide.texts.settings import LLMSource
from fieldguide.workflow.config import Config, check_config, main, merge
from tests.tiny_data import refusal

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
SHIPPED = sorted((ROOT / "config").glob("*.yaml"))


def load(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


BASE = load(ROOT / "config.yaml")


def merged(path: Path) -> dict[str, Any]:
    return merge(copy.deepcopy(BASE), load(path))


def control(**settings: Any) -> dict[str, Any]:
    """A control of Reed's captions."""
    return {"kind": "control", "of": "reed", "control": "shuffled", **settings}


def refused(where: str, value: object = None) -> str:
    """What is said of the configuration with one key set to a value, or left out."""
    config = copy.deepcopy(BASE)
    *path, last = where.split("/")
    section: Any = config
    for key in path:
        section = section[key]
    if value is None:
        del section[last]
    else:
        section[last] = value
    with pytest.raises(FieldguideError) as caught:
        check_config(config)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.startswith("config: ") and sentence.endswith("; see config/README.md")
    return sentence.removeprefix("config: ").removesuffix("; see config/README.md")


# ---------------------------------------------------------------- what ships


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_what_ships_is_valid(path: Path) -> None:
    config = merged(path)
    assert check_config(config).dataset.name == path.stem
    jsonschema.validate(config, load(SCHEMA))


def test_every_key_of_the_default_has_a_comment() -> None:
    lines = (ROOT / "config.yaml").read_text(encoding="utf-8").splitlines()
    keys = [number for number, line in enumerate(lines) if re.match(r" *[A-Za-z][\w.-]*:( |$)", line)]
    bare = [lines[n] for n in keys if " # " not in lines[n] and not lines[n - 1].lstrip().startswith("#")]
    assert len(keys) > 80
    assert not bare


def test_the_default_is_the_thesis() -> None:
    checked = check_config(BASE)
    jsonschema.validate(BASE, load(SCHEMA))
    assert (checked.dataset.kind, checked.backbone.model, checked.backbone.pretrained) == ("cub", "ViT-L-14", "openai")
    assert checked.sweep.ratios == tuple(range(100, -1, -10))
    assert checked.sweep.variants[0].sources == ("none", "reed", "gpt-6-luna")


@pytest.mark.parametrize("path", [ROOT / "config.yaml", *SHIPPED], ids=lambda path: path.stem)
def test_resources_that_it_names_are_there(path: Path) -> None:
    named = [v.removeprefix("local-dir:") for v in strings_of(load(path))]
    named = [name for name in named if name.startswith("workflow/")]
    assert all((ROOT / name).exists() for name in named), named
    assert named or path.stem == "cub-quick"


def strings_of(value: object) -> Iterator[str]:
    """All strings in a configuration."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from strings_of(item)
    elif isinstance(value, str):
        yield value


# ---------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("where", "value", "told"),
    [
        ("texts/x", control(of="y"), "texts.x.of: unknown text source 'y'; known are reed, gpt-6-luna, x"),
        ("texts/x", control(of="x"), "texts.x.of: 'x' is a control itself; name the source that it is of"),
        ("sweep/controls", {"sources": ["reed"]}, "sweep.controls.sources: 'reed' is no text source of kind control"),
        ("sweep/controls", {"ratios": [0, 0]}, "sweep.controls.ratios: lists 0 twice"),
        ("texts/x", control(control="own"), "texts.x.control: should be 'shuffled', 'family', 'random-words' or"),
        ("texts/x", control(families="f.csv"), "texts.x: control is shuffled, which reads no families"),
        ("colour", 1, "colour: unknown key"),
        ("sweep/seed", [1], "sweep.seed: unknown key"),
        ("translators/qformer/dept", 1, "translators.qformer.dept: unknown key"),
        ("texts/reed/model", "x", "texts.reed.model: unknown key"),
        ("adapter", None, "adapter: missing"),
        ("adapter/batch", None, "adapter.batch: missing"),
        ("sweep", [1], "sweep: should be a section of keys and values, not [1]"),
        ("dataset/kind", "cube", "dataset: kind should be one of 'cub', 'aviary', 'folder', 'features', not 'cube'"),
        ("dataset/kind", "folder", "dataset.root: missing"),
        ("dataset/kind", "features", "dataset: give either images, or train and test"),
        ("dataset/root", "x", "dataset.root: unknown key"),
        ("dataset/name", "../x", "dataset.name: should be letters, digits, dots, underscores and hyphens"),
        ("backbone/precision", "fp8", "backbone.precision: should be 'fp32', 'bf16', 'fp16' or 'auto', not 'fp8'"),
        ("backbone/image_batch", 0, "backbone.image_batch: should be auto or a whole number from 1, not 0"),
        ("backbone/text_batch", "many", "backbone.text_batch: should be auto or a whole number from 1, not 'many'"),
        ("backbone/shards", {"dataset": 1, "pairs": 0, "texts": 1}, "backbone.shards.pairs: should be greater than"),
        ("data/cub/path", 3, "data.cub.path: should be text, but is read as the number 3; put it in quotes"),
        ("texts/reed/class_names", {15: "x"}, "texts.reed.class_names: a key in it should be text, but is read as the"),
        ("texts/reed/class_names", {None: "x"}, "texts.reed.class_names: a key in it should be text, but is read as n"),
        ("texts/reed/class_names", {"x": False}, "texts.reed.class_names.x: should be text, but is read as false (no"),
        (
            "dataset/leave_out",
            [date(2020, 1, 1)],
            "dataset.leave_out.0: should be text, but is read as the date 2020-01",
        ),
        ("sweep/translator", True, "sweep.translator: should be text, but is read as true (yes, on); put it in quotes"),
        ("data/cub/max_gb", 0, "data.cub.max_gb: should be greater than 0, not 0"),
        ("data/reed/max_files", 0.5, "data.reed.max_files: should be a valid integer, not 0.5"),
        ("dataset/skip_damaged", "yes", "dataset.skip_damaged: should be a valid boolean, not 'yes'"),
        ("dataset/leave_out", ["x.jpg", "x.jpg"], "dataset.leave_out: lists x.jpg twice"),
        ("dataset/leave_out", "x.jpg", "dataset.leave_out: should be a list, not 'x.jpg'"),
        ("pairs/check", "look", "pairs.check: should be 'decode' or 'names', not 'look'"),
        ("adapter/amount", 1.5, "adapter.amount: should be a valid integer, not 1.5"),
        ("adapter/amount", True, "adapter.amount: should be a valid integer, not True"),
        ("adapter/amount", "400", "adapter.amount: should be a valid integer, not '400'"),
        ("adapter/amount", 0, "adapter.amount: should be greater than or equal to 1, not 0"),
        ("adapter/validation", 1.0, "adapter.validation: should be less than 1, not 1.0"),
        ("adapter/learning_rates", [], "adapter.learning_rates: is empty"),
        ("adapter/learning_rates", [0.1, "fast"], "adapter.learning_rates.1: should be a valid number"),
        ("translators/qformer/heads", 7, "translators.qformer: hidden is 512, which 7 heads cannot share equally"),
        ("translators/x", {"kind": "identity", "hidden": 8}, "translators.x.hidden: unknown key"),
        ("translators/x", {"kind": "babel"}, "translators.x: kind should be one of 'qformer', 'qformer-pooled', "),
        ("translators/x", {"kind": "ridge", "queries": 8}, "translators.x.queries: unknown key"),
        (
            "translators/x",
            {"kind": "ridge", "values": {"penlty": [1.0]}},
            "translators.x: values: ridge has no hyper-parameter 'penlty'; it has penalty",
        ),
        ("translators/x", {"kind": "ridge", "values": {"penalty": [0]}}, "translators.x.values.penalty.0: should be"),
        (
            "translators/x",
            {"kind": "mlp", "values": {"batch": [0.5]}},
            "translators.x: values: batch should be a list of whole numbers above 0, not [0.5]",
        ),
        (
            "translators/x",
            {"kind": "covariance", "values": {"shrinkage": [0.5, 2]}},
            "translators.x: values: shrinkage should be 1 at most, not [0.5, 2.0]",
        ),
        (
            "translators/x",
            {"kind": "ridge", "exclude": "("},
            "translators.x.exclude: '(' is not a regular expression: missing ), unterminated subpattern at position 0",
        ),
        ("translators/qformer/exclude", "[", "translators.qformer.exclude: '[' is not a regular expression: "),
        ("translators/qformer/warmup", 20001, "translators.qformer: warmup is 20001 of 20000 steps, so that lr would"),
        ("translators/none", {"kind": "ridge"}, "translators.none: 'none' means image only and cannot name a"),
        ("translators/x", {"kind": "mlp", "held_out": 0}, "translators.x.held_out: should be greater than 0, not 0"),
        ("pairs/test_share", 1, "pairs.test_share: should be less than 1, not 1"),
        ("conversion/translators", ["babel"], "conversion: unknown translator 'babel'; known are qformer, "),
        ("conversion/translators", ["ridge", "ridge"], "conversion.translators: lists ridge twice"),
        ("aviary/species", 57, "aviary.species: should be less than or equal to 56, not 57"),
        (
            "texts/x",
            {"kind": "captoins"},
            "texts.x: kind should be one of 'captions', 'llm', 'file', 'features', 'control', not 'captoins'",
        ),
        ("texts/x", {}, "texts.x: kind is missing"),
        ("texts/x", 3, "texts.x: should be a section of keys and values, not 3"),
        ("texts/reed/at_least", 0, "texts.reed.at_least: should be greater than or equal to 1, not 0"),
        ("texts/reed/naming", "drop", "texts.reed.naming: should be 'as-is', 'removed' or 'added', not 'drop'"),
        ("texts/reed/visible_only", "yes", "texts.reed.visible_only: should be a valid boolean, not 'yes'"),
        ("texts/reed/template", "{text}", "texts.reed.template: should hold {class_name} and {text} once each"),
        ("dataset/thing", "", "dataset.thing: should be letters"),
        ("texts/a b", {"kind": "captions"}, "texts.a b: should be letters, digits, dots"),
        ("texts/x", {"kind": "file"}, "texts.x.path: missing"),
        (
            "texts/x",
            {"kind": "file", "path": "x", "per": "bird"},
            "texts.x.per: should be 'class' or 'image', not 'bird'",
        ),
        ("texts/x", {"kind": "file", "path": "x", "fields": ["a", "a"]}, "texts.x.fields: lists a twice"),
        ("texts/gpt-6-luna/model", "a b", "texts.gpt-6-luna.model: should be a model as its endpoint spells it"),
        ("texts/gpt-6-luna/fields", ["Size", "2nd"], "texts.gpt-6-luna.fields: should be words of letters"),
        ("texts/gpt-6-luna/fields", ["Size", "size"], "texts.gpt-6-luna.fields: lists size twice"),
        ("texts/gpt-6-luna/fields", [], "texts.gpt-6-luna.fields: is empty"),
        ("texts/gpt-6-luna/structured", True, "texts.gpt-6-luna.structured: should be 'auto', 'json_schema' or"),
        ("texts/gpt-6-luna/base_url", "api.example.com", "texts.gpt-6-luna.base_url: should be an address"),
        (
            "texts/gpt-6-luna/base_url",
            "http://a:99999/v1",
            "texts.gpt-6-luna.base_url: is no address: port out of",
        ),
        (
            "texts/gpt-6-luna/base_url",
            "https://a/v1?api_key=x",
            "texts.gpt-6-luna.base_url: should hold no password",
        ),
        (
            "texts/gpt-6-luna/base_url",
            "https://a/v1/chat/completions",
            "texts.gpt-6-luna.base_url: should end before",
        ),
        ("texts/gpt-6-luna/reasoning_effort", "very low", "texts.gpt-6-luna.reasoning_effort: should be"),
        ("texts/gpt-6-luna/prices/in", 1, "texts.gpt-6-luna.prices.in: unknown key"),
        ("texts/gpt-6-luna/budget_usd", -1, "texts.gpt-6-luna.budget_usd: should be greater than or equal to 0"),
        ("texts/gpt-6-luna/max_tokens", None, "texts.gpt-6-luna: budget_usd needs max_tokens"),
        ("texts/gpt-6-luna/max_concurrency", 0, "texts.gpt-6-luna.max_concurrency: should be greater than or"),
        ("texts/gpt-6-luna/parameters", {"seed": 1}, "texts.gpt-6-luna.parameters: seed cannot be given here"),
        (
            "texts/reed",
            {"kind": "features", "path": "x"},
            "sweep.variants: text source 'reed' is of kind features, but with dataset.kind cub sources are of another",
        ),
        ("texts/none", {"kind": "captions"}, "texts.none: 'none' means image only"),
        ("sweep/ratios", [100, 101], "sweep.ratios.1: should be less than or equal to 100, not 101"),
        ("sweep/ratios", [-10], "sweep.ratios.0: should be greater than or equal to 0, not -10"),
        ("sweep/ratios", 10, "sweep.ratios: should be a list, not 10"),
        ("sweep/ratios", [], "sweep.ratios: is empty"),
        ("sweep/ratios", [10, 0, 10], "sweep.ratios: lists 10 twice"),
        ("sweep/seeds", [3, 3], "sweep.seeds: lists 3 twice"),
        ("sweep/translator", "qf", "sweep: unknown translator 'qf'; known are qformer"),
        ("sweep/text_only_translators", ["qf"], "sweep: unknown translator 'qf'; known are qformer"),
        ("sweep/text_only_translators", ["qformer"] * 2, "sweep.text_only_translators: lists qformer twice"),
    ],
)
def test_a_mistake_is_told_in_one_line(where: str, value: object, told: str) -> None:
    sentence = refused(where, value)
    assert sentence.startswith(told)
    assert len(sentence) < 200


def variant(sampling: str, *sources: str) -> dict[str, object]:
    return {"sampling": sampling, "redraw": "fixed", "sources": list(sources)}


def test_mistakes_in_variants() -> None:
    told = refused("sweep/variants", [variant("global", "none", "read")])
    assert told == "sweep.variants: unknown text source 'read'; known are none, reed, gpt-6-luna"
    assert refused("sweep/variants", [variant("globe", "reed")]).startswith("sweep.variants.0.sampling: should be")
    told = refused("sweep/variants", [variant("global", "reed", "none", "reed")])
    assert told == "sweep.variants.0.sources: lists reed twice"
    told = refused("sweep/variants", [variant("global", "reed"), variant("global", "none", "reed")])
    assert told == "sweep.variants: lists global fixed steps thesis reed twice"


def test_a_source_is_left_out_by_one_line() -> None:
    config = copy.deepcopy(BASE)
    config["sweep"]["leave_out"] = ["gpt-6-luna"]
    checked = check_config(config)
    assert [variant.sources for variant in checked.sweep.variants] == [("none", "reed")] * 3
    config["sweep"]["variants"].append({"sampling": "global", "redraw": "per-epoch", "sources": ["gpt-6-luna"]})
    assert check_config(config).sweep == checked.sweep
    assert refused("sweep/leave_out", ["gpt"]) == (
        "sweep.leave_out: unknown text source 'gpt'; known are none, reed, gpt-6-luna".replace("none, ", "")
    )
    assert refused("sweep/leave_out", ["none", "reed", "gpt-6-luna"]).startswith("sweep: leave_out leaves no variant")


def test_two_sources_cannot_stand_beside_one_published_column() -> None:
    config = copy.deepcopy(BASE)
    config["texts"]["gpt-3.5-turbo"] = {**config["texts"]["gpt-6-luna"], "published_as": ""}
    check_config(config)  # not in the table
    config["sweep"]["variants"][0]["sources"].append("gpt-3.5-turbo")
    told = "gpt-6-luna and gpt-3.5-turbo both stand beside the published column gpt-3.5-turbo"
    with pytest.raises(FieldguideError, match=told):
        check_config(config)
    config["texts"]["gpt-6-luna"]["published_as"] = ""
    assert check_config(config).published_names["gpt-3.5-turbo"] == "gpt-3.5-turbo"


def test_mistakes_in_recipes() -> None:
    anchored = {**variant("global", "none", "reed"), "recipes": ["thesis", "anchored"]}
    told = refused("sweep/variants", [{**anchored, "recipes": ["thesys"]}])
    assert told.startswith("sweep.variants.0.recipes.0: should be 'thesis', 'anchored'") and told.endswith("'thesys'")
    told = refused("sweep/variants", [{**anchored, "redraw": "per-epoch"}])
    assert told == "sweep.variants.0: recipe 'anchored' has no epochs: it needs redraw: fixed"
    told = refused(
        "sweep/variants", [variant("global", "none"), {**variant("class-wise", "none"), "recipes": ["gda", "anchored"]}]
    )
    assert told.startswith("sweep: variants.1: recipe 'anchored' has no cell with sources none and ratios 100, 90,")
    assert told.endswith("it needs a text source and ratio below 100")
    told = refused("sweep/variants", [{**variant("global", "reed"), "recipes": ["anchored-image-only"]}])
    assert told.endswith("it needs the source none and a ratio above 0")
    told = refused("sweep/ratios", [100])
    assert "recipe 'anchored' has no cell with sources none, reed, gpt-6-luna and ratios 100; it needs" in told
    assert refused("sweep/baselines", ["thesis"]) == (
        "sweep: baselines: 'thesis' is among the first variant's recipes already"
    )
    assert refused("translators/identity", {**BASE["translators"]["qformer"]}) == (
        "translators.identity: that name is kept for kind identity"
    )
    told = refused("texts/class-names", {"kind": "captions"})
    assert told == "texts.class-names: such a name is kept for the texts that are made of class names"


@pytest.mark.parametrize(
    ("key", "value"),
    [("api_key", "sk-SECRET"), ("key_variable", "sk-SECRET"), ("base_url", "https://me:sk-SECRET@api.example.com/v1")],
)
def test_a_key_in_the_wrong_place_is_not_repeated(key: str, value: str) -> None:
    assert "SECRET" not in refused(f"texts/gpt-6-luna/{key}", value)


def test_an_llm_is_described_as_short_as_a_ledger_or_in_full() -> None:
    config = copy.deepcopy(BASE)
    config["texts"]["x"] = {"kind": "llm", "model": "m", "ledger": "l", "prompt": "p", "fields": ["Wing bars"]}
    config["texts"]["x"]["replies_per_class"] = 1
    source = check_config(config).texts["x"]
    assert isinstance(source, LLMSource)
    # Nothing is asked and no parameter is part of its key.
    assert (source.base_url, source.structured, source.request_parameters()) == ("", "off", {})
    config["texts"]["x"] |= {"structured": False, "temperature": 0, "seed": 3, "parameters": {"top_p": 0.9}}
    config["texts"]["x"]["model"] = "meta-llama/Llama-3.1-8B-Instruct:free"
    source = check_config(config).texts["x"]
    assert isinstance(source, LLMSource)
    assert source.structured == "off"  # YAML's bare off
    assert source.request_parameters() == {"top_p": 0.9, "temperature": 0, "seed": 3}


def test_endpoints_and_models_of_today_are_described() -> None:
    config = copy.deepcopy(BASE)
    llm = config["texts"]["gpt-6-luna"]
    llm |= {"base_url": "https://x.openai.azure.com/openai/deployments/g?api-version=2024-10-21", "budget_usd": None}
    llm |= {"max_tokens": None, "temperature": None, "seed": None, "reasoning_effort": "none"}
    source = check_config(config).texts["gpt-6-luna"]
    assert isinstance(source, LLMSource) and source.request_parameters() == {"reasoning_effort": "none"}
    for model in ("/models/Qwen3-8B", "./Qwen3-8B", "~/models/Qwen3-8B", "hf.co/a/b-GGUF:Q4_K_M", r"C:\models\qwen"):
        llm["model"] = model
        check_config(config)
    llm["parameters"] = {"reasoning_effort": "low"}
    with pytest.raises(FieldguideError, match="reasoning_effort stands under parameters too"):
        check_config(config)


def test_several_mistakes_are_counted() -> None:
    assert refused("texts/x", {"kind": "llm"}) == "texts.x.model: missing (and 4 more)"


def test_a_source_may_be_called_as_a_kind() -> None:
    config = copy.deepcopy(BASE)
    config["texts"]["llm"] = config["texts"].pop("gpt-6-luna") | {"model": 3}
    with pytest.raises(
        FieldguideError, match=r"^config: texts\.llm\.model: should be text, but is read as the number 3"
    ):
        check_config(config)


def test_two_sources_may_share_a_ledger_and_differ_in_names() -> None:
    config = copy.deepcopy(BASE)
    config["texts"]["named"] = config["texts"]["gpt-6-luna"] | {"naming": "added"}
    config["texts"]["bare"] = {"kind": "captions"}
    texts = check_config(config).texts
    assert (texts["named"].naming, texts["gpt-6-luna"].naming) == ("added", "as-is")
    assert (texts["bare"].at_least, texts["bare"].naming, texts["bare"].visible_only) == (1, "as-is", False)


def test_checking_changes_nothing() -> None:
    before = copy.deepcopy(BASE)
    assert isinstance(check_config(BASE), Config)
    assert before == BASE


# ---------------------------------------------------------------- merging

values = st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2)
trees = st.recursive(
    st.dictionaries(st.sampled_from("abc"), values, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner | values, max_size=3),
    max_leaves=8,
)


@given(trees, trees)
def test_files_merge_as_snakemake_merges_them(base: dict[str, Any], over: dict[str, Any]) -> None:
    theirs = copy.deepcopy(base)
    update_config(theirs, copy.deepcopy(over))
    assert merge(copy.deepcopy(base), copy.deepcopy(over)) == theirs


def test_a_list_is_replaced_and_a_section_filled() -> None:
    config = merge({"a": {"b": [1, 2], "c": 3}}, {"a": {"b": [4]}})
    assert config == {"a": {"b": [4], "c": 3}}


# ---------------------------------------------------------------- the command


def test_the_command_checks_merged_files(tmp_path: Path) -> None:
    main([str(ROOT / "config.yaml"), str(ROOT / "config" / "tiny.yaml")])
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("sweep: {ratios: [101]}\n")
    assert "sweep.ratios.0: should be less than or equal to 100" in refusal(main, ROOT / "config.yaml", wrong)
    assert str(tmp_path / "no.yaml") in refusal(main, tmp_path / "no.yaml")
    wrong.write_text("")
    main([str(ROOT / "config.yaml"), str(wrong)])


@pytest.mark.parametrize("content", ["sweep: {ratios: [", "- 1\n- 2\n", "just words\n"])
def test_the_command_names_a_file_that_is_no_mapping(tmp_path: Path, content: str) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(content)
    assert str(wrong) in refusal(main, ROOT / "config.yaml", wrong)


@pytest.mark.parametrize(
    ("old", "sentence"),
    [
        ({"world": {"images": 10}}, "world is now called pairs"),
        ({"backbone": {"shards": {"target": 2}}}, "backbone.shards.target is now called dataset"),
        ({"backbone": {"shards": {"world": 2}}}, "backbone.shards.world is now called pairs"),
        ({"aviary": {"world_images": 4}}, "aviary.world_images is now called pair_images"),
    ],
)
def test_an_earlier_name_of_a_key_is_told(old: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FieldguideError, match=f"^config: {re.escape(sentence)}; see config/README.md$"):
        check_config(merge(copy.deepcopy(BASE), old))


def test_home_is_written_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    over = {
        "results": "~/results",
        "backbone": {"model": "local-dir:~/clip", "cache": "~", "pretrained": "openai"},
        "data": {"cub": {"path": "~/CUB ~x.tgz"}},
    }
    config = check_config(merge(copy.deepcopy(BASE), over))
    assert config.results == "/home/me/results" and config.backbone.cache == "/home/me"
    assert config.backbone.model == "local-dir:/home/me/clip" and config.backbone.pretrained == "openai"
    assert config.data.cub.path == "/home/me/CUB ~x.tgz" and config.published.figures == BASE["published"]["figures"]
