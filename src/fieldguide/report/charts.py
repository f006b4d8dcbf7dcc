"""The report's interactive charts as Vega-Lite specifications, by Altair. Pure: from rows to specifications."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fieldguide.core.plotting import COLOURS
from fieldguide.report.chart_parts import (
    ALL,
    INK,
    PALETTE,
    QUIET,
    Choices,
    specification,
    take,
)
from fieldguide.tables.rows import (
    IMAGE_ONLY,
    distinct,
)

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 5
"""Classes that a mean over classes needs to be drawn."""


def class_chart(rows: pd.DataFrame, labels: Mapping[str, str]) -> dict[str, Any]:
    """Accuracy of each class against its labelled images: a point per class and cell, and their mean as a line.

    rows: of classes.csv. labels: the text sources'.
    """
    import altair as alt

    values = rows[["text_source", "sampling", "redraw", "recipe", "translator"]].rename(
        columns={"text_source": "source"}
    )
    values = values.assign(
        n=rows["class_name"],
        i=rows["images"].astype(float),
        a=rows["accuracy_mean"].astype(float),
        c=rows["text_source"].map(lambda source: labels.get(source, source)),
        p=rows["image_percent"].astype(float),
    )
    choices = Choices("classes")
    sources = distinct(rows["text_source"])
    choices.match(choices.choose("Column", "source", sources, sources[0], labels), "source")
    for name, field in (("Sampling", "sampling"), ("Redraw", "redraw"), ("Recipe", "recipe")):
        options = distinct(rows[field])
        choices.match(choices.choose(name, field, options, options[0]), field)
    translators = [t for t in distinct(rows["translator"]) if t != IMAGE_ONLY]
    chosen = choices.choose("Translator", "translator", translators, translators[0] if translators else ALL)
    choices.match(chosen, "translator", f"datum.source == '{IMAGE_ONLY}'")
    ratios = [f"{ratio:g}" for ratio in sorted(rows["image_percent"].unique(), reverse=True)]
    choices.match(choices.choose("Images, %", "p", ratios, ALL), "p")

    shown = [labels.get(source, source) for source in sources]
    colour = alt.Color("c:N", title=None, sort=None, scale=alt.Scale(domain=shown, range=take(PALETTE, len(shown))))
    most = float(rows["images"].max())
    x = alt.X(
        "i:Q",
        scale=alt.Scale(domain=[0, max(1, most)]),
        title="labelled images of the class in training, mean over seeds",
    )
    y_title = "accuracy on the class's test images, %"
    base = alt.Chart(alt.Data(values=values.to_dict("records"))).transform_filter(choices.test)
    points = base.mark_point(filled=True, size=26, opacity=QUIET).encode(
        x=x,
        y=alt.Y("a:Q", title=y_title, scale=alt.Scale(domain=[0, 100])),
        color=colour,
        tooltip=[
            alt.Tooltip("n:N", title="class"),
            alt.Tooltip("c:N", title="column"),
            alt.Tooltip("p:Q", title="images, %"),
            alt.Tooltip("i:Q", title="images of the class"),
            alt.Tooltip("a:Q", title="accuracy, %"),
        ],
    )
    mean = (
        base.transform_calculate(r="round(datum.i)")
        .transform_aggregate(m="mean(a)", k="count()", groupby=["r", "c", "recipe"])
        .transform_filter(f"datum.k >= {FEWEST}")
        .mark_line(strokeWidth=2.5, point={"size": 40})
        .encode(
            x=alt.X("r:Q"),
            y=alt.Y("m:Q", title=y_title),
            color=colour,
            detail="recipe:N",
            tooltip=[
                alt.Tooltip("c:N", title="column"),
                alt.Tooltip("r:Q", title="images of a class, rounded"),
                alt.Tooltip("m:Q", title="mean accuracy, %", format=".2f"),
                alt.Tooltip("k:Q", title="classes"),
            ],
        )
    )
    chart = alt.layer(points.add_params(*choices.params), mean)
    return specification(chart, "Accuracy of each class by its number of labelled images")


def bar_chart(
    values: Sequence[Mapping[str, Any]],
    measures: Mapping[str, str],
    name: str = "measure",
) -> dict[str, Any]:
    """One measure of several things as bars, the measure chosen by the reader; `label` names a thing.

    values: a record per thing and measure with `label`, `measure`, `value`, and its interval from `low` to `high`.
    measures: what each is, with its unit, to stand below the axis.
    """
    import altair as alt

    choices = Choices(name)
    # Measures have units of their own, so that there is no picture of all of them.
    chosen = choices.choose("Measure", "measure", list(measures), next(iter(measures)), has_all=False)
    choices.match(chosen, "measure")
    base = alt.Chart(alt.Data(values=list(values))).transform_filter(choices.test)
    y = alt.Y("label:N", sort=None, title=None, axis=alt.Axis(labelLimit=320))
    tips = ("label:N", "measure:N", "value:Q", "low:Q", "high:Q")
    bars = base.mark_bar(color=COLOURS[1], height={"band": 0.6}).encode(
        y=y, x=alt.X("value:Q", title=None, axis=alt.Axis(tickCount=8)), tooltip=[alt.Tooltip(each) for each in tips]
    )
    intervals = base.mark_rule(color=INK, strokeWidth=1.5).encode(y=y, x="low:Q", x2="high:Q")
    meanings = json.dumps(measures, ensure_ascii=False)
    text: Any = alt.expr(f"({meanings})[{chosen}]") if chosen else next(iter(measures.values()))
    title = alt.Title(text, orient="bottom", anchor="middle", fontSize=13, fontWeight="normal", offset=8)
    chart = alt.layer(bars.add_params(*choices.params), intervals).properties(title=title)
    things = len({value["label"] for value in values})
    return specification(chart, "One measure of each translator", max(80, 34 * things))
