"""What can be asked for: the cells, tables and figures of a configuration."""

from __future__ import annotations

from pathlib import Path

from fieldguide.adapters.correctness import correctness_path
from fieldguide.adapters.settings import CellSettings
from fieldguide.core.settings import parse_settings
from fieldguide.workflow.adapters import AdapterJobs
from fieldguide.workflow.targets import Targets
from tests.unit.workflow.configurations import OWN_FEATURES, TINY, layout_of, wildcards


def test_the_thesis_has_eighty_cells_and_the_anchored_recipe_thirty() -> None:
    targets = Targets(layout_of())
    assert len(targets.cells) == len(set(targets.cells)) == 30 + 30 + 20 + 30
    assert [Path(cell).with_suffix(".safetensors").as_posix() for cell in targets.cells] == targets.weights
    assert [correctness_path(cell).as_posix() for cell in targets.cells] == targets.correctness
    assert [correctness_path(cell).as_posix() for cell in targets.compared_cells] == targets.compared_correctness


def test_no_cell_is_images_alone_with_text_or_text_alone_without() -> None:
    for cell in Targets(layout_of()).cells:
        if "/none/" in cell.split("/steps")[1]:
            assert not cell.endswith("/ratio-0.json")
        else:
            assert not cell.endswith("/ratio-100.json")


def test_the_study_shares_cells_with_the_table() -> None:
    targets = Targets(layout_of())
    assert len(targets.study_cells) == 2 * 2 * 4 * 30
    assert len(set(targets.study_cells) & set(targets.cells)) == 80


def test_a_further_translator_is_compared_on_text_alone() -> None:
    layout = layout_of({"sweep": {"text_only_translators": ["ridge"]}})
    further = [cell for cell in Targets(layout).cells if "/ridge/" in cell]
    assert len(further) == 2 and all(cell.endswith("ratio-0.json") for cell in further)


def test_prompts_are_cells_of_class_names_or_of_llm_texts() -> None:
    compared = Targets(layout_of()).compared_cells
    assert sum("/zs-name/" in cell for cell in compared) == 1
    assert [cell.split("/")[-4] for cell in compared if "/zs-name+attributes/" in cell] == ["gpt-6-luna"]


def test_tables_and_extras() -> None:
    targets = Targets(layout_of(TINY))
    assert "results/tiny/tables/accuracy.csv" in targets.tables
    assert "results/tiny/figures/birds.png" in targets.extras
    assert all(path.endswith(".csv") for path in targets.report_tables)
    assert {Path(path).name for path in targets.typeset} <= {"recipes.tex", "image_worth.tex", "conversion.tex"}
    assert "results/cub/figures/birds.png" not in Targets(layout_of()).extras


def test_controls_are_added_by_everything_alone_where_their_own_text_stands() -> None:
    names = {"words": "random-words", "near": "family"}
    texts = {name: {"kind": "control", "of": "reed", "control": control} for name, control in names.items()}
    sweep = {"controls": {"sources": ["words", "near"], "recipes": ["thesis"], "ratios": [10, 0, 7]}}
    targets = Targets(layout_of({"texts": texts, "sweep": sweep}))
    assert targets.cells == Targets(layout_of()).cells  # nothing is added to the table
    assert targets.tables == Targets(layout_of()).tables and targets.study_cells == Targets(layout_of()).study_cells
    added = targets.controlled_cells[len(targets.cells) :]
    assert targets.controlled_cells[: len(targets.cells)] == targets.cells
    assert [cell.split("/thesis/steps/")[1] for cell in added] == [
        f"{name}/class-wise/fixed/ratio-{ratio}.json" for name in ("words", "near") for ratio in (10, 0)
    ]
    assert [Path(path).name for path in targets.control_tables] == ["controls.csv", "controls.md"]
    assert targets.layout.controls == {"words": ("reed", "random-words"), "near": ("reed", "family")}
    assert "results/cub/tables/controls.csv" in targets.report_tables
    for change in ({"leave_out": ["reed"]}, {"controls": {"recipes": ["anchored-image-only"], "ratios": [7]}}):
        without = Targets(layout_of({"texts": texts, "sweep": sweep}, {"sweep": change}))
        assert without.control_tables == [] and without.controlled_cells == without.cells


def test_features_have_controls_too() -> None:
    near = {"near": {"kind": "control", "of": "llm", "control": "family"}}
    sweep = {"controls": {"sources": ["near"], "recipes": ["thesis"], "ratios": [10]}}
    targets = Targets(layout_of(OWN_FEATURES, {"texts": near, "sweep": sweep}))
    (added,) = set(targets.controlled_cells) - set(targets.cells)
    assert added.endswith("/identity/thesis/steps/near/class-wise/fixed/ratio-10.json")
    assert [Path(path).name for path in targets.control_tables] == ["controls.csv", "controls.md"]


def test_only_translators_that_a_table_names_are_trained() -> None:
    targets = Targets(layout_of({"conversion": {"translators": ["ridge"]}}))
    assert targets.compared_translators == ["ridge", "qformer"]
    assert targets.used_translators("train_qformer") == ["qformer"]
    assert targets.used_translators("fit_translator") == ["ridge"]
    assert targets.conversion_measures == [targets.layout.conversion(name) for name in ("ridge", "qformer")]
    assert len(targets.conversion_cells) == 2 * 2 * 3
    assert Targets(layout_of({"conversion": {"translators": []}})).conversion_tables == []


def test_features_computed_elsewhere_need_no_pairs_and_no_class_names() -> None:
    targets = Targets(layout_of(OWN_FEATURES))
    assert targets.compared_translators == [] and targets.conversion_tables == []
    assert not any("zs-name" in cell for cell in targets.compared_cells)
    assert not any(path.endswith("curve.svg") for path in targets.extras)


def test_a_variant_of_all_texts_has_a_cell_at_every_share_and_shares_text_alone_and_image_only() -> None:
    variant = {"sampling": "class-wise", "redraw": "fixed", "sources": ["none", "reed"]}
    sweep = {"ratios": [100, 50, 0], "variants": [variant, {**variant, "texts": "all"}]}
    cells = [cell.split("/class-wise/") for cell in Targets(layout_of({"sweep": sweep})).cells]
    reed = [rest.removesuffix(".json") for before, rest in cells if before.endswith("/reed")]
    assert reed == ["fixed/ratio-50", "fixed/ratio-0", "fixed-all-texts/ratio-100", "fixed-all-texts/ratio-50"]
    assert sum(before.endswith("/none") for before, _ in cells) == 2
    jobs = AdapterJobs(layout_of({"sweep": sweep}))
    names = {"budget": "steps", "recipe": "thesis", "translator": "qformer", "source": "reed", "ratio": "100"}
    settings = parse_settings(CellSettings, jobs.cell_settings(wildcards(redraw="fixed-all-texts", **names)))
    assert (settings.redraw, settings.texts, settings.ratio) == ("fixed", "all", 100)
