"""The backbone: a frozen CLIP loaded through open_clip, the same way whether by name or from a folder."""

from __future__ import annotations

import argparse
import difflib
import hashlib
import json
import pickle
import re
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldguide.core.errors import FieldguideError, name_some
from fieldguide.core.files import read_json, sha256_of
from fieldguide.features.preprocessing import KEYS, check_configuration, choose
from fieldguide.features.settings import Preprocessing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch

LOCAL = "local-dir:"  # open_clip's own prefix for a folder with open_clip_config.json and weights
# What open_clip may read from such a folder: configuration, weights, tokenizer.
LOCAL_FILES = (".json", ".safetensors", ".bin", ".pt", ".pth", ".txt", ".model")
HUB = "hf-hub:"
CONFIG = "open_clip_config.json"
UNSET = Preprocessing()


def add_backbone_options(parser: argparse.ArgumentParser) -> None:
    """The options by which every encoding stage says where the backbone lies and where it runs."""
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ...; auto takes a GPU where there is one")
    parser.add_argument("--cache", default="", help="folder that download_backbone filled; empty: open_clip's own")


def backbone_key(
    model: str, pretrained: str = "", precision: str = "fp32", preprocessing: Preprocessing = UNSET
) -> str:
    """A readable name of backbone, weights and preprocessing that changes when any of them does.

    Files are taken by their content, names by their text; open_clip fixes the preprocessing by model and weights, and
    what is set of it counts beside them. Raises FieldguideError when a local folder has no open_clip model.
    """
    parts: dict[str, Any] = {"model": model, "pretrained": pretrained, "precision": precision}
    label = f"{model}_{pretrained}" if pretrained else model
    if model.startswith(LOCAL):
        folder = Path(model.removeprefix(LOCAL))
        if not (folder / CONFIG).is_file():
            raise FieldguideError(f"backbone.model: {folder} has no {CONFIG}")
        files = sorted(p for p in folder.iterdir() if p.suffix in LOCAL_FILES)
        parts["model"] = {p.name: sha256_of(p) for p in files}
        label = folder.name
    elif Path(pretrained).is_file():
        parts["pretrained"] = sha256_of(pretrained)
        label = f"{model}_{Path(pretrained).stem}"
    if given := preprocessing.given():
        parts["preprocessing"] = given
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9.-]+', '-', label).strip('-')}_{digest[:8]}"


def given_key(settings: Mapping[str, Any]) -> str:
    """The name of an unknown backbone whose features were computed elsewhere; other settings give another name."""
    return f"given_{hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]}"


def is_downloaded(model: str, pretrained: str) -> bool:
    """Whether the weights come over the network: they do unless they are a local folder or a file."""
    return not model.startswith(LOCAL) and not Path(pretrained).is_file()


def manifest_path(cache: Path | str, key: str) -> Path:
    """Where `download_backbone` says what it brought into the folder for a backbone of that key."""
    return Path(cache) / f"{key}.json"


def is_of(manifest: Any, model: str, pretrained: str) -> bool:
    """Whether a manifest is one of this backbone."""
    return isinstance(manifest, dict) and (manifest.get("model"), manifest.get("pretrained")) == (model, pretrained)


def find_weights(model: str, pretrained: str, precision: str, cache: str) -> tuple[Path, str] | None:
    """The weights file that `download_backbone` brought, and its sha256; None when nothing says that it did.

    Raises FieldguideError when a file is missing, was changed, or is not the one that open_clip would take, and when
    there is no manifest and no network may be used.
    """
    from huggingface_hub import constants

    if not cache or not is_downloaded(model, pretrained):
        return None
    manifest = manifest_path(cache, backbone_key(model, pretrained, precision))
    if not manifest.is_file():
        # The files of a backbone are the same for every precision.
        others = (path for path in sorted(Path(cache).glob("*.json")) if is_of(read_json(path), model, pretrained))
        manifest = next(others, manifest)
    if not manifest.is_file():
        if not constants.HF_HUB_OFFLINE:
            return None
        raise FieldguideError(
            f"{manifest} is missing, so the weights of {describe(model, pretrained)} are not in {cache}, and "
            f"HF_HUB_OFFLINE forbids to fetch them; run `snakemake download_backbone` where there is a network"
        )
    kept = read_json(manifest)
    hint = f"delete {manifest} and run `snakemake download_backbone` where there is a network"
    for file in kept["files"]:
        path = Path(cache) / file["path"]
        if not path.is_file():
            raise FieldguideError(f"{path} is missing; {hint}")
        if sha256_of(path) != file["sha256"]:
            raise FieldguideError(f"{path} is not the file that was downloaded; remove it, {hint}")
        # open_clip reads what the hub's branch names, which another download may have moved on.
        repository, _, rest = file["path"].partition("/snapshots/")
        branch = Path(cache) / repository / "refs" / "main"
        if rest and branch.is_file() and branch.read_text().strip() != rest.split("/")[0]:
            raise FieldguideError(f"{path} is no longer what {branch} names; {hint}")
    sums = {file["path"]: file["sha256"] for file in kept["files"]}
    return Path(cache) / kept["weights"], sums[kept["weights"]]


def describe(model: str, pretrained: str) -> str:
    """A backbone as it is named in messages."""
    return f"{model!r} with weights {pretrained!r}" if pretrained else repr(model)


def is_torchscript(path: Path | str | None) -> bool:
    """Whether a weights file is a TorchScript archive, as OpenAI publishes its weights."""
    if not path or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.partition("/")[2] == "constants.pkl" for name in archive.namelist())


@dataclass(frozen=True)
class Backbone:
    """A loaded CLIP in evaluation mode, its preprocessing (PIL image to (3, h, w) float32) and its tokenizer."""

    model: Any
    preprocess: Callable[[Any], torch.Tensor]
    tokenizer: Callable[..., torch.Tensor]
    context_length: int
    device: torch.device
    dtype: torch.dtype
    weights: str = ""
    """sha256 of the weights file, where `download_backbone` took it down."""
    source: str = ""
    """Who says how a photograph is prepared."""


def pick_device(device: str) -> torch.device:
    """The device asked for; `auto` is a GPU where torch sees one."""
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise FieldguideError(f"--device {device}: torch sees no GPU here; use --device cpu")
    return torch.device(device)


def pick_precision(precision: str, device: torch.device) -> str:
    """The precision asked for; `auto` is bf16 on a GPU that computes in it, fp32 elsewhere."""
    import torch

    if precision != "auto":
        return precision
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def keep_tower(backbone: Backbone, tower: str, device: torch.device) -> Backbone:
    """The backbone on a device with only its "image" or its "text" tower; on a CPU its large layers packed.

    The other tower's memory is freed.
    """
    import torch

    from fieldguide.features.packing import pack

    model = backbone.model
    for name, _ in list(model.named_children()):
        if (name == "visual") != (tower == "image"):
            setattr(model, name, None)
    if device.type == "cpu" and backbone.dtype == torch.float32:
        pack(model)
    return replace(backbone, model=model.to(device), device=device)


def fitting_batch(device: torch.device, run: Callable[[int], object], most: int, on_cpu: int) -> int:
    """The batch size of `auto`: on a CPU what keeps its caches warm, on a GPU a power of two that fits its free memory.

    `run(n)` runs a batch of n items; the memory that eight of them take says what a larger batch would.
    """
    import torch

    if device.type != "cuda":
        return on_cpu
    few = 8
    run(few)
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    run(few)
    each = max(1, (torch.cuda.max_memory_allocated(device) - before) // few)
    # Half of what is free: the allocator needs room beside what is in use.
    fits = int(torch.cuda.mem_get_info(device)[0]) // 2 // each
    return max(few, min(most, 1 << max(0, fits.bit_length() - 1)))


def parse_batch(text: str) -> int | None:
    """A batch size; None for `auto`."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor a number from 1")
    return int(text)


def refuse_unknown(model: str, pretrained: str) -> None:
    """Raise FieldguideError when open_clip has no such model or weights, or when there would be no weights at all."""
    import open_clip

    if ":" in model:  # a folder, or a repository of the Hugging Face hub: weights come with it
        return
    known = open_clip.list_models()
    name = model.replace("/", "-")
    if name not in known:
        close = difflib.get_close_matches(name, known, 3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"it knows {known[0]}, {known[1]}, ... {known[-1]}"
        raise FieldguideError(f"backbone.model: open_clip knows no {model!r}; {hint}")
    if not open_clip.get_pretrained_cfg(name, pretrained) and not Path(pretrained).is_file():
        tags = open_clip.list_pretrained_tags_by_model(name)
        what = f"{pretrained!r} is neither a tag of {model} nor a file" if pretrained else f"missing for {model}"
        hint = f"its tags are {name_some(tags)}" if tags else "it has no tags, so name a weights file"
        raise FieldguideError(f"backbone.pretrained: {what}; {hint}")


def read_config(model: str, cache: str) -> dict[str, Any]:
    """The open_clip_config.json of a local folder or of a repository of the hub; empty for a name of open_clip.

    Raises OSError or ValueError where it is not to be had.
    """
    from open_clip.pretrained import download_pretrained_from_hf

    if model.startswith(LOCAL):
        path = Path(model.removeprefix(LOCAL)) / CONFIG
    elif model.startswith(HUB):
        path = Path(download_pretrained_from_hf(model.removeprefix(HUB), filename=CONFIG, cache_dir=cache or None))
    else:
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}


def local_tower(model: str) -> dict[str, Any]:
    """What open_clip must be told to find a text tower of transformers whose config.json lies in the model's folder.

    It would ask the hub for it, whatever the folder holds.
    """
    from open_clip.hf_configs import arch_dict

    folder = Path(model.removeprefix(LOCAL))
    if not model.startswith(LOCAL) or not (folder / "config.json").is_file() or not (folder / CONFIG).is_file():
        return {}
    try:
        text = read_config(model, "")["model_cfg"]["text_cfg"]
        kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    except (ValueError, KeyError):  # open_clip says what is wrong with its configuration
        return {}
    if not text.get("hf_model_name") or kind not in arch_dict:
        return {}
    return {"text_cfg": {**text, "hf_model_name": str(folder), "hf_model_pretrained": False}}


def refuse_other_vocabulary(model: str, network: Any, tokenizer: Any) -> None:
    """Raise FieldguideError where open_clip took CLIP's own tokenizer for a text encoder of another vocabulary.

    It does so wherever a configuration names no tokenizer; each token would be another word, in silence.
    """
    from open_clip import SimpleTokenizer

    known = getattr(getattr(network, "text", network), "vocab_size", None)
    if ":" in model and known and isinstance(tokenizer, SimpleTokenizer) and tokenizer.vocab_size != known:
        raise FieldguideError(
            f"backbone {model!r}: its {CONFIG} names no tokenizer, and CLIP's own has {tokenizer.vocab_size:,} tokens "
            f"where its text encoder knows {known:,}; set model_cfg.text_cfg.hf_tokenizer_name there"
        )


def load_backbone(
    model: str,
    pretrained: str,
    precision: str,
    device: str,
    cache: str = "",
    computed_in: str = "",
    preprocessing: Preprocessing = UNSET,
) -> Backbone:
    """Load a backbone through open_clip, from the folder `cache` where `download_backbone` brought it there.

    `computed_in`: what a precision of `auto` is on the device that the backbone will move to. `preprocessing`: what the
    user sets of it, over what the weights' tag, configuration or model is known for.

    Raises FieldguideError when the name, tag or folder is not known to open_clip, the weights are not to be had, or
    nobody says how a photograph is prepared for them.
    """
    import open_clip
    import torch
    from safetensors import SafetensorError

    target = pick_device(device)
    refuse_unknown(model, pretrained)
    by_name = ":" not in model
    chosen, source = choose(model, pretrained, preprocessing) if by_name else (preprocessing.given(), "")
    found = find_weights(model, pretrained, precision, cache)
    weights = str(found[0]) if found and by_name else pretrained or None
    # OpenAI's weights need QuickGELU; open_clip builds ViT-L-14 with GELU all the same, and only warns.
    tag = open_clip.get_pretrained_cfg(model.replace("/", "-"), pretrained)
    try:
        network, preprocess = open_clip.create_model_from_pretrained(
            model,
            weights,
            device=target,
            force_quick_gelu=bool(tag.get("quick_gelu")),
            force_image_size=preprocessing.size,
            cache_dir=cache or None,
            # open_clip and torch load a TorchScript archive only so; it holds no pickle that could run anything.
            weights_only=not is_torchscript(weights),
            **{f"image_{key}": chosen[key] for key in KEYS if key in chosen},
            **local_tower(model),
        )
        tokenizer = open_clip.get_tokenizer(model.replace("/", "-") if by_name else model, cache_dir=cache or None)
        config = read_config(model, cache)
    except (RuntimeError, ValueError, OSError) as error:
        first = str(error).splitlines()[0].strip() if str(error) else type(error).__name__
        raise FieldguideError(f"backbone {describe(model, pretrained)} does not load: {first}") from error
    except (SafetensorError, pickle.UnpicklingError, EOFError) as error:
        raise FieldguideError(
            f"backbone {describe(model, pretrained)} does not load: its weights file is damaged, or is none"
        ) from error
    if not by_name:
        kind, _, place = model.partition(":")
        where = f"its {CONFIG}" if kind == "local-dir" else f"{CONFIG} of {place}"
        source = check_configuration(config, where, preprocessing)
    if not hasattr(getattr(network, "text", network), "forward_intermediates") and transformers_tower(network) is None:
        raise FieldguideError(
            f"backbone {model!r}: open_clip gives no token features of its text encoder; take another"
        )
    refuse_other_vocabulary(model, network, tokenizer)
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    dtype = dtypes[computed_in or pick_precision(precision, target)]
    network = network.eval().requires_grad_(False).to(dtype)
    # A tower of transformers names the positions that it has, which are more than open_clip trains.
    context = int(tokenizer.context_length)
    return Backbone(network, preprocess, tokenizer, context, target, dtype, found[1] if found else "", source)


def transformers_tower(model: Any) -> Any | None:
    """The text tower, where it is one of the transformers library (XLM-RoBERTa, NLLB); None for open_clip's own."""
    from open_clip.hf_model import HFTextEncoder

    tower = getattr(model, "text", None)
    return tower if isinstance(tower, HFTextEncoder) else None


def describe_tokenizer(backbone: Backbone, model: str) -> str:
    """What makes tokens of texts, as JSON: open_clip's class, where its vocabulary is from, and how texts are cleaned.

    The same in every folder: a local one is not named.
    """
    tokenizer: Any = backbone.tokenizer
    inner = getattr(tokenizer, "tokenizer", None)
    vocabulary = getattr(inner, "name_or_path", "") if inner is not None else "open_clip"
    about = {
        "class": type(tokenizer).__name__,
        "vocabulary": "local-dir" if model.startswith(LOCAL) and inner is not None else vocabulary,
        "context_length": backbone.context_length,
        "clean": getattr(getattr(tokenizer, "clean_fn", None), "__name__", "").removeprefix("_clean_"),
        "mode": getattr(tokenizer, "tokenizer_mode", ""),
    }
    return json.dumps({key: value for key, value in about.items() if value}, sort_keys=True)


def text_lengths(model: Any, ids: torch.Tensor) -> torch.Tensor:
    """Tokens of each text including its end token, (b,) int64, for ids (b, context) as open_clip's tokenizers give.

    A tower that is not pooled at an end token (SigLIP's) sees its padding too: there every text has the full length.
    """
    tower = getattr(model, "text", model)
    if transformers_tower(model) is not None:
        return ids.ne(tower.config.pad_token_id).sum(1)
    pool = getattr(model, "text_pool_type", getattr(tower, "pool_type", ""))
    if pool == "eos":
        end: Any = getattr(model, "text_eos_id", getattr(tower, "eos_id", None))
        return ids.eq(end).int().argmax(1) + 1
    if pool == "argmax":
        return ids.argmax(1) + 1
    return ids.new_full((len(ids),), ids.shape[1])


def is_causal_clip(model: Any) -> bool:
    """Whether the text tower is CLIP's own: causal, pooled at the end token, so that padding adds nothing."""
    return getattr(model, "attn_mask", None) is not None and getattr(model, "text_pool_type", "") in ("argmax", "eos")


def ignores_padding(model: Any) -> bool:
    """Whether the padding adds nothing to a text's features, so that a batch may end with its longest text."""
    return is_causal_clip(model) or transformers_tower(model) is not None


def encode_text(model: Any, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pooled (b, d) unit norm and token features (b, length, width) after the last layer norm.

    Where the tower ignores padding, ids (b, length) may be cut to the longest text; others need the full context.
    """
    import torch
    from torch.nn.functional import normalize

    if (tower := transformers_tower(model)) is not None:
        mask = ids.ne(tower.config.pad_token_id).long()
        hidden = tower.transformer(input_ids=ids, attention_mask=mask)
        return normalize(tower.proj(tower.pooler(hidden, mask)), dim=-1), hidden.last_hidden_state
    if not is_causal_clip(model):
        out = model.forward_intermediates(text=ids, text_indices=1, normalize_intermediates=True, normalize=True)
        return out["text_features"], out["text_intermediates"][-1]
    length = ids.shape[1]
    dtype = model.transformer.get_cast_dtype()
    x = model.token_embedding(ids).to(dtype) + model.positional_embedding[:length].to(dtype)
    tokens = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length].to(dtype)))
    pooled = tokens[torch.arange(len(ids), device=ids.device), text_lengths(model, ids) - 1]
    projection = model.text_projection
    pooled = projection(pooled) if isinstance(projection, torch.nn.Module) else pooled @ projection
    return normalize(pooled, dim=-1), tokens
