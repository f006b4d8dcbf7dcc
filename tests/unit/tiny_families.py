"""Every family of open_clip's models, cut down: its own configuration with small towers, random weights, its kind of
tokenizer, and where the hub would have it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch
import transformers
from safetensors.torch import save
from timm.models import register_model
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tests.unit.tiny_backbone import TEXTS

# ---------------------------------------------------------------- image towers of timm, small


@register_model
def tiny_siglip(pretrained: bool = False, **more: Any) -> Any:
    return timm.create_model("vit_base_patch16_siglip_224", img_size=32, embed_dim=32, depth=1, num_heads=2, **more)


@register_model
def tiny_eva(pretrained: bool = False, **more: Any) -> Any:
    return timm.create_model("eva02_base_patch16_clip_224", img_size=32, embed_dim=32, depth=1, num_heads=2, **more)


@register_model
def tiny_fastvit(pretrained: bool = False, **more: Any) -> Any:
    return timm.create_model("fastvit_mci0", layers=(1, 1, 1, 1), embed_dims=(8, 16, 32, 64), **more)


SMALL = {"siglip": "tiny_siglip", "eva02": "tiny_eva", "fastvit": "tiny_fastvit"}
WIDTH = 32


# ---------------------------------------------------------------- tokenizers of transformers, small


def unigram(special: list[str]) -> list[tuple[str, float]]:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=90, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return [(piece, score) for piece, score in json.loads(tokenizer.to_str())["model"]["vocab"]]


def pairs(special: list[str]) -> dict[str, Any]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=90, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return {"vocab": model["vocab"], "merges": [tuple(merge) for merge in model["merges"]]}


def pieces(special: list[str]) -> dict[str, int]:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=110, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(TEXTS, trainer)
    return tokenizer.get_vocab()


ROBERTA = ["<s>", "<pad>", "</s>", "<unk>"]
TOKENIZERS: dict[str, Callable[[], Any]] = {
    "t5": lambda: transformers.T5Tokenizer(vocab=unigram(["<pad>", "</s>", "<unk>"]), extra_ids=0, pad_token="</s>"),
    "gemma": lambda: transformers.GemmaTokenizer(
        **pairs(["<pad>", "<eos>", "<bos>", "<unk>"]), add_bos_token=False, add_eos_token=True, padding_side="right"
    ),
    "xlm-roberta": lambda: transformers.XLMRobertaTokenizer(vocab=unigram(ROBERTA)),
    "nllb": lambda: transformers.NllbTokenizer(**pairs(ROBERTA), src_lang="eng_Latn"),
    "bert": lambda: transformers.BertTokenizer(vocab=pieces(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])),
}


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def text_tower(kind: str, vocabulary: int) -> dict[str, bytes]:
    """The configuration of a small text tower, as its repository has it."""
    size = {"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": WIDTH}
    if kind == "nllb":
        size = {"d_model": WIDTH, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": WIDTH}
        size |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "decoder_ffn_dim": WIDTH}
        config: Any = transformers.M2M100Config(vocab_size=vocabulary, **size)
    else:
        config = transformers.XLMRobertaConfig(vocab_size=vocabulary, pad_token_id=1, **size)
    return {"config.json": config.to_json_string().encode()}


# ---------------------------------------------------------------- families


@dataclass(frozen=True)
class Family:
    """A kind of model: one of open_clip's names of it, a tag, and the repository that has it in the hub's layout."""

    name: str
    tag: str
    hub: str
    tokenizer: str = ""
    """Of TOKENIZERS; empty: CLIP's own, which open_clip brings along."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """What the hub's preprocess_cfg is cut down to; empty: what open_clip writes today."""
    differs: tuple[str, ...] = ()
    """In what its tags differ, so that it has to be given for a weights file."""


FAMILIES = {
    "OpenAI CLIP": Family("ViT-B-32", "openai", "timm/vit_base_patch32_clip_224.openai"),
    "OpenCLIP, LAION": Family(
        "ViT-L-14", "laion2b_s32b_b82k", "laion/CLIP-ViT-L-14-laion2B-s32B-b82K", differs=("mean", "std")
    ),
    "MetaCLIP": Family("ViT-B-16-quickgelu", "metaclip_fullcc", "timm/vit_base_patch16_clip_224.metaclip_2pt5b"),
    "MetaCLIP 2": Family(
        "ViT-H-14-worldwide",
        "metaclip2_worldwide",
        "timm/vit_huge_patch14_clip_224.metaclip2_worldwide",
        tokenizer="xlm-roberta",
    ),
    "DFN": Family("ViT-H-14-quickgelu", "dfn5b", "apple/DFN5B-CLIP-ViT-H-14", differs=("resize_mode",)),
    "EVA": Family("EVA02-B-16", "merged2b_s8b_b131k", "timm/eva02_base_patch16_clip_224.merged2b_s8b_b131k"),
    "SigLIP": Family("ViT-B-16-SigLIP", "webli", "timm/ViT-B-16-SigLIP", tokenizer="t5"),
    "SigLIP 2": Family("ViT-B-16-SigLIP2", "webli", "timm/ViT-B-16-SigLIP2", tokenizer="gemma"),
    "MobileCLIP": Family("MobileCLIP-S1", "datacompdr", "apple/MobileCLIP-S1-OpenCLIP"),
    "MobileCLIP 2": Family("MobileCLIP2-S4", "dfndr2b", "timm/MobileCLIP2-S4-OpenCLIP"),
    "BioCLIP": Family("ViT-B-16", "laion2b_s34b_b88k", "imageomics/bioclip", config={"mean": None, "std": None}),
    "CoCa": Family("coca_ViT-B-32", "laion2b_s13b_b90k", "laion/CoCa-ViT-B-32-laion2B-s13B-b90k"),
    "CLIPA": Family("ViT-L-14-CLIPA", "datacomp1b", "UCSC-VLAA/ViT-L-14-CLIPA-datacomp1B", tokenizer="bert"),
    "XLM-RoBERTa": Family(
        "xlm-roberta-base-ViT-B-32",
        "laion5b_s13b_b90k",
        "laion/CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k",
        tokenizer="xlm-roberta",
    ),
    "NLLB-CLIP": Family("nllb-clip-base-siglip", "v1", "visheratin/nllb-clip-base-siglip", tokenizer="nllb"),
}


def cut_down(config: dict[str, Any], vocabulary: int) -> dict[str, Any]:
    """open_clip's configuration of a model with small towers; what makes it one of its family stays."""
    vision, text = dict(config["vision_cfg"]), dict(config["text_cfg"])
    if "timm_model_name" in vision:
        vision["timm_model_name"] = next(small for part, small in SMALL.items() if part in vision["timm_model_name"])
        vision["image_size"] = 64 if "fastvit" in vision["timm_model_name"] else 32
    else:
        vision |= {"image_size": 32, "layers": 1, "width": WIDTH, "patch_size": 16, "head_width": 16}
    if "hf_model_name" not in text:
        text |= {"vocab_size": vocabulary, "width": WIDTH, "heads": 2, "layers": 2}
    small = {**config, "embed_dim": WIDTH, "vision_cfg": vision, "text_cfg": text}
    if "multimodal_cfg" in config:
        small["multimodal_cfg"] = {**config["multimodal_cfg"], "width": WIDTH, "heads": 2, "layers": 1}
    return small


@dataclass(frozen=True)
class Tiny:
    """A family's small model."""

    config: dict[str, Any]
    """open_clip's model_cfg."""
    weights: bytes
    """A safetensors file."""
    tokenizer: dict[str, bytes]
    """Its files; none where it is CLIP's own."""
    tower: dict[str, bytes]
    """The configuration of a text tower of transformers; none of open_clip's own."""

    def repositories(self, family: Family) -> dict[str, dict[str, bytes]]:
        """What the hub has: the family's repository, and those of its tokenizer and text tower."""
        text = self.config["text_cfg"]
        tag = open_clip.get_pretrained_cfg(family.name, family.tag)
        where, _, file = tag["hf_hub"].rpartition("/")
        known: dict[str, dict[str, bytes]] = {where: {file or "open_clip_model.safetensors": self.weights}}
        for name, content in (
            (text.get("hf_tokenizer_name"), self.tokenizer),
            (text.get("hf_model_name"), self.tower),
            (family.hub, self.snapshot(family)),
        ):
            if name:
                known.setdefault(name, {}).update(content)
        return known

    def snapshot(self, family: Family) -> dict[str, bytes]:
        """The family's repository, by itself: configuration, weights, tokenizer, text tower."""
        tag = open_clip.get_pretrained_cfg(family.name, family.tag)
        # As open_clip.push_to_hf_hub writes it.
        about = {key: tag[key] for key in family.config or ("mean", "std", "interpolation", "resize_mode")}
        config = self.config | ({"quick_gelu": True} if tag.get("quick_gelu") else {})
        content = json.dumps({"model_cfg": config, "preprocess_cfg": about}).encode()
        files = {"open_clip_config.json": content, "open_clip_model.safetensors": self.weights}
        return {**self.tower, **self.tokenizer, **files}


@functools.cache
def tokenizer_files(kind: str, folder: Path) -> tuple[dict[str, bytes], int]:
    """A tokenizer's files, and how many tokens it knows."""
    made = TOKENIZERS[kind]()
    made.save_pretrained(folder)
    return files_in(folder), len(made)


def make(family: Family, folder: Path) -> Tiny:
    """A family's small model with random weights; `folder` is for what has to lie on disk on the way."""
    tokenizer, vocabulary = tokenizer_files(family.tokenizer, folder / "tok") if family.tokenizer else ({}, 49408)
    config = cut_down(open_clip.get_model_config(family.name), vocabulary)
    tower: dict[str, bytes] = {}
    text = config["text_cfg"]
    if "hf_model_name" in text:
        tower = text_tower(family.tokenizer, vocabulary)
        (folder / "config.json").write_bytes(tower["config.json"])
        text = {**text, "hf_model_name": str(folder), "hf_model_pretrained": False}
    torch.manual_seed(0)
    kinds: Any = open_clip.CoCa if "multimodal_cfg" in config else open_clip.CustomTextCLIP
    is_plain = not config.get("custom_text") and not tower
    sizes = {key: value for key, value in config.items() if key != "custom_text"} | {"text_cfg": text}
    model = (open_clip.CLIP if is_plain else kinds)(**sizes)
    with torch.no_grad():  # as they begin, some towers give every image nearly the same feature
        for parameter in model.parameters():
            noise = torch.randn_like(parameter)
            parameter.copy_(noise / parameter[0].numel() ** 0.5 if parameter.ndim > 1 else parameter + noise / 20)
    return Tiny(config, save({k: v.contiguous() for k, v in model.state_dict().items()}), tokenizer, tower)
