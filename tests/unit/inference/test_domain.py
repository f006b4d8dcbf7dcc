"""Inside or outside of what was trained on: distances to the nearest training image, and their share."""

from __future__ import annotations

import numpy as np
import pytest

from fieldguide.inference.domain import BLOCK, learn_domain


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def cloud(count: int, seed: int, around: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return unit(np.eye(8)[[around] * count] + 0.2 * rng.normal(size=(count, 8)))


def test_distances_are_to_the_nearest_other_image() -> None:
    images = unit(np.array([[1, 0, 0], [1, 0.1, 0], [0, 1, 0]]))
    domain = learn_domain(images)
    cosines = images @ images.T
    wanted = [1 - cosines[0, 1], 1 - cosines[0, 1], 1 - cosines[1, 2]]
    np.testing.assert_allclose(domain.distances, wanted, atol=1e-6)
    np.testing.assert_allclose(domain.measure(images), 0, atol=1e-6)


def test_new_images_of_the_same_kind_are_inside_as_often_as_asked_for() -> None:
    domain, new = learn_domain(cloud(2 * BLOCK + 7, seed=0)), cloud(2000, seed=1)
    for within in (80, 95):
        inside = (domain.measure(new) <= domain.threshold(within)).mean()
        assert 100 * inside == pytest.approx(within, abs=4)


def test_another_kind_is_outside() -> None:
    domain = learn_domain(cloud(300, seed=0))
    other = domain.measure(cloud(200, seed=1, around=3))
    assert (other > domain.threshold()).all()
    assert (domain.farther_than(other) == 100).all()


def test_the_share_that_lies_nearer() -> None:
    domain = learn_domain(cloud(300, seed=0))
    middle = float(np.median(domain.distances))
    low, half, high = domain.farther_than(np.array([-1, middle, 3], np.float32))
    assert (low, high) == (0, 100) and half == pytest.approx(50, abs=1)
    assert domain.threshold(100) == domain.distances.max()
