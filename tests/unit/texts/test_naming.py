"""Class names in texts: every spelling is found, none is left, and none is put in twice."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fieldguide.texts.naming import (
    NameIndex,
    add_name,
    classify_naming,
    find_template_error,
    has_name,
    pluralise,
    remove_name,
)
from fieldguide.texts.table import TextRow

TEMPLATE = "a photo of a {class_name}, {text}"

SPELLINGS = {
    "Black footed Albatross": (
        "a black-footed albatross",
        "Black_footed_Albatross",
        "BLACK FOOTED ALBATROSSES",
        "the blackfooted albatross's bill",
    ),
    "Brewer Blackbird": ("Brewer's Blackbird", "brewer’s blackbirds", "Brewers blackbird"),
    "Chuck will Widow": ("the Chuck-will's-widow",),
    "Forsters Tern": ("Forster's Terns", "Forsters Tern"),
    "Gray Catbird": ("a grey catbird", "Gray Catbirds"),
    "Blue Jay": ("bluejay", "Blue Jays'"),
    "Canary": ("two canaries",),
    "Canada Goose": ("Canada geese",),
    "Tufted Titmouse": ("tufted titmice",),
    "Gray Wolf": ("grey wolves",),
    "Mallard": ("Mallards.",),
    "U.S. Quarter": ("a U.S. quarter", "US quarters"),
    "Audi TT RS Coupe 2012": ("an audi tt-rs coupe 2012",),
}
OTHERS = {
    "Black footed Albatross": ("a black albatross", "black feet of an albatross", "black footed. Albatross"),
    "Blue Jay": ("it is blue; jays too", "blue jaywalkers"),
    "Mallard": ("Mallardine", "mall ard"),
    "Canary": ("canarium",),
    "": ("anything",),
    "?": ("a ? mark",),
}


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in SPELLINGS.items() for text in texts])
def test_a_name_is_found_in_every_spelling(name: str, text: str) -> None:
    assert has_name(text, name)
    assert [mention.class_name for mention in NameIndex([name]).find(text)] == [name]
    assert not has_name(remove_name(text, name, "thing"), name)


@pytest.mark.parametrize(("name", "text"), [(name, text) for name, texts in OTHERS.items() for text in texts[:2]])
def test_other_words_are_no_name(name: str, text: str) -> None:
    assert not has_name(text, name)
    assert list(NameIndex([name]).find(text)) == []
    assert remove_name(text, name, "bird") == text


def test_the_longest_name_is_found_and_each_place_once() -> None:
    index = NameIndex(["Crow", "Fish Crow", "Marsh Wren"])
    text = "Unlike the fish crow, crows and Marsh-wrens sing."
    assert [(one.class_name, text[one.start : one.end]) for one in index.find(text)] == [
        ("Fish Crow", "fish crow"),
        ("Crow", "crows"),
        ("Marsh Wren", "Marsh-wrens"),
    ]
    assert index.mask(text) == "Unlike the ,, , and , sing."


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("Laysan Albatross is large.", "The bird is large."),
        ("laysan_albatross is large.", "the bird is large."),
        ("The Laysan Albatross is large.", "The bird is large."),
        ("A Laysan Albatross's bill is pink.", "A bird's bill is pink."),
        ("Laysan Albatrosses are large. Laysan Albatrosses’ bills", "The birds are large. The birds’ bills"),
        ("An adult Laysan Albatross, unlike Laysan albatross", "An adult bird, unlike the bird"),
        ("a photo of a Laysan Albatross", "a photo of a bird"),
        ("This bird, Laysan Albatross, soars", "This bird, the bird, soars"),
        ("It resembles the Sooty Albatross", "It resembles the Sooty Albatross"),
    ],
)
def test_a_name_taken_out_leaves_a_sentence(text: str, without: str) -> None:
    assert remove_name(text, "Laysan Albatross", "bird") == without


def test_articles_and_plurals_follow_the_noun() -> None:
    assert remove_name("An American Crow.", "American Crow", "bird") == "A bird."
    assert remove_name("a Boeing 747 and Boeing 747s", "Boeing 747", "aircraft") == "an aircraft and the aircraft"
    assert [pluralise(noun) for noun in ("bird", "butterfly", "fish", "dog breed")] == [
        "birds",
        "butterflies",
        "fishes",
        "dog breeds",
    ]


def test_a_name_is_added_with_its_article_and_only_where_it_lacks() -> None:
    assert add_name("Red above. Buff", "Tern", TEMPLATE) == "a photo of a Tern, red above. Buff"
    assert add_name("Red", "Tern", "{class_name}: {text}") == "Tern: Red"
    assert add_name("II wings", "Tern", TEMPLATE) == "a photo of a Tern, II wings"
    assert add_name("red above", "Indigo_Bunting", TEMPLATE) == "a photo of an Indigo Bunting, red above"
    assert add_name("red", "European Goldfinch", TEMPLATE) == "a photo of a European Goldfinch, red"
    assert add_name("The indigo bunting is blue", "Indigo Bunting", TEMPLATE) == "The indigo bunting is blue"


NAME_WORDS = ["black", "footed", "brewer", "will", "gray", "jay", "tern", "mouse", "goose", "canary", "wolf", "s", "le"]
TEXT_WORDS = ["the", "a", "an", "of", "is", "jay", "Jays", "gray", "finch's", "red.", "black-", "Unlike", "(will", "o'"]
NAMES = st.lists(st.sampled_from(NAME_WORDS), min_size=1, max_size=4).map(" ".join)
TEXTS = st.lists(st.sampled_from([*TEXT_WORDS, "wolves", "geese"]), max_size=12).map(" ".join)


@st.composite
def spelled(draw: st.DrawFn, name: str) -> str:
    """A name in some spelling."""
    gap = draw(st.sampled_from([" ", "-", "_", "", "  "]))
    text = gap.join(word + draw(st.sampled_from(["", "'s", "’s"])) for word in name.split()[:-1])
    text = f"{text}{gap if text else ''}{name.split()[-1]}" + draw(st.sampled_from(["", "s", "'s"]))
    return draw(st.sampled_from([text, text.upper(), text.title()]))


@given(NAMES, TEXTS, st.data())
def test_removal_leaves_no_spelling_and_is_idempotent(name: str, text: str, data: st.DataObject) -> None:
    words = text.split()
    for _ in range(data.draw(st.integers(0, 3))):
        words.insert(data.draw(st.integers(0, len(words))), data.draw(spelled(name)))
    without = remove_name(" ".join(words), name, "bird")
    assert not has_name(without, name)
    assert remove_name(without, name, "bird") == without


@given(NAMES, TEXTS, st.data())
def test_what_was_put_in_is_found(name: str, text: str, data: st.DataObject) -> None:
    before, after = text[: len(text) // 2], text[len(text) // 2 :]
    inside = f"{before} {data.draw(spelled(name))} {after}"
    assert has_name(inside, name)
    assert list(NameIndex([name]).find(inside))


@given(NAMES, TEXTS)
def test_adding_then_finding_finds_it_and_is_idempotent(name: str, text: str) -> None:
    added = add_name(text, name, TEMPLATE)
    assert has_name(added, name) and text.casefold() in added.casefold()
    assert add_name(added, name, TEMPLATE) == added


@given(NAMES, TEXTS)
def test_a_text_without_the_name_keeps_every_word(name: str, text: str) -> None:
    assume(not has_name(text, name))
    assert remove_name(text, name, "bird") == text
    assert re.sub(".*?, ", "", add_name(text, name, TEMPLATE), count=1).casefold() == text.casefold()


def test_the_table_calls_a_source_named_when_most_texts_name_their_class() -> None:
    rows = [TextRow("1", "Blue Jay", "", "", text) for text in ("a blue jay", "bluejays", "it is blue")]
    assert classify_naming(rows) == "named"
    assert classify_naming(rows[1:]) == classify_naming([]) == "unnamed"


@pytest.mark.parametrize(
    "template", ["a {class_name}", "{text}", "{text} {class_name} {text}", "{0}{text}{class_name}", "{"]
)
def test_a_template_that_cannot_work_is_told(template: str) -> None:
    assert "should hold {class_name} and {text} once each" in find_template_error(template)
    assert not find_template_error("{text} This is a {class_name}.")
