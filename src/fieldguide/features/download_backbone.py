"""Bring a backbone's weights, configuration and tokenizer into a folder, once, where there is a network.

  python -m fieldguide.features.download_backbone \\
      --settings '{"model": "ViT-B-32", "pretrained": "openai", "precision": "auto"}' \\
      --cache data/backbones --out data/backbones/ViT-B-32-openai_….json

Weights come from the Hugging Face hub (HF_ENDPOINT names a mirror), else from the address that open_clip knows. The
manifest lists every file with its sha256; encoders with --cache then need no network.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_json, sha256_of, write_json
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.data.settings import RetryPolicy
from fieldguide.data.transfer import (
    DownloadError,
    PartialDownload,
    check_url,
    fetch,
    find_page_error,
    format_bytes,
    redact_url,
)
from fieldguide.features.backbone import CONFIG, HUB, describe, is_downloaded, refuse_unknown
from fieldguide.features.settings import BackboneDownload


def published_sha256(url: str) -> str:
    """The checksum, or its beginning, that an address of open_clip's weights holds; empty: none."""
    folder = re.search(r"/([0-9a-f]{64})/", url)
    ending = re.search(r"-([0-9a-f]{8})\.\w+$", url)
    return folder[1] if folder else ending[1] if ending else ""


def remove(path: Path) -> None:
    """Remove a file of the hub's cache: the link and what it points to."""
    kept = path.resolve()
    path.unlink(missing_ok=True)
    kept.unlink(missing_ok=True)


def check(path: Path, wanted: str, why: str) -> None:
    """Raise DownloadError for weights of another sha256 than wanted, and remove them. A beginning of one will do."""
    found = sha256_of(path)
    if not found.startswith(wanted.lower()):
        remove(path)
        raise DownloadError(f"{path}: its sha256 is {found}, not {wanted.lower()} ({why}), so it was removed")


def ask_hub(repository: str, filename: str | None, cache: Path) -> Path:
    """A file of a repository of the hub, by open_clip's own rule for weights; raises DownloadError."""
    from open_clip.pretrained import download_pretrained_from_hf

    try:
        return Path(download_pretrained_from_hf(repository, filename=filename, cache_dir=str(cache)))
    except OSError as error:  # open_clip turns whatever went wrong into one
        last = re.sub(r"//[^/@\s]+@", "//", " ".join(str(error).split()))
        raise DownloadError(f"{hub()}/{repository}: {last}") from error


def hub() -> str:
    """The hub's address, as it may be shown."""
    from huggingface_hub import constants

    return redact_url(constants.ENDPOINT)


def from_hub(source: str, sha256: str, cache: Path) -> Path:
    """Weights from the hub; `source` is repository/file, or repository/ for open_clip's usual names."""
    repository, _, filename = source.rpartition("/")
    path = ask_hub(repository, filename or None, cache)
    blob = path.resolve().name  # the hub's own checksum, where it has one
    if sha256:
        check(path, sha256, "backbone.sha256")
    elif re.fullmatch(r"[0-9a-f]{64}", blob):
        check(path, blob, f"as {hub()} publishes it")
    return path


def from_url(url: str, sha256: str, cache: Path) -> Path:
    """Weights from the address that open_clip knows."""
    check_url(url)
    path = cache / Path(urlsplit(url).path).name
    wanted, why = (sha256, "backbone.sha256") if sha256 else (published_sha256(url), f"as in {redact_url(url)}")
    if not path.exists():
        with PartialDownload(path) as part:
            fetch(url, part, RetryPolicy(), find_page_error)
            part.finish()
    check(path, wanted, why)
    return path


def download_weights(model: str, pretrained: str, sha256: str, cache: Path) -> tuple[Path, str]:
    """The weights file and where it is from; raises FieldguideError when no source serves it."""
    import open_clip

    if model.startswith(HUB):
        sources = {"hf_hub": model.removeprefix(HUB) + "/"}
    else:
        sources = {**open_clip.get_pretrained_cfg(model.replace("/", "-"), pretrained)}
    failures = []
    for kind, get in (("hf_hub", from_hub), ("url", from_url)):
        if not (source := sources.get(kind)):
            continue
        try:
            path = get(source, sha256, cache)
        except DownloadError as failure:
            failures.append(str(failure))
            log.info("%s", failure)
            continue
        return path, f"{hub()}/{source.rpartition('/')[0]}" if kind == "hf_hub" else redact_url(source)
    raise FieldguideError(
        f"the weights of {describe(model, pretrained)} could not be fetched ({'; '.join(failures)}); run the same "
        "command again where there is a network, set HF_ENDPOINT to a mirror of the hub, or give backbone.pretrained "
        "a weights file or backbone.model a local-dir:<folder>"
    )


def text_settings(model: str, cache: Path) -> dict[str, Any]:
    """What a model's configuration says of its text tower."""
    import open_clip

    if model.startswith(HUB):
        content = read_json(ask_hub(model.removeprefix(HUB), CONFIG, cache))
        config = content.get("model_cfg", content)
    else:
        config = open_clip.get_model_config(model.replace("/", "-")) or {}
    return dict(config.get("text_cfg", {}))


def download_tokenizer(model: str, cache: Path) -> list[str]:
    """The tokenizer, and the configuration of a text tower of transformers; returns the repositories they are from."""
    import open_clip
    from transformers import AutoConfig

    settings = text_settings(model, cache)
    tower, tokenizer = settings.get("hf_model_name", ""), settings.get("hf_tokenizer_name", "")
    try:
        if tower:
            AutoConfig.from_pretrained(tower, cache_dir=str(cache))
        open_clip.get_tokenizer(model, cache_dir=str(cache))
    except (OSError, ValueError) as error:
        reason = re.sub(r"//[^/@\s]+@", "//", " ".join(str(error).split()))
        raise FieldguideError(
            f"the tokenizer of {model!r} ({tokenizer or tower or 'open_clip'}) could not be fetched: {reason}"
        ) from error
    return [name for name in (tower, tokenizer) if name]


def files_of(repository: str, cache: Path) -> Iterator[Path]:
    """The files of a repository in the hub's cache, as the branch that open_clip reads has them."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    branch = folder / "refs" / "main"
    if branch.is_file():
        snapshot = folder / "snapshots" / branch.read_text(encoding="utf-8").strip()
        yield from sorted(path for path in snapshot.rglob("*") if path.is_file())


def place_in(cache: Path, path: Path) -> str:
    """A file's path in the folder; the hub's client answers with absolute ones, and its files are links."""
    return (path.parent.resolve() / path.name).relative_to(cache.resolve()).as_posix()


def download(args: argparse.Namespace) -> None:
    settings = parse_settings(BackboneDownload, args.settings)
    model, pretrained, cache = settings.model, settings.pretrained, Path(args.cache)
    if not is_downloaded(model, pretrained):
        raise FieldguideError(f"{describe(model, pretrained)} is on this disk: there is nothing to download")
    refuse_unknown(model, pretrained)
    cache.mkdir(parents=True, exist_ok=True)
    weights, source = download_weights(model, pretrained, settings.sha256, cache)
    repositories = download_tokenizer(model, cache)
    sources = {place_in(cache, weights): source}
    for name in [model.removeprefix(HUB)] * model.startswith(HUB) + repositories:
        for path in files_of(name, cache):
            sources.setdefault(place_in(cache, path), f"{hub()}/{name}")
    files = [
        {"path": name, "size": (cache / name).stat().st_size, "sha256": sha256_of(cache / name), "from": origin}
        for name, origin in sources.items()
    ]
    manifest = {"model": model, "pretrained": pretrained, "weights": place_in(cache, weights), "files": files}
    write_json(args.out, manifest)
    size = format_bytes(sum((cache / name).stat().st_size for name in sources))
    what = describe(model, pretrained)
    log.info("%s: %d files, %s, in %s, weights from %s", what, len(files), size, cache, source)


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("features.download_backbone", __doc__)
    add_settings(parser, BackboneDownload)
    parser.add_argument("--cache", required=True, help="folder to fill")
    parser.add_argument("--out", type=Path, required=True, help="manifest to write, JSON")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("download_backbone", download, build_parser(), argv, imports=("open_clip",))


if __name__ == "__main__":
    main()
