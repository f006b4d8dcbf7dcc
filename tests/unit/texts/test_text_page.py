"""The page of a source: every text reads as it stands, whatever Markdown would make of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.texts.text_page import Page, PageClass, PageGroup, PageText, escape, render_page


def shown(markdown: str) -> str:
    """What a reader sees of a line of Markdown."""
    MarkdownIt = pytest.importorskip("markdown_it").MarkdownIt
    (block, *others) = (token for token in MarkdownIt().parse(f"- {markdown}") if token.type == "inline")
    assert not others
    return "".join(child.content for child in block.children or ())


@given(st.text(st.sampled_from("ab 1.)*_`~#<>&;|\\[]!-+="), max_size=30))
def test_an_escaped_text_reads_as_it_stands(text: str) -> None:
    text = " ".join(text.split())
    if text:
        assert shown(escape(text)) == text


def test_a_page_has_counts_classes_groups_and_flags() -> None:
    text = PageText((("Red above.", False), ("It sings.", True)), ("not visible: sound",))
    gone = PageText((), ("dropped: diet",), ("It eats.",))
    one = PageClass("Blue Jay (class 1)", (PageGroup("Size", (text, gone)),), "9 texts left out", (2, 0))
    page = Page("Texts of x", ("A lead.",), (("texts", "2"),), ("texts", "named"), (one,))
    assert render_page(page) == (
        "# Texts of x\n\nA lead.\n\n| what | count |\n| --- | --- |\n| texts | 2 |\n\n"
        "## Classes\n\n| class | texts | named |\n| --- | ---: | ---: |\n| Blue Jay (class 1) | 2 |  |\n\n"
        "## Blue Jay (class 1)\n\n**Size**\n\n"
        "- Red above. *It sings.* **\\[not visible: sound\\]**\n- ~~It eats.~~ **\\[dropped: diet\\]**\n\n"
        "(9 texts left out)\n"
    )
