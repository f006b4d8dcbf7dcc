"""Typeset tidy tables for LaTeX, as floats with booktabs: recipes, the worth of text in images, conversion accuracy.

  python -m fieldguide.tables.typeset_tables --tables tables/recipes.csv tables/image_worth.csv \\
      --settings '{"dataset": "aviary"}' --out tables

A table is known by its file's name, and `<name>.tex` is written for it. The comparison table has its own, accuracy.tex.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv, write_text
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.tables.latex import tex_file, tex_float
from fieldguide.tables.measures import DATASET_MEASURES, PAIR_MEASURES
from fieldguide.tables.page_tables import CI, Head, PageTable, plain_table, recipe_tables, worth_tables
from fieldguide.tables.results import read_frame
from fieldguide.tables.rows import SOURCE_LABELS
from fieldguide.tables.settings import Heading

ZS = "zs_translated"
"""A measure that every text source has in the table of conversion accuracy."""


def _recipes(path: Path) -> list[PageTable]:
    """A table per text source with a line per share of images: all recipes of all sources fill no paper's page."""
    return recipe_tables(read_frame(path), SOURCE_LABELS)


def _worth(path: Path) -> list[PageTable]:
    return worth_tables(read_frame(path), SOURCE_LABELS, {})


def _conversion(path: Path) -> list[PageTable]:
    """A table of measures on pairs, and one for each text source on the data set, as the Markdown has them."""
    rows = read_csv(path, ())
    columns = list(rows[0]) if rows else []
    sources = [c.removesuffix(f"_{ZS}") for c in columns if c.endswith(f"_{ZS}")]
    parts = [("on pairs that no translator learnt from", {name: head for name, (head, _) in PAIR_MEASURES.items()})]
    for source in sources:
        title = f"on the target, {SOURCE_LABELS.get(source, source)}"
        parts.append((title, {f"{source}_{name}": head for name, head in DATASET_MEASURES.items()}))
    tables = []
    for title, heads in parts if rows else []:
        kept = [c for c in columns if c == columns[0] or c.removesuffix(CI) in heads]
        table = plain_table(title, kept, rows)
        named = [heads[column] for column in kept[1:] if column in heads]
        tables.append(replace(table, heads=tuple(map(Head, named))))
    return tables


TABLES: Mapping[str, tuple[str, Callable[[Path], list[PageTable]]]] = {
    "recipes": ("Recipes and baselines, accuracy on the test images in percent and 95% interval", _recipes),
    "image_worth": ("The worth of text in labelled images per class", _worth),
    "conversion": ("Conversion accuracy of translators and 95% interval", _conversion),
}
"""What is typeset, by the name of its CSV: the beginning of its caption, and its tables."""


def typeset(path: Path, heading: Heading) -> str:
    """The LaTeX of one tidy table; without rows a file that sets nothing."""
    caption, build = TABLES[path.stem]
    floats = []
    for number, table in enumerate(build(path), start=1):
        label = f"tab:fieldguide-{path.stem.replace('_', '-')}-{number}"
        floats.append(tex_float(f"{caption}, {table.title}: {heading.dataset}.", label, [table.grid], heading.notes))
    return tex_file(floats)


def run(args: argparse.Namespace) -> None:
    heading = parse_settings(Heading, args.settings)
    for path in args.tables:
        if path.stem not in TABLES:
            raise FieldguideError(f"{path}: no table of this name is typeset; those that are: {', '.join(TABLES)}")
        write_text(args.out / f"{path.stem}.tex", typeset(path, heading))
    log.info("%d tables", len(args.tables))


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("tables.typeset_tables", __doc__)
    parser.add_argument("--tables", type=Path, nargs="+", required=True, metavar="CSV", help="tidy tables to typeset")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    add_settings(parser, Heading)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("typeset_tables", run, build_parser(), argv, imports=("pandas",))


if __name__ == "__main__":
    main()
