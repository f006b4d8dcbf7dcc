"""A text source as a page in Markdown that a person can read: counts, an overview of its classes, and every text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class PageText:
    """A text as it is used, as parts that are marked as unseen or not, its flags, and sentences dropped from it."""

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
    parts = [f"*{escape(part)}*" if unseen else escape(part) for part, unseen in text.parts]
    parts += [f"~~{escape(sentence)}~~" for sentence in text.dropped]
    return f"- {' '.join(parts)}" + (f" **\\[{escape('; '.join(text.flags))}\\]**" if text.flags else "")
