"""Unpack one folder of an archive (.tgz, .tar, .zip); a folder that is unpacked already is linked, not copied.

Nothing is written outside of --out, and --out is there only when all of the folder is: `fieldguide.data.archives` says
what is refused.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from fieldguide.core.errors import FieldguideError, name_some
from fieldguide.core.files import atomic_path
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.data.archives import (
    NO_LIMITS,
    Limits,
    Names,
    least_size,
    members_of,
    quote_name,
    split_name,
)
from fieldguide.data.settings import ArchiveLimits


def is_litter(parts: Sequence[str]) -> bool:
    """Whether macOS left it."""
    return bool(parts) and (parts[0] == "__MACOSX" or parts[-1].startswith("._") or parts[-1] == ".DS_Store")


def find_folder(parts: tuple[str, ...], folder: tuple[str, ...]) -> int | None:
    """How deep in `parts` the folder begins, or None where it is not."""
    depths = range(len(parts) - len(folder) + 1)
    return next((depth for depth in depths if parts[depth : depth + len(folder)] == folder), None)


def unpack(archive: Path, folder: str, out: Path, limits: Limits = NO_LIMITS) -> int:
    """Unpack what is in `folder` into the new folder `out`; returns the number of files.

    The folder may lie at the top or deeper, as Reed's `cvpr2016_cub/text_c10` does, but only in one place.
    """
    wanted = PurePosixPath(folder).parts
    found: tuple[str, ...] | None = None
    tops: dict[str, None] = {}
    names = Names(archive)
    files = 0
    out.mkdir()
    for member in tqdm(members_of(archive, limits), "unpacking", unit=" files", disable=None):
        parts = split_name(member.name, archive)
        if not parts or is_litter(parts):
            continue
        if member.is_folder or len(parts) > 1:
            tops[parts[0]] = None
        depth = find_folder(parts, wanted)
        if depth is None:
            continue
        above, below = parts[:depth], parts[depth + len(wanted) :]
        if not member.is_folder and member.content is None:
            raise FieldguideError(
                f"{archive}: refuses to unpack {quote_name(member.name)}, {member.what}; "
                "get the archive from its official source, or pack the files themselves"
            )
        if not below and not member.is_folder:
            raise FieldguideError(f"{archive}: {member.name} is not a folder; name a folder of the archive")
        if found is not None and above != found:
            both = " and ".join("/".join((*where, folder)) for where in (found, above))
            raise FieldguideError(f"{archive}: has the folder {folder} twice, {both}; pack one of them alone")
        found = above
        names.add(parts, member.is_folder)
        target = out.joinpath(*below)
        if member.content is None:
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as sink:
            for piece in member.content():
                sink.write(piece)
        files += 1
    if not files:
        have = f"its top folders are {name_some(list(tops))}" if tops else "it has no folder at all"
        empty = "is empty in" if found is not None else "is not in"
        raise FieldguideError(f"{archive}: the folder {folder} {empty} this archive ({have}); check which file it is")
    return files


def check_disk_space(archive: Path, out: Path, limits: Limits) -> None:
    """Refuse to begin where the disk cannot hold what comes out."""
    needed = least_size(archive, limits)
    place = next(folder for folder in out.absolute().parents if folder.is_dir())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise FieldguideError(
            f"{archive}: unpacks to {needed / 1e9:.3g} GB, but {place} has {free / 1e9:.3g} GB free; make room there, "
            "or unpack it elsewhere and give that folder as its path"
        )


def link(source: Path, out: Path) -> None:
    """Make `out` a symbolic link to a folder, which is never modified."""
    if out.is_dir() and not out.is_symlink():
        shutil.rmtree(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.part")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(source.resolve(), target_is_directory=True)
    temporary.replace(out)


def run(args: argparse.Namespace) -> None:
    """Unpack or link."""
    archive: Path = args.archive
    limits = Limits.of(parse_settings(ArchiveLimits, args.settings))
    if not archive.exists():
        raise FieldguideError(
            f"{archive}: does not exist; put the archive there, or name its place in the configuration"
        )
    if not args.out.is_symlink() and archive.resolve().is_relative_to(args.out.resolve()):
        raise FieldguideError(f"{archive}: lies where it would be unpacked, in {args.out}; move it elsewhere")
    if archive.is_dir():
        inner = archive / args.folder
        source = inner if inner.is_dir() else archive
        link(source, args.out)
        log.info("%s is a folder: linked as %s", source, args.out)
        return
    if not archive.is_file():
        raise FieldguideError(f"{archive}: is neither a file nor a folder; give the archive itself")
    if args.out.is_symlink():
        # Left by an earlier run with a folder; what it points to is the user's.
        args.out.unlink()
    check_disk_space(archive, args.out, limits)
    with atomic_path(args.out) as temporary:
        if temporary.is_dir():
            shutil.rmtree(temporary)  # of a run that was killed and had this one's number
        try:
            files = unpack(archive, args.folder, temporary, limits)
        except OSError as error:
            # Without a file's name it is a full disk, a file too large for it, or one that fails.
            if error.filename is not None:
                raise
            raise FieldguideError(
                f"{archive}: could not be unpacked into {args.out} ({error.strerror}), and nothing of it is left "
                "there; make room, or unpack it elsewhere and give that folder as its path"
            ) from error
    log.info("unpacked %d files of %s (%s) into %s", files, archive, args.folder, args.out)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("data.unpack_archive", __doc__)
    parser.add_argument("--archive", type=Path, required=True, help=".tgz, .tar or .zip, or a folder unpacked already")
    parser.add_argument("--folder", required=True, help="the archive's folder to unpack, such as CUB_200_2011")
    add_settings(parser, ArchiveLimits)
    parser.add_argument("--out", type=Path, required=True, help="where what is in that folder goes")
    run_stage("unpack_archive", run, parser, argv)


if __name__ == "__main__":
    main()
