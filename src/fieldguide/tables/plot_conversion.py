"""Draw conversion accuracy by translator, and where translated texts lie: a principal component plot of a few classes.

  python -m fieldguide.tables.plot_conversion --csv tables/conversion.csv --records records/images.csv \\
      --classes records/classes.csv --images features/…/images/dataset/*.safetensors --translator qformer \\
      --source reed=texts/reed.csv=translated/…/qformer/reed.safetensors=translated/…/identity/reed.safetensors \\
      --svg figures/conversion.svg --pca figures/conversion_pca.svg
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv
from fieldguide.core.plotting import COLOURS, MARKERS, plain_axes, save_svg
from fieldguide.core.stage import new_parser, run_stage
from fieldguide.tables.measures import TARGET_MEASURES
from fieldguide.texts.options import parse_source

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fieldguide.core.arrays import Floats, Ints

TEXTS_DRAWN = 60
"""Texts of a class in the principal component plot: more would hide each other."""

Rows = Sequence[Mapping[str, str]]


def number(row: Mapping[str, str], column: str) -> float | None:
    """A value of the table; None where it is empty or the column is missing."""
    return float(row[column]) if row.get(column) else None


def draw_panel(axes: Axes, rows: Rows, columns: Mapping[str, str], title: str, unit: str) -> None:
    """One panel: a line per translator, from the top, a mark per measure with its interval."""
    for place, (column, label) in enumerate(columns.items()):
        found = [(y, number(row, column), number(row, f"{column}_ci95")) for y, row in enumerate(rows)]
        kept = [
            (y + 0.16 * (place - (len(columns) - 1) / 2), value, half) for y, value, half in found if value is not None
        ]
        style = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)]}
        axes.errorbar(
            [value for _, value, _ in kept],
            [y for y, _, _ in kept],
            xerr=[half or 0.0 for _, _, half in kept],
            linestyle="none",
            markersize=4,
            elinewidth=1,
            label=label,
            **style,  # type: ignore[arg-type]
        )
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(unit)
    axes.set_yticks(range(len(rows)))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    plain_axes(axes)
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.08 - 0.6 / len(rows)), frameon=False, ncols=2)


def draw_measures(rows: Rows, notes: Sequence[str] = ()) -> Figure:
    """Panels of cosines, retrieval and distances on pairs, and of accuracies on the target, a panel per text source."""
    from matplotlib.figure import Figure

    sources = [name.removesuffix("_nearest_class_mean") for name in rows[0] if name.endswith("_nearest_class_mean")]
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
        (f"target: {source}", {f"{source}_{name}": label for name, label in TARGET_MEASURES.items()}, "accuracy, %")
        for source in sources
    ]
    across = 3
    down = -(-len(panels) // across)
    figure = Figure(figsize=(12.5, down * (1.6 + 0.27 * len(rows)) + 0.5), layout="constrained")
    all_axes = figure.subplots(down, across, sharey=True, squeeze=False)
    for axes in all_axes.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (title, columns, unit) in zip(all_axes.flat, panels, strict=False):
        draw_panel(axes, rows, columns, title, unit)
    for axes in all_axes[:, 0]:
        axes.set_yticklabels([row["translator"] for row in rows])
    words = "Bars: 95% intervals, by the bootstrap for pairs and class means, over seeds for accuracies."
    figure.supxlabel(" ".join([words, *notes]), fontsize=8, color="0.35", wrap=True)
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
                # A class has a marker, filled for images and open for texts: so it can be told in grey too.
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


def draw_classes(args: argparse.Namespace) -> Figure:
    """Read what the principal component plot shows."""
    import numpy as np

    from fieldguide.features.labelled import read_images, read_split
    from fieldguide.texts.source import read_source

    files = args.source
    images = read_images(args.records)
    if files.raw is None or files.translated is None:
        raise FieldguideError("--source: give the texts' features before and after, NAME=TABLE=TRANSLATED=RAW")
    source = read_source(files.name, files.table, files.translated, images, files.raw)
    assert source.features is not None and source.raw is not None
    chosen = choose_classes(source.labels, args.count)
    test, labels, _ = read_split(args.images, images, images.test_rows)
    shown = np.isin(labels, chosen)
    # Evenly over a class's texts: an LLM's come field by field.
    rows = np.concatenate([thin(np.flatnonzero(source.labels == label), TEXTS_DRAWN) for label in chosen])
    told = {row["class_id"]: row["class_name"] for row in read_csv(args.classes, ("class_id", "class_name"))}
    return draw_components(
        test[shown],
        np.searchsorted(chosen, labels[shown]),
        source.raw[rows],
        source.features[rows],
        np.searchsorted(chosen, source.labels[rows]),
        [told[images.class_ids[label]] for label in chosen],
        f"{source.name} through {args.translator}",
    )


def thin(rows: Any, count: int) -> Any:
    """At most `count` of the rows (n,), evenly spaced."""
    return rows[:: -(-len(rows) // count)] if len(rows) else rows


def plot(args: argparse.Namespace) -> None:
    rows = read_csv(args.csv, ("translator",))
    if not rows:
        raise FieldguideError(f"{args.csv}: has no rows; delete it to have it made again")
    import matplotlib

    # A matplotlibrc of the user's must not change the picture.
    matplotlib.rcdefaults()
    save_svg(draw_measures(rows, [note for note in args.note if note]), args.svg)
    save_svg(draw_classes(args), args.pca)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("tables.plot_conversion", __doc__)
    parser.add_argument("--csv", type=Path, required=True, help="conversion.csv as tabulate_conversion writes it")
    parser.add_argument("--records", type=Path, required=True, help="records/images.csv")
    parser.add_argument("--classes", type=Path, required=True, help="records/classes.csv")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="the target's image features, in shards")
    parser.add_argument(
        "--source", type=parse_source, required=True, metavar="NAME=TABLE=TRANSLATED=RAW", help="the texts drawn"
    )
    parser.add_argument("--translator", required=True, help="what translated them, for the heading")
    parser.add_argument("--count", type=int, default=4, help="classes drawn")
    parser.add_argument("--note", action="append", default=[], help="a sentence to stand below; repeatable")
    parser.add_argument("--svg", type=Path, required=True, help="the picture of the measures to write")
    parser.add_argument("--pca", type=Path, required=True, help="the picture of principal components to write")
    run_stage("plot_conversion", plot, parser, argv, imports=("numpy", "matplotlib.figure"))


if __name__ == "__main__":
    main()
