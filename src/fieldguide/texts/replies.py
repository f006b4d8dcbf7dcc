"""What an LLM's reply says, and whether it can be used: its fields as plain text, or what is wrong with it.

Replies are one JSON object, or Markdown with a label per field; `**Size**: …`, `- **Size:** …`, `1. Size: …` and
`### Size` are all read. Where that leaves a field without text, a JSON object within prose is looked for, then labels
with other languages' punctuation (`Size：…`, `【Size】…`) and rows of a table. The reasoning is away by then
(`LedgerRecord.answer`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

from fieldguide.core.errors import FieldguideError
from fieldguide.texts.naming import NameIndex, find_other_class
from fieldguide.texts.table import has_words

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
_DENIAL = re.compile(r"\W*(sorry|i(['’]?m| am) (very |so )?(sorry|unable|not able)|i can(not|['’]?t)|as an ai)\b", re.I)
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
        continues = label.style.heading or line[:1].isspace() or _BULLET.match(line)
        if line.strip() and after_blank and not continues:
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


def strings_in(value: Any) -> Iterable[str]:
    """The strings in a JSON value, in order."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from strings_in(item)
    elif value is not None:
        yield str(value)


def read_object(reply: str) -> dict[str, Any] | None:
    """The JSON object that a reply is, in a code fence or not; None where it is none."""
    lines = [line for line in reply.split("\n") if not line.lstrip().startswith("```")]
    try:
        found = json.loads("\n".join(lines))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


MOST_OBJECTS = 50
"""Opening braces that are tried in a reply."""


def find_objects(reply: str) -> Iterator[dict[str, Any]]:
    """The JSON objects within a reply, those within others too."""
    decoder = json.JSONDecoder()
    for brace in islice(re.finditer(r"\{", reply), MOST_OBJECTS):
        with suppress(ValueError, RecursionError):
            yield decoder.raw_decode(reply, brace.start())[0]


class Reading(NamedTuple):
    """What a reply says: the text of each field that it has, and the names of fields that nobody asked for."""

    texts: dict[str, str]
    surplus: list[str]


def read_fields(found: Mapping[str, Any], fields: Sequence[str]) -> Reading:
    """The reading of a JSON object, by its keys in any case."""
    wanted = {field.casefold(): field for field in fields}
    reading = Reading({}, [])
    for key, value in found.items():
        if field := wanted.get(key.strip().casefold()):
            reading.texts[field] = plain(line for text in strings_in(value) for line in text.splitlines())
        else:
            reading.surplus.append(key)
    return reading


def read_markdown(reply: str, fields: Sequence[str]) -> Reading:
    """The reading of a reply by its labels."""
    reading = Reading({}, [])
    for field, label, lines in split_reply(reply, fields):
        if field is not None:
            reading.texts[field] = " ".join(filter(None, (reading.texts.get(field), plain(lines))))
        else:
            reading.surplus.append(label.name)
    return reading


_OTHER_LABEL = re.compile(
    r"""(?P<indent>\s*)(?P<heading>\#{1,6}\s+)?(?:(?P<number>\d+)\s*[.)、．）]\s*|(?P<bullet>[-*+•·▪‣])\s+)?
    (?P<bold>\*\*|__)?\s*(?P<open>[【「『〔［\[])?\s*(?P<name>[A-Za-z][A-Za-z /&-]{0,39}?)\s*
    (?=[】」』〕］\]]|(?:\*\*|__)?\s*[:：﹕︰∶꞉։])(?P<close>[】」』〕］\]])?\s*(?(bold)(?:\*\*|__)?)\s*(?P<colon>[:：﹕︰∶꞉։])?\s*(?(bold)(?:\*\*|__)?)\s*(?P<text>.*)""",
    re.VERBOSE,
)
_ROW = re.compile(r"\s*\|\s*[*_]*(?P<name>[A-Za-z][A-Za-z /&-]{0,39}?)[*_:：]*\s*\|\s*(?P<text>.*?)\s*\|?\s*")
_RULE = re.compile(r"[\s|:-]*")


def usual_labels(reply: str) -> str:
    """The reply with labels in other punctuation, and rows of a table, as Markdown; labels set alike stay so."""
    lines = []
    for line in reply.splitlines():
        label = _OTHER_LABEL.fullmatch(line)
        if row := _ROW.fullmatch(line):
            lines.append(f"**{row['name']}**: {row['text']}")
        elif label and (label["colon"] or (label["open"] and label["close"])):
            item = f"{label['number']}. " if label["number"] else "- " if label["bullet"] else ""
            mark = "**" if label["bold"] or label["open"] else ""
            before = f"{label['indent']}{label['heading'] or ''}{item}{mark}"
            lines.append(f"{before}{label['name']}{mark}: {label['text']}")
        else:
            lines.append("" if "|" in line and _RULE.fullmatch(line) else line)
    return "\n".join(lines)


def readings(reply: str, fields: Sequence[str]) -> Iterator[Reading]:
    """How a reply may be read, the strictest way first: so that what was accepted once reads the same for ever."""
    whole = read_object(reply)
    yield read_fields(whole, fields) if whole is not None else read_markdown(reply, fields)
    within = [read_fields(found, fields) for found in find_objects(reply)]
    # Of several the last: it comes after drafts and examples.
    yield max(reversed(within), key=lambda reading: len(reading.texts), default=Reading({}, []))
    yield read_markdown(usual_labels(reply), fields)


def read_reply(reply: str, fields: Sequence[str]) -> Reading:
    """The first reading in which every field has a text, else the one that finds the most fields."""
    found = []
    for reading in readings(reply, fields):
        if all(has_words(reading.texts.get(field, "")) for field in fields):
            return reading
        found.append(reading)
    return max(found, key=lambda reading: len(reading.texts))


def parse_reply(reply: str, fields: Sequence[str]) -> dict[str, str]:
    """The text of each field that the reply has, as plain text; a field that it lacks is absent, an empty one empty."""
    return read_reply(reply, fields).texts


def surplus_fields(reply: str, fields: Sequence[str]) -> list[str]:
    """The names of fields that the reply has beyond those asked for."""
    return read_reply(reply, fields).surplus


def reply_texts(reply: str, fields: Sequence[str], where: str) -> list[str]:
    """The reply's texts in the order of `fields`; raises FieldguideError naming the first field it fails."""
    found = parse_reply(reply, fields)
    for field in fields:
        if field not in found:
            raise FieldguideError(
                f"{where}: lacks the field {field!r} (it has {', '.join(found) or 'none of those asked for'});"
                " remove that line from the ledger, or name other fields"
            )
        if not has_words(found[field]):
            raise FieldguideError(f"{where}: its field {field!r} is empty; remove that line from the ledger")
    return [found[field] for field in fields]


# ---------------------------------------------------------------- what is wrong with a reply


def ending_of(finish_reason: str | None) -> str:
    """How a reply ended by its finish reason, in any server's spelling: `whole`, `cut`, `filtered`, or "" for else."""
    word = re.sub(r"^finish_?reason_?|\W", "", (finish_reason or "").strip().casefold().replace("-", "_"))
    return next((ending for ending, words in ENDINGS.items() if word in words), "")


ENDINGS = {
    # None is what a server says that says nothing.
    "whole": ("", "stop", "eos", "eos_token", "stop_sequence", "end_turn", "complete", "completed", "end", "finished"),
    "cut": ("length", "max_tokens", "model_length", "max_output_tokens", "max_length", "max_completion_tokens"),
    "filtered": ("content_filter", "safety", "recitation", "blocklist", "prohibited_content", "spii", "refusal"),
}


def find_error(
    reply: str, finish_reason: str | None, refused: bool, class_name: str, fields: Sequence[str], names: NameIndex
) -> str | None:
    """What keeps a reply from being used, as the end of a sentence that begins with "it"; None when nothing does.

    `reply` is without its reasoning; `names` are those of the classes, of which it may name its own alone.
    """
    ending = ending_of(finish_reason)
    if refused or ending == "filtered":
        return "declined to answer"
    if not reply.strip():
        return (
            "is empty at the length limit: reasoning took all tokens; raise max_tokens, or lower reasoning_effort"
            if ending == "cut"
            else "is empty"
        )
    if ending == "cut":
        return "was cut off at the length limit; be briefer"
    if ending != "whole":
        return f"broke off (finish_reason {finish_reason!r})"
    found = parse_reply(reply, fields)
    lacking = [field for field in fields if field not in found]
    if len(lacking) == len(fields) and _DENIAL.match(reply):
        return "declined to answer"
    if lacking and reply.lstrip().startswith("{") and read_object(reply) is None:
        return "is not valid JSON"
    if lacking:
        return f"lacks the field{'s' * (len(lacking) > 1)} {', '.join(lacking)}"
    if empty := [field for field in fields if not has_words(found[field])]:
        return f"says nothing about {', '.join(empty)}"
    if (other := find_other_class(reply, class_name, names)) is not None:
        return f"names another class, {other}"
    return None
