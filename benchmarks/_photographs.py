"""Photographs to measure on: real ones where they are, rendered ones of the same size elsewhere."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SIZE = (500, 375)
"""Width and height of most photographs in CUB."""


def write_photographs(folder: Path, count: int) -> tuple[list[str], str]:
    """Write `count` JPEGs into a folder; returns their names and what they are. Real ones are repeated if too few."""
    archive = Path(os.environ.get("FIELDGUIDE_REAL_DATA", ROOT.parent / "shared" / "real")) / "CUB_200_2011.tgz"
    folder.mkdir(parents=True, exist_ok=True)
    if archive.is_file():
        contents, what = read_archive(archive, count), f"photographs from {archive.name}"
    else:
        contents, what = [render(seed) for seed in range(count)], f"rendered images of {SIZE[0]}x{SIZE[1]} pixels"
    names = []
    for number in range(count):
        names.append(f"{number:05d}.jpg")
        (folder / names[-1]).write_bytes(contents[number % len(contents)])
    return names, what


def read_archive(archive: Path, count: int) -> list[bytes]:
    """The first JPEGs of a CUB archive."""
    contents: list[bytes] = []
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isfile() and member.name.endswith(".jpg") and len(contents) < count:
                stream = tar.extractfile(member)
                assert stream is not None
                contents.append(stream.read())
    return contents


def render(seed: int) -> bytes:
    """A JPEG with structure at several scales, about as large as a photograph of its size."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((SIZE[1], SIZE[0], 3))
    for cells in (4, 16, 64):
        coarse = Image.fromarray(rng.integers(0, 256, (cells * 3 // 4, cells, 3), dtype=np.uint8))
        pixels += np.asarray(coarse.resize(SIZE, Image.Resampling.BICUBIC)) / 3
    stream = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(stream, "JPEG", quality=90)
    return stream.getvalue()
