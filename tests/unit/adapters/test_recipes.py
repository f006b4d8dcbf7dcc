"""Every recipe against an independent implementation or a hand-worked case, and none of them sees the test images."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid

from fieldguide.adapters import train_adapter, tune_adapter
from fieldguide.adapters.corruptions import random_directions, swap_classes, swap_texts
from fieldguide.adapters.plans import Drawer, TextPool
from fieldguide.adapters.recipes import anchored, cross_modal, gda, logistic_regression, text_prior, tip_adapter
from fieldguide.adapters.recipes.cache import Cache
from fieldguide.adapters.recipes.registry import RECIPES
from fieldguide.adapters.recipes.softmax import fit_softmax, loss_and_gradient
from fieldguide.adapters.recipes.task import Task, Texts, grid, normalise, spread, text_weights
from fieldguide.core.arrays import Floats, Ints
from fieldguide.core.files import read_json, write_csv
from fieldguide.data.records import IMAGE_COLUMNS
from tests.tiny_data import refusal
from tests.unit.planted_features import World, cell_options, write_world

CLASSES, WIDTH, PER_CLASS, TEXTS_PER_CLASS = 5, 12, 8, 6


def around(directions: Floats, labels: Ints, noise: float, seed: int) -> Floats:
    drawn = directions[labels] + noise * np.random.default_rng(seed).normal(size=(len(labels), directions.shape[1]))
    return normalise(drawn).astype(np.float32)


def make_task(percent: int, with_texts: bool = True, seeds: tuple[int, ...] = (0, 1), noise: float = 0.25) -> Task:
    """Images around a direction per class, texts around the same and beside them all by a modality gap."""
    rng = np.random.default_rng(5)
    directions = normalise(rng.normal(size=(CLASSES, WIDTH))).astype(np.float32)
    labels = rng.permutation(np.repeat(np.arange(CLASSES), PER_CLASS))
    text_labels = np.repeat(np.arange(CLASSES), TEXTS_PER_CLASS)
    translated = around(directions, text_labels, noise, 1)
    raw = normalise(around(directions, text_labels, noise, 2) + 0.4).astype(np.float32)
    pool = TextPool(by_class=tuple(np.flatnonzero(text_labels == c) for c in range(CLASSES)))
    texts = Texts(text_labels, pool, translated, raw) if with_texts else None
    images = around(directions, labels, noise, 3)
    return Task(images, labels, CLASSES, texts, Drawer(labels, "class-wise"), percent, seeds, amount=40, batch=10)


def query() -> Floats:
    """Unit features to be classified."""
    return normalise(np.random.default_rng(9).normal(size=(200, WIDTH))).astype(np.float32)


def only(task: Task, kind: str) -> Task:
    """The task with one kind of text features, as train_adapter hands them over."""
    assert task.texts is not None
    other = {"raw": "translated", "translated": "raw"}[kind]
    return dataclasses.replace(task, texts=dataclasses.replace(task.texts, **{other: None}))


def setting_of(recipe: str) -> dict[str, float]:
    module = RECIPES[recipe].load()
    if not RECIPES[recipe].tuned:
        return {}
    return module.trials(1)[0] if hasattr(module, "trials") else {"learning_rate": 0.1, "weight_decay": 0.0}


# What holds for all


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("count", [1, 2, 6, 12])
def test_every_recipe_has_as_many_trials(recipe: str, count: int) -> None:
    module = RECIPES[recipe].load()
    if not RECIPES[recipe].tuned or recipe == "thesis":
        return
    found = module.trials(count)
    assert len(found) == count == len({tuple(trial.items()) for trial in found})
    assert all(trial.keys() == found[0].keys() and min(trial.values()) > 0 for trial in found)


def test_grids_by_hand() -> None:
    assert spread(1, 100, 3) == pytest.approx([1, 10, 100]) and spread(1, 100, 1) == pytest.approx([10])
    found = np.array([(t["a"], t["b"]) for t in grid(6, ("a", 1, 4), ("b", 1, 100))])
    np.testing.assert_allclose(found, [(1, 1), (1, 10), (1, 100), (4, 1), (4, 10), (4, 100)])


@pytest.mark.parametrize("recipe", RECIPES)
def test_trials_are_the_same_alone_and_depend_on_the_setting(recipe: str) -> None:
    line = RECIPES[recipe]
    task = make_task(50 if not line.prompts else 0, with_texts=bool(line.texts))
    if line.texts and len(line.texts) == 1:
        task = only(task, line.texts[0])
    module = line.load()
    trials = module.trials(2) if hasattr(module, "trials") else [setting_of(recipe)] * 2
    both = module.fit(task, trials).classifier.tensors()
    for number, trial in enumerate(trials):
        alone = module.fit(task, [trial]).classifier.tensors()
        for name, tensor in alone.items():
            np.testing.assert_allclose(both[name][number * 2 : number * 2 + 2], tensor, rtol=2e-2, atol=2e-2)
    if hasattr(module, "trials"):
        assert any(np.abs(tensor[:2] - tensor[2:]).max() > 1e-6 for tensor in both.values())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return write_world(tmp_path, spread=0.35)


def argv(world: World, recipe: str, *options: str, **settings: Any) -> list[str]:
    line = RECIPES[recipe]
    given = [*options, *(["--tuning", str(world.folder / "own.json")] if line.tuned else [])]
    given += world.source_options("llm", recipe) if line.texts and "--source" not in options else []
    own = {"recipe": recipe, "ratio": 0 if line.prompts else 50, "amount": 20, "translator": "qformer"}
    return cell_options(world, "cell", *given, **own | settings)


def tuning_argv(world: World, recipe: str, *options: str) -> list[str]:
    settings = {"recipe": recipe, "learning_rates": [0.01, 0.1], "weight_decays": [0], "budget": "steps", "amount": 20}
    settings |= {"batch": 20, "validation": 0.2, "tuning_seeds": 1}
    words = ["--records", world.records, "--images", world.images, "--settings", json.dumps(settings)]
    return [str(word) for word in (*words, *options, "--out", world.folder / "own.json")]


def tuned(world: World, recipe: str) -> dict[str, Any]:
    """Tune a recipe as the workflow does, to own.json."""
    recipe = RECIPES[recipe].tuned_as or recipe
    sources = [word for name in ("reed", "llm") for word in world.source_options(name, recipe)]
    tune_adapter.main(tuning_argv(world, recipe, *(sources if RECIPES[recipe].texts else [])))
    found: dict[str, Any] = read_json(world.folder / "own.json")
    return found


@pytest.mark.parametrize("recipe", RECIPES)
def test_test_labels_change_nothing_but_the_accuracy(world: World, recipe: str) -> None:
    told = tuned(world, recipe) if RECIPES[recipe].tuned else {}
    train_adapter.main(argv(world, recipe))
    before, weights = read_json(world.folder / "cell.json"), (world.folder / "cell.safetensors").read_bytes()
    rows = world.rows()
    for row in rows:
        if row["split"] == "test":
            row["class_id"] = str(int(row["class_id"]) % 4 + 1)
    write_csv(world.records, IMAGE_COLUMNS, rows)
    assert (tuned(world, recipe) if RECIPES[recipe].tuned else {}) == told
    train_adapter.main(argv(world, recipe))
    after = read_json(world.folder / "cell.json")
    assert (world.folder / "cell.safetensors").read_bytes() == weights
    assert min(before["accuracy"]) > 50 > max(after["accuracy"])
    del before["accuracy"], after["accuracy"]
    assert before == after and before["recipe"] == recipe


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_cell_of_every_recipe_says_what_it_is(world: World, recipe: str) -> None:
    line = RECIPES[recipe]
    setting = tuned(world, recipe) if line.tuned else {}
    train_adapter.main(argv(world, recipe))
    cell = read_json(world.folder / "cell.json")
    assert cell["recipe"] == recipe and cell["text_source"] == ("llm" if line.texts else "none")
    assert cell["translator"] == ("qformer" if line.translates else "none")
    assert cell["distinct_images"] == [0 if line.module == "zero_shot" else 20] * 3
    assert all(cell["config"][name] == setting[name] for name in setting_of(recipe))
    by_budget, own_length = ("thesis", "cross-modal", "clap"), ("lp++", "tip-adapter-f")
    assert (cell["optimiser_steps"] > 0) == (recipe in by_budget + own_length)
    assert ("batch" in cell["config"]) == (recipe in by_budget)
    assert (cell["tune"], cell["tuning_labels"]) == (("once", 40) if line.tuned else ("none", 0))
    train_adapter.main(argv(world, recipe))
    assert read_json(world.folder / "cell.json") == cell


def test_what_a_recipe_cannot_do_is_refused(world: World) -> None:
    assert "recipe 'gda' has no epochs: it needs redraw: fixed" in refusal(
        train_adapter.main, *argv(world, "gda", redraw="per-epoch")
    )
    translated = world.source_options("llm")
    assert "recipe anchored-image-only takes no text" in refusal(
        train_adapter.main, *argv(world, "anchored-image-only", *translated)
    )
    assert "recipe zs-text needs raw text features too" in refusal(
        train_adapter.main, *argv(world, "zs-text", *translated)
    )
    untuned = argv(world, "gda")
    for word in ("--tuning", str(world.folder / "own.json"), "--tuning", str(world.tuning)):
        untuned.remove(word)
    assert "recipe gda needs --tuning" in refusal(train_adapter.main, *untuned)
    tuned(world, "gda")
    assert "own.json: lacks c; it was not made for logistic-regression" in refusal(
        train_adapter.main, *argv(world, "logistic-regression")
    )
    assert "recipe tip-adapter needs a text source" in refusal(tune_adapter.main, *tuning_argv(world, "tip-adapter"))
    assert "zs-text has nothing to choose" in refusal(tune_adapter.main, *tuning_argv(world, "zs-text"))


# One by one


def test_zero_shot_is_the_class_of_the_nearest_text_mean() -> None:
    for kind, recipe in (("raw", "zs-text"), ("translated", "zs-translated")):
        task = only(make_task(50), kind)
        fitted = RECIPES[recipe].load().fit(task, [{}])
        for run, seed in enumerate(task.seeds):
            assert task.texts is not None
            _, told = task.draw(seed)
            features = getattr(task.texts, kind)[told]
            means = np.stack([features[task.texts.labels[told] == c].mean(0) for c in range(CLASSES)])
            cosines = query() @ (means / np.linalg.norm(means, axis=1)[:, None]).T
            np.testing.assert_array_equal(fitted.classifier.predict(query())[run], cosines.argmax(1))
        assert fitted.distinct_images == [0, 0]


def test_nearest_class_mean_is_nearest_centroid_of_unit_means() -> None:
    task = only(make_task(50), "translated")
    found = RECIPES["nearest-class-mean"].load().fit(task, [{}]).classifier
    for run, seed in enumerate(task.seeds):
        images, told = task.draw(seed)
        assert task.texts is not None and task.texts.translated is not None
        x = np.concatenate([task.images[images], task.texts.translated[told]])
        y = np.concatenate([task.labels[images], task.texts.labels[told]])
        judge = NearestCentroid().fit(x, y)
        judge.centroids_ /= np.linalg.norm(judge.centroids_, axis=1, keepdims=True)
        np.testing.assert_array_equal(found.predict(query())[run], judge.predict(query()))


@pytest.mark.parametrize("shrinkage", [0.05, 0.5])
def test_gda_is_linear_discriminant_analysis(shrinkage: float) -> None:
    task = make_task(100, with_texts=False, seeds=(0,))
    x, y = task.images, task.labels
    found = RECIPES["gda"].load().fit(task, [{"shrinkage": shrinkage, "text_weight": 1.0}]).classifier
    # scikit-learn shrinks the covariance of standardised features: with equal variances the two are one.
    judge = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=Shrunk(shrinkage))
    judge.fit(x, y)
    np.testing.assert_array_equal(found.predict(query())[0], judge.predict(query()))


class Shrunk:
    """A covariance estimator for scikit-learn: (1 - a) S + a tr(S) / D I, by hand."""

    def __init__(self, shrinkage: float) -> None:
        self.shrinkage = shrinkage

    def fit(self, x: Floats) -> Shrunk:
        s = np.cov(x.T, bias=True)
        self.covariance_ = (1 - self.shrinkage) * s + self.shrinkage * np.trace(s) / len(s) * np.eye(len(s))
        return self


def test_gda_at_the_shrinkage_of_its_paper_is_the_papers_closed_form() -> None:
    """W = S^-1 mu and b = -mu' S^-1 mu / 2 with S^-1 = D ((N - 1) S + tr(S) I)^-1, up to one factor of all logits."""
    task = make_task(100, with_texts=False, seeds=(0,))
    x, n = task.images.astype(np.float64), len(task.images)
    weight, bias = gda.gaussian(task.images, task.labels, CLASSES, WIDTH / (n - 1 + WIDTH))
    means = np.stack([x[task.labels == c].mean(0) for c in range(CLASSES)])
    s = np.cov((x - means[task.labels]).T, bias=True)
    inverse = WIDTH * np.linalg.inv((n - 1) * s + np.trace(s) * np.eye(WIDTH))
    theirs = means @ inverse
    factor = float((weight * theirs).sum() / (theirs * theirs).sum())
    np.testing.assert_allclose(weight, factor * theirs, rtol=1e-3, atol=1e-3 * np.abs(weight).max())
    np.testing.assert_allclose(bias, -factor * (theirs * means).sum(1) / 2, rtol=1e-3)


def test_gda_adds_the_texts_logits() -> None:
    task, alone = only(make_task(50, seeds=(1,)), "raw"), make_task(50, with_texts=False, seeds=(1,))
    setting = {"shrinkage": 0.3, "text_weight": 0.2}
    mixed = gda.fit(task, [setting]).classifier.tensors()
    plain = gda.fit(alone, [setting]).classifier.tensors()
    assert task.texts is not None and task.texts.raw is not None
    told = task.draw(1)[1]
    added = 100 * 0.2 * text_weights(task.texts.raw[told], task.texts.labels[told], CLASSES)
    np.testing.assert_allclose(mixed["weight"] - plain["weight"], added[None], atol=1e-3)
    np.testing.assert_array_equal(mixed["bias"], plain["bias"])


def test_gda_of_one_image_per_class_has_no_spread() -> None:
    x = np.eye(3, 4, dtype=np.float32)
    weight, bias = gda.gaussian(x, np.arange(3), 3, 0.5)
    assert np.isfinite(weight).all() and (x @ weight.T + bias).argmax(1).tolist() == [0, 1, 2]


def test_tip_adapter_is_its_formula() -> None:
    task = only(make_task(50, seeds=(1,)), "raw")
    cache = tip_adapter.fit(task, [{"alpha": 3.0, "beta": 5.0}]).classifier
    images, told = task.draw(1)
    assert task.texts is not None and task.texts.raw is not None and isinstance(cache, Cache)
    weight = text_weights(task.texts.raw[told], task.texts.labels[told], CLASSES)
    expected = np.zeros((len(query()), CLASSES))
    for row, x in enumerate(query()):
        for c in range(CLASSES):
            near = [np.exp(-5.0 * (1 - x @ task.images[i])) for i in images if task.labels[i] == c]
            expected[row, c] = 100 * x @ weight[c] + 3.0 * sum(near)
    np.testing.assert_allclose(cache.logits(0, query()), expected, rtol=1e-4, atol=1e-3)


def test_tip_adapter_without_images_is_zero_shot() -> None:
    task = only(make_task(0), "raw")
    ours = tip_adapter.fit(task, [{"alpha": 3.0, "beta": 5.0}]).classifier.predict(query())
    np.testing.assert_array_equal(ours, RECIPES["zs-text"].load().fit(task, [{}]).classifier.predict(query()))


def test_logistic_regression_is_scikit_learns_on_the_mix() -> None:
    task = only(make_task(50, seeds=(1,)), "translated")
    found = logistic_regression.fit(task, [{"c": 10.0}]).classifier
    images, told = task.draw(1)
    assert task.texts is not None and task.texts.translated is not None
    x = np.concatenate([task.images[images], task.texts.translated[told]])
    y = np.concatenate([task.labels[images], task.texts.labels[told]])
    judge = LogisticRegression(C=10.0, max_iter=2000).fit(x, y)
    np.testing.assert_array_equal(found.predict(query())[0], judge.predict(query()))


def test_logistic_regression_of_two_classes_and_of_a_class_without_examples() -> None:
    x = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]], np.float32)
    weight, bias = logistic_regression.fit_one(x, np.array([2, 2, 0, 0]), 3, 10.0)
    assert (x @ weight.T + bias).argmax(1).tolist() == [2, 2, 0, 0]


def test_cross_modal_batches_are_half_images_half_texts_of_the_cell() -> None:
    task = only(make_task(50, seeds=(1,)), "raw")
    images, told = task.draw(1)
    rows = cross_modal.draw_halves(task, 1, 40)
    assert rows.shape == (40, 10)
    assert set(rows[:, :5].ravel()) == set(images)
    assert set(rows[:, 5:].ravel()) == {len(task.labels) + t for t in told}
    # One pass after the other: each image as often as the others, give or take one.
    assert np.ptp(np.unique(rows[:, :5], return_counts=True)[1]) <= 1
    empty = dataclasses.replace(task, percent=0)
    assert (cross_modal.draw_halves(empty, 1, 40) >= len(task.labels)).all()


def test_cross_modal_is_torchs_adamw_from_the_zero_shot_start() -> None:
    import torch

    task = only(make_task(50, seeds=(1,)), "raw")
    setting = {"learning_rate": 1e-3, "weight_decay": 0.01}
    fitted = cross_modal.fit(task, [setting])
    assert task.texts is not None and task.texts.raw is not None
    told = task.draw(1)[1]
    layer = torch.nn.Linear(WIDTH, CLASSES, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(text_weights(task.texts.raw[told], task.texts.labels[told], CLASSES)))
    optimiser = torch.optim.AdamW(layer.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 0.5 * (1 + np.cos(np.pi * step / 40)))
    table = np.concatenate([task.images, task.texts.raw])
    labels = np.concatenate([task.labels, task.texts.labels])
    for batch in cross_modal.draw_halves(task, 1, fitted.steps):
        optimiser.zero_grad()
        logits = 100 * layer(torch.from_numpy(table[batch]))
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels[batch])).backward()
        optimiser.step()
        schedule.step()
    tensors = fitted.classifier.tensors()
    np.testing.assert_allclose(tensors["weight"][0], layer.weight.detach().numpy(), atol=2e-4)
    assert not tensors["bias"].any()


# The anchored recipe


def direct_loss(weight: Any, x: Any, labels: Ints, anchor: Any, strength: float) -> float:
    return float(-log_softmax(x @ weight.T, axis=1)[np.arange(len(x)), labels].sum()) + strength / 2 * float(
        ((weight - anchor) ** 2).sum()
    )


@given(st.integers(1, 3), st.integers(2, 9), st.integers(2, 5), st.integers(1, 6), st.integers(0, 10**6))
def test_loss_and_gradient_are_the_definitions(runs: int, size: int, classes: int, width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, labels = rng.normal(size=(size, width)), rng.integers(0, classes, size)
    weight, anchor = 2 * rng.normal(size=(2, runs, classes, width))
    strength = rng.uniform(0.1, 5, runs)
    onehot = np.eye(classes)[labels]
    losses, gradient = loss_and_gradient(*(a.astype(np.float32) for a in (x, onehot, weight, anchor, strength)))
    for run in range(runs):
        expected = direct_loss(weight[run], x, labels, anchor[run], strength[run])
        assert losses[run] == pytest.approx(expected, rel=1e-4, abs=1e-4)
        by_hand = (softmax(x @ weight[run].T, axis=1) - onehot).T @ x + strength[run] * (weight[run] - anchor[run])
        np.testing.assert_allclose(gradient[run], by_hand, rtol=1e-3, atol=1e-3)
        step = 1e-5 * rng.normal(size=weight[run].shape)
        up, down = (direct_loss(weight[run] + s * step, x, labels, anchor[run], strength[run]) for s in (1, -1))
        assert (up - down) / 2 == pytest.approx(float((by_hand * step).sum()), rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("size", [6, 60], ids=["fewer examples than width", "more"])
def test_the_solver_finds_scipys_minimum(size: int) -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(size, 10)).astype(np.float32), rng.integers(0, 4, size)
    anchor = rng.normal(size=(3, 4, 10)).astype(np.float32)
    strength = np.array([0.3, 1, 10], np.float32)
    found = fit_softmax(x, labels, anchor, strength, tolerance=1e-4)
    for run in range(3):
        problem = (x.astype(float), labels, anchor[run].astype(float), float(strength[run]))
        judge = minimize(lambda w, p=problem: direct_loss(w.reshape(4, 10), *p), problem[2].ravel(), method="BFGS")
        ours = direct_loss(found[run], *problem)
        assert ours == pytest.approx(judge.fun, rel=1e-5)
        np.testing.assert_allclose(found[run].ravel(), judge.x, atol=0.02)


def anchored_weights(task: Task, penalty: float = 3.0) -> Floats:
    weight: Floats = anchored.fit(task, [{"penalty": penalty}]).classifier.tensors()["weight"]
    return weight


def with_rows(task: Task, images: Ints, texts: Ints) -> Task:
    """The task with these images and texts and no others."""

    class These(Drawer):
        def cell(self, percent: int, pool: TextPool | None, seed: int, epoch: int = 0) -> tuple[Ints, Ints]:
            return images, texts if pool is not None else np.empty(0, np.int64)

    return dataclasses.replace(task, drawer=These(task.labels, "class-wise"), seeds=(0,))


def test_without_text_anchored_is_its_control() -> None:
    for percent in (100, 50):
        alone = make_task(percent, with_texts=False)
        expected = anchored.fit_images(alone.images[alone.draw(0)[0]], alone.labels[alone.draw(0)[0]], CLASSES, [3.0])
        np.testing.assert_array_equal(anchored_weights(alone)[0], expected[0][0])
    assert np.abs(anchored_weights(make_task(25)) - anchored_weights(make_task(25, with_texts=False))).max() > 0.1


@pytest.mark.parametrize("count", [0, 1, 2, 6], ids="{} a class".format)
def test_texts_help_where_they_are_right_and_do_no_harm_where_they_are_not(count: int) -> None:
    """Right texts, those of other classes, and texts about nothing, beside few noisy images."""
    rng, classes, width = np.random.default_rng(5), 20, 48
    directions = normalise(rng.normal(size=(classes, width))).astype(np.float32)
    labels, text_labels = np.repeat(np.arange(classes), 6), np.repeat(np.arange(classes), 3)
    images, raw = around(directions, labels, 0.2, 1), around(directions, text_labels, 0.15, 2)
    kept = np.flatnonzero(np.tile(np.arange(6), classes) < count)
    asked = np.repeat(np.arange(classes), 50)
    queries = around(directions, asked, 0.2, 3)

    def accuracy_with(raw: Floats | None) -> float:
        pool = TextPool(by_class=tuple(np.flatnonzero(text_labels == c) for c in range(classes)))
        texts = Texts(text_labels, pool, None, raw) if raw is not None else None
        task = Task(images, labels, classes, texts, Drawer(labels, "class-wise"), 50, (0,))
        task = with_rows(task, kept, np.arange(0 if raw is None else len(raw)))
        found = anchored.fit(task, [{"penalty": 3.0}]).classifier.predict(queries)
        return float((found == asked).mean())

    zero_shot = float(((queries @ text_weights(raw, text_labels, classes).T).argmax(1) == asked).mean())
    right = accuracy_with(raw)
    assert right > zero_shot - 0.01
    if count:
        alone = accuracy_with(None)
        assert right > alone + 0.02
        assert accuracy_with(raw[swap_texts(text_labels, swap_classes(classes, 1.0, 0))]) > alone - 0.02
        assert accuracy_with(random_directions(raw, text_labels, classes, 3)) > alone - 0.02
        half = accuracy_with(raw[swap_texts(text_labels, swap_classes(classes, 0.5, 0))])
        assert half > alone - 0.02 and half > zero_shot / 2 - 0.02


@given(st.integers(0, 10**6), st.sampled_from([0, 10, 25, 60]), st.floats(0.1, 3))
@settings(max_examples=15, deadline=None)
def test_a_shift_of_all_texts_changes_no_prediction(seed: int, percent: int, length: float) -> None:
    task = make_task(percent, seeds=(0,))
    assert task.texts is not None and task.texts.raw is not None and task.texts.translated is not None
    shift = (length * normalise(np.random.default_rng(seed).normal(size=(2, WIDTH)))).astype(np.float32)
    moved = dataclasses.replace(task.texts, raw=task.texts.raw + shift[0], translated=task.texts.translated + shift[1])
    first, second = (
        anchored.fit(t, [{"penalty": 3.0}]).classifier.logits(0, query())
        for t in (task, dataclasses.replace(task, texts=moved))
    )
    np.testing.assert_allclose(second, first, atol=2e-2)


def test_whitened_images_have_the_set_length_and_whitening_is_by_the_shrunk_covariance() -> None:
    task = make_task(100, with_texts=False)
    white = anchored.Whitener.of(task.images, task.labels, CLASSES)
    x = task.images - task.images.mean(0)
    assert np.sqrt((white.apply(task.images) ** 2).sum(1).mean()) == pytest.approx(anchored.LENGTH)
    inside = x - np.stack([x[task.labels == c].mean(0) for c in range(CLASSES)])[task.labels]
    covariance = inside.T @ inside / (len(x) - CLASSES)
    shrunk = covariance + np.sqrt(WIDTH / len(x)) * np.trace(covariance) / WIDTH * np.eye(WIDTH)
    product = white.into.T @ shrunk @ white.into
    np.testing.assert_allclose(product, product[0, 0] * np.eye(WIDTH), atol=1e-5 * product[0, 0])
    np.testing.assert_allclose(white.into @ white.back, np.eye(WIDTH), atol=1e-9)
    one_each = anchored.Whitener.of(x[:CLASSES], np.arange(CLASSES), CLASSES)
    assert np.isfinite(one_each.into).all()


def test_anchors_are_the_texts_in_white_images() -> None:
    task, rng = make_task(100, with_texts=False), np.random.default_rng(0)
    prior = text_prior.TextPrior(rng.normal(size=(CLASSES, WIDTH)), rng.normal(size=CLASSES), 0.5)
    white = anchored.Whitener.of(task.images, task.labels, CLASSES)
    centre = rng.normal(size=WIDTH)
    logits = white.apply(task.images, anchored.CONSTANT) @ white.anchors(prior, centre)[1].T
    np.testing.assert_allclose(logits, (task.images - centre) @ prior.weight.T + prior.bias, atol=1e-3)


def test_directions_are_zero_shots_where_classes_vary_alike() -> None:
    """One text a class: nothing to normalise, so that the logits are zero-shot's up to what all classes share."""
    raw = normalise(np.random.default_rng(0).normal(size=(CLASSES, WIDTH))).astype(np.float32)
    weight, bias, known = text_prior.class_directions(raw, np.arange(CLASSES), CLASSES)
    logits, expected = query() @ weight.T + bias, query() @ raw.T
    np.testing.assert_allclose(logits - logits[:, :1], expected - expected[:, :1], atol=1e-5)
    assert known.all() and np.abs(weight.sum(0)).max() < 1e-6


def test_scales_are_scipys() -> None:
    rng = np.random.default_rng(2)
    views, labels, precision = rng.normal(size=(3, 20, 4)), rng.integers(0, 4, 20), np.array([0.1, 4.0, 1.0])

    def objective(scales: Any) -> float:
        likelihood = log_softmax(np.tensordot(scales, views, 1), axis=1)[np.arange(20), labels].sum()
        return float(precision @ scales**2 / 2 - likelihood)

    scales, likelihood = text_prior.fit_scales(views, labels, precision)
    np.testing.assert_allclose(scales, minimize(objective, np.zeros(3)).x, atol=1e-4)
    assert precision @ scales**2 / 2 - likelihood == pytest.approx(objective(scales))


def test_a_class_whose_texts_are_anothers_is_found() -> None:
    labels = np.repeat(np.arange(8), 4)
    logits = 4.0 * np.eye(8)[np.array([1, 0, 2, 3, 4, 5, 6, 7])[labels]]
    right = text_prior.reliability(logits, labels, np.arange(8) < 7)
    assert (right[:2] < 0.05).all() and (right[2:7] > 0.9).all() and right[7] == 0


def test_the_mix_follows_what_explains_images_held_out() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 60)
    good, bad = 3 * np.eye(5)[labels] + rng.normal(size=(60, 5)), 3 * rng.normal(size=(60, 5))
    for place in range(2):
        logits = np.stack([good if place == which else bad for which in range(3)])
        mix = anchored.choose_mix(logits, labels, np.ones(60), 0.5)
        assert mix[place] > 0.7 and np.delete(mix, place).max() < 0.2
    np.testing.assert_allclose(anchored.choose_mix(np.zeros((3, 0, 5)), labels[:0], np.ones(0), 0.3), [0.7, 0.3, 0])


def test_held_out_images_had_no_part_in_what_judges_them() -> None:
    """Labels that mean nothing are not known better than by chance, whatever the whitening would remember of them."""
    rng = np.random.default_rng(0)
    images, labels = normalise(rng.normal(size=(60, 200))).astype(np.float32), np.repeat(np.arange(20), 3)
    prior = text_prior.TextPrior(np.zeros((20, 200)), np.zeros(20), 0.5)
    logits, rows, counts = anchored.hold_out(images, labels, 20, prior, images.mean(0), 3.0)
    assert sorted(rows) == list(range(60)) and (counts == 1).all()
    assert (logits[0].argmax(1) == labels[rows]).mean() < 0.3


def test_all_images_of_a_class_are_held_out_to_stand_for_the_classes_that_have_none() -> None:
    labels = np.array([0, 0, 1, 2, 2, 2])
    assert [rows.tolist() for rows, _ in anchored.deal_folds(labels, 3)] == [[0, 3], [1, 4], [5], [], []]
    folds = anchored.deal_folds(labels, 4)
    assert [rows.tolist() for rows, _ in folds[:3]] == [[0, 1, 3], [1, 2, 4], [3, 4, 5]]
    np.testing.assert_allclose(folds[1][1], [1, 1 / 3, 1])


def test_a_class_without_images_and_one_without_texts_are_trained() -> None:
    """As happens in small cells with global sampling."""
    task = make_task(50)
    assert task.texts is not None
    images, texts = np.flatnonzero(task.labels > 0), np.flatnonzero(task.texts.labels < CLASSES - 1)
    found = anchored.fit(with_rows(task, images, texts), [{"penalty": 3.0}]).classifier
    for label, least in ((0, 0.3), (CLASSES - 1, 0.9)):  # by its texts alone, by its images alone
        assert (found.predict(task.images[task.labels == label]) == label).mean() > least


def test_from_texts_alone_a_class_without_any_is_never_named() -> None:
    task = make_task(0)
    assert task.texts is not None
    texts = np.flatnonzero(task.texts.labels != 2)
    found = anchored.fit(with_rows(task, np.empty(0, np.int64), texts), [{"penalty": 3.0}]).classifier
    assert (found.predict(query()) != 2).all()
