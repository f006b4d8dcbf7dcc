"""The aviary's birds: which are held out, what a world shares with another, and the colours that light leaves."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.aviary import traits
from fieldguide.aviary.traits import (
    COLOUR_PARTS,
    FAMILIES,
    LIGHTS,
    MORPHS,
    OCCLUSIONS,
    PALETTE,
    VARIABLE,
    Plumage,
    draw_aviary,
    draw_scene,
    draw_species,
    draw_view,
    is_held_out,
    lit_rgb,
    seen_colour,
    vary,
)

seeds = st.integers(0, 10**6)
colours = st.sampled_from(sorted(PALETTE))


def differences(one: Plumage, other: Plumage) -> set[str]:
    """The parts in which two plumages differ."""
    return {f.name for f in fields(Plumage) if getattr(one, f.name) != getattr(other, f.name)}


# ---------------------------------------------------------------- families


def test_families_are_made_of_known_values() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES) == 14
    for family in FAMILIES:
        for part, values in VARIABLE.items():
            assert getattr(family.prototype, part) in values, (family.name, part)
        assert family.bill_shape in traits.BILL_SHAPES and family.size in traits.SIZES
        assert family.build in traits.BUILDS and family.tail_length in traits.TAIL_LENGTHS
        assert family.bill_length in ("short", "medium", "long") and family.leg_length in ("short", "long")


def test_no_two_families_share_body_and_plumage() -> None:
    looks = [replace(family, name="", habitat="") for family in FAMILIES]
    assert len(set(looks)) == len(looks)


@given(st.sampled_from(FAMILIES), st.lists(st.sampled_from(sorted(VARIABLE)), unique=True), seeds)
def test_vary_changes_these_parts_and_no_other(family: traits.Family, parts: list[str], seed: int) -> None:
    changed = vary(family.prototype, tuple(parts), Random(seed))
    assert differences(changed, family.prototype) == set(parts)
    assert all(getattr(changed, part) in VARIABLE[part] for part in parts)


# ---------------------------------------------------------------- held-out species


@given(st.sampled_from(FAMILIES), seeds, st.sampled_from([(1, 2), (1, 2, 3), (1, 2, 2, 3, 4, 5)]))
def test_training_birds_are_never_an_aviarys(family: traits.Family, seed: int, parts: tuple[int, ...]) -> None:
    bird = draw_species(family, "", Random(seed), False, parts)
    assert not is_held_out(family, bird.male)
    assert is_held_out(family, draw_species(family, "", Random(seed), True, parts).male)


@pytest.mark.parametrize("seed", range(4))
def test_an_aviarys_species_are_held_out_of_every_training(seed: int) -> None:
    aviary = {(species.family.name, species.male) for species in draw_aviary(seed, 56)}
    assert len(aviary) == 56
    assert all(is_held_out(species.family, species.male) for species in draw_aviary(seed, 56))
    rng = Random(seed)
    trained = set()
    for _ in range(400):
        bird = draw_species(rng.choice(FAMILIES), "", rng, False, (1, 2, 2, 3, 4, 5))
        trained.add((bird.family.name, bird.male))
    assert not aviary & trained


def test_a_scenes_bird_is_never_an_aviarys(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[traits.Species] = []

    def recorded(*given: Any) -> traits.Species:
        drawn.append(draw_species(*given))
        return drawn[-1]

    monkeypatch.setattr(traits, "draw_species", recorded)
    rng = Random(0)
    for _ in range(100):
        scene = draw_scene(rng, 1.0)
        assert scene.bird is not None and scene.objects == ()
        family, plumage, _ = scene.bird
        assert family is drawn[-1].family and plumage in map(drawn[-1].plumage, MORPHS)
        assert not is_held_out(family, drawn[-1].male)


def test_about_a_quarter_is_held_out() -> None:
    rng = Random(0)
    birds = [
        (family, vary(family.prototype, ("crown", "wing", "belly"), rng)) for family in FAMILIES for _ in range(150)
    ]
    share = sum(is_held_out(family, male) for family, male in birds) / len(birds)
    assert 0.2 < share < 0.3


def test_being_held_out_depends_on_the_male_and_the_family_alone() -> None:
    family = FAMILIES[0]
    male = family.prototype
    assert is_held_out(family, male) == is_held_out(replace(family, habitat="elsewhere"), replace(male))
    assert len({is_held_out(replace(family, name=name), male) for name in "abcdefghijklmnop"}) == 2


# ---------------------------------------------------------------- aviaries


@given(seeds, st.integers(0, 56), st.integers(0, 56))
def test_a_smaller_aviary_is_a_prefix(seed: int, few: int, many: int) -> None:
    few, many = sorted((few, many))
    assert draw_aviary(seed, many)[:few] == draw_aviary(seed, few)


@given(seeds)
def test_siblings_are_distinct_and_like_their_family(seed: int) -> None:
    birds = draw_aviary(seed, 56)
    assert len({bird.name for bird in birds}) == 56
    for number, bird in enumerate(birds):
        assert bird.family is FAMILIES[number // 4]
        assert bird.name.endswith(f" {bird.family.name}")
        assert differences(bird.male, bird.family.prototype) == set(bird.changed)
        assert len(bird.changed) in (1, 2)
    for start in range(0, 56, 4):
        assert len({bird.male for bird in birds[start : start + 4]}) == 4


@given(seeds)
def test_morphs(seed: int) -> None:
    for bird in draw_aviary(seed, 56):
        assert [bird.plumage(morph) for morph in MORPHS] == [bird.male, bird.female, bird.juvenile]
        if not bird.family.dimorphic:
            assert bird.female == bird.male
        # Male and female, and female and juvenile, share at least one of the parts that make the species.
        for one, other in ((bird.male, bird.female), (bird.female, bird.juvenile)):
            assert set(bird.changed) - differences(one, other)
        # The bill's own colour and the eye mark tell sex in no family.
        assert differences(bird.male, bird.female) <= set(COLOUR_PARTS)


def test_some_females_are_duller() -> None:
    birds = [bird for bird in draw_aviary(0, 56) if bird.family.dimorphic]
    assert sum(bird.female != bird.male for bird in birds) > len(birds) / 2


def test_other_seeds_are_other_worlds() -> None:
    worlds = [draw_aviary(seed, 16) for seed in range(4)]
    for number, world in enumerate(worlds):
        for other in worlds[:number]:
            assert [bird.male for bird in world] != [bird.male for bird in other]
            assert [bird.name for bird in world] != [bird.name for bird in other]
    assert draw_aviary(2, 16) == worlds[2]


def test_too_many_species_are_refused() -> None:
    with pytest.raises(ValueError, match="n_species is 57, but 14 families of 4 hold no more"):
        draw_aviary(0, 57)
    assert len(draw_aviary(0, 14, per_family=1)) == 14


# ---------------------------------------------------------------- light


@given(colours)
def test_plain_light_changes_no_colour(colour: str) -> None:
    assert seen_colour(colour, "plain") == colour
    assert lit_rgb(colour, "plain") == PALETTE[colour]


@given(colours, st.sampled_from(sorted(LIGHTS)), st.floats(0.7, 1.3))
def test_a_seen_colour_is_the_nearest(colour: str, light: str, exposure: float) -> None:
    lit = lit_rgb(colour, light, exposure)
    assert all(0 <= channel <= 255 for channel in lit)
    distance = {name: sum((a - b) ** 2 for a, b in zip(lit, PALETTE[name], strict=True)) for name in PALETTE}
    assert distance[seen_colour(colour, light, exposure)] == min(distance.values())


def test_light_by_hand() -> None:
    assert lit_rgb("white", "warm") == (255, 240, 184)
    assert lit_rgb("black", "dim", 2.0) == (37, 36, 46)
    # Some light must deceive, or seen and true colours were one.
    assert any(seen_colour(colour, light) != colour for colour in PALETTE for light in LIGHTS)


# ---------------------------------------------------------------- views and scenes


@given(seeds)
def test_views_keep_their_bounds(seed: int) -> None:
    view = draw_view(Random(seed))
    assert view.facing in (-1, 1) and view.backdrop in traits.BACKDROPS and view.light in LIGHTS
    assert 0.55 <= view.zoom <= 0.95 and 0 <= view.turn <= 1 and view.blur >= 0 and 0 <= view.noise <= 9
    if view.occluder == "none":
        assert view.hidden == ()
    else:
        assert view.hidden in OCCLUSIONS[view.occluder]
    assert view == draw_view(Random(seed))


def test_everything_that_may_hide_a_bird_occurs() -> None:
    views = [draw_view(Random(seed)) for seed in range(600)]
    assert {view.occluder for view in views} == {"none", *OCCLUSIONS}
    assert {view.light for view in views} == set(LIGHTS)
    assert 0.4 < sum(view.occluder == "none" for view in views) / 600 < 0.6


@given(seeds)
def test_scenes_without_birds(seed: int) -> None:
    scene = draw_scene(Random(seed), 0.0)
    assert scene.bird is None and 1 <= len(scene.objects) <= 3
    assert all(thing.kind in traits.OBJECTS and thing.colour in PALETTE for thing in scene.objects)
    assert [thing.x for thing in scene.objects] == sorted(thing.x for thing in scene.objects)
    assert asdict(scene) == asdict(draw_scene(Random(seed), 0.0))


def test_the_share_of_birds() -> None:
    rng = Random(0)
    shown = sum(draw_scene(rng, 0.1).bird is not None for _ in range(2000))
    assert 150 < shown < 250
