"""Sentences: where they end, how a long text is cut, and which of them no photograph shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.core.errors import FieldguideError
from fieldguide.texts.sentences import (
    CUTS,
    Lexicon,
    classify_visibility,
    fit_text,
    pack,
    read_lexicon,
    split_clauses,
    split_sentences,
)

LEXICON = Path(__file__).resolve().parents[3] / "workflow" / "resources" / "not_visible.txt"


def words_in(text: str) -> int:
    """A tokenizer for tests: a word is a token, and six letters of a longer one are."""
    return sum(-(-len(word) // 6) for word in text.split())


# ---------------------------------------------------------------- where a sentence ends


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        ("no full stop", ["no full stop"]),
        ("It is red. Its bill is long.", ["It is red.", "Its bill is long."]),
        ("this bird is red. it has a long bill.", ["this bird is red.", "it has a long bill."]),
        ("Is it red?  Yes!\nVery (see below). Good", ["Is it red?", "Yes!", "Very (see below).", "Good"]),
        ("It is approx. 12 cm. long. Weighs 9 g. Its tail", ["It is approx. 12 cm. long.", "Weighs 9 g.", "Its tail"]),
        ("Length 4.5 in. and more. Next.", ["Length 4.5 in. and more.", "Next."]),
        ("Some, e.g. males, are red. Mt. Hood. Next", ["Some, e.g. males, are red.", "Mt. Hood.", "Next"]),
        ("Named by J. F. Gmelin. It sings.", ["Named by J. F. Gmelin.", "It sings."]),
        ('It is "red." The tail is not.', ['It is "red."', "The tail is not."]),
        ("Red... and blue", ["Red...", "and blue"]),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text: str, sentences: list[str]) -> None:
    assert split_sentences(text) == sentences


def test_clauses_end_after_commas_and_before_conjunctions() -> None:
    sentence = "Red above, buff below; the tail (12 cm) is long and the bill, which is black, is hooked"
    assert split_clauses(sentence) == [
        "Red above,",
        "buff below;",
        "the tail",
        "(12 cm) is long",
        "and the bill,",
        "which is black,",
        "is hooked",
    ]


def test_other_languages_stops_end_a_sentence() -> None:
    assert split_sentences("上体红色。下体「白色。」 眼深色！") == ["上体红色。", "下体「白色。」", "眼深色！"]
    assert split_sentences("ऊपर लाल। नीचे सफ़ेद।") == ["ऊपर लाल।", "नीचे सफ़ेद।"]
    assert split_sentences("أحمر؟ أبيض.") == ["أحمر؟", "أبيض."]


TEXTS = st.lists(
    st.sampled_from(
        [*"abcdefg", "red", "e.g.", "12", "cm.", "end.", "end!", "so,", "so;", "and", "–", "(x)", "Its", "J."]
    )
    | st.text("ab.,;- é字\u00a0", min_size=1, max_size=30),
    max_size=40,
).map(" ".join)


@given(TEXTS)
def test_sentences_and_clauses_joined_are_the_text(text: str) -> None:
    whole = " ".join(text.split())
    assert " ".join(split_sentences(text)) == whole
    assert " ".join(split_clauses(whole)) == whole


# ---------------------------------------------------------------- into a context


def test_a_text_that_fits_stays_whole() -> None:
    assert fit_text("  Red above.  Buff below. ", 4, words_in) == [("Red above. Buff below.", "")]


def test_a_long_text_is_cut_between_sentences_into_pieces_of_about_equal_length() -> None:
    text = "One two three. Four five. Six seven. Eight nine."
    assert [piece.text for piece in fit_text(text, 7, words_in)] == [
        "One two three. Four five.",
        "Six seven. Eight nine.",
    ]
    assert {piece.cut for piece in fit_text(text, 7, words_in)} == {"sentence"}


def test_a_long_sentence_is_cut_between_clauses_then_words_then_characters() -> None:
    told = fit_text("Red, blue. " + "Long one, two three and four, five six.", 5, words_in)
    assert told == [("Red, blue.", "sentence"), ("Long one, two three", "clause"), ("and four, five six.", "clause")]
    assert fit_text("a b c d e", 3, words_in) == [("a b c", "word"), ("d e", "word")]
    assert fit_text("x " + "y" * 20, 2, words_in) == [("x", "word"), ("y" * 12, "character"), ("y" * 8, "character")]


def test_a_character_that_no_context_holds_is_refused() -> None:
    with pytest.raises(FieldguideError, match=r"context of 3 tokens does not hold the character 'a'"):
        fit_text("ab", 3, lambda text: 5 * len(text))


@given(TEXTS, st.integers(1, 12))
def test_no_piece_exceeds_the_limit_and_nothing_is_lost(text: str, limit: int) -> None:
    pieces = fit_text(text, limit, words_in)
    assert all(words_in(piece.text) <= limit for piece in pieces)
    assert "".join(piece.text for piece in pieces).replace(" ", "") == "".join(text.split())
    if all(piece.cut != "character" for piece in pieces):
        assert " ".join(piece.text for piece in pieces).split() == text.split()
    assert all(piece.cut in CUTS for piece in pieces) or len(pieces) == 1


@given(TEXTS, st.integers(1, 12))
def test_cutting_what_was_cut_changes_nothing(text: str, limit: int) -> None:
    for piece in fit_text(text, limit, words_in):
        assert [again.text for again in fit_text(piece.text, limit, words_in)] == [piece.text]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(9, 20))
def test_packing_uses_as_few_pieces_as_go(lengths: list[int], limit: int) -> None:
    units = [" ".join("w" * length) for length in lengths]
    fewest, room = 0, 0
    for length in lengths:
        fewest, room = (fewest, room - length) if length <= room else (fewest + 1, limit - length)
    assert len(pack(units, limit, words_in)) == fewest


# ---------------------------------------------------------------- what no photograph shows


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return read_lexicon(LEXICON.read_text(encoding="utf-8"), str(LEXICON))


# Labelled by hand; the last three of `SEEN` are those that a list of words alone would get wrong.
UNSEEN = {
    "Its song is a melodious trill.": "sound",
    "The call is loud and harsh.": "sound",
    "It inhabits oak woods.": "habitat",
    "Often found near water.": "habitat",
    "It prefers open habitats with scattered trees.": "habitat",
    "Adults remain vigilant, scanning frequently for raptors.": "behaviour",
    "Clutches of three to five eggs are laid amid palm groves.": "behaviour",
    "It nests in tree cavities.": "behaviour",
    "The species is widespread in North America.": "range",
    "It migrates in September.": "range",
    "It feeds on small vertebrates and large insects.": "diet",
    "It is employed chiefly in husking seeds.": "diet",
}
SEEN = (
    "This bird has a red crown and a short bill.",
    "The iris is hazel; lores and ear-coverts are plain.",
    "Legs and toes are salmon; the tarsus is lengthy, measuring 25 mm.",
    "The hind claw is noticeably stronger than the others.",
    "No sexual dichromatism is known.",
    "A black stripe runs through the eye.",
    "The bill is short and conical, suited to husking seeds.",
    "Its lofty crest is raised in display.",
    "It inhabits ponds, where its rotund profile and abbreviated tail are diagnostic.",
)


@pytest.mark.parametrize(("sentence", "topic"), UNSEEN.items(), ids=UNSEEN.keys())
def test_what_no_photograph_shows_is_known_with_its_topic(lexicon: Lexicon, sentence: str, topic: str) -> None:
    sight = classify_visibility(sentence, lexicon)
    assert sight.is_invisible and topic in sight.topics


@pytest.mark.parametrize("sentence", SEEN)
def test_what_a_photograph_shows_is_not_flagged(lexicon: Lexicon, sentence: str) -> None:
    assert not classify_visibility(sentence, lexicon).is_invisible


def test_a_mixed_sentence_is_told_as_such(lexicon: Lexicon) -> None:
    assert classify_visibility(SEEN[-1], lexicon) == (("habitat",), True)
    assert classify_visibility(SEEN[0], lexicon) == ((), True)


def test_endings_hyphens_and_case() -> None:
    small = read_lexicon("[range]\nmigrat*, far north # a remark\n\n[Visible]\nred\n", "here")
    assert classify_visibility("MIGRATES in spring", small).is_invisible
    assert classify_visibility("from the far-north", small).is_invisible
    assert not classify_visibility("an emigrate farnorth", small).topics
    assert classify_visibility("migrates, red", small) == (("range",), True)
    assert classify_visibility("migrates, reddish", small).is_invisible


LEXICAL = ["its", "bill", "song", "songs", "near", "water", "found", "in", "red", "nest", "far-north", "feeds", "Eat"]


@given(st.lists(st.sampled_from(LEXICAL)))
def test_the_quick_look_misses_nothing(lexicon: Lexicon, words: list[str]) -> None:
    sentence = " ".join(words)
    if any(pattern.search(sentence) for pattern in lexicon.topics.values()):
        assert lexicon.may_speak_of(sentence)


def test_the_quick_look_finds_every_entry_of_the_lexicon(lexicon: Lexicon) -> None:
    text = LEXICON.read_text(encoding="utf-8").partition("\n[visible]")[0]
    lines = [line for line in text.splitlines() if not line.startswith(("#", "["))]
    entries = [entry.strip() for line in lines for entry in line.split(",") if entry.strip()]
    assert len(entries) > 250
    assert [
        entry for entry in entries if not classify_visibility(f"Then {entry.replace('*', 'x')}!", lexicon).topics
    ] == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("song\n[visible]\nred", "here, line 1: words stand before the first [topic]"),
        ("[sound]\nsong; call\n[visible]\nred", "here, line 2: 'song; call' is no word or phrase"),
        ("[sound\nsong", "here, line 1: [sound is no new topic"),
        ("[sound]\nsong\n[sound]\ncall", "here, line 3: [sound] is no new topic"),
        ("[sound]\nsong", "here: needs [visible] and at least one other topic"),
        ("[visible]\nred", "here: needs [visible] and at least one other topic"),
        ("[sound]\n[visible]\nred", "here: [sound] has no words"),
    ],
)
def test_a_lexicon_that_is_wrong_is_told_by_its_line(text: str, told: str) -> None:
    with pytest.raises(FieldguideError) as caught:
        read_lexicon(text, "here")
    assert str(caught.value).startswith(told)
