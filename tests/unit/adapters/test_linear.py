"""The adapter's training against torch's own, run by run, and its score by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from fieldguide.adapters.linear import Adapter, accuracy, cross_entropy_gradient, fit, random_start
from fieldguide.core.arrays import Floats, Ints


def planted(seed: int, size: int, width: int, classes: int, spread: float) -> tuple[Floats, Ints]:
    """Unit-norm features around one direction per class, and their labels."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(size) % classes)
    table = rng.normal(size=(classes, width))[labels] + spread * rng.normal(size=(size, width))
    return (table / np.linalg.norm(table, axis=1, keepdims=True)).astype(np.float32), labels


def train_in_torch(
    table: Floats, labels: Ints, rows: Ints, start: Adapter, run: int, lr: float, weight_decay: float
) -> tuple[Floats, Floats]:
    """One run as anybody would write it: nn.Linear, AdamW, a cosine to zero."""
    layer = torch.nn.Linear(table.shape[1], start.bias.shape[1])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(start.weight[run]))
        layer.bias.copy_(torch.from_numpy(start.bias[run]))
    optimiser = torch.optim.AdamW(layer.parameters(), lr=lr, weight_decay=weight_decay)
    steps = rows.shape[1]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 0.5 * (1 + np.cos(np.pi * step / steps)))
    for batch in rows[run]:
        optimiser.zero_grad()
        logits = layer(torch.from_numpy(table[batch]))
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels[batch])).backward()
        optimiser.step()
        schedule.step()
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


@given(st.integers(1, 3), st.integers(1, 6), st.integers(2, 5), st.integers(0, 10**6))
def test_gradient_is_autograds(runs: int, batch: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = (3 * rng.normal(size=(runs, batch, classes))).astype(np.float32)
    labels = rng.integers(0, classes, (runs, batch))
    leaf = torch.tensor(logits, requires_grad=True)
    for run in range(runs):
        torch.nn.functional.cross_entropy(leaf[run], torch.from_numpy(labels[run])).backward()
    assert leaf.grad is not None
    np.testing.assert_allclose(cross_entropy_gradient(logits, labels), leaf.grad.numpy(), atol=1e-6)


def test_gradient_of_huge_logits_is_finite() -> None:
    logits = np.array([[[1e4, -1e4], [1e4, -1e4]]], np.float32)
    np.testing.assert_array_equal(cross_entropy_gradient(logits, np.array([[0, 1]])), [[[0, 0], [0.5, -0.5]]])


RATES = [0.1, 0.003, 0.03]
DECAYS = [0.0, 0.5, 0.01]


@pytest.fixture(scope="module")
def runs() -> tuple[Floats, Ints, Ints, Adapter]:
    """A table, its labels, batches of three runs, and their starts."""
    table, labels = planted(0, 60, 16, 5, 0.7)
    rows = np.random.default_rng(1).integers(0, len(table), (3, 80, 8))
    return table, labels, rows, random_start(5, 16, [3, 4, 5])


def test_fit_is_torchs_adamw_with_a_cosine(runs: tuple[Floats, Ints, Ints, Adapter]) -> None:
    table, labels, rows, start = runs
    ours = fit(table, labels, rows, start, RATES, DECAYS)
    for run in range(3):
        weight, bias = train_in_torch(table, labels, rows, start, run, RATES[run], DECAYS[run])
        np.testing.assert_allclose(ours.weight[run], weight, atol=1e-5)
        np.testing.assert_allclose(ours.bias[run], bias, atol=1e-5)
        assert np.abs(ours.weight[run] - start.weight[run]).max() > 0.01, "it has moved"


def test_a_run_is_the_same_alone(runs: tuple[Floats, Ints, Ints, Adapter]) -> None:
    table, labels, rows, start = runs
    together = fit(table, labels, rows, start, RATES, DECAYS)
    for run in range(3):
        one = slice(run, run + 1)
        alone = fit(table, labels, rows[one], Adapter(start.weight[one], start.bias[one]), RATES[one], DECAYS[one])
        np.testing.assert_allclose(alone.weight[0], together.weight[run], atol=1e-6)
        np.testing.assert_allclose(alone.bias[0], together.bias[run], atol=1e-6)


@pytest.mark.parametrize("together", [1, 2 * 5 * 16, 1 << 18])
def test_fit_is_the_same_to_the_bit_however_threads_share_the_runs(
    runs: tuple[Floats, Ints, Ints, Adapter], monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    table, labels, rows, start = runs
    with threadpool_limits(1, "blas"):
        alone = fit(table, labels, rows, start, RATES, DECAYS)
    monkeypatch.setattr("fieldguide.adapters.linear.BATCHED_WEIGHTS", together)
    with threadpool_limits(2, "blas"):
        shared = fit(table, labels, rows, start, RATES, DECAYS)
    assert shared.weight.tobytes() == alone.weight.tobytes() and shared.bias.tobytes() == alone.bias.tobytes()


def test_fit_leaves_its_input_alone_and_repeats_itself(runs: tuple[Floats, Ints, Ints, Adapter]) -> None:
    table, labels, rows, start = runs
    before = [a.copy() for a in (table, labels, rows, start.weight, start.bias)]
    first, second = (fit(table, labels, rows, start, RATES, DECAYS) for _ in range(2))
    for old, new in zip(before, (table, labels, rows, start.weight, start.bias), strict=True):
        np.testing.assert_array_equal(old, new)
    assert first.weight.tobytes() == second.weight.tobytes() and first.bias.tobytes() == second.bias.tobytes()
    assert first.weight.dtype == first.bias.dtype == np.float32


def test_the_first_step_by_hand() -> None:
    # Adam's first step is the learning rate in the direction against the gradient, after decay by lr * weight_decay.
    start = Adapter(np.zeros((1, 2, 1), np.float32), np.full((1, 2), 1, np.float32))
    after = fit(np.ones((1, 1), np.float32), np.array([1]), np.zeros((1, 1, 1), np.int64), start, [0.1], [0.5])
    np.testing.assert_allclose(after.weight[0], [[-0.1], [0.1]], rtol=1e-5)
    np.testing.assert_allclose(after.bias[0], [0.95 - 0.1, 0.95 + 0.1], rtol=1e-5)


def test_without_learning_rate_nothing_moves(runs: tuple[Floats, Ints, Ints, Adapter]) -> None:
    table, labels, rows, start = runs
    after = fit(table, labels, rows, start, [0.0] * 3, DECAYS)
    np.testing.assert_array_equal(after.weight, start.weight)


def test_separable_classes_are_learnt() -> None:
    table, labels = planted(2, 120, 12, 4, 0.1)
    rows = np.random.default_rng(0).integers(0, 80, (2, 150, 16))
    start = random_start(4, 12, [0, 1])
    assert accuracy(start, table[80:], labels[80:]).max() < 80
    assert accuracy(fit(table, labels, rows, start, [0.1] * 2, [0.0] * 2), table[80:], labels[80:]).tolist() == [
        100,
        100,
    ]


def test_random_start_is_a_seeds_own() -> None:
    together = random_start(7, 16, [5, 0, 9])
    for run, seed in enumerate([5, 0, 9]):
        alone = random_start(7, 16, [seed])
        np.testing.assert_array_equal(alone.weight[0], together.weight[run])
        np.testing.assert_array_equal(alone.bias[0], together.bias[run])
    assert len({together.weight[run].tobytes() for run in range(3)}) == 3
    assert together.weight.shape == (3, 7, 16) and together.bias.shape == (3, 7)
    assert together.weight.dtype == together.bias.dtype == np.float32


@given(st.integers(1, 400), st.integers(0, 2**31))
def test_random_start_is_within_bounds(width: int, seed: int) -> None:
    start = random_start(200, width, [seed])
    bound = np.float32(width**-0.5)
    for values in (start.weight, start.bias):
        assert np.abs(values).max() <= bound
        assert values.min() < -bound / 2 and values.max() > bound / 2


def test_accuracy_by_hand() -> None:
    weight = np.array([[[1, 0], [0, 1], [0, 0]], [[0, 1], [1, 0], [0, 0]]], np.float32)
    bias = np.array([[0, 0, 0.5], [0, 0, 0]], np.float32)
    features = np.array([[1, 0], [0, 1], [0.1, 0.2], [0.9, 0.8]], np.float32)
    labels = np.array([0, 1, 2, 1])
    adapter = Adapter(weight, bias)
    assert adapter.predict(features).tolist() == [[0, 1, 2, 0], [1, 0, 0, 1]]
    assert accuracy(adapter, features, labels).tolist() == [75, 25]
