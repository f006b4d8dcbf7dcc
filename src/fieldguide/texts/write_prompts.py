"""Write texts that are made of class names, for zero-shot: the names alone, or before each text of a source.

  python -m fieldguide.texts.write_prompts --classes records/classes.csv --out texts/class-names.csv
  python -m fieldguide.texts.write_prompts --classes records/classes.csv --texts texts/gpt-6-luna.csv \\
      --out texts/gpt-6-luna-with-names.csv

Alone: `a photo of a Laysan Albatross.`, as CLIP was evaluated. With texts: `a photo of a Laysan Albatross, ` and the
text, so that the visual attributes that an LLM gives follow the name; a text that has the name already stays as it is.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.data.records import CLASS_COLUMNS
from fieldguide.texts.naming import add_name
from fieldguide.texts.table import TextRow, read_texts, write_texts

NAME_ONLY = "a photo of a {class_name}.{text}"
NAME_AND_TEXT = "a photo of a {class_name}, {text}"


def write_prompts(args: argparse.Namespace) -> None:
    """One row per class, or one per text of the source."""
    names = {row["class_id"]: row["class_name"] for row in read_csv(args.classes, CLASS_COLUMNS)}
    if args.texts is None:
        rows = [TextRow(class_id, name, "", "name", add_name("", name, NAME_ONLY)) for class_id, name in names.items()]
    else:
        texts = read_texts(args.texts)
        if unknown := sorted({row.class_id for row in texts} - names.keys()):
            raise FieldguideError(f"{args.texts}: class_id {unknown[0]} is not in {args.classes}; make both anew")
        rows = [row._replace(text=add_name(row.text, names[row.class_id], NAME_AND_TEXT)) for row in texts]
    write_texts(args.out, rows)
    log.info("%d texts with the names of %d classes, to %s", len(rows), len(names), args.out)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("texts.write_prompts", __doc__)
    parser.add_argument("--classes", type=Path, required=True, help="records/classes.csv")
    parser.add_argument(
        "--texts", type=Path, nargs="?", help="text table to put names into; without one the names alone are written"
    )
    parser.add_argument("--out", type=Path, required=True, help="text table to write")
    run_stage("write_prompts", write_prompts, parser, argv)


if __name__ == "__main__":
    main()
