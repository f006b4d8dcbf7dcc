"""What a few seeds can tell: t intervals, paired t tests, and Holm's correction for many tests at once.

Pure. Of scipy only its special functions are imported: importing scipy.stats takes longer than any table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

LEVEL = 0.05
"""The chance of one false finding or more, over all tests of a family, if nothing differed."""


def t_quantile(probability: float, degrees: float) -> float:
    """Quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def half_width(values: Sequence[float]) -> float | None:
    """Half-width of the two-sided 95% t interval of the mean, t(0.975, n-1) s / sqrt(n); None from one value."""
    if len(values) < 2:
        return None
    return t_quantile(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values))


def prediction_half_width(values: Sequence[float]) -> float | None:
    """Half-width of the 95% interval for one further value, t(0.975, n-1) s sqrt(1 + 1/n); None from one value."""
    if len(values) < 2:
        return None
    return t_quantile(0.975, len(values) - 1) * stdev(values) * math.sqrt(1 + 1 / len(values))


@dataclass(frozen=True)
class PairedTest:
    """Differences of pairs: their mean, the half-width of its 95% interval, Student's t and its two-sided p-value.

    From one pair there is a mean and nothing else. degrees: of freedom, n - 1 where nothing else is said.
    """

    n: int
    mean: float
    half_width: float | None = None
    t: float | None = None
    p: float | None = None
    degrees: float | None = None

    def detectable(self, tests: int) -> float | None:
        """The smallest mean that this spread would let pass as different from 0 if it were the strictest of `tests`.

        t(1 - LEVEL / (2 tests), degrees) standard errors: what Holm's correction asks of the smallest p-value.
        """
        if self.half_width is None:
            return None
        degrees = self.degrees or self.n - 1
        return self.half_width * t_quantile(1 - LEVEL / (2 * tests), degrees) / t_quantile(0.975, degrees)


def paired_test(first: Sequence[float], second: Sequence[float]) -> PairedTest:
    """Student's paired t test of first - second, pair by pair (the same seed in both); values in percent.

    Without any spread differences of 0 have p = 1, and others neither t nor p: a few seeds that agree are no
    certainty. Raises ValueError when the lengths differ or there are none.
    """
    # The cells' files hold six decimals; what is smaller is rounding.
    differences = [round(a - b, 6) for a, b in zip(first, second, strict=True)]
    if not differences:
        raise ValueError("no pairs to compare")
    n, mean = len(differences), fmean(differences)
    if n < 2:
        return PairedTest(n, mean)
    error = stdev(differences) / math.sqrt(n)
    if error == 0:
        return PairedTest(n, mean, 0.0, None if mean else 0.0, None if mean else 1.0)
    from scipy.special import stdtr

    t = mean / error
    return PairedTest(n, mean, half_width(differences), t, 2 * float(stdtr(n - 1, -abs(t))))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for being many (S. Holm, Scandinavian Journal of Statistics 6, 1979), in their own order.

    The smallest of m is multiplied by m, the next by m - 1 and so on, none made smaller than one before it.
    """
    m = len(p_values)
    corrected = [0.0] * m
    least = 0.0
    for rank, index in enumerate(sorted(range(m), key=lambda i: p_values[i])):
        least = max(least, min(1.0, (m - rank) * p_values[index]))
        corrected[index] = least
    return corrected
