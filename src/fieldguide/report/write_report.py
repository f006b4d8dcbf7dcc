"""Write the report: one page with the tables, curves, confused classes, costs and provenance, that needs nothing else.

  python -m fieldguide.report.write_report --cells adapters/…/ratio-10.json … --tables tables/accuracy.csv … \\
      --records records/images.csv --classes records/classes.csv --settings '{"dataset": "aviary"}' --out report.html

The page opens from disk and asks for nothing: Vega (by vl-convert-python) and DataTables (by itables) stand in it, and
photographs are in it as thumbnails. Of --tables whatever is there is shown by its name; where one is missing the page
says so.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv, write_text
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.data.image_store import open_image_store
from fieldguide.report.accuracy_chart import accuracy_chart
from fieldguide.report.accuracy_tables import choose_terms, comparison_tables, describe_worths, recipe_table
from fieldguide.report.charts import bar_chart, class_chart
from fieldguide.report.confusions import Photographs, find_confusions
from fieldguide.report.headings import headings
from fieldguide.report.measures import bar_values, measures_of
from fieldguide.report.page import Page, embed_json, render
from fieldguide.report.provenance import cost_table, find_costs, find_provenance
from fieldguide.report.settings import ReportSettings
from fieldguide.tables.differences import find_differences, format_legend, mark_cells
from fieldguide.tables.image_worth import find_worth
from fieldguide.tables.intervals import ONE_SEED, describe_interval
from fieldguide.tables.measures import describe_measure
from fieldguide.tables.page_tables import PageTable, plain_table, worth_tables
from fieldguide.tables.results import (
    accuracies_by_cell,
    count_training_images,
    read_cells,
    read_frame,
    summarise,
    to_rows,
)
from fieldguide.tables.rows import IMAGE_ONLY, column_labels, read_published
from fieldguide.tables.tested_images import read_tested_images

if TYPE_CHECKING:
    import pandas as pd

MOST_POINTS = 15_000
"""Points of the chart of classes; beyond, it keeps every other ratio, so that the page stays small and quick."""
MAX_BYTES = 10_000_000
"""Bytes of the page, which has to open at once and to go by mail."""
FURTHER = {
    "conversion_fields": "Conversion accuracy by field of the text",
    "controls": "Text beside its controls: whether a gain is the text's own",
    "differences": "Differences between columns, paired by seed",
    "sampling": "Sampling, redraw and budget",
    "probe": "Logistic regression on the same features",
}


def thin(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The rows of classes.csv that the chart of classes shows, and the sentence on those that it leaves out."""
    left = rows
    while len(left) > MOST_POINTS:
        ratios = sorted(left["image_percent"].unique(), reverse=True)
        if len(ratios) < 3:
            break
        left = left[left["image_percent"].isin(ratios[::2])]
    if len(left) == len(rows):
        return rows, ""
    shown = ", ".join(f"{ratio:g}" for ratio in sorted(left["image_percent"].unique(), reverse=True))
    return left, f"The chart shows {shown}% of the images; tables/classes.csv has every ratio."


def tabulate_conversion(path: Path) -> tuple[PageTable | None, str]:
    """The table of conversion accuracy and its chart, as JSON; none of a table without rows, or without measures."""
    rows = read_csv(path, ())
    if not rows:
        return None, ""
    columns = list(rows[0])
    measures = measures_of(columns, rows)
    table = plain_table("Conversion accuracy", columns, rows, {column: describe_measure(column) for column in measures})
    if not measures:
        return table, ""
    meanings = {measure.replace("_", " "): describe_measure(measure) for measure in measures}
    return table, embed_json(bar_chart(bar_values(columns[0], measures, rows), meanings, "conversion"))


def build_page(args: argparse.Namespace, settings: ReportSettings) -> Page:
    """Read what there is and put the page together."""
    tables = {path.stem: path for path in args.tables}
    cells = read_cells(args.cells)
    summary = summarise(cells)
    rows = to_rows(summary)
    published = read_published(args.published) if args.published else []
    labels = {column.text_source: label for column, label in column_labels(row.column for row in rows).items()}
    words = headings(settings.language, labels)
    tested = read_tested_images(cells)
    differences = find_differences(cells, tested)
    marks = mark_cells(differences)
    over_images = tested.half_widths(accuracies_by_cell(cells)) if tested else {}
    frames = {
        name: frame
        for name in ("recipes", "classes", "confusions")
        if name in tables and len(frame := read_frame(tables[name]))
    }
    shown: dict[str, Any] = {"charts": {"accuracy": embed_json(accuracy_chart(rows, published, words))}}
    terms = [str(value) for row in rows for value in row]

    if "conversion" in tables:
        shown["conversion"], chart = tabulate_conversion(tables["conversion"])
        shown["charts"] |= {"conversion": chart} if chart else {}
    if "classes" in frames:
        thinned, shown["class_note"] = thin(frames["classes"])
        translated = {name: words.get(label, label) for name, label in labels.items()}
        shown["charts"]["classes"] = embed_json(class_chart(thinned, translated))
    if "confusions" in frames:
        store = open_image_store(args.photographs) if args.photographs else None
        images = read_csv(args.records, ("image_id", "path")) if store else []
        photographs = Photographs(store, {row["image_id"]: row["path"] for row in images})
        shown["has_photographs"] = store is not None
        shown["confusions"] = find_confusions(
            rows, frames["confusions"], args.records, photographs, args.texts, settings.pairs
        )
    if "recipes" in frames:
        shown["recipes"] = recipe_table(frames["recipes"], labels, words)
        terms += frames["recipes"]["recipe"].tolist()
    if "image_worth" in tables:
        training = count_training_images(args.records)
        worth, _ = find_worth(cells, training, tested)
        sentences = describe_worths(worth, labels, training)
        shown["worth"] = tuple(worth_tables(worth, labels, words, sentences))
    names = [row["class_name"] for row in read_csv(args.classes, ("class_name",))]
    if costs := find_costs(settings.sources, names, settings.thing):
        shown["costs"] = cost_table(costs)
    further = ((title, read_csv(tables[name], ())) for name, title in FURTHER.items() if name in tables)
    seeds = cells["seed"].unique()
    has_translator = any(row.translator != IMAGE_ONLY for row in rows)
    interval = f"± half-width of the {describe_interval(None, has_translator)}" if len(seeds) > 1 else ONE_SEED
    if over_images:
        interval += "; pointing at an accuracy shows the interval over seeds and test images"
    facts = (
        ("Backbone", rows[0].backbone),
        ("Translators", ", ".join(sorted({row.translator for row in rows} - {IMAGE_ONLY})) or IMAGE_ONLY),
        ("Seeds", f"{len(seeds)} ({', '.join(map(str, seeds))})"),
        ("Cells", f"accuracy on the test images in percent, {interval}"),
    )
    files = [*args.tables, *(Path(path) for _, path in args.texts)]
    return Page(
        title=f"Accuracy by share of images: {settings.dataset}",
        language=settings.language,
        notes=settings.notes,
        facts=facts,
        comparison=tuple(comparison_tables(cells, published, marks, words, over_images)),
        legend=format_legend(marks.values(), differences),
        provenance=find_provenance(settings.dataset, cells, files, settings.configuration),
        further=tuple(plain_table(title, list(found[0]), found) for title, found in further if found),
        terms=choose_terms(terms),
        **shown,
    )


def run(args: argparse.Namespace) -> None:
    page = render(build_page(args, parse_settings(ReportSettings, args.settings)))
    size = len(page.encode())
    if size > MAX_BYTES:
        raise FieldguideError(
            f"{args.out}: would be of {size / 1e6:.1f} MB, more than {MAX_BYTES / 1e6:.0f}; show fewer confused pairs "
            "by the setting `pairs`"
        )
    write_text(args.out, page)
    log.info("%s: %.1f MB, %d cells, %d tables", args.out, size / 1e6, len(args.cells), len(args.tables))


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("report.write_report", __doc__)
    parser.add_argument("--cells", nargs="+", required=True, metavar="JSON", help="the table's cells, one JSON each")
    parser.add_argument(
        "--tables", nargs="*", type=Path, default=[], metavar="CSV", help="tables, known by their names"
    )
    parser.add_argument("--records", type=Path, required=True, help="records/images.csv")
    parser.add_argument("--classes", type=Path, required=True, help="records/classes.csv")
    parser.add_argument("--photographs", nargs="?", metavar="FOLDER", help="where the images lie; none: without them")
    parser.add_argument(
        "--texts", nargs=2, action="append", default=[], metavar=("NAME", "TABLE"), help="a text source; repeatable"
    )
    parser.add_argument(
        "--published", type=Path, nargs="?", metavar="CSV", help="published figures to compare with ours"
    )
    parser.add_argument("--out", type=Path, required=True, help="the page to write")
    add_settings(parser, ReportSettings)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    imports = ("pandas", "scipy.special", "altair", "vl_convert", "PIL.Image")
    run_stage("write_report", run, build_parser(), argv, imports=imports)


if __name__ == "__main__":
    main()
