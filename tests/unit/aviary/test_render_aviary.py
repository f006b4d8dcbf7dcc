"""The rendered archives have the real layouts, and their bytes depend on the options alone."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from fieldguide.aviary.render_aviary import assign_slots, main, spaced_ids, write_tgz
from fieldguide.aviary.traits import MORPHS

ARCHIVES = ("CUB_200_2011.tgz", "reed_text_c10.tgz", "train2017.zip", "annotations_trainval2017.zip")
TINY = {
    "seed": 0,
    "species": 3,
    "train_per_class": 2,
    "test_per_class": 2,
    "pair_images": 4,
    "captions_per_pair_image": 5,
    "bird_share": 0.5,
}


def render(out: Path, workers: int = 1, image_size: int = 32, **changed: object) -> Path:
    settings = json.dumps(TINY | changed)
    main(["--settings", settings, "--image-size", str(image_size), "--workers", str(workers), "--out", str(out)])
    return out


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("tiny"))


def tar_files(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive if m.isfile()}  # type: ignore[union-attr]


def rows(files: dict[str, bytes], name: str) -> list[list[str]]:
    return [line.split(" ") for line in files[f"CUB_200_2011/{name}.txt"].decode().splitlines()]


def test_cub_layout(tiny: Path) -> None:
    files = tar_files(tiny / "CUB_200_2011.tgz")
    classes = rows(files, "classes")
    assert [row[0] for row in classes] == ["1", "2", "3"]
    assert all(row[1].startswith(f"{int(row[0]):03d}.") and "_" in row[1] for row in classes)
    images = rows(files, "images")
    ids = [row[0] for row in images]
    assert ids == [str(i) for i in range(1, len(images) + 1)]
    for name in ("image_class_labels", "train_test_split", "bounding_boxes"):
        assert [row[0] for row in rows(files, name)] == ids
    assert rows(files, "bounding_boxes")[0][1:] == ["0.0", "0.0", "32.0", "32.0"]
    folder_of = dict(classes)
    for (_, path), (_, class_id) in zip(images, rows(files, "image_class_labels"), strict=True):
        assert path.split("/")[0] == folder_of[class_id]
    pictures = {name for name in files if name.endswith(".jpg")}
    assert pictures == {f"CUB_200_2011/images/{path}" for _, path in images}
    assert len(files) == len(pictures) + 5


def test_pictures_are_full_colour_jpegs_of_the_size_asked_for(tiny: Path) -> None:
    files = tar_files(tiny / "CUB_200_2011.tgz")
    for name in (name for name in files if name.endswith(".jpg")):
        with Image.open(io.BytesIO(files[name])) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (32, 32))
            assert image.layer[0][1:3] == (1, 1), "chroma is subsampled"  # type: ignore[attr-defined]


def test_classes_are_uneven(tiny: Path) -> None:
    files = tar_files(tiny / "CUB_200_2011.tgz")
    labels = dict(rows(files, "image_class_labels"))
    counts = Counter((labels[i], is_train) for i, is_train in rows(files, "train_test_split"))
    assert counts == {("1", "1"): 2, ("2", "1"): 1, ("3", "1"): 2, ("1", "0"): 2, ("2", "0"): 2, ("3", "0"): 2}


def test_one_class_in_five_has_one_training_image_fewer() -> None:
    counts = Counter(slot.class_id for slot in assign_slots(0, 48, 30, 64) if slot.is_train)
    assert Counter(counts.values()) == {30: 38, 29: 10}


def test_split_shows_neither_in_the_id_nor_in_the_file_name() -> None:
    first = [slot for slot in assign_slots(0, 1, 30, 64)]
    for key in (lambda s: s.image_id, lambda s: s.number):
        split = [slot.is_train for slot in sorted(first, key=key)]
        assert split != sorted(split) and split != sorted(split, reverse=True)
    assert sorted(slot.number for slot in first) == list(range(1, 95))


def test_reed_has_ten_captions_for_every_image(tiny: Path) -> None:
    files = tar_files(tiny / "reed_text_c10.tgz")
    images = rows(tar_files(tiny / "CUB_200_2011.tgz"), "images")
    assert files.keys() == {f"text_c10/{path.removesuffix('.jpg')}.txt" for _, path in images}
    for content in files.values():
        lines = content.decode().split("\n")
        assert len(lines) == 11 and lines[-1] == "" and all(line.strip() for line in lines[:-1])


def test_coco_layout(tiny: Path) -> None:
    with zipfile.ZipFile(tiny / "annotations_trainval2017.zip") as archive:
        assert archive.namelist() == ["annotations/captions_train2017.json"]
        annotations = json.loads(archive.read(archive.namelist()[0]))
    assert annotations.keys() == {"info", "licenses", "images", "annotations"}
    with zipfile.ZipFile(tiny / "train2017.zip") as archive:
        entries = archive.infolist()
    assert [entry.filename for entry in entries] == [f"train2017/{i['file_name']}" for i in annotations["images"]]
    assert all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    assert all(image["file_name"] == f"{image['id']:012d}.jpg" for image in annotations["images"])
    assert all((image["width"], image["height"]) == (32, 32) for image in annotations["images"])
    statements = Counter(annotation["image_id"] for annotation in annotations["annotations"])
    assert statements == {image["id"]: 5 for image in annotations["images"]}
    assert len({annotation["id"] for annotation in annotations["annotations"]}) == 20


def test_truth_says_what_was_drawn(tiny: Path) -> None:
    truth = json.loads((tiny / "truth.json").read_text())
    images = rows(tar_files(tiny / "CUB_200_2011.tgz"), "images")
    assert [(str(one["id"]), one["file"]) for one in truth["images"]] == [(i, path.split("/")[1]) for i, path in images]
    assert {one["morph"] for one in truth["images"]} <= set(MORPHS)
    assert len(truth["world_birds"]) == 4
    assert all(one["changed"] for one in truth["species"])


def test_bytes_do_not_depend_on_the_workers(tiny: Path, tmp_path: Path) -> None:
    render(tmp_path, workers=2)
    for name in (*ARCHIVES, "truth.json"):
        assert (tmp_path / name).read_bytes() == (tiny / name).read_bytes(), name


def test_another_seed_is_another_aviary(tiny: Path, tmp_path: Path) -> None:
    render(tmp_path, seed=1)
    for name in ARCHIVES:
        assert (tmp_path / name).read_bytes() != (tiny / name).read_bytes(), name


def test_smaller_aviary_is_a_prefix(tiny: Path, tmp_path: Path) -> None:
    few_pairs, many_pairs = tiny, render(tmp_path / "large", pair_images=6)
    render(tmp_path, species=2)
    small, large = tar_files(tmp_path / "CUB_200_2011.tgz"), tar_files(tiny / "CUB_200_2011.tgz")
    for name, content in small.items():
        assert large[name].startswith(content) if name.endswith(".txt") else large[name] == content, name
    small, large = tar_files(tmp_path / "reed_text_c10.tgz"), tar_files(tiny / "reed_text_c10.tgz")
    assert small.items() <= large.items()
    with zipfile.ZipFile(few_pairs / "train2017.zip") as few, zipfile.ZipFile(many_pairs / "train2017.zip") as many:
        assert few.namelist() == many.namelist()[:4]
        assert all(few.read(name) == many.read(name) for name in few.namelist())


def test_archive_bytes_do_not_depend_on_order_or_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tgz(tmp_path / "a.tgz", {"x/b.txt": b"b", "x/a.txt": b"a"})
    later: Callable[[], float] = lambda: 4e9  # noqa: E731
    monkeypatch.setattr("time.time", later)
    write_tgz(tmp_path / "b.tgz", {"x/a.txt": b"a", "x/b.txt": b"b"})
    assert (tmp_path / "a.tgz").read_bytes() == (tmp_path / "b.tgz").read_bytes()
    with tarfile.open(tmp_path / "a.tgz") as archive:
        assert [(m.name, m.isdir(), m.uid) for m in archive] == [
            ("x", True, 0),
            ("x/a.txt", False, 0),
            ("x/b.txt", False, 0),
        ]


def test_ids_ascend_with_gaps() -> None:
    from random import Random

    ids = spaced_ids(Random(0), 50, 5)
    assert ids == sorted(set(ids)) and ids[-1] > 100
    assert spaced_ids(Random(0), 10, 5) == ids[:10]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"species": 57}, "--settings: species: should be less than or equal to 56, not 57"),
        ({"species": 0}, "--settings: species: should be greater than or equal to 2, not 0"),
        ({"train_per_class": 0}, "--settings: train_per_class: should be greater than or equal to 2, not 0"),
        ({"bird_share": 1.5}, "--settings: bird_share: should be less than or equal to 1, not 1.5"),
        ({"image_size": 4}, "--image-size is 4; give at least 16"),
    ],
)
def test_impossible_aviaries_are_refused(tmp_path: Path, changed: dict[str, float], sentence: str) -> None:
    with pytest.raises(SystemExit) as caught:
        render(tmp_path, **changed)  # type: ignore[arg-type]
    assert sentence in str(caught.value)
    assert not any(tmp_path.iterdir())
