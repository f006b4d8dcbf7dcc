"""Bring a raw archive to its place: from the first address that serves it, resumed where it stopped, verified.

  python -m fieldguide.data.download_archive \\
      --settings '{"urls": ["https://…"], "md5": "97eceeb196236b17998738112f37df78"}' \\
      --out data/CUB_200_2011.tgz

What has come is kept beside it as `<archive>.part` until it is whole, and the same command goes on with it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fieldguide.core.errors import FieldguideError
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.data.settings import DownloadSettings
from fieldguide.data.transfer import (
    DownloadError,
    PartialDownload,
    check_url,
    fetch,
    find_archive_error,
    find_checksum_error,
    format_bytes,
    redact_url,
)


def download(args: argparse.Namespace) -> None:
    settings = parse_settings(DownloadSettings, args.settings)
    if not settings.urls:
        hint = settings.by_hand or "no address is configured for it"
        raise FieldguideError(f"{args.out} cannot be fetched by machine: {hint}; then put it at {args.out}")
    for url in settings.urls:
        check_url(url)
    checksums = {name: value for name, value in (("md5", settings.md5), ("sha256", settings.sha256)) if value}
    failures = []
    with PartialDownload(args.out) as part:
        begun = part.remote.url if part.remote else ""
        # The address that a part came from goes first: it alone can go on with it.
        for url in sorted(settings.urls, key=lambda url: redact_url(url) != begun):
            try:
                fetch(url, part, settings.retry, find_archive_error)
                if error := find_checksum_error(part.path, checksums):
                    part.discard()
                    raise DownloadError(f"{redact_url(url)}: {error}; what was downloaded was deleted")
            except DownloadError as failure:
                failures.append(str(failure))
                log.info("%s", failure)
                continue
            part.finish()
            how = " and ".join(checksums) or "nobody published a checksum to compare"
            log.info("%s, %s, from %s (%s)", args.out, format_bytes(args.out.stat().st_size), redact_url(url), how)
            return
        kept = f"{format_bytes(part.size)} are kept in {part.path}, " if part.size else ""
    hint = settings.by_hand or f"download it from {redact_url(settings.urls[0])}"
    raise FieldguideError(
        f"{args.out} could not be fetched ({'; '.join(failures)}); {kept}run the same command again to go on, "
        f"or get it by hand: {hint}; then put it at {args.out}"
    )


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("data.download_archive", __doc__)
    add_settings(parser, DownloadSettings)
    parser.add_argument("--out", type=Path, required=True, help="where the archive goes")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("download_archive", download, build_parser(), argv)


if __name__ == "__main__":
    main()
