"""Typeset tidy tables for LaTeX, as floats with booktabs: recipes, the worth of text in images, conversion accuracy.

  python -m fieldguide.tables.typeset_tables --tables tables/recipes.csv tables/image_worth.csv --dataset aviary --out tables

A table is known by its file's name, and `<name>.tex` is written for it. The comparison table has its own, accuracy.tex.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv, write_text
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.report.report_page import CI, EMPTY, Entry, Head, PageTable, plain_table, shares, worth_tables
from fieldguide.tables.comparison import SOURCE_LABELS, format_accuracy
from fieldguide.tables.latex import tex_file, tex_float
from fieldguide.tables.tabulate_conversion import PAIR_MEASURES, TARGET_MEASURES

Rows = Sequence[Mapping[str, str]]
ZS = "zs_translated"
"""A measure that every text source has in the table of conversion accuracy."""


def _recipes(rows: Rows) -> list[PageTable]:
    """A table per text source with a line per share of images: all recipes of all sources fill no paper's page."""
    tables = []
    for source in dict.fromkeys(row["text_source"] for row in rows):
        told = [row for row in rows if row["text_source"] == source]
        recipes = list(dict.fromkeys(row["recipe"] for row in told))
        lines: dict[float, dict[str, Entry]] = {}
        for row in told:
            width = float(row["accuracy_ci95"]) if row["accuracy_ci95"] else None
            entry = Entry(format_accuracy(float(row["accuracy_mean"]), width))
            lines.setdefault(float(row["image_percent"]), {})[row["recipe"]] = entry
        cells = tuple((shares(p), tuple(lines[p].get(r, EMPTY) for r in recipes)) for p in sorted(lines, reverse=True))
        title = SOURCE_LABELS.get(source, source)
        tables.append(PageTable(title, "images:text", tuple(map(Head, recipes)), cells))
    return tables


def _worth(rows: Rows) -> list[PageTable]:
    return worth_tables(rows, SOURCE_LABELS, {})


def _conversion(rows: Rows) -> list[PageTable]:
    """A table of measures on pairs, and one for each text source on the target, as the Markdown has them."""
    columns = list(rows[0])
    sources = [c.removesuffix(f"_{ZS}") for c in columns if c.endswith(f"_{ZS}")]
    parts = [("on pairs that no translator learnt from", {name: head for name, (head, _) in PAIR_MEASURES.items()})]
    for source in sources:
        title = f"on the target, {SOURCE_LABELS.get(source, source)}"
        parts.append((title, {f"{source}_{name}": head for name, head in TARGET_MEASURES.items()}))
    tables = []
    for title, heads in parts:
        kept = [c for c in columns if c == columns[0] or c.removesuffix(CI) in heads]
        table = plain_table(title, kept, rows)
        named = [heads[column] for column in kept[1:] if column in heads]
        tables.append(replace(table, heads=tuple(map(Head, named))))
    return tables


TABLES: Mapping[str, tuple[str, Callable[[Rows], list[PageTable]]]] = {
    "recipes": ("Recipes and baselines, accuracy on the test images in percent and 95% interval", _recipes),
    "image_worth": ("The worth of text in labelled images per class", _worth),
    "conversion": ("Conversion accuracy of translators and 95% interval", _conversion),
}
"""What is typeset, by the name of its CSV: the beginning of its caption, and its tables."""


def typeset(name: str, rows: Rows, dataset: str, notes: Sequence[str]) -> str:
    """The LaTeX of one tidy table; without rows a file that sets nothing."""
    heading, build = TABLES[name]
    floats = []
    for number, table in enumerate(build(rows) if rows else [], start=1):
        what = f", {table.title}"
        label = f"tab:fieldguide-{name.replace('_', '-')}-{number}"
        floats.append(tex_float(f"{heading}{what}: {dataset}.", label, [table.grid], notes))
    return tex_file(floats)


def run(args: argparse.Namespace) -> None:
    notes = [note for note in args.note if note]
    for path in args.tables:
        if path.stem not in TABLES:
            raise FieldguideError(f"{path}: no table of this name is typeset; those that are: {', '.join(TABLES)}")
        write_text(args.out / f"{path.stem}.tex", typeset(path.stem, read_csv(path, ()), args.dataset, notes))
    log.info("%d tables", len(args.tables))


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("tables.typeset_tables", __doc__)
    parser.add_argument("--tables", type=Path, nargs="+", required=True, metavar="CSV", help="tidy tables to typeset")
    parser.add_argument("--dataset", required=True, help="its name, for the captions")
    parser.add_argument("--note", action="append", default=[], help="a sentence of the captions; repeatable")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("typeset_tables", run, build_parser(), argv)


if __name__ == "__main__":
    main()
