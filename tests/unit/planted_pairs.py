"""Image/caption pairs beside an easy data set, and the command line that measures a translator on both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fieldguide.core.arrays import Floats
from fieldguide.core.files import write_csv
from fieldguide.data.records import CLASS_COLUMNS
from fieldguide.features.store import save_features
from tests.unit.planted_features import BACKBONE, World, write_world


def unit(rows: Any) -> Floats:
    found: Floats = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return found


def write_pairs(folder: Path) -> World:
    """An easy data set, and sixty pair images with two captions each, which lie near them."""
    made = write_world(folder)
    rng = np.random.default_rng(0)
    width = made.directions.shape[1]
    images = unit(rng.normal(size=(60, width)))
    image_of = np.repeat(np.arange(60), 2)
    captions = [f"caption {n}" for n in range(120)]
    rows = [{"image_id": f"{i}.jpg", "caption": text} for i, text in zip(image_of, captions, strict=True)]
    write_csv(folder / "pairs.csv", ("image_id", "caption"), rows)
    save_features(folder / "pair-images.st", {"features": images}, [f"{i}.jpg" for i in range(60)], BACKBONE, {})
    pooled = unit(images[image_of] + 0.2 * rng.normal(size=(120, width)))
    save_features(folder / "captions.st", {"pooled": pooled, "rows": np.arange(120)}, captions, BACKBONE, {})
    classes = [{"class_id": str(c), "class_name": f"Bird {c}", "folder": f"{c}"} for c in range(1, 5)]
    write_csv(folder / "classes.csv", CLASS_COLUMNS, classes)
    return made


def measured(world: World, name: str = "identity", *more: object) -> list[str]:
    folder = world.folder
    given: list[object] = ["--name", name, "--pairs", folder / "pairs.csv", "--settings", '{"test_share": 0.3}']
    given += ["--pair-images", folder / "pair-images.st", "--pair-texts", folder / "captions.st"]
    given += ["--records", world.records, "--classes", folder / "classes.csv", "--images", world.images]
    for source in ("reed", "llm"):
        given += ["--source", source, world.table(source), world.translated(source)]
    return [str(word) for word in (*given, "--out", folder / f"{name}.json", *more)]
