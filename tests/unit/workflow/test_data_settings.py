"""The arguments of the jobs that make records: what each stage is given, and that it reads it with its own model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fieldguide.core.settings import parse_settings
from fieldguide.data.settings import ArchiveLimits, DownloadSettings, FolderSettings, ImageSelection, PairStageSettings
from fieldguide.workflow.data import DataJobs
from tests.unit.workflow.configurations import OWN_FEATURES, TINY, layout_of, wildcards

ODD = "a b='{x}' <x> ~ ü"
FOLDER = {
    "dataset": {
        "kind": "folder",
        "root": f"{ODD}/images",
        "splits": {"test": f"val {ODD}"},
        "leave_out": [f"{ODD}.jpg"],
    }
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the workflow runs: no archive is there."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_archives_that_are_missing_are_downloaded_as_configured(folder: Path) -> None:
    jobs = DataJobs(layout_of({"data": {"reed": {"by_hand": ODD, "md5": "0" * 32}}}))
    named = {"cub": "cub", "reed_captions": "reed"} | {key: key for key in ("coco_images", "coco_annotations")}
    assert jobs.missing_archives() == named
    given = parse_settings(DownloadSettings, jobs.download_settings("reed")(wildcards()))
    assert (given.by_hand, given.md5) == (ODD, "0" * 32) and given.urls == tuple(jobs.config.data.reed.urls)
    there = folder / jobs.config.data.cub.path
    there.parent.mkdir(parents=True)
    there.touch()
    assert "cub" not in jobs.missing_archives().values()


def test_what_a_stage_does_not_read_is_not_given_to_it() -> None:
    jobs = DataJobs(layout_of({"dataset": {"note": ODD}}))
    assert set(json.loads(jobs.image_settings(wildcards()))) == set(ImageSelection.model_fields)
    assert "note" not in jobs.image_settings(wildcards()) and "test_share" not in jobs.pair_settings(wildcards())


def test_limits_of_an_archive_go_with_it() -> None:
    jobs = DataJobs(
        layout_of(
            {"data": {"reed": {"max_gb": 0.5}, "coco_images": {"max_files": 7}, "coco_annotations": {"max_gb": 2}}}
        )
    )
    assert parse_settings(ArchiveLimits, jobs.unpack_settings(wildcards(archive="reed"))).max_gb == 0.5
    pairs = parse_settings(PairStageSettings, jobs.pair_settings(wildcards()))
    assert (pairs.image_limits.max_files, pairs.annotation_limits.max_gb) == (7, 2)
    assert (pairs.split, pairs.images, pairs.seed) == (jobs.config.pairs.split, jobs.config.pairs.images, 0)


def test_a_folder_gets_its_splits_and_its_table() -> None:
    jobs = DataJobs(layout_of(FOLDER))
    settings = parse_settings(FolderSettings, jobs.image_settings(wildcards()))
    assert settings.splits.test == f"val {ODD}" and settings.leave_out == (f"{ODD}.jpg",)
    assert jobs.image_root(wildcards()) == f"{ODD}/images" and jobs.table_words(wildcards()) == []
    jobs = DataJobs(layout_of({"dataset": {**FOLDER["dataset"], "table": f"{ODD}.csv"}}))
    assert jobs.table_words(wildcards()) == ["--table", f"{ODD}.csv"]


def test_the_users_files_of_features_are_words_of_their_own() -> None:
    files = {"images": {"path": f"{ODD}.npy", "labels": "labels = x.txt"}, "class_names": f"{ODD}.txt"}
    jobs = DataJobs(layout_of(OWN_FEATURES, {"dataset": {**files, "name": "mine", "kind": "features"}}))
    assert jobs.feature_words(wildcards()) == [
        *("--features", "all", f"{ODD}.npy"),
        *("--labels", "all", "labels = x.txt"),
        *("--class-names", f"{ODD}.txt"),
    ]
    assert jobs.feature_files(wildcards()) == []


def test_the_aviary_renders_its_archives() -> None:
    jobs = DataJobs(layout_of(TINY))
    assert jobs.archive(wildcards(archive="reed")).endswith("/raw/reed_text_c10.tgz")
    assert jobs.pair_images().endswith("/raw/train2017.zip")
