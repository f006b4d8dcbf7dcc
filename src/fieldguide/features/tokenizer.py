"""How many tokens a text has for a backbone's text encoder, without the backbone and mostly without torch."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fieldguide.core.errors import FieldguideError
from fieldguide.features.backbone import LOCAL

CONTEXT = 77
"""CLIP's context, where a model's configuration names no other."""
DEFAULT_CLIP = "ViT-B-32"
"""The open_clip model that stands for all with CLIP's own tokenizer and context."""


@dataclass(frozen=True)
class Tokenizer:
    """Tokens of one text, start and end included and padding not, and how many the text encoder takes."""

    count: Callable[[str], int]
    context: int


def load_tokenizer(model: str, cache: str = "") -> Tokenizer:
    """The tokenizer of a backbone's model as open_clip names it.

    A local folder with a tokenizer.json is read with the tokenizers library alone, everything else through open_clip,
    which brings torch along; `cache` is the folder that `download_backbone` filled. Raises FieldguideError for a folder
    that has no open_clip model or a damaged tokenizer, for a model that open_clip does not know, and for a tokenizer
    that is not to be had.
    """
    text = _read_text_config(model)
    if text is not None and _is_simple(model, text):
        return _load_file(Path(model.removeprefix(LOCAL)) / "tokenizer.json", int(text.get("context_length", CONTEXT)))
    return load_with_open_clip(model, cache)


def _read_text_config(model: str) -> dict[str, Any] | None:
    """The text part of a local folder's configuration; None for other models."""
    if not model.startswith(LOCAL):
        return None
    path = Path(model.removeprefix(LOCAL)) / "open_clip_config.json"
    try:
        text = json.loads(path.read_text(encoding="utf-8"))["model_cfg"]["text_cfg"]
        return dict(text)
    except FileNotFoundError:
        raise FieldguideError(f"backbone.model: {path.parent} has no open_clip_config.json") from None
    except (ValueError, KeyError, TypeError) as error:
        raise FieldguideError(f"{path}: has no model_cfg.text_cfg ({error!r}); bring the folder anew") from error


def _is_simple(model: str, text: dict[str, Any]) -> bool:
    """Whether open_clip would read tokenizer.json and do nothing more with the tokens than cut and pad them."""
    more = text.get("tokenizer_kwargs") or text.get("tokenizer_mode")
    return (
        bool(text.get("hf_tokenizer_name"))
        and not more
        and (Path(model.removeprefix(LOCAL)) / "tokenizer.json").is_file()
    )


def _load_file(path: Path, context: int) -> Tokenizer:
    import ftfy
    import tokenizers

    try:
        inner = tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise FieldguideError(f"{path}: is not a tokenizer ({error}); bring the backbone's folder anew") from error
    inner.no_truncation()
    inner.no_padding()

    @lru_cache(maxsize=65536)
    def count(text: str) -> int:
        # open_clip cleans texts in this way before it hands them on; most have nothing to clean.
        if not (text.isascii() and text.isprintable()) or "&" in text:
            text = html.unescape(html.unescape(ftfy.fix_text(text)))
        return len(inner.encode(" ".join(text.split())).ids)

    return Tokenizer(count, context)


def load_with_open_clip(model: str, cache: str = "") -> Tokenizer:
    """The same for any model, by open_clip's own tokenizer."""
    import open_clip

    if not model.startswith(LOCAL) and ":" not in model and model not in open_clip.list_models():
        raise FieldguideError(f"backbone.model: open_clip knows no {model!r}; see open_clip.list_models()")
    try:
        tokenizer: Any = open_clip.get_tokenizer(model, cache_dir=cache or None)
    except OSError as error:
        raise FieldguideError(
            f"the tokenizer of {model!r} is not to be had ({str(error).splitlines()[0]}); "
            "run `snakemake download_backbone` where there is a network"
        ) from error
    # SigLIP's own class cleans in this way and has no attribute that says so.
    clean = getattr(tokenizer, "clean_fn", open_clip.tokenizer.get_clean_fn("canonicalize"))

    @lru_cache(maxsize=65536)
    def count(text: str) -> int:
        if hasattr(tokenizer, "encode"):  # CLIP's own: a start and an end token are added
            return len(tokenizer.encode(text)) + 2
        if getattr(tokenizer, "tokenizer_mode", "") == "clips":  # start, end and class token
            return len(tokenizer.tokenizer(clean(text), add_special_tokens=False).input_ids) + 3
        return len(tokenizer.tokenizer(clean(text)).input_ids)

    return Tokenizer(count, int(tokenizer.context_length))


def tokenizer_files(model: str) -> list[str]:
    """The files of a local folder that say how long a text is; none for other models."""
    folder = Path(model.removeprefix(LOCAL))
    names = ("open_clip_config.json", "tokenizer.json", "tokenizer_config.json") if model.startswith(LOCAL) else ()
    return [str(folder / name) for name in names if (folder / name).is_file()]


def tokenizer_model(model: str) -> str:
    """A model's name, or the one name that stands for all models of open_clip with CLIP's own tokenizer and context.

    So that another such backbone makes no text anew. Reads open_clip's list and imports nothing of it.
    """
    from importlib.metadata import PackageNotFoundError, distribution

    if ":" in model:
        return model
    try:
        path = Path(str(distribution("open_clip_torch").locate_file(f"open_clip/model_configs/{model}.json")))
        text = json.loads(path.read_text(encoding="utf-8")).get("text_cfg", {})
    except (PackageNotFoundError, OSError, ValueError):
        return model
    special = [key for key in ("hf_tokenizer_name", "tokenizer_kwargs", "tokenizer_mode") if text.get(key)]
    own = special or "siglip" in model.lower() or text.get("context_length", CONTEXT) != CONTEXT
    return model if own else DEFAULT_CLIP
