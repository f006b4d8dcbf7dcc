"""Arguments of the jobs that encode."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

from fieldguide.workflow.features import FeatureJobs
from tests.unit.workflow.configurations import TINY, layout_of, wildcards


def test_a_backbone_is_downloaded_unless_it_is_on_this_disk() -> None:
    own, local = FeatureJobs(layout_of()), FeatureJobs(layout_of(TINY))
    (manifest,) = own.manifest()
    assert manifest.startswith("data/backbones/ViT-L-14-openai_") and own.offline() == "HF_HUB_OFFLINE=1"
    assert local.manifest() == [] and local.offline() == ""
    # CLIP's own tokenizer comes along with open_clip; a local folder has its own.
    assert own.tokenizer_manifest() == own.tokenizer_files(None) == []
    assert any(path.endswith(".json") for path in local.tokenizer_files(None))


def test_the_cache_is_the_folder_of_the_manifest() -> None:
    jobs = FeatureJobs(layout_of())
    assert jobs.cache(None, SimpleNamespace(backbone=["my cache/x.json"])) == "my cache"
    assert jobs.cache(None, SimpleNamespace(backbone=[])) == ""


def test_images_and_texts_are_those_of_the_data_set_or_the_pairs() -> None:
    jobs = FeatureJobs(layout_of())
    dataset, pairs = wildcards(images="dataset"), wildcards(images="pairs")
    assert jobs.image_store(dataset) == "results/cub/unpacked/cub" and jobs.image_store(pairs) == "data/train2017.zip"
    assert Path(jobs.image_records(dataset)).name == "images.csv"
    assert Path(jobs.image_records(pairs)).name == "pairs.csv"
    assert jobs.text_table(wildcards(texts="reed")) == "results/cub/texts/reed.csv"
    assert jobs.text_table(wildcards(texts="pairs")) == "results/cub/records/pairs.csv"
    assert [jobs.text_column(wildcards(texts=name)) for name in ("pairs", "reed")] == ["caption", "text"]
    folder = FeatureJobs(layout_of({"dataset": {"kind": "folder", "root": "photos"}}))
    assert folder.image_store(dataset) == "photos"


def test_encoders_get_the_backbone_and_their_batch() -> None:
    jobs = FeatureJobs(layout_of({"backbone": {"image_batch": 8, "text_batch": 16}}))
    images, texts = json.loads(jobs.image_settings(None)), json.loads(jobs.text_settings(None))
    assert images == {"model": "ViT-L-14", "pretrained": "openai", "precision": "fp32", "batch": 8}
    given = FeatureJobs(layout_of({"backbone": {"preprocessing": {"mean": [0, 0.5, 1], "interpolation": "bilinear"}}}))
    said = json.loads(given.text_settings(None))["preprocessing"]
    assert said == {"mean": [0.0, 0.5, 1.0], "interpolation": "bilinear"}
    assert given.layout.backbone != jobs.layout.backbone, "other features"
    assert given.manifest() == jobs.manifest(), "the same download"
    assert texts == {**images, "batch": 16}
    assert json.loads(jobs.download_settings(None))["sha256"] == ""
