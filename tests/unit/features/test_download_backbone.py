"""Weights and tokenizers: fetched once from a hub or an address, verified, taken down, and loaded without a network."""

from __future__ import annotations

import functools
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import open_clip
import open_clip.factory
import open_clip.pretrained
import pytest
import safetensors.torch
import torch

from fieldguide.core.errors import FieldguideError
from fieldguide.features.backbone import LOCAL, Backbone, backbone_key, is_downloaded, is_torchscript, load_backbone
from fieldguide.features.download_backbone import main, published_sha256
from tests.file_server import FileServer, Turn, file_server
from tests.tiny_data import as_settings, refusal, said
from tests.unit.tiny_backbone import TEXTS, load, write_backbone

pytestmark = pytest.mark.filterwarnings("ignore:.*torch:DeprecationWarning", "ignore:.*TorchScript:UserWarning")

REPOSITORY = "tests/tiny-clip"
ON_HUB = f"hf-hub:{REPOSITORY}"
TAGGED = ("tiny-tagged", "mine")
WEIGHTS = "open_clip_model.safetensors"
MAIN = f"/{REPOSITORY}/resolve/main/"


@pytest.fixture(scope="module")
def files(backbone_folder: Path) -> dict[str, bytes]:
    """A tiny CLIP as a repository of the hub: its tokenizer is its own."""
    content = {path.name: path.read_bytes() for path in backbone_folder.iterdir() if path.is_file()}
    config = json.loads(content["open_clip_config.json"])
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = REPOSITORY
    return content | {"open_clip_config.json": json.dumps(config).encode()}


@pytest.fixture
def hub(files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A hub on this machine, and nothing else that could be asked."""
    with file_server() as server:
        server.serve_repository(REPOSITORY, files)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            huggingface_hub.constants,
            "HUGGINGFACE_CO_URL_TEMPLATE",
            server.url + "/{repo_id}/resolve/{revision}/{filename}",
        )
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "unused"))
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr("transformers.utils.hub._hf_api", None)  # keeps the first hub that it was asked for
        yield server
    assert not (tmp_path / "unused").exists(), "everything goes into the folder that was named"


@pytest.fixture
def tagged(files: dict[str, bytes], hub: FileServer, monkeypatch: pytest.MonkeyPatch) -> FileServer:
    """The same CLIP as open_clip knows its models: a name and a tag, on the hub and at an address."""
    config = json.loads(files["open_clip_config.json"])["model_cfg"]
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, TAGGED[0], config)
    content = torchscript(files[WEIGHTS])
    sha256 = hashlib.sha256(content).hexdigest()
    url = hub.serve(f"/openaipublic/{sha256}/tiny.pt", content)
    mean = (0.1, 0.2, 0.3)
    tag = {"url": url, "hf_hub": f"{REPOSITORY}/", "mean": mean, "std": mean, "interpolation": "bicubic"}
    monkeypatch.setitem(
        open_clip.pretrained._PRETRAINED, TAGGED[0], {TAGGED[1]: tag | {"resize_mode": "shortest", "quick_gelu": True}}
    )
    return hub


class Holder(torch.nn.Module):
    """A module that TorchScript takes, to hang parameters on."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@functools.cache
def torchscript(weights: bytes) -> bytes:
    """Weights as OpenAI publishes its own: a TorchScript archive."""
    root = Holder()
    for name, tensor in safetensors.torch.load(weights).items():
        at: torch.nn.Module = root
        *path, last = name.split(".")
        for step in path:
            if not hasattr(at, step):
                at.add_module(step, Holder())
            at = getattr(at, step)
        at.register_buffer(last, tensor)
    stream = io.BytesIO()
    torch.jit.save(torch.jit.script(root), stream)
    return stream.getvalue()


def options(cache: Path, model: str, pretrained: str = "", **more: str) -> list[str]:
    out = cache / f"{backbone_key(model, pretrained)}.json"
    values = {"model": model, "pretrained": pretrained, "precision": "fp32", **more}
    return [*as_settings(**values), "--cache", str(cache), "--out", str(out)]


def manifest_of(cache: Path, model: str, pretrained: str = "") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((cache / f"{backbone_key(model, pretrained)}.json").read_text())
    return content


def load_offline(
    cache: Path, model: str, pretrained: str, server: FileServer, monkeypatch: pytest.MonkeyPatch
) -> Backbone:
    """Load as a compute node does; no request may reach the server."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    server.log.clear()
    backbone = load_backbone(model, pretrained, "fp32", "cpu", str(cache))
    assert server.log == []
    return backbone


def same_features(one: Backbone, other: Backbone) -> bool:
    with torch.inference_mode():
        a, b = (each.model.encode_text(each.tokenizer(TEXTS)) for each in (one, other))
    return bool(torch.equal(a, b))


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What run_stage sets is of its own process."""
    monkeypatch.setenv("HF_HUB_CACHE", "")


# ---------------------------------------------------------------- from the hub


def test_a_repository_of_the_hub_is_brought_and_loaded_without_a_network(
    hub: FileServer,
    files: dict[str, bytes],
    backbone_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    cache = tmp_path / "backbones"
    log = said(main, capsys, *options(cache, ON_HUB))
    assert f"weights from {hub.url}/{REPOSITORY}" in log
    kept = manifest_of(cache, ON_HUB)
    assert kept["model"] == ON_HUB and Path(kept["weights"]).name == WEIGHTS
    by_name = {Path(file["path"]).name: file for file in kept["files"]}
    assert {WEIGHTS, "open_clip_config.json", "tokenizer.json", "tokenizer_config.json"} <= set(by_name)
    for name, file in by_name.items():
        assert file["sha256"] == hashlib.sha256(files[name]).hexdigest()
        assert file["size"] == len(files[name]) and file["from"] == f"{hub.url}/{REPOSITORY}"
        assert (cache / file["path"]).read_bytes() == files[name]

    backbone = load_offline(cache, ON_HUB, "", hub, monkeypatch)
    assert backbone.weights == by_name[WEIGHTS]["sha256"]
    assert same_features(backbone, load(backbone_folder))


def test_a_folder_named_from_here_or_through_a_link(hub: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "disk")
    monkeypatch.chdir(tmp_path)
    cache = Path("data/backbones")
    main(options(cache, ON_HUB))
    kept = manifest_of(cache, ON_HUB)
    assert kept["weights"].startswith("models--tests--tiny-clip/snapshots/")
    assert len({file["path"] for file in kept["files"]}) == len(kept["files"])
    load_offline(cache, ON_HUB, "", hub, monkeypatch)


def test_the_same_files_give_the_same_manifest_and_are_fetched_once(hub: FileServer, tmp_path: Path):
    cache = tmp_path / "backbones"
    manifest = cache / f"{backbone_key(ON_HUB)}.json"
    main(options(cache, ON_HUB))
    before = manifest.read_bytes()
    hub.log.clear()
    main(options(cache, ON_HUB))
    assert manifest.read_bytes() == before
    assert not [request for request in hub.log if request.method == "GET" and request.path.endswith(WEIGHTS)]


def test_a_hub_that_is_away_is_no_matter_once_the_files_are_there(
    hub: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cache = tmp_path / "backbones"
    main(options(cache, ON_HUB))
    manifest = cache / f"{backbone_key(ON_HUB)}.json"
    before = manifest.read_bytes()
    manifest.unlink()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    main(options(cache, ON_HUB))
    assert manifest.read_bytes() == before


def test_a_broken_connection_to_the_hub_is_no_failure(hub: FileServer, files: dict[str, bytes], tmp_path: Path):
    path = MAIN + WEIGHTS
    hub.turns[path] = [hub.always[path], Turn(headers=hub.always[path].headers, cut=5000)]
    main(options(tmp_path / "backbones", ON_HUB))
    assert len([request for request in hub.asked(path) if request.method == "GET"]) == 2


def test_weights_that_are_not_what_the_hub_says_are_removed(hub: FileServer, files: dict[str, bytes], tmp_path: Path):
    damaged = bytearray(files[WEIGHTS])
    damaged[-1] ^= 1
    path = MAIN + WEIGHTS
    hub.serve(path, bytes(damaged), always=hub.always[path])
    cache = tmp_path / "backbones"
    sentence = refusal(main, *options(cache, ON_HUB))
    wanted = hashlib.sha256(files[WEIGHTS]).hexdigest()
    assert f"{WEIGHTS}: its sha256 is {hashlib.sha256(damaged).hexdigest()}, not {wanted} (as {hub.url}" in sentence
    assert not [path for path in cache.rglob("*") if path.name in (WEIGHTS, wanted)]
    assert not list(cache.glob("*.json"))
    hub.serve(path, files[WEIGHTS], always=hub.always[path])
    main(options(cache, ON_HUB))


def test_a_checksum_of_ones_own_is_compared(hub: FileServer, files: dict[str, bytes], tmp_path: Path):
    cache = tmp_path / "backbones"
    wanted = "0" * 64
    sentence = refusal(main, *options(cache, ON_HUB, sha256=wanted))
    assert f"not {wanted} (backbone.sha256), so it was removed" in sentence and "run the same command again" in sentence
    assert not [path for path in cache.rglob(WEIGHTS)]
    main(options(cache, ON_HUB, sha256=hashlib.sha256(files[WEIGHTS]).hexdigest().upper()))


# ---------------------------------------------------------------- a name and a tag


def test_a_tag_comes_from_the_hub_first(
    tagged: FileServer, backbone_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cache = tmp_path / "backbones"
    main(options(cache, *TAGGED))
    assert not [request for request in tagged.log if request.path.startswith("/openaipublic")]
    assert manifest_of(cache, *TAGGED)["weights"].endswith(f"/{WEIGHTS}")
    backbone = load_offline(cache, *TAGGED, tagged, monkeypatch)
    normalise = backbone.preprocess.transforms[-1]  # type: ignore[attr-defined]
    assert tuple(normalise.mean) == (0.1, 0.2, 0.3), "as the tag says"
    straight = open_clip.create_model_from_pretrained(*TAGGED, cache_dir=str(cache), force_quick_gelu=True)
    assert str(straight[1]) == str(backbone.preprocess)
    with torch.inference_mode():
        ids = backbone.tokenizer(TEXTS)
        assert torch.equal(straight[0].encode_text(ids), backbone.model.encode_text(ids))


@pytest.mark.parametrize("trouble", ["no repository", "damaged", "no hub"])
def test_the_address_of_open_clip_is_the_second_source(
    tagged: FileServer, files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
):
    path = MAIN + WEIGHTS
    if trouble == "no repository":
        tagged.always[path] = tagged.missing
    elif trouble == "damaged":
        tagged.serve(path, files[WEIGHTS][:-1] + b"x", always=tagged.always[path])
    else:
        tagged.always[path] = Turn(401)
    cache = tmp_path / "backbones"
    (address,) = [path for path in tagged.files if path.startswith("/openaipublic")]
    tagged.turns[address] = [Turn(cut=5000)]
    main(options(cache, *TAGGED))
    assert [request.range for request in tagged.asked(address)] == ["", "bytes=5000-"]
    kept = manifest_of(cache, *TAGGED)
    assert kept["weights"] == "tiny.pt" and kept["files"][0]["from"] == tagged.url + address
    assert not list(cache.glob("*.part*"))
    assert is_torchscript(cache / "tiny.pt")
    by_address = load_offline(cache, *TAGGED, tagged, monkeypatch)
    normalise = by_address.preprocess.transforms[-1]  # type: ignore[attr-defined]
    assert tuple(normalise.mean) == (0.1, 0.2, 0.3)

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    tagged.serve_repository(REPOSITORY, files)
    main(options(tmp_path / "other", *TAGGED))
    by_hub = load_offline(tmp_path / "other", *TAGGED, tagged, monkeypatch)
    assert same_features(by_address, by_hub), "OpenAI's archive and the hub's file hold the same weights"


def test_an_address_whose_checksum_is_wrong_is_refused_by_name(
    tagged: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tagged.always[MAIN + WEIGHTS] = tagged.missing
    (address,) = [path for path in tagged.files if path.startswith("/openaipublic")]
    wanted = address.split("/")[2]
    tagged.serve(address, b"no weights")
    cache = tmp_path / "backbones"
    sentence = refusal(main, *options(cache, *TAGGED))
    assert (
        f"{cache / 'tiny.pt'}: its sha256 is " in sentence and f"not {wanted} (as in {tagged.url}{address})" in sentence
    )
    assert not (cache / "tiny.pt").exists()
    tagged.serve(address, b"<html>Gone</html>")
    assert "serves a web page in place of the file" in refusal(main, *options(cache, *TAGGED))


def test_a_file_left_half_written_by_another_program_is_not_taken(
    tagged: FileServer, files: dict[str, bytes], tmp_path: Path
):
    tagged.always[MAIN + WEIGHTS] = tagged.missing
    cache = tmp_path / "backbones"
    cache.mkdir()
    (cache / "tiny.pt").write_bytes(torchscript(files[WEIGHTS])[:1000])
    assert "so it was removed" in refusal(main, *options(cache, *TAGGED))
    main(options(cache, *TAGGED))
    assert (cache / "tiny.pt").read_bytes() == torchscript(files[WEIGHTS])


def test_what_open_clip_publishes_in_its_addresses():
    known = {
        config["url"]
        for models in open_clip.pretrained._PRETRAINED.values()
        for config in models.values()
        if config.get("url", "").startswith("https://")
    }
    assert len(known) > 20
    for url in known:
        if "openaipublic" in url:
            assert published_sha256(url) == url.split("/")[-2]
        elif "mlfoundations" in url:
            assert published_sha256(url) == Path(url).stem.split("-")[-1]
        else:
            assert published_sha256(url) == ""


def test_a_tag_says_nothing_of_the_preprocessing_that_is_not_handed_on():
    said_of_it = {
        key for models in open_clip.pretrained._PRETRAINED.values() for config in models.values() for key in config
    }
    assert said_of_it <= {"url", "hf_hub", "quick_gelu", "mean", "std", "interpolation", "resize_mode"}


# ---------------------------------------------------------------- without a network


def refusal_offline(cache: Path, model: str, pretrained: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(FieldguideError) as caught:
        load_backbone(model, pretrained, "fp32", "cpu", str(cache))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("model", "pretrained"), [(ON_HUB, ""), ("ViT-B-32", "openai")])
def test_what_was_not_downloaded_is_one_sentence(
    hub: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, pretrained: str
):
    sentence = refusal_offline(tmp_path / "nothing", model, pretrained, monkeypatch)
    assert f"{tmp_path / 'nothing'}/" in sentence
    assert sentence.endswith("run `snakemake download_backbone` where there is a network")
    assert hub.log == []


def test_a_folder_that_changed_since_is_refused_by_the_files_name(
    hub: FileServer, files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cache = tmp_path / "backbones"
    main(options(cache, ON_HUB))
    weights = cache / manifest_of(cache, ON_HUB)["weights"]
    blob = weights.resolve()
    content = blob.read_bytes()
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert f"{weights} is not the file that was downloaded; remove it" in refusal_offline(
        cache, ON_HUB, "", monkeypatch
    )
    blob.unlink()
    assert f"{weights} is missing; delete " in refusal_offline(cache, ON_HUB, "", monkeypatch)
    blob.write_bytes(content)

    # Another download moves the branch on: open_clip would read other weights than the manifest lists.
    other = write_backbone(tmp_path / "other" / "tiny-clip", seed=1)
    hub.serve_repository(REPOSITORY, {**files, WEIGHTS: (other / WEIGHTS).read_bytes()}, commit="b" * 40)
    out = tmp_path / "elsewhere.json"
    main([*options(cache, ON_HUB, precision="bf16"), "--out", str(out)])
    assert "is no longer what " in refusal_offline(cache, ON_HUB, "", monkeypatch)
    main(options(cache, ON_HUB))
    load_offline(cache, ON_HUB, "", hub, monkeypatch)


def test_one_download_serves_every_precision(hub: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cache = tmp_path / "backbones"
    main(options(cache, ON_HUB))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert load_backbone(ON_HUB, "", "bf16", "cpu", str(cache)).dtype == torch.bfloat16
    assert "download_backbone" in refusal_offline(cache, "hf-hub:tests/other", "", monkeypatch)


def test_what_needs_no_download_is_refused(backbone_folder: Path, tmp_path: Path):
    weights = tmp_path / "mine.pt"
    weights.write_bytes(b"x")
    assert not is_downloaded(f"{LOCAL}{backbone_folder}", "") and not is_downloaded("ViT-B-32", str(weights))
    assert is_downloaded("ViT-B-32", "openai") and is_downloaded(ON_HUB, "")
    for model, pretrained in ((f"{LOCAL}{backbone_folder}", ""), ("ViT-B-32", str(weights))):
        assert "there is nothing to download" in refusal(main, *options(tmp_path / "c", model, pretrained))


def test_an_unknown_tag_is_refused_before_anything_is_asked(hub: FileServer, tmp_path: Path):
    assert "its tags are openai" in refusal(main, *options(tmp_path / "c", "ViT-B-32", "opnai"))
    assert hub.log == []


def test_a_repository_that_is_not_there(hub: FileServer, tmp_path: Path):
    hub.missing = Turn(404, {"X-Error-Code": "RepoNotFound"})
    sentence = refusal(main, *options(tmp_path / "c", "hf-hub:tests/nowhere"))
    assert "the weights of 'hf-hub:tests/nowhere' could not be fetched" in sentence
    assert f"{hub.url}/tests/nowhere" in sentence and "set HF_ENDPOINT to a mirror of the hub" in sentence


def test_openais_own_file_is_a_weights_file_too(
    tagged: FileServer, files: dict[str, bytes], backbone_folder: Path, tmp_path: Path
):
    weights = tmp_path / "OpenAI.pt"
    weights.write_bytes(torchscript(files[WEIGHTS]))
    backbone = load_backbone(TAGGED[0], str(weights), "fp32", "cpu", str(tmp_path / "backbones"))
    assert same_features(backbone, load(backbone_folder))
