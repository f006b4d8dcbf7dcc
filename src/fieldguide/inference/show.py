"""What the guide says of a class: every text of every source, field by field, and how many photographs there are.

  fieldguide show "Black-footed Albatross"
  fieldguide show 17 --texts gpt-6-luna
  fieldguide show --list

CLASS is a name in any spelling, a part of a name that only one class has, or a number. Without --results the newest
results under `results` are taken. Captions of single photographs are cut to the first ten; --all shows all of them.

Exit status: 0, it was shown; 1, there is no such class, and the closest are named; 2, the command was mistaken.
"""

from __future__ import annotations

import argparse
import json
import logging
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.inference.results_folder import (
    IMAGES,
    RESULTS,
    find_class,
    find_results,
    list_sources,
    read_classes,
    read_texts,
)

WIDTH = 100
CAPTIONS = 10
"""How many captions of single photographs are shown."""


def describe(results: Path, name: str, sources: Sequence[str]) -> dict[str, Any]:
    """What a results folder holds about a class; raises FieldguideError where it has no such class or source."""
    row = find_class(name, read_classes(results))
    images = read_csv(results / IMAGES, ("image_id", "path", "class_id", "split"))
    own = [image for image in images if image["class_id"] == row["class_id"]]
    texts = {}
    for source in sources or list_sources(results):
        table = read_texts(results, source)
        kept = ("image_id", "field", "text")
        texts[source] = [{key: text[key] for key in kept} for text in table.rows if text["class_id"] == row["class_id"]]
    return {
        "class_id": row["class_id"],
        "class_name": row["class_name"],
        "results": str(results),
        "images": {split: [image["path"] for image in own if image["split"] == split] for split in ("train", "test")},
        "texts": texts,
    }


def format_class(about: dict[str, Any], everything: bool) -> str:
    """The same as a person reads it."""
    train, test = about["images"]["train"], about["images"]["test"]
    lines = [f"{about['class_name']} (class {about['class_id']} of {about['results']})"]
    lines.append(f"{len(train)} training and {len(test)} test images" + (f", such as {train[0]}" if train else ""))
    for source, texts in about["texts"].items():
        of_images = any(text["image_id"] for text in texts)
        shown = texts[:CAPTIONS] if of_images and not everything else texts
        what = "captions of its photographs" if of_images else "texts"
        lines += ["", f"{source}: {len(texts)} {what}"]
        by_field: dict[str, list[str]] = {}
        for text in shown:
            by_field.setdefault("" if of_images else text["field"], []).append(" ".join(text["text"].split()))
        for field, of_field in by_field.items():
            lines += [f"  {field}"] if field else []
            for text, times in count_equal(of_field).items():
                again = f" ({times} times)" if times > 1 else ""
                how: dict[str, Any] = {
                    "initial_indent": "    - ",
                    "subsequent_indent": "      ",
                    "break_on_hyphens": False,
                }
                lines += textwrap.wrap(text + again, WIDTH, **how)
        if len(shown) < len(texts):
            lines.append(f"    … and {len(texts) - len(shown)} more (--all)")
    if not about["texts"]:
        lines += ["", "There are no texts in these results."]
    return "\n".join(lines)


def count_equal(texts: Sequence[str]) -> dict[str, int]:
    """How often each text occurs, in the order of first appearance."""
    return {text: texts.count(text) for text in dict.fromkeys(texts)}


def show(args: argparse.Namespace) -> None:
    log.setLevel(logging.WARNING)  # how long it took is not what was asked
    results = find_results(args.results)
    if args.list:
        classes = read_classes(results)
        lines = "\n".join(f"{row['class_id']:>5}  {row['class_name']}" for row in classes)
        text = json.dumps([dict(row) for row in classes], indent=1, ensure_ascii=False) if args.json else lines
    elif not args.name:
        raise FieldguideError("name a class, or give --list for all of them")
    else:
        about = describe(results, " ".join(args.name), args.texts)
        text = json.dumps(about, indent=1, ensure_ascii=False) if args.json else format_class(about, args.all)
    print(text, flush=True)


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("inference.show", __doc__)
    parser.add_argument("name", nargs="*", metavar="CLASS", help="its name, in any spelling, or its number")
    parser.add_argument("--list", action="store_true", help="the numbers and names of all classes")
    parser.add_argument("--results", type=Path, help=f"results folder; default: the newest under {RESULTS}")
    parser.add_argument("--texts", nargs="+", default=[], metavar="SOURCE", help="text sources to show; default: all")
    parser.add_argument("--all", action="store_true", help="all captions of photographs, not only the first ten")
    parser.add_argument("--json", action="store_true", help="everything as JSON")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("show", show, build_parser(), argv, resumes=False)


if __name__ == "__main__":
    main()
