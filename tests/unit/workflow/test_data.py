"""Arguments of the jobs that make records."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fieldguide.core.errors import FieldguideError
from fieldguide.workflow.data import DataJobs
from tests.unit.workflow.configurations import OWN_FEATURES, TINY, layout_of, wildcards

FOLDER = {"dataset": {"kind": "folder", "root": "photos", "splits": {"train": "my train"}}}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_archives_are_rendered_or_the_users() -> None:
    rendered, own = DataJobs(layout_of(TINY)), DataJobs(layout_of())
    assert rendered.archive(wildcards(archive="reed")) == "results/tiny/raw/reed_text_c10.tgz"
    assert rendered.pair_images() == "results/tiny/raw/train2017.zip"
    assert rendered.pair_annotations() == "results/tiny/raw/annotations_trainval2017.zip"
    assert own.archive(wildcards(archive="cub")) == "data/CUB_200_2011.tgz"
    assert own.pair_images() == "data/train2017.zip"


def test_only_what_is_missing_is_downloaded() -> None:
    jobs = DataJobs(layout_of())
    assert jobs.missing_archives() == {
        "cub": "cub",
        "reed_captions": "reed",
        "coco_images": "coco_images",
        "coco_annotations": "coco_annotations",
    }
    Path("data").mkdir()
    Path("data/CUB_200_2011.tgz").touch()
    assert "cub" not in jobs.missing_archives()
    assert len(jobs.download_paths()) == 3 and DataJobs(layout_of(TINY)).download_paths() == []
    assert json.loads(jobs.download_settings("cub")(None))["md5"] == jobs.config.data.cub.md5
    with pytest.raises(FieldguideError, match=r"data\.cub\.path"):
        DataJobs(layout_of({"data": {"cub": {"path": "a{x}.tgz"}}})).download_paths()


def test_a_stage_gets_its_own_part_of_the_configuration() -> None:
    jobs = DataJobs(layout_of({"dataset": {"leave_out": ["a.jpg"]}, "pairs": {"images": 7}}))
    assert json.loads(jobs.image_settings(None))["leave_out"] == ["a.jpg"]
    pairs = json.loads(jobs.pair_settings(None))
    assert pairs["images"] == 7 and pairs["image_limits"]["max_gb"] == 40 and "test_share" not in pairs
    assert json.loads(jobs.unpack_settings(wildcards(archive="cub"))) == {"max_gb": 3.0, "max_files": 100000}


def test_the_aviarys_stages() -> None:
    jobs = DataJobs(layout_of(TINY))
    assert json.loads(jobs.aviary_settings(None))["pair_images"] == 60
    assert json.loads(jobs.species_settings(None)) == {"seed": 0, "species": 6}


def test_folders_that_hold_images_are_inputs_where_they_are_there() -> None:
    jobs = DataJobs(layout_of(FOLDER))
    assert jobs.image_folders(None) == []
    for folder in ("my train/{x}", "my train/cep/deeper", "test/cep", "test/.hidden", os.fsdecode(b"test/caf\xe9")):
        Path("photos", folder).mkdir(parents=True)
    Path("photos/test/cep/back").symlink_to(Path("photos").resolve())
    found = jobs.image_folders(None)
    plain = ["photos", "photos/my train", "photos/my train/cep", "photos/my train/cep/deeper", "photos/test"]
    assert [folder for folder in found if folder.startswith("photos")] == [*plain, "photos/test/cep"]
    assert all("{" not in folder for folder in found) and len(found) == 7
    assert jobs.image_table(None) == []


def test_files_of_features_are_inputs_where_they_are_there() -> None:
    jobs = DataJobs(layout_of(OWN_FEATURES))
    assert jobs.feature_files(None) == []
    Path("clip.npz").touch()
    assert jobs.feature_files(None) == ["clip.npz"]
