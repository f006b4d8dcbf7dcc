"""Draw accuracy by share of images: a panel per variant, a line per recipe and text source, 95% intervals as bands."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from fieldguide.core.plotting import COLOURS, DASHES, LABEL, MARKERS, SMALL, TITLE, legend_columns, plain_axes, save_svg
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, new_parser, run_stage
from fieldguide.tables.intervals import ONE_SEED, describe_interval
from fieldguide.tables.rows import (
    IMAGE_ONLY,
    PUBLISHED_RECIPE,
    Block,
    CellRow,
    PublishedFigure,
    Series,
    column_labels,
    distinct,
    find_published,
    read_published,
    read_rows,
    split_blocks,
)
from fieldguide.tables.settings import Heading

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PUBLISHED_LINE: dict[str, Any] = {"linestyle": ":", "linewidth": 0.9, "markersize": 2.5, "markerfacecolor": "white"}


class Style(NamedTuple):
    """How one recipe's column is drawn, in every panel."""

    colour: str
    marker: str
    dash: Any

    def line(self) -> dict[str, Any]:
        """The style as matplotlib's keywords."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "linestyle": self.dash,
            "linewidth": 1.6,
            "markersize": 4.5,
        }


def styles_of(lines: Sequence[Series]) -> dict[Series, Style]:
    """A style per line, whatever its sampling: each has its own marker and dash, each source its own colour."""
    columns = distinct(series.column for series in lines)
    kinds = distinct((series.recipe, series.column) for series in lines)
    styles = {}
    for series in lines:
        i = kinds.index((series.recipe, series.column))
        colour = COLOURS[columns.index(series.column) % len(COLOURS)]
        styles[series] = Style(colour, MARKERS[i % len(MARKERS)], DASHES[i % len(DASHES)])
    return styles


def draw_panel(axes: Axes, block: Block, styles: Mapping[Series, Style], published: Sequence[PublishedFigure]) -> None:
    """One variant: x is the share of images, y the accuracy, both in percent."""
    for series in block.series:
        style = styles[series]
        rows = sorted((r for r in block.rows if r.series == series), key=lambda r: r.image_percent)
        shares = [r.image_percent for r in rows]
        means = [r.accuracy_mean for r in rows]
        widths = [r.accuracy_ci95 or 0.0 for r in rows]
        low = [max(0.0, mean - width) for mean, width in zip(means, widths, strict=True)]
        high = [min(100.0, mean + width) for mean, width in zip(means, widths, strict=True)]
        if len(rows) > 1:
            axes.fill_between(shares, low, high, color=style.colour, alpha=0.15, linewidth=0)
        else:
            axes.vlines(shares, low, high, color=style.colour, linewidth=1.5)
        axes.plot(shares, means, **style.line())
        figures = () if block.texts_beside else published
        if known := sorted((percent, f.accuracy) for (_, percent), f in find_published([series], figures).items()):
            axes.plot(*zip(*known, strict=True), **(style.line() | PUBLISHED_LINE))
    axes.set_title("\n".join(textwrap.wrap(block.title, 56)), fontsize=TITLE)
    axes.set_xlabel("images in the training set, %")
    axes.set_xlim(-3, 103)
    axes.set_xticks(range(0, 101, 20))
    plain_axes(axes)


def draw_figure(
    rows: Sequence[CellRow], published: Sequence[PublishedFigure] = (), notes: Sequence[str] = ()
) -> Figure:
    """The whole picture; panels share both axes, one legend serves all."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    blocks = split_blocks(rows)
    # What is compared at one share alone has no curve to show; it stands in the table.
    blocks = [b for b in blocks if len({r.image_percent for r in b.rows}) > 1] or blocks
    labels = column_labels(row.column for row in rows)
    styles = styles_of(distinct(series for block in blocks for series in block.series))
    recipes = {series.recipe for series in styles}
    named = {
        f"{series.recipe}: {labels[series.column]}" if len(recipes) > 1 else labels[series.column]: style
        for series, style in styles.items()
    }
    across = min(2, len(blocks))
    down = -(-len(blocks) // across)
    figure = Figure(figsize=(4.4 * across + 0.6, 3.3 * down + 1.1), layout="constrained")
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for axes in panels.flat[len(blocks) :]:
        axes.set_visible(False)
    for axes, block in zip(panels.flat, blocks, strict=False):
        draw_panel(axes, block, styles, published)
        axes.xaxis.set_tick_params(labelbottom=True)
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy on the test images, %", fontsize=LABEL)
    handles = [Line2D([], [], label=label, **style.line()) for label, style in named.items()]
    if published and any(r.recipe == PUBLISHED_RECIPE for r in rows):
        handles.append(Line2D([], [], label="published", **(PUBLISHED_LINE | {"color": "0.3", "marker": "o"})))
    columns = legend_columns([str(handle.get_label()) for handle in handles], figure.get_figwidth())
    figure.legend(
        handles=handles,
        loc="outside upper center",
        ncols=columns,
        frameon=False,
        handlelength=3,
        fontsize=SMALL,
    )
    seeds = max(r.n_seeds for r in rows)
    has_translator = any(r.translator != IMAGE_ONLY for r in rows)
    interval = f"Bands: {describe_interval(None, has_translator)}." if seeds > 1 else f"{ONE_SEED.capitalize()}."
    below = textwrap.wrap(" ".join([interval, *notes]), 70 * across)
    figure.supxlabel("\n".join(below), fontsize=8, color="0.35")
    return figure


def run(args: argparse.Namespace) -> None:
    heading = parse_settings(Heading, args.settings)
    rows = read_rows(args.csv)
    published = read_published(args.published) if args.published else []
    import matplotlib

    # A matplotlibrc of the user's must not change the picture.
    matplotlib.rcdefaults()
    save_svg(draw_figure(rows, published, heading.notes), args.svg)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("tables.plot_accuracy", __doc__)
    parser.add_argument("--csv", type=Path, required=True, help="accuracy.csv as tabulate_accuracy writes it")
    parser.add_argument("--svg", type=Path, required=True, help="the picture to write")
    parser.add_argument("--published", type=Path, nargs="?", metavar="CSV", help="published figures, as dotted lines")
    add_settings(parser, Heading)
    run_stage("plot_accuracy", run, parser, argv, imports=("matplotlib.figure", "matplotlib.backends.backend_svg"))


if __name__ == "__main__":
    main()
