"""Make an LLM's texts by replaying its ledger: for every class the first replies to the question, field by field.

Replies are Markdown with a label per field; `**Size**: …`, `- **Size:** …`, `1. Size: …` and `### Size` are all read.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fieldguide.errors import FieldguideError
from fieldguide.files import read_csv, write_csv
from fieldguide.ledger import LedgerRecord, read_ledger, replies_by_key, request_for, request_key
from fieldguide.stage import log, new_parser, run_stage

COLUMNS = ("class_id", "class_name", "image_id", "field", "text")

_LABEL = re.compile(
    r"""(?P<indent>\s*)
    (?P<heading>\#{1,6}\s+)?
    (?P<item>[-*+•]\s+|\d+[.)]\s+)?
    (?P<bold>\*\*|__)?(?:\d+[.)]\s+)?
    (?P<name>[A-Za-z][A-Za-z /&-]{0,39}?)\s*
    (?P<colon>:)?
    (?(bold)(?P=bold))
    \s*(?P<late_colon>:|[–—-](?=\s))?
    (?P<text>(?:(?<=:)|\s).*|$)""",
    re.VERBOSE,
)
_BULLET = re.compile(r"^\s*(?:[-*+•]|\d+[.)])\s+")
_EMPHASIS = re.compile(r"(\*\*|__|`|(?<!\w)[*_](?=\S)|(?<=\S)[*_](?!\w))")


class Style(NamedTuple):
    """How a label is set; a reply's labels all look alike, which tells them from bold words in the text."""

    indent: int
    heading: bool
    item: str  # "", "-", "1." and so on; all numbers are "1"
    bold: bool


class Label(NamedTuple):
    """A line that opens a field: its name, how it is set and the text that follows on the line."""

    name: str
    style: Style
    text: str


def read_label(line: str) -> Label | None:
    """The label that a line begins with, if any: a heading, a bold word or a word with a colon."""
    found = _LABEL.fullmatch(line)
    if found is None or not (found["heading"] or found["bold"] or found["colon"] or found["late_colon"] == ":"):
        return None
    item = re.sub(r"\d+", "1", (found["item"] or "").strip())
    style = Style(len(found["indent"]), bool(found["heading"]), item, bool(found["bold"]))
    return Label(found["name"].strip(), style, found["text"])


def plain(lines: Iterable[str]) -> str:
    """Lines of Markdown as one line of plain text."""
    text = " ".join(_EMPHASIS.sub("", _BULLET.sub("", line, count=1)) for line in lines)
    return " ".join(text.split())


def without_closing_remark(lines: Sequence[str], label: Label) -> list[str]:
    """The last field's lines without a paragraph that stands after it and belongs to no field.

    Under a heading every paragraph belongs to the field; after a label in the line only the first does.
    """
    kept: list[str] = []
    for line in lines:
        after_blank = bool(kept) and not kept[-1].strip() and any(one.strip() for one in kept)
        goes_on = label.style.heading or line[:1].isspace() or _BULLET.match(line)
        if line.strip() and after_blank and not goes_on:
            break
        kept.append(line)
    return kept


class Section(NamedTuple):
    """A label and its lines; `field` is None for one that nobody asked for."""

    field: str | None
    label: Label
    lines: list[str]


def split_reply(reply: str, fields: Sequence[str]) -> list[Section]:
    """The reply cut at its labels; what stands before the first is left out."""
    wanted = {field.casefold(): field for field in fields}
    sections: list[Section] = []
    for line in reply.splitlines():
        if line.lstrip().startswith("```"):
            continue
        label = read_label(line)
        field = wanted.get(label.name.casefold()) if label else None
        if label and (field or (sections and label.style == sections[-1].label.style)):
            sections.append(Section(field, label, [label.text]))
        elif sections:
            sections[-1].lines.append(line)
    if sections:
        last = sections[-1]
        sections[-1] = last._replace(lines=without_closing_remark(last.lines, last.label))
    return sections


def parse_reply(reply: str, fields: Sequence[str]) -> dict[str, str]:
    """The text of each field that the reply has, as plain text; a field that it lacks is absent, an empty one empty."""
    texts: dict[str, str] = {}
    for field, _, lines in split_reply(reply, fields):
        if field is not None:
            texts[field] = " ".join(filter(None, (texts.get(field), plain(lines))))
    return texts


def reply_texts(reply: str, fields: Sequence[str], where: str) -> list[str]:
    """The reply's texts in the order of `fields`; raises FieldguideError naming the first field it fails."""
    found = parse_reply(reply, fields)
    for field in fields:
        if field not in found:
            raise FieldguideError(
                f"{where}: lacks the field {field!r} (it has {', '.join(found) or 'none of those asked for'});"
                " remove that line from the ledger, or name other fields"
            )
        if not any(character.isalnum() for character in found[field]):
            raise FieldguideError(f"{where}: its field {field!r} is empty; remove that line from the ledger")
    return [found[field] for field in fields]


# ---------------------------------------------------------------- the stage


def refuse_missing(missing: Mapping[str, int], ledger: Path, source: str, records: Sequence[LedgerRecord]) -> None:
    """Refuse to go on without replies: which classes, how many, and where replies can come from."""
    if not missing:
        return
    named = [f"{name} ({count})" for name, count in list(missing.items())[:8]]
    more = f" and {len(missing) - len(named)} more" if len(missing) > len(named) else ""
    if not ledger.exists():
        state = "there is no such file"
    elif any(record.class_name in missing for record in records):
        state = "it has replies about such classes, perhaps to another model, prompt, field list or parameters"
    else:
        state = f"it holds {len(records)} replies"
    raise FieldguideError(
        f"{ledger}: {sum(missing.values())} replies are missing, for {len(missing)} classes: {', '.join(named)}{more};"
        f" {state}. The live client is not part of this version; bring a ledger along by `texts.{source}.ledger`"
    )


def text_rows(
    classes: Sequence[Mapping[str, str]], replies: Mapping[str, Sequence[str]], fields: Sequence[str], ledger: Path
) -> list[dict[str, str]]:
    """The rows of the table: classes by id, then replies, then fields in order."""
    return [
        {"class_id": one["class_id"], "class_name": one["class_name"], "image_id": "", "field": field, "text": text}
        for one in sorted(classes, key=lambda row: int(row["class_id"]))
        for number, reply in enumerate(replies[one["class_name"]], 1)
        for field, text in zip(
            fields, reply_texts(reply, fields, f"{ledger}: class {one['class_name']!r}, reply {number}"), strict=True
        )
    ]


def words(text: str) -> str:
    """The text's words alone, so that `Black_footed` is found in `a black-footed bird`."""
    return f" {re.sub(r'[^a-z0-9]+', ' ', text.casefold()).strip()} "


def read_parameters(text: str) -> dict[str, Any]:
    """The request's parameters from the command line's JSON."""
    example = """give a JSON object such as '{"temperature": 1}'"""

    def refuse(constant: str) -> None:
        raise FieldguideError(f"--parameters holds {constant}, which JSON does not know; {example}")

    try:
        parameters = json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise FieldguideError(f"--parameters is not JSON ({error}); {example}") from error
    if not isinstance(parameters, dict):
        raise FieldguideError(f"--parameters is {text}; {example}")
    return parameters


def generate_texts(args: argparse.Namespace) -> None:
    """Replay the ledger and write the table of texts."""
    if args.replies_per_class < 1:
        raise FieldguideError(f"--replies-per-class is {args.replies_per_class}; give at least 1")
    ledger = Path(args.ledger)
    classes = read_csv(args.classes, COLUMNS[:2])
    if not classes:
        raise FieldguideError(f"{args.classes}: holds no class; make it again with the stage that writes it")
    prompt = Path(args.prompt).read_text(encoding="utf-8")
    parameters = read_parameters(args.parameters)
    records = read_ledger(ledger) if ledger.exists() else []
    by_key = replies_by_key(records)
    replies = {
        name: by_key.get(request_key(request_for(name, prompt, args.model, args.fields, parameters)), [])[
            : args.replies_per_class
        ]
        for name in (one["class_name"] for one in classes)
    }
    short = {name: args.replies_per_class - len(found) for name, found in replies.items()}
    refuse_missing({name: count for name, count in short.items() if count}, ledger, args.source, records)

    rows = text_rows(classes, replies, args.fields, ledger)
    write_csv(args.out, COLUMNS, rows)
    repeated = sum(count - 1 for count in Counter((row["class_id"], row["text"]) for row in rows).values())
    naming = sum(words(row["class_name"]) in words(row["text"]) for row in rows)
    log.info(
        "%s: %d texts about %d classes, %d of them duplicates within their class, %d name their class",
        args.source,
        len(rows),
        len(classes),
        repeated,
        naming,
    )
    kept = (reply for name in replies for reply in replies[name])
    others = Counter(one.label.name for reply in kept for one in split_reply(reply, args.fields) if one.field is None)
    if others:
        named = ", ".join(f"{name} ({count})" for name, count in others.most_common(8))
        log.warning("left out, being no fields asked for: %s", named)


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("generate_texts", __doc__)
    parser.add_argument("--source", required=True, help="the text source's name, as in the configuration's `texts`")
    parser.add_argument("--ledger", required=True, help="the ledger of replies, JSON lines")
    parser.add_argument("--model", required=True, help="the LLM's name, part of the question's key")
    parser.add_argument("--prompt", required=True, help="the question, with {class_name} and {fields}")
    parser.add_argument("--parameters", default="{}", help="the request's parameters (JSON object), part of the key")
    parser.add_argument("--fields", nargs="+", required=True, help="the fields of a reply, in order")
    parser.add_argument("--replies-per-class", type=int, default=6, help="how many replies of each class to take")
    parser.add_argument("--classes", required=True, help="the table of classes, class_id and class_name")
    parser.add_argument("--out", required=True, help="the table of texts to write")
    run_stage("generate_texts", generate_texts, parser, argv)


if __name__ == "__main__":
    main()
