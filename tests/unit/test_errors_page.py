"""docs/errors.md lists every message that the package raises, each with a way out; what is gone is not listed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.errors_page import (
    GROUPS,
    OTHERS,
    PACKAGE,
    PAGE,
    collect,
    find_faults,
    messages_of,
    read_page,
    text_of,
    way_out_of,
    write_page,
)


def test_the_page_lists_every_message_with_its_way_out() -> None:
    faults = find_faults(PAGE.read_text(encoding="utf-8"), collect())
    assert not faults, "\n".join([*faults, "`.venv/bin/python -m tests.errors_page --write` brings it into line"])


def test_writing_the_page_changes_nothing_that_people_wrote() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert write_page(page, collect()) == page


def test_every_module_of_a_group_exists() -> None:
    modules = {path.stem for path in PACKAGE.rglob("*.py")}
    named = [module for group in GROUPS.values() for module in group]
    assert set(named) - modules <= {"common"} and len(named) == len(set(named)) and OTHERS in GROUPS


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("'plain'", "plain"),
        ("f'{path}: lacks {key!r}; {AGAIN}'", "…: lacks …; get it again"),
        ("f'{path}: ' + AGAIN", "…: get it again"),
        ("tell(error)", "…"),
        ("f'{count:,} of {total}' 'joined'", "… of …joined"),
    ],
)
def test_messages_are_read_as_they_read(code: str, message: str) -> None:
    assert text_of(ast.parse(code, mode="eval").body, {"AGAIN": "get it again"}) == message


def test_messages_of_a_module(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(
        "AGAIN = 'again'\n"
        "def one(x):\n    raise FieldguideError(f'{x}: broken; {AGAIN}') from None\n"
        "def two(x):\n    refuse_if_any(x, f'{x}: bad lines', 'mend them')\n    raise ValueError('of a programmer')\n"
        "def three(x):\n    return FieldguideError(str(x))\n",
        encoding="utf-8",
    )
    assert messages_of(tmp_path / "module.py") == ["…: broken; again", "…: bad lines (…): … - mend them"]


def test_a_new_message_an_old_one_and_a_missing_way_out_are_found() -> None:
    page = write_page("# Errors\nHead.\n", {"Small files": ["…: is gone; make it again", "…: is odd"]})
    assert read_page(page)["Small files"] == {"…: is gone; make it again": "Make it again.", "…: is odd": ""}
    assert find_faults(page, {"Small files": ["…: is gone; make it again", "…: is odd"]}) == [
        "Small files: says no way out of: …: is odd"
    ]
    faults = find_faults(page, {"Small files": ["…: is odd", "…: is new; wait for it"]})
    assert "Small files: lacks: …: is new; wait for it" in faults
    assert "Small files: is no message any more: …: is gone; make it again" in faults


def test_ways_out_are_kept_when_the_page_is_written_again() -> None:
    page = "# Errors\nHead.\n\n## Before\nText.\n\n## Small files\nIntro.\n\n| message | way out |\n| --- | --- |\n"
    page += "| …: a \\| b; x | By hand. |\n| gone; x | Old. |\n"
    again = write_page(page, {"Small files": ["…: a | b; x", "new; do it"]})
    assert again.startswith("# Errors\nHead.\n\n## Before\nText.\n\n## Small files\nIntro.\n")
    assert read_page(again)["Small files"] == {"…: a \\| b; x": "By hand.", "new; do it": "Do it."}


def test_a_way_out_is_what_the_message_says_last() -> None:
    assert way_out_of("…: bad (…): … - mend them") == "Mend them."
    assert way_out_of("…: bad; worse; make it again") == "Make it again."
    assert way_out_of("…: bad; …") == way_out_of("bad") == ""
