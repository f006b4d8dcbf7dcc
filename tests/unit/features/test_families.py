"""Every family of models in docs/backbones.md, by all ways that lead to it: as open_clip's own transform and tokenizer
have it, feature by feature."""

from __future__ import annotations

import copy
import functools
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import open_clip
import open_clip.factory
import pytest
import torch
from PIL import Image

from fieldguide.core.errors import FieldguideError
from fieldguide.features import download_backbone
from fieldguide.features.backbone import LOCAL, Backbone, backbone_key, load_backbone
from fieldguide.features.encode_images import encode_store
from fieldguide.features.encode_texts import encode_ids, tokenise
from fieldguide.features.preprocessing import KEYS
from fieldguide.features.settings import Preprocessing
from fieldguide.features.tokenizer import load_with_open_clip
from tests.file_server import FileServer, file_server
from tests.tiny_data import as_settings, jpeg
from tests.unit.tiny_backbone import TEXTS
from tests.unit.tiny_families import FAMILIES, Family, Tiny, make

PHOTOGRAPHS = {f"{i}.jpg": jpeg(i, 40 + 25 * i) for i in range(3)}
MANY = [*TEXTS, "A BIRD, with Capitals &amp; full stops.", "word " * 90]
ROOT = Path(__file__).resolve().parents[3]

OTHER: dict[str, Any] = {"mean": [0.3] * 3, "std": [0.2] * 3, "interpolation": "bicubic", "resize_mode": "longest"}


class Photographs:
    """An image store of bytes."""

    def open(self, name: str) -> Image.Image:
        return Image.open(io.BytesIO(PHOTOGRAPHS[name]))


@pytest.fixture(scope="module")
def hub() -> Iterator[FileServer]:
    with pytest.MonkeyPatch.context() as patch, file_server() as server:
        constants = huggingface_hub.constants
        patch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr("transformers.utils.hub._hf_api", None)  # keeps the first hub that it was asked for
        patch.setenv("HF_HUB_CACHE", "")
        # CLIP's own takes a fifth of a second to make, and is the same for all that have it.
        patch.setattr(open_clip.factory, "SimpleTokenizer", functools.cache(open_clip.SimpleTokenizer))
        yield server


@pytest.fixture(params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> Family:
    return FAMILIES[request.param]


@pytest.fixture
def tiny(family: Family, hub: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """The family's small model, in open_clip's list by its own name, and on the hub."""
    (tmp_path / "made").mkdir()
    made = make(family, tmp_path / "made")
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, family.name, copy.deepcopy(made.config))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    for name, files in made.repositories(family).items():
        hub.serve_repository(name, files)
    return made


def download(model: str, pretrained: str, cache: Path) -> None:
    """As `snakemake download_backbone` does."""
    given = as_settings(model=model, pretrained=pretrained, precision="fp32")
    out = cache / f"{backbone_key(model, pretrained)}.json"
    download_backbone.main([*given, "--cache", str(cache), "--out", str(out)])


def open_clips_own(family: Family, cache: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit features of the photographs and the texts by open_clip alone, by its name and tag."""
    quick = bool(open_clip.get_pretrained_cfg(family.name, family.tag).get("quick_gelu"))
    model, _, transform = open_clip.create_model_and_transforms(
        family.name, family.tag, cache_dir=str(cache), force_quick_gelu=quick
    )
    tokenizer = open_clip.get_tokenizer(family.name, cache_dir=str(cache))
    model.eval()
    with torch.inference_mode():
        pixels = torch.stack([transform(Photographs().open(name)) for name in PHOTOGRAPHS])
        return model.encode_image(pixels, normalize=True), model.encode_text(tokenizer(MANY), normalize=True)


def ours(backbone: Backbone) -> tuple[torch.Tensor, torch.Tensor]:
    """The same as the encoding stages make them, the texts in two batches in order of their lengths."""
    store: Any = Photographs()
    images = torch.cat(list(encode_store(backbone, store, list(PHOTOGRAPHS), 2, 1)))
    ids, lengths, _ = tokenise(backbone, MANY)
    texts = torch.empty(len(MANY), images.shape[1])
    for rows, pooled, _ in encode_ids(backbone, ids, lengths, 4):
        texts[rows] = pooled
    return images, texts


def test_every_way_gives_open_clips_own_features(
    family: Family, tiny: Tiny, hub: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, hubs = tmp_path / "cache", f"hf-hub:{family.hub}"
    download(family.name, family.tag, cache)
    download(hubs, "", cache)
    wanted = open_clips_own(family, cache)
    spread = (wanted[0][0] - wanted[0][1]).abs().max(), (wanted[1][0] - wanted[1][1]).abs().max()
    assert min(spread) > 1e-3, "photographs and texts differ"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    hub.log.clear()

    file = tmp_path / "mine.safetensors"
    file.write_bytes(tiny.weights)
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, content in tiny.snapshot(family).items():
        (folder / name).write_bytes(content)
    tag = open_clip.get_pretrained_cfg(family.name, family.tag)
    given = Preprocessing(**{key: tag[key] for key in family.differs})
    # A weights file does not say its activation; a name that ends in -quickgelu does.
    quick = tag.get("quick_gelu") and not tiny.config.get("quick_gelu")
    if quick:
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, family.name, {**tiny.config, "quick_gelu": True})
    ways = {
        f"open_clip's tag {family.tag} of {family.name}": (family.name, family.tag, Preprocessing()),
        f"open_clip_config.json of {family.hub}": (hubs, "", Preprocessing()),
        "its open_clip_config.json": (f"{LOCAL}{folder}", "", Preprocessing()),
        f"open_clip's tags of {family.name}": (family.name, str(file), given),
    }
    for source, (model, pretrained, said) in ways.items():
        # A folder holds all that it needs, a text tower of transformers too.
        kept = tmp_path / "nothing" if model.startswith(LOCAL) else cache
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(kept))
        backbone = load_backbone(model, pretrained, "fp32", "cpu", str(kept), "", said)
        assert source in backbone.source
        for got, want in zip(ours(backbone), wanted, strict=True):
            torch.testing.assert_close(
                got, want, atol=2e-6, rtol=0, msg=lambda text, source=source: f"{source}: {text}"
            )
        counted = load_with_open_clip(model, str(kept))
        assert counted.context == backbone.context_length
        ids = backbone.tokenizer(TEXTS)
        assert ids.shape[1] == counted.context and [counted.count(text) for text in TEXTS] == lengths_of(ids, backbone)
    assert hub.log == [], "no network"

    if family.differs:
        with pytest.raises(
            FieldguideError, match=rf"^backbone.preprocessing: give {', '.join(family.differs)}, which "
        ):
            load_backbone(family.name, str(file), "fp32", "cpu", str(cache))
    # Other numbers are other features: the comparison above can fail.
    other = load_backbone(family.name, str(file), "fp32", "cpu", str(cache), "", Preprocessing(**OTHER))
    assert (ours(other)[0] - wanted[0]).abs().max() > 1e-4


def lengths_of(ids: torch.Tensor, backbone: Backbone) -> list[int]:
    """Tokens of each text, padding not counted; by the padding that the tokenizer says it has."""
    inner: Any = getattr(backbone.tokenizer, "tokenizer", None)
    pad = 0 if inner is None else inner.pad_token_id
    ends = 0 if inner is None or inner.pad_token_id != inner.eos_token_id else 1
    if getattr(backbone.tokenizer, "strip_sep_token", False):
        ends = 1  # the last token is made a zero, as padding is
    return [int(row.ne(pad).sum()) + ends for row in ids]


def test_the_page_lists_what_was_tried() -> None:
    page = (ROOT / "docs/backbones.md").read_text(encoding="utf-8")
    for name, family in FAMILIES.items():
        (line,) = [line for line in page.splitlines() if line.startswith(f"| {name} |")]
        assert f"`{family.name}`" in line and f"`{family.tag}`" in line
        tag = open_clip.get_pretrained_cfg(family.name, family.tag)
        for key in KEYS:
            value = tag[key] if isinstance(tag[key], str) else ", ".join(f"{number:.4g}" for number in tag[key])
            assert value in line, key
