from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import combinations
from random import Random

import numpy as np
import pytest

from fieldguide.aviary.render import draw_sheet, render_bird, render_scene
from fieldguide.aviary.traits import (
    BACKDROPS,
    COLOUR_PARTS,
    FAMILIES,
    GROUNDS,
    LIGHTS,
    OBJECTS,
    OCCLUSIONS,
    PALETTE,
    SKIES,
    VARIABLE,
    CocoScene,
    Family,
    Plumage,
    SceneObject,
    View,
    draw_aviary,
    draw_scene,
    draw_view,
)

PLAIN = View(
    facing=1, pitch=0.0, turn=0.0, zoom=0.8, dx=0.0, dy=0.0, backdrop="sky", backdrop_seed=3, light="plain",
    exposure=1.0, occluder="none", hidden=(), noise=0.0, blur=0.0, perched=True, individual=11,
)  # fmt: skip


@cache
def bird(family: Family, plumage: Plumage, view: View, size: int = 64) -> np.ndarray:
    return np.asarray(render_bird(family, plumage, view, size), dtype=np.int16)


def changed_pixels(a: np.ndarray, b: np.ndarray, threshold: int = 30) -> int:
    return int((np.abs(a - b).max(axis=2) > threshold).sum())


def scene_of(*objects: SceneObject, ground: str = "grass", sky: str = "clear") -> CocoScene:
    return CocoScene(ground, sky, objects, "plain", 1.0, 0.0, 5, None)


def test_the_same_records_give_the_same_bytes() -> None:
    rng = Random(1)
    for species in draw_aviary(0, 20)[::5]:
        view = draw_view(rng)
        first = render_bird(species.family, species.female, view)
        render_bird(species.family, species.male, draw_view(rng))
        assert first.tobytes() == render_bird(species.family, species.female, view).tobytes()
    for share in (0.0, 1.0):
        scene = draw_scene(rng, share)
        assert render_scene(scene).tobytes() == render_scene(scene).tobytes()


@pytest.mark.parametrize("size", [32, 64, 224])
def test_pictures_are_square_rgb_of_the_size_asked_for(size: int) -> None:
    rng = Random(2)
    family = FAMILIES[3]
    pictures = [render_bird(family, family.prototype, draw_view(rng), size), render_scene(draw_scene(rng, 0.0), size)]
    assert [(p.mode, p.size) for p in pictures] == [("RGB", (size, size))] * 2


@pytest.mark.parametrize("part", VARIABLE)
@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f.name)
def test_a_change_of_any_single_part_is_visible_at_64_px(family: Family, part: str) -> None:
    before = replace(family.prototype, crown="olive", breast="buff", belly="buff", wing="brown")
    look = getattr(before, part)
    # the value that is hardest to miss
    if part in COLOUR_PARTS or part in ("bill", "legs"):
        far = max(VARIABLE[part], key=lambda v: sum(abs(x - y) for x, y in zip(PALETTE[v], PALETTE[look], strict=True)))
    else:
        far = next(v for v in reversed(VARIABLE[part]) if v != look)
    a, b = bird(family, before, PLAIN), bird(family, replace(before, **{part: far}), PLAIN)
    assert changed_pixels(a, b) >= 10
    assert np.abs(a - b).mean() > 0.15


@pytest.mark.parametrize("part", [p for p, values in VARIABLE.items() if values[0] == "none"])
def test_each_value_of_a_mark_looks_different(part: str) -> None:
    for family in FAMILIES[::3]:
        base = replace(family.prototype, crown="rufous", breast="buff", belly="buff", wing="blue", streaks="none")
        looks = [bird(family, replace(base, **{part: value}), PLAIN) for value in VARIABLE[part]]
        assert min(changed_pixels(a, b) for a, b in combinations(looks, 2)) >= 8


@pytest.mark.parametrize(("occluder", "hidden"), [(o, h) for o, sets in OCCLUSIONS.items() for h in sets])
def test_an_occluder_hides_what_the_view_says_it_hides(occluder: str, hidden: tuple[str, ...]) -> None:
    for part in hidden:
        seen, left = 0, 0
        for index, family in enumerate(FAMILIES[::2]):
            view = replace(PLAIN, backdrop_seed=index, individual=index, facing=1 - 2 * (index % 2), zoom=0.7)
            one, two = (replace(family.prototype, **{part: colour}) for colour in ("red", "black"))
            seen += changed_pixels(bird(family, one, view), bird(family, two, view))
            view = replace(view, occluder=occluder, hidden=hidden)
            left += changed_pixels(bird(family, one, view), bird(family, two, view))
        assert seen > 50
        assert left < 0.25 * seen


def test_an_unoccluded_bird_is_whole() -> None:
    rng = Random(4)
    for family in FAMILIES:
        view = replace(draw_view(rng), occluder="none", hidden=())
        view = replace(view, light="plain", exposure=1.0, noise=0.0, blur=0.0)
        for part in (*COLOUR_PARTS, "bill", "legs"):
            one, two = (replace(family.prototype, **{part: colour}) for colour in ("red", "black"))
            assert changed_pixels(bird(family, one, view), bird(family, two, view)) >= 4


@pytest.mark.parametrize("pair", list(combinations(FAMILIES, 2)), ids=lambda p: f"{p[0].name}-{p[1].name}")
def test_families_differ_in_shape_alone(pair: tuple[Family, Family]) -> None:
    plumage = replace(FAMILIES[0].prototype, crest="none")
    a, b = (bird(family, plumage, PLAIN) for family in pair)
    assert changed_pixels(a, b) > 150


def test_every_field_of_a_view_changes_the_picture() -> None:
    family = FAMILIES[5]
    plain = bird(family, family.prototype, PLAIN)
    for change in (
        {"facing": -1}, {"pitch": 15.0}, {"turn": 1.0}, {"zoom": 0.6}, {"dx": 0.1}, {"backdrop_seed": 4},
        {"light": "warm"}, {"exposure": 0.8}, {"noise": 6.0}, {"blur": 1.0}, {"perched": False}, {"individual": 12},
    ):  # fmt: skip
        other = bird(family, family.prototype, replace(PLAIN, **change))
        assert np.abs(plain - other).mean() > 0.3, change


def test_light_and_exposure_act_on_the_whole_picture() -> None:
    family = FAMILIES[6]
    plain = bird(family, family.prototype, PLAIN)
    for light, tint in LIGHTS.items():
        lit = bird(family, family.prototype, replace(PLAIN, light=light, exposure=0.9))
        assert np.abs(lit - np.minimum(plain * np.array(tint) * 0.9, 255)).max() <= 1.0


def test_every_backdrop_looks_like_itself_and_varies() -> None:
    family = FAMILIES[0]
    looks = {
        backdrop: [bird(family, family.prototype, replace(PLAIN, backdrop=backdrop, backdrop_seed=s)) for s in (1, 2)]
        for backdrop in BACKDROPS
    }
    for first, second in looks.values():
        assert changed_pixels(first, second) > 100
    for one, other in combinations(BACKDROPS, 2):
        assert np.abs(looks[one][0] - looks[other][0]).mean() > 8


def test_every_object_shows_its_colour_size_and_shape() -> None:
    empty = np.asarray(render_scene(scene_of()), dtype=np.int16)
    masks = {}
    for kind in OBJECTS:
        large = np.asarray(render_scene(scene_of(SceneObject(kind, "red", "large", 0.5, 0.6))), dtype=np.int16)
        small = np.asarray(render_scene(scene_of(SceneObject(kind, "red", "small", 0.5, 0.6))), dtype=np.int16)
        assert changed_pixels(large, empty) > 2 * changed_pixels(small, empty) > 40
        # a kite's tail leaves fewer red pixels than a bus's side, but always enough to name the colour
        assert (np.abs(large - np.array(PALETTE["red"])).max(axis=2) < 40).sum() > 40
        masks[kind] = np.abs(large - empty).max(axis=2) > 30
    for one, other in combinations(OBJECTS, 2):
        assert (masks[one] ^ masks[other]).sum() > 40


def test_every_setting_renders_and_differs() -> None:
    looks = [np.asarray(render_scene(scene_of(ground=g, sky=s)), dtype=np.int16) for g in GROUNDS for s in SKIES]
    assert min(np.abs(a - b).mean() for a, b in combinations(looks, 2)) > 5


def test_a_scene_with_a_bird_is_that_bird() -> None:
    scene = draw_scene(Random(9), 1.0)
    assert scene.bird is not None
    assert render_scene(scene).tobytes() == render_bird(*scene.bird).tobytes()


def test_the_contact_sheet_has_room_for_all_and_repeats_itself() -> None:
    species = draw_aviary(0, 6)
    sheet = draw_sheet(species, columns=2, size=64)
    assert sheet.mode == "RGB"
    assert sheet.width > 2 * 3 * 64
    assert sheet.height > 3 * 64
    assert sheet.tobytes() == draw_sheet(species, columns=2, size=64).tobytes()
    assert sheet.tobytes() != draw_sheet(species, columns=2, size=64, seed=1).tobytes()
