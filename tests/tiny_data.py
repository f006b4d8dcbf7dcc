"""The real archives' layouts in miniature, for tests: a few 16-pixel photographs, written in milliseconds."""

from __future__ import annotations

import io
import json
import logging
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

CLASSES = ("001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross")
"""Class folders as CUB spells them."""


def jpeg(seed: int = 0, size: int = 16, mode: str = "RGB") -> bytes:
    """A JPEG of noise; the same seed gives the same bytes."""
    import random

    from PIL import Image

    channels = {"L": 1, "RGB": 3, "CMYK": 4}[mode]
    pixels = random.Random(seed).randbytes(size * size * channels)
    stream = io.BytesIO()
    Image.frombytes(mode, (size, size), pixels).save(stream, "JPEG")
    return stream.getvalue()


def photo_names(folder: str, count: int) -> list[str]:
    """File names as CUB has them, without an ending."""
    bird = folder.partition(".")[2]
    return [f"{bird}_{number:04d}_{1000 + number}" for number in range(1, count + 1)]


def write_cub(parent: Path, train: int = 2, test: int = 1, classes: Sequence[str] = CLASSES) -> Path:
    """Write `CUB_200_2011` with that many images a class; ids count from 1, the training images of a class first."""
    root = parent / "CUB_200_2011"
    images: list[str] = []
    labels: list[str] = []
    flags: list[str] = []
    for class_id, folder in enumerate(classes, 1):
        (root / "images" / folder).mkdir(parents=True)
        for number, name in enumerate(photo_names(folder, train + test)):
            image_id = len(images) + 1
            images.append(f"{image_id} {folder}/{name}.jpg")
            labels.append(f"{image_id} {class_id}")
            flags.append(f"{image_id} {int(number < train)}")
            (root / "images" / folder / f"{name}.jpg").write_bytes(jpeg(image_id))
    write_lines(root / "images.txt", images)
    write_lines(root / "image_class_labels.txt", labels)
    write_lines(root / "train_test_split.txt", flags)
    write_lines(root / "classes.txt", [f"{number} {folder}" for number, folder in enumerate(classes, 1)])
    return root


def write_reed(parent: Path, images: int = 3, captions: int = 10, classes: Sequence[str] = CLASSES) -> Path:
    """Write `text_c10` with captions for the images that `write_cub` writes (`images` is its train plus test)."""
    root = parent / "text_c10"
    for folder in classes:
        (root / folder).mkdir(parents=True)
        for name in photo_names(folder, images):
            lines = [f"caption {number} of a bird called {name.lower()}." for number in range(captions)]
            write_lines(root / folder / f"{name}.txt", lines)
    return root


def write_coco(parent: Path, images: int = 6, captions: int = 2, split: str = "train2017") -> tuple[Path, Path]:
    """Write `train2017.zip` and `annotations_trainval2017.zip`; image ids are 10, 20, …, caption ids 101, 102, …"""
    ids = [10 * (number + 1) for number in range(images)]
    files = {f"{split}/{image_id:012d}.jpg": jpeg(image_id) for image_id in ids}
    return (
        write_zip(parent / f"{split}.zip", files),
        write_annotations(parent / "annotations_trainval2017.zip", coco_annotations(ids, captions), split),
    )


def coco_annotations(ids: Sequence[int], captions: int = 2) -> dict[str, Any]:
    """COCO's captions of these images, as parsed JSON."""
    things = ("dog", "bus", "kitchen", "small bird", "pizza", "kite")
    return {
        "images": [{"id": i, "file_name": f"{i:012d}.jpg", "height": 16, "width": 16} for i in ids],
        "annotations": [
            {"id": 10 * i + n, "image_id": i, "caption": f"A {things[(i // 10 - 1) % len(things)]} seen {n} times."}
            for i in ids
            for n in range(1, captions + 1)
        ],
    }


def write_annotations(path: Path, content: dict[str, Any], split: str = "train2017") -> Path:
    """Write an annotations archive."""
    return write_zip(path, {f"annotations/captions_{split}.json": json.dumps(content).encode()})


def write_zip(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """Write a zip of these files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def pack(folder: Path, archive: Path, name: str | None = None) -> Path:
    """Pack a folder, under its own name or another, as .tgz, .tar or .zip."""
    name = name or folder.name
    archive.parent.mkdir(parents=True, exist_ok=True)
    if archive.suffix == ".zip":
        files = {f"{name}/{p.relative_to(folder).as_posix()}": p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        return write_zip(archive, files)
    with tarfile.open(archive, "w" if archive.suffix == ".tar" else "w:gz") as tar:
        tar.add(folder, name)
    return archive


def write_lines(path: Path, lines: Sequence[str]) -> None:
    """Write a list as CUB's: one line each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def edit_lines(path: Path, edit: Callable[[list[str]], list[str]]) -> None:
    """Rewrite a list."""
    write_lines(path, edit(path.read_text(encoding="utf-8").splitlines()))


def as_settings(**values: Any) -> tuple[str, str]:
    """A stage's settings as its command line takes them; none where there are no values."""
    return ("--settings", json.dumps(values, default=str)) if values else ()


def refusal(main: Callable[[list[str]], None], *argv: object) -> str:
    """The one sentence with which a stage refuses its input; fails when it does not refuse."""
    with pytest.raises(SystemExit) as caught:
        main([str(word) for word in argv])
    assert isinstance(caught.value.code, str), "the command line itself was refused"
    assert "\n" not in caught.value.code
    return caught.value.code


def said(main: Callable[[list[str]], None], capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """What a stage logs."""
    logger, level = logging.getLogger("fieldguide"), logging.getLogger("fieldguide").level
    capsys.readouterr()
    try:
        logger.setLevel(logging.INFO)
        main([str(word) for word in argv])
    finally:
        logger.setLevel(level)
    return capsys.readouterr().err
