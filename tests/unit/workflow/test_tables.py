"""What the stages that tabulate and report are given, from the configuration."""

from __future__ import annotations

import json

import pytest

from fieldguide.core.errors import FieldguideError
from fieldguide.report.settings import ReportSettings
from fieldguide.tables.settings import Heading, ProbeSettings, PublishedSettings, ScoreSettings
from fieldguide.workflow.tables import CHOICES, TableJobs
from tests.unit.workflow.configurations import TINY, layout_of, wildcards

ANY = wildcards()
ANOTHER = (
    "gpt-6-luna stands in the place of the published gpt-3.5-turbo: its text is another model's, gpt-6-luna, and any"
    " published figure beside it is of gpt-3.5-turbo."
)


def test_published_figures_may_stand_beside_cubs_layout_and_no_folder_that_is_called_so() -> None:
    layout = layout_of({"dataset": {"name": "birds"}})
    assert TableJobs(layout).published() == [layout.published]
    for name in ("cub", "cub-mine"):
        folder = {"dataset": {"name": name, "kind": "folder", "root": "photographs"}}
        assert TableJobs(layout_of(folder)).published() == []
    assert TableJobs(layout_of(TINY)).published() == []


def test_every_table_has_the_data_sets_note_on_one_line_and_how_settings_were_chosen() -> None:
    jobs = TableJobs(layout_of({"dataset": {"note": "Half of\n  it's {all} <made> up = so."}}))
    heading = Heading.model_validate_json(jobs.heading(ANY))
    assert heading == Heading(dataset="cub", notes=("Half of it's {all} <made> up = so.", ANOTHER, CHOICES["once"]))
    assert Heading.model_validate_json(TableJobs(layout_of()).heading(ANY)).notes == (ANOTHER, CHOICES["once"])
    within = TableJobs(layout_of({"sweep": {"tune": "within-cell"}}))
    assert Heading.model_validate_json(within.heading(ANY)).notes == (ANOTHER, CHOICES["within-cell"])
    scores = ScoreSettings.model_validate_json(jobs.scores(ANY))
    assert (scores.notes, scores.tolerance) == (heading.notes, jobs.config.sampling_study.tolerance)
    assert ProbeSettings.model_validate_json(jobs.probe(ANY)).seeds == jobs.config.sweep.seeds


def test_a_source_stands_beside_the_published_column_that_it_names_and_every_table_says_whose_text_it_is() -> None:
    jobs = TableJobs(layout_of())
    assert PublishedSettings.model_validate_json(jobs.select(ANY)).sources == {"gpt-6-luna": "gpt-3.5-turbo"}
    replayed = {"texts": {"gpt-6-luna": {"model": "gpt-3.5-turbo-0125"}}}
    assert "the same model, asked again" in TableJobs(layout_of(replayed)).sentences[0]
    own = {"texts": {"gpt-6-luna": {"published_as": ""}}}
    assert TableJobs(layout_of(own)).sentences == (CHOICES["once"],) and TableJobs(layout_of(own)).substitutes == {}
    folder = {"dataset": {"name": "x", "kind": "folder", "root": "photographs"}}
    assert TableJobs(layout_of(folder)).sentences == (CHOICES["once"],)
    assert TableJobs(layout_of({"sweep": {"leave_out": ["gpt-6-luna"]}})).substitutes == {}


def test_a_published_column_that_there_is_not_is_refused() -> None:
    TableJobs(layout_of()).refuse_unpublished()
    with pytest.raises(FieldguideError, match=r"gpt-6-luna.published_as: .* no figures of gpt-4; it has those of"):
        TableJobs(layout_of({"texts": {"gpt-6-luna": {"published_as": "gpt-4"}}})).refuse_unpublished()


def test_the_report_gets_the_llms_of_the_table_with_their_files_and_the_configuration_as_it_is() -> None:
    jobs = TableJobs(layout_of(TINY))
    settings = ReportSettings.model_validate_json(jobs.report(ANY))
    assert set(settings.sources) == {"aviary-llm"}
    assert settings.sources["aviary-llm"].ledger == jobs.layout.resource("workflow/resources/aviary-llm.jsonl")
    assert settings.configuration == json.loads(jobs.config.model_dump_json())
    assert (settings.language, settings.thing) == (jobs.config.language, jobs.config.dataset.thing)


def test_texts_are_words_of_their_own() -> None:
    jobs = TableJobs(layout_of(TINY))
    assert jobs.texts(ANY) == [
        *("--texts", "reed", jobs.layout.texts("reed")),
        *("--texts", "aviary-llm", jobs.layout.texts("aviary-llm")),
    ]
