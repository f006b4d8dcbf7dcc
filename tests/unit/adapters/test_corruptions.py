"""Texts that are given to other classes on purpose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.adapters.corruptions import swap_classes, swap_families


def test_a_family_exchanges_its_own_texts() -> None:
    # Three pairs of classes: each has one near to it, and two texts.
    directions = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0.1, 0], [0, 1, 0.1], [0.1, 0, 1]], np.float32)
    features, labels = np.repeat(directions, 2, 0), np.repeat(np.arange(6), 2)
    np.testing.assert_array_equal(swap_families(features, labels, 6, 1.0, 0), [3, 4, 5, 0, 1, 2])
    whose = swap_families(features, labels, 6, 0.34, 0)
    moved = np.flatnonzero(whose != np.arange(6))
    assert len(moved) == 2 and moved[1] - moved[0] == 3


@given(st.integers(2, 30), st.floats(0, 1), st.integers(0, 100))
def test_a_swap_moves_its_share_of_the_classes_and_loses_none(classes: int, share: float, seed: int) -> None:
    features = np.random.default_rng(seed).normal(size=(classes, 8)).astype(np.float32)
    labels = np.arange(classes)
    for whose in (swap_families(features, labels, classes, share, seed), swap_classes(classes, share, seed)):
        np.testing.assert_array_equal(np.sort(whose), labels)
        moved = int((whose != labels).sum())
        # Families go in pairs; a share above 0 moves two classes at least, where it moves any.
        assert moved == pytest.approx(share * classes, abs=2)
        assert (moved == 0) == (share == 0) or share * classes < 1


def test_a_swap_of_nothing_changes_nothing() -> None:
    features = np.eye(4, dtype=np.float32)
    np.testing.assert_array_equal(swap_families(features, np.arange(4), 4, 0.0, 1), np.arange(4))
