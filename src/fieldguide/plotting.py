"""The look that all figures share, and SVG bytes that do not change by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fieldguide.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, without the yellow that white paper swallows.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def plain_axes(axes: Axes) -> None:
    """A light grid behind the data, and no box around it."""
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def save_svg(figure: Figure, path: Path) -> None:
    """Write the figure; the same figure gives the same bytes, whatever the user's matplotlibrc."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "fieldguide", "svg.fonttype": "path"}), atomic_path(path) as beside:
        figure.savefig(beside, format="svg", metadata={"Date": None, "Creator": None})
