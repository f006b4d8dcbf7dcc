"""Probabilities from logits: the temperature that is planted is found, whatever the logits' scale."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.inference.calibration import calibration_error, fit_temperature, softmax


def planted(temperature: float, images: int = 4000, classes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Logits (M, C) and labels drawn from softmax(logits / temperature)."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(images, classes)) * 3
    chances = softmax(logits).cumsum(1)
    labels = (rng.random(images)[:, None] > chances).sum(1)
    return (logits * temperature).astype(np.float32), labels.clip(max=classes - 1)


@pytest.mark.parametrize("temperature", [0.01, 0.5, 1.0, 30.0])
def test_a_planted_temperature_is_found(temperature: float) -> None:
    logits, labels = planted(temperature)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.06)
    assert calibration_error(softmax(logits, found), labels) < 3


def test_it_is_the_most_likely_one_but_for_the_smoothing() -> None:
    logits, labels = planted(2.0, images=500)

    def unlikely(temperature: float) -> float:
        return -float(np.log(softmax(logits, temperature)[np.arange(len(labels)), labels]).mean())

    found = fit_temperature(logits, labels)
    assert unlikely(found) <= min(unlikely(found * factor) for factor in (0.8, 1.25)) + 1e-9


def test_a_classifier_that_is_always_right_is_not_infinitely_sure() -> None:
    logits = np.eye(4, dtype=np.float32)[[0, 1, 2, 3, 0, 1]]
    sure = softmax(logits, fit_temperature(logits, np.array([0, 1, 2, 3, 0, 1]))).max(1)
    assert 0.8 < sure.min() < 0.99, "six right answers are some evidence, not all"


def test_images_of_a_class_without_an_example_are_left_out() -> None:
    logits, labels = planted(1.0, images=600)
    never = np.column_stack([logits, np.full(len(logits), -1e30, np.float32)])
    labels_too = np.r_[labels, [6, 6]]
    with_unknown = fit_temperature(np.r_[never, never[:2]], labels_too)
    assert with_unknown == pytest.approx(fit_temperature(logits, labels), rel=0.01)
    assert fit_temperature(never[:2], np.array([6, 6])) == 1.0


@given(st.floats(1e-3, 1e3), st.integers(1, 40))
def test_scaling_the_logits_scales_the_temperature(scale: float, images: int) -> None:
    rng = np.random.default_rng(images)
    logits, labels = rng.normal(size=(images, 3)).astype(np.float32), rng.integers(0, 3, images)
    first = fit_temperature(logits, labels)
    if 1e-3 < first < 1e3 and 1e-3 < first * scale < 1e3:
        second = fit_temperature((logits * scale).astype(np.float32), labels)
        assert math.log(second / first) == pytest.approx(math.log(scale), abs=0.01)


@given(st.floats(0.01, 100))
def test_no_temperature_changes_a_prediction(temperature: float) -> None:
    logits = np.random.default_rng(1).normal(size=(50, 5))
    assert (softmax(logits, temperature).argmax(1) == logits.argmax(1)).all()


def test_calibration_error_of_known_cases() -> None:
    sure = np.tile([0.9, 0.1], (10, 1))
    assert calibration_error(sure, np.array([0] * 9 + [1])) == pytest.approx(0, abs=1e-9)
    assert calibration_error(sure, np.array([1] * 10)) == pytest.approx(90)
