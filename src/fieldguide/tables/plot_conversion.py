"""Draw conversion accuracy by translator, and where translated texts lie: a principal component plot of a few classes.

  python -m fieldguide.tables.plot_conversion --settings '{"translator": "qformer", "classes": 4}' \\
      --csv tables/conversion.csv --records records/images.csv --classes records/classes.csv \\
      --images features/…/images/dataset/*.safetensors \\
      --source reed texts/reed.csv translated/…/qformer/reed.safetensors translated/…/identity/reed.safetensors \\
      --svg figures/conversion.svg --pca figures/conversion_pca.svg
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldguide.core.errors import FieldguideError
from fieldguide.core.plotting import COLOURS, MARKERS, plain_axes, save_svg
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, new_parser, run_stage
from fieldguide.tables.measures import TARGET_MEASURES
from fieldguide.tables.results import read_frame
from fieldguide.tables.settings import ConversionFigure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fieldguide.core.arrays import Floats, Ints

TEXTS_DRAWN = 60
"""Texts of a class in the principal component plot: more would hide each other."""


def draw_panel(axes: Axes, table: pd.DataFrame, columns: Mapping[str, str], title: str, unit: str) -> None:
    """One panel: a line per translator, from the top, a mark per measure with its interval."""
    import numpy as np

    for place, (column, label) in enumerate(columns.items()):
        if column not in table:
            continue
        height = np.arange(len(table)) + 0.16 * (place - (len(columns) - 1) / 2)
        known = table[column].notna().to_numpy()
        axes.errorbar(
            table[column][known],
            height[known],
            xerr=table[f"{column}_ci95"][known].fillna(0.0),
            color=COLOURS[place % len(COLOURS)],
            marker=MARKERS[place % len(MARKERS)],
            linestyle="none",
            markersize=4,
            elinewidth=1,
            label=label,
        )
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(unit)
    axes.set_yticks(range(len(table)))
    axes.set_ylim(len(table) - 0.5, -0.5)
    plain_axes(axes)
    below = -0.08 - 0.6 / len(table)
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, below), frameon=False, ncols=2)


def draw_measures(table: pd.DataFrame) -> Figure:
    """Panels of cosines, retrieval and distances on pairs, and of accuracies on the data set, one per text source.

    table: conversion.csv, a row per translator.
    """
    from matplotlib.figure import Figure

    heads, ending = [str(name) for name in table], "_nearest_class_mean"
    sources = [name.removesuffix(ending) for name in heads if name.endswith(ending)]
    panels: list[tuple[str, dict[str, str], str]] = [
        ("held-out pairs: cosine", {"cosine": "to its own image", "control": "to other images"}, "cosine"),
        (
            "held-out pairs: retrieval",
            {"recall_1": "R@1", "recall_5": "R@5", "recall_10": "R@10"},
            "own image found, %",
        ),
        (
            "held-out pairs: distances",
            {"centroid_distance": "of centroids", "covariance_distance": "of covariances"},
            "distance",
        ),
    ]
    panels += [
        (f"data set: {source}", {f"{source}_{name}": label for name, label in TARGET_MEASURES.items()}, "accuracy, %")
        for source in sources
    ]
    across = 3
    down = -(-len(panels) // across)
    figure = Figure(figsize=(12.5, down * (1.6 + 0.27 * len(table)) + 0.5), layout="constrained")
    all_axes = figure.subplots(down, across, sharey=True, squeeze=False)
    for axes in all_axes.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (title, columns, unit) in zip(all_axes.flat, panels, strict=False):
        draw_panel(axes, table, columns, title, unit)
    for axes in all_axes[:, 0]:
        axes.set_yticklabels(table["translator"])
    words = "Bars: 95% intervals, by the bootstrap for pairs and class means, over seeds for accuracies."
    figure.supxlabel(words, fontsize=8, color="0.35", wrap=True)
    return figure


def choose_classes(labels: Ints, count: int) -> list[int]:
    """`count` of the classes that have texts, evenly apart: classes that follow each other are often of one family."""
    known = sorted(set(labels.tolist()))
    return known[:: max(1, len(known) // count)][:count]


def draw_components(
    images: Floats,
    image_labels: Ints,
    before: Floats,
    after: Floats,
    text_labels: Ints,
    names: Sequence[str],
    head: str,
) -> Figure:
    """Images (n, d), texts as they are (t, d) and translated (t, d) of a few classes, on two pairs of axes.

    Above, principal axes of images and texts together, where the modality gap shows; below, those of images alone,
    where classes part. Left before, right after.
    """
    import numpy as np
    from matplotlib.figure import Figure

    from fieldguide.translators.conversion import principal_axes

    figure = Figure(figsize=(9, 8), layout="constrained")
    panels = figure.subplots(2, 2, sharex="row", sharey="row")
    spaces = {"of images and texts": np.concatenate([images, before]), "of images alone": images}
    for line, (what, points) in zip(panels, spaces.items(), strict=True):
        mean, axes_of = principal_axes(points)
        for axes, texts, when in zip(line, (before, after), ("before", "after"), strict=True):
            for place, name in enumerate(names):
                colour = COLOURS[place % len(COLOURS)]
                # A class has a marker, filled for images and open for texts: so it can be seen in grey too.
                marker = MARKERS[place % len(MARKERS)]
                for features, labels, kind in ((images, image_labels, "images"), (texts, text_labels, "texts")):
                    xy = (features[labels == place] - mean) @ axes_of.T
                    face = colour if kind == "images" else "none"
                    look: dict[str, Any] = {"s": 15, "marker": marker, "alpha": 0.6, "linewidths": 0.8}
                    axes.scatter(*xy.T, facecolors=face, edgecolors=colour, label=f"{name}, {kind}", **look)
            axes.set_title(f"{when} translation, principal axes {what}")
            axes.set(xlabel="first axis", ylabel="second axis" if when == "before" else "")
            plain_axes(axes)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    figure.suptitle(head, fontsize=10)
    return figure


def draw_classes(args: argparse.Namespace, settings: ConversionFigure) -> Figure:
    """Read what the principal component plot shows."""
    import numpy as np

    from fieldguide.adapters.inputs import read_class_names
    from fieldguide.features.labelled import read_images, read_split
    from fieldguide.texts.source import read_source

    name, *files = args.source
    table, translated, raw = map(Path, files)
    images = read_images(args.records)
    source = read_source(name, table, translated, images, raw)
    assert source.features is not None and source.raw is not None
    chosen = choose_classes(source.labels, settings.classes)
    test, labels, _ = read_split(args.images, images, images.test_rows)
    shown = np.isin(labels, chosen)
    # Evenly over a class's texts: an LLM's come field by field.
    rows = np.concatenate([thin(np.flatnonzero(source.labels == label), TEXTS_DRAWN) for label in chosen])
    names = read_class_names(args.classes, images.class_ids)
    return draw_components(
        test[shown],
        np.searchsorted(chosen, labels[shown]),
        source.raw[rows],
        source.features[rows],
        np.searchsorted(chosen, source.labels[rows]),
        [names[label] for label in chosen],
        f"{source.name} through {settings.translator}",
    )


def thin(rows: Any, count: int) -> Any:
    """At most `count` of the rows (n,), evenly spaced."""
    return rows[:: -(-len(rows) // count)] if len(rows) else rows


def plot(args: argparse.Namespace) -> None:
    import matplotlib

    settings = parse_settings(ConversionFigure, args.settings)
    table = read_frame(args.csv)
    if not len(table):
        raise FieldguideError(f"{args.csv}: has no rows; delete it to have it made again")

    # A matplotlibrc of the user's must not change the picture.
    matplotlib.rcdefaults()
    save_svg(draw_measures(table), args.svg)
    save_svg(draw_classes(args, settings), args.pca)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("tables.plot_conversion", __doc__)
    parser.add_argument("--csv", type=Path, required=True, help="conversion.csv as tabulate_conversion writes it")
    parser.add_argument("--records", type=Path, required=True, help="records/images.csv")
    parser.add_argument("--classes", type=Path, required=True, help="records/classes.csv")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="its image features, in shards")
    parser.add_argument(
        "--source",
        nargs=4,
        required=True,
        metavar=("NAME", "TABLE", "TRANSLATED", "RAW"),
        help="the texts drawn: their source's name, its table, and its features after and before translation",
    )
    add_settings(parser, ConversionFigure)
    parser.add_argument("--svg", type=Path, required=True, help="the picture of the measures to write")
    parser.add_argument("--pca", type=Path, required=True, help="the picture of principal components to write")
    run_stage("plot_conversion", plot, parser, argv, imports=("pandas", "matplotlib.figure"))


if __name__ == "__main__":
    main()
