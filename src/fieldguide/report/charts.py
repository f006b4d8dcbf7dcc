"""The report's interactive charts as Vega-Lite specifications, by Altair. Pure: from rows to specifications."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fieldguide.core.plotting import COLOURS
from fieldguide.report.chart_parts import (
    ALL,
    BAND,
    DASHES,
    INK,
    PALETTE,
    QUIET,
    SHAPES,
    Choices,
    specification,
    take,
)
from fieldguide.tables.rows import (
    IMAGE_ONLY,
    PUBLISHED_RECIPE,
    CellRow,
    Column,
    PublishedFigure,
    column_labels,
    distinct,
    split_blocks,
)

if TYPE_CHECKING:
    import pandas as pd

FEWEST = 5
"""Classes that a mean over classes needs to be drawn."""


def translate_labels(rows: Sequence[CellRow], words: Mapping[str, str]) -> dict[Column, str]:
    """The columns' labels, in the page's language where a column has a word in it."""
    return {column: words.get(label, label) for column, label in column_labels(row.column for row in rows).items()}


def accuracy_chart(
    rows: Sequence[CellRow],
    published: Sequence[PublishedFigure] = (),
    words: Mapping[str, str] = {},
) -> dict[str, Any]:
    """Accuracy by share of images: a line per column with its interval as a band, published figures dotted."""
    import altair as alt

    rows = [row for row in rows if not row.is_baseline] or list(rows)
    labels = translate_labels(rows, words)
    first = split_blocks(rows)[0].rows
    recipes, columns = distinct(row.recipe for row in rows), list(labels)
    values = [
        {
            "column": labels[row.column],
            "source": row.text_source,
            "sampling": row.sampling,
            "redraw": row.redraw,
            "budget": row.budget,
            "recipe": row.recipe,
            "translator": row.translator,
            "series": "/".join((*row.series[:2], row.redraw, row.budget, row.translator, labels[row.column])),
            "images": row.image_percent,
            "accuracy": round(row.accuracy_mean, 2),
            "low": round(max(0.0, row.accuracy_mean - (row.accuracy_ci95 or 0)), 2),
            "high": round(min(100.0, row.accuracy_mean + (row.accuracy_ci95 or 0)), 2),
            "interval": "one seed" if row.accuracy_ci95 is None else f"± {row.accuracy_ci95:.2f}",
            "seeds": row.n_seeds,
            "distinct_images": row.distinct_images,
            "distinct_texts": row.distinct_texts,
        }
        for row in rows
    ]
    named = {column.text_source: label for column, label in labels.items()}
    choices = Choices("accuracy")
    sources = [s for s in distinct(row.text_source for row in rows) if s != IMAGE_ONLY]
    source = choices.choose("Text source", "source", sources, ALL, named)
    beside = choices.tick("Image only beside it", "beside") if source and IMAGE_ONLY in named else ""
    if source:
        choices.match(source, "source", f"(datum.source == '{IMAGE_ONLY}')" if beside else "")
        if beside:
            choices.tests.append(f"({beside} || datum.source != '{IMAGE_ONLY}')")
    for name, field in (("Sampling", "sampling"), ("Redraw", "redraw"), ("Budget", "budget"), ("Recipe", "recipe")):
        options = distinct(str(getattr(row, field)) for row in rows)
        # Recipes are there to be compared; of what makes a variant the first one is shown.
        start = ALL if field in ("recipe", "budget") else str(getattr(first[0], field))
        choices.match(choices.choose(name, field, options, start), field)
    translators = distinct(row.translator for row in rows if not row.image_only)
    start = next((row.translator for row in first if not row.image_only), ALL)
    chosen = choices.choose("Translator", "translator", translators, start)
    choices.match(chosen, "translator", f"datum.source == '{IMAGE_ONLY}'")

    legend = alt.selection_point(fields=["column"], bind="legend", name="accuracy_legend")
    x = alt.X(
        "images:Q",
        title="images in the training set, %",
        scale=alt.Scale(domain=[0, 100]),
        axis=alt.Axis(values=list(range(0, 101, 10))),
    )
    y_title = "accuracy on the test images, %"
    colour = alt.Color(
        "column:N",
        title=None,
        sort=None,
        scale=alt.Scale(domain=[labels[c] for c in columns], range=take(PALETTE, len(columns))),
    )
    dash = alt.StrokeDash(
        "recipe:N",
        title=None,
        scale=alt.Scale(domain=recipes, range=take(DASHES, len(recipes))),
        legend=alt.Legend(symbolType="stroke", symbolSize=400) if len(recipes) > 1 else None,
    )
    shape = alt.Shape(
        "column:N",
        title=None,
        sort=None,
        scale=alt.Scale(domain=[labels[c] for c in columns], range=take(SHAPES, len(columns))),
    )
    bold = alt.when(legend).then(alt.value(1)).otherwise(alt.value(QUIET / 2))
    base = alt.Chart(alt.Data(values=values)).transform_filter(choices.test)
    scale = alt.Scale(zero=False)
    band = base.mark_area().encode(
        x=x,
        y=alt.Y("low:Q", title=y_title, scale=scale),
        y2="high:Q",
        color=colour,
        detail="series:N",
        opacity=alt.when(legend).then(alt.value(BAND)).otherwise(alt.value(BAND / 8)),
    )
    line = base.mark_line(strokeWidth=2).encode(
        x=x, y=alt.Y("accuracy:Q", title=y_title), color=colour, strokeDash=dash, detail="series:N", opacity=bold
    )
    tips = (
        ("column", "column"),
        ("recipe", "recipe"),
        ("sampling", "sampling"),
        ("redraw", "redraw"),
        ("budget", "budget"),
        ("translator", "translator"),
        ("images", "images, %"),
        ("accuracy", "accuracy, %"),
        ("interval", "95% interval"),
        ("seeds", "seeds"),
        ("distinct_images", "distinct images"),
        ("distinct_texts", "distinct texts"),
    )
    points = base.mark_point(filled=True, size=55).encode(
        x=x,
        y=alt.Y("accuracy:Q", title=y_title),
        color=colour,
        shape=shape,
        opacity=bold,
        tooltip=[alt.Tooltip(f"{field}:{kind_of(field)}", title=title) for field, title in tips],
    )
    empty = (
        base.transform_aggregate(cells="count()")
        .transform_filter("datum.cells == 0")
        .mark_text(color=INK, fontSize=14, text="No cell of the table is of this kind.")
        .encode(x=alt.value("width"), y=alt.value("height"))
    )
    layers = [band, line, points, empty]
    figures = [
        {
            "column": named[figure.text_source],
            "source": figure.text_source,
            "sampling": figure.sampling,
            "images": figure.image_percent,
            "accuracy": figure.accuracy,
            "study": figure.study,
            "recipe": PUBLISHED_RECIPE,
        }
        for figure in published
        if figure.text_source in named
    ]
    if figures:
        shown = choices.tick("Published figures", "published")
        about = [test for test in choices.tests if "source" in test or "sampling" in test]
        other = (
            alt.Chart(alt.Data(values=figures))
            .transform_filter(" && ".join([*about, shown]))
            .mark_line(strokeDash=[1, 3], strokeWidth=1.5, point={"filled": False, "size": 40, "fill": "transparent"})
            .encode(
                x=x,
                y=alt.Y("accuracy:Q", title=y_title),
                color=colour,
                detail="sampling:N",
                tooltip=[alt.Tooltip(f"{f}:N") for f in ("study", "sampling", "column", "images", "accuracy")],
            )
        )
        layers.append(other)
    points = points.add_params(legend, *choices.params)
    chart = alt.layer(*[points if layer is layers[2] else layer for layer in layers])
    return specification(chart, "Accuracy on the test images by share of images in the training set")


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


def kind_of(field: str) -> str:
    """Vega's type of a tooltip's field."""
    return "Q" if field in ("images", "accuracy", "seeds", "distinct_images", "distinct_texts") else "N"
