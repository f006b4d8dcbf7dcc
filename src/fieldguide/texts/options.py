"""Where text sources lie, as stages take them on their command line. Imports no numeric library."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

NO_FILE = "-"
"""The word for a feature file that is not read."""


class SourceFiles(NamedTuple):
    """Where a text source lies: its table, and its features, translated or as they are, where they are read."""

    name: str
    table: Path
    translated: Path | None
    raw: Path | None = None


class SourceAction(argparse.Action):
    """Takes the words of one `--source` and appends its SourceFiles."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        name, table, *features = ["" if word == NO_FILE else word for word in (*(values or ()), "", "")][:4]
        if not 3 <= len(values or ()) <= 4 or not table or not any(features):
            parser.error(f"{option_string} {' '.join(values or ())!r} is not NAME TABLE TRANSLATED [RAW]")
        translated, raw = (Path(file) if file else None for file in (*features, "", "")[:2])
        files = SourceFiles(name, Path(table), translated, raw)
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or []), files])


def add_source_option(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """Add `--source NAME TABLE TRANSLATED [RAW]`, once for each text source; `args.source` is a list of SourceFiles.

    TRANSLATED and RAW are feature files; either may be `-`, for none.
    """
    parser.add_argument(
        "--source",
        action=SourceAction,
        nargs="+",
        required=required,
        default=[],
        metavar=("NAME", "TABLE TRANSLATED [RAW]"),
        help="a text source: its name, its table and its feature files, translated and as they are; - for none",
    )
