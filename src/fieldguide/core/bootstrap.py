"""Intervals that hold for other seeds and other test images: seeds by Student's t, images by the paired bootstrap.

Pure. Images are many, so they are drawn anew, the same images for every cell. Five seeds are too few for that: with
both drawn anew, intervals of 300 tables held the truth 91 times in 100 where seeds differ most and 99 times where seed
and image act together; t intervals over seeds alone, which hold no images, 0 to 93 times, and these here 93 to 94 times
(`tests/unit/core/test_bootstrap.py` has these worlds). Both parts are put together as studies of several readers
on the same cases do it, a seed in place of a reader: the variance of a mean over seeds is that of the seeds' own
spread, which holds what seed and image do together, and the covariance between seeds that comes from sharing the images
(N. A. Obuchowski and H. E. Rockette, Communications in Statistics 24, 1995; covariances by the bootstrap), and
Student's t has the degrees of freedom of S. L. Hillis (Statistics in Medicine 26, 2007).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, variance
from typing import TYPE_CHECKING, Any

import numpy as np

from fieldguide.core.arrays import Doubles
from fieldguide.core.random import generator
from fieldguide.core.significance import PairedTest, paired_test, t_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bools = NDArray[np.bool_]
else:
    Bools = Any

DRAWS = 2000
"""Test sets drawn: a standard error of them is known to 1.6%."""
AT_ONCE = 250


def resample_accuracies(right: Bools, draws: int = DRAWS, seed: int = 0) -> Doubles:
    """Accuracies (draws, N) in percent of N runs on test sets drawn anew, as many images with replacement each.

    right (N, M): which of M images a run names rightly. Every run has the same draws, so differences are paired.
    Counts are whole numbers below 2^24, which single precision holds, so that the result is the same on any machine.
    Raises ValueError without images.
    """
    runs, images = right.shape
    if not images:
        raise ValueError("no test image to draw")
    rng, hits = generator(seed, "test images"), np.ascontiguousarray(right.T, np.float32)
    found = np.empty((draws, runs))
    for start in range(0, draws, AT_ONCE):
        count = min(AT_ONCE, draws - start)
        drawn = rng.integers(images, size=(count, images)) + np.arange(count)[:, None] * images
        times = np.bincount(drawn.ravel(), minlength=count * images).reshape(count, images)
        found[start : start + count] = times.astype(np.float32) @ hits
    return found * (100 / images)


def infer_over_seeds_and_images(values: Sequence[float], resampled: Doubles) -> PairedTest:
    """The mean of a figure over seeds, with what it would vary by for other seeds and other test images.

    values (S,): the figure of each seed on the test images, such as a difference of two accuracies. resampled
    (draws, S): the same on the test sets drawn. Interval and p-value are those of seeds alone where these are wider and
    larger, few as they are: what holds more is never surer. From one seed there is a mean and nothing else; values that
    vary neither by seed nor by image have no test but p = 1 of 0.
    """
    n, mean = len(values), fmean(values)
    over_seeds = paired_test(values, [0.0] * n)
    if over_seeds.half_width is None:
        return over_seeds
    of_seeds = variance(values) / n
    total = float(resampled.mean(1).var())
    between = (n * n * total - float(resampled.var(0).sum())) / (n * (n - 1))
    squared = of_seeds + max(0.0, between)
    if squared <= 1e-18:
        return over_seeds
    # The covariance is known from so many draws and no better.
    degrees = min(float(len(resampled) - 1), squared**2 / (of_seeds**2 / (n - 1)) if of_seeds else math.inf)
    from scipy.special import stdtr

    error = math.sqrt(squared)
    t, width = mean / error, t_quantile(0.975, degrees) * error
    p = max(over_seeds.p or 0.0, 2 * float(stdtr(degrees, -abs(t))))
    return PairedTest(n, mean, max(width, over_seeds.half_width), t, p, degrees)
