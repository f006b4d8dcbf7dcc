"""What one cell trains on: which texts may replace which image, its streams of examples, and its fingerprint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fieldguide.adapters.plans import Drawer, TextPool, draw_stream
from fieldguide.core.arrays import Ints
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import hash_ids
from fieldguide.texts.source import TextSource

if TYPE_CHECKING:
    from collections.abc import Sequence


def pool_texts(source: TextSource, train_ids: Sequence[str], classes: int, beside: bool = False) -> TextPool:
    """The texts that may replace each of these training images, or stand beside them all.

    Raises FieldguideError naming an image or a class that has none.
    """
    if source.unit == "caption":
        row = {image_id: i for i, image_id in enumerate(train_ids)}
        own: list[list[int]] = [[] for _ in train_ids]
        for text, image_id in enumerate(source.image_ids):
            if image_id in row:
                own[row[image_id]].append(text)
        for image_id, texts in zip(train_ids, own, strict=True):
            if not texts:
                raise FieldguideError(f"text source {source.name}: training image {image_id} has no caption")
        return TextPool(by_image=tuple(np.array(texts) for texts in own), beside=beside)
    sentences = [np.flatnonzero(source.labels == label) for label in range(classes)]
    for label, rows in enumerate(sentences):
        if not len(rows):
            raise FieldguideError(f"text source {source.name}: class number {label + 1} has no text")
    return TextPool(by_class=tuple(sentences), beside=beside)


@dataclass(frozen=True)
class Runs:
    """The training streams of one cell's runs: `rows` (runs, steps, batch) into the table [images; texts]."""

    rows: Ints
    distinct_images: list[int]
    distinct_texts: list[int]


def draw_runs(
    drawer: Drawer, percent: int, pool: TextPool | None, redraw: str, seeds: Sequence[int], steps: int, batch: int
) -> Runs:
    """One stream per seed, stacked."""
    streams = [draw_stream(drawer, percent, pool, redraw, seed, steps, batch) for seed in seeds]
    rows = np.stack([s.rows for s in streams]).reshape(len(seeds), steps, batch)
    return Runs(rows, [len(s.images) for s in streams], [len(s.texts) for s in streams])


def hash_plan(
    drawer: Drawer, percent: int, pool: TextPool | None, seeds: Sequence[int], train_ids: Sequence[str]
) -> str:
    """Fingerprint of a cell: the image ids kept and the text rows dealt, of every seed's first epoch."""
    parts: list[list[str]] = []
    for seed in seeds:
        kept, texts = drawer.cell(percent, pool, seed)
        parts += [[str(seed)], [train_ids[i] for i in kept], [str(t) for t in texts]]
    return hash_ids(*parts)
