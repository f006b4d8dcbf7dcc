"""Unpacking: what is taken, what is refused, and that nothing half-unpacked is left."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from fieldguide.data import index_images, index_pairs
from fieldguide.data.unpack_archive import find_folder, main
from fieldguide.texts import index_captions
from tests.tiny_data import as_settings, pack, refusal, said, write_coco, write_cub, write_reed, write_zip

FOLDER = "CUB_200_2011"


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def unpack(archive: Path, out: Path, folder: str = FOLDER) -> None:
    main(["--archive", str(archive), "--folder", folder, "--out", str(out)])


def refused(archive: Path, out: Path, folder: str = FOLDER) -> str:
    """The sentence, having checked that it names the archive and that nothing is left."""
    sentence = refusal(main, "--archive", archive, "--folder", folder, "--out", out)
    assert str(archive) in sentence
    assert not out.exists()
    assert not out.parent.exists() or list(out.parent.iterdir()) == []
    return sentence


def write_tar(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            member.size = 3 if member.isfile() else 0
            tar.addfile(member, io.BytesIO(b"abc"))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("suffix", ["tgz", "tar", "tar.gz", "zip"])
def test_unpacks_what_is_in_the_folder(tmp_path: Path, suffix: str) -> None:
    root = write_cub(tmp_path)
    unpack(pack(root, tmp_path / f"a.{suffix}"), tmp_path / "out" / FOLDER)
    assert contents(tmp_path / "out" / FOLDER) == contents(root)
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / FOLDER]


@pytest.mark.parametrize("suffix", ["tgz", "zip"])
def test_folder_may_lie_deeper(tmp_path: Path, suffix: str) -> None:
    root = write_reed(tmp_path)
    unpack(pack(root, tmp_path / f"a.{suffix}", "cvpr2016_cub/text_c10"), tmp_path / "out", "text_c10")
    assert contents(tmp_path / "out") == contents(root)


def test_names_may_begin_with_a_dot(tmp_path: Path) -> None:
    unpack(write_tar(tmp_path / "a.tgz", member(f"./{FOLDER}/x.txt")), tmp_path / "out")
    assert contents(tmp_path / "out") == {"x.txt": b"abc"}


def test_only_the_folder_is_taken_and_no_litter(tmp_path: Path) -> None:
    names = [
        f"{FOLDER}/x.txt",
        f"{FOLDER}/._x.txt",
        f"__MACOSX/{FOLDER}/x.txt",
        f"{FOLDER}/.DS_Store",
        "attributes.txt",
    ]
    archive = write_tar(tmp_path / "a.tgz", *map(member, names), member("other/link", tarfile.SYMTYPE, "/etc/passwd"))
    unpack(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == {"x.txt": b"abc"}


def test_replaces_what_an_earlier_run_left(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.txt").touch()
    unpack(write_tar(tmp_path / "a.tgz", member(f"{FOLDER}/x.txt")), tmp_path / "out")
    assert contents(tmp_path / "out") == {"x.txt": b"abc"}


@pytest.mark.parametrize(
    "name", [f"{FOLDER}/../../x", f"/{FOLDER}/x", "../x", f"{FOLDER}\\..\\..\\x", f"C:/{FOLDER}/x"]
)
@pytest.mark.parametrize("suffix", ["tgz", "zip"])
def test_refuses_names_that_leave_the_folder(tmp_path: Path, name: str, suffix: str) -> None:
    archive = tmp_path / f"a.{suffix}"
    if suffix == "zip":
        write_zip(archive, {f"{FOLDER}/good": b"abc", name: b"abc"})
    else:
        write_tar(archive, member(f"{FOLDER}/good"), member(name))
    assert repr(name) in refused(archive, tmp_path / "deep" / "out")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_refuses_links_and_devices(tmp_path: Path, kind: bytes) -> None:
    archive = write_tar(tmp_path / "a.tgz", member(f"{FOLDER}/good"), member(f"{FOLDER}/bad", kind, "/etc/passwd"))
    assert f"{FOLDER}/bad" in refused(archive, tmp_path / "deep" / "out")


def test_refuses_links_in_a_zip(tmp_path: Path) -> None:
    info = zipfile.ZipInfo(f"{FOLDER}/bad")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, "/etc/passwd")
    assert f"{FOLDER}/bad" in refused(tmp_path / "a.zip", tmp_path / "deep" / "out")


@pytest.mark.parametrize("suffix", ["tgz", "tar", "zip"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.6, 0.9, 0.99])
def test_refuses_a_truncated_archive(tmp_path: Path, suffix: str, share: float) -> None:
    archive = pack(write_cub(tmp_path), tmp_path / f"a.{suffix}")
    data = archive.read_bytes()
    # A tar is padded to 10,240 bytes; what counts is what lies before the padding.
    end = len(data.rstrip(b"\0")) if suffix == "tar" else len(data)
    archive.write_bytes(data[: int(end * share)])
    assert "cut short" in refused(archive, tmp_path / "deep" / "out")


def test_refuses_a_tar_cut_between_two_files(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(member(f"{FOLDER}/x"))
        tar.addfile(member(f"{FOLDER}/y"))
    (tmp_path / "a.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:512])
    assert "cut short" in refused(tmp_path / "a.tar", tmp_path / "deep" / "out")


@pytest.mark.parametrize("suffix", ["tgz", "zip"])
def test_refuses_a_flipped_byte(tmp_path: Path, suffix: str) -> None:
    archive = pack(write_cub(tmp_path), tmp_path / f"a.{suffix}")
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0xFF
    archive.write_bytes(data)
    assert "damaged" in refused(archive, tmp_path / "deep" / "out")


def test_refuses_a_wrong_checksum_at_the_end(tmp_path: Path) -> None:
    archive = pack(write_cub(tmp_path), tmp_path / "a.tgz")
    data = bytearray(archive.read_bytes())
    data[-6] ^= 0xFF
    archive.write_bytes(data)
    assert "damaged" in refused(archive, tmp_path / "deep" / "out")


def test_refuses_a_damaged_header_in_a_tar(tmp_path: Path) -> None:
    archive = pack(write_cub(tmp_path), tmp_path / "a.tar")
    data = bytearray(archive.read_bytes())
    with tarfile.open(archive) as tar:
        data[tar.getmembers()[-1].offset + 150] ^= 0xFF
    archive.write_bytes(data)
    assert "damaged" in refused(archive, tmp_path / "deep" / "out")


def test_refuses_a_web_page(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_text("<html>Sign in to download</html>" * 99)
    assert "no tar or zip" in refused(tmp_path / "a.tgz", tmp_path / "deep" / "out")


def test_says_which_folders_there_are(tmp_path: Path) -> None:
    archive = pack(write_cub(tmp_path), tmp_path / "a.tgz", "CUB-200")
    sentence = refused(archive, tmp_path / "deep" / "out")
    assert f"the folder {FOLDER} is not in" in sentence
    assert "top folders are CUB-200" in sentence


def test_refuses_a_folder_found_twice(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tgz", member(f"one/{FOLDER}/x"), member(f"two/{FOLDER}/x"))
    assert f"one/{FOLDER} and two/{FOLDER}" in refused(archive, tmp_path / "deep" / "out")


def test_refuses_an_empty_folder_and_a_file_of_its_name(tmp_path: Path) -> None:
    assert "empty" in refused(write_tar(tmp_path / "a.tgz", member(FOLDER, tarfile.DIRTYPE)), tmp_path / "deep" / "out")
    assert "not a folder" in refused(write_tar(tmp_path / "b.tgz", member(FOLDER)), tmp_path / "deep" / "out")


def test_refuses_a_missing_archive(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "a.tgz", tmp_path / "deep" / "out")


@pytest.mark.parametrize("parent", [True, False])
def test_links_a_folder_and_leaves_it_alone(tmp_path: Path, parent: bool, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_cub(tmp_path / "mine")
    before = contents(root)
    out = tmp_path / "results" / FOLDER
    argv = ("--archive", root.parent if parent else root, "--folder", FOLDER, "--out", out)
    assert "linked" in said(main, capsys, *argv)
    assert out.is_symlink() and contents(out) == before
    said(main, capsys, *argv)
    assert contents(root) == before
    unpack(write_tar(tmp_path / "a.tgz", member(f"{FOLDER}/x.txt")), out)
    assert not out.is_symlink() and contents(out) == {"x.txt": b"abc"}
    assert contents(root) == before
    said(main, capsys, *argv)
    assert out.is_symlink() and contents(root) == before


def test_refuses_an_archive_in_the_folder_to_be_replaced(tmp_path: Path) -> None:
    root = write_cub(tmp_path)
    before = contents(root)
    archive = pack(root, root / "a.tgz")
    assert "move it" in refusal(main, "--archive", archive, "--folder", FOLDER, "--out", root)
    archive.unlink()
    assert "move it" in refusal(main, "--archive", root, "--folder", FOLDER, "--out", root)
    assert contents(root) == before


def test_find_folder() -> None:
    assert find_folder(("a", "b", "c"), ("b",)) == 1
    assert find_folder(("a", "b", "c"), ("b", "c")) == 1
    assert find_folder(("a", "b"), ("b", "c")) is None
    assert find_folder(("b", "b"), ("b",)) == 0


def state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Modes, times and contents of everything in a folder, itself included."""
    return {
        str(path): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in (folder, *folder.rglob("*"))
    }


def test_a_folder_that_is_given_is_read_and_never_written(tmp_path: Path) -> None:
    cub, reed = write_cub(tmp_path / "mine"), write_reed(tmp_path / "mine")
    pictures, annotations = write_coco(tmp_path / "mine")
    with zipfile.ZipFile(pictures) as archive:
        archive.extractall(tmp_path / "mine" / "coco")
    for path in sorted((tmp_path / "mine").rglob("*"), reverse=True):
        os.utime(path, (1_500_000_000, 1_500_000_000))
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = state(tmp_path / "mine")
    out = tmp_path / "out"
    for _ in range(2):
        for root, name in ((cub, "cub"), (reed, "reed")):
            main(["--archive", str(root), "--folder", root.name, "--out", str(out / name)])
        tables = ["--images-out", str(out / "images.csv"), "--classes-out", str(out / "classes.csv")]
        index_images.main(["--root", str(out / "cub"), *tables])
        tables = ["--images", str(out / "images.csv"), "--classes", str(out / "classes.csv")]
        index_captions.main(["--root", str(out / "reed"), *tables, "--out", str(out / "reed.csv")])
        paths = ["--images", str(tmp_path / "mine" / "coco"), "--annotations", str(annotations)]
        index_pairs.main([*paths, *as_settings(split="train2017", images=0, seed=0), "--out", str(out / "pairs.csv")])
    assert state(tmp_path / "mine") == before
