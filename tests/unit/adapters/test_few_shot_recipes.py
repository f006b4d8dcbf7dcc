"""Published methods of few images and text, each against an independent implementation of what its paper says."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.covariance import EmpiricalCovariance
from sklearn.kernel_ridge import KernelRidge

from fieldguide.adapters.plans import FixedDrawer
from fieldguide.adapters.recipes import clap, lp_plus_plus, proker, tip_adapter_f, zero_shot_gda
from fieldguide.adapters.recipes.cache import Cache
from fieldguide.adapters.recipes.registry import RECIPES
from fieldguide.adapters.recipes.task import Task, text_weights
from fieldguide.core.arrays import Floats, Ints
from tests.unit.adapters.test_recipes import CLASSES, make_task, only, query

NEW = ("clap", "lp++", "proker", "tip-adapter-f", "zs-text+gda")


def cell_of(task: Task, seed: int = 1) -> tuple[Floats, Ints, Floats]:
    """Images, their labels and the zero-shot weights of one seed's draw."""
    images, told = task.draw(seed)
    assert task.texts is not None and task.texts.raw is not None
    text = text_weights(task.texts.raw[told], task.texts.labels[told], CLASSES)
    return task.images[images], task.labels[images], text


@pytest.fixture
def task() -> Task:
    return only(make_task(50, seeds=(1,)), "raw")


@pytest.mark.parametrize("recipe", NEW)
def test_without_images_it_is_zero_shot(recipe: str) -> None:
    task, module = only(make_task(0), "raw"), RECIPES[recipe].load()
    found = module.fit(task, module.trials(1)).classifier.predict(query())
    np.testing.assert_array_equal(found, RECIPES["zs-text"].load().fit(task, [{}]).classifier.predict(query()))


@pytest.mark.parametrize("recipe", NEW)
def test_a_class_without_images_and_one_without_text_are_classified(recipe: str, task: Task) -> None:
    """As happens in small cells with global sampling; a class with neither is there too, and is no obstacle."""
    assert task.texts is not None
    images = np.flatnonzero(~np.isin(task.labels, (0, 2)))
    uneven = FixedDrawer(task.labels, images, np.flatnonzero(~np.isin(task.texts.labels, (1, 2))))
    module = RECIPES[recipe].load()
    found = module.fit(dataclasses.replace(task, drawer=uneven), module.trials(12)).classifier
    assert all(np.isfinite(tensor).all() for tensor in found.tensors().values())
    rows = np.flatnonzero(task.labels == 3)
    best = max((found.predict(task.images[rows]) == 3).mean(1))
    assert best == 1, "a class with both is known by some trial"


def test_one_image_a_class_is_enough() -> None:
    task = only(make_task(13, seeds=(1,)), "raw")
    _, labels, _ = cell_of(task)
    assert sorted(labels) == list(range(CLASSES))
    for recipe in NEW:
        module = RECIPES[recipe].load()
        found = module.fit(task, module.trials(12)).classifier
        assert all(np.isfinite(tensor).all() for tensor in found.tensors().values()), recipe


def test_clap_is_torchs_sgd_on_its_loss(task: Task) -> None:
    x, labels, text = (torch.from_numpy(part) for part in cell_of(task))
    strength = torch.stack([torch.softmax(100 * x[labels == c] @ text.T, 1)[:, c].mean() for c in range(CLASSES)])
    np.testing.assert_allclose(clap.strengths(x.numpy(), labels.numpy(), text.numpy()), strength.numpy(), rtol=1e-4)
    batches = np.random.default_rng(0).integers(0, len(x), (30, 8))
    weight = torch.nn.Parameter(text.clone())
    optimiser = torch.optim.SGD([weight], lr=0.02, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, len(batches))
    for rows in torch.from_numpy(batches):
        optimiser.zero_grad()
        logits = 100 * x[rows] @ torch.nn.functional.normalize(weight, dim=1).T
        apart = (weight - text).pow(2).sum(1)
        (torch.nn.functional.cross_entropy(logits, labels[rows]) + (3 * strength * apart).mean()).backward()
        optimiser.step()
        schedule.step()
    ours = clap.descend(x.numpy(), labels.numpy(), text.numpy(), 3 * strength.numpy(), 0.02, batches)
    assert (weight - text).abs().max() > 0.1, "it has moved"
    np.testing.assert_allclose(ours, weight.detach().numpy(), atol=2e-3)


def test_claps_penalty_holds_a_class_by_what_zero_shot_is_worth_there(task: Task) -> None:
    x, labels, text = cell_of(task)
    text = text[[1, 0, *range(2, CLASSES)]]  # the first two classes have each other's text
    strength = clap.strengths(x, labels, text)
    assert max(strength[:2]) < 0.01 and min(strength[2:]) > 0.5
    near, far = (
        clap.fit(task, [{"penalty": penalty, "learning_rate": 0.01}]).classifier.tensors()["weight"][0] / 100
        for penalty in (1000.0, 1e-6)
    )
    _, _, own = cell_of(task)
    assert np.abs(near - own).max() < 0.05 < np.abs(far - own).max()


def test_lp_plus_plus_is_torchs_momentum_with_the_papers_steps(task: Task) -> None:
    x, labels, text = (torch.from_numpy(part).double() for part in cell_of(task))
    labels = labels.long()
    n = len(x)
    weight = torch.stack([x[labels == c].sum(0) for c in range(CLASSES)]).requires_grad_()
    start = np.mean([250 * (x[labels == c] @ text[c]).mean().item() for c in range(CLASSES)])
    alpha = torch.full((CLASSES,), start, dtype=torch.double, requires_grad=True)
    rate = 4 * n / np.linalg.norm(x.numpy(), 2) ** 2
    optimiser = torch.optim.SGD([weight], lr=rate, momentum=0.9)
    alpha_rate = n / (4 * (x @ text.T).pow(2).sum(0).max())
    expected = {}
    for step in range(1, 41):
        optimiser.zero_grad()
        alpha.grad = None
        torch.nn.functional.cross_entropy(x @ weight.T + alpha * (x @ text.T), labels).backward()
        assert alpha.grad is not None
        optimiser.step()
        if step % 10 == 0:
            with torch.no_grad():
                alpha -= alpha_rate * alpha.grad
        expected[step] = (weight + alpha[:, None] * text).detach().numpy()
    found = lp_plus_plus.fit(task, [{"steps": 40}, {"steps": 7}]).classifier.tensors()["weight"]
    for ours, step in zip(found, (40, 7), strict=True):
        np.testing.assert_allclose(ours, expected[step], rtol=1e-3, atol=1e-2)
    assert np.abs(expected[40] - expected[7]).max() > 1, "it has moved"


def test_proker_is_scikit_learns_kernel_ridge_on_the_residual(task: Task) -> None:
    x, labels, text = (part.astype(np.float64) for part in cell_of(task))
    beta, lam = 2.0, 0.3
    residual = np.eye(CLASSES)[labels.astype(int)] - x @ text.T
    judge = KernelRidge(alpha=lam, kernel="rbf", gamma=beta / 2).fit(x, residual)
    found = proker.fit(task, [{"beta": beta, "lam": lam}]).classifier
    # The authors' closed form lacks the factor 1 / lam of ridge regression's.
    expected = query() @ text.T + lam * judge.predict(query().astype(np.float64))
    np.testing.assert_allclose(found.logits(0, query()), expected, rtol=1e-3, atol=1e-4)


def test_proker_by_hand() -> None:
    """One image on the first axis, of class 0, two texts on the axes: K = 1, so the residual is halved at lam = 1."""
    solved = proker.solve(np.array([[1.0, 0.0]]), np.array([[1.0, 0.0]]) - np.array([[0.6, 0.2]]), beta=5.0, lam=1.0)
    np.testing.assert_allclose(solved, [[0.2, -0.1]])


def test_tip_adapter_f_is_torchs_adamw_on_the_keys(task: Task) -> None:
    x, labels, text = (torch.from_numpy(part) for part in cell_of(task))
    alpha, beta = 2.0, 4.0
    adapter = torch.nn.Linear(x.shape[1], len(x), bias=False)
    with torch.no_grad():
        adapter.weight.copy_(x)
    optimiser = torch.optim.AdamW(adapter.parameters(), lr=1e-3, eps=1e-4)
    batches = tip_adapter_f.draw_batches(len(x), 1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, len(batches))
    onehot = torch.nn.functional.one_hot(labels.long(), CLASSES).float()
    for rows in map(torch.from_numpy, batches):
        near = torch.exp(-beta + beta * adapter(x[rows]))
        loss = torch.nn.functional.cross_entropy(100 * x[rows] @ text.T + alpha * near @ onehot, labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    fitted = tip_adapter_f.fit(task, [{"alpha": alpha, "beta": beta}])
    cache: Any = fitted.classifier
    assert isinstance(cache, Cache) and fitted.steps == len(batches) == tip_adapter_f.EPOCHS
    np.testing.assert_allclose(cache.keys[0], adapter.weight.detach().numpy(), atol=1e-4)
    assert np.abs(cache.keys[0] - x.numpy()).max() > 5e-3, "it has moved"


def test_batches_of_tip_adapter_f_are_epochs() -> None:
    batches = tip_adapter_f.draw_batches(600, 0)
    assert [len(rows) for rows in batches[:4]] == [256, 256, 88, 256] and len(batches) == 60
    assert sorted(np.concatenate(batches[3:6])) == list(range(600))


def test_zero_shot_with_gda_is_the_papers_closed_form(task: Task) -> None:
    x, labels, text = cell_of(task)
    n, width = x.shape
    means = np.stack([x[labels == c].mean(0, dtype=np.float64) for c in range(CLASSES)])
    covariance = EmpiricalCovariance().fit(x.astype(np.float64) - means[labels]).covariance_ * n / (n - 1)
    precision = width * np.linalg.pinv((n - 1) * covariance + np.trace(covariance) * np.eye(width))
    trials = [{"alpha": 0.1}, {"alpha": 2.0}]
    found = zero_shot_gda.fit(task, trials).classifier
    for run, trial in enumerate(trials):
        own = query() @ (means @ precision).T - np.einsum("cd,de,ce->c", means, precision, means) / 2
        expected = 100 * query() @ text.T + trial["alpha"] * own
        np.testing.assert_allclose(found.logits(run, query()), expected, rtol=1e-3, atol=1e-3)
