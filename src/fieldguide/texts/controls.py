"""Controls: texts of the number and length of a source's, from which what they say about their class is taken out.

Pure functions on arrays and strings. Random words are those of WaffleCLIP (Roth et al., ICCV 2023, arXiv 2306.07282):
with the class's name before them they classify nearly as well as an LLM's descriptions, so a gain is a text's own only
above them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np

from fieldguide.core.arrays import Floats, Ints
from fieldguide.core.random import generator
from fieldguide.texts.naming import NameIndex, add_name
from fieldguide.texts.table import TextRow

NAME = "{class_name}{text}"
PHOTO = "a photo of a {class_name}{text}"


def draw_donors(count: int, seed: int) -> Ints:
    """The class (count,) whose texts each class gets: a random single cycle, so no class keeps its own; count from 2.

    Two classes swap whatever the seed is.
    """
    order = generator(seed, "control shuffled").permutation(count)
    donors = np.empty(count, np.int64)
    donors[order] = np.roll(order, -1)
    return donors


def nearest_donors(features: Floats, families: Sequence[str] | None = None) -> Ints:
    """The nearest other class (c,) by the cosine of features (c, d) of unit norm; of the same family where it has one.

    Of equally near classes the first is taken. Several classes may get one class's texts.
    """
    cosines = features.astype(np.float64) @ features.T.astype(np.float64)
    np.fill_diagonal(cosines, -np.inf)
    if families is not None:
        kin = np.array(families)[:, None] == np.array(families)[None]
        np.fill_diagonal(kin, False)
        cosines[~kin & kin.any(axis=1, keepdims=True)] = -np.inf
    return cosines.argmax(axis=1).astype(np.int64)


def class_means(features: Floats, labels: Ints, count: int) -> Floats:
    """Mean features (count, d) of unit norm by class, of features (t, d) and their classes (t,)."""
    sums = np.zeros((count, features.shape[1]))
    np.add.at(sums, labels, features)
    return (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def take_rows(labels: Ints, fields: Sequence[str], donors: Ints) -> Ints:
    """The row (t,) whose text each row of a table gets, by the classes (t,) and fields (t,) of the rows.

    A class's rows get the texts of its donor in their order, field by field where the donor has the field; one that has
    too few begins again, and of one that has more the first are taken. So every class keeps its number of texts.
    """
    found: dict[tuple[int, str | None], list[int]] = {}
    for row, (label, field) in enumerate(zip(labels.tolist(), fields, strict=True)):
        found.setdefault((label, field), []).append(row)
        found.setdefault((label, None), []).append(row)
    taken, rows = dict[tuple[int, str | None], int](), np.empty(len(labels), np.int64)
    for row, (label, field) in enumerate(zip(labels.tolist(), fields, strict=True)):
        donor = int(donors[label])
        key = (donor, field) if (donor, field) in found else (donor, None)
        place = taken.get((label, key[1]), 0)
        taken[label, key[1]] = place + 1
        rows[row] = found[key][place % len(found[key])]
    return rows


def random_words(texts: Sequence[str], vocabulary: Sequence[str], seed: int) -> list[str]:
    """A text of as many random words for each text."""
    draw = generator(seed, "control random-words")
    words = np.array(vocabulary)
    return [" ".join(words[draw.integers(len(words), size=len(text.split()))].tolist()) for text in texts]


def without_names(vocabulary: Iterable[str], class_names: Iterable[str]) -> list[str]:
    """The words of a vocabulary that are no word of any class's name, in any spelling."""
    index = NameIndex(word for name in class_names for word in re.findall(r"[^\W_]+", name))
    return [word for word in vocabulary if next(index.find(word), None) is None]


def repeat_name(row: TextRow) -> str:
    """`a photo of a Laysan Albatross`, again and again, to as many words as the row's text has.

    A text of fewer words becomes the end of it, and never less than the whole name.
    """
    prompt, name = (add_name("", row.class_name, template).split() for template in (PHOTO, NAME))
    wanted = max(len(row.text.split()), len(name))
    if wanted < len(prompt):
        return " ".join(prompt[-wanted:])
    return " ".join((prompt * (wanted // len(prompt) + 1))[:wanted])
