"""The real archives, cut down: read whole, and refused by name when damaged."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from fieldguide.core.files import read_csv
from fieldguide.data import index_images, index_pairs, unpack_archive
from fieldguide.data.image_store import open_image_store
from fieldguide.data.records import CLASS_COLUMNS, IMAGE_COLUMNS, PAIR_COLUMNS
from fieldguide.texts import index_captions
from fieldguide.texts.table import TEXT_COLUMNS
from tests.tiny_data import as_settings, edit_lines, pack, refusal, said

REAL = Path(os.environ.get("FIELDGUIDE_REAL_DATA") or Path(__file__).parents[2].parent / "shared" / "real")
CUB, REED = REAL / "CUB_200_2011.tgz", REAL / "reed_text_c10.tgz"
IMAGES, ANNOTATIONS = REAL / "train2017.zip", REAL / "annotations_trainval2017.zip"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        not all(path.exists() for path in (CUB, REED, IMAGES, ANNOTATIONS)),
        reason=f"no real archives in {REAL}; name their folder in FIELDGUIDE_REAL_DATA",
    ),
]


def unpack(archive: Path, folder: str, out: Path) -> Path:
    unpack_archive.main(["--archive", str(archive), "--folder", folder, "--out", str(out / folder)])
    return out / folder


def image_argv(root: Path, out: Path) -> list[str]:
    written = ["--images-out", str(out / "images.csv"), "--classes-out", str(out / "classes.csv")]
    return ["--root", str(root), *written, "--workers", "2"]


def caption_argv(root: Path, out: Path) -> list[str]:
    tables = ["--images", str(out / "images.csv"), "--classes", str(out / "classes.csv")]
    return ["--root", str(root), *tables, "--out", str(out / "reed.csv")]


def pair_argv(out: Path, *more: str, **values: object) -> list[str]:
    paths = ["--images", str(IMAGES), "--annotations", str(ANNOTATIONS), "--out", str(out / "pairs.csv")]
    chosen = as_settings(**{"split": "train2017", "images": 0, "seed": 0, **values})
    return [*paths, "--workers", "2", *chosen, *more]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both archives unpacked and all tables made; tests read it only."""
    folder = tmp_path_factory.mktemp("whole")
    index_images.main(image_argv(unpack(CUB, "CUB_200_2011", folder), folder))
    index_captions.main(caption_argv(unpack(REED, "text_c10", folder), folder))
    index_pairs.main(pair_argv(folder))
    return folder


@pytest.fixture
def cub(whole: Path, tmp_path: Path) -> Path:
    """A copy of the unpacked data set, to damage."""
    return Path(shutil.copytree(whole / "CUB_200_2011", tmp_path / "CUB_200_2011"))


@pytest.fixture
def reed(whole: Path, tmp_path: Path) -> Path:
    """A copy of the captions, to damage, with the tables beside it."""
    for name in ("images.csv", "classes.csv"):
        shutil.copy(whole / name, tmp_path)
    return Path(shutil.copytree(whole / "text_c10", tmp_path / "text_c10"))


def test_images_and_classes(whole: Path) -> None:
    images = read_csv(whole / "images.csv", IMAGE_COLUMNS)
    classes = read_csv(whole / "classes.csv", CLASS_COLUMNS)
    assert len(images) == 239
    assert [row["class_id"] for row in classes] == [str(number) for number in range(1, 11)]
    assert classes[8]["class_name"] == "Brewer Blackbird"
    counts = Counter((row["class_id"], row["split"]) for row in images)
    assert len(counts) == 20 and max(counts.values()) == 12
    ids = [int(row["image_id"]) for row in images]
    assert ids == sorted(set(ids))


def test_captions(whole: Path) -> None:
    images = {row["image_id"]: row for row in read_csv(whole / "images.csv", IMAGE_COLUMNS)}
    captions = read_csv(whole / "reed.csv", TEXT_COLUMNS)
    train = {image_id for image_id, row in images.items() if row["split"] == "train"}
    assert {row["image_id"] for row in captions} == train
    assert set(Counter(row["image_id"] for row in captions).values()) == {10}
    assert all(row["class_id"] == images[row["image_id"]]["class_id"] for row in captions)
    assert all(row["text"].isascii() and row["text"] == " ".join(row["text"].split()) for row in captions)


def test_lost_characters_are_put_right(whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = [*caption_argv(whole / "text_c10", whole)[:-1], str(tmp_path / "reed.csv")]
    log = said(index_captions.main, capsys, *argv)
    published = [
        line
        for row in read_csv(whole / "images.csv", IMAGE_COLUMNS)
        if row["split"] == "train"
        for line in (whole / "text_c10" / Path(row["path"]).relative_to("images"))
        .with_suffix(".txt")
        .read_text()
        .splitlines()
    ]
    lost = sum("\ufffd" in line for line in published)
    assert lost and f"corrected {lost} (spaces, lost characters)" in log
    assert [re.sub("\ufffd+", " ", line) for line in published] == [
        row["text"] for row in read_csv(tmp_path / "reed.csv", TEXT_COLUMNS)
    ]


def test_pairs(whole: Path, tmp_path: Path) -> None:
    pairs = read_csv(whole / "pairs.csv", PAIR_COLUMNS)
    assert len(pairs) == 200 and len({row["image_id"] for row in pairs}) == 40
    assert {row["path"] for row in pairs} == set(open_image_store(IMAGES).names())
    assert all(row["caption"] == " ".join(row["caption"].split()) for row in pairs)
    index_pairs.main(pair_argv(tmp_path, images=10, exclude=r"\bkitchen\b"))
    fewer = read_csv(tmp_path / "pairs.csv", PAIR_COLUMNS)
    assert len({row["image_id"] for row in fewer}) == 10
    assert not any("kitchen" in row["caption"].lower() for row in fewer)
    assert [row for row in pairs if row in fewer] == fewer


def test_all_archives_cut_short(tmp_path: Path) -> None:
    for archive in (CUB, REED, IMAGES, ANNOTATIONS):
        data = archive.read_bytes()
        (tmp_path / archive.name).write_bytes(data[: len(data) * 9 // 10])
    for archive, folder in ((CUB, "CUB_200_2011"), (REED, "text_c10")):
        cut = tmp_path / archive.name
        sentence = refusal(
            unpack_archive.main, "--archive", cut, "--folder", folder, "--out", tmp_path / "out" / folder
        )
        assert f"{cut}: cut short" in sentence
        assert list((tmp_path / "out").iterdir()) == []
    for option, archive in (("--images", IMAGES), ("--annotations", ANNOTATIONS)):
        cut = tmp_path / archive.name
        assert f"{cut}: is damaged" in refusal(index_pairs.main, *pair_argv(tmp_path, option, str(cut)))


def test_a_zip_and_a_folder_in_place_of_the_tgz(whole: Path, tmp_path: Path) -> None:
    archive = pack(whole / "text_c10", tmp_path / "text_c10.zip")
    packed = unpack(archive, "text_c10", tmp_path / "a")
    linked = unpack(whole / "text_c10", "text_c10", tmp_path / "b")
    for root in (packed, linked):
        argv = [*caption_argv(root, whole)[:-1], str(tmp_path / "reed.csv")]
        index_captions.main(argv)
        assert (tmp_path / "reed.csv").read_bytes() == (whole / "reed.csv").read_bytes()


def test_a_missing_caption_file(reed: Path, tmp_path: Path) -> None:
    row = next(row for row in read_csv(tmp_path / "images.csv", IMAGE_COLUMNS) if row["split"] == "train")
    (reed / Path(row["path"]).relative_to("images")).with_suffix(".txt").unlink()
    sentence = refusal(index_captions.main, *caption_argv(reed, tmp_path))
    assert row["path"] in sentence and "without a caption file (1)" in sentence


def test_an_emptied_caption_file(reed: Path, tmp_path: Path) -> None:
    row = next(row for row in read_csv(tmp_path / "images.csv", IMAGE_COLUMNS) if row["split"] == "train")
    path = (reed / Path(row["path"]).relative_to("images")).with_suffix(".txt")
    path.write_text("\n \n")
    assert str(path) in refusal(index_captions.main, *caption_argv(reed, tmp_path))


@pytest.mark.parametrize("left", [0.05, 0.5, 0.95])
def test_a_truncated_jpeg(cub: Path, tmp_path: Path, left: float) -> None:
    path = sorted(cub.rglob("*.jpg"))[7]
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * left)])
    sentence = refusal(index_images.main, *image_argv(cub, tmp_path))
    assert path.relative_to(cub).as_posix() in sentence and "do not open (1)" in sentence


def test_a_truncated_jpeg_in_the_zip(tmp_path: Path) -> None:
    damaged = tmp_path / "train2017.zip"
    with zipfile.ZipFile(IMAGES) as source, zipfile.ZipFile(damaged, "w") as sink:
        names = source.namelist()
        for name in names:
            data = source.read(name)
            sink.writestr(name, data[: len(data) // 2] if name == names[3] else data)
    sentence = refusal(index_pairs.main, *pair_argv(tmp_path, "--images", str(damaged)))
    assert names[3] in sentence and str(damaged) in sentence


def test_a_label_out_of_range(cub: Path, tmp_path: Path) -> None:
    edit_lines(cub / "image_class_labels.txt", lambda lines: [lines[0].split()[0] + " 11", *lines[1:]])
    sentence = refusal(index_images.main, *image_argv(cub, tmp_path))
    assert "line 1, image 3: 11" in sentence and "image_class_labels.txt" in sentence


def test_two_images_of_one_id(cub: Path, tmp_path: Path) -> None:
    edit_lines(cub / "images.txt", lambda lines: [lines[0], f"3 {lines[1].split()[1]}", *lines[2:]])
    sentence = refusal(index_images.main, *image_argv(cub, tmp_path))
    assert "images.txt, line 2: the id 3 is given twice, first on line 1" in sentence
    assert not (tmp_path / "images.csv").exists()


@pytest.mark.parametrize(("archive", "folder"), [(CUB, "CUB_200_2011"), (REED, "text_c10")])
@pytest.mark.parametrize("share", [0.001, 0.2, 0.5, 0.8, 0.9999])
def test_a_flipped_byte_in_an_archive(tmp_path: Path, archive: Path, folder: str, share: float) -> None:
    data = bytearray(archive.read_bytes())
    data[int(len(data) * share)] ^= 0x55
    (tmp_path / archive.name).write_bytes(data)
    out = tmp_path / "out" / folder
    sentence = refusal(unpack_archive.main, "--archive", tmp_path / archive.name, "--folder", folder, "--out", out)
    assert str(tmp_path / archive.name) in sentence and not any((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(("limit", "told"), [({"max_gb": 0.01}, "max_gb"), ({"max_files": 100}, "max_files")])
def test_archives_are_held_to_their_limits(tmp_path: Path, limit: dict[str, float], told: str) -> None:
    where = ("--archive", CUB, "--folder", "CUB_200_2011", "--out", tmp_path / "out" / "CUB_200_2011")
    assert told in refusal(unpack_archive.main, *where, *as_settings(**limit))
    assert not any((tmp_path / "out").glob("*"))
    if told == "max_gb":
        assert told in refusal(index_pairs.main, *pair_argv(tmp_path, image_limits={"max_gb": 0.005}))
        assert told in refusal(index_pairs.main, *pair_argv(tmp_path, annotation_limits={"max_gb": 0.00001}))


def test_a_repacked_archive_with_a_link_or_a_way_out(tmp_path: Path) -> None:
    with tarfile.open(CUB) as source:
        members = [(info, source.extractfile(info) if info.isfile() else None) for info in source.getmembers()[:30]]
        for name, kind in (("CUB_200_2011/images/link", tarfile.SYMTYPE), ("../evil.txt", tarfile.REGTYPE)):
            extra = tarfile.TarInfo(name)
            extra.type, extra.linkname = kind, "/etc"
            with tarfile.open(tmp_path / "a.tgz", "w:gz") as sink:
                for info, stream in members:
                    if stream is not None:
                        stream.seek(0)
                    sink.addfile(info, stream)
                sink.addfile(extra)
            where = ("--archive", tmp_path / "a.tgz", "--folder", "CUB_200_2011", "--out", tmp_path / "out" / "x")
            assert repr(name) in refusal(unpack_archive.main, *where)
            assert not any((tmp_path / "out").glob("*")) and not (tmp_path / "evil.txt").exists()


def test_several_damaged_images_are_told_and_can_be_left_out(cub: Path, tmp_path: Path) -> None:
    paths = sorted(cub.rglob("*.jpg"))[::20]
    for path in paths:
        path.write_bytes(path.read_bytes()[:2000])
    sentence = refusal(index_images.main, *image_argv(cub, tmp_path))
    assert f"do not open ({len(paths)})" in sentence and "images.damaged.csv" in sentence
    listed = read_csv(tmp_path / "images.damaged.csv", ("path", "reason"))
    assert [row["path"] for row in listed] == [path.relative_to(cub).as_posix() for path in paths]
    index_images.main([*image_argv(cub, tmp_path), *as_settings(skip_damaged=True)])
    assert len(read_csv(tmp_path / "images.csv", IMAGE_COLUMNS)) == 239 - len(paths)
