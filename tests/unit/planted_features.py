"""Records, features, texts, plan and tuning of an easy world, as earlier stages write them, for the adapter's tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fieldguide.adapters import plan_images
from fieldguide.adapters.recipes.registry import RECIPES
from fieldguide.core.arrays import Floats
from fieldguide.core.files import read_csv, write_csv, write_json
from fieldguide.data.records import IMAGE_COLUMNS
from fieldguide.features.store import Paths, read_features, save_features
from fieldguide.texts.table import TEXT_COLUMNS

BACKBONE = "tiny_0123abcd"
CAPTIONS = 4
"""Captions per training image of the source reed."""
SENTENCES = 3
"""Sentences per class of the source llm: fewer than a class has training images."""


@dataclass(frozen=True)
class World:
    """Where everything lies; classes are c = 1, 2, ... with directions (classes, width) of their own."""

    folder: Path
    directions: Floats

    @property
    def records(self) -> Path:
        return self.folder / "images.csv"

    @property
    def images(self) -> Path:
        return self.folder / "images.safetensors"

    @property
    def plan(self) -> Path:
        return self.folder / "class-wise.json"

    @property
    def tuning(self) -> Path:
        return self.folder / "tuning.json"

    def table(self, source: str) -> Path:
        return self.folder / f"{source}.csv"

    def translated(self, source: str) -> Path:
        return self.folder / f"{source}.safetensors"

    def raw(self, source: str) -> Path:
        return self.folder / f"{source}.raw.safetensors"

    def source(self, name: str, recipe: str = "thesis") -> str:
        """The option that names a text source."""
        texts = RECIPES[recipe].texts
        translated = self.translated(name) if "translated" in texts else ""
        return f"{name}={self.table(name)}={translated}" + (f"={self.raw(name)}" if "raw" in texts else "")

    def source_options(self, name: str, recipe: str = "thesis") -> list[str]:
        """The options that name a text source."""
        texts = RECIPES[recipe].texts
        features = [self.translated(name) if "translated" in texts else "", self.raw(name) if "raw" in texts else ""]
        return [str(word) for word in ("--source", name, self.table(name), *features)]

    def rows(self) -> list[dict[str, str]]:
        return read_csv(self.records, IMAGE_COLUMNS)


def read_tensors(paths: Paths, ids: Sequence[str] | None = None) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """What `read_features` gives, as torch's tensors."""
    arrays, about = read_features(paths, ids)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}, about


def features_of(directions: Floats, labels: Sequence[int], spread: float, seed: int) -> torch.Tensor:
    """Unit-norm features around the classes' directions."""
    rng = np.random.default_rng(seed)
    drawn = directions[list(labels)] + spread * rng.normal(size=(len(labels), directions.shape[1]))
    return torch.from_numpy((drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32))


def write_world(
    folder: Path, classes: int = 4, train: int = 10, test: int = 5, width: int = 12, spread: float = 0.15
) -> World:
    """Write an easy world: training and test images take turns in the records, text lies near its class's images."""
    folder.mkdir(parents=True, exist_ok=True)
    directions = np.linalg.qr(np.random.default_rng(0).normal(size=(width, width)))[0][:classes].astype(np.float32)
    world = World(folder, directions)
    places = [(c, i < train) for i in range(train + test) for c in range(classes)]
    places = [places[i] for i in np.random.default_rng(1).permutation(len(places))]
    rows = [(str(n), f"{n}.jpg", str(c + 1), "train" if t else "test") for n, (c, t) in enumerate(places, 1)]
    write_csv(world.records, IMAGE_COLUMNS, (dict(zip(IMAGE_COLUMNS, row, strict=True)) for row in rows))
    save_images(world, features_of(directions, [c for c, _ in places], spread, 2))
    captions = [
        (row["class_id"], "", row["image_id"], "", f"caption {n} of image {row['image_id']}")
        for row in world.rows()
        if row["split"] == "train"
        for n in range(CAPTIONS)
    ]
    write_source(world, "reed", captions, spread)
    sentences = [(str(c + 1), "", "", "Size", f"sentence {n} on {c}") for c in range(classes) for n in range(SENTENCES)]
    write_source(world, "llm", sentences, spread)
    write_json(world.tuning, {"learning_rate": 0.1, "weight_decay": 0.0})
    plan(world, world.plan, "class-wise")
    return world


def save_images(world: World, features: torch.Tensor, backbone: str = BACKBONE) -> None:
    """Write the image features."""
    ids = [row["image_id"] for row in world.rows()]
    save_features(world.images, {"features": features}, ids, backbone, {"kind": "image"})


def write_source(
    world: World, name: str, rows: Sequence[tuple[str, ...]], spread: float = 0.15, backbone: str = BACKBONE
) -> None:
    """Write a text table and its translated features."""
    write_csv(world.table(name), TEXT_COLUMNS, (dict(zip(TEXT_COLUMNS, row, strict=True)) for row in rows))
    known = len(world.directions)
    features = features_of(world.directions, [(int(row[0]) - 1) % known for row in rows], spread, 3)
    save_texts(world, name, features, backbone)
    save_raw(world, name, features, backbone)


def save_texts(world: World, name: str, features: torch.Tensor, backbone: str = BACKBONE) -> None:
    """Write a source's translated features."""
    texts = [row["text"] for row in read_csv(world.table(name), TEXT_COLUMNS)]
    save_features(world.translated(name), {"features": features}, texts, backbone, {"kind": "translated text"})


def save_raw(world: World, name: str, features: torch.Tensor, backbone: str = BACKBONE) -> None:
    """Write a source's features as they are: beside the images, all on the same side, which is the modality gap."""
    texts = [row["text"] for row in read_csv(world.table(name), TEXT_COLUMNS)]
    beside = torch.nn.functional.normalize(features + 0.3, dim=1)
    save_features(world.raw(name), {"features": beside}, texts, backbone, {"kind": "translated text"})


def plan(world: World, out: Path, sampling: str, seeds: Sequence[int] = (0, 1, 2)) -> None:
    """Write a plan of the world's training images."""
    settings = json.dumps({"sampling": sampling, "seeds": list(seeds)})
    plan_images.main(["--records", str(world.records), "--settings", settings, "--out", str(out)])


def cell_options(world: World, out: str, *options: object, **settings: Any) -> list[str]:
    """The command line of one cell: 50% of the images, three seeds, thirty steps, where nothing else is said."""
    files = {"records": world.records, "images": world.images, "plan": world.plan, "tuning": world.tuning}
    files |= {"out": world.folder / f"{out}.json", "weights": world.folder / f"{out}.safetensors"}
    words = [word for option, path in files.items() for word in (f"--{option}", path)]
    own = {"ratio": 50, "seeds": [0, 1, 2], "budget": "steps", "amount": 30, "batch": 20}
    return [str(word) for word in (*words, "--settings", json.dumps(own | settings), *options)]
