"""Intervals and tests of a few seeds, against scipy.stats and by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.core.significance import PairedTest, half_width, holm, paired_test, prediction_half_width, t_quantile

values = st.lists(st.floats(0, 100).map(lambda a: round(a, 6)), min_size=3, max_size=10)


def test_a_paired_test_by_hand() -> None:
    # Differences 1, 2, 3: mean 2, standard error 1 / sqrt(3), t = 2 sqrt(3), p = 1 - t / sqrt(2 + t^2) with 2 degrees.
    test = paired_test([81, 82, 83], [80, 80, 80])
    assert (test.n, test.mean) == (3, 2)
    assert test.t == pytest.approx(2 * 3**0.5)
    assert test.p == pytest.approx(1 - (12 / 14) ** 0.5)
    assert test.half_width == pytest.approx(4.302653 / 3**0.5, abs=1e-6)


@given(values, st.data())
def test_a_paired_test_is_scipys(first: list[float], data: st.DataObject) -> None:
    from scipy import stats

    second = data.draw(st.lists(st.floats(0, 100).map(lambda a: round(a, 6)), min_size=len(first), max_size=len(first)))
    differences = [round(a - b, 6) for a, b in zip(first, second, strict=True)]
    if max(differences) - min(differences) < 1e-3:
        return
    test, theirs = paired_test(first, second), stats.ttest_rel(first, second)
    assert test.p == pytest.approx(theirs.pvalue, rel=1e-3, abs=1e-9)
    low, high = theirs.confidence_interval(0.95)
    assert test.half_width == pytest.approx((high - low) / 2, rel=1e-3)


def test_differences_without_spread() -> None:
    assert paired_test([80, 81, 82], [80, 81, 82]) == PairedTest(3, 0, 0, 0, 1)
    same = paired_test([80.1, 81.1, 82.1], [80, 81, 82])
    assert (same.t, same.p, same.half_width) == (None, None, 0), "seeds that agree are no certainty"
    assert paired_test([80], [81]) == PairedTest(1, -1)
    assert paired_test([80], [81]).detectable(3) is None
    with pytest.raises(ValueError, match="no pairs"):
        paired_test([], [])
    with pytest.raises(ValueError):
        paired_test([1, 2], [1])


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.04 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.04, and none smaller than one before it.
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2] and holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_as_its_stepwise_procedure(p_values: list[float]) -> None:
    """At 5%: go through the p-values from the smallest; stop at the first above 0.05 / (tests that are left)."""
    rejected, left = set(), len(p_values)
    for index in sorted(range(len(p_values)), key=lambda i: p_values[i]):
        if p_values[index] * left > 0.05:
            break
        rejected.add(index)
        left -= 1
    corrected = holm(p_values)
    assert {i for i, p in enumerate(corrected) if p <= 0.05} == rejected
    assert all(p <= c <= min(1, p * len(p_values)) for p, c in zip(p_values, corrected, strict=True))


@given(values, st.integers(1, 40))
def test_what_can_be_detected_is_where_the_strictest_test_begins(first: list[float], tests: int) -> None:
    noise = [a + math.sin(i) for i, a in enumerate(first)]
    edge = paired_test(noise, first).detectable(tests)
    assert edge is not None and edge > 0
    spread = [b - a for a, b in zip(first, noise, strict=True)]
    centred = [s - sum(spread) / len(spread) for s in spread]
    for factor, apart in ((1.01, True), (0.99, False)):
        shifted = paired_test([c + factor * edge for c in centred], [0.0] * len(centred))
        assert shifted.p is not None and (shifted.p * tests < 0.05) == apart


def test_intervals_by_hand() -> None:
    assert t_quantile(0.975, 4) == pytest.approx(2.776445, abs=1e-6)
    assert half_width([80, 82, 84]) == pytest.approx(4.302653 * 2 / 3**0.5, abs=1e-5)
    assert prediction_half_width([80, 82, 84]) == pytest.approx(4.302653 * 2 * (4 / 3) ** 0.5, abs=1e-5)
    assert prediction_half_width([80]) is half_width([80]) is None
