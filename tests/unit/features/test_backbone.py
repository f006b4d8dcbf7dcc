"""The backbone: what its key depends on, how it is refused, and that shortened texts encode as open_clip's own."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from fieldguide.core.errors import FieldguideError
from fieldguide.features.backbone import (
    LOCAL,
    Backbone,
    backbone_key,
    encode_text,
    fitting_batch,
    is_causal_clip,
    keep_tower,
    load_backbone,
    parse_batch,
    pick_device,
    pick_precision,
    text_lengths,
)
from tests.unit.tiny_backbone import CONTEXT, KINDS, TEXTS, change_config, copy_of, load, write_backbone


@pytest.fixture(scope="module")
def backbones(folders: dict[str, Path]) -> dict[str, Backbone]:
    return {kind: load(folder) for kind, folder in folders.items()}


# ---------------------------------------------------------------- device and towers


def test_automatic_precision_is_full_on_a_cpu(folders: dict[str, Path]) -> None:
    assert pick_precision("auto", torch.device("cpu")) == "fp32"
    assert pick_precision("bf16", torch.device("cpu")) == "bf16"
    assert load(folders["eos"], "auto").dtype == torch.float32
    keys = {backbone_key("ViT-B-32", "openai", precision) for precision in ("fp32", "bf16", "fp16", "auto")}
    assert len(keys) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_one_tower_is_kept(folders: dict[str, Path], kind: str) -> None:
    whole = load(folders[kind])
    ids, images = whole.tokenizer(TEXTS), torch.randn(2, 3, 32, 32)
    image = keep_tower(load(folders[kind]), "image", torch.device("cpu"))
    text = keep_tower(load(folders[kind]), "text", torch.device("cpu"))
    with torch.inference_mode():
        for features, wanted in (
            (image.model.encode_image(images, normalize=True), whole.model.encode_image(images, normalize=True)),
            (encode_text(text.model, ids)[0], encode_text(whole.model, ids)[0]),
        ):
            torch.testing.assert_close(features, wanted, atol=1e-6, rtol=0)
    sizes = [sum(p.numel() for p in part.model.parameters()) for part in (image, text, whole)]
    assert max(sizes[:2]) < sizes[2]
    assert text.model.visual is None and is_causal_clip(text.model) == is_causal_clip(whole.model)


def test_the_automatic_batch() -> None:
    assert fitting_batch(torch.device("cpu"), lambda n: pytest.fail("a CPU needs no trial"), 512, 32) == 32
    assert parse_batch("auto") is None and parse_batch("7") == 7
    for text in ("0", "-1", "many", "1.5", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="is neither auto nor a number from 1"):
            parse_batch(text)


# ---------------------------------------------------------------- encoding


@pytest.mark.parametrize("kind", KINDS)
def test_encode_text_is_open_clips_own(backbones: dict[str, Backbone], kind: str) -> None:
    backbone = backbones[kind]
    ids = backbone.tokenizer(TEXTS)
    lengths = text_lengths(backbone.model, ids)
    with torch.inference_mode():
        pooled, tokens = encode_text(backbone.model, ids)
        wanted = backbone.model.encode_text(ids, normalize=True)
        inner = backbone.model.forward_intermediates(text=ids, text_indices=1, normalize_intermediates=True)
    torch.testing.assert_close(pooled, wanted, atol=1e-6, rtol=0)
    torch.testing.assert_close(pooled.norm(dim=1), torch.ones(len(TEXTS)))
    for row, length in enumerate(lengths.tolist()):
        theirs = inner["text_intermediates"][-1][row, :length]
        torch.testing.assert_close(tokens[row, :length], theirs, atol=1e-5, rtol=0)
    assert tokens.shape == (len(TEXTS), CONTEXT, 16)


@pytest.mark.parametrize("kind", ["eos", "argmax"])
def test_a_text_may_be_cut_to_its_length(backbones: dict[str, Backbone], kind: str) -> None:
    model = backbones[kind].model
    assert is_causal_clip(model)
    ids = backbones[kind].tokenizer(TEXTS)
    lengths = text_lengths(model, ids)
    assert len(set(lengths.tolist())) > 2 and int(lengths.min()) < CONTEXT
    with torch.inference_mode():
        whole, tokens = encode_text(model, ids)
        for row, length in enumerate(lengths.tolist()):
            pooled, short = encode_text(model, ids[row : row + 1, :length])
            torch.testing.assert_close(pooled[0], whole[row], atol=1e-6, rtol=0)
            torch.testing.assert_close(short[0], tokens[row, :length], atol=1e-5, rtol=0)


def test_text_lengths_by_hand(backbones: dict[str, Backbone]) -> None:
    eos, argmax, last = (backbones[kind].model for kind in KINDS)
    assert text_lengths(eos, torch.tensor([[5, 6, 1, 0, 0], [1, 0, 0, 0, 0], [5, 6, 7, 8, 1]])).tolist() == [3, 1, 5]
    assert text_lengths(argmax, torch.tensor([[49406, 9, 49407, 0], [49406, 49407, 0, 0]])).tolist() == [3, 2]
    # This tower attends to its padding and is pooled there: no place can be left out.
    assert text_lengths(last, torch.tensor([[5, 9, 1, 0, 0]])).tolist() == [5]
    assert not is_causal_clip(last)


def test_precision_is_of_the_forward_pass(folders: dict[str, Path]) -> None:
    outputs = {}
    for precision in ("fp32", "bf16"):
        backbone = load(folders["eos"], precision)
        with torch.inference_mode():
            outputs[precision] = encode_text(backbone.model, backbone.tokenizer(TEXTS))[0]
    assert (outputs["fp32"].dtype, outputs["bf16"].dtype) == (torch.float32, torch.bfloat16)
    difference = (outputs["fp32"] - outputs["bf16"].float()).abs().max()
    assert 0 < difference < 0.05


@pytest.mark.parametrize(
    ("model", "tag", "quick"),
    [
        ("ViT-L-14", "openai", True),
        ("ViT-B/32", "openai", True),
        ("ViT-B-32-quickgelu", "openai", True),
        ("ViT-B-32", "laion2b_s34b_b79k", False),
    ],
)
def test_the_activation_is_the_weights_own(monkeypatch: pytest.MonkeyPatch, model: str, tag: str, quick: bool) -> None:
    asked: dict[str, Any] = {}

    def no_download(*_: object, **given: object) -> None:
        asked.update(given)
        raise RuntimeError("no download here")

    monkeypatch.setattr(open_clip, "create_model_from_pretrained", no_download)
    assert "does not load: no download here" in refusal_of(model, tag)
    assert asked["force_quick_gelu"] is quick


def test_a_loaded_backbone_is_frozen(backbones: dict[str, Backbone]) -> None:
    backbone = backbones["eos"]
    assert not backbone.model.training
    assert not any(p.requires_grad for p in backbone.model.parameters())
    assert backbone.context_length == CONTEXT


# ---------------------------------------------------------------- the key


def key(folder: Path, precision: str = "fp32") -> str:
    return backbone_key(f"{LOCAL}{folder}", "", precision)


def test_the_key_follows_the_content_and_not_the_place(backbone_folder: Path, tmp_path: Path) -> None:
    before = key(backbone_folder)
    assert before.startswith("tiny-clip_") and len(before) == len("tiny-clip_") + 8
    moved = copy_of(backbone_folder, tmp_path / "elsewhere" / "tiny-clip")
    assert key(moved) == before
    (moved / "README.md").write_text("Notes change nothing.")
    assert key(moved) == before
    assert key(moved, "bf16") != before
    change_config(moved, mean=[0.4, 0.5, 0.5])
    assert key(moved) != before, "preprocessing"
    other = write_backbone(tmp_path / "other" / "tiny-clip", seed=1)
    assert key(other) != before, "weights"


@pytest.mark.parametrize(
    "name", ["open_clip_model.safetensors", "tokenizer.json", "model.bin", "model.pt", "model.pth"]
)
def test_any_file_that_open_clip_reads_changes_the_key(backbone_folder: Path, tmp_path: Path, name: str) -> None:
    folder = copy_of(backbone_folder, tmp_path / "tiny-clip")
    before = key(folder)
    with (folder / name).open("ab") as stream:
        stream.write(b"x")
    assert key(folder) != before


def test_the_key_of_a_name(tmp_path: Path) -> None:
    weights = tmp_path / "mine.pt"
    weights.write_bytes(b"one")
    keys = [
        backbone_key("ViT-B-32", "openai"),
        backbone_key("ViT-L-14", "openai"),
        backbone_key("ViT-B-32", "laion2b_s34b_b79k"),
        backbone_key("ViT-B-32", "openai", "fp16"),
        backbone_key("ViT-B-32", str(weights)),
    ]
    weights.write_bytes(b"two")
    keys.append(backbone_key("ViT-B-32", str(weights)))
    assert len(set(keys)) == len(keys)
    assert keys[0] == backbone_key("ViT-B-32", "openai", "fp32")
    assert keys[0].startswith("ViT-B-32-openai_")
    assert keys[4].rpartition("_")[0] == keys[5].rpartition("_")[0] and "mine" in keys[4]
    moved = weights.rename(tmp_path / "deeper.pt").replace(tmp_path / "mine.pt")
    assert backbone_key("ViT-B-32", str(moved)) == keys[5]


def test_a_key_is_a_folder_name() -> None:
    assert "/" not in backbone_key("hf-hub:laion/CLIP-ViT-B-32")
    assert " " not in backbone_key("ViT-B-32", "a b")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FieldguideError, match=rf"^backbone.model: {tmp_path} has no open_clip_config.json$"):
        key(tmp_path)


# ---------------------------------------------------------------- refusals


def refusal_of(model: str, pretrained: str = "", device: str = "cpu") -> str:
    with pytest.raises(FieldguideError) as caught:
        load_backbone(model, pretrained, "fp32", device)
    sentence = str(caught.value)
    assert "\n" not in sentence and len(sentence) < 400
    return sentence


def test_an_unknown_model_is_refused_with_the_closest() -> None:
    assert refusal_of("ViT-B-23", "openai").startswith(
        "backbone.model: open_clip knows no 'ViT-B-23'; did you mean ViT-B-"
    )
    assert "knows no 'qqq'; it knows" in refusal_of("qqq")


def test_random_weights_are_refused() -> None:
    assert refusal_of("ViT-B-32").startswith("backbone.pretrained: missing for ViT-B-32; its tags are openai")
    assert "'opnai' is neither a tag of ViT-B-32 nor a file; its tags are openai" in refusal_of("ViT-B-32", "opnai")


def test_a_folder_without_or_with_damaged_weights_is_refused(backbone_folder: Path, tmp_path: Path) -> None:
    folder = copy_of(backbone_folder, tmp_path / "tiny-clip")
    weights = folder / "open_clip_model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-10])
    assert f"backbone '{LOCAL}{folder}' does not load: its weights file is damaged" in refusal_of(f"{LOCAL}{folder}")
    weights.unlink()
    assert f"backbone '{LOCAL}{folder}' does not load: Required pretrained weights" in refusal_of(f"{LOCAL}{folder}")
    for content in (b"", b"no weights"):
        (folder / "model.pth").write_bytes(content)
        assert "does not load: its weights file is damaged" in refusal_of(f"{LOCAL}{folder}")
    weights.write_bytes(whole)
    (folder / "open_clip_config.json").write_text("{")
    assert "does not load: Could not load valid config" in refusal_of(f"{LOCAL}{folder}")
    assert "does not load" in refusal_of(f"{LOCAL}{tmp_path / 'nowhere'}")


def test_weights_of_another_model_are_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = copy_of(folders["eos"], tmp_path / "tiny-clip")
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["embed_dim"] = 9
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    assert "does not load: Error(s) in loading state_dict" in refusal_of(f"{LOCAL}{folder}")


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    with pytest.raises(FieldguideError, match="--device cuda:1: torch sees no GPU here; use --device cpu"):
        pick_device("cuda:1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == torch.device("cuda") and pick_device("cpu") == torch.device("cpu")
