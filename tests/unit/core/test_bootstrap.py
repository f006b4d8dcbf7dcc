"""Intervals over seeds and test images: their limits by hand, and how often they hold a truth that is known."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from fieldguide.core.arrays import Doubles
from fieldguide.core.bootstrap import infer_over_seeds_and_images, resample_accuracies
from fieldguide.core.significance import half_width, paired_test, t_quantile


def test_draws_have_the_bootstraps_moments_and_are_the_same_for_every_run() -> None:
    # The second run is right where the first is, and on 10 images more.
    right = np.arange(200) < np.array([[120], [130]])
    drawn = resample_accuracies(right, 20_000)
    # The bootstrap's limit: the mean is the accuracy, the variance p (1 - p) / M, and the covariance of two nested
    # sets (0.6 - 0.6 x 0.65) / M; in percent.
    assert drawn.mean(0) == pytest.approx([60, 65], abs=0.1)
    assert np.cov(drawn.T) == pytest.approx(np.array([[12, 10.5], [10.5, 11.375]]), rel=0.03)
    assert (drawn[:, 1] >= drawn[:, 0]).all() and (drawn * 2 == np.round(drawn * 2)).all()
    assert (resample_accuracies(right, 20_000)[:, :1] == resample_accuracies(right[:1], 20_000)).all()
    with pytest.raises(ValueError, match="no test image"):
        resample_accuracies(right[:, :0])


def test_an_interval_by_hand() -> None:
    # Seeds 1, 2, 3: variance of the mean 1/3. Draws in which both signs occur: all seeds move together by 2.
    values, moves = [1.0, 2.0, 3.0], np.array([[-2.0], [2.0]] * 500)
    test = infer_over_seeds_and_images(values, np.array(values) + moves)
    # 1/3 + 4; Hillis's degrees of freedom (13/3)^2 / ((1/3)^2 / 2) = 338.
    assert (test.mean, test.degrees) == (2, pytest.approx(338))
    assert test.half_width == pytest.approx(t_quantile(0.975, 338) * (13 / 3) ** 0.5)
    # Draws that move one seed up and another down say nothing of the images that all share.
    apart = np.array([[-3.0, 3.0, 0.0], [3.0, -3.0, 0.0]] * 500)
    alone = infer_over_seeds_and_images(values, np.array(values) + apart)
    assert alone.half_width == half_width(values) and alone.p == paired_test(values, [0, 0, 0]).p


def test_the_limit_of_equal_seeds_is_the_binomial_interval() -> None:
    """85.29 in every seed is one draw, on so many images: p (1 - p) / M, and no certainty."""
    right = np.tile(np.arange(3072) < 2620, (5, 1))
    test = infer_over_seeds_and_images((right.mean(1) * 100).tolist(), resample_accuracies(right, 20_000))
    p = 2620 / 3072
    assert test.half_width == pytest.approx(196 * math.sqrt(p * (1 - p) / 3072), rel=0.02)
    # Two cells that differ by the same six images in every seed: (6 x (1 - d)^2 + 3066 d^2) / M^2 with d = 6 / M.
    other = np.tile(np.arange(3072) < 2614, (5, 1))
    drawn = resample_accuracies(np.vstack([right, other]), 20_000)
    values = ((right.mean(1) - other.mean(1)) * 100).round(6).tolist()
    difference = infer_over_seeds_and_images(values, drawn[:, :5] - drawn[:, 5:])
    error = 100 * math.sqrt(6 * (1 - 6 / 3072)) / 3072
    assert difference.p == pytest.approx(2 * NormalDist().cdf(-values[0] / error), rel=0.2)
    assert difference.half_width == pytest.approx(1.96 * error, rel=0.02)


def test_what_does_not_vary_has_no_p_but_that_of_no_difference() -> None:
    none = infer_over_seeds_and_images([0.0] * 5, np.zeros((100, 5)))
    assert (none.p, none.half_width) == (1.0, 0.0)
    all_images = infer_over_seeds_and_images([100.0] * 5, np.full((100, 5), 100.0))
    assert (all_images.p, all_images.t, all_images.half_width) == (None, None, 0.0)
    one = infer_over_seeds_and_images([3.0], np.zeros((100, 1)))
    assert (one.mean, one.half_width, one.p) == (3.0, None, None)


SEEDS, IMAGES, EFFECT = 5, 300, 0.2
WORLDS = {
    "all vary": (0.07, 0.2, 0.3),
    "seeds vary most": (0.2, 0.1, 0.3),
    "seed and image act together": (0.0, 0.0, 0.3),
    "seeds are equal": (0.0, 0.5, 0.0),
}
"""Spreads of what a seed adds to a recipe, of what an image does, and of what both do together."""


@pytest.mark.parametrize("world", WORLDS)
def test_95_in_100_intervals_hold_the_truth(world: str) -> None:
    """300 tables of two recipes: each image has a difficulty, and is right where difficulty and noise are small."""
    of_seed, of_image, together = WORLDS[world]
    rng, normal = np.random.default_rng(1), NormalDist()
    truth = normal.cdf((1 + EFFECT) / math.sqrt(1 + of_image**2 + of_seed**2 + together**2))
    truth = (truth - normal.cdf(1 / math.sqrt(1 + together**2))) * 100
    held = np.zeros(3, int)
    for _ in range(300):
        ease = rng.normal(1, 1, IMAGES)
        gain = EFFECT + rng.normal(0, of_image, IMAGES) + rng.normal(0, of_seed, (SEEDS, 1))
        noise: Doubles = rng.normal(0, together, (2, SEEDS, IMAGES))
        right = np.vstack([ease + gain + noise[0] > 0, ease + noise[1] > 0])
        drawn = resample_accuracies(right, 400)
        differences = ((right[:SEEDS].mean(1) - right[SEEDS:].mean(1)) * 100).tolist()
        resampled = drawn[:, :SEEDS] - drawn[:, SEEDS:]
        test = infer_over_seeds_and_images(differences, resampled)
        seeds = rng.integers(SEEDS, size=resampled.shape)
        low, high = np.quantile(np.take_along_axis(resampled, seeds, 1).mean(1), [0.025, 0.975])
        widths = (test.half_width or 0, half_width(differences) or 0)
        held += [*(abs(test.mean - truth) <= width for width in widths), low <= truth <= high]
    ours, over_seeds, percentiles = (held / 3).round().tolist()
    print(f"{world}: {ours}% of ours, {over_seeds}% over seeds alone, {percentiles}% of percentiles of both drawn anew")
    assert 90 <= ours <= 99
    if world == "seeds are equal":
        assert over_seeds == 0, "over seeds alone there is no interval"
    if world == "seeds vary most":
        assert percentiles < ours, "five seeds are too few to be drawn anew"
