"""Training a Q-Former on a planted world, and translating with it: from files to files."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import normalize

from fieldguide.core.files import read_csv, write_csv
from fieldguide.data.records import PAIR_COLUMNS
from fieldguide.features.store import Shard, save_features
from fieldguide.texts.table import TEXT_COLUMNS
from fieldguide.translators import qformer, retrieval, translate_texts
from fieldguide.translators.pairs import excluded_images, split_images
from fieldguide.translators.qformer import QFormer, translate
from fieldguide.translators.retrieval import recall_at
from fieldguide.translators.settings import TrainQFormer
from fieldguide.translators.train_qformer import CHECKPOINT, CURVE_COLUMNS, main
from fieldguide.translators.training import key_of
from tests.tiny_data import refusal, said
from tests.unit.planted_features import read_tensors

THINGS = ("dog", "bus", "kite", "bird", "cup", "boat")
FILLERS = ("a", "the", "seen", "near", "on", "of")
WIDTH = 8
IMAGES, CAPTIONS = 60, 2

Rng = torch.Generator


def unit(*shape: int, seed: int) -> torch.Tensor:
    return normalize(torch.randn(*shape, generator=Rng().manual_seed(seed)), dim=-1)


WORDS = dict(zip(THINGS + FILLERS, unit(len(THINGS) + len(FILLERS), WIDTH, seed=0), strict=True))
PICTURES = dict(
    zip(
        THINGS,
        torch.stack([WORDS[thing] for thing in THINGS])
        @ torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=Rng().manual_seed(1)))[0],
        strict=True,
    )
)
"""What a picture of a thing looks like: its word's token, turned."""


def captions_of(number: int) -> list[str]:
    """Captions of an image: its thing among fillers, at any place."""
    rng = np.random.default_rng(number)
    sentences = []
    for _ in range(CAPTIONS):
        words = rng.choice(FILLERS, int(rng.integers(2, 5))).tolist()
        words.insert(int(rng.integers(len(words) + 1)), THINGS[number % len(THINGS)])
        sentences.append(" ".join(words))
    return sentences


def text_tensors(texts: list[str]) -> dict[str, torch.Tensor]:
    """Token features as `encode_texts` writes them: a token a word, equal texts once."""
    distinct = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    lengths = [len(text.split()) for text in distinct]
    return {
        "pooled": unit(len(distinct), WIDTH, seed=2),
        "tokens": torch.stack([WORDS[word] for text in distinct for word in text.split()]).half(),
        "offsets": torch.tensor([0, *lengths]).cumsum(0),
        "rows": torch.tensor([distinct[text] for text in texts]),
    }


def write_pairs(folder: Path, spoil: str = "") -> None:
    """Pairs, their image features and their text features; `spoil` makes that thing's images and captions NaN."""
    rows = [
        {"pair_id": str(CAPTIONS * i + n), "image_id": str(i), "path": f"{i}.jpg", "caption": caption}
        for i in range(IMAGES)
        for n, caption in enumerate(captions_of(i))
    ]
    write_csv(folder / "pairs.csv", PAIR_COLUMNS, rows)
    captions = [row["caption"] for row in rows]
    images = torch.stack([PICTURES[THINGS[i % len(THINGS)]] for i in range(IMAGES)])
    tensors = text_tensors(captions)
    if spoil:
        images[THINGS.index(spoil) :: len(THINGS)] = float("nan")
        for text, row in zip(captions, tensors["rows"].tolist(), strict=True):
            if spoil in text.split():
                tensors["tokens"][tensors["offsets"][row] : tensors["offsets"][row + 1]] = float("nan")
    save_images(folder, images)
    save_features(folder / "texts.safetensors", tensors, captions, "tiny_1", {"kind": "text"})


def save_images(folder: Path, features: torch.Tensor, backbone: str = "tiny_1") -> None:
    ids = [str(i) for i in range(IMAGES)]
    save_features(folder / "images.safetensors", {"features": features}, ids, backbone, {"kind": "image"})


SETTINGS: dict[str, Any] = {
    "kind": "qformer",
    "queries": 2,
    "layers": 1,
    "hidden": 32,
    "heads": 2,
    "cross_attention_frequency": 1,
    "dropout": 0.1,
    "steps": 12,
    "batch": 32,
    "lr": 3e-3,
    "warmup": 2,
    "weight_decay": 0.05,
    "info_nce": 1.0,
    "temperature": 0.07,
    "held_out": 0.2,
    "evaluate_every": 5,
    "seed": 0,
}
"""A short training."""


def argv(folder: Path, *options: object, out: str = "out", **settings: Any) -> list[str]:
    """The command line of a short training; options and settings that are given again override."""
    given: list[object] = ["--pairs", folder / "pairs.csv", "--pair-images", folder / "images.safetensors"]
    given += ["--pair-texts", folder / "texts.safetensors", "--out", folder / out]
    given += ["--settings", json.dumps({**SETTINGS, **settings})]
    return [str(word) for word in (*given, *options)]


def trained(folder: Path, *options: object, out: str = "out", **settings: Any) -> tuple[bytes, list[dict[str, str]]]:
    """The translator's bytes and its curve."""
    main(argv(folder, *options, out=out, **settings))
    return (folder / out / "translator.safetensors").read_bytes(), read_csv(folder / out / "curve.csv", CURVE_COLUMNS)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    write_pairs(tmp_path)
    return tmp_path


# ---------------------------------------------------------------- which pairs


@given(st.lists(st.integers(0, 30), min_size=2, max_size=60), st.floats(0.01, 0.99), st.integers(0, 2**31))
def test_whole_images_are_held_out(image_of: list[int], share: float, seed: int) -> None:
    rows = np.array([*image_of, 31, 32])
    images = len(np.unique(rows))
    fit, held = split_images(rows, share, seed)
    assert not set(rows[fit]) & set(rows[held])
    assert set(rows[fit]) | set(rows[held]) == set(rows)
    # Every pair of a training image, and of each held-out image the first one.
    assert fit.tolist() == [i for i, image in enumerate(rows) if image not in set(rows[held])]
    assert held.tolist() == [rows.tolist().index(image) for image in rows[held]]
    assert len(held) == min(max(1, round(share * images)), images - 1)


def test_another_seed_holds_out_other_images() -> None:
    image_of = np.arange(40)
    assert split_images(image_of, 0.2, 0)[1].tolist() == split_images(image_of, 0.2, 0)[1].tolist()
    assert len({tuple(split_images(image_of, 0.2, seed)[1]) for seed in range(5)}) == 5


def test_excluded_images() -> None:
    captions = ["A Bird.", "a tree", "birdie", "two birds", "a cat"]
    image_of = np.array([1, 1, 2, 3, 4])
    assert excluded_images(image_of, captions, r"\bbirds?\b").tolist() == [1, 3]


# ---------------------------------------------------------------- training


def test_a_planted_world_is_learnt(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = said(main, capsys, *argv(world, steps=200, evaluate_every=50))
    curve = read_csv(world / "out" / "curve.csv", CURVE_COLUMNS)
    assert [int(row["step"]) for row in curve] == [50, 100, 150, 200]
    first, last = curve[0], curve[-1]
    assert float(last["train_loss"]) < float(first["train_loss"])
    assert float(last["heldout_cosine"]) > 0.9
    assert float(last["heldout_r1"]) > 90  # chance is 17
    assert "200 steps over 96 pairs" in log
    assert "<svg" in (world / "out" / "curve.svg").read_text()
    # The file holds a model that translates captions nobody trained on.
    state, about = read_tensors(world / "out" / "translator.safetensors")
    model = QFormer.from_metadata(about)
    model.load_state_dict(state)
    texts = [f"{filler} the {thing} {filler} on" for thing in THINGS for filler in FILLERS]
    tensors = text_tensors(texts)
    truth = torch.arange(len(texts)) // len(FILLERS)
    translated = translate(model, tensors["tokens"], tensors["offsets"])[tensors["rows"]]
    pictures = torch.stack(list(PICTURES.values()))
    assert recall_at(translated.numpy(), pictures.numpy(), truth.numpy(), 1) > 90
    assert about["translator"] == "qformer" and about["backbone"] == "tiny_1"


@pytest.mark.parametrize(("steps", "every", "wanted"), [(12, 5, [5, 10, 12]), (10, 5, [5, 10]), (3, 100, [3])])
def test_the_curves_steps(world: Path, steps: int, every: int, wanted: list[int]) -> None:
    _, curve = trained(world, steps=steps, evaluate_every=every)
    assert [int(row["step"]) for row in curve] == wanted


@pytest.mark.parametrize("scores", [(10, 90, 50), (90, 10, 50), (10, 50, 90), (50, 50, 50)])
def test_the_best_checkpoint_is_kept(world: Path, monkeypatch: pytest.MonkeyPatch, scores: tuple[float, ...]) -> None:
    looks: list[torch.Tensor] = []

    def scripted(texts: Any, *_: object) -> float:
        looks.append(torch.from_numpy(texts))
        return scores[len(looks) - 1]

    monkeypatch.setattr(retrieval, "recall_at", scripted)
    _, curve = trained(world, steps=15, evaluate_every=5)
    assert [float(row["heldout_r1"]) for row in curve] == list(scores)
    # Of equal retrieval, the better cosine.
    cosines = [float(row["heldout_cosine"]) for row in curve]
    best = max(range(3), key=lambda i: (scores[i], cosines[i]))
    state, about = read_tensors(world / "out" / "translator.safetensors")
    model = QFormer.from_metadata(about)
    model.load_state_dict(state)
    rows = read_csv(world / "pairs.csv", PAIR_COLUMNS)
    _, held = split_images(np.array([int(row["image_id"]) for row in rows]), 0.2, 0)
    tensors = text_tensors([row["caption"] for row in rows])
    kept = translate(model, tensors["tokens"], tensors["offsets"])[tensors["rows"][torch.from_numpy(held)]]
    for number, look in enumerate(looks):
        assert torch.allclose(kept, look, atol=1e-5) == (number == best)


def test_held_out_images_are_never_trained_on(world: Path) -> None:
    one_look = {"evaluate_every": 100}  # at the end: with one checkpoint the held-out images choose nothing
    before, curve = trained(world, **one_look)
    images, _ = read_tensors(world / "images.safetensors")
    rows = read_csv(world / "pairs.csv", PAIR_COLUMNS)
    image_of = np.array([int(row["image_id"]) for row in rows])
    _, held = split_images(image_of, 0.2, 0)
    features = images["features"].clone()
    features[image_of[held]] = unit(len(held), WIDTH, seed=9)
    save_images(world, features)
    after, other = trained(world, **one_look)
    assert after == before
    assert other[0]["train_loss"] == curve[0]["train_loss"]
    assert other[0]["heldout_cosine"] != curve[0]["heldout_cosine"]
    # The test can fail: a training image that is changed does change the model.
    features[np.setdiff1d(image_of, image_of[held])[0]] = unit(1, WIDTH, seed=9)[0]
    save_images(world, features)
    assert trained(world, **one_look)[0] != before


def test_same_seed_same_bytes(world: Path) -> None:
    runs = [trained(world, dropout=0.1, seed=seed, out=f"{n}") for n, seed in enumerate((0, 0, 1))]
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[2][0]
    pictures = [(world / name / "curve.svg").read_bytes() for name in ("0", "1")]
    assert pictures[0] == pictures[1]


def test_excluded_images_are_never_read(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unspoilt = trained(world, exclude=r"\bbirds?\b")
    assert unspoilt[0] != trained(world)[0]
    write_pairs(world, spoil="bird")
    log = said(main, capsys, *argv(world, exclude=r"\bbirds?\b"))
    assert "left out 10 of 60 images" in log
    assert ((world / "out" / "translator.safetensors").read_bytes()) == unspoilt[0]
    assert read_csv(world / "out" / "curve.csv", CURVE_COLUMNS) == unspoilt[1]


def test_shards_train_the_same_translator(world: Path) -> None:
    before = trained(world)
    captions = [row["caption"] for row in read_csv(world / "pairs.csv", PAIR_COLUMNS)]
    images, _ = read_tensors(world / "images.safetensors")
    paths: dict[str, list[Path]] = {"images": [], "texts": []}
    for number in (1, 2, 3):
        shard = Shard(number, 3)
        about = {"shard": str(number), "shards": "3"}
        paths["images"].append(world / f"images-{number}.safetensors")
        paths["texts"].append(world / f"texts-{number}.safetensors")
        ids, own = [str(i) for i in range(IMAGES)][shard.rows(IMAGES)], captions[shard.rows(len(captions))]
        features = images["features"][shard.rows(IMAGES)]
        save_features(paths["images"][-1], {"features": features}, ids, "tiny_1", about)
        save_features(paths["texts"][-1], text_tensors(own), own, "tiny_1", about)
    assert trained(world, "--pair-images", *paths["images"], "--pair-texts", *paths["texts"], out="sharded") == before
    # A shard too few, or one twice, is no set.
    given = ("--pair-images", *paths["images"], "--pair-texts", paths["texts"][0], paths["texts"][2])
    assert "texts-1.safetensors: is shard 1 of 3, where shard 1 of 2 was expected" in refusal(
        main, *argv(world, *given)
    )


def test_a_batch_larger_than_the_pairs(world: Path) -> None:
    _, curve = trained(world, batch=1000)
    assert all(np.isfinite(float(value)) for row in curve for value in row.values())


def refused(world: Path, *options: object, **settings: Any) -> str:
    sentence = refusal(main, *argv(world, *options, **settings))
    assert not (world / "out").exists()
    return sentence


def test_bad_input_is_refused(world: Path) -> None:
    assert "--settings: exclude: '(' is not a regular expression" in refused(world, exclude="(")
    assert "--settings: warmup is 20 of 12 steps" in refused(world, warmup=20)
    assert "pairs.csv: fewer than two images" in refused(world, exclude=".")
    assert f"{world / 'no.csv'}: No such file" in refused(world, "--pairs", world / "no.csv")
    features, _ = read_tensors(world / "images.safetensors")
    save_images(world, features["features"], "other_1")
    sentence = refused(world)
    assert "texts.safetensors is of backbone tiny_1" in sentence and "of other_1" in sentence


def test_a_training_that_diverges_is_told(world: Path) -> None:
    write_pairs(world, spoil="bird")
    assert "the training diverged before step 5; try a smaller lr than 0.003" in refused(world)


# ---------------------------------------------------------------- going on after a kill

LONG = {"steps": 200, "evaluate_every": 60, "dropout": 0.1, "bucketing": 2}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_a_killed_training_goes_on_to_the_same_weights(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    undisturbed = trained(world, out="undisturbed", **LONG)
    assert not (world / "undisturbed" / CHECKPOINT).exists()
    often = argv(world, "--checkpoint-seconds", 0, **LONG)
    process = subprocess.Popen(
        [sys.executable, "-m", "fieldguide.translators.train_qformer", *often], stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 120
    while not (world / "out" / CHECKPOINT).exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(0.1)  # some steps on
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (world / "out" / "translator.safetensors").exists()
    log = said(main, capsys, *argv(world, **LONG))
    (step,) = re.findall(r"going on after step (\d+), from", log)
    assert 0 < int(step) < 200
    assert (world / "out" / "translator.safetensors").read_bytes() == undisturbed[0]
    assert read_csv(world / "out" / "curve.csv", CURVE_COLUMNS) == undisturbed[1]
    assert not (world / "out" / CHECKPOINT).exists()


class Killed(BaseException):
    pass


def stop_training(world: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Begin a training, write a checkpoint after each step and stop at the first look; returns the checkpoint."""

    def stop(*_: object) -> float:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(retrieval, "recall_at", stop)
        main(argv(world, "--checkpoint-seconds", 0))
    return world / "out" / CHECKPOINT


@pytest.mark.parametrize("change", ["settings", "inputs", "damage", "nothing"])
def test_a_checkpoint_of_something_else_is_ignored(
    world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    checkpoint = stop_training(world, monkeypatch)
    more: dict[str, float] = {}
    if change == "settings":
        more = {"lr": 2e-3}
    elif change == "inputs":
        write_pairs(world)
    elif change == "damage":
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    log = said(main, capsys, *argv(world, **more))
    wanted = {"nothing": "going on after step 4", "damage": "cannot be read"}
    assert wanted.get(change, "is of other settings, inputs or code: beginning anew") in log
    assert ("going on" in log) == (change == "nothing")
    found = (world / "out" / "translator.safetensors").read_bytes()
    assert found == trained(world, out="fresh", **more)[0]
    assert not checkpoint.exists()


def test_settings_and_threads_are_part_of_what_a_checkpoint_is_of() -> None:
    here = Path(__file__)

    def key(threads: int = 1, **changes: str) -> str:
        settings = TrainQFormer.model_validate({**SETTINGS, **changes})
        return key_of([here, here], here, settings, threads, torch.device("cpu"))

    assert key() == key()
    assert len({key(), key(threads=2), key(residual="text"), key(captions="one")}) == 4


# ---------------------------------------------------------------- planted answers


def write_planted(folder: Path, sentences: list[torch.Tensor], images: torch.Tensor) -> None:
    """One caption an image, with these tokens each (t, width); the pooled feature is their mean."""
    captions = [f"caption {i}" for i in range(len(sentences))]
    rows = [
        {"pair_id": str(i), "image_id": str(i), "path": f"{i}.jpg", "caption": text} for i, text in enumerate(captions)
    ]
    write_csv(folder / "pairs.csv", PAIR_COLUMNS, rows)
    ids = [str(i) for i in range(len(images))]
    save_features(folder / "images.safetensors", {"features": images}, ids, "tiny_1", {"kind": "image"})
    tensors = {
        "pooled": normalize(torch.stack([tokens.mean(0) for tokens in sentences]), dim=-1),
        "tokens": torch.cat(sentences).half(),
        "offsets": torch.tensor([0, *map(len, sentences)]).cumsum(0),
        "rows": torch.arange(len(sentences)),
    }
    save_features(folder / "texts.safetensors", tensors, captions, "tiny_1", {"kind": "text"})


PLANTED = {"lr": 3e-3, "evaluate_every": 100, "batch": 64, "warmup": 20}


def test_one_token_among_distractors_is_found_by_the_tokens_and_lost_in_the_mean(tmp_path: Path) -> None:
    # A caption names all six things in any order and marks one. The mean is the same whichever is marked.
    rng = np.random.default_rng(0)
    things = torch.stack([WORDS[thing] for thing in THINGS])
    marked = rng.integers(len(THINGS), size=300)
    sentences = []
    for thing in marked:
        words = torch.cat([things, torch.zeros(len(THINGS), 1)], 1)
        words[thing, -1] = 1.0
        sentences.append(words[rng.permutation(len(THINGS))])
    assert len({tuple(np.round(tokens.mean(0).tolist(), 4)) for tokens in sentences}) == 1
    write_planted(tmp_path, sentences, torch.stack([PICTURES[THINGS[thing]] for thing in marked]))
    r1 = {}
    for kind in ("qformer", "qformer-pooled"):
        _, curve = trained(tmp_path, out=kind, **PLANTED, kind=kind, steps=300)
        r1[kind] = float(curve[-1]["heldout_r1"])
        assert read_tensors(tmp_path / kind / "translator.safetensors")[1]["translator"] == kind
    assert r1["qformer"] > 95
    assert r1["qformer-pooled"] < 35  # chance is 17


def test_a_planted_nonlinear_map_is_learnt_better_than_by_ridge(tmp_path: Path) -> None:
    # Products of neighbouring signs: to a linear map they look like nothing at all.
    from sklearn.linear_model import RidgeCV

    rng = Rng().manual_seed(3)
    signs = torch.randn(1000, 4, generator=rng).sign()
    x = signs + 0.2 * torch.randn(1000, 4, generator=rng)
    images = normalize(signs * signs.roll(1, dims=1), dim=-1)
    write_planted(tmp_path, [row[None] for row in x], images)
    more = {"lr": 1e-2, "steps": 120, "layers": 2, "held_out": 0.2, "info_nce": 0}
    _, curve = trained(tmp_path, **{**PLANTED, **more})
    fit, held = split_images(np.arange(1000), 0.2, 0)
    linear = RidgeCV(np.logspace(-3, 3, 7)).fit(x[fit], images[fit]).predict(x[held])
    cosine = float((normalize(torch.from_numpy(linear), dim=-1) * images[held]).sum(1).mean())
    assert float(curve[-1]["heldout_cosine"]) > max(0.8, cosine + 0.5)


@pytest.mark.parametrize("kind", ["qformer", "qformer-pooled"])
@pytest.mark.parametrize("residual", ["ridge", "text"])
def test_a_residual_training_begins_at_its_linear_map(tmp_path: Path, kind: str, residual: str) -> None:
    rng = Rng().manual_seed(4)
    turn = torch.linalg.qr(torch.randn(WIDTH, WIDTH, generator=rng))[0]
    x = unit(300, WIDTH, seed=5)
    shift = unit(1, WIDTH, seed=6)
    # What ridge finds exactly; and the pooled feature itself, moved.
    images = normalize(x @ turn if residual == "ridge" else x + shift, dim=-1)
    write_planted(tmp_path, [row[None] for row in x], images)
    _, curve = trained(tmp_path, kind=kind, residual=residual, steps=1, warmup=1, lr=1e-9)
    assert float(curve[-1]["heldout_cosine"]) > (0.999 if residual == "ridge" else 0.9)
    state, about = read_tensors(tmp_path / "out" / "translator.safetensors")
    model = QFormer.from_metadata(about)
    model.load_state_dict(state)
    out = translate(model, x, torch.arange(301))
    torch.testing.assert_close(out, normalize(model.base(x), dim=-1).detach(), atol=1e-3, rtol=0)


def test_a_large_weight_of_the_correction_keeps_the_linear_map(world: Path) -> None:
    def corrected(weight: float) -> float:
        trained(world, residual="text", correction=weight, steps=60)
        state, about = read_tensors(world / "out" / "translator.safetensors")
        model = QFormer.from_metadata(about).eval()
        model.load_state_dict(state)
        tensors = text_tensors([f"a {thing}" for thing in THINGS])
        padded = qformer.pad_tokens(tensors["tokens"], tensors["offsets"], torch.arange(len(THINGS)))
        return model.correction(*padded).norm(dim=1).mean().item()

    assert corrected(100.0) < 0.3 * corrected(0.0)


# ---------------------------------------------------------------- translating


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("translator")
    write_pairs(folder)
    trained(folder)
    return folder / "out" / "translator.safetensors"


TEXTS = ["a dog", "the kite near the boat", "a dog", "cup"]


def write_texts(folder: Path, texts: list[str], backbone: str = "tiny_1") -> list[str]:
    """A text table and its features; returns the command line that translates them."""
    rows = [dict(zip(TEXT_COLUMNS, ("1", "", "", "", text), strict=True)) for text in texts]
    write_csv(folder / "reed.csv", TEXT_COLUMNS, rows)
    save_features(folder / "texts.safetensors", text_tensors(texts), texts, backbone, {"kind": "text"})
    given = [
        "--texts",
        folder / "texts.safetensors",
        "--table",
        folder / "reed.csv",
        "--out",
        folder / "out.safetensors",
    ]
    return [str(word) for word in given]


def translated(folder: Path) -> tuple[torch.Tensor, dict[str, str]]:
    tensors, about = read_tensors(folder / "out.safetensors", [row["text"] for row in read_table(folder)])
    return tensors["features"], about


def read_table(folder: Path) -> list[dict[str, str]]:
    return read_csv(folder / "reed.csv", ("text",))


def test_translated_rows_follow_the_table(translator: Path, tmp_path: Path) -> None:
    translate_texts.main(["--translator", str(translator), *write_texts(tmp_path, TEXTS)])
    features, about = translated(tmp_path)
    assert features.shape == (4, WIDTH) and about["backbone"] == "tiny_1"
    torch.testing.assert_close(features.norm(dim=1), torch.ones(4))
    assert torch.equal(features[0], features[2])
    for row, text in enumerate(TEXTS):
        translate_texts.main(["--translator", str(translator), *write_texts(tmp_path / str(row), [text])])
        torch.testing.assert_close(translated(tmp_path / str(row))[0][0], features[row], atol=1e-6, rtol=0)


def test_identity_keeps_the_pooled_feature_and_needs_no_torch(tmp_path: Path) -> None:
    given = ["--translator", *write_texts(tmp_path, TEXTS)]
    code = "import sys; from fieldguide.translators.translate_texts import main; main(sys.argv[1:]); "
    code += "assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code, *given], check=True)
    features, about = translated(tmp_path)
    tensors, _ = read_tensors(tmp_path / "texts.safetensors")
    torch.testing.assert_close(features, tensors["pooled"][tensors["rows"]], atol=1e-6, rtol=0)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(4))
    assert features.dtype == torch.float32 and about["backbone"] == "tiny_1"
    write_csv(tmp_path / "reed.csv", ("text",), [{"text": "another"}])
    assert "texts.safetensors: was made for other rows" in refusal(translate_texts.main, *given)


def test_what_cannot_be_translated_is_refused(translator: Path, tmp_path: Path) -> None:
    def refused_with(model: Path, given: list[str]) -> Any:
        return refusal(translate_texts.main, "--translator", model, *given)

    sentence = refused_with(translator, write_texts(tmp_path, TEXTS, "other_1"))
    assert "texts.safetensors is of backbone other_1" in sentence and "of tiny_1" in sentence
    given = write_texts(tmp_path, TEXTS)
    assert "is no translator that this version knows" in refused_with(tmp_path / "texts.safetensors", given)
    write_csv(tmp_path / "reed.csv", ("text",), [{"text": "another"}])
    assert "texts.safetensors: was made for other rows" in refused_with(translator, given)
    assert not (tmp_path / "out.safetensors").exists()
