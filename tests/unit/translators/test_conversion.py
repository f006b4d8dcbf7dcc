"""Conversion accuracy: every measure against scikit-learn, numpy or a case worked by hand; and the stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.decomposition import PCA
from sklearn.metrics import ndcg_score, top_k_accuracy_score
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.neighbors import NearestCentroid

from fieldguide.core.arrays import Floats
from fieldguide.translators import measure_conversion
from fieldguide.translators.conversion import (
    RECALLS,
    centred,
    centroid_distance,
    covariance_distance,
    grouped_mean,
    half_width_of,
    image_class_means,
    measure_pairs,
    paired_cosines,
    place,
    principal_axes,
    summarise,
    word_effects,
    words_of,
)
from fieldguide.translators.retrieval import ranks
from tests.tiny_data import refusal
from tests.unit.planted_features import World
from tests.unit.planted_pairs import measured, unit, write_pairs


def random_pairs(seed: int, images: int = 30, captions: int = 3, width: int = 6) -> tuple[Floats, Floats, Any]:
    rng = np.random.default_rng(seed)
    gallery = unit(rng.normal(size=(images, width)) + 0.4)
    image_of = np.repeat(np.arange(images), captions)
    return unit(gallery[image_of] + 0.3 * rng.normal(size=(len(image_of), width))), gallery, image_of


# ---------------------------------------------------------------- pairs


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_cosines_and_retrieval_are_scikit_learns(seed: int) -> None:
    texts, images, image_of = random_pairs(seed)
    cosines = cosine_similarity(texts, images)
    own, control = paired_cosines(texts, images, image_of)
    np.testing.assert_allclose(own, cosines[np.arange(len(texts)), image_of], atol=1e-5)
    others = [np.delete(row, mine).mean() for row, mine in zip(cosines, image_of, strict=True)]
    np.testing.assert_allclose(control, others, atol=1e-5)
    rank = ranks(texts, images, image_of)
    for k in RECALLS:
        theirs = top_k_accuracy_score(image_of, cosines, k=k, labels=np.arange(len(images)))
        assert (rank < k).mean() == pytest.approx(theirs)
    # One relevant image each: the gain of the rank is 1 / log2(rank + 2).
    theirs = ndcg_score(np.eye(len(images))[image_of], cosines)
    assert (1 / np.log2(rank + 2)).mean() == pytest.approx(theirs, abs=1e-5)


def test_a_translator_that_gives_nothing_finds_nothing() -> None:
    texts, images, image_of = random_pairs(0)
    assert (ranks(np.full_like(texts, np.nan), images, image_of) == len(images)).all()
    assert (ranks(np.zeros_like(texts), images, image_of) == len(images) - 1).all()


def test_distances_by_hand() -> None:
    assert centroid_distance(np.array([1.0, 0]), np.array([0, 1.0])) == pytest.approx(2**0.5)
    sphere = np.eye(3)
    assert covariance_distance(sphere, sphere) == 0
    assert covariance_distance(0 * sphere, sphere) == 1
    assert covariance_distance(2 * sphere, sphere) == pytest.approx(1)


def test_measures_on_pairs_are_those_of_numpy() -> None:
    texts, images, image_of = random_pairs(4)
    found = measure_pairs(texts, images, image_of)
    gap = np.linalg.norm(texts.mean(0) - images.mean(0))
    assert found["centroid_distance"].value == pytest.approx(gap, abs=1e-6)
    spread, wanted = (np.cov(part.T.astype(np.float64), bias=True) for part in (texts, images))
    assert found["covariance_distance"].value == pytest.approx(
        np.linalg.norm(spread - wanted) / np.linalg.norm(wanted), abs=1e-5
    )
    assert found["variance_ratio"].value == pytest.approx(np.trace(spread) / np.trace(wanted), abs=1e-5)
    # All are found among the ten nearest here, so that the bootstrap sees no spread.
    assert all(e.half_width is not None and (e.half_width > 0 or e.value == 100) for e in found.values())


def test_no_constant_shift_changes_the_centred_retrieval() -> None:
    texts, images, image_of = random_pairs(2, images=60)
    aside = texts + 0.7 * np.eye(6, dtype=np.float32)[0]
    assert (ranks(centred(aside), centred(images), image_of) == ranks(centred(texts), centred(images), image_of)).all()
    assert (ranks(unit(aside), images, image_of) != ranks(texts, images, image_of)).any()
    np.testing.assert_allclose(centred(texts), unit(texts - texts.mean(0)), atol=1e-6)
    assert (centred(np.tile(texts[:1], (5, 1))) < 1e-2).all()


def test_perfect_and_collapsed_translations() -> None:
    _, images, _ = random_pairs(1)
    perfect = measure_pairs(images, images, np.arange(len(images)))
    assert perfect["cosine"].value == pytest.approx(1) and perfect["recall_1"].value == 100
    assert perfect["centroid_distance"].value == pytest.approx(0, abs=1e-7)
    assert perfect["covariance_distance"].value == pytest.approx(0, abs=1e-7)
    one = unit(np.tile(images.mean(0), (len(images), 1)))
    collapsed = measure_pairs(one, images, np.arange(len(images)))
    assert collapsed["covariance_distance"].value == pytest.approx(1, abs=1e-5)
    assert collapsed["variance_ratio"].value == pytest.approx(0, abs=1e-5)
    # A collapsed translator has a fine cosine; only the control tells that it says nothing.
    assert collapsed["cosine"].value > 0.3
    assert collapsed["cosine"].value - collapsed["control"].value == pytest.approx(0, abs=0.001)


def test_the_bootstrap_of_groups_has_the_standard_error_of_group_means() -> None:
    """With groups of one size the mean of all is the mean of group means, whose standard error is known."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(400), 5)
    values = rng.normal(size=400)[groups] + 0.1 * rng.normal(size=len(groups))
    wanted = 1.96 * stats.sem(values.reshape(400, 5).mean(1))
    found = grouped_mean(values, groups, 0)
    assert found.value == pytest.approx(values.mean())
    assert found.half_width == pytest.approx(wanted, rel=0.15)
    # Taking captions for independent would claim an interval of less than half of that.
    assert 1.96 * stats.sem(values) < 0.5 * wanted
    assert grouped_mean(values[:5], groups[:5], 0).half_width is None
    assert half_width_of([1.0, 3.0]) == pytest.approx(1.96 * 2**0.5)


# ---------------------------------------------------------------- data set


def test_nearest_class_mean_is_scikit_learns_nearest_centroid() -> None:
    rng = np.random.default_rng(0)
    centres = unit(rng.normal(size=(5, 8)))
    labels, text_labels = rng.permutation(np.repeat(np.arange(5), 20)), np.repeat(np.arange(5), 30)
    images = unit(centres[labels] + 0.3 * rng.normal(size=(100, 8)))
    texts = unit(centres[text_labels] + 0.5 * rng.normal(size=(150, 8)))
    means = image_class_means(images, labels, 5)
    theirs = NearestCentroid().fit(means, np.arange(5))
    placed = place(texts, text_labels, means)
    assert 0.3 < placed.right.mean() < 0.95
    np.testing.assert_array_equal(placed.right, theirs.predict(texts) == text_labels)
    cosines = cosine_similarity(texts, means)
    np.testing.assert_allclose(placed.own, cosines[np.arange(150), text_labels], atol=1e-5)
    np.testing.assert_allclose(placed.others, (cosines.sum(1) - placed.own) / 4, atol=1e-5)
    found = summarise(placed, text_labels, np.arange(30))
    assert found["nearest_class_mean"].value == pytest.approx(100 * placed.right[:30].mean())
    assert found["nearest_class_mean"].half_width is None
    assert found["control"].value == pytest.approx(placed.others[:30].mean())


def test_a_planted_word_is_found_and_a_class_gives_its_words_no_credit() -> None:
    rng = np.random.default_rng(0)
    texts, labels, margins = [], [], []
    for label in range(4):
        for number in range(100):
            words = ["a", "bird", f"breed{'abcd'[label]}", *(["crest"] if number % 3 == 0 else [])]
            texts.append(" ".join([*words, "song" if number % 4 == 0 else "wing"]) + ".")
            labels.append(label)
            # Classes differ by far more than words do.
            margins.append(label + 0.05 * (number % 3 == 0) - 0.05 * (number % 4 == 0) + 0.02 * rng.normal())
    fields = ["caption"] * len(texts)
    found = word_effects(texts, np.array(margins), np.array(labels), fields, at_least=20)
    by_word = {effect.word: effect for effect in found}
    assert found[0].word == "crest" and {found[-1].word} == {"song"}
    assert by_word["crest"].effect == pytest.approx(5, abs=0.5) and by_word["song"].effect == pytest.approx(-5, abs=0.5)
    assert by_word["crest"].texts == 136 and by_word["crest"].classes == 4
    assert abs(by_word["breedd"].t) < 1 and "bird" not in by_word  # every text has it: nothing to compare with
    assert [e.word for e in word_effects(texts, np.array(margins), np.array(labels), fields, 130)] == ["crest", "wing"]


def test_a_words_t_is_welchs() -> None:
    rng = np.random.default_rng(0)
    margin = rng.normal(size=60)
    texts = ["red" if i % 3 else "blue" for i in range(60)]
    (red,) = [e for e in word_effects(texts, margin, np.zeros(60, int), ["x"] * 60, 5) if e.word == "red"]
    has = np.array([text == "red" for text in texts])
    assert red.t == pytest.approx(stats.ttest_ind(margin[has], margin[~has], equal_var=False).statistic)
    assert red.effect == pytest.approx(100 * (margin[has].mean() - margin[~has].mean()))


def test_words_of_a_text() -> None:
    assert words_of("The bird's Bill is 2 cm, blue-grey; a bird!") == {
        "the",
        "bird's",
        "bill",
        "is",
        "cm",
        "blue-grey",
        "bird",
    }


def test_principal_axes_are_scikit_learns() -> None:
    points = unit(np.random.default_rng(0).normal(size=(80, 6)) * np.arange(1, 7))
    mean, axes = principal_axes(points)
    theirs = PCA(2).fit(points.astype(np.float64))
    np.testing.assert_allclose(mean, theirs.mean_, atol=1e-6)
    np.testing.assert_allclose(np.abs(axes @ theirs.components_.T), np.eye(2), atol=1e-5)
    assert (np.take_along_axis(axes, np.abs(axes).argmax(1)[:, None], 1) > 0).all()


# ---------------------------------------------------------------- the stage


@pytest.fixture
def world(tmp_path: Path) -> World:
    return write_pairs(tmp_path)


def test_measuring_again_gives_the_same_bytes(world: World) -> None:
    measure_conversion.main(measured(world))
    before = (world.folder / "identity.json").read_bytes()
    measure_conversion.main(measured(world))
    assert (world.folder / "identity.json").read_bytes() == before


def test_too_few_images_to_measure_on_are_one_sentence(world: World) -> None:
    told = refusal(measure_conversion.main, *measured(world), "--settings", '{"test_share": 1e-6}')
    assert "0 of 60 images are kept for measuring, and it takes two; raise pairs.test_share above 1e-06" in told
