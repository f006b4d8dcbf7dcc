"""Arguments of the jobs that plan, tune, train and calibrate adapters."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from snakemake.utils import format as format_shell

from fieldguide.adapters.settings import CellSettings, PlanSettings, TuningSettings
from fieldguide.texts.options import add_source_option
from fieldguide.workflow.adapters import AdapterJobs
from tests.unit.workflow.configurations import BASE, TINY, layout_of, wildcards


def cell_of(**changes: str) -> SimpleNamespace:
    own = {"translator": "qformer", "recipe": "thesis", "budget": "steps", "source": "reed", "ratio": "10"}
    return wildcards(**{**own, "sampling": "class-wise", "redraw": "fixed", **changes})


def tuning_of(recipe: str, budget: str = "steps") -> SimpleNamespace:
    return wildcards(translator="qformer", recipe=recipe, budget=budget)


def test_a_cells_settings_are_read_by_its_stage() -> None:
    jobs = AdapterJobs(layout_of())
    cell = CellSettings.model_validate_json(jobs.cell_settings(cell_of()))
    assert (cell.ratio, cell.recipe, cell.translator, cell.redraw) == (10, "thesis", "qformer", "fixed")
    assert (cell.budget, cell.amount, cell.batch) == tuple(
        BASE["adapter"][key] for key in ("budget", "amount", "batch")
    )
    assert cell.dataset == "cub" and list(cell.seeds) == BASE["sweep"]["seeds"]
    other = CellSettings.model_validate_json(jobs.cell_settings(cell_of(budget="epochs-50")))
    assert (other.budget, other.amount) == ("epochs", 50)


def test_a_tunings_settings_are_the_adapters_own() -> None:
    jobs = AdapterJobs(layout_of())
    tuning = TuningSettings.model_validate_json(jobs.tuning_settings(tuning_of("gda", "epochs-200")))
    assert (tuning.recipe, tuning.budget, tuning.amount) == ("gda", "epochs", 200)
    assert list(tuning.learning_rates) == BASE["adapter"]["learning_rates"]
    plan = PlanSettings.model_validate_json(jobs.plan_settings(wildcards(sampling="global")))
    assert plan.sampling == "global"


def test_a_tuning_per_ratio_is_for_the_ratios_of_all_cells() -> None:
    changes = {"sweep": {"tune": "per-ratio", "ratios": [90, 10]}, "sampling_study": {"ratios": [20]}}
    jobs = AdapterJobs(layout_of(changes))
    tuning = TuningSettings.model_validate_json(jobs.tuning_settings(tuning_of("gda")))
    assert (tuning.tune, tuning.ratios) == ("per-ratio", (100, 90, 50, 20, 10, 0))
    once = TuningSettings.model_validate_json(AdapterJobs(layout_of()).tuning_settings(tuning_of("gda")))
    assert (once.tune, once.ratios) == ("once", (100, 50, 10, 0))


def test_a_cell_that_chooses_for_itself_is_told_what_to_try_and_reads_no_tuning() -> None:
    jobs = AdapterJobs(layout_of({"sweep": {"tune": "within-cell"}}))
    cell = CellSettings.model_validate_json(jobs.cell_settings(cell_of()))
    assert (cell.tune, list(cell.learning_rates)) == ("within-cell", BASE["adapter"]["learning_rates"])
    assert jobs.tuning(cell_of()) == jobs.tuning_options(cell_of()) == []
    once = CellSettings.model_validate_json(AdapterJobs(layout_of()).cell_settings(cell_of()))
    assert (once.tune, once.learning_rates) == ("once", ())


def test_texts_are_those_that_the_recipe_reads() -> None:
    jobs = AdapterJobs(layout_of())
    translated, raw = (jobs.layout.translated(name, "reed") for name in ("qformer", "identity"))
    table = jobs.layout.texts("reed")
    for recipe, files in (("thesis", [translated, ""]), ("anchored", [translated, raw]), ("zs-text", ["", raw])):
        cell = cell_of(recipe=recipe)
        options = jobs.source_options(cell)
        assert options == ["--source", "reed", table, *(file or "-" for file in files)]
        # As a shell line holds it: Snakemake quotes each word, and leaves empty ones out.
        words = shlex.split(format_shell("{options:q}", options=options))
        parser = argparse.ArgumentParser()
        add_source_option(parser)
        (source,) = parser.parse_args(words).source
        assert [source.translated, source.raw] == [Path(file) if file else None for file in files]
        assert jobs.texts(cell) == [table, *filter(None, files)]
    assert jobs.source_options(cell_of(source="none")) == jobs.texts(cell_of(source="none")) == []
    assert jobs.texts(tuning_of("anchored-image-only")) == []
    assert jobs.source_options(tuning_of("thesis")).count("--source") == len(jobs.layout.sources)


def test_a_unit_that_its_table_does_not_tell_is_named() -> None:
    jobs = AdapterJobs(layout_of({"texts": {"gpt-6-luna": {"unit": "reply"}}}))
    for source, replies in (("gpt-6-luna", ("gpt-6-luna",)), ("reed", ()), ("none", ())):
        cell = CellSettings.model_validate_json(jobs.cell_settings(cell_of(source=source)))
        assert cell.replies == replies
    tuning = TuningSettings.model_validate_json(jobs.tuning_settings(tuning_of("thesis")))
    assert tuning.replies == ("gpt-6-luna",)


def test_prompts_with_attributes_have_a_table_of_their_own() -> None:
    jobs = AdapterJobs(layout_of())
    files = jobs.texts(cell_of(recipe="zs-name+attributes", source="gpt-6-luna", ratio="0"))
    assert files[0] == jobs.layout.texts("gpt-6-luna-with-names")


def test_a_recipe_takes_the_hyper_parameters_that_are_its_own_or_anothers() -> None:
    jobs = AdapterJobs(layout_of())
    assert jobs.tuning_options(cell_of(recipe="zs-text")) == []
    option, path = jobs.tuning_options(cell_of(recipe="anchored"))
    assert option == "--tuning" and "/anchored-image-only/" in path


def test_calibration_names_every_file_of_texts_that_its_cells_read() -> None:
    jobs = AdapterJobs(layout_of(TINY))
    words: list[Any] = jobs.calibration_options(wildcards())
    assert words[:3] == ["--texts", "reed", jobs.layout.texts("reed")]
    assert {word for word in words if str(word).startswith(jobs.layout.results)} == set(jobs.calibration_texts)
    names = {path.rpartition("/")[2] for path in jobs.targets.calibrations}
    assert names <= {f"ratio-{ratio}.calibration.json" for ratio in jobs.config.sweep.ratios}
    assert len(jobs.targets.calibrations) == len(jobs.targets.cards) == len(jobs.targets.calibrated_cells)
    assert json.loads(jobs.cell_settings(cell_of()))["dataset"] == "tiny"
