"""The aviary is worth running: hard enough that three photographs of a class are too few, easy enough to be learnt."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fieldguide.adapters.cells import draw_runs
from fieldguide.adapters.linear import accuracy, fit, random_start
from fieldguide.adapters.plans import Drawer, images_kept
from fieldguide.aviary import render_aviary
from fieldguide.core.files import read_csv
from fieldguide.data import index_images, unpack_archive
from fieldguide.features import encode_images, encode_texts
from fieldguide.features.labelled import read_images, read_split
from fieldguide.features.store import read_features
from fieldguide.texts import index_captions
from tests.tiny_data import as_settings

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
CLIP = as_settings(model=f"local-dir:{ROOT / 'workflow/resources/aviary-clip'}", pretrained="", precision="fp32")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The aviary of config/aviary.yaml with a smaller test set, as far as image and caption features."""
    folder = tmp_path_factory.mktemp("aviary")
    classes = {"seed": 0, "species": 48, "train_per_class": 30, "test_per_class": 16}
    pairs = {"pair_images": 4, "captions_per_pair_image": 5, "bird_share": 0.1}
    render_aviary.main(["--settings", json.dumps(classes | pairs), "--out", str(folder), "--workers", "1"])
    for archive, top in (("CUB_200_2011", "CUB_200_2011"), ("reed_text_c10", "text_c10")):
        archived = ("--archive", str(folder / f"{archive}.tgz"))
        unpack_archive.main([*archived, "--folder", top, "--out", str(folder / top)])
    records = ("--images-out", str(folder / "images.csv"), "--classes-out", str(folder / "classes.csv"))
    index_images.main(["--root", str(folder / "CUB_200_2011"), *records])
    tables = ("--images", str(folder / "images.csv"), "--classes", str(folder / "classes.csv"))
    index_captions.main(["--root", str(folder / "text_c10"), *tables, "--out", str(folder / "reed.csv")])
    stored = ("--images", str(folder / "CUB_200_2011"), "--records", str(folder / "images.csv"))
    encode_images.main([*CLIP, *stored, "--out", str(folder / "images.safetensors")])
    encode_texts.main([*CLIP, "--texts", str(folder / "reed.csv"), "--out", str(folder / "reed.safetensors")])
    return folder


def test_three_photographs_of_a_class_are_too_few_and_the_recipe_is_a_probe(world: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    images = read_images(world / "images.csv")
    train, labels, _ = read_split(world / "images.safetensors", images, images.train_rows)
    test, truth, _ = read_split(world / "images.safetensors", images, images.test_rows)
    drawer = Drawer(images.train_labels, "class-wise")
    probe, recipe = {}, {}
    for percent, c in ((100, 10), (10, 100)):
        scores = []
        for seed in (0, 1, 2):
            rows = drawer.order(seed)[: images_kept(percent, len(labels))]
            fitted = LogisticRegression(C=c, max_iter=1000).fit(train[rows], labels[rows])
            scores.append(fitted.score(test, truth) * 100)
        probe[percent] = float(np.mean(scores))
        runs = draw_runs(drawer, percent, None, "fixed", (0, 1, 2), steps=400, batch=256)
        start = random_start(len(images.class_ids), train.shape[1], (0, 1, 2))
        adapter = fit(train, labels, runs.rows, start, [0.03] * 3, [0.1] * 3)
        recipe[percent] = float(accuracy(adapter, test, truth).mean())
    assert 70 <= probe[100] <= 92, probe
    assert probe[100] - probe[10] >= 8, probe
    for percent in (100, 10):  # the smaller test set here blurs it by about a point
        assert abs(probe[percent] - recipe[percent]) < 2, (probe, recipe)


def test_captions_name_species_far_above_chance_and_far_below_images(world: Path) -> None:
    images = read_images(world / "images.csv")
    test, truth, _ = read_split(world / "images.safetensors", images, images.test_rows)
    rows = read_csv(world / "reed.csv", ("class_id", "text"))
    features, _ = read_features(world / "reed.safetensors", [row["text"] for row in rows])
    texts = features["pooled"][features["rows"]]
    number = {class_id: i for i, class_id in enumerate(images.class_ids)}
    owner = np.array([number[row["class_id"]] for row in rows])
    means = np.stack([texts[owner == c].mean(0) for c in range(len(number))])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    score = float(((test @ means.T).argmax(1) == truth).mean() * 100)
    assert 25 < score < 70, score  # chance is 2
    gap = np.linalg.norm(test.mean(0) - texts.mean(0))
    assert gap > 0.3  # images and texts lie apart, as in CLIP
