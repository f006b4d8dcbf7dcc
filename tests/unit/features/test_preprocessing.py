"""How photographs are prepared: who says so, what the user has to say, and that features tell it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import open_clip.factory
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from pydantic import ValidationError

from fieldguide.core.errors import FieldguideError
from fieldguide.features import encode_images, encode_texts
from fieldguide.features.backbone import LOCAL, backbone_key, load_backbone
from fieldguide.features.preprocessing import KEYS, choose, recorded, set_by
from fieldguide.features.settings import Preprocessing
from fieldguide.features.store import check_same_backbone
from tests.tiny_data import refusal, said
from tests.unit.features.test_encode_images import argv as image_argv
from tests.unit.features.test_encode_texts import argv as text_argv
from tests.unit.planted_features import read_tensors
from tests.unit.tiny_backbone import CONTEXT, TEXTS, change_config, config_of, copy_of, load

ALL = {"mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "interpolation": "bilinear", "resize_mode": "squash"}
NAMES = open_clip.list_models()


def variants(name: str) -> list[tuple[Any, ...]]:
    """The preprocessings of a model's tags."""
    tags = open_clip.list_pretrained_tags_by_model(name)
    return sorted({tuple(open_clip.get_pretrained_cfg(name, tag)[key] for key in KEYS) for tag in tags})


# ---------------------------------------------------------------- weights files, by every name of open_clip


def test_a_weights_file_is_prepared_as_all_tags_of_its_model_say() -> None:
    agreed = [name for name in NAMES if len(variants(name)) == 1]
    assert len(agreed) > 100
    for name in agreed:
        chosen, source = choose(name, "mine.pt", Preprocessing())
        assert [tuple(chosen[key] for key in KEYS)] == variants(name) and source == f"open_clip's tags of {name}"
    # As mlfoundations/open_clip#1068 has them.
    assert choose("MobileCLIP-S1", "w.pt", Preprocessing())[0]["std"] == (1.0, 1.0, 1.0)
    assert choose("ViT-B-16-SigLIP", "w.pt", Preprocessing())[0]["resize_mode"] == "squash"


def test_where_tags_differ_or_there_are_none_it_is_demanded() -> None:
    unclear = [name for name in NAMES if len(variants(name)) != 1]
    assert {"ViT-L-14", "ViT-H-14", "ViT-S-16", "coca_base"} <= set(unclear)
    for name in unclear:
        with pytest.raises(FieldguideError, match=r"^backbone\.preprocessing: give ") as caught:
            choose(name, "folder/mine.pt", Preprocessing())
        sentence = str(caught.value)
        assert "which mine.pt does not say: open_clip" in sentence and name in sentence
        assert "\n" not in sentence and len(sentence) < 500
        assert choose(name, "folder/mine.pt", Preprocessing(**ALL)) == (
            ALL,
            "backbone.preprocessing (mean, std, interpolation, resize_mode)",
        )


def test_only_what_differs_is_demanded_with_what_each_tag_says() -> None:
    with pytest.raises(FieldguideError) as caught:
        choose("ViT-L-14", "mine.pt", Preprocessing(std=(0.5, 0.5, 0.5)))
    assert str(caught.value).startswith("backbone.preprocessing: give mean, which mine.pt does not say: ")
    assert "{mean: [0.48145466, 0.4578275, 0.40821073]} for openai, " in str(caught.value)
    assert "{mean: [0.5, 0.5, 0.5]} for laion2b_s32b_b82k" in str(caught.value)
    chosen, source = choose("ViT-L-14", "mine.pt", Preprocessing(mean=(0.5,) * 3, std=(0.5,) * 3))
    assert (chosen["mean"], chosen["resize_mode"]) == ([0.5] * 3, "shortest")
    assert source == "backbone.preprocessing (mean, std), open_clip's tags of ViT-L-14 (interpolation, resize_mode)"


def test_a_tag_says_it_all() -> None:
    for name in ("ViT-L-14", "ViT-H-14", "ViT-B/32"):
        tag = open_clip.list_pretrained_tags_by_model(name.replace("/", "-"))[0]
        about = open_clip.get_pretrained_cfg(name.replace("/", "-"), tag)
        chosen, source = choose(name, tag, Preprocessing())
        assert chosen == {key: about[key] for key in KEYS}
        assert source == f"open_clip's tag {tag} of {name.replace('/', '-')}"
    assert choose("ViT-L-14", "openai", Preprocessing(mean=(0, 0, 0)))[0]["mean"] == [0, 0, 0], "what is given wins"


@pytest.mark.parametrize(
    "bad",
    [
        {"mean": [0.5, 0.5]},
        {"mean": "0.5"},
        {"std": [0.5, 0, 0.5]},
        {"std": [-1, 1, 1]},
        {"interpolation": "nearest"},
        {"resize_mode": "crop"},
        {"size": 0},
        {"means": [0.5] * 3},
    ],
)
def test_bad_values_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Preprocessing(**bad)


# ---------------------------------------------------------------- configurations


def test_a_configuration_says_its_own(backbone_folder: Path, tmp_path: Path) -> None:
    folder = copy_of(backbone_folder, tmp_path / "tiny-clip")
    change_config(folder, **ALL)
    backbone = load(folder)
    assert backbone.source == "its open_clip_config.json"
    assert {key: backbone.model.visual.preprocess_cfg[key] for key in KEYS} == ALL
    # Older ones say mean and std alone, and were written when there was nothing else to say.
    change_config(folder, interpolation=None, resize_mode=None)
    made = load(folder).model.visual.preprocess_cfg
    assert (made["mean"], made["interpolation"], made["resize_mode"]) == (ALL["mean"], "bicubic", "shortest")


def test_a_configuration_without_it_is_refused_until_it_is_given(backbone_folder: Path, tmp_path: Path) -> None:
    folder = copy_of(backbone_folder, tmp_path / "tiny-clip")
    change_config(folder, std=None)
    sentence = r"^backbone\.preprocessing: give std, which its open_clip_config.json lacks in preprocess_cfg; "
    with pytest.raises(FieldguideError, match=sentence):
        load(folder)
    path = folder / "open_clip_config.json"
    content = json.loads(path.read_text())
    del content["preprocess_cfg"]
    path.write_text(json.dumps(content))
    with pytest.raises(FieldguideError, match=r"give mean, std, which "):
        load(folder)
    backbone = load_backbone(f"{LOCAL}{folder}", "", "fp32", "cpu", preprocessing=Preprocessing(**ALL))
    assert {key: list(value) if key in ("mean", "std") else value for key, value in cfg_of(backbone).items()} == ALL
    assert backbone.source == "backbone.preprocessing (mean, std, interpolation, resize_mode)"


def cfg_of(backbone: Any) -> dict[str, Any]:
    return {key: backbone.model.visual.preprocess_cfg[key] for key in KEYS}


def test_a_configuration_whose_tokenizer_is_missing_is_refused(backbone_folder: Path, tmp_path: Path) -> None:
    folder = copy_of(backbone_folder, tmp_path / "tiny-clip")
    path = folder / "open_clip_config.json"
    content = json.loads(path.read_text())
    known = content["model_cfg"]["text_cfg"]["vocab_size"]
    del content["model_cfg"]["text_cfg"]["hf_tokenizer_name"]
    path.write_text(json.dumps(content))
    with pytest.raises(FieldguideError, match=rf"CLIP's own has 49,408 tokens where its text encoder knows {known}; "):
        load(folder)


# ---------------------------------------------------------------- files of features


def test_feature_files_say_what_was_used_and_who_said_so(
    backbone_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = said(encode_images.main, capsys, *image_argv(tmp_path, backbone_folder, [0, 1]))
    assert (
        "preprocessing as its open_clip_config.json has it: size [32, 32], mean [0.5, 0.5, 0.5], std [0.25, 0.25, 0.25]"
        in log
    )
    plain, about = read_tensors(tmp_path / "images.safetensors")
    assert about["preprocessing_source"] == "its open_clip_config.json" and "preprocessing_given" not in about
    assert set(KEYS) < set(json.loads(about["preprocessing"]))

    log = said(encode_images.main, capsys, *image_argv(tmp_path, backbone_folder, [0, 1], preprocessing=ALL))
    assert "preprocessing as backbone.preprocessing (mean, std, interpolation, resize_mode) has it: " in log
    given, about = read_tensors(tmp_path / "images.safetensors")
    assert json.loads(about["preprocessing_given"]) == ALL and ALL.items() <= json.loads(about["preprocessing"]).items()
    model = f"{LOCAL}{backbone_folder}"
    assert about["backbone"] == backbone_key(model, "", "fp32", Preprocessing(**ALL)) != backbone_key(model)
    assert (given["features"] - plain["features"]).abs().max() > 1e-3
    assert set_by(about) == Preprocessing(**ALL)

    # Another photograph gets the same one, whatever the backbone says by then.
    changed = copy_of(backbone_folder, tmp_path / "changed")
    change_config(changed, mean=[0.9, 0.9, 0.9])
    again = load_backbone(f"{LOCAL}{changed}", "", "fp32", "cpu", preprocessing=recorded(about))
    assert cfg_of(again) == ALL

    log = said(encode_texts.main, capsys, *text_argv(tmp_path, backbone_folder, TEXTS, preprocessing=ALL))
    _, texts = read_tensors(tmp_path / "texts.safetensors")
    assert texts["backbone"] == about["backbone"] and texts["tokenizer"] in log
    tokenizer = {"class": "HFTokenizer", "vocabulary": "local-dir", "context_length": CONTEXT, "clean": "whitespace"}
    assert json.loads(texts["tokenizer"]) == tokenizer
    check_same_backbone((tmp_path / "images.safetensors", about), (tmp_path / "texts.safetensors", texts))


def test_files_of_before_say_less_and_are_read() -> None:
    before = {"backbone": "b", "preprocessing": json.dumps({"size": [32, 32], **ALL, "mode": "RGB"})}
    assert recorded(before) == Preprocessing(**ALL) and recorded({}) == set_by(before) == Preprocessing()
    now = {**before, "preprocessing_source": "its open_clip_config.json"}
    check_same_backbone((Path("old"), before), (Path("new"), now), (Path("texts"), {"backbone": "b"}))
    other = {**before, "preprocessing": json.dumps({"mean": [0, 0, 0]})}
    with pytest.raises(FieldguideError, match=r"^new was encoded with another preprocessing than old \("):
        check_same_backbone((Path("old"), before), (Path("new"), other))


def test_keys_of_before_are_kept() -> None:
    assert backbone_key("ViT-L-14", "openai") == "ViT-L-14-openai_86856956"
    assert backbone_key("hf-hub:a/b", "", "auto") == "hf-hub-a-b_1e67ad70"
    sizes = {backbone_key("ViT-L-14", "openai", "fp32", Preprocessing(size=size)) for size in (None, 224, 336)}
    assert len(sizes) == 3


# ---------------------------------------------------------------- by a name of open_clip, with a file


@pytest.fixture
def mine(backbone_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights file of a model without a tag, in open_clip's list as `ViT-mine`."""
    config = config_of("argmax", 49408)
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-mine", config)
    torch.manual_seed(0)
    torch.save(open_clip.create_model("ViT-mine").state_dict(), tmp_path / "mine.pt")
    return tmp_path / "mine.pt"


def test_a_stage_demands_it_before_it_loads_anything(mine: Path, backbone_folder: Path, tmp_path: Path) -> None:
    given = {"model": "ViT-mine", "pretrained": str(mine)}
    for main, argv in (
        (encode_images.main, image_argv(tmp_path, backbone_folder, [0, 1], **given)),
        (encode_texts.main, text_argv(tmp_path, backbone_folder, TEXTS, **given)),
    ):
        sentence = refusal(main, *argv)
        assert "give mean, std, interpolation, resize_mode, which mine.pt does not say: " in sentence
        assert "open_clip has no tag of ViT-mine; docs/backbones.md says where to look" in sentence
    encode_images.main(image_argv(tmp_path, backbone_folder, [0, 1], preprocessing=ALL, **given))


def test_another_size(mine: Path) -> None:
    backbone = load_backbone("ViT-mine", str(mine), "fp32", "cpu", preprocessing=Preprocessing(**ALL, size=48))
    wanted = open_clip.create_model_from_pretrained(
        "ViT-mine", str(mine), force_image_size=48, return_transform=False
    ).eval()
    transform = image_transform_v2(PreprocessCfg(size=48, **ALL), is_train=False)
    photograph = Image.effect_noise((90, 60), 80).convert("RGB")
    pixels = backbone.preprocess(photograph)
    assert torch.equal(pixels, transform(photograph)) and pixels.shape == (3, 48, 48)
    with torch.inference_mode():
        assert torch.equal(backbone.model.encode_image(pixels[None]), wanted.encode_image(pixels[None]))
