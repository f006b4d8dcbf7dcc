"""What an LLM's reply says, and whether it can be used: its fields as plain text, or what is wrong with it.

Replies are one JSON object, or Markdown with a label per field; `**Size**: …`, `- **Size:** …`, `1. Size: …` and
`### Size` are all read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
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


def parse_object(found: Mapping[str, Any], fields: Sequence[str]) -> dict[str, str]:
    """The text of each field that a JSON object has, by its key in any case."""
    wanted = {field.casefold(): field for field in fields}
    texts: dict[str, str] = {}
    for key, value in found.items():
        if field := wanted.get(key.strip().casefold()):
            texts[field] = plain(line for text in strings_in(value) for line in text.splitlines())
    return texts


def parse_reply(reply: str, fields: Sequence[str]) -> dict[str, str]:
    """The text of each field that the reply has, as plain text; a field that it lacks is absent, an empty one empty."""
    if (found := read_object(reply)) is not None:
        return parse_object(found, fields)
    texts: dict[str, str] = {}
    for field, _, lines in split_reply(reply, fields):
        if field is not None:
            texts[field] = " ".join(filter(None, (texts.get(field), plain(lines))))
    return texts


def surplus_fields(reply: str, fields: Sequence[str]) -> list[str]:
    """The names of fields that the reply has beyond those asked for."""
    if (found := read_object(reply)) is not None:
        wanted = {field.casefold() for field in fields}
        return [key for key in found if key.strip().casefold() not in wanted]
    return [section.label.name for section in split_reply(reply, fields) if section.field is None]


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


def find_error(
    reply: str, finish_reason: str | None, refused: bool, class_name: str, fields: Sequence[str], names: NameIndex
) -> str | None:
    """What keeps a reply from being used, as the end of a sentence that begins with "it"; None when nothing does.

    `names` are those of the classes, of which it may name its own alone.
    """
    if refused or finish_reason == "content_filter":
        return "declined to answer"
    if not reply.strip():
        return "is empty"
    if finish_reason == "length":
        return "was cut off at the length limit; be briefer"
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
