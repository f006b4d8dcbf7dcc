"""Take the published figures where this data set is the one that they are of: it has exactly their classes.

  python -m fieldguide.tables.select_published --classes records/classes.csv --of cub_classes.txt \\
      --figures published.csv --out records/published.csv

Of another data set nothing but the header is written, and the log says why: figures stand beside a data set by what it
is, and not by what it or its folder is called. Where a text source of ours stands in the place of a study's, its name
stands in `text_source`, and the study's in `published_as`.
"""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path

from fieldguide.core.errors import FieldguideError, name_some
from fieldguide.core.files import read_csv, write_csv
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.tables.rows import PUBLISHED_AS, PUBLISHED_COLUMNS
from fieldguide.tables.settings import PublishedSettings


def describe_difference(ours: Collection[str], theirs: Collection[str]) -> str:
    """How two sets of classes differ, in words; empty where they are the same."""
    parts = [
        f"{name_some(names)} {what}"
        for names, what in (
            (sorted(set(theirs) - set(ours)), "missing here"),
            (sorted(set(ours) - set(theirs)), "not among theirs"),
        )
        if names
    ]
    return "; ".join(parts)


def select_published(args: argparse.Namespace) -> None:
    """Compare the classes and write the figures, or none."""
    theirs = [line.strip() for line in args.of.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not theirs:
        raise FieldguideError(f"{args.of}: lists no class; name one a line, as classes.txt of the data set does")
    ours = [row["folder"] for row in read_csv(args.classes, ("folder",))]
    figures = read_csv(args.figures, PUBLISHED_COLUMNS)
    ours_of = {theirs: ours for ours, theirs in parse_settings(PublishedSettings, args.settings).sources.items()}
    if difference := describe_difference(ours, theirs):
        log.info("%s: not about these classes (%s), so none are compared with ours", args.figures, difference)
        figures = []
    else:
        log.info("%s: %d figures about these %d classes", args.figures, len(figures), len(ours))
    rows = [
        {**figure, "text_source": ours_of[theirs], PUBLISHED_AS: theirs}
        if theirs in ours_of
        else {column: figure[column] for column in PUBLISHED_COLUMNS}
        for figure in figures
        for theirs in [figure["text_source"]]
    ]
    write_csv(args.out, (*PUBLISHED_COLUMNS, PUBLISHED_AS) if ours_of else PUBLISHED_COLUMNS, rows)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("tables.select_published", __doc__)
    parser.add_argument("--classes", type=Path, required=True, help="table of this data set's classes")
    parser.add_argument("--of", type=Path, required=True, help="the classes that the figures are of, a name a line")
    parser.add_argument("--figures", type=Path, required=True, help="the published figures, CSV")
    parser.add_argument("--out", type=Path, required=True, help="the figures to compare with ours, CSV")
    add_settings(parser, PublishedSettings)
    run_stage("select_published", select_published, parser, argv)


if __name__ == "__main__":
    main()
