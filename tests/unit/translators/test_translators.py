"""Every line of the registry, and each translator against a hand-worked case, an independent one or a planted truth."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.special import softmax
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor

from fieldguide.core.arrays import Floats
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv, write_csv
from fieldguide.features.store import read_features, save_features
from fieldguide.translators import fit_translator, train_qformer, translate_texts
from fieldguide.translators.kinds import (
    covariance,
    mean_shift,
    mean_shift_noise,
    memory,
    mlp,
    noise,
    ridge,
    ridge_identity,
)
from fieldguide.translators.pairs import measured_images, split_images
from fieldguide.translators.registry import TRANSLATORS, values_to_try
from fieldguide.translators.selection import choose, energy_score, trials_of
from fieldguide.translators.task import Pairs, normalise
from tests.tiny_data import refusal

WIDTH, IMAGES, CAPTIONS = 8, 60, 2
FITTED = [kind for kind, line in TRANSLATORS.items() if line.rule == "fit_translator"]


def unit(rows: Any) -> Floats:
    return normalise(np.asarray(rows))


def some_pairs(n: int = 200, width: int = WIDTH, seed: int = 0, captions: int = 1) -> Pairs:
    """Images around a centre, captions near their images and all moved aside: a modality gap."""
    rng = np.random.default_rng(seed)
    images = unit(rng.normal(size=(n, width)) + 0.5)
    image_of = np.repeat(np.arange(n), captions)
    texts = unit(images[image_of] * np.linspace(0.5, 1.5, width) + 0.2 * rng.normal(size=(len(image_of), width)) - 0.4)
    return Pairs(texts, images, image_of)


# ---------------------------------------------------------------- every line


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs with image, pooled and token features, and a text source, as earlier stages write them."""
    folder = tmp_path_factory.mktemp("world")
    pairs = some_pairs(IMAGES, captions=CAPTIONS)
    captions = [f"caption {i} of image {row}" for i, row in enumerate(pairs.image_of)]
    rows = [{"image_id": f"{row}.jpg", "caption": text} for row, text in zip(pairs.image_of, captions, strict=True)]
    write_csv(folder / "pairs.csv", ("image_id", "caption"), rows)
    write_csv(folder / "reed.csv", ("text",), [{"text": text} for text in captions])
    about = {"kind": "x"}
    save_features(
        folder / "images.st", {"features": pairs.images}, [f"{i}.jpg" for i in range(IMAGES)], "tiny_1", about
    )
    lengths = np.arange(len(captions)) % 4 + 1
    tokens = np.random.default_rng(1).normal(size=(lengths.sum(), 6)).astype(np.float16)
    texts = {
        "pooled": pairs.texts,
        "rows": np.arange(len(captions)),
        "tokens": tokens,
        "offsets": np.concatenate([[0], lengths.cumsum()]),
    }
    save_features(folder / "texts.st", texts, captions, "tiny_1", about)
    return folder


SHORT: dict[str, object] = {
    **{"queries": 2, "layers": 1, "hidden": 8, "heads": 2, "cross_attention_frequency": 2, "dropout": 0.1},
    **{"steps": 4, "batch": 16, "lr": 1e-4, "warmup": 1, "weight_decay": 0.05, "info_nce": 1.0, "temperature": 0.07},
    **{"held_out": 0.2, "evaluate_every": 500, "seed": 0},
}
"""A short training of a Q-Former."""


def fit_line(world: Path, kind: str, out: Path, **settings: object) -> Path | None:
    """Fit a kind by its own stage, with few steps where it takes steps; None where nothing is learnt."""
    rule = TRANSLATORS[kind].rule
    given: list[object] = ["--pairs", world / "pairs.csv", "--pair-images", world / "images.st"]
    given += ["--pair-texts", world / "texts.st", "--out", out, "--settings"]
    if rule == "fit_translator":
        fit_translator.main([str(word) for word in (*given, json.dumps({"kind": kind, "held_out": 0.2, **settings}))])
    elif rule == "train_qformer":
        train_qformer.main([str(word) for word in (*given, json.dumps({**SHORT, "kind": kind, **settings}))])
    return out / "translator.safetensors" if rule else None


def translate_line(world: Path, fitted: Path | None, out: Path) -> Floats:
    how = ["--translator", fitted] if fitted else []
    given = [*how, "--texts", world / "texts.st", "--table", world / "reed.csv", "--out", out]
    translate_texts.main([str(word) for word in given])
    features: Floats = read_features(out)[0]["features"]
    return features


@pytest.mark.parametrize("kind", TRANSLATORS)
def test_every_line_of_the_registry_fits_translates_and_does_so_again(world: Path, kind: str, tmp_path: Path) -> None:
    fitted = fit_line(world, kind, tmp_path / "a")
    found = translate_line(world, fitted, tmp_path / "a.st")
    assert found.dtype == np.float32 and found.shape == (IMAGES * CAPTIONS, WIDTH)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    again = fit_line(world, kind, tmp_path / "b")
    if fitted and again:
        assert fitted.read_bytes() == again.read_bytes()
        assert read_features(fitted)[1]["translator"] == kind
    assert np.array_equal(found, translate_line(world, again, tmp_path / "b.st"))


@pytest.mark.parametrize("kind", [k for k in TRANSLATORS if not TRANSLATORS[k].network])
def test_a_text_is_translated_alone_as_among_others(kind: str) -> None:
    module, pairs = TRANSLATORS[kind].load(), some_pairs()
    state = module.fit(pairs, {name: values[0] for name, values in module.VALUES.items()}, 3)
    both = module.translate(state, pairs.texts)
    np.testing.assert_allclose(module.translate(state, pairs.texts[5:9]), both[5:9], atol=1e-6)


@pytest.mark.parametrize("kind", FITTED)
def test_images_kept_for_measuring_or_excluded_are_never_learnt_from(world: Path, kind: str, tmp_path: Path) -> None:
    """Their pairs may say anything without changing the translator."""
    ids = [f"{i}.jpg" for i in range(IMAGES)]
    kept = measured_images(ids, 0.3)
    assert 5 < len(kept) < 40
    before = fit_line(world, kind, tmp_path / "a", test_share=0.3, exclude=r"image 7$")
    images, _ = read_features(world / "images.st")
    changed = images["features"].copy()
    changed[kept] = changed[kept][:, ::-1]
    changed[7] = -changed[7]
    other = tmp_path / "world"
    other.mkdir()
    for name in ("pairs.csv", "reed.csv", "texts.st"):
        (other / name).write_bytes((world / name).read_bytes())
    save_features(other / "images.st", {"features": changed}, ids, "tiny_1", {"kind": "x"})
    after = fit_line(other, kind, tmp_path / "b", test_share=0.3, exclude=r"image 7$")
    assert before and after and before.read_bytes() == after.read_bytes()
    everything = fit_line(other, kind, tmp_path / "c")
    assert everything and (kind == "noise" or everything.read_bytes() != after.read_bytes())


def test_more_images_move_none_to_the_other_side() -> None:
    ids = [f"{i:012d}.jpg" for i in range(4000)]
    few, many = measured_images(ids[:500], 0.05), measured_images(ids, 0.05)
    assert few.tolist() == [i for i in many.tolist() if i < 500]
    assert 150 < len(many) < 250 and set(many) < set(measured_images(ids, 0.1))


STAGES = ("translators.fit_translator", "translators.train_qformer", "translators.translate_texts")
STAGES += ("translators.measure_conversion", "tables.tabulate_conversion", "tables.plot_conversion")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_sets_its_threads_before_anything_imports_numpy(stage: str) -> None:
    code = f"import sys, fieldguide.{stage}; print({{'numpy', 'torch', 'pandas'}} & sys.modules.keys())"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "set()\n"


# ---------------------------------------------------------------- the rule that chooses


def test_energy_score_by_hand() -> None:
    images = np.array([[1.0, 0.0]], np.float32)
    first, second = np.array([[0.0, 1.0]], np.float32), np.array([[1.0, 0.0]], np.float32)
    assert energy_score(first, first, images) == pytest.approx(2**0.5)
    # Half the way off on average, and the two draws are as far from each other: nothing is left.
    assert energy_score(first, second, images) == pytest.approx(0)


def test_energy_score_is_the_distance_that_a_cosine_makes() -> None:
    pairs = some_pairs()
    cosine = (pairs.texts * pairs.images).sum(1)
    assert energy_score(pairs.texts, pairs.texts, pairs.images) == pytest.approx(
        np.sqrt(2 - 2 * cosine).mean(), rel=1e-5
    )


@pytest.mark.parametrize("planted", [0.02, 0.08])
def test_the_noise_that_was_planted_is_chosen(planted: float) -> None:
    """Cosine and retrieval would take the smallest scale whatever is planted."""
    rng = np.random.default_rng(0)
    texts = unit(rng.normal(size=(2000, 32)))
    images = unit(texts + planted * rng.normal(size=texts.shape))
    pairs = Pairs(texts, images, np.arange(len(texts)))
    trials = trials_of(noise.VALUES)
    setting, scores = choose(noise, pairs.take(np.arange(1000)), pairs.take(np.arange(1000, 2000)), trials, 0)
    assert setting == {"scale": planted} and len(scores) == len(trials)


def test_a_single_trial_costs_nothing_and_grids_are_whole() -> None:
    assert choose(ridge, some_pairs(), some_pairs(), [{"penalty": 0.1}], 0) == ({"penalty": 0.1}, [])
    assert trials_of({}) == [{}]
    found = trials_of({"a": (1, 2), "b": (3, 4)})
    assert found == [{"a": 1, "b": 3}, {"a": 1, "b": 4}, {"a": 2, "b": 3}, {"a": 2, "b": 4}]


def test_what_was_tried_is_kept(world: Path, tmp_path: Path) -> None:
    fitted = fit_line(world, "ridge", tmp_path, values={"penalty": [0.5, 5000]})
    rows = read_csv(tmp_path / "selection.csv", ("penalty", "energy_score"))
    assert [row["penalty"] for row in rows] == ["0.5", "5000.0"]
    best = min(rows, key=lambda row: float(row["energy_score"]))
    assert fitted and read_features(fitted)[1]["setting"] == f'{{"penalty": {best["penalty"]}}}' == '{"penalty": 0.5}'


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("ridge", {"penlty": [1]}, "ridge has no hyper-parameter 'penlty'; it has penalty"),
        ("mean-shift", {"penalty": [1]}, "mean-shift has no hyper-parameter 'penalty'; it has none"),
        ("ridge", {"penalty": []}, "penalty should be a list of numbers above 0, not []"),
        ("ridge", {"penalty": [0]}, "penalty should be a list of numbers above 0, not [0]"),
        ("memory", {"temperature": 1}, "temperature should be a list of numbers above 0, not 1"),
        ("memory", {"images": (0.5,)}, "images should be a list of whole numbers above 0, not [0.5]"),
        ("mlp", {"width": [8, True]}, "width should be a list of whole numbers above 0, not [8, True]"),
        ("noise", {"scale": [float("inf")]}, "scale should be a list of numbers above 0, not [inf]"),
        ("covariance", {"shrinkage": [1, 1.5]}, "shrinkage should be 1 at most, not [1, 1.5]"),
    ],
)
def test_values_that_cannot_be_tried_are_named(kind: str, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"\w") as caught:
        values_to_try(kind, values)
    assert str(caught.value) == message


def test_whole_numbers_may_be_written_as_fractions() -> None:
    assert values_to_try("mlp", {"epochs": (3.0,), "penalty": (0.5,)})["epochs"] == (3.0,)


def test_bad_input_is_one_sentence(world: Path, tmp_path: Path) -> None:
    given = ["--pairs", world / "pairs.csv", "--pair-images", world / "images.st", "--pair-texts", world / "texts.st"]
    given += ["--out", tmp_path / "x", "--settings"]
    assert "error: --settings: Invalid JSON" in refusal(fit_translator.main, *given, "{x")
    sentence = refusal(fit_translator.main, *given, '{"kind": "ridge", "values": {"penlty": [1]}}')
    assert "--settings: values: ridge has no hyper-parameter 'penlty'; it has penalty" in sentence
    sentence = refusal(fit_translator.main, *given, '{"kind": "ridge", "exclude": "."}')
    assert sentence.endswith("pairs.csv: fewer than two images to train on and hold out")
    wide = tmp_path / "wide.st"
    images = read_features(world / "images.st")[0]["features"]
    save_features(wide, {"features": images[:, :6].copy()}, [f"{i}.jpg" for i in range(IMAGES)], "tiny_1", {})
    sentence = refusal(fit_translator.main, *given, '{"kind": "covariance"}', "--pair-images", wide)
    assert "texts are 8 wide and images 6, and covariance keeps the width; take ridge or mlp" in sentence
    assert not (tmp_path / "x").exists()


# ---------------------------------------------------------------- statistics


@given(st.integers(0, 20), st.integers(1, 4))
def test_moments_are_numpys(seed: int, captions: int) -> None:
    pairs = some_pairs(30, seed=seed, captions=captions)
    moments, images = pairs.moments, pairs.images[pairs.image_of]
    np.testing.assert_allclose(moments.text_mean, pairs.texts.mean(0), atol=1e-6)
    np.testing.assert_allclose(moments.image_mean, images.mean(0), atol=1e-6)
    joint = np.cov(np.concatenate([pairs.texts, images], 1).T.astype(np.float64), bias=True)
    np.testing.assert_allclose(moments.texts, joint[:WIDTH, :WIDTH], atol=1e-6)
    np.testing.assert_allclose(moments.images, joint[WIDTH:, WIDTH:], atol=1e-6)
    np.testing.assert_allclose(moments.between, joint[:WIDTH, WIDTH:], atol=1e-6)


def test_part_of_the_pairs_keeps_its_images() -> None:
    pairs = some_pairs(30, captions=3)
    rows = np.array([5, 4, 80, 7])
    part = pairs.take(rows)
    assert np.array_equal(part.images[part.image_of], pairs.images[pairs.image_of[rows]]) and len(part.images) == 3
    fitted, held = split_images(pairs.image_of, 0.2, 0)
    assert not set(pairs.image_of[fitted]) & set(pairs.image_of[held])


def test_mean_shift_by_hand() -> None:
    pairs = Pairs(unit([[3, 4], [3, 4]]), unit([[0, 1]]), np.array([0, 0]))
    state = mean_shift.fit(pairs, {}, 0)
    np.testing.assert_allclose(state["shift"], [-0.6, 0.2], atol=1e-6)
    np.testing.assert_allclose(mean_shift.translate(state, unit([[1, 0]])), unit([[0.4, 0.2]]), atol=1e-6)


def test_noise_has_its_scale_and_each_text_its_own() -> None:
    texts = unit(np.random.default_rng(0).normal(size=(2000, 16)))
    state = noise.fit(some_pairs(), {"scale": 0.05}, 7)
    drawn = noise.draw(state, texts)
    assert drawn.std() == pytest.approx(0.05, rel=0.02) and abs(drawn.mean()) < 0.001
    assert abs(np.corrcoef(drawn[:1000].ravel(), drawn[1000:].ravel())[0, 1]) < 0.03
    assert np.array_equal(noise.draw(state, texts[::-1]), drawn[::-1])
    other = noise.draw({**state, "seed": state["seed"] + 1}, texts)
    assert abs(np.corrcoef(other.ravel(), drawn.ravel())[0, 1]) < 0.03
    np.testing.assert_allclose(noise.translate(state, texts), unit(texts + drawn), atol=1e-6)


def test_c3_moves_the_mean_and_adds_the_noise() -> None:
    pairs = some_pairs()
    state = mean_shift_noise.fit(pairs, {"scale": 0.04}, 1)
    shift = pairs.images.mean(0) - pairs.texts.mean(0)
    wanted = pairs.texts + shift + noise.draw(noise.fit(pairs, {"scale": 0.04}, 1), pairs.texts)
    np.testing.assert_allclose(mean_shift_noise.translate(state, pairs.texts), unit(wanted), atol=1e-6)


def test_covariance_matches_both_moments_and_is_scipys_optimal_transport() -> None:
    pairs = some_pairs(2000)
    state = covariance.fit(pairs, {"shrinkage": 1e-9}, 0)
    moved = pairs.texts.astype(np.float64) @ state["weight"] + state["bias"]
    np.testing.assert_allclose(moved.mean(0), pairs.images.mean(0), atol=1e-5)
    np.testing.assert_allclose(np.cov(moved.T), np.cov(pairs.images.T), atol=1e-5)
    texts, images = (np.cov(part.T.astype(np.float64), bias=True) for part in (pairs.texts, pairs.images))
    root = sqrtm(texts).real
    inverse = np.linalg.inv(root)
    np.testing.assert_allclose(state["weight"], inverse @ sqrtm(root @ images @ root).real @ inverse, atol=1e-3)


def test_covariance_shrunk_all_the_way_matches_means_and_overall_spread() -> None:
    pairs = some_pairs(500)
    state = covariance.fit(pairs, {"shrinkage": 1.0}, 0)
    ratio = np.sqrt(pairs.images.var(0).sum() / pairs.texts.var(0).sum())
    np.testing.assert_allclose(state["weight"], ratio * np.eye(WIDTH), atol=1e-4)


def test_ridge_is_scikit_learns() -> None:
    pairs = some_pairs(300, captions=2)
    penalty = 0.3
    level = penalty * pairs.texts.astype(np.float64).var(0).mean() * len(pairs)
    theirs = Ridge(alpha=level).fit(pairs.texts.astype(np.float64), pairs.images[pairs.image_of].astype(np.float64))
    state = ridge.fit(pairs, {"penalty": penalty}, 0)
    np.testing.assert_allclose(state["weight"], theirs.coef_.T, atol=1e-5)
    np.testing.assert_allclose(state["bias"], theirs.intercept_, atol=1e-5)


def test_ridge_towards_the_identity_is_scikit_learns_on_what_the_identity_leaves() -> None:
    pairs = some_pairs(300, captions=2)
    texts, images = pairs.texts.astype(np.float64), pairs.images[pairs.image_of].astype(np.float64)
    centred = texts - texts.mean(0)
    towards = (centred * images).sum() / (centred**2).sum()
    level = 0.3 * texts.var(0).mean() * len(pairs)
    theirs = Ridge(alpha=level).fit(texts, images - towards * texts)
    state = ridge_identity.fit(pairs, {"penalty": 0.3}, 0)
    np.testing.assert_allclose(state["weight"], theirs.coef_.T + towards * np.eye(WIDTH), atol=1e-5)
    np.testing.assert_allclose(state["bias"], theirs.intercept_, atol=1e-5)


def test_ridge_towards_the_identity_is_the_map_that_a_residual_q_former_corrects() -> None:
    import torch

    from fieldguide.translators.residual import TOWARDS_TEXT, LeastSquares

    pairs = some_pairs(200, captions=2)
    theirs = LeastSquares(WIDTH, WIDTH)
    theirs.add(torch.from_numpy(pairs.texts), torch.from_numpy(pairs.images[pairs.image_of]))
    weight, bias = theirs.solve(TOWARDS_TEXT, towards_inputs=True)
    state = ridge_identity.fit(pairs, {"penalty": ridge_identity.VALUES["penalty"][0]}, 0)
    np.testing.assert_allclose(state["weight"], weight.numpy().T, atol=1e-5)
    np.testing.assert_allclose(state["bias"], bias.numpy(), atol=1e-5)


def test_a_penalty_without_end_leaves_a_scaled_and_moved_text() -> None:
    pairs = some_pairs(300)
    weight = ridge_identity.fit(pairs, {"penalty": 1e9}, 0)["weight"]
    np.testing.assert_allclose(weight, weight[0, 0] * np.eye(WIDTH), atol=1e-6)
    assert 0.5 < weight[0, 0] < 2


def test_memory_is_a_softmax_over_images() -> None:
    pairs = some_pairs(50)
    state = memory.fit(pairs, {"temperature": 0.05, "images": 1000}, 0)
    weights = softmax(pairs.texts @ pairs.images.T / 0.05, axis=1)
    np.testing.assert_allclose(memory.translate(state, pairs.texts), unit(weights @ pairs.images), atol=1e-5)
    few = memory.fit(pairs, {"temperature": 0.05, "images": 10}, 0)
    assert few["memory"].shape == (10, WIDTH)
    cold = memory.fit(pairs, {"temperature": 1e-4, "images": 1000}, 0)
    nearest = pairs.images[(pairs.texts @ pairs.images.T).argmax(1)]
    np.testing.assert_allclose(memory.translate(cold, pairs.texts), nearest, atol=1e-4)


# ---------------------------------------------------------------- planted truths


def planted_linear(n: int, noise_level: float, seed: int = 0, width: int = 16) -> tuple[Pairs, Any]:
    """Texts on the sphere, images an orthogonal map of them and noise, not normalised: the linear model exactly."""
    rng = np.random.default_rng(seed)
    truth = np.linalg.qr(np.random.default_rng(99).normal(size=(width, width)))[0]
    texts = unit(rng.normal(size=(n, width)))
    images = (texts @ truth + noise_level * rng.normal(size=(n, width))).astype(np.float32)
    return Pairs(texts, images, np.arange(n)), truth


@pytest.mark.parametrize("n", [500, 5000])
@pytest.mark.parametrize("noise_level", [0.01, 0.1])
def test_a_planted_linear_map_is_recovered_to_the_bound_that_the_noise_sets(n: int, noise_level: float) -> None:
    """Least squares: the squared error of all entries is, on average, sigma^2 out tr(inverse of the texts' scatter)."""
    width = 16
    errors, bounds = [], []
    for seed in range(5):
        pairs, truth = planted_linear(n, noise_level, seed)
        state = ridge.fit(pairs, {"penalty": 1e-6}, 0)
        errors.append(((state["weight"] - truth) ** 2).sum())
        centred = pairs.texts - pairs.texts.mean(0)
        bounds.append(noise_level**2 * width * np.trace(np.linalg.inv(centred.T.astype(np.float64) @ centred)))
    # 256 entries in each of five draws: the mean of chi-squared / degrees strays by some percent.
    assert np.mean(errors) / np.mean(bounds) == pytest.approx(1, abs=0.15)


def test_what_the_pairs_never_show_is_kept_by_ridge_towards_the_identity_and_lost_by_ridge() -> None:
    """Pairs vary in half of the directions, where a planted map turns them; texts to come vary in all."""
    rng = np.random.default_rng(0)
    turned = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    truth = np.eye(16)
    # Of the planted map's trace nothing is left to chance: the identity's multiple is one.
    truth[:8, :8] += 0.5 * (turned - np.trace(turned) / 8 * np.eye(8))
    shown = rng.normal(size=(3000, 16)) * np.repeat([1.0, 1e-3], 8)
    images = shown @ truth + 0.05 * rng.normal(size=shown.shape)
    pairs = Pairs(shown.astype(np.float32), images.astype(np.float32), np.arange(len(shown)))
    by_ridge = ridge.fit(pairs, {"penalty": 0.01}, 0)["weight"]
    kept = ridge_identity.fit(pairs, {"penalty": 0.01}, 0)["weight"]
    np.testing.assert_allclose(kept, truth, atol=0.06)
    np.testing.assert_allclose(by_ridge[:8, :8], truth[:8, :8], atol=0.06)
    assert np.abs(by_ridge[8:, 8:]).max() < 0.06
    texts = unit(rng.normal(size=(500, 16)))
    wanted = unit(texts @ truth)
    cosines = [(unit(texts @ weight) * wanted).sum(1).mean() for weight in (by_ridge, kept)]
    assert cosines[0] < 0.8 and cosines[1] > 0.99


def test_the_shared_rule_shrinks_more_where_pairs_are_few() -> None:
    """The optimal penalty of a planted map falls with the number of pairs."""
    chosen = []
    for n in (40, 4000):
        pairs, _ = planted_linear(n + 1000, 0.3)
        rows = np.arange(len(pairs))
        setting, _ = choose(ridge, pairs.take(rows[:n]), pairs.take(rows[n:]), trials_of(ridge.VALUES), 0)
        chosen.append(setting["penalty"])
    assert chosen[0] > chosen[1]


def planted_non_linear(n: int, seed: int = 0, width: int = 8) -> Pairs:
    """Images that depend on the products of text coordinates: nothing that a linear map could see."""
    rng = np.random.default_rng(seed)
    texts = unit(rng.normal(size=(n, width)))
    images = unit(np.roll(texts, 1, 1) * texts * width**0.5 + 0.02 * rng.normal(size=texts.shape))
    return Pairs(texts, images, np.arange(n))


def test_a_planted_non_linear_map_is_converted_better_by_the_perceptron_than_by_ridge() -> None:
    pairs, held = planted_non_linear(6000), planted_non_linear(500, seed=1)
    linear = ridge.translate(ridge.fit(pairs, {"penalty": 1e-3}, 0), held.texts)
    setting = {**{name: values[0] for name, values in mlp.VALUES.items()}, "epochs": 15}
    ours = mlp.translate(mlp.fit(pairs, setting, 0), held.texts)
    by_ridge, by_mlp = ((part * held.images).sum(1).mean() for part in (linear, ours))
    assert by_ridge < 0.3 and by_mlp > 0.9
    theirs = MLPRegressor(hidden_layer_sizes=(256,), max_iter=15, random_state=0).fit(pairs.texts, pairs.images)
    assert by_mlp > (unit(theirs.predict(held.texts)) * held.images).sum(1).mean() - 0.02


def test_the_perceptron_starts_at_ridge() -> None:
    pairs = some_pairs()
    setting = {**{name: values[0] for name, values in mlp.VALUES.items()}, "epochs": 0}
    linear = ridge.translate(ridge.fit(pairs, {"penalty": WIDTH / len(pairs)}, 0), pairs.texts)
    np.testing.assert_allclose(mlp.translate(mlp.fit(pairs, setting, 0), pairs.texts), linear, atol=1e-5)


def test_a_translator_of_no_known_kind_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(FieldguideError, match="is no translator that this version knows"):
        translate_texts.read_translator(world / "images.st")
