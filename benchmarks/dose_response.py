"""How good must text be before it stops hurting? The gain over image only, dose by dose, for each method.

The texts of a world are made worse step by step: a share of the classes has another class's texts, drawn at random or
the nearest by text feature (its family), or all class means lose a part of their direction to noise. At 10, 20 and 50%
of the images (class-wise, texts in the others' places) each method's accuracy is compared with `anchored-image-only`
on the same images, and stands beside the accuracy of zero-shot from the same texts. Each seed draws images, swaps and
noise anew. Hyper-parameters are chosen by cross-validation within the cell among six trials, but those of `anchored` as
in `text_bound.py`, on images alone. The methods of --middle stand at the middle of their ranges, since choosing for
them takes some thirty times as long: `clap` at the published penalty 1 and a rate of 0.03 (published: 0.1) and
`cross-modal` at 1e-3 and 1e-4 (published: chosen among these and others). In the synthetic world `lp++` does too,
and there texts are swapped at random alone.

  python benchmarks/dose_response.py --results results/aviary --synthetic --cache dose-cache --out dose.csv \\
      --figure docs/dose_response.svg
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from _worlds import ROOT, Cell, World, real_worlds, results_world, say_skipped, synthetic_world
from text_bound import Bound, Cache

from fieldguide.adapters.corruptions import swap_classes, swap_families, zero_shot_accuracy
from fieldguide.adapters.linear import accuracy
from fieldguide.adapters.plans import Drawer
from fieldguide.adapters.recipes.registry import RECIPES
from fieldguide.adapters.settings import CellSettings
from fieldguide.adapters.tuning import choose_within_cell, middle_trial
from fieldguide.core.provenance import code_hash
from fieldguide.core.stage import log

METHODS = ("anchored", "clap", "lp++", "zs-text+gda", "cross-modal")
IMAGES = (10, 20, 50)
DOSES = (
    ("none", 0.0),
    *(("random", share) for share in (0.1, 0.25, 0.5, 0.75, 1.0)),
    *(("family", share) for share in (0.25, 0.5, 1.0)),
    *(("noise", noise) for noise in (0.8, 0.9, 1.0)),
)
RANDOM_SWAPS = DOSES[:6]
LOSS = 0.5
"""Points below image only at which text is said to hurt."""
PER_CLASS = 10
"""Training images a class that are kept of the synthetic world, which is there for its 200 classes."""
COLUMNS = (
    "world", "classes", "images", "images_per_class", "texts", "dose", "method", "zero_shot", "image_only", "accuracy",
    "gain", "seeds",
)  # fmt: skip


def worsen(world: World, how: str, dose: float, seed: int) -> World:
    """The world with its texts made worse in one way."""
    source, classes = world.source, world.train.classes
    assert source.raw is not None
    if how == "none":
        return world
    if how == "noise":
        return world.blur(dose, seed)
    if how == "family":
        return world.swap(swap_families(source.raw, source.labels, classes, dose, seed))
    return world.swap(swap_classes(classes, dose, seed))


def cut_down(world: World, per_class: int) -> World:
    """The world with so many training images of each class and as many of its texts."""

    def first(labels: Any) -> Any:
        return np.sort(np.concatenate([np.flatnonzero(labels == c)[:per_class] for c in np.unique(labels)]))

    source, rows = world.source, first(world.source.labels)
    assert source.raw is not None
    kept = replace(
        source, raw=source.raw[rows], features=None if source.features is None else source.features[rows],
        labels=source.labels[rows], image_ids=[source.image_ids[i] for i in rows],
    )  # fmt: skip
    return replace(world, train=world.train.take(first(world.train.labels)), source=kept)


class Curve:
    """One world's cells."""

    def __init__(
        self,
        world: World,
        seeds: Sequence[int],
        cache: Cache,
        middle: Sequence[str],
        doses: Sequence[tuple[str, float]] = DOSES,
    ) -> None:
        """middle: the methods that stand at the middle of their ranges."""
        self.world, self.seeds, self.cache, self.middle, self.doses = world, seeds, cache, middle, doses
        self.bound = Bound(world, tuple(seeds), "anchored", cache)

    def fit(self, world: World, percent: int, method: str, seed: int) -> float:
        """Accuracy in percent of one run."""
        if method.startswith("anchored"):
            setting = self.bound.setting(method)
        else:
            cell = CellSettings(
                ratio=percent, recipe=method, seeds=(seed,), budget="steps", amount=400, batch=256,
                tune="within-cell", learning_rates=(0.01, 0.03, 0.1), weight_decays=(0.0, 0.1),
            )  # fmt: skip
            setting = dict(middle_trial(cell, method))
            if method not in self.middle:
                drawer = Drawer(world.train.labels, "class-wise")
                setting = dict(choose_within_cell(world.train, drawer, world.source, cell).settings[0])
        task = Cell("replaced", percent).task(world, (seed,), method != "anchored-image-only")
        fitted = RECIPES[method].load().fit(task, [setting])
        return float(accuracy(fitted.classifier, world.test.features, world.test.labels)[0])

    def score(self, how: str, dose: float, percent: int, method: str) -> list[float]:
        """By seed."""
        found = []
        for seed in self.seeds:
            key = self.key(how, dose, percent, method, seed)
            if method == "zs-text":
                found += self.cache.get(key, lambda seed=seed: [self.zero_shot(how, dose, seed)])
            else:
                found += self.cache.get(
                    key, lambda seed=seed: [self.fit(worsen(self.world, how, dose, seed), percent, method, seed)]
                )
        return found

    def key(self, how: str, dose: float, percent: int, method: str, seed: int) -> tuple[object, ...]:
        """All that decides a run; another recipe of the same name is another run."""
        modules = ("adapters.corruptions", "adapters.tuning", f"adapters.recipes.{RECIPES[method].module}")
        code = code_hash(modules, ROOT / "src")
        return self.bound.key, self.world.source.name, code, how, dose, percent, method, seed, method in self.middle

    def zero_shot(self, how: str, dose: float, seed: int) -> float:
        """Of all texts, made worse, on the test images."""
        world = worsen(self.world, how, dose, seed)
        assert world.source.raw is not None
        test, source = world.test, world.source
        return zero_shot_accuracy(source.raw, source.labels, test.features, test.labels, test.classes)

    def rows(self, methods: Sequence[str]) -> Iterator[dict[str, Any]]:
        """A row per dose, share of images and method; means over seeds, accuracies in percent, gains in points."""
        train = self.world.train
        for how, dose in self.doses:
            zero_shot = float(np.mean(self.score(how, dose, 0, "zs-text")))
            for percent in IMAGES:
                alone = float(np.mean(self.score("none", 0.0, percent, "anchored-image-only")))
                for method in methods:
                    reached = float(np.mean(self.score(how, dose, percent, method)))
                    values = (
                        self.world.name, train.classes, percent,
                        round(len(train.labels) * percent / 100 / train.classes, 2),
                        how, dose, method, zero_shot, alone, reached, reached - alone, len(self.seeds),
                    )  # fmt: skip
                    yield dict(zip(COLUMNS, values, strict=True))


def find_end(rows: Sequence[dict[str, Any]]) -> float:
    """The lowest zero-shot accuracy from which upwards no cell loses more than LOSS points; inf where the best does."""
    hurts = [row["zero_shot"] for row in rows if row["gain"] < -LOSS]
    worst = max(hurts, default=-np.inf)
    return min((row["zero_shot"] for row in rows if row["zero_shot"] > worst), default=np.inf)


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Prints where "does not hurt" ends, by method and world, and the largest loss of all cells."""
    worlds, methods = (list(dict.fromkeys(row[name] for row in rows)) for name in ("world", "method"))
    print(f"Lowest zero-shot accuracy (%) from which upwards no cell loses more than {LOSS} points to image only;")
    print("in brackets the cells that do, of all, and the largest loss.")
    print(f"{'':14}" + "".join(f"{world:>28}" for world in worlds))
    for method in methods:
        line = f"{method:14}"
        for world in worlds:
            own = [row for row in rows if row["method"] == method and row["world"] == world]
            hurt = sum(row["gain"] < -LOSS for row in own)
            end, lowest = find_end(own), min(row["gain"] for row in own)
            shown = "nowhere" if np.isinf(end) else f"{end:.1f}"
            line += f"{f'{shown} ({hurt} of {len(own)}, {lowest:+.1f})':>28}"
        print(line)


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """A row of panels per share of images, a column per world: the gain over image only against zero-shot accuracy.

    Lines join the doses of classes swapped at random; single marks are those within the family and by noise.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from fieldguide.core.plotting import COLOURS, DASHES, LABEL, MARKERS, SMALL, legend_columns, plain_axes, save_svg

    worlds, methods = (list(dict.fromkeys(row[name] for row in rows)) for name in ("world", "method"))
    shares = sorted({row["images"] for row in rows})
    width = 2.9 * len(worlds) + 0.8
    figure = Figure(figsize=(width, 2.5 * len(shares) + 1), layout="constrained")
    panels = figure.subplots(len(shares), len(worlds), sharex="col", sharey="row", squeeze=False)
    for share, line in zip(shares, panels, strict=True):
        for world, axes in zip(worlds, line, strict=True):
            here = [row for row in rows if row["images"] == share and row["world"] == world]
            axes.axhspan(-LOSS, LOSS, color="0.85", linewidth=0)
            for i, method in enumerate(methods):
                own = [row for row in here if row["method"] == method]
                joined = sorted((r["zero_shot"], r["gain"]) for r in own if r["texts"] in ("none", "random"))
                others = [(r["zero_shot"], r["gain"]) for r in own if r["texts"] in ("family", "noise")]
                axes.plot(
                    *zip(*joined, strict=True), color=COLOURS[i], marker=MARKERS[i], linestyle=DASHES[i],
                    linewidth=1.5, markersize=4,
                )  # fmt: skip
                axes.scatter(*np.reshape(others, (-1, 2)).T, color=COLOURS[i], marker=MARKERS[i], s=9, alpha=0.4)
            title = f"{world}, {here[0]['classes']} classes\n" if share == shares[0] else ""
            axes.set_title(f"{title}{share}%: {here[0]['images_per_class']:.2g} images a class")
            axes.set_yscale("symlog", linthresh=5)
            axes.set_yticks(
                ticks := [-50, -20, -10, -5, -2, 0, 2, 5, 10, 20, 50], [f"{t:+d}" if t else "0" for t in ticks]
            )
            axes.minorticks_off()
            plain_axes(axes)
        gains = [row["gain"] for row in rows if row["images"] == share]
        line[0].set_ylim(min(gains) * 1.2 - 0.5, max(gains) * 1.2 + 0.5)
        line[0].set_ylabel("gain over image only, points", fontsize=LABEL)
    for axes in panels[-1]:
        axes.set_xlabel("zero-shot by the same texts, %", fontsize=LABEL)
    handles = [
        Line2D([], [], label=m, color=COLOURS[i], marker=MARKERS[i], linestyle=DASHES[i], linewidth=1.5, markersize=4)
        for i, m in enumerate(methods)
    ]
    labels = list(methods)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=legend_columns(labels, width), fontsize=SMALL, frameon=False
    )
    save_svg(figure, path)
    figure.savefig(path.with_suffix(".png"), dpi=110)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", nargs="*", default=["pets24_clip_vitb32", "birds59_clip_vitb32"])
    parser.add_argument("--features", type=Path, nargs="*", default=[], help="files of features, in place of --real")
    parser.add_argument("--results", type=Path, nargs="*", default=[], help="results folders of the workflow")
    parser.add_argument("--sources", nargs="+", default=["aviary-llm"])
    parser.add_argument("--synthetic", action="store_true", help="200 classes, ten images of each")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument(
        "--middle", nargs="*", default=["clap", "cross-modal"], help="methods for which nothing is chosen"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--synthetic-seeds", type=int, default=1, help="of the synthetic world, which is slow")
    parser.add_argument("--cache", type=Path, help="folder for accuracies that were measured already")
    parser.add_argument("--out", type=Path, help="CSV of all rows")
    parser.add_argument("--figure", type=Path, help="the picture, as SVG; the PNG stands beside it")
    args = parser.parse_args(argv)
    # A choice at the end of a range is no news for each of a thousand cells.
    log.setLevel(logging.ERROR)
    how = range(args.seeds), Cache(args.cache), args.middle
    curves = [Curve(world, *how) for world in real_worlds(args.real, args.features)]
    curves += [Curve(results_world(folder, source), *how) for folder in args.results for source in args.sources]
    if args.synthetic:
        world, middle = cut_down(synthetic_world(), PER_CLASS), [*args.middle, "lp++"]
        curves.append(Curve(world, range(args.synthetic_seeds), how[1], middle, RANDOM_SWAPS))
    if not curves:
        return say_skipped(args.real)
    rows = [row for curve in curves for row in curve.rows(args.methods)]
    if args.out:
        with args.out.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)
    if args.figure:
        draw(rows, args.figure)
    show(rows)


if __name__ == "__main__":
    main()
