"""Tiny CLIPs with random weights in folders that open_clip loads: one per kind of text tower."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from fieldguide.aviary.train_clip import EOS, PAD, save, train_tokenizer
from fieldguide.features.backbone import LOCAL, Backbone, load_backbone

CONTEXT = 12
TEXTS = [
    "a small bird with a red crown",
    "this bird has a long yellow bill and grey legs",
    "a dog near a bus",
    "a bird",
    "the wings are brown with two white wing bars",
]
KINDS = ("eos", "argmax", "last")
"""Pooled at the end token's place, at the largest id (OpenAI's), or at the last place, padding and all (SigLIP's)."""


def config_of(kind: str, vocabulary: int) -> dict[str, Any]:
    """open_clip's model configuration."""
    text: dict[str, Any] = {"context_length": CONTEXT, "vocab_size": vocabulary, "width": 16, "heads": 2, "layers": 2}
    kinds: dict[str, dict[str, Any]] = {
        "eos": {"hf_tokenizer_name": "tiny", "pool_type": "eos", "eos_id": EOS, "pad_id": PAD},
        "argmax": {"vocab_size": 49408},
        "last": {"hf_tokenizer_name": "tiny", "pool_type": "last", "no_causal_mask": True, "pad_id": PAD},
    }
    text |= kinds[kind]
    vision = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}
    return {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text}


def write_backbone(folder: Path, kind: str = "eos", seed: int = 0) -> Path:
    """Write the folder, weights in half precision as the aviary's CLIP has them."""
    from open_clip.model import CLIP, CustomTextCLIP

    tokenizer = train_tokenizer(TEXTS, 300)
    config = config_of(kind, tokenizer.get_vocab_size())
    torch.manual_seed(seed)
    model = (CustomTextCLIP if kind == "last" else CLIP)(**config)
    save(folder, model, tokenizer, config | ({"custom_text": True} if kind == "last" else {}))
    return folder


def load(folder: Path, precision: str = "fp32") -> Backbone:
    """Load it as the stages do."""
    return load_backbone(f"{LOCAL}{folder}", "", precision, "cpu")


def copy_of(folder: Path, to: Path) -> Path:
    """A copy of a backbone's folder, to be changed."""
    return Path(shutil.copytree(folder, to))


def change_config(folder: Path, **preprocess: object) -> None:
    """Change the preprocessing in a backbone's folder."""
    path = folder / "open_clip_config.json"
    content = json.loads(path.read_text())
    content["preprocess_cfg"].update(preprocess)
    path.write_text(json.dumps(content))
