"""Archives that lie or are damaged: each attack is refused by name, and nothing of it is written anywhere."""

from __future__ import annotations

import io
import lzma
import os
import resource
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldguide.core.errors import FieldguideError
from fieldguide.data import archives
from fieldguide.data.archives import Limits, find_name_error, members_of, zip_content, zip_entries
from fieldguide.data.image_store import open_image_store
from fieldguide.data.unpack_archive import main
from tests.tiny_data import as_settings, refusal, write_zip

FOLDER = "CUB_200_2011"
GOOD = f"{FOLDER}/good.txt"
TARS = ("tar", "tgz", "tar.bz2", "tar.xz")
MODES = {"tar": "w", "tgz": "w:gz", "tar.bz2": "w:bz2", "tar.xz": "w:xz"}
ZIPS = {"stored.zip": zipfile.ZIP_STORED, "deflated.zip": zipfile.ZIP_DEFLATED}
KINDS = (*TARS, *ZIPS)


class File(NamedTuple):
    """A member to write: `kind` is a tar's type."""

    name: str
    content: bytes = b"abc"
    kind: bytes = tarfile.REGTYPE
    target: str = ""
    pax: dict[str, str] = {}  # noqa: RUF012


def write(path: Path, *files: File) -> Path:
    """An archive of the kind that its name says, with a good file before the given ones and one after."""
    listed = (File(GOOD), *files, File(f"{FOLDER}/last.txt"))
    kind = path.name.partition(".")[2]
    if kind in ZIPS:
        with zipfile.ZipFile(path, "w", ZIPS[kind]) as archive:
            for file in listed:
                info = zipfile.ZipInfo(file.name)
                # ZipInfo ends a name at a zero byte and turns backslashes on some systems; a hostile zip does not.
                info.filename = info.orig_filename = file.name
                info.compress_type = ZIPS[kind]
                modes = {tarfile.SYMTYPE: stat.S_IFLNK, tarfile.FIFOTYPE: stat.S_IFIFO, tarfile.CHRTYPE: stat.S_IFCHR}
                info.external_attr = (modes.get(file.kind, stat.S_IFREG) | 0o644) << 16
                archive.writestr(info, file.target.encode() or file.content)
        return path
    with tarfile.open(path, MODES[kind], format=tarfile.PAX_FORMAT) as tar:
        for file in listed:
            tar_info = tarfile.TarInfo(file.name)
            tar_info.type, tar_info.linkname, tar_info.pax_headers = file.kind, file.target, file.pax
            tar_info.size = len(file.content) if tar_info.isreg() else 0
            tar.addfile(tar_info, io.BytesIO(file.content))
    return path


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, links not followed."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in folder.rglob("*")
    }


def unpacked(archive: Path, out: Path, *more: object) -> dict[str, bytes | None]:
    main([str(word) for word in ("--archive", archive, "--folder", FOLDER, "--out", out, *more)])
    return tree(out)


def refused(archive: Path, *more: object) -> str:
    """The sentence, having checked that it names the archive and that nothing at all was written."""
    place = archive.parent / "deep" / "er"
    place.mkdir(parents=True, exist_ok=True)
    before = tree(archive.parent)
    sentence = refusal(main, "--archive", archive, "--folder", FOLDER, "--out", place / "out", *more)
    assert str(archive) in sentence
    assert tree(archive.parent) == before
    return sentence


def bare_refusal(archive: Path, *more: object) -> str:
    """The sentence alone, for measuring."""
    return refusal(main, "--archive", archive, "--folder", FOLDER, "--out", archive.parent / "out", *more)


# ---------------------------------------------------------------- names

LEAVES, CONTROL = "leaves its folder", "control characters"
BAD_NAMES = {
    f"{FOLDER}/../x": LEAVES,
    f"{FOLDER}/a/../../../x": LEAVES,
    "../x": LEAVES,
    f"{FOLDER}/..": LEAVES,
    f"/{FOLDER}/x": LEAVES,
    f"//server/{FOLDER}/x": LEAVES,
    f"C:/{FOLDER}/x": LEAVES,
    f"c:{FOLDER}/x": LEAVES,
    f"{FOLDER}\\..\\..\\x": LEAVES,
    f"{FOLDER}\\x": "a backslash",
    f"{FOLDER}/a\nb": CONTROL,
    f"{FOLDER}/a\x1b[2Jb": CONTROL,
    f"{FOLDER}/a\x7fb": CONTROL,
    f"{FOLDER}/a\u2028b": CONTROL,
    f"{FOLDER}/{'a' * 256}": "too long",
    f"{FOLDER}/{'é' * 128}": "too long",
    f"{FOLDER}/" + "/".join(["abcdefghij"] * 100): "too long",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_bad_names_are_refused(tmp_path: Path, kind: str, name: str) -> None:
    sentence = refused(write(tmp_path / f"a.{kind}", File(name)))
    assert BAD_NAMES[name] in sentence and repr(name)[:90] in sentence


@pytest.mark.parametrize("kind", KINDS)
def test_good_names_are_taken(tmp_path: Path, kind: str) -> None:
    names = ["a b.txt", "é/ü.txt", "..txt", "a..b", "x" * 255, "deep/" * 20 + "x", "C:D", "日本語", "%2e%2e", "~"]
    found = unpacked(write(tmp_path / f"a.{kind}", *(File(f"{FOLDER}/{name}") for name in names)), tmp_path / "out")
    assert {name for name, content in found.items() if content is not None} == {*names, "good.txt", "last.txt"}


@pytest.mark.parametrize("kind", TARS)
@pytest.mark.parametrize("top", ["PK_birds", "BZhang"])
def test_a_tar_is_known_though_its_first_name_begins_as_another_kind(tmp_path: Path, kind: str, top: str) -> None:
    with tarfile.open(tmp_path / f"a.{kind}", MODES[kind]) as tar:
        tar.addfile(tarfile.TarInfo(f"{top}/{GOOD}"))
    assert unpacked(tmp_path / f"a.{kind}", tmp_path / "out") == {"good.txt": b""}


@pytest.mark.parametrize("kind", ZIPS)
def test_a_zero_byte_in_a_zips_name_is_refused(tmp_path: Path, kind: str) -> None:
    # zipfile itself ends the name there, and so would take another file than the one that is named.
    assert "a zero byte" in refused(write(tmp_path / f"a.{kind}", File(f"{FOLDER}/x.txt\0/../../y")))


def test_a_zero_byte_in_a_tars_name_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", File("x", pax={"path": f"{FOLDER}/x.txt\0/../../y"}))
    assert "a zero byte" in refused(path)


def test_names_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    tar = write(tmp_path / "a.tar", File(f"{FOLDER}/x", pax={"path": f"{FOLDER}/\udcff\udcfe"}))
    latin = write(tmp_path / "b.tar")
    with tarfile.open(latin, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        archive.addfile(tarfile.TarInfo(f"{FOLDER}/é"))
    zipped = write(tmp_path / "c.stored.zip", File(f"{FOLDER}/qqq"))
    zipped.write_bytes(zipped.read_bytes().replace(b"/qqq", b"/q\xe9q"))
    for path in (tar, latin, zipped):
        assert "not UTF-8" in refused(path)
    flagged = write(tmp_path / "d.stored.zip", File(f"{FOLDER}/é"))
    flagged.write_bytes(flagged.read_bytes().replace("é".encode(), b"\xff\xfe"))
    assert "damaged" in refused(flagged)


@pytest.mark.parametrize("kind", TARS)
def test_a_pax_header_that_gives_another_name_is_looked_at(tmp_path: Path, kind: str) -> None:
    assert LEAVES in refused(write(tmp_path / f"a.{kind}", File(f"{FOLDER}/fine", pax={"path": "../../evil"})))


def test_a_global_pax_header_that_renames_all_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT, pax_headers={"path": GOOD}) as tar:
        for name in ("x", "y"):
            info = tarfile.TarInfo(f"{FOLDER}/{name}")
            info.size = 3
            tar.addfile(info, io.BytesIO(b"abc"))
    assert "good.txt' twice" in refused(path)


@given(st.text(st.sampled_from("ab./\\\0: é\n\udc80C"), max_size=20))
def test_a_name_that_is_taken_stays_inside(name: str) -> None:
    if not find_name_error(name):
        resolved = os.path.normpath(os.path.join("/top/out", name))  # noqa: PTH118
        assert resolved == "/top/out" or resolved.startswith("/top/out/")


# ---------------------------------------------------------------- what is no file


@pytest.mark.parametrize("kind", ["tar", "tgz"])
@pytest.mark.parametrize("link", [tarfile.SYMTYPE, tarfile.LNKTYPE], ids=["symbolic", "hard"])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "good.txt", GOOD, "."])
def test_links_are_refused(tmp_path: Path, kind: str, link: bytes, target: str) -> None:
    path = write(tmp_path / f"a.{kind}", File(f"{FOLDER}/bad", b"", link, target), File(f"{FOLDER}/bad/x"))
    sentence = refused(path)
    assert f"'{FOLDER}/bad', a link" in sentence


@pytest.mark.parametrize("kind", ["tar", "tgz"])
@pytest.mark.parametrize("special", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"s", b"V", b"Z"])
def test_devices_pipes_sockets_and_unknown_types_are_refused(tmp_path: Path, kind: str, special: bytes) -> None:
    assert f"'{FOLDER}/bad', a device or a pipe" in refused(
        write(tmp_path / f"a.{kind}", File(f"{FOLDER}/bad", b"", special))
    )


@pytest.mark.parametrize("kind", ZIPS)
@pytest.mark.parametrize("special", [tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
@pytest.mark.parametrize("slash", ["", "/"])
def test_links_and_devices_in_a_zip_are_refused(tmp_path: Path, kind: str, special: bytes, slash: str) -> None:
    sentence = refused(write(tmp_path / f"a.{kind}", File(f"{FOLDER}/bad{slash}", b"", special, "/etc/passwd")))
    assert f"{FOLDER}/bad" in sentence and ("a link" in sentence or "a device" in sentence or "with cont" in sentence)


def test_sparse_files_are_refused(tmp_path: Path) -> None:
    pax = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(10**12)}
    assert "a sparse file" in refused(write(tmp_path / "a.tgz", File(f"{FOLDER}/bad", pax=pax)))
    path = write(tmp_path / "b.tar", File(f"{FOLDER}/bad", b"", tarfile.GNUTYPE_SPARSE))
    assert "a sparse file" in refused(path)


# ---------------------------------------------------------------- two in one place


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("x.txt", "x.txt", "twice"),
        ("x.txt", "./x.txt", "twice"),
        ("x.txt", "X.TXT", "case or accents"),
        ("é.txt", "e\u0301.txt", "case or accents"),
        ("ß.txt", "SS.txt", "case or accents"),
        ("a/x.txt", "A/y.txt", "case or accents"),
        ("x", "x/y", "both as a file and as a folder"),
        ("x/y", "x", "both as a file and as a folder"),
        ("x/y/z", "X", "case or accents"),
    ],
    ids=ascii,
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_in_one_place_are_refused(tmp_path: Path, kind: str, first: str, second: str, told: str) -> None:
    assert told in refused(write(tmp_path / f"a.{kind}", File(f"{FOLDER}/{first}"), File(f"{FOLDER}/{second}")))


def test_a_folder_may_be_listed_twice(tmp_path: Path) -> None:
    folder = File(f"{FOLDER}/x", b"", tarfile.DIRTYPE)
    found = unpacked(write(tmp_path / "a.tgz", folder, File(f"{FOLDER}/x/y"), folder), tmp_path / "out")
    assert found["x/y"] == b"abc"


# ---------------------------------------------------------------- sizes


def limit(size: float, files: int = 100) -> tuple[object, ...]:
    return as_settings(max_gb=size / 1e9, max_files=files)


@pytest.mark.parametrize("kind", KINDS)
def test_more_than_the_limit_is_refused(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"a.{kind}", File(f"{FOLDER}/zeros", bytes(1_000_000)))
    sentence = refused(path, *limit(500_000))
    assert "unpacks to more than 0.0005 GB" in sentence and "max_gb" in sentence
    assert len(unpacked(path, tmp_path / "out", *limit(1_100_000))) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_more_files_than_the_limit_are_refused(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"a.{kind}", *(File(f"{FOLDER}/{number}", b"") for number in range(48)))
    assert "more than 49 files" in refused(path, *limit(1e6, 49))
    assert len(unpacked(path, tmp_path / "out", *limit(1e6, 50))) == 50


@pytest.mark.parametrize("kind", TARS)
def test_what_is_not_unpacked_counts_too(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"a.{kind}", File("elsewhere/zeros", bytes(1_000_000)))
    assert "unpacks to more" in refused(path, *limit(500_000))


def test_zeros_after_the_end_count_too(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar")
    path.write_bytes(path.read_bytes() + bytes(1_000_000))
    with path.open("rb") as source, lzma.open(tmp_path / "a.xz", "wb") as sink:
        shutil.copyfileobj(source, sink)
    assert "unpacks to more" in refused(tmp_path / "a.xz", *limit(500_000))


@pytest.mark.parametrize("fewer", [True, False])
@pytest.mark.parametrize("kind", ZIPS)
def test_a_zip_that_lies_about_a_size_is_caught(tmp_path: Path, kind: str, fewer: bool) -> None:
    real, said = 1_000_000, 1_000 if fewer else 1_000_001
    path = write(tmp_path / f"a.{kind}", File(f"{FOLDER}/zeros", bytes(real)))
    data = path.read_bytes().replace(struct.pack("<L", real), struct.pack("<L", said))
    if kind == "deflated.zip":  # even with the checksum of the part that is declared
        data = data.replace(struct.pack("<L", zlib.crc32(bytes(real))), struct.pack("<L", zlib.crc32(bytes(said))))
    path.write_bytes(data)
    sentence = refused(path, *limit(5_000_000))
    assert f"{FOLDER}/zeros" in sentence or "in the same bytes" in sentence or "directory" in sentence
    assert kind == "stored.zip" or "declares" in sentence


def test_no_more_is_held_than_is_declared(tmp_path: Path) -> None:
    path = write(tmp_path / "a.deflated.zip", File(f"{FOLDER}/zeros", bytes(200_000_000)))
    data = path.read_bytes().replace(struct.pack("<L", 200_000_000), struct.pack("<L", 10))
    path.write_bytes(data)
    tracemalloc.start()
    try:
        assert "more than the 10 bytes" in bare_refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", TARS)
def test_a_bomb_costs_no_memory(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"a.{kind}", File(f"{FOLDER}/zeros", bytes(50_000_000)))
    tracemalloc.start()
    try:
        assert "unpacks to more" in bare_refusal(path, *limit(40_000_000))
        assert "more than 2 files" in bare_refusal(path, *limit(60_000_000, 2))
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", TARS)
@pytest.mark.parametrize("what", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_a_header_as_long_as_a_file_is_refused(tmp_path: Path, kind: str, what: bytes) -> None:
    # tarfile reads such a header into memory, however long it says it is.
    path = tmp_path / f"a.{kind}"
    with tarfile.open(path, MODES[kind], format=tarfile.GNU_FORMAT) as tar:
        info = tarfile.TarInfo(f"{FOLDER}/x")
        info.size = 30_000_000
        header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        header[156:157] = what
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        assert tar.fileobj is not None
        tar.fileobj.write(header + bytes(30_000_000))
    tracemalloc.start()
    try:
        assert "longer than any header" in bare_refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def forged(info: tarfile.TarInfo, size: bytes) -> bytes:
    """A tar header that gives a size in bytes of its own."""
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("size", [-512, -1024, -(1 << 40), 1 << 62])
def test_a_size_below_zero_or_beyond_reason_is_refused(tmp_path: Path, size: int) -> None:
    # Followed back, it would go round for ever.
    encoded = (b"\xff" if size < 0 else b"\x80") + (size & ((1 << 88) - 1)).to_bytes(11, "big")
    path = tmp_path / "a.tar"
    path.write_bytes(forged(tarfile.TarInfo(GOOD), encoded) + bytes(10_240))
    assert "damaged" in (told := refused(path)) or "unpacks to more" in told


@pytest.mark.timeout(60)
def test_a_long_chain_of_headers_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 0
    path = tmp_path / "a.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) * 5000 + bytes(10_240))
    assert "damaged" in refused(path)


# ---------------------------------------------------------------- zips that share bytes


def directory_entry(name: bytes, offset: int, packed: int, size: int, crc: int) -> bytes:
    fields = (b"PK\1\2", 20, 20, 0, 8, 0, 0, crc, packed, size, len(name), 0, 0, 0, 0, 0o100644 << 16, offset)
    return struct.pack("<4s6H3L5H2L", *fields) + name


def overlapping_zip(path: Path, count: int) -> Path:
    """Many entries that all unpack the same bytes."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    content = bytes(1_000_000)
    packed = deflate.compress(content) + deflate.flush()
    crc, name = zlib.crc32(content), b"%b/%%04d" % FOLDER.encode()
    header = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 8, 0, 0, crc, len(packed), len(content), len(name % 0), 0)
    body = header + name % 0 + packed
    entries = b"".join(directory_entry(name % n, 0, len(packed), len(content), crc) for n in range(count))
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(entries), len(body), 0)
    path.write_bytes(body + entries + end)
    return path


def test_files_in_the_same_bytes_are_refused(tmp_path: Path) -> None:
    sentence = refused(overlapping_zip(tmp_path / "a.zip", 3000), *limit(3e9, 10_000))
    assert f"{FOLDER}/0000" in sentence and "in the same bytes" in sentence
    assert "unpacks to more than 2 GB" in refused(overlapping_zip(tmp_path / "a.zip", 3000), *limit(2e9, 10_000))


def test_a_file_that_quotes_the_next_ones_header_is_refused(tmp_path: Path) -> None:
    # The first file's bytes go on over the second file's header, as in the zip bombs that need no nesting.
    path = write(tmp_path / "a.stored.zip", File(f"{FOLDER}/x", b"x" * 100))
    with zipfile.ZipFile(path) as archive:
        first, second = archive.infolist()[:2]
    longer = first.compress_size + 10
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    data[at + 20 : at + 28] = struct.pack("<2L", longer, longer)
    path.write_bytes(data)
    assert second.header_offset and "in the same bytes" in refused(path)


def test_an_archive_in_the_archive_is_a_file_like_any(tmp_path: Path) -> None:
    inner = write(tmp_path / "inner.deflated.zip", File("bomb", bytes(1_000_000))).read_bytes()
    found = unpacked(write(tmp_path / "a.tgz", File(f"{FOLDER}/inner.zip", inner)), tmp_path / "out", *limit(100_000))
    assert found["inner.zip"] == inner


@pytest.mark.parametrize("outer", ["tgz", "tar.bz2", "tar.xz"])
def test_what_is_compressed_twice_is_told(tmp_path: Path, outer: str) -> None:
    import bz2
    import gzip

    opener: Any = {"tgz": gzip.open, "tar.bz2": bz2.open, "tar.xz": lzma.open}[outer]
    for kind in ("tgz", "tar.bz2", "tar.xz", "deflated.zip"):
        inner = write(tmp_path / f"inner.{kind}").read_bytes()
        with opener(tmp_path / f"a.{outer}", "wb") as stream:
            stream.write(inner)
        assert "compressed twice" in refused(tmp_path / f"a.{outer}")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_methods_of_a_zip_are_refused(tmp_path: Path, method: int) -> None:
    # Python's readers of these unpack without a bound.
    path = write_zip(tmp_path / "a.zip", {GOOD: b"abc" * 1000}, method)
    assert "not stored or deflated" in refused(path)


def test_an_encrypted_zip_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.stored.zip")
    data = bytearray(path.read_bytes())
    data[6] |= 1
    path.write_bytes(data)
    assert "encrypted" in (told := refused(path)) and GOOD in told


@pytest.mark.parametrize("change", ["name", "count", "comment"])
def test_a_directory_that_differs_from_the_files_is_refused(tmp_path: Path, change: str) -> None:
    # Each of these makes zipfile pass over files without a word.
    path = write(tmp_path / "a.stored.zip", File(f"{FOLDER}/x"))
    data = bytearray(path.read_bytes())
    first = data.index(b"PK\1\2")
    if change == "name":
        data[first + 46] = ord("X")
    elif change == "count":
        data[-12] += 1
    else:
        data[first + 33] = 0x40
    path.write_bytes(data)
    sentence = refused(path)
    assert "another file's" in sentence if change == "name" else "directory" in sentence


# ---------------------------------------------------------------- room on the disk


@pytest.mark.parametrize("kind", ["tar", "tgz", "stored.zip", "deflated.zip"])
def test_a_disk_that_is_too_small_is_told_first(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / f"a.{kind}", File(f"{FOLDER}/zeros", bytes(5_000_000)))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=4_000_000))
    sentence = refused(path)
    assert "0.004 GB free" in sentence and "unpacks to 0.005" in sentence
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=6_000_000))
    assert len(unpacked(path, tmp_path / "out")) == 3


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tgz", File(f"{FOLDER}/zeros", bytes(5_000_000)))
    words = [sys.executable, "-m", "fieldguide.data.unpack_archive", "--archive", str(path), "--folder", FOLDER]
    answer = subprocess.run(
        [*words, "--out", str(tmp_path / "out" / FOLDER)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
        env={**os.environ, "PYTHONPATH": str(Path(archives.__file__).parents[2])},
    )
    assert answer.returncode == 1 and "Traceback" not in answer.stderr
    assert f"{path}: could not be unpacked into" in answer.stderr and "File too large" in answer.stderr
    assert list((tmp_path / "out").iterdir()) == []


def test_what_a_killed_run_left_is_cleared(tmp_path: Path) -> None:
    left = tmp_path / f".out.{os.getpid()}.part"
    left.mkdir()
    (left / "half.jpg").touch()
    assert set(unpacked(write(tmp_path / "a.tgz"), tmp_path / "out")) == {"good.txt", "last.txt"}
    assert not left.exists()


def test_a_pipe_in_place_of_the_archive_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tgz")
    assert "neither a file nor a folder" in refusal(
        main, "--archive", tmp_path / "a.tgz", "--folder", FOLDER, "--out", tmp_path / "out"
    )


# ---------------------------------------------------------------- damage anywhere

TREE = {
    f"{FOLDER}/{name}": content for name, content in (("a.txt", b"words " * 50), ("b/c.bin", bytes(range(256)) * 3))
}


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small archive of every kind."""
    folder = tmp_path_factory.mktemp("wholes")
    files = [File(name, content) for name, content in TREE.items()]
    return {kind: write(folder / f"a.{kind}", *files).read_bytes() for kind in KINDS}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


def either_whole_or_refused(folder: Path, kind: str, data: bytes) -> bool:
    """Whether it was unpacked; then it is what was packed, to the byte, else nothing is there."""
    shutil.rmtree(folder / "work", ignore_errors=True)
    (folder / "work").mkdir()
    archive, out = folder / "work" / f"a.{kind}", folder / "work" / "out"
    archive.write_bytes(data)
    try:
        main(["--archive", str(archive), "--folder", FOLDER, "--out", str(out), *map(str, limit(1e6, 20))])
    except SystemExit as stop:
        assert isinstance(stop.code, str) and "\n" not in stop.code and str(archive) in stop.code
        assert list((folder / "work").iterdir()) == [archive]
        return False
    found = {f"{FOLDER}/{name}": content for name, content in tree(out).items() if content is not None}
    assert found == {**TREE, GOOD: b"abc", f"{FOLDER}/last.txt": b"abc"}
    return True


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(data=st.data())
def test_a_cut_anywhere_is_refused_or_harmless(
    wholes: dict[str, bytes], scratch: Path, kind: str, data: st.DataObject
) -> None:
    whole = wholes[kind]
    end = data.draw(st.integers(0, len(whole)))
    was_unpacked = either_whole_or_refused(scratch, kind, whole[:end])
    # Only the zeros that fill up a plain tar may be gone.
    assert not was_unpacked or end == len(whole) or (kind == "tar" and not whole[end:].strip(b"\0"))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=120)
@given(data=st.data())
def test_a_flip_anywhere_is_refused_or_harmless(
    wholes: dict[str, bytes], scratch: Path, kind: str, data: st.DataObject
) -> None:
    changed = bytearray(wholes[kind])
    places = tar_headers(wholes[kind]) if kind == "tar" else range(len(changed))
    at = data.draw(st.sampled_from(places))
    changed[at] ^= data.draw(st.integers(1, 255))
    either_whole_or_refused(scratch, kind, bytes(changed))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60)
@given(data=st.data())
def test_garbage_in_the_middle_is_no_traceback(
    wholes: dict[str, bytes], scratch: Path, kind: str, data: st.DataObject
) -> None:
    whole = wholes[kind]
    places = tar_headers(whole) if kind == "tar" else range(len(whole))
    at = data.draw(st.sampled_from(places))
    length = 512 - at % 512 if kind == "tar" else 40
    garbage = data.draw(st.binary(min_size=1, max_size=length))
    either_whole_or_refused(scratch, kind, whole[:at] + garbage + whole[at + len(garbage) :])


def tar_headers(data: bytes) -> list[int]:
    """The places of a plain tar that a checksum covers; it has none of its files' content."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [info.offset + place for info in tar for place in range(512)]


# ---------------------------------------------------------------- zip64


def read_all(path: Path) -> Iterator[tuple[str, bytes]]:
    with path.open("rb") as stream:
        for entry in zip_entries(path):
            yield entry.filename, b"".join(zip_content(stream.fileno(), entry))


def test_zip64_sizes_and_offsets_are_read(tmp_path: Path) -> None:
    path = tmp_path / "big.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("x", "y"):
            with archive.open(name, "w", force_zip64=True) as sink:
                sink.write(name.encode() * 1000)
    assert dict(read_all(path)) == {"x": b"x" * 1000, "y": b"y" * 1000}


def test_offsets_beyond_four_gibibytes_are_read(tmp_path: Path) -> None:
    # A hole of 5 GiB between two files takes no room on the disk.
    path = tmp_path / "sparse.zip"
    with path.open("wb") as raw, zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("first", b"1")
        raw.seek(5 << 30)
        archive.start_dir = raw.tell()
        archive.writestr("second", b"2" * 1000)
    if path.stat().st_blocks * 512 > 1 << 30:
        pytest.skip("this file system has no holes in files")
    assert [entry.header_offset > 1 << 32 for entry in zip_entries(path)] == [False, True]
    assert dict(read_all(path)) == {"first": b"1", "second": b"2" * 1000}
    assert open_image_store(path).read("second") == b"2" * 1000
    damaged = path.stat().st_size - 30
    os.truncate(path, damaged)
    with pytest.raises(zipfile.BadZipFile):
        zip_entries(path)


def test_more_than_65535_files_are_counted(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "many.zip", {f"{number:06d}": b"" for number in range(70_000)})
    assert len(zip_entries(path)) == 70_000
    with pytest.raises(FieldguideError, match="more than 69,999 files"):
        zip_entries(path, Limits(1 << 40, 69_999))


def test_a_prefix_before_the_zip_is_allowed(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"x": b"abc"})
    path.write_bytes(b"#!/bin/sh\n" + path.read_bytes())
    assert dict(read_all(path)) == {"x": b"abc"}


def test_a_comment_after_the_zip_is_allowed(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"x": b"abc"})
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"a comment with PK\5\7 in it"
    assert dict(read_all(path)) == {"x": b"abc"}


@given(st.binary(max_size=3000), st.booleans(), st.booleans())
def test_pieces_are_the_content(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, deflate: bool, tiny: bool
) -> None:
    folder = tmp_path_factory.mktemp("pieces")
    path = write_zip(folder / "a.zip", {"x": content}, zipfile.ZIP_DEFLATED if deflate else zipfile.ZIP_STORED)
    before, archives.PIECE = archives.PIECE, 7 if tiny else archives.PIECE
    try:
        assert dict(read_all(path)) == {"x": content}
        assert [member.name for member in members_of(path)] == ["x"]
    finally:
        archives.PIECE = before
        shutil.rmtree(folder)
