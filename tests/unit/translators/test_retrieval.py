"""R@k against a naive ranking and scikit-learn, and where images are there twice or nothing is said."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.core.arrays import Floats
from fieldguide.translators.retrieval import recall_at
from fieldguide.translators.task import normalise


def unit(*shape: int, seed: int) -> Floats:
    return normalise(np.random.default_rng(seed).normal(size=shape))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 10), st.integers(0, 1000))
def test_retrieval_is_a_naive_ranking(n: int, m: int, k: int, seed: int) -> None:
    texts, images = unit(n, 5, seed=seed), unit(m, 5, seed=seed + 1)
    true = np.random.default_rng(seed).integers(m, size=n)
    scores = (texts @ images.T).tolist()
    found = 0
    for row, own in zip(scores, true.tolist(), strict=True):
        ranking = sorted(range(m), key=lambda image, row=row: -row[image])  # type: ignore[misc]
        found += own in ranking[:k]
    assert recall_at(texts, images, true, k) == pytest.approx(100 * found / n)


def test_retrieval_by_hand() -> None:
    images = np.eye(4, dtype=np.float32)
    texts = np.array([[0.9, 0.1, 0, 0], [0.8, 0.6, 0, 0], [0.5, 0.4, 0.3, 0.2], [0.1, 0.2, 0.3, 0.9]], np.float32)
    assert [recall_at(texts, images, np.arange(4), k) for k in (1, 2, 3, 4)] == [50, 75, 100, 100]


def test_an_image_that_is_there_twice_is_found_in_either_place() -> None:
    once = unit(6, 5, seed=0)
    twice, own = np.concatenate([once, once]), np.arange(12)
    texts = normalise(twice + 0.1 * unit(12, 5, seed=1))
    for k in (1, 2, 3):
        assert recall_at(texts, twice, own, k) == recall_at(texts, once, own % 6, k)
    assert recall_at(twice, twice, own, 1) == 100


def test_any_other_tie_is_not_found() -> None:
    """Neither two images that a text cannot tell apart nor texts that are all one point."""
    images = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    between = normalise(np.array([[1, 1, 0]]))
    assert [recall_at(between, images, np.array([0]), k) for k in (1, 2)] == [0, 100]
    assert recall_at(np.zeros_like(images), images, np.arange(3), 2) == 0


def test_a_diverged_model_retrieves_nothing() -> None:
    assert recall_at(np.full((3, 4), np.nan, np.float32), np.eye(4, dtype=np.float32), np.arange(3), 4) == 0
