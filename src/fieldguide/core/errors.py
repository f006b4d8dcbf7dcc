"""The one exception for bad input: a sentence a person can act on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar


class FieldguideError(Exception):
    """Bad input, told in one sentence that names the file, the key or the class, and the way out."""


NAMED = 10
"""How many bad entries one report names."""

Item = TypeVar("Item")


def name_some(names: Sequence[str], separator: str = ", ") -> str:
    """The first few names and how many more there are."""
    more = len(names) - NAMED
    return separator.join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def refuse_if_any(bad: Sequence[str], what: str, way_out: str) -> None:
    """Raise one FieldguideError that names the first few bad entries, how many there are, and the way out."""
    if bad:
        raise FieldguideError(f"{what} ({len(bad)}): {name_some(bad, '; ')} - {way_out}")


def repeated(items: Iterable[Item]) -> list[Item]:
    """Those that occur more than once, each once, in the order of their second appearance."""
    seen: set[Item] = set()
    twice: dict[Item, None] = {}
    for item in items:
        if item in seen:
            twice[item] = None
        seen.add(item)
    return list(twice)
