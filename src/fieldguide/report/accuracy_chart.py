"""The report's chart of accuracy by share of images. Pure: from rows to a Vega-Lite specification, by Altair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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

Y_TITLE = "accuracy on the test images, %"
TIPS = {
    "column": "column",
    "recipe": "recipe",
    "sampling": "sampling",
    "redraw": "redraw",
    "budget": "budget",
    "translator": "translator",
    "texts": "texts",
    "images": "images, %",
    "accuracy": "accuracy, %",
    "interval": "95% interval",
    "seeds": "seeds",
    "distinct_images": "distinct images",
    "distinct_texts": "distinct texts",
}
"""What a point says when pointed at: the field, and its name."""
FIGURES = ("images", "accuracy", "seeds", "distinct_images", "distinct_texts")
"""Those of them that are numbers."""


def translate_labels(rows: Sequence[CellRow], words: Mapping[str, str]) -> dict[Column, str]:
    """The columns' labels, in the page's language where a column has a word in it."""
    return {column: words.get(label, label) for column, label in column_labels(row.column for row in rows).items()}


def list_points(rows: Sequence[CellRow], labels: Mapping[Column, str]) -> list[dict[str, Any]]:
    """What a line's points are drawn from."""
    return [
        {
            "column": labels[row.column],
            "source": row.text_source,
            "sampling": row.sampling,
            "redraw": row.redraw,
            "budget": row.budget,
            "recipe": row.recipe,
            "translator": row.translator,
            "texts": row.texts,
            "series": "/".join(
                (*row.series[:2], row.redraw, row.budget, row.translator, row.texts, labels[row.column])
            ),
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


def list_figures(published: Sequence[PublishedFigure], named: Mapping[str, str]) -> list[dict[str, Any]]:
    """Those of the published figures whose text source has a column here."""
    return [
        {
            "column": named[figure.text_source],
            "source": figure.text_source,
            "sampling": figure.sampling,
            "images": figure.image_percent,
            "accuracy": figure.accuracy,
            "study": f"{figure.study}, {figure.published_as}" if figure.published_as else figure.study,
            "recipe": PUBLISHED_RECIPE,
        }
        for figure in published
        if figure.text_source in named
    ]


def offer_choices(rows: Sequence[CellRow], named: Mapping[str, str]) -> Choices:
    """The controls: text source, what makes a variant, and recipe. named: labels of the text sources."""
    first = split_blocks(rows)[0].rows
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
    texts = distinct(row.texts for row in rows if not row.image_only and row.image_percent > 0)
    chosen = choices.choose("Texts", "texts", texts, texts[0] if texts else ALL)
    choices.match(chosen, "texts", f"datum.source == '{IMAGE_ONLY}' || datum.images == 0")
    return choices


def share_of_images() -> Any:
    """The horizontal axis."""
    import altair as alt

    return alt.X(
        "images:Q",
        title="images in the training set, %",
        scale=alt.Scale(domain=[0, 100]),
        axis=alt.Axis(values=list(range(0, 101, 10))),
    )


def colour_of(labels: Sequence[str]) -> Any:
    """The colours of columns, those of the figures."""
    import altair as alt

    scale = alt.Scale(domain=list(labels), range=take(PALETTE, len(labels)))
    return alt.Color("column:N", title=None, sort=None, scale=scale)


def published_line(figures: Sequence[Mapping[str, Any]], test: str, labels: Sequence[str]) -> Any:
    """The published figures as a dotted line."""
    import altair as alt

    return (
        alt.Chart(alt.Data(values=list(figures)))
        .transform_filter(test)
        .mark_line(strokeDash=[1, 3], strokeWidth=1.5, point={"filled": False, "size": 40, "fill": "transparent"})
        .encode(
            x=share_of_images(),
            y=alt.Y("accuracy:Q", title=Y_TITLE),
            color=colour_of(labels),
            detail="sampling:N",
            tooltip=[alt.Tooltip(f"{f}:N") for f in ("study", "sampling", "column", "images", "accuracy")],
        )
    )


def accuracy_chart(
    rows: Sequence[CellRow],
    published: Sequence[PublishedFigure] = (),
    words: Mapping[str, str] = {},
) -> dict[str, Any]:
    """Accuracy by share of images: a line per column with its interval as a band, published figures dotted."""
    import altair as alt

    rows = [row for row in rows if not row.is_baseline] or list(rows)
    labels = translate_labels(rows, words)
    named = {column.text_source: label for column, label in labels.items()}
    shown, recipes = list(labels.values()), distinct(row.recipe for row in rows)
    choices = offer_choices(rows, named)

    x, colour = share_of_images(), colour_of(shown)
    legend = alt.selection_point(fields=["column"], bind="legend", name="accuracy_legend")
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
        scale=alt.Scale(domain=shown, range=take(SHAPES, len(shown))),
    )
    bold = alt.when(legend).then(alt.value(1)).otherwise(alt.value(QUIET / 2))
    base = alt.Chart(alt.Data(values=list_points(rows, labels))).transform_filter(choices.test)
    scale = alt.Scale(zero=False)
    band = base.mark_area().encode(
        x=x,
        y=alt.Y("low:Q", title=Y_TITLE, scale=scale),
        y2="high:Q",
        color=colour,
        detail="series:N",
        opacity=alt.when(legend).then(alt.value(BAND)).otherwise(alt.value(BAND / 8)),
    )
    line = base.mark_line(strokeWidth=2).encode(
        x=x, y=alt.Y("accuracy:Q", title=Y_TITLE), color=colour, strokeDash=dash, detail="series:N", opacity=bold
    )
    points = base.mark_point(filled=True, size=55).encode(
        x=x,
        y=alt.Y("accuracy:Q", title=Y_TITLE),
        color=colour,
        shape=shape,
        opacity=bold,
        tooltip=[
            alt.Tooltip(f"{field}:{'Q' if field in FIGURES else 'N'}", title=title) for field, title in TIPS.items()
        ],
    )
    empty = (
        base.transform_aggregate(cells="count()")
        .transform_filter("datum.cells == 0")
        .mark_text(color=INK, fontSize=14, text="No cell of the table is of this kind.")
        .encode(x=alt.value("width"), y=alt.value("height"))
    )
    layers = [band, line, points, empty]
    if figures := list_figures(published, named):
        ticked = choices.tick("Published figures", "published")
        about = [test for test in choices.tests if "source" in test or "sampling" in test]
        layers.append(published_line(figures, " && ".join([*about, ticked]), shown))
    points = points.add_params(legend, *choices.params)
    chart = alt.layer(*[points if layer is layers[2] else layer for layer in layers])
    return specification(chart, "Accuracy on the test images by share of images in the training set")
