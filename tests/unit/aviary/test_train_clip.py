"""The rule that makes the aviary's CLIP: its tokenizer, its examples, its batches, and a run of two steps."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from fieldguide.aviary import traits
from fieldguide.aviary.train_clip import (
    ATTRIBUTES,
    CONTEXT_LENGTH,
    EOS,
    IMAGE_SIZE,
    NAME,
    PAD,
    Examples,
    attribute_labels,
    attribute_loss,
    collate,
    contrastive_loss,
    draw_batch,
    main,
    make_example,
    train_tokenizer,
)
from fieldguide.aviary.traits import is_held_out
from fieldguide.features.backbone import LOCAL, load_backbone
from fieldguide.features.encode_texts import tokenise


@pytest.fixture(scope="module")
def data() -> Examples:
    return Examples(seed=3, count=60, scene_share=0.25, workers=1, vocab_size=400)


def test_a_tokenizer_ends_every_text_and_spells_anything() -> None:
    tokenizer = train_tokenizer(["a red bird", "a blue bird"], 300)
    assert (tokenizer.token_to_id("[PAD]"), tokenizer.token_to_id("[EOS]")) == (PAD, EOS)
    for text in ("A RED bird", "Größe: 5″", "", "日本"):
        ids = tokenizer.encode(text).ids
        assert ids[-1] == EOS and EOS not in ids[:-1] and PAD not in ids
        assert tokenizer.decode(ids).strip() == text.lower()
    assert tokenizer.encode("a red bird").ids == tokenizer.encode("A Red BIRD").ids


def test_an_examples_bird_is_held_in(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[traits.Species] = []
    draw_species = traits.draw_species

    def recorded(*given: Any) -> traits.Species:
        drawn.append(draw_species(*given))
        return drawn[-1]

    monkeypatch.setattr(traits, "draw_species", recorded)
    for index in range(20):
        pixels, labels, texts = make_example(0, index, 0.0)
        assert len(pixels) == IMAGE_SIZE * IMAGE_SIZE * 3
        assert traits.FAMILIES[labels[-1]] is drawn[-1].family
        assert not is_held_out(drawn[-1].family, drawn[-1].male)
        assert [len(style) for style in texts] == [4, 6, 2]
        assert all(drawn[-1].family.name in text for text in texts[NAME])
    assert len(drawn) == 20
    assert make_example(0, 5, 0.0) == make_example(0, 5, 0.0) != make_example(1, 5, 0.0)


def test_a_scene_has_the_same_captions_in_every_style() -> None:
    _, labels, (human, llm, name) = make_example(0, 0, 1.0)
    assert set(labels) == {-1} and human == llm == name and len(human) == 4


def test_attribute_labels() -> None:
    family = traits.FAMILIES[3]
    labels = dict(zip(ATTRIBUTES, attribute_labels(family, family.prototype, ()), strict=True))
    for part, values in traits.VARIABLE.items():
        assert values[labels[part]] == getattr(family.prototype, part)
    assert labels["family"] == 3
    covered = dict(zip(ATTRIBUTES, attribute_labels(family, family.prototype, ("wing", "crown")), strict=True))
    # What sits on a hidden part cannot be seen either.
    hidden = {"wing", "wing_bar", "crown", "crest", "eye_mark"}
    assert {name for name, label in covered.items() if label == -1} == hidden
    assert all(covered[name] == labels[name] for name in labels if name not in hidden)


def test_attribute_loss_by_hand() -> None:
    sizes = [len(values) for values in ATTRIBUTES.values()]
    logits = torch.zeros(2, sum(sizes))
    labels = torch.full((2, len(sizes)), -1)
    assert attribute_loss(logits, labels) == 0
    # Without knowledge the loss of one attribute is the logarithm of how many values it has.
    labels[0, 0], labels[1, 2] = 3, 0
    torch.testing.assert_close(attribute_loss(logits, labels), torch.tensor([sizes[0], sizes[2]]).log().mean())
    logits[0, 3] = 50
    torch.testing.assert_close(attribute_loss(logits, labels), torch.tensor(sizes[2]).log() / 2)


def test_epithets_mean_nothing() -> None:
    # The name texts of one family carry many epithets, so that none can stand for a species.
    names = [make_example(0, index, 0.0)[2][NAME][0] for index in range(40)]
    epithets = {word for text in names for word in text.split() if word in traits.EPITHETS}
    assert len(epithets) > 15


def test_examples_are_in_order_and_end_in_eos(data: Examples) -> None:
    assert data.images.shape == (60, IMAGE_SIZE, IMAGE_SIZE, 3)
    for index in (0, 17, 59):
        pixels, labels, _ = make_example(3, index, 0.25)
        assert data.images[index].tobytes() == pixels
        assert data.attributes[index].tolist() == labels and data.family[index] == labels[-1]
    for style in data.tokens:
        for row in style:
            for ids in row:
                assert ids[-1] == EOS and len(ids) <= CONTEXT_LENGTH


def test_batches(data: Examples) -> None:
    rng = np.random.default_rng(0)
    narrow = 0
    for _ in range(60):
        rows, style = draw_batch(data, 24, rng)
        assert len(rows) == 24 and style in (0, 1, 2)
        families = {int(f) for f in data.family[rows]}
        narrow += len(families) <= 3
        if style == NAME or len(families) > 3:
            assert len(set(rows.tolist())) == 24, "no image twice while there are enough"
    # Every other batch keeps to three families, but none whose texts are names.
    assert 15 < narrow < 40
    pixels, ids = collate(data, rows, style, rng)
    assert pixels.shape == (24, 3, IMAGE_SIZE, IMAGE_SIZE) and pixels.min() >= -2 and pixels.max() <= 2
    assert ((ids == EOS).sum(1) == 1).all()
    ends = (ids == EOS).int().argmax(1)
    assert all((row[end + 1 :] == PAD).all() for row, end in zip(ids, ends.tolist(), strict=True))
    assert int(ends.max()) == ids.shape[1] - 1


def test_contrastive_loss_by_hand() -> None:
    images = texts = torch.eye(3)
    wanted = torch.tensor((torch.e**2 + 2) / torch.e**2).log()
    torch.testing.assert_close(contrastive_loss(images, texts, torch.tensor(2.0)), wanted)
    assert contrastive_loss(images, texts.flip(0), torch.tensor(2.0)) > wanted


def test_two_steps_make_a_folder_that_open_clip_loads(tmp_path: Path) -> None:
    out = tmp_path / "clip"
    argv = [
        "--out",
        out,
        "--images",
        12,
        "--steps",
        2,
        "--batch",
        4,
        "--workers",
        1,
        "--threads",
        1,
        "--vocab-size",
        300,
    ]
    main([str(word) for word in argv])
    assert {path.name for path in out.iterdir()} >= {"open_clip_config.json", "open_clip_model.safetensors"}
    backbone = load_backbone(f"{LOCAL}{out}", "", "fp32", "cpu")
    _, lengths, cut = tokenise(backbone, ["a red bird", "bird " * 200])
    assert lengths[1] == CONTEXT_LENGTH and cut == ["bird " * 200]
    from PIL import Image

    noise = Image.frombytes("RGB", (80, 60), Random(0).randbytes(80 * 60 * 3))
    pixels = backbone.preprocess(noise)
    assert pixels.shape == (3, IMAGE_SIZE, IMAGE_SIZE)
    with torch.inference_mode():
        feature = backbone.model.encode_image(pixels[None], normalize=True)
    assert torch.isfinite(feature).all()
