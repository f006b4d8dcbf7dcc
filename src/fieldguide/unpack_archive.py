"""Unpack one folder of an archive (.tgz, .tar, .zip); a folder that is unpacked already is linked, not copied."""

from __future__ import annotations

import argparse
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from tqdm import tqdm

from fieldguide.errors import FieldguideError
from fieldguide.files import atomic_path
from fieldguide.records import name_some
from fieldguide.stage import log, new_parser, run_stage

DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, LZMAError, EOFError, NotImplementedError)
AGAIN = "get it again from its source"


class Member(NamedTuple):
    """A file or folder in an archive; `stream` is None for what is neither."""

    name: str
    is_folder: bool
    stream: Callable[[], IO[bytes]] | None


def tar_members(path: Path) -> Iterator[Member]:
    """The members of a tar, in order; each must be read before the next is asked for."""
    with tarfile.open(path) as tar:
        for info in tar:
            yield Member(info.name, info.isdir(), partial(_tar_stream, tar, info) if info.isfile() else None)
        stream = tar.fileobj
        assert stream is not None
        # tarfile takes a missing end, and a damaged header, for the end. After the true one there are only zeros, and
        # reading them makes gzip compare its checksum.
        if stream.tell() < tar.offset + tarfile.BLOCKSIZE:
            raise EOFError("it has no end")
        while rest := stream.read(1 << 20):
            if rest.strip(b"\0"):
                raise EOFError("a header in it is damaged")


def _tar_stream(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = tar.extractfile(info)
    assert stream is not None
    return stream


def zip_members(path: Path) -> Iterator[Member]:
    """The members of a zip."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            plain = kind in (0, stat.S_IFREG) and not info.is_dir()
            if info.flag_bits & 0x1:
                raise FieldguideError(f"{path}: {info.filename} is encrypted; give an archive without a password")
            yield Member(info.filename, info.is_dir(), partial(archive.open, info) if plain else None)


def members_of(path: Path) -> Iterator[Member]:
    """The members of an archive, whatever it is called."""
    with path.open("rb") as stream:
        is_zip = stream.read(2) == b"PK"
    return zip_members(path) if is_zip else tar_members(path)


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turn what a damaged archive raises, wherever it is read, into a FieldguideError naming it."""
    try:
        yield
    except DAMAGE as error:
        raise damaged(path, error) from error
    except OSError as error:
        # gzip tells a wrong checksum as an OSError without a number; one with a number is the disk's.
        if error.errno is not None:
            raise
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> FieldguideError:
    """What to say of a damaged archive."""
    reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")
    return FieldguideError(f"{path}: cut short, damaged, or no tar or zip archive ({reason}); {AGAIN}")


def place_of(name: str, archive: Path) -> tuple[str, ...]:
    """A member's name as parts; raises FieldguideError for one that would land outside the folder."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    absolute = bool(parts) and (parts[0] == "/" or parts[0].endswith(":"))
    if absolute or ".." in parts or "\0" in name:
        raise FieldguideError(
            f"{archive}: refuses to unpack {name!r}, which leaves its folder; get the archive from its official source"
        )
    return parts


def is_litter(parts: Sequence[str]) -> bool:
    """Whether macOS left it."""
    return bool(parts) and (parts[0] == "__MACOSX" or parts[-1].startswith("._") or parts[-1] == ".DS_Store")


def find_folder(parts: tuple[str, ...], folder: tuple[str, ...]) -> int | None:
    """How deep in `parts` the folder begins, or None where it is not."""
    depths = range(len(parts) - len(folder) + 1)
    return next((depth for depth in depths if parts[depth : depth + len(folder)] == folder), None)


def unpack(archive: Path, folder: str, out: Path) -> int:
    """Unpack what is in `folder` into the new folder `out`; returns the number of files.

    The folder may lie at the top or deeper, as Reed's `cvpr2016_cub/text_c10` does, but only in one place.
    """
    wanted = PurePosixPath(folder).parts
    found: tuple[str, ...] | None = None
    tops: dict[str, None] = {}
    files = 0
    out.mkdir()
    for member in tqdm(members_of(archive), "unpacking", unit=" files", disable=None):
        parts = place_of(member.name, archive)
        if not parts or is_litter(parts):
            continue
        if member.is_folder or len(parts) > 1:
            tops[parts[0]] = None
        depth = find_folder(parts, wanted)
        if depth is None:
            continue
        above, below = parts[:depth], parts[depth + len(wanted) :]
        if not below and not member.is_folder:
            raise FieldguideError(f"{archive}: {member.name} is not a folder; name a folder of the archive")
        if found is not None and above != found:
            both = " and ".join("/".join((*where, folder)) for where in (found, above))
            raise FieldguideError(f"{archive}: has the folder {folder} twice, {both}; pack one of them alone")
        found = above
        if member.is_folder:
            out.joinpath(*below).mkdir(parents=True, exist_ok=True)
            continue
        if member.stream is None:
            raise FieldguideError(
                f"{archive}: refuses to unpack {member.name!r}, a link or device; "
                "get the archive from its official source, or pack the files themselves"
            )
        target = out.joinpath(*below)
        target.parent.mkdir(parents=True, exist_ok=True)
        with member.stream() as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
        files += 1
    if not files:
        have = f"its top folders are {name_some(list(tops))}" if tops else "it has no folder at all"
        empty = "is empty in" if found is not None else "is not in"
        raise FieldguideError(f"{archive}: the folder {folder} {empty} this archive ({have}); check which file it is")
    return files


def link(source: Path, out: Path) -> None:
    """Make `out` a symbolic link to a folder, which is never modified."""
    if out.is_dir() and not out.is_symlink():
        shutil.rmtree(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f".{out.name}.part")
    beside.unlink(missing_ok=True)
    beside.symlink_to(source.resolve(), target_is_directory=True)
    beside.replace(out)


def run(args: argparse.Namespace) -> None:
    """Unpack or link."""
    archive: Path = args.archive
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
    if args.out.is_symlink():
        # Left by an earlier run with a folder; what it points to is the user's.
        args.out.unlink()
    with damage_named(archive), atomic_path(args.out) as beside:
        files = unpack(archive, args.folder, beside)
    log.info("unpacked %d files of %s (%s) into %s", files, archive, args.folder, args.out)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("unpack_archive", __doc__)
    parser.add_argument("--archive", type=Path, required=True, help=".tgz, .tar or .zip, or a folder unpacked already")
    parser.add_argument("--folder", required=True, help="the archive's folder to unpack, such as CUB_200_2011")
    parser.add_argument("--out", type=Path, required=True, help="where what is in that folder goes")
    run_stage("unpack_archive", run, parser, argv)


if __name__ == "__main__":
    main()
