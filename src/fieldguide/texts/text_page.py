"""A text source as a page in Markdown that a person can read: counts, an overview of its classes, and every text."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fieldguide.texts.checks import Checked, Repeats, normalise_text
from fieldguide.texts.naming import NAMED, UNNAMED, has_name
from fieldguide.texts.sentences import CUTS, Visibility, split_sentences

FEW_WORDS = 3
"""A text of fewer words is called near-empty."""
PLACES = {
    CUTS[0]: "between sentences",
    CUTS[1]: "between clauses",
    CUTS[2]: "between words",
    CUTS[3]: "inside a word",
}


@dataclass(frozen=True)
class PageText:
    """A text as it is used, as parts that are marked as invisible or not, its flags, and sentences dropped from it."""

    parts: tuple[tuple[str, bool], ...]
    flags: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class PageGroup:
    """Texts under one head: a field, or an image."""

    head: str
    texts: tuple[PageText, ...]


@dataclass(frozen=True)
class PageClass:
    """A class: its groups, what was left out of the page, and its line of the overview."""

    head: str
    groups: tuple[PageGroup, ...]
    left_out: str
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Page:
    """The whole page; `columns` are the overview's, after the class."""

    title: str
    lead: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    classes: tuple[PageClass, ...]


def escape(text: str) -> str:
    """Text that Markdown sets as it reads."""
    text = re.sub(r"([\\`*_\[\]|~])", r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"^([#>+-]|\d+[.)])", lambda found: found[0][:-1] + "\\" + found[0][-1], text)


def render_page(page: Page) -> str:
    """The page as GitHub Markdown."""
    lines = [f"# {escape(page.title)}", "", *(line for one in page.lead for line in (one, ""))]
    lines += ["| what | count |", "| --- | --- |"]
    lines += [f"| {escape(name)} | {escape(value)} |" for name, value in page.facts]
    lines += ["", "## Classes", "", _row(["class", *page.columns]), _row(["---", *["---:"] * len(page.columns)])]
    lines += [_row([escape(one.head), *(str(count or "") for count in one.counts)]) for one in page.classes]
    for one in page.classes:
        lines += ["", f"## {escape(one.head)}"]
        for group in one.groups:
            lines += ["", f"**{escape(group.head)}**", "", *(_item(text) for text in group.texts)]
        lines += ["", f"({escape(one.left_out)})"] if one.left_out else []
    return "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _item(text: PageText) -> str:
    parts = [f"*{escape(part)}*" if is_invisible else escape(part) for part, is_invisible in text.parts]
    parts += [f"~~{escape(sentence)}~~" for sentence in text.dropped]
    return f"- {' '.join(parts)}" + (f" **\\[{escape('; '.join(text.flags))}\\]**" if text.flags else "")


# ---------------------------------------------------------------- from checked texts

COLUMNS = (
    "texts",
    "name their class",
    "name another class",
    "repeated",
    "shared with other classes",
    "not visible",
    "in part not visible",
    "cut",
)


def flags_of(one: Checked, number: int, repeats: Repeats, usual: str) -> tuple[str, ...]:
    """What a reader should know about a piece of a text; whether it names its class only where that is not usual."""
    row, piece = one.row, one.pieces[number]
    key = normalise_text(piece.text)
    flags = [f"part {number + 1} of {len(one.pieces)}, cut {PLACES[piece.cut]}"] if piece.cut else []
    own = NAMED if has_name(piece.text, row.class_name) else UNNAMED
    flags += ["names its class" if own == NAMED else "does not name its class"] if own != usual else []
    flags += [f"names {name}" for name in one.names_others]
    inside, classes = repeats.in_class[row.class_id, key], repeats.classes[key]
    flags += [f"{inside} times in this class"] if inside > 1 else []
    flags += [f"also in {classes - 1} other class{'es' if classes > 2 else ''}"] if classes > 1 else []
    words = len(piece.text.split())
    flags += [f"{words} word{'s' if words > 1 else ''}"] if words < FEW_WORDS else []
    found = [seen for sentence in split_sentences(piece.text) if (seen := one.visibility_of(sentence))]
    is_last = number == len(one.pieces) - 1
    by_flag = {
        "not visible": [visibility for visibility in found if visibility.is_invisible],
        "in part not visible": [visibility for visibility in found if not visibility.is_invisible],
        "dropped": [one.visibility[sentence] for sentence in one.dropped] if is_last else [],
    }
    return (*flags, *(f"{flag}: {name_topics(those)}" for flag, those in by_flag.items() if those))


def name_topics(found: Iterable[Visibility]) -> str:
    """The topics of sentences, each once."""
    return ", ".join(dict.fromkeys(topic for visibility in found for topic in visibility.topics))


def page_texts(one: Checked, repeats: Repeats, usual: str) -> list[PageText]:
    """A raw text as the page shows it: its pieces, or what was dropped."""
    if not one.pieces:
        return [PageText((), (f"dropped: {name_topics(one.visibility.values())}",), one.dropped)]
    return [
        PageText(
            tuple((s, bool((seen := one.visibility_of(s)) and seen.is_invisible)) for s in split_sentences(piece.text)),
            flags_of(one, number, repeats, usual),
            one.dropped if number == len(one.pieces) - 1 else (),
        )
        for number, piece in enumerate(one.pieces)
    ]


def page_class(
    class_id: str, name: str, texts: Sequence[Checked], repeats: Repeats, usual: str, images: int
) -> PageClass:
    """A class on the page: its fields, or its first images."""
    groups: dict[str, list[PageText]] = defaultdict(list)
    pictured = list(dict.fromkeys(one.row.image_id for one in texts if one.row.image_id))
    left_out = 0
    for one in texts:
        image = one.row.image_id
        if image in pictured[images:]:
            left_out += 1
            continue
        groups[f"Image {image}" if image else one.row.field or "Texts"] += page_texts(one, repeats, usual)
    kept = [piece.text for one in texts for piece in one.pieces]
    counts = (
        len(kept),
        sum(has_name(text, name) for text in kept),
        sum(bool(one.names_others) for one in texts),
        len(kept) - len({normalise_text(text) for text in kept}),
        sum(repeats.classes[normalise_text(text)] > 1 for text in kept),
        sum(one.is_invisible for one in texts),
        sum(bool(one.visibility) and not one.is_invisible for one in texts),
        sum(len(one.pieces) > 1 for one in texts),
    )
    more = f"{left_out} texts of {len(pictured) - images} more images are left out here" if left_out else ""
    as_groups = tuple(PageGroup(head, tuple(items)) for head, items in groups.items())
    return PageClass(f"{name} (class {class_id})", as_groups, more, counts)


LEAD = (
    "Every text as it is used, class by class. *Slanted* sentences speak only of what no photograph shows (sound, "
    "habitat, behaviour, range, diet), by the words of the lexicon; ~~struck~~ ones were dropped. Notes in "
    "**\\[brackets\\]** are not part of a text.",
    "A text that names its class says which one it is about without describing it; one that other classes have too "
    "does not distinguish them; one that names another class may compare the two, or may be about the wrong one.",
)


def build_page(
    source: str,
    checked: Sequence[Checked],
    names: Mapping[str, str],
    facts: Mapping[str, str],
    repeats: Repeats,
    usual: str,
    images: int,
) -> Page:
    """The page of a source; of images with captions the first few of each class, and columns that count something."""
    of_class: dict[str, list[Checked]] = defaultdict(list)
    for one in checked:
        of_class[one.row.class_id].append(one)
    classes = [
        page_class(class_id, name, of_class[class_id], repeats, usual, images) for class_id, name in names.items()
    ]
    used = [column for column in range(len(COLUMNS)) if any(one.counts[column] for one in classes)]
    classes = [replace(one, counts=tuple(one.counts[column] for column in used)) for one in classes]
    columns = tuple(COLUMNS[column] for column in used)
    return Page(f"Texts of {source}", LEAD, tuple(facts.items()), columns, tuple(classes))
