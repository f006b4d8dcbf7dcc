"""The field's methods on real CLIP features of 24 pet breeds: few images, one text feature a class."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from fieldguide.adapters.linear import accuracy
from fieldguide.adapters.plans import FixedDrawer, TextPool
from fieldguide.adapters.recipes.registry import RECIPES
from fieldguide.adapters.recipes.task import Task, Texts, normalise
from fieldguide.adapters.tuning import cross_validate
from fieldguide.core.arrays import Floats, Ints

ROOT = Path(__file__).parents[2]
REAL = Path(os.environ.get("FIELDGUIDE_REAL_DATA") or ROOT.parent / "shared" / "real")
FILE = REAL / "pets24_clip_vitb32.safetensors"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not FILE.exists(), reason=f"no {FILE.name} in {REAL}; name its folder in FIELDGUIDE_REAL_DATA"),
]


@pytest.fixture(scope="module")
def arrays() -> dict[str, Floats]:
    return {
        name: array if "labels" in name else normalise(array.astype(np.float32))
        for name, array in load_file(FILE).items()
    }


def make_task(arrays: dict[str, Floats], each: int, text: Floats) -> Task:
    """The first `each` images of every class, and all texts."""
    labels: Ints = arrays["train_labels"].astype(np.int64)
    classes = np.arange(len(text))
    rows = np.concatenate([np.flatnonzero(labels == label)[:each] for label in classes])
    texts = Texts(classes, TextPool(by_class=tuple(classes[:, None])), text, text)
    drawer = FixedDrawer(labels, rows, classes)
    return Task(arrays["train"], labels, len(text), texts, drawer, 50, (0,), amount=100, batch=256)


def score(recipe: str, task: Task, arrays: dict[str, Floats]) -> float:
    """Test accuracy of the trial that cross-validation within the task's own images chooses."""
    trials = RECIPES[recipe].load().trials(6)
    right, judged = cross_validate(task, 0, recipe, trials)
    assert judged == len(task.draw(0)[0])
    fitted = RECIPES[recipe].load().fit(task, [trials[int(right.argmax())]])
    return float(accuracy(fitted.classifier, arrays["test"], arrays["test_labels"])[0])


@pytest.mark.parametrize("recipe", ["zs-text+gda", "proker", "lp++", "clap", "tip-adapter-f"])
def test_four_images_do_not_take_from_good_text_and_mend_wrong_text(recipe: str, arrays: dict[str, Floats]) -> None:
    swapped = arrays["text"][np.where(np.arange(24) < 12, np.roll(np.arange(24), 12), np.arange(24))]
    truth = arrays["test_labels"]
    zero_shot = [((arrays["test"] @ text.T).argmax(1) == truth).mean() * 100 for text in (arrays["text"], swapped)]
    assert zero_shot[0] == pytest.approx(93, abs=0.2) and zero_shot[1] < 60
    assert score(recipe, make_task(arrays, 4, arrays["text"]), arrays) > zero_shot[0] - 1
    assert score(recipe, make_task(arrays, 4, swapped), arrays) > zero_shot[1]


def test_zero_shot_with_gda_adds_three_points_at_twenty_images(arrays: dict[str, Floats]) -> None:
    assert score("zs-text+gda", make_task(arrays, 20, arrays["text"]), arrays) > 95.5
