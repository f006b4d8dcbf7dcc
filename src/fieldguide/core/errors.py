"""The one exception for bad input, a sentence a person can act on; and the sentences on errors of the system."""

from __future__ import annotations

import errno
import getpass
import os
from collections.abc import Iterable, Sequence
from typing import TypeVar


class FieldguideError(Exception):
    """Bad input, told in one sentence that names the file, the key or the class, and what to do."""


NAMED = 10
"""How many bad entries one report names."""

Item = TypeVar("Item")


def name_some(names: Sequence[str], separator: str = ", ") -> str:
    """The first few names and how many more there are."""
    more = len(names) - NAMED
    return separator.join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def refuse_if_any(bad: Sequence[str], what: str, hint: str) -> None:
    """Raise one FieldguideError that names the first few bad entries, how many there are, and what to do."""
    if bad:
        raise FieldguideError(f"{what} ({len(bad)}): {name_some(bad, '; ')} - {hint}")


def repeated(items: Iterable[Item]) -> list[Item]:
    """Those that occur more than once, each once, in the order of their second appearance."""
    seen: set[Item] = set()
    twice: dict[Item, None] = {}
    for item in items:
        if item in seen:
            twice[item] = None
        seen.add(item)
    return list(twice)


def user_name() -> str:
    """The user's name, or number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def hint_for_os_error(number: int | None) -> str:
    """What to do about a file that could not be written or read; empty where it is plain."""
    if number in (errno.ENOSPC, errno.EDQUOT):
        return "make room there and run the same command again; what is finished is kept"
    if number == errno.EROFS:
        return "make it writable, or name another folder by `results` in the configuration"
    if number in (errno.EACCES, errno.EPERM):
        return f"give {user_name()} the right to it, or name another folder by `results` in the configuration"
    return ""


def format_os_error(error: OSError) -> str:
    """A sentence on an error of the system: the file, what is wrong, and what to do."""
    parts = [f"{error.filename}: " if error.filename else "", error.strerror or str(error)]
    hint = hint_for_os_error(error.errno)
    return "".join(parts) + (f"; {hint}" if hint else "")
