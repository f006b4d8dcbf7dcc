"""The report's table and chart of conversion accuracy, from conversion.csv. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fieldguide.tables.page_tables import CI, as_number


def measures_of(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The columns of figures that differ between rows: what a chart of the table can show."""
    return [
        column
        for column in columns[1:]
        if len({row[column] for row in rows}) > 1
        and all(as_number(row[column]) is not None or not row[column] for row in rows)
        if not column.endswith((CI, "_seeds"))
    ]


def bar_values(label: str, measures: Sequence[str], rows: Sequence[Mapping[str, str]]) -> list[dict[str, object]]:
    """What a chart of measures is drawn from: a record per row and measure, with its interval where it has one."""
    values: list[dict[str, object]] = []
    for measure in measures:
        for row in rows:
            value, width = as_number(row[measure]), as_number(row.get(measure + CI, "")) or 0.0
            if value is not None:
                which = {"label": row[label], "measure": measure.replace("_", " "), "value": value}
                values.append({**which, "low": value - width, "high": value + width})
    return values
