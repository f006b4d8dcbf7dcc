"""Bring a raw archive to its place: from the first address that serves it, resumed where it stopped, verified.

  python -m fieldguide.data.download_archive --urls https://… --md5 97ec… --out data/CUB_200_2011.tgz

What has come is kept beside it as `<archive>.part` until it is whole, and the same command goes on with it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fieldguide.core.errors import FieldguideError
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.data.transfer import (
    Part,
    Patience,
    UnfetchedError,
    check_url,
    fault_of_archive,
    fault_of_checksums,
    fetch,
    shown,
    told,
)


def download(args: argparse.Namespace) -> None:
    if not args.urls:
        hint = args.by_hand or "no address is configured for it"
        raise FieldguideError(f"{args.out} cannot be fetched by machine: {hint}; then put it at {args.out}")
    for url in args.urls:
        check_url(url)
    checksums = {name: value for name, value in (("md5", args.md5), ("sha256", args.sha256)) if value}
    patience = Patience(args.retries, args.timeout, args.backoff)
    failures = []
    with Part(args.out) as part:
        begun = part.origin.url if part.origin else ""
        # The address that a part came from goes first: it alone can go on with it.
        for url in sorted(args.urls, key=lambda url: shown(url) != begun):
            try:
                fetch(url, part, patience, fault_of_archive)
                if fault := fault_of_checksums(part.path, checksums):
                    part.discard()
                    raise UnfetchedError(f"{shown(url)}: {fault}; what came was dropped")
            except UnfetchedError as failure:
                failures.append(str(failure))
                log.info("%s", failure)
                continue
            part.finish()
            how = " and ".join(checksums) or "nobody published a checksum to compare"
            log.info("%s, %s, from %s (%s)", args.out, told(args.out.stat().st_size), shown(url), how)
            return
        kept = f"{told(part.size)} are kept in {part.path}, " if part.size else ""
    hint = args.by_hand or f"download it from {shown(args.urls[0])}"
    raise FieldguideError(
        f"{args.out} could not be fetched ({'; '.join(failures)}); {kept}run the same command again to go on, "
        f"or get it by hand: {hint}; then put it at {args.out}"
    )


def build_parser() -> argparse.ArgumentParser:
    usual = Patience()
    parser = new_parser("data.download_archive", __doc__)
    parser.add_argument("--urls", nargs="*", default=[], help="addresses, http or https, tried in order")
    parser.add_argument("--md5", default="", help="published checksum")
    parser.add_argument("--sha256", default="", help="published checksum")
    parser.add_argument("--by-hand", default="", help="how to come by it where no address serves it")
    parser.add_argument("--retries", type=int, default=usual.retries, help="failures in a row, per address")
    parser.add_argument("--timeout", type=float, default=usual.timeout, help="seconds without a byte: broken")
    parser.add_argument("--backoff", type=float, default=usual.backoff, help="seconds; each wait is twice the last")
    parser.add_argument("--out", type=Path, required=True, help="where the archive goes")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("download_archive", download, build_parser(), argv)


if __name__ == "__main__":
    main()
