"""The class descriptions: register, facts, limits, and their distance from the human captions."""

from __future__ import annotations

import re
from random import Random

from fieldguide.aviary.annotators import caption_bird
from fieldguide.aviary.traits import COLOUR_PARTS, FAMILIES, MORPHS, PALETTE, draw_aviary, draw_species, draw_view
from fieldguide.aviary.writer import ERRORS, FIELDS, MAX_WORDS, SYNONYMS, Statement, write_fields, write_reply

SPECIES = draw_aviary(1, 40)


def replies(n: int, seed: int = 0):
    rng = Random(seed)
    for _ in range(n):
        species = rng.choice(SPECIES)
        yield species, write_fields(species, rng)


def four_grams(texts: list[str]) -> set[tuple[str, ...]]:
    grams: set[tuple[str, ...]] = set()
    for text in texts:
        words = re.findall(r"[a-z]+", text.lower())
        grams.update(tuple(words[i : i + 4]) for i in range(len(words) - 3))
    return grams


def test_five_fields_within_the_word_limit():
    for _, fields in replies(900):
        assert tuple(fields) == FIELDS
        for text in fields.values():
            assert 2 < len(text.split()) <= MAX_WORDS, text
            assert text.endswith(".") and text[0].isupper() and "  " not in text and "{" not in text, text


def test_reply_is_the_fields_as_markdown():
    for species in SPECIES:
        fields = write_fields(species, Random(4))
        assert write_reply(species, Random(4)).split("\n") == [f"**{name}**: {fields[name]}" for name in FIELDS]


def test_same_seed_same_text_and_other_seeds_vary():
    for species in SPECIES:
        assert write_reply(species, Random(1)) == write_reply(species, Random(1))
        assert len({write_fields(species, Random(seed))["Coloration"] for seed in range(20)}) >= 19


def test_names_never_appear():
    names = {word.lower() for species in draw_aviary(2, 40) + SPECIES for word in species.name.split()}
    names |= {family.name.lower() for family in FAMILIES}
    for _, fields in replies(700):
        assert not names & set(re.findall(r"[a-z]+", " ".join(fields.values()).lower())), fields


def test_share_of_wrong_facts():
    statements: list[Statement] = []
    rng = Random(2)
    for _ in range(1000):
        write_fields(rng.choice(SPECIES), rng, statements=statements)
    assert abs(sum(said != true for _, said, true in statements) / len(statements) - ERRORS) < 0.012
    statements.clear()
    write_fields(SPECIES[0], rng, errors=0, statements=statements)
    assert statements and all(said == true for _, said, true in statements)
    assert {fact.about for fact in statements} >= {"size", "bill", "legs", "iris", "bill shape"}


def test_what_sets_a_species_apart_is_told_in_most_replies():
    for species in SPECIES:
        missing = 0
        for seed in range(25):
            statements: list[Statement] = []
            write_fields(species, Random(seed), statements=statements)
            missing += not set(species.changed) & {fact.about for fact in statements}
        assert missing <= 10, species.changed


def test_replies_mention_different_subsets():
    subsets = set()
    for seed in range(50):
        statements: list[Statement] = []
        write_fields(SPECIES[0], Random(seed), statements=statements)
        subsets.add(frozenset(fact.about for fact in statements if fact.about in COLOUR_PARTS))
    assert len(subsets) > 10


def test_colours_are_said_in_plain_words_about_half_of_the_time():
    others = [word for words in SYNONYMS.values() for word in words]
    text = " ".join(" ".join(fields.values()) for _, fields in replies(800)).lower()
    plain = len(re.findall(rf"\b({'|'.join(PALETTE)})\b", text))
    other = len(re.findall(rf"\b({'|'.join(others)})\b", text))
    assert 0.4 < plain / (plain + other) < 0.6


def test_measurements_follow_the_size():
    for species in SPECIES:
        text = write_fields(species, Random(8), errors=0)["Size"]
        length = int(re.findall(r"(\d+) cm", text)[0])
        low, high = {"small": (8, 18), "medium": (17, 38), "large": (44, 100)}[species.family.size]
        assert low <= length <= high, text


def test_synonyms_belong_to_one_colour():
    words = [word for some in SYNONYMS.values() for word in some]
    assert set(SYNONYMS) == set(PALETTE)
    assert len(words) == len(set(words)) and not set(words) & set(PALETTE)


def test_unnamed_species_can_be_described():
    rng = Random(9)
    for _ in range(300):
        species = draw_species(rng.choice(FAMILIES), "", rng, False, (1, 2, 3))
        assert write_reply(species, rng)


def test_the_two_writers_share_hardly_any_four_words_in_a_row():
    rng = Random(0)
    captions = []
    for _ in range(2000):
        species = rng.choice(SPECIES)
        captions.append(caption_bird(species.family, species.plumage(rng.choice(MORPHS)), draw_view(rng), rng))
    texts = [text for _, fields in replies(400, seed=1) for text in fields.values()]
    ours, theirs = four_grams(captions), four_grams(texts)
    assert len(ours & theirs) / len(ours | theirs) < 0.02
