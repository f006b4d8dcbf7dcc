"""The arguments of the jobs that encode."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldguide.core.settings import parse_settings
from fieldguide.features.settings import BackboneDownload, EncoderSettings
from fieldguide.workflow.features import FeatureJobs
from tests.unit.workflow.configurations import ROOT, TINY, layout_of, wildcards


def test_encoders_are_given_the_backbone_and_their_own_batch() -> None:
    jobs = FeatureJobs(layout_of({"backbone": {"image_batch": 7, "text_batch": "auto", "precision": "bf16"}}))
    images = parse_settings(EncoderSettings, jobs.image_settings(wildcards()))
    texts = parse_settings(EncoderSettings, jobs.text_settings(wildcards()))
    assert (images.batch, texts.batch) == (7, "auto")
    assert images.model == texts.model == jobs.config.backbone.model and images.precision == "bf16"


def test_a_local_backbone_is_found_from_any_folder_and_never_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    jobs = FeatureJobs(layout_of(TINY))
    given = parse_settings(EncoderSettings, jobs.image_settings(wildcards()))
    assert given.model == f"local-dir:{ROOT / 'workflow/resources/aviary-clip'}"
    assert jobs.manifest() == [] and jobs.offline() == ""


def test_a_named_backbone_is_downloaded_with_its_checksum() -> None:
    jobs = FeatureJobs(layout_of({"backbone": {"sha256": "a" * 64}}))
    assert parse_settings(BackboneDownload, jobs.download_settings(wildcards())).sha256 == "a" * 64
    assert len(jobs.manifest()) == 1 and jobs.offline() == "HF_HUB_OFFLINE=1"


def test_tables_and_columns_of_texts() -> None:
    jobs = FeatureJobs(layout_of())
    assert (
        jobs.text_column(wildcards(texts="pairs")) == "caption" and jobs.text_column(wildcards(texts="reed")) == "text"
    )
    assert jobs.text_table(wildcards(texts="pairs")) == jobs.layout.pair_records
