"""Typeset tidy tables for LaTeX, as floats with booktabs: recipes, the worth of text in images, conversion accuracy.

  python -m fieldguide.typeset_tables --tables tables/recipes.csv tables/image_worth.csv --dataset aviary --out tables

A table is known by its file's name, and `<name>.tex` is written for it. The comparison table has its own, accuracy.tex.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fieldguide.comparison import SOURCE_LABELS
from fieldguide.errors import FieldguideError
from fieldguide.files import read_csv, write_text
from fieldguide.latex import tex_file, tex_float
from fieldguide.report_page import PageTable, plain_table, recipe_table, worth_tables
from fieldguide.stage import log, new_parser, run_stage

Rows = Sequence[Mapping[str, str]]


def _recipes(rows: Rows) -> list[PageTable]:
    return [recipe_table(rows, SOURCE_LABELS, {})]


def _worth(rows: Rows) -> list[PageTable]:
    return worth_tables(rows, SOURCE_LABELS, {})


def _conversion(rows: Rows) -> list[PageTable]:
    return [plain_table("Conversion accuracy", list(rows[0]), rows)]


TABLES: Mapping[str, tuple[str, Callable[[Rows], list[PageTable]]]] = {
    "recipes": ("Recipes and baselines: accuracy on the test images in percent", _recipes),
    "image_worth": ("The worth of text in labelled images per class", _worth),
    "conversion": ("Conversion accuracy of translators", _conversion),
}
"""What is typeset, by the name of its CSV: the beginning of its caption, and its tables."""


def typeset(name: str, rows: Rows, dataset: str, notes: Sequence[str]) -> str:
    """The LaTeX of one tidy table; without rows a file that sets nothing."""
    heading, build = TABLES[name]
    floats = []
    for number, table in enumerate(build(rows) if rows else [], start=1):
        what = f", {table.title}" if name == "image_worth" else ""
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
    parser = new_parser("typeset_tables", __doc__)
    parser.add_argument("--tables", type=Path, nargs="+", required=True, metavar="CSV", help="tidy tables to typeset")
    parser.add_argument("--dataset", required=True, help="its name, for the captions")
    parser.add_argument("--note", action="append", default=[], help="a sentence of the captions; repeatable")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("typeset_tables", run, build_parser(), argv)


if __name__ == "__main__":
    main()
