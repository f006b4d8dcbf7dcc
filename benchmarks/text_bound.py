"""Does text ever hurt? Every cell's distance to the best of three on the same images, the worst cell first.

The three: zero-shot from the cell's own texts, image only by the same solver, and the thesis's recipe, image only, with
tuned learning rate and weight decay. Worlds: real CLIP features (FIELDGUIDE_REAL_DATA), results folders of the workflow
(--results results/aviary …: features and translated texts of the sources reed and aviary-llm), and --synthetic,
features of CUB's size. In each the texts are good, those of half of the classes or of all are another class's, point
anywhere, or are weak (24% alone). Cells: text in an image's place at every ratio, all texts beside 100, 50 and 20% of
the images, and 1, 2 and 3 images a class. Distances are means over seeds, in percentage points.

  python benchmarks/text_bound.py --results results/aviary --out bound.csv --cache bound-cache
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _worlds import CORRUPTIONS, Cell, World, cells, real_worlds, results_world, say_skipped, synthetic_world

from fieldguide.adapters.linear import accuracy
from fieldguide.adapters.recipes.registry import RECIPES
from fieldguide.adapters.settings import TuningSettings
from fieldguide.adapters.tuning import choose_hyperparameters

TUNING = TuningSettings(
    recipe="thesis", learning_rates=(0.01, 0.03, 0.1), weight_decays=(0.0, 0.1), validation=0.2, tuning_seeds=2,
    budget="steps", amount=400, batch=256,
)  # fmt: skip
COLUMNS = ("world", "texts", "cell", "zero_shot", "image_only", "thesis", "recipe", "distance")


class Cache:
    """Accuracies by seed of cells that need not be trained twice, as JSON files; without a folder in memory."""

    def __init__(self, folder: Path | None) -> None:
        self.folder, self.kept = folder, dict[str, list[float]]()

    def get(self, key: Sequence[object], make: Callable[[], list[float]]) -> list[float]:
        name = hashlib.sha256(repr(tuple(key)).encode()).hexdigest()[:24]
        path = self.folder / f"{name}.json" if self.folder else None
        if name not in self.kept and path and path.is_file():
            self.kept[name] = json.loads(path.read_text())
        if name not in self.kept:
            self.kept[name] = make()
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(self.kept[name]))
        return self.kept[name]


def fingerprint(world: World) -> str:
    return hashlib.sha256(world.train.features.tobytes() + world.test.features.tobytes()).hexdigest()


def tune(world: World, recipe: str) -> dict[str, float]:
    """What the tuning stage would choose, image only: the recipes that take text are tuned on images or on nothing."""
    found = choose_hyperparameters(world.train, [], TUNING.model_copy(update={"recipe": recipe}))
    names = ("learning_rate", "weight_decay") if recipe == "thesis" else RECIPES[recipe].load().trials(1)[0]
    return {name: found[name] for name in names}


class Bound:
    """The table of one world, corruption by corruption."""

    def __init__(self, world: World, seeds: tuple[int, ...], recipe: str, cache: Cache) -> None:
        self.world, self.seeds, self.recipe, self.cache = world, seeds, recipe, cache
        self.key = fingerprint(world)
        self.control = RECIPES[recipe].tuned_as or f"{recipe}-image-only"
        self.settings: dict[str, dict[str, float]] = {}

    def setting(self, recipe: str) -> dict[str, float]:
        line = RECIPES[recipe]
        recipe = line.tuned_as or recipe
        if not line.tuned:
            return {}
        if recipe not in self.settings:
            self.settings[recipe] = tune(self.world, recipe)
        return self.settings[recipe]

    def score(self, world: World, cell: Cell, recipe: str, with_text: bool) -> list[float]:
        task = cell.task(world, self.seeds, with_text)
        fitted = RECIPES[recipe].load().fit(task, [self.setting(recipe)])
        return accuracy(fitted.classifier, world.test.features, world.test.labels).tolist()

    def rows(self, how: str) -> list[dict[str, object]]:
        """One row a cell, accuracies in percent."""
        world, found = self.world.corrupt(how), []
        plain = [cell for cell in cells(world) if how == "good" or cell.has_text]
        for cell in plain:
            images = cell.kind == "few" or cell.amount > 0
            shown = Cell("replaced", cell.amount) if cell.kind == "all" else cell
            scores: dict[str, float] = {}
            if images:
                scores["thesis"] = float(np.mean(self.cache.get(
                    (self.key, "thesis", shown, self.seeds), lambda c=shown: self.score(world, c, "thesis", False)
                )))  # fmt: skip
                scores["image_only"] = float(np.mean(self.score(world, shown, self.control, False)))
            if cell.has_text:
                scores["zero_shot"] = float(np.mean(self.score(world, cell, "zs-text", True)))
                scores["recipe"] = float(np.mean(self.score(world, cell, self.recipe, True)))
            else:
                scores["recipe"] = scores["image_only"]
            best = max(value for name, value in scores.items() if name != "recipe")
            found.append({
                "world": world.name, "texts": how if cell.has_text else "none", "cell": str(cell),
                **{name: scores.get(name, float("nan")) for name in COLUMNS[3:7]}, "distance": scores["recipe"] - best,
            })  # fmt: skip
        return found


def show(rows: Sequence[dict[str, object]], most: int) -> None:
    rows = sorted(rows, key=lambda row: float(row["distance"]))  # type: ignore[arg-type]
    print("".join(f"{name:>16}" for name in COLUMNS))
    for row in rows[:most]:
        print("".join(f"{v:16.2f}" if isinstance(v, float) else f"{v!s:>16}" for v in row.values()))
    distances = np.array([float(row["distance"]) for row in rows])  # type: ignore[arg-type]
    below = int((distances < -0.5).sum())
    print(f"{len(rows)} cells; worst {distances.min():+.2f}; below -0.5: {below}; mean {distances.mean():+.2f}")
    with_images = np.array([
        float(row["distance"]) for row in rows  # type: ignore[arg-type]
        if not np.isnan(float(row["thesis"])) and row["texts"] != "none"  # type: ignore[arg-type]
    ])  # fmt: skip
    print(f"{len(with_images)} cells with images and texts: mean {with_images.mean():+.2f}")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="anchored")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--real", nargs="*", default=["pets24_clip_vitb32", "birds59_clip_vitb32"])
    parser.add_argument("--features", type=Path, nargs="*", default=[], help="files of features, in place of --real")
    parser.add_argument("--results", type=Path, nargs="*", default=[], help="results folders of the workflow")
    parser.add_argument("--sources", nargs="+", default=["reed", "aviary-llm"])
    parser.add_argument("--synthetic", action="store_true")
    parser.add_argument("--texts", nargs="+", choices=CORRUPTIONS, default=list(CORRUPTIONS))
    parser.add_argument("--cache", type=Path, help="folder for the thesis's accuracies, which take longest")
    parser.add_argument("--out", type=Path, help="CSV of all rows")
    parser.add_argument("--most", type=int, default=60, help="rows to print")
    args = parser.parse_args(argv)
    worlds = real_worlds(args.real, args.features)
    worlds += [results_world(folder, source) for folder in args.results for source in args.sources]
    worlds += [synthetic_world()] if args.synthetic else []
    if not worlds:
        return say_skipped(args.real)
    rows = []
    for world in worlds:
        bound = Bound(world, tuple(range(args.seeds)), args.recipe, Cache(args.cache))
        for how in args.texts:
            found = bound.rows(how)
            rows += found
            print(f"{world.name}, {how}: worst {min(float(r['distance']) for r in found):+.2f}", flush=True)
    if args.out:
        with args.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    show(rows, args.most)


if __name__ == "__main__":
    main()
