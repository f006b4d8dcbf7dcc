"""Where everything lies, from the configuration alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fieldguide.core.errors import FieldguideError
from fieldguide.workflow.layout import CELL, Layout, either, existing
from tests.unit.workflow.configurations import OWN_FEATURES, ROOT, TINY, layout_of


@pytest.fixture(scope="module")
def tiny() -> Layout:
    return layout_of(TINY)


def test_the_results_folder_is_named_one_way() -> None:
    for written in ("results", "./results", "results/", "results//"):
        assert layout_of({"results": written}).results == "results/cub"


def test_records_texts_and_tables(tiny: Layout) -> None:
    assert tiny.image_records == "results/tiny/records/images.csv"
    assert tiny.class_records == "results/tiny/records/classes.csv"
    assert tiny.pair_records == "results/tiny/records/pairs.csv"
    assert tiny.raw_texts("reed") == "results/tiny/texts/raw/reed.csv"
    assert tiny.texts("{source}") == "results/tiny/texts/{source}.csv"
    assert tiny.text_page("reed") == "results/tiny/texts/reed.md"
    assert tiny.table("accuracy.csv") == "results/tiny/tables/accuracy.csv"
    assert tiny.figure("accuracy.svg") == "results/tiny/figures/accuracy.svg"
    assert tiny.report == "results/tiny/report.html"
    assert tiny.log("index_images") == "results/tiny/logs/index_images/all.log"
    assert tiny.benchmark("train_adapter", CELL) == f"results/tiny/benchmarks/train_adapter/{CELL}.tsv"


def test_what_hangs_on_the_backbone_lies_under_its_key(tiny: Layout) -> None:
    key = tiny.backbone
    assert re.fullmatch(r"aviary-clip_[0-9a-f]{8}", key)
    assert tiny.translator("q") == f"results/tiny/translators/{key}/q/translator.safetensors"
    assert tiny.translator("q", "curve.csv") == f"results/tiny/translators/{key}/q/curve.csv"
    assert tiny.translated("q", "reed") == f"results/tiny/translated/{key}/q/reed.safetensors"
    assert tiny.conversion("q") == f"results/tiny/conversion/{key}/q.json"
    assert tiny.tuning("q", "thesis", "steps") == f"results/tiny/tuning/{key}/q/thesis/steps.json"
    assert tiny.cell_file(ending="md") == f"results/tiny/adapters/{key}/{CELL}.md"


def test_a_backbone_that_is_not_there_is_named() -> None:
    with pytest.raises(FieldguideError, match="nowhere"):
        _ = layout_of({"backbone": {"model": "local-dir:nowhere", "pretrained": ""}}).backbone


def test_features_have_as_many_files_as_shards() -> None:
    layout = layout_of(TINY, {"backbone": {"shards": {"texts": 2}}})
    names = [Path(path).name for path in layout.text_features("reed")]
    assert names == ["shard-1-of-2.safetensors", "shard-2-of-2.safetensors"]
    assert layout.feature_shard("texts/{texts}").endswith("/texts/{texts}/shard-{shard}-of-{shards}.safetensors")


def test_features_computed_elsewhere_are_one_file_under_a_key_of_their_own() -> None:
    given = layout_of(OWN_FEATURES)
    (path,) = given.image_features("dataset")
    assert path.endswith("/shard-1-of-1.safetensors") and given.backbone in path
    assert given.photographs == []
    renamed = layout_of(OWN_FEATURES, {"dataset": {**OWN_FEATURES["dataset"], "note": "Another."}})
    other = layout_of(OWN_FEATURES, {"dataset": {**OWN_FEATURES["dataset"], "images": {"path": "other.npz"}}})
    assert renamed.backbone == given.backbone != other.backbone


def test_photographs_lie_in_the_archive_or_the_folder() -> None:
    assert layout_of(TINY).photographs == ["results/tiny/unpacked/cub"]
    assert layout_of({"dataset": {"kind": "folder", "root": "photos"}}).photographs == ["photos"]


def test_a_cell_without_text_or_translation_has_no_translator(tiny: Layout) -> None:
    def folders(cell: str) -> str:
        return cell.removeprefix(f"results/tiny/adapters/{tiny.backbone}/")

    assert folders(tiny.cell("q", "reed", "global", "fixed", 50)) == "q/thesis/steps/reed/global/fixed/ratio-50.json"
    assert folders(tiny.cell("q", "none", "global", "fixed", 50)).startswith("none/thesis/steps/none/")
    assert folders(tiny.cell("q", "reed", "global", "fixed", 0, "zs-text")).startswith("none/zs-text/steps/reed/")
    assert "/epochs-50/" in tiny.cell("q", "reed", "global", "fixed", 50, budget="epochs", amount=50)


def test_names_of_the_configuration() -> None:
    layout = layout_of()
    assert layout.sources == ["reed", "gpt-6-luna"]
    assert layout.sources_of("llm") == ["gpt-6-luna"] and layout.sources_of("file") == []
    assert layout.translators_of("train_qformer") == ["qformer", "qformer-pooled"]
    assert "ridge" in layout.translators_of("fit_translator")
    assert layout.translator_kind("identity") == "identity" and layout.fitted_translator("identity") == []
    assert layout.fitted_translator("ridge") == [layout.translator("ridge")]
    assert "reed" in layout.prompts[1]


def test_a_resource_is_found_in_the_checkout_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = layout_of()
    monkeypatch.chdir(tmp_path)
    assert layout.resource("workflow/resources/published.csv") == str(ROOT / "workflow/resources/published.csv")
    assert layout.resource("mine.csv") == "mine.csv"
    assert layout.checkout_file("config.yaml") == str(ROOT / "config.yaml")
    monkeypatch.chdir(ROOT)
    assert layout.resource("workflow/resources/published.csv") == "workflow/resources/published.csv"
    assert layout.checkout_file("config.yaml") == "config.yaml"


def test_what_exists(tmp_path: Path) -> None:
    assert existing([tmp_path, tmp_path / "not"]) == [str(tmp_path)]


def test_a_constraint_takes_names_as_they_are_written() -> None:
    assert re.fullmatch(either(["gpt-3.5"]), "gpt-3.5") and not re.fullmatch(either(["gpt-3.5"]), "gpt-385")
    assert not re.match(either([]), "") and not re.match(either([]), "x")


@pytest.mark.parametrize("results", ["mine", "mine/below"])
def test_a_file_in_the_place_of_the_results_folder_is_refused(tmp_path: Path, results: str) -> None:
    layout = layout_of({"results": str(tmp_path / results)})
    layout.refuse_file()
    (tmp_path / "mine").write_text("a file")
    with pytest.raises(FieldguideError, match=r"config: results: .*mine is a file, so .* name another folder"):
        layout.refuse_file()


@pytest.mark.parametrize("name", ["images/target", "images/world", "texts/world"])
def test_a_folder_of_an_earlier_version_is_refused(tmp_path: Path, name: str) -> None:
    layout = layout_of({"results": str(tmp_path)})
    (tmp_path / "cub/features/key/images/dataset").mkdir(parents=True)
    layout.refuse_earlier()
    (tmp_path / "cub/features/key" / name).mkdir(parents=True)
    with pytest.raises(FieldguideError, match=f"features/key/{name}: an earlier version .* name another folder"):
        layout.refuse_earlier()


def test_a_text_source_may_be_called_as_the_pairs_once_were(tmp_path: Path) -> None:
    (tmp_path / "cub/features/key/texts/world").mkdir(parents=True)
    layout_of({"results": str(tmp_path), "texts": {"world": {"kind": "file", "path": "mine.csv"}}}).refuse_earlier()
