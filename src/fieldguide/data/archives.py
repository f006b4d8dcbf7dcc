"""Reading archives that may be damaged, or made to do harm: every name and every size is checked before it is believed.

tarfile and zipfile read the headers. What they would let pass is checked here: `tarfile.data_filter` mends absolute
names and keeps links, where both are refused; zipfile holds a whole directory before anyone can count it, passes over
entries without a word, cuts off what is longer than declared, and cannot be shared by forks.

A reader never gives more bytes than an archive's limits allow, whatever its headers say, and never holds more than a
member's header or one piece of its content.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, cast

from fieldguide.core.errors import FieldguideError
from fieldguide.data.settings import ArchiveLimits

HINT = "get it again from its source"
# What the readers raise on damage; LookupError and RuntimeError (RecursionError, NotImplementedError) come from headers
# that tarfile and zipfile follow into nowhere.
DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    lzma.LZMAError,
    EOFError,
    LookupError,
    RuntimeError,
    ValueError,
    OverflowError,
    MemoryError,
)

PIECE = 1 << 20
"""Bytes that are read at a time."""
HEADER = 1 << 20
"""Bytes that the headers of one tar member may have together: long names and pax records are some thousand."""
LONGEST_PART, LONGEST_NAME = 255, 1000
"""Bytes of a name: what file systems take for a part of it, and well below what they take for the whole."""

# A plain tar begins with a name, which may be BZh or PK.
OPENERS: tuple[tuple[re.Pattern[bytes], Callable[[Path], Any]], ...] = (
    (re.compile(rb"\x1f\x8b"), gzip.open),
    (re.compile(rb"BZh[1-9]1AY&SY"), bz2.open),
    (re.compile(rb"\xfd7zXZ\0"), lzma.open),
)
ZIP_BEGIN = re.compile(rb"PK(\x03\x04|\x05\x06)")
LEAVES = re.compile(r"/|[A-Za-z]:")

ZIP_END, ZIP_END_LENGTH = b"PK\5\6", 22
ZIP64_LOCATOR, ZIP64_LOCATOR_LENGTH = b"PK\6\7", 20
ZIP64_END, ZIP64_END_LENGTH = b"PK\6\6", 56
ZIP_ENTRY, ZIP_ENTRY_LENGTH = b"PK\1\2", 46
ZIP_HEADER, ZIP_HEADER_LENGTH = b"PK\3\4", 30
LONGEST_COMMENT = 0xFFFF
ENCRYPTED, UTF8 = 0x1, 0x800


class Limits(NamedTuple):
    """How much an archive may hold: bytes when unpacked, and files and folders."""

    size: int
    files: int

    @classmethod
    def of(cls, settings: ArchiveLimits) -> Limits:
        """Those of the configuration, where a GB is 10^9 bytes."""
        return cls(round(settings.max_gb * 1e9), settings.max_files)


NO_LIMITS = Limits(1 << 62, 1 << 62)


class Member(NamedTuple):
    """A file or folder in an archive; `content` gives a file's pieces, and is None for what is neither."""

    name: str
    is_folder: bool
    content: Callable[[], Iterator[bytes]] | None
    what: str = ""


def too_large(path: Path, limits: Limits) -> FieldguideError:
    """What to say of an archive that unpacks to more than it may."""
    return FieldguideError(
        f"{path}: unpacks to more than {limits.size / 1e9:g} GB, its limit, as archives made to fill a disk do; "
        "if it is what you expect, raise its max_gb under data in the configuration"
    )


def too_many(path: Path, limits: Limits) -> FieldguideError:
    """What to say of an archive with more files than it may have."""
    return FieldguideError(
        f"{path}: holds more than {limits.files:,} files and folders, its limit; "
        "if it is what you expect, raise its max_files under data in the configuration"
    )


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
    reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":") or type(error).__name__
    return FieldguideError(f"{path}: cut short, damaged, or no tar or zip archive ({reason}); {HINT}")


def quote_name(name: str) -> str:
    """A name as an error may show it: on one line, and not too long."""
    return repr(name) if len(name) <= 200 else f"{name[:100]!r}… ({len(name)} characters)"


def find_name_error(name: str) -> str:
    """Why a member's name is refused; empty where it is not."""
    parts = PurePosixPath(name).parts
    kinds = {unicodedata.category(character) for character in name}
    if not name:
        return "a file without a name"
    if "\0" in name:
        return "whose name holds a zero byte"
    if "Cs" in kinds:
        return "whose name is not UTF-8"
    if kinds & {"Cc", "Zl", "Zp"}:
        return "whose name holds control characters"
    if ".." in parts or ".." in name.split("\\") or LEAVES.match(name):
        return "which leaves its folder"
    if "\\" in name:
        return "whose name holds a backslash"
    if any(len(part.encode()) > LONGEST_PART for part in parts) or len(name.encode()) > LONGEST_NAME:
        return "whose name is too long"
    return ""


def split_name(name: str, archive: Path) -> tuple[str, ...]:
    """A member's name as parts; raises FieldguideError for one that would land outside, or is no file's name."""
    if error := find_name_error(name):
        raise FieldguideError(
            f"{archive}: refuses to unpack {quote_name(name)}, {error}; get the archive from its official source, "
            "or unpack it by hand and give the folder"
        )
    return PurePosixPath(name).parts


class Names:
    """The names that an archive has used, to refuse two members of one name, and a file where a folder is.

    Names that differ only by case or by how an accent is written are one file on some file systems, so they are here.
    """

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._seen: dict[str, tuple[str, bool]] = {}

    def add(self, parts: Sequence[str], is_folder: bool) -> None:
        """Note a member; raises FieldguideError when it is in another's place."""
        for depth in range(1, len(parts) + 1):
            name, is_inner = "/".join(parts[:depth]), is_folder or depth < len(parts)
            key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
            if key not in self._seen:
                self._seen[key] = name, is_inner
                continue
            before, was_folder = self._seen[key]
            if before == name and was_folder and is_inner:
                continue
            if before != name:
                both = f"both {quote_name(before)} and {quote_name(name)}"
                what = f"{both}, which are one file where case or accents do not count"
            elif was_folder or is_inner:
                what = f"{quote_name(name)} both as a file and as a folder"
            else:
                what = f"the file {quote_name(name)} twice"
            raise FieldguideError(f"{self._archive}: has {what}; pack it again with one of them")


# ---------------------------------------------------------------- tar


class _Forward:
    """A decompressed stream that goes forward only and gives what it is allowed to: tarfile believes its headers.

    `allowance` is how many bytes may still be read, `limits.size` how many may be passed in all.
    """

    def __init__(self, stream: IO[bytes], path: Path, limits: Limits) -> None:
        self._stream, self._path, self._limits = stream, path, limits
        self._at = 0
        self.allowance = HEADER

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self.allowance:
            raise tarfile.ReadError("a header in it is longer than any header")
        return self._take(size)

    def seek(self, position: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET or position < self._at:
            raise tarfile.ReadError("a header in it points back to where it was")
        allowance, self.allowance = self.allowance, NO_LIMITS.size
        while self._at < position and self._take(min(PIECE, position - self._at)):
            pass
        self.allowance = allowance
        return self._at

    def _take(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._at += len(data)
        self.allowance -= len(data)
        if self._at > self._limits.size:
            raise too_large(self._path, self._limits)
        return data


def tar_members(path: Path, limits: Limits = NO_LIMITS) -> Iterator[Member]:
    """The members of a tar (plain, gz, bz2, xz), in order; each must be read before the next is asked for."""
    with _decompressed(path) as decompressed:
        stream = _Forward(decompressed, path, limits)
        with tarfile.open(fileobj=cast(IO[bytes], stream), mode="r:", encoding="utf-8") as tar:
            count = 0
            while info := tar.next():
                vars(tar)["members"] = []  # tarfile keeps them all, which is what a bomb of empty files is for
                count += 1
                if count > limits.files:
                    raise too_many(path, limits)
                if info.size < 0:
                    raise tarfile.ReadError("a header in it gives a size below 0")
                if not info.issparse() and info.offset_data + info.size > limits.size:
                    raise too_large(path, limits)
                yield _tar_member(info, stream, path)
                stream.allowance = HEADER
            # tarfile takes a missing end, and a damaged header, for the end. After the true one there are only zeros,
            # and reading them makes gzip compare its checksum.
            if stream.tell() < tar.offset + tarfile.BLOCKSIZE:
                raise EOFError("it has no end")
            stream.allowance = NO_LIMITS.size
            while rest := stream.read(PIECE):
                if rest.strip(b"\0"):
                    raise EOFError("a header in it is damaged")


@contextmanager
def _decompressed(path: Path) -> Iterator[IO[bytes]]:
    with path.open("rb") as raw:
        head = raw.read(16)
    opener = next((opener for magic, opener in OPENERS if magic.match(head)), None)
    with opener(path) if opener else path.open("rb") as stream:
        inner = stream.peek(16) if opener else b""
        if any(magic.match(inner) for magic in (ZIP_BEGIN, *(magic for magic, _ in OPENERS))):
            raise FieldguideError(f"{path}: is compressed twice; decompress it once and give what comes out")
        yield stream


def _tar_member(info: tarfile.TarInfo, stream: _Forward, path: Path) -> Member:
    if info.issparse():
        return Member(info.name, False, None, "a sparse file")
    if info.isdir():
        return Member(info.name, True, None)
    if info.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
        return Member(info.name, False, partial(_tar_content, info, stream, path))
    return Member(info.name, False, None, "a link" if info.issym() or info.islnk() else "a device or a pipe")


def _tar_content(info: tarfile.TarInfo, stream: _Forward, path: Path) -> Iterator[bytes]:
    with damage_named(path):
        stream.seek(info.offset_data)
        stream.allowance = left = info.size
        while left:
            piece = stream.read(min(PIECE, left))
            if not piece:
                raise EOFError("it ends within a file")
            left -= len(piece)
            yield piece


# ---------------------------------------------------------------- zip


def zip_entries(path: Path, limits: Limits = NO_LIMITS) -> list[zipfile.ZipInfo]:
    """A zip's directory, checked: whole, within the limits, no file twice, and no two files in the same bytes.

    Raises BadZipFile and the like on damage (`damage_named`), FieldguideError on what breaks a limit.
    """
    start = _check_directory(path, limits)
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if sum(entry.file_size for entry in entries) > limits.size:
        raise too_large(path, limits)
    seen: set[str] = set()
    for entry in entries:
        if entry.orig_filename in seen:
            raise FieldguideError(
                f"{path}: has the file {quote_name(entry.orig_filename)} twice; pack it again with one"
            )
        seen.add(entry.orig_filename)
    # Local headers may hold further fields, so a file takes at least this much.
    spans = sorted((e.header_offset, e.header_offset + _local_length(e), e.orig_filename) for e in entries)
    for (_, end, name), (begin, _, other) in pairwise([*spans, (start, start, "its directory")]):
        if end > begin:
            raise FieldguideError(
                f"{path}: {quote_name(name)} and {quote_name(other)} lie in the same bytes, as in archives made to fill"
                " a disk; get the archive from its official source"
            )
    return entries


def _local_length(entry: zipfile.ZipInfo) -> int:
    return ZIP_HEADER_LENGTH + len(_raw_name(entry)) + entry.compress_size


def _raw_name(entry: zipfile.ZipInfo) -> bytes:
    return entry.orig_filename.encode("utf-8" if entry.flag_bits & UTF8 else "cp437")


def _check_directory(path: Path, limits: Limits) -> int:
    """Walk a zip's directory without keeping it, as zipfile takes a shorter one, or one of any length.

    Returns the byte at which it starts. PKWARE's APPNOTE 6.3.10, sections 4.3.12 to 4.3.16.
    """
    with path.open("rb") as stream:
        length = stream.seek(0, os.SEEK_END)
        tail_at = stream.seek(max(0, length - ZIP_END_LENGTH - LONGEST_COMMENT))
        tail = stream.read()
        at = len(tail) - ZIP_END_LENGTH
        if tail[at : at + 4] != ZIP_END or tail[-2:] != b"\0\0":  # else it has a comment
            at = tail.rfind(ZIP_END)
        if at < 0 or at + ZIP_END_LENGTH > len(tail):
            raise zipfile.BadZipFile("it has no end")
        count, size = struct.unpack_from("<HL", tail, at + 10)
        end = tail_at + at
        if end >= ZIP64_LOCATOR_LENGTH + ZIP64_END_LENGTH:
            stream.seek(end - ZIP64_LOCATOR_LENGTH - ZIP64_END_LENGTH)
            extended, locator = stream.read(ZIP64_END_LENGTH), stream.read(ZIP64_LOCATOR_LENGTH)
            if locator.startswith(ZIP64_LOCATOR) and extended.startswith(ZIP64_END):
                count, size = struct.unpack_from("<QQ", extended, 32)
                end -= ZIP64_LOCATOR_LENGTH + ZIP64_END_LENGTH
        if size > end:
            raise zipfile.BadZipFile("its directory is longer than the file")
        stream.seek(end - size)
        found = passed = 0
        while passed < size:
            entry = stream.read(ZIP_ENTRY_LENGTH)
            if len(entry) < ZIP_ENTRY_LENGTH or not entry.startswith(ZIP_ENTRY):
                raise zipfile.BadZipFile("its directory is damaged")
            further = sum(struct.unpack_from("<3H", entry, 28))
            stream.seek(further, os.SEEK_CUR)
            passed += ZIP_ENTRY_LENGTH + further
            found += 1
            if found > limits.files:
                raise too_many(path, limits)
    # Some writers count to 65,535 and begin again.
    if passed != size or (found - count) % 0x10000:
        raise zipfile.BadZipFile(f"its directory is not whole: {found} of {count} files")
    return cast(int, end - size)


def data_offset(file: int, entry: zipfile.ZipInfo) -> int:
    """Where a file's bytes begin, having checked that what stands before them is its header."""
    name = _raw_name(entry)
    head = os.pread(file, ZIP_HEADER_LENGTH + len(name), entry.header_offset)
    if len(head) < ZIP_HEADER_LENGTH + len(name) or not head.startswith(ZIP_HEADER):
        raise zipfile.BadZipFile("its header is damaged")
    flags, method = struct.unpack_from("<2H", head, 6)
    name_length, extra_length = struct.unpack_from("<2H", head, 26)
    if name_length != len(name) or head[ZIP_HEADER_LENGTH:] != name or method != entry.compress_type:
        raise zipfile.BadZipFile("its header is another file's")
    if (flags | entry.flag_bits) & ENCRYPTED:
        raise zipfile.BadZipFile("it is encrypted; give an archive without a password")
    return cast(int, entry.header_offset + ZIP_HEADER_LENGTH + name_length + extra_length)


def zip_content(file: int, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """The pieces of a file in a zip, read with `pread`, which has no position to share.

    Raises BadZipFile, zlib.error or EOFError when it is not as long as declared, before a byte too many is given, or
    when its checksum differs.
    """
    at, left = data_offset(file, entry), entry.compress_size
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile("it is not stored or deflated, as zips of photographs are; pack it again")
    inflate = zlib.decompressobj(-zlib.MAX_WBITS) if entry.compress_type == zipfile.ZIP_DEFLATED else None
    given = crc = 0
    packed, ended = b"", False
    while not ended:
        if not packed and left:
            packed = os.pread(file, min(PIECE, left), at)
            if not packed:
                raise EOFError("it is cut short")
            at, left = at + len(packed), left - len(packed)
        if inflate is None:
            piece, packed, ended = packed, b"", not left
        else:
            came = len(packed)
            # One more than is due, so that a longer file shows.
            piece = inflate.decompress(packed, min(PIECE, entry.file_size - given + 1))
            packed, ended = inflate.unconsumed_tail, inflate.eof
            if not (ended or piece or came or left):
                raise EOFError("it is cut short")
        given, crc = given + len(piece), zlib.crc32(piece, crc)
        if given > entry.file_size:
            raise zipfile.BadZipFile(f"it unpacks to more than the {entry.file_size:,} bytes that it declares")
        if piece:
            yield piece
    if given < entry.file_size or left or packed or (inflate is not None and inflate.unused_data):
        raise zipfile.BadZipFile(
            f"it unpacks to {given:,} bytes and declares {entry.file_size:,}, or has bytes left over"
        )
    if crc != entry.CRC:
        raise zipfile.BadZipFile("its checksum differs")


def zip_members(path: Path, limits: Limits = NO_LIMITS) -> Iterator[Member]:
    """The members of a zip, every one with a header that agrees with the directory."""
    entries = zip_entries(path, limits)
    with path.open("rb") as stream:
        file = stream.fileno()
        for entry in entries:
            # zipfile ends a name at a zero byte, and reads what is not UTF-8 as an old DOS code page.
            name = entry.orig_filename
            if not entry.flag_bits & UTF8 and not _raw_name(entry).isascii():
                name = _raw_name(entry).decode("utf-8", "surrogateescape")
            with named(path, name):
                data_offset(file, entry)
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if name.endswith("/"):
                what = "a folder with content" if entry.file_size else "a link or a device"
                yield Member(name, not entry.file_size and kind in (0, stat.S_IFDIR), None, what)
            elif kind in (0, stat.S_IFREG):
                yield Member(name, False, partial(_named_content, file, entry, path, name))
            else:
                yield Member(name, False, None, "a link" if kind == stat.S_IFLNK else "a device or a pipe")


def _named_content(file: int, entry: zipfile.ZipInfo, path: Path, name: str) -> Iterator[bytes]:
    with named(path, name):
        yield from zip_content(file, entry)


@contextmanager
def named(path: Path, name: str) -> Iterator[None]:
    """Turn what a damaged file of a zip raises into a FieldguideError naming archive and file."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError) as error:
        raise FieldguideError(
            f"{path}: the file {quote_name(name)} is damaged or not as its header says ({error}); {HINT}"
        ) from error


# ---------------------------------------------------------------- both


def is_zip(path: Path) -> bool:
    """Whether a file begins as a zip does, whatever it is called."""
    with path.open("rb") as stream:
        return ZIP_BEGIN.match(stream.read(4)) is not None


def members_of(path: Path, limits: Limits = NO_LIMITS) -> Iterator[Member]:
    """The members of an archive, whatever it is called; raises FieldguideError on damage and on what is refused."""
    with damage_named(path):
        yield from zip_members(path, limits) if is_zip(path) else tar_members(path, limits)


def least_size(path: Path, limits: Limits = NO_LIMITS) -> int:
    """Bytes that an archive unpacks to at least, as far as can be told without unpacking it."""
    if is_zip(path):
        with damage_named(path):
            return sum(entry.file_size for entry in zip_entries(path, limits))
    length = path.stat().st_size
    with path.open("rb") as stream:
        if stream.read(2) != b"\x1f\x8b" or length < 18:
            return length
        # gzip ends in the length of what it holds, modulo 2^32 (RFC 1952, section 2.3.1).
        stream.seek(-4, os.SEEK_END)
        return max(length, int.from_bytes(stream.read(4), "little"))
