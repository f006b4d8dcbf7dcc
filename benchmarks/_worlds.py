"""Worlds to measure recipes on: real CLIP features, results folders of the workflow, synthetic features of CUB's size.

A world is labelled train and test features with a text source; its cells are those of the thesis (text in an image's
place), text beside all images (`all`), and 1, 2, 3 images a class with all texts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fieldguide.adapters.cells import pool_texts
from fieldguide.adapters.corruptions import blend, swap_classes, swap_texts, weaken
from fieldguide.adapters.inputs import LabelledSet, read_data_set
from fieldguide.adapters.plans import Drawer, TextPool
from fieldguide.adapters.recipes.task import Task, Texts, normalise
from fieldguide.core.arrays import Floats, Ints
from fieldguide.core.errors import FieldguideError
from fieldguide.features.store import read_file
from fieldguide.texts.source import TextSource, read_source

ROOT = Path(__file__).resolve().parents[1]
REAL = Path(os.environ.get("FIELDGUIDE_REAL_DATA", ROOT.parent / "shared" / "real"))
CORRUPTIONS = ("good", "half swapped", "all swapped", "random", "weak")
WEAK = 24.0
"""What text alone reaches in the thesis, in percent."""
RATIOS = (100, 90, 80, 70, 60, 50, 40, 30, 20, 10, 0)


@dataclass(frozen=True)
class World:
    """Train and test images, and one text source."""

    name: str
    train: LabelledSet
    test: LabelledSet
    source: TextSource

    def corrupt(self, how: str, seed: int = 0) -> World:
        """The world with its texts made worse."""
        classes = self.train.classes
        if how == "good":
            return self
        if how.endswith("swapped"):
            return self.swap(swap_classes(classes, 0.5 if how.startswith("half") else 1.0, seed))
        if how == "random":
            return self.blur(1.0, seed)
        source, train = self.source, self.train
        assert source.raw is not None
        return self.blur(weaken(source.raw, source.labels, train.features, train.labels, classes, WEAK, seed), seed)

    def swap(self, whose: Ints) -> World:
        """The world in which class c has the texts of class whose[c] (C,)."""
        source = self.source
        assert source.raw is not None
        rows = swap_texts(source.labels, whose)
        features = None if source.features is None else source.features[rows]
        return replace(self, source=replace(source, raw=source.raw[rows], features=features))

    def blur(self, noise: float, seed: int) -> World:
        """The world whose class means of texts deviate at random, raw and translated alike: `corruptions.blend`."""
        source, classes = self.source, self.train.classes
        assert source.raw is not None
        features = source.features
        if features is not None:
            features = blend(features, source.labels, classes, noise, seed)
        return replace(self, source=replace(
            source, raw=blend(source.raw, source.labels, classes, noise, seed), features=features
        ))  # fmt: skip


class BesideDrawer(Drawer):
    """Draws the texts of all images beside those that are kept."""

    def cell(self, percent: int, pool: TextPool | None, seed: int, epoch: int = 0) -> tuple[Ints, Ints]:
        images, none = super().cell(percent, None, seed, epoch)
        return images, none if pool is None else super().cell(0, pool, seed, epoch)[1]


class FewDrawer(Drawer):
    """Draws so many images of each class, and the texts of all."""

    def __init__(self, labels: Ints, count: int) -> None:
        super().__init__(labels, "class-wise")
        self.count = count

    def cell(self, percent: int, pool: TextPool | None, seed: int, epoch: int = 0) -> tuple[Ints, Ints]:
        order, none = super().cell(100, None, seed, epoch)
        kept = [order[self.labels[order] == label][: self.count] for label in np.unique(self.labels)]
        return np.concatenate(kept), none if pool is None else super().cell(0, pool, seed, epoch)[1]


@dataclass(frozen=True)
class Cell:
    """Which images and texts: `kind` replaced, all or few; `amount` percent of images, or images a class."""

    kind: str
    amount: int

    @property
    def has_text(self) -> bool:
        return self.kind != "replaced" or self.amount < 100

    def __str__(self) -> str:
        return f"{self.amount} a class" if self.kind == "few" else f"{self.amount}% {self.kind}"

    def task(self, world: World, seeds: tuple[int, ...], with_text: bool = True) -> Task:
        """What a recipe is given."""
        train, source = world.train, world.source
        drawers = {"replaced": lambda: Drawer(train.labels, "class-wise")}
        drawers["all"] = lambda: BesideDrawer(train.labels, "class-wise")
        drawers["few"] = lambda: FewDrawer(train.labels, self.amount)
        texts = None
        if with_text and self.has_text:
            texts = Texts(source.labels, pool_texts(source, train.ids, train.classes), source.features, source.raw)
        percent = 50 if self.kind == "few" else self.amount
        return Task(
            train.features, train.labels, train.classes, texts, drawers[self.kind](), percent, seeds, amount=400
        )


def cells(world: World) -> Iterator[Cell]:
    """All cells of a world, but those that it is too small for."""
    largest = int(np.bincount(world.train.labels).max())
    yield from (Cell("replaced", ratio) for ratio in RATIOS)
    yield from (Cell("all", ratio) for ratio in (100, 50, 20))
    yield from (Cell("few", count) for count in (1, 2, 3) if count <= largest)


def labelled(features: Floats, labels: Ints, classes: int, prefix: str) -> LabelledSet:
    return LabelledSet(
        normalise(features.astype(np.float32)), labels, [f"{prefix}{i}" for i in range(len(labels))], classes
    )


def real_worlds(names: Sequence[str], files: Sequence[Path]) -> list[World]:
    """Those of the named files of REAL that are there, and files given by their path, which must be there.

    Given files alone are meant, where there are any.
    """
    if files:
        return [read_world(path) for path in files]
    return [read_world(path) for name in names if (path := REAL / f"{name}.safetensors").is_file()]


def say_skipped(names: Sequence[str]) -> None:
    """One sentence where there is nothing to measure on."""
    print(
        f"Skipped: {REAL} has none of {', '.join(f'{name}.safetensors' for name in names)}; FIELDGUIDE_REAL_DATA names "
        "another folder, --features a file of yours, --results a results folder."
    )


def read_world(path: Path) -> World:
    """A safetensors file of features: `train`, `test` (n, D), `train_labels`, `test_labels` (n,), `text` (C, D).

    Ends in a sentence where it is not such a file.
    """
    if not path.is_file():
        raise SystemExit(f"{path}: no such file")
    try:
        arrays = read_file(path)[0]
    except FieldguideError as error:
        raise SystemExit(str(error)) from error
    if missing := sorted({"train", "train_labels", "test", "test_labels", "text"} - set(arrays)):
        raise SystemExit(f"{path}: no array {', '.join(missing)}; benchmarks/README.md says what it must hold")
    classes = len(arrays["text"])
    for part in ("train", "test"):
        rows, labels = arrays[part], arrays[f"{part}_labels"]
        if rows.ndim != 2 or len(rows) != len(labels) or rows.shape[1] != arrays["text"].shape[1]:
            raise SystemExit(f"{path}: {part} {rows.shape} fits neither {part}_labels nor text {arrays['text'].shape}")
        if not len(labels) or labels.min() < 0 or labels.max() >= classes:
            raise SystemExit(f"{path}: {part}_labels must be from 0 to {classes - 1}, a row of text each")
    raw = normalise(arrays["text"].astype(np.float32))
    source = TextSource("prompts", "field", None, np.arange(classes), [""] * classes, "", raw)
    train, test = (labelled(arrays[part], arrays[f"{part}_labels"], classes, part) for part in ("train", "test"))
    return World(path.stem.split("_")[0], train, test, source)


def results_world(results: Path, source: str, translator: str = "qformer") -> World:
    """A results folder of the workflow, with its source translated by `identity` and, where it has it, by another.

    Ends in a sentence where the folder does not have what this takes.
    """
    keys = sorted(path.name for path in results.glob("features/*") if (path / "images/dataset").is_dir())
    if not keys:
        raise SystemExit(f"{results}: no features/…/images/dataset in it; name a results folder of a run")
    key = keys[0]
    data = read_data_set(results / "records/images.csv", sorted((results / f"features/{key}/images/dataset").iterdir()))
    raw, translated = (results / f"translated/{key}/{kind}/{source}.safetensors" for kind in ("identity", translator))
    if not raw.is_file():
        raise SystemExit(f"{raw}: no such file; let the run have the source {source} and a translator identity")
    texts = read_source(
        source, results / f"texts/{source}.csv", translated if translated.is_file() else None, data.images, raw
    )
    return World(f"{results.name} {source}", data.train, data.read_test(), texts)


def synthetic_world() -> World:
    """The features of CUB's size that benchmarks/adapters.py makes."""
    from adapters import make_data

    data = make_data()
    n, classes = data.images, int(data.labels.max()) + 1
    texts = TextSource(
        "texts", "field", data.table[n:], data.labels[n:], [""] * (len(data.labels) - n), "", data.table[n:]
    )
    return World(
        "synthetic200",
        labelled(data.table[:n], data.labels[:n], classes, "train"),
        labelled(data.held, data.held_labels, classes, "test"),
        texts,
    )
