"""What the rules of translators and of conversion accuracy give their stages."""

from __future__ import annotations

import json
import shlex

import pytest

from fieldguide.core.settings import parse_settings
from fieldguide.tables.settings import ConversionFigure, ConversionTable
from fieldguide.translators import measure_conversion
from fieldguide.translators.settings import FitTranslator, MeasureConversion, TrainQFormer
from fieldguide.workflow.conversion import ConversionJobs
from fieldguide.workflow.layout import Layout
from fieldguide.workflow.translators import TranslatorJobs
from tests.unit.workflow.configurations import TINY, layout_of, wildcards

HOSTILE = r"a 'bird' {x} <x> = ~ ü \bwings?\b"


@pytest.fixture
def layout() -> Layout:
    ridge = {"kind": "ridge", "exclude": HOSTILE, "values": {"penalty": [0.1, 1]}}
    return layout_of(TINY, {"translators": {"ridge": ridge}, "pairs": {"test_share": 0.2}})


def test_a_stage_gets_the_configurations_settings_and_what_is_kept_for_measuring(layout: Layout) -> None:
    jobs = TranslatorJobs(layout)
    fitted = parse_settings(FitTranslator, jobs.settings(wildcards(translator="ridge")))
    assert (fitted.kind, fitted.exclude, fitted.values, fitted.test_share) == (
        "ridge",
        HOSTILE,
        {"penalty": (0.1, 1.0)},
        0.2,
    )
    trained = parse_settings(TrainQFormer, jobs.settings(wildcards(translator="qformer")))
    assert {**layout.config.translators["qformer"].model_dump(), "test_share": 0.2} == trained.model_dump()
    assert parse_settings(MeasureConversion, ConversionJobs(layout).measure_settings(None)).test_share == 0.2


def test_what_learns_nothing_has_no_file(layout: Layout) -> None:
    jobs = TranslatorJobs(layout)
    assert jobs.fitted(wildcards(translator="identity")) == []
    assert jobs.fitted(wildcards(translator="ridge")) == [layout.translator("ridge")]
    assert jobs.gpu(wildcards(translator="qformer")) == 1 and jobs.gpu(wildcards(translator="ridge")) == 0


def test_the_sources_on_the_command_line_are_those_of_the_input() -> None:
    layout = layout_of(TINY)
    jobs, ridge = ConversionJobs(layout), wildcards(translator="ridge")
    words = shlex.split(shlex.join(["--name", "ridge", *jobs.source_options(ridge)]))
    words += ["--pairs", "p", "--pair-images", "i", "--pair-texts", "t", "--records", "r", "--classes", "c"]
    given = measure_conversion.build_parser().parse_args(
        [*words, "--images", "f", "--out", "o", "--settings", jobs.measure_settings(ridge)]
    )
    assert [name for name, *_ in given.source] == layout.sources
    assert [file for _, *files in given.source for file in files] == jobs.sources(ridge)
    assert jobs.drawn_options(ridge)[:2] == ["--source", layout.sources[0]]
    assert jobs.drawn_options(ridge)[2:] == jobs.drawn_files(ridge)


def test_the_tables_settings_hold_the_users_words_as_they_are() -> None:
    layout = layout_of(TINY, {"dataset": {"note": f"A note:\n{HOSTILE}"}})
    jobs = ConversionJobs(layout)
    table = parse_settings(ConversionTable, jobs.table_settings(None))
    assert table.notes[0] == f"A note: {HOSTILE}" and len(table.notes) == 2
    assert (table.translator, table.dataset) == (layout.config.sweep.translator, layout.config.dataset.name)
    figure = parse_settings(ConversionFigure, jobs.figure_settings(None))
    assert figure.classes == layout.config.conversion.classes
    assert json.loads(jobs.figure_settings(None))["translator"] == layout.config.sweep.translator
