"""A text source as an adapter reads it: its table of texts, with their features, translated or raw or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fieldguide.core.arrays import Ints
from fieldguide.core.errors import FieldguideError
from fieldguide.features.labelled import ImageTable
from fieldguide.features.store import check_same_backbone, read_features
from fieldguide.texts.table import read_texts

if TYPE_CHECKING:
    from fieldguide.core.arrays import Floats


@dataclass(frozen=True)
class TextSource:
    """The texts of one source, with how they may replace the training images.

    `features` (t, d) float32: translated, where a translator was given; `raw` (t, d): as they are, where asked for.
    """

    name: str
    unit: str  # "caption" (of an image), or "field" or whole "reply" (of a class)
    features: Floats | None
    labels: Ints
    image_ids: list[str]
    backbone: str
    raw: Floats | None = None


def group_replies(class_ids: Sequence[str], fields: Sequence[str]) -> Ints:
    """The reply (t,) that each row of a text table belongs to, counted from 0, found by the order of the fields.

    A table holds replies one after another, class by class, each field of a reply in one row or in several that follow
    each other. So a new reply begins with a new class, and where a field comes back after another one. Of a source with
    a single field every row counts as a reply: nothing tells a second reply from a field in two rows.
    """
    several = len(set(fields)) > 1
    groups = np.empty(len(fields), np.int64)
    seen: set[str] = set()
    group = -1
    for row, (class_id, field) in enumerate(zip(class_ids, fields, strict=True)):
        same_class = row > 0 and class_id == class_ids[row - 1]
        goes_on = several and same_class and (field == fields[row - 1] or field not in seen)
        if not goes_on:
            group += 1
            seen.clear()
        seen.add(field)
        groups[row] = group
    return groups


def mean_by_group(features: Floats, groups: Ints, parts: Sequence[str]) -> Floats:
    """Normalised means (g, d) of features (t, d) by group (t,); rows of one part of a group weigh as one row together.

    So a field that was cut into several rows weighs as much in its reply as one that was not.
    """
    keys = np.array([f"{group} {part}" for group, part in zip(groups.tolist(), parts, strict=True)])
    _, part, times = np.unique(keys, return_inverse=True, return_counts=True)
    means = np.zeros((int(groups.max(initial=-1)) + 1, features.shape[1]))
    np.add.at(means, groups, features / times[part][:, None])
    return (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)


def read_source(
    name: str,
    table: Path,
    translated: Path | None,
    images: ImageTable,
    raw: Path | None = None,
    by_reply: bool = False,
) -> TextSource:
    """Read a text table and its features, translated or raw or both; captions of test images are refused by name.

    by_reply: each whole reply of an LLM is one text; its feature is the normalised mean of its fields' features, since
    a reply is longer than a text encoder reads.
    """
    rows = read_texts(table)
    texts = [row.text for row in rows]
    read = {path: read_features(path, texts) for path in (translated, raw) if path is not None}
    backbone = check_same_backbone(*((path, about) for path, (_, about) in read.items()))
    number = {class_id: i for i, class_id in enumerate(images.class_ids)}
    unknown = {row.class_id for row in rows} - number.keys()
    if unknown:
        raise FieldguideError(f"{table}: class_id {min(unknown)} is not among the images' classes")
    test = {images.ids[i] for i in images.test_rows}
    leaked = next((row.image_id for row in rows if row.image_id in test), None)
    if leaked:
        raise FieldguideError(f"{table}: holds a caption of test image {leaked}; only training captions may be used")
    unit = "caption" if any(row.image_id for row in rows) else "field"
    labels = np.array([number[row.class_id] for row in rows])
    features, as_they_are = (None if path is None else read[path][0]["features"] for path in (translated, raw))
    image_ids = [row.image_id for row in rows]
    if by_reply:
        if unit == "caption":
            raise FieldguideError(f"{table}: its texts are captions of images; they cannot be taken reply by reply")
        fields = [row.field for row in rows]
        groups = group_replies([row.class_id for row in rows], fields)
        features, as_they_are = (
            kind if kind is None else mean_by_group(kind, groups, fields) for kind in (features, as_they_are)
        )
        first = np.unique(groups, return_index=True)[1]
        unit, labels, image_ids = "reply", labels[first], [image_ids[row] for row in first]
    return TextSource(name, unit, features, labels, image_ids, backbone, as_they_are)


def check_width(images: Floats, source: TextSource) -> None:
    """Raise FieldguideError unless texts are as wide as images."""
    for features in (source.features, source.raw):
        if features is not None and features.shape[1] != images.shape[1]:
            raise FieldguideError(
                f"text source {source.name}: its features are {features.shape[1]} wide, the images' "
                f"{images.shape[1]}; take a translator that is trained, such as qformer"
            )
