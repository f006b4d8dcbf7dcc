"""Translators on real image/caption pairs of CLIP ViT-B/16: what 400 of them can and cannot teach."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from fieldguide.translators.conversion import paired_cosines

ROOT = Path(__file__).parents[2]
REAL = Path(os.environ.get("FIELDGUIDE_REAL_DATA") or ROOT.parent / "shared" / "real")
FILE = REAL / "coco_val500_clip_vitb16.safetensors"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not FILE.exists(), reason=f"no {FILE.name} in {REAL}; name its folder in FIELDGUIDE_REAL_DATA"),
]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The benchmark, whose folds these are."""
    spec = importlib.util.spec_from_file_location("conversion_real", ROOT / "benchmarks" / "conversion_real.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pairs_have_clips_modality_gap(script: ModuleType) -> None:
    pairs = script.read_real(FILE)
    assert pairs.texts.shape == pairs.images.shape == (500, 512)
    own, control = paired_cosines(pairs.texts, pairs.images, pairs.image_of)
    # Captions are nearer to each other than any of them is to its own image.
    among = np.mean(pairs.texts @ pairs.texts.T)
    assert control.mean() < own.mean() < 0.4 < among


def test_held_out_conversion_on_real_pairs(script: ModuleType) -> None:
    kinds = ("identity", "mean-shift", "covariance", "ridge", "memory")
    found = {
        kind: {n: np.mean(v) for n, v in m.items()}
        for kind, m in script.five_folds(script.read_real(FILE), kinds, 400).items()
    }
    # What is fitted comes nearer to the images than what is not, and the means are met.
    for kind in kinds[1:]:
        assert found[kind]["cosine"] > found["identity"]["cosine"] + 0.2
        assert found[kind]["centroid_distance"] < 0.4 * found["identity"]["centroid_distance"]
    assert found["covariance"]["covariance_distance"] < found["mean-shift"]["covariance_distance"]
    # Ridge and the memory shrink towards the mean image; matched covariances do not.
    assert found["ridge"]["variance_ratio"] < 0.5 < found["covariance"]["variance_ratio"]
    # 400 pairs are too few to tell an image from another better than CLIP itself does.
    assert found["identity"]["recall_1"] > 60
    assert max(found[kind]["recall_1"] for kind in kinds[1:]) < found["identity"]["recall_1"]
