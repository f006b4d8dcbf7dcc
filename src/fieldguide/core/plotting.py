"""The look that all figures share, and SVG bytes that do not change by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldguide.core.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, without the yellow that white paper swallows.
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
# Colour alone tells nothing in grey: lines have markers and dashes too.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 2)),
    (0, (6, 2, 1.5, 2)),
    (0, (3, 1.5)),
    (0, (8, 2, 1, 2, 1, 2)),
    (0, (1, 1)),
    (0, (10, 3)),
    (0, (4, 1.5, 1, 1.5)),
)

TITLE, LABEL, SMALL = 10, 9.5, 9
"""Points of text in a figure: titles of panels; axes; ticks and legends."""
INCHES_PER_LETTER = 0.073
INCHES_PER_HANDLE = 0.75


def plain_axes(axes: Axes) -> None:
    """The look of all figures: a light grid behind the data, no box around it, text of the same sizes, grey ink."""
    axes.grid(color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color("0.3")
    axes.tick_params(labelsize=SMALL, color="0.3")
    axes.title.set_fontsize(TITLE)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_fontsize(LABEL)


def legend_columns(labels: Sequence[str], width: float) -> int:
    """How many columns of a legend a figure of so many inches has room for."""
    each = INCHES_PER_HANDLE + INCHES_PER_LETTER * max(map(len, labels), default=0)
    return max(1, min(len(labels), int(width / each)))


def save_svg(figure: Figure, path: Path) -> None:
    """Write the figure; the same figure gives the same bytes, whatever the user's matplotlibrc."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "fieldguide", "svg.fonttype": "path"}), atomic_path(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
