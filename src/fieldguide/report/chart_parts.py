"""The look of the report's charts and the controls that a reader sets.

Every chart is drawn as SVG, and ink that follows the page's theme is `currentColor`; the colours of columns are those
of the figures. What is chosen among is a parameter bound to a plain form control, so that the keyboard reaches it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fieldguide.core.plotting import COLOURS

if TYPE_CHECKING:
    import altair as alt

    AnyChart = alt.LayerChart | alt.FacetChart | alt.Chart

ALL = "all"
INK = "currentColor"
PALETTE = (INK, *COLOURS[1:])
DASHES = ([1, 0], [6, 3], [2, 2], [8, 2, 2, 2], [4, 2, 1, 2], [10, 3])
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")
HEIGHT = 380
QUIET = 0.25
BAND = 0.2

CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "tickColor": INK,
        "domainColor": INK,
        "domainOpacity": 0.6,
        "gridColor": INK,
        "gridOpacity": 0.12,
        "labelFontSize": 12,
        "titleFontSize": 13,
        "titleFontWeight": "normal",
    },
    "legend": {
        "labelColor": INK,
        "titleColor": INK,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "orient": "bottom",
        "labelLimit": 320,
        "symbolSize": 90,
        "symbolOpacity": 1,
        # A narrow page breaks a legend into lines, and sets one legend below the other, so that none is cut.
        "columns": {"expr": "max(1, floor(width / 170))"},
        "layout": {"bottom": {"direction": "vertical", "anchor": "start"}},
    },
    "header": {"labelColor": INK, "titleColor": INK, "labelFontSize": 13},
    "title": {"color": INK},
}


class Choices:
    """Parameters of a chart that a reader sets, and the filter that they make together."""

    def __init__(self, chart: str) -> None:
        self.chart = chart
        self.params: list[Any] = []
        self.tests: list[str] = []

    def choose(
        self,
        name: str,
        field: str,
        options: Sequence[str],
        start: str,
        labels: Mapping[str, str] = {},
        has_all: bool = True,
    ) -> str:
        """A drop-down over a field's values, and all of them; where there is one value there is nothing to choose."""
        import altair as alt

        if len(options) < 2:
            return ""
        parameter = f"{self.chart}_{field}"
        shown = [ALL, *options] if has_all else list(options)
        bind = alt.binding_select(options=shown, labels=[labels.get(o, o) for o in shown], name=name)
        self.params.append(alt.param(name=parameter, value=start, bind=bind))
        return parameter

    def tick(self, name: str, field: str, start: bool = True) -> str:
        """A box to tick."""
        import altair as alt

        parameter = f"{self.chart}_{field}"
        self.params.append(alt.param(name=parameter, value=start, bind=alt.binding_checkbox(name=name)))
        return parameter

    def match(self, parameter: str, field: str, also: str = "") -> None:
        """Keep what has the chosen value, or what `also` says."""
        if parameter:
            test = f"{parameter} == '{ALL}' || datum.{field} == {parameter}"
            self.tests.append(f"({test} || {also})" if also else f"({test})")

    @property
    def test(self) -> str:
        return " && ".join(self.tests) or "true"


def take(values: Sequence[Any], count: int) -> list[Any]:
    """So many values, from the beginning again where there are too few."""
    return [values[i % len(values)] for i in range(count)]


def specification(chart: AnyChart, description: str, height: int = HEIGHT) -> dict[str, Any]:
    """The chart as wide as its place, in the page's look."""
    sized = chart.properties(width="container", height=height, description=description)
    # Checking thousands of points against a schema takes longer than all the rest; the tests draw every chart.
    found: dict[str, Any] = sized.to_dict(validate=False)
    found["autosize"] = {"type": "fit-x", "contains": "padding"}
    found["config"] = CONFIG
    # The address of the specification's schema is no part of the page, which asks for nothing.
    found.pop("$schema", None)
    return found
