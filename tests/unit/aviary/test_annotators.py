"""The human captions: what they may say about a photograph, and how they vary."""

from __future__ import annotations

import re
from dataclasses import replace
from random import Random

import pytest

from fieldguide.aviary.annotators import (
    ANNOTATORS,
    COLOUR_WORDS,
    MAX_WORDS,
    MISTAKES,
    Statement,
    caption_bird,
    caption_bird_coarsely,
    caption_scene,
)
from fieldguide.aviary.traits import (
    COLOUR_PARTS,
    FAMILIES,
    MORPHS,
    OCCLUSIONS,
    draw_aviary,
    draw_scene,
    draw_view,
    seen_colour,
)

# Every word that would give a part away.
PART_PATTERNS = {
    "crown": r"head|crown|cap|crest|tuft|mohawk|eyes?|face|nape",
    "throat": r"throat|necks?|necked|chin",
    "breast": r"chest|breast|underside|front",
    "belly": r"belly|stomach|tummy|underside|vent",
    "back": r"back|mantle",
    "wing": r"wings?|winged|wingspan",
    "tail": r"tails?|tailed",
    "bill": r"beaks?|bills?|beaked|billed",
    "legs": r"legs?|feet|foot|toes?|claws?|talons?|legged",
}
COLOUR_OF_WORDS = {word: colour for colour, words in COLOUR_WORDS.items() for word in words}
ANY_COLOUR = re.compile(r"\b(" + "|".join(sorted(COLOUR_OF_WORDS, key=len, reverse=True)) + r")\b", re.IGNORECASE)
SPECIES = draw_aviary(1, 40)


def photographs(n: int, seed: int = 0):
    rng = Random(seed)
    for _ in range(n):
        species = rng.choice(SPECIES)
        yield species, species.plumage(rng.choice(MORPHS)), draw_view(rng), rng


def colours_in(text: str) -> set[str]:
    return {COLOUR_OF_WORDS[word.lower()] for word in ANY_COLOUR.findall(text)}


def test_every_caption_keeps_to_the_visible_parts():
    for species, plumage, view, rng in photographs(80):
        for occluder, choices in OCCLUSIONS.items():
            for hidden in choices:
                shot = replace(view, occluder=occluder, hidden=hidden)
                caption = caption_bird(species.family, plumage, shot, rng, typos=0)
                for part in hidden:
                    assert not re.search(rf"\b({PART_PATTERNS[part]})\b", caption, re.IGNORECASE), (hidden, caption)


def test_streaks_are_not_told_when_both_breast_and_belly_are_hidden():
    for species, plumage, view, rng in photographs(300):
        shot = replace(view, hidden=("breast", "belly"))
        caption = caption_bird(species.family, replace(plumage, streaks="bold"), shot, rng, typos=0)
        assert not re.search(r"streak|spots|specks|lines on", caption), caption


def test_without_mistakes_all_colours_are_those_the_light_shows():
    for species, plumage, view, rng in photographs(800):
        parts = [part for part in (*COLOUR_PARTS, "bill", "legs", "wing_bar_colour") if part not in view.hidden]
        seen = {seen_colour(getattr(plumage, part), view.light, view.exposure) for part in parts}
        caption = caption_bird(species.family, plumage, view, rng, mistakes=0, typos=0)
        assert colours_in(caption) <= seen, (caption, seen)
        caption = caption_bird_coarsely(species.family, plumage, view, rng, mistakes=0)
        assert colours_in(caption) <= seen, (caption, seen)


def test_without_mistakes_every_part_has_its_own_colour():
    for species, plumage, view, rng in photographs(800):
        statements: list[Statement] = []
        caption_bird(species.family, plumage, view, rng, mistakes=0, statements=statements)
        assert statements
        for parts, said, true in statements:
            assert said == true
            shown = [seen_colour(getattr(plumage, part), view.light, view.exposure) for part in parts.split("+")]
            if len(shown) > 1 and said in COLOUR_WORDS:
                assert set(shown) == {said}


def test_share_of_mistakes_is_the_constant():
    statements: list[Statement] = []
    for species, plumage, view, rng in photographs(2000):
        caption_bird(species.family, plumage, view, rng, statements=statements)
    share = sum(said != true for _, said, true in statements) / len(statements)
    assert MISTAKES - 0.015 < share < MISTAKES + 0.015


def test_two_sloppy_annotators_misspell_and_nobody_else():
    assert sum(who.sloppy for who in ANNOTATORS.values()) == 2
    misspelt = 0
    for species, plumage, view, rng in photographs(500):
        seed = rng.random()
        kept = caption_bird(species.family, plumage, view, Random(seed), typos=0)
        wild = caption_bird(species.family, plumage, view, Random(seed), typos=1.0)
        misspelt += kept.lower().rstrip(".") != wild.lower().rstrip(".")
    assert 0.13 < misspelt / 500 < 0.27


def test_same_seed_same_caption():
    for species, plumage, view, rng in photographs(50):
        seed = rng.random()
        for write in (caption_bird, caption_bird_coarsely):
            first = write(species.family, plumage, view, Random(seed))
            assert first == write(species.family, plumage, view, Random(seed))
        scene = draw_scene(Random(seed), 0.3)
        assert caption_scene(scene, Random(seed)) == caption_scene(scene, Random(seed))


def test_captions_vary():
    distinct_of_five = []
    for species, plumage, view, rng in photographs(100):
        distinct_of_five.append(len({caption_bird(species.family, plumage, view, rng) for _ in range(5)}))
    assert sum(distinct_of_five) / 100 > 4.7
    assert len({caption_bird(s.family, p, v, rng) for s, p, v, rng in photographs(200)}) > 150
    rng = Random(3)
    scenes = [draw_scene(rng, 0.1) for _ in range(100)]
    assert sum(len({caption_scene(scene, rng) for _ in range(5)}) for scene in scenes) / 100 > 4.3


def test_no_names_and_no_long_captions():
    names = {word.lower() for species in draw_aviary(2, 40) + SPECIES for word in species.name.split()}
    names |= {family.name.lower() for family in FAMILIES}
    for species, plumage, view, rng in photographs(1200):
        caption = caption_bird(species.family, plumage, view, rng)
        assert 3 <= len(caption.split()) <= MAX_WORDS, caption
        assert not names & set(re.findall(r"[a-z]+", caption.lower())), caption
        assert "  " not in caption and " ." not in caption, caption


@pytest.mark.parametrize("bird_share", [0.0, 1.0])
def test_a_scene_says_bird_when_there_is_one_and_never_otherwise(bird_share: float):
    rng = Random(5)
    for _ in range(800):
        caption = caption_scene(draw_scene(rng, bird_share), rng)
        assert bool(re.search(r"\bbirds?\b", caption, re.IGNORECASE)) == bool(bird_share), caption
        assert "  " not in caption and " ." not in caption and " ," not in caption, caption
        if not bird_share:
            assert not re.search(r"bird|beak|feather|wing|crest", caption, re.IGNORECASE), caption


def test_scene_colours_are_those_the_light_shows():
    rng = Random(6)
    for _ in range(800):
        scene = draw_scene(rng, 0.0)
        seen = {seen_colour(thing.colour, scene.light, scene.exposure) for thing in scene.objects}
        assert colours_in(caption_scene(scene, rng, mistakes=0)) <= seen


def test_a_bird_of_which_only_the_bill_shows_can_still_be_described():
    species, plumage, view, rng = next(photographs(1))
    shot = replace(view, hidden=(*COLOUR_PARTS, "legs"))
    assert all(caption_bird(species.family, plumage, shot, rng) for _ in range(200))
    assert all("bird" in caption_bird_coarsely(species.family, plumage, shot, rng) for _ in range(50))
