"""Bring a raw archive to its place: the first address that answers, its checksum, nothing half-written.

python -m fieldguide.download_archive --urls https://… --md5 97ec… --out data/CUB_200_2011.tgz
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from fieldguide.errors import FieldguideError
from fieldguide.files import atomic_path
from fieldguide.stage import log, new_parser, run_stage

CHUNK = 1 << 20


def fetch(url: str, path: Path, checksums: dict[str, str]) -> None:
    """Download `url` to `path`; raises FieldguideError when the connection fails or a checksum differs."""
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in checksums}
    try:
        with urllib.request.urlopen(url, timeout=60) as answer, path.open("wb") as stream:
            total = int(answer.headers.get("Content-Length") or 0)
            have = 0
            with tqdm(total=total or None, unit="B", unit_scale=True, desc=path.name, disable=None) as bar:
                while chunk := answer.read(CHUNK):
                    stream.write(chunk)
                    for digest in digests.values():
                        digest.update(chunk)
                    have += len(chunk)
                    bar.update(len(chunk))
    except urllib.error.HTTPError as error:
        raise FieldguideError(f"{url}: {error.code} {error.reason}") from error
    # ValueError is what an address raises that is none.
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split())
        raise FieldguideError(f"{url}: {reason}") from error
    if total and have < total:
        raise FieldguideError(f"{url}: the connection ended after {have} of {total} bytes")
    for name, digest in digests.items():
        if digest.hexdigest() != checksums[name]:
            raise FieldguideError(f"{url}: its {name} is {digest.hexdigest()}, not {checksums[name]}")


def download(args: argparse.Namespace) -> None:
    if not args.urls:
        hint = args.by_hand or "no address is configured for it"
        raise FieldguideError(f"{args.out} cannot be fetched by machine: {hint}; then put it at {args.out}")
    checksums = {name: value.lower() for name, value in (("md5", args.md5), ("sha256", args.sha256)) if value}
    failures = []
    for url in args.urls:
        try:
            with atomic_path(args.out) as beside:
                fetch(url, beside, checksums)
        except FieldguideError as error:
            failures.append(str(error))
            continue
        log.info("%s, %.1f MB, from %s", args.out, args.out.stat().st_size / 1e6, url)
        return
    raise FieldguideError(f"{args.out} could not be fetched ({'; '.join(failures)}); put it there by hand or try again")


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("download_archive", __doc__)
    parser.add_argument("--urls", nargs="*", default=[], help="addresses, tried in order")
    parser.add_argument("--md5", default="", help="published checksum")
    parser.add_argument("--sha256", default="", help="published checksum")
    parser.add_argument("--by-hand", default="", help="what to say when no address is known")
    parser.add_argument("--out", type=Path, required=True, help="where the archive goes")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("download_archive", download, build_parser(), argv)


if __name__ == "__main__":
    main()
