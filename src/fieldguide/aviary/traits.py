"""The birds and scenes of the aviary, as plain records: what there is to see, before anyone draws or describes it.

A *family* is a body plan with a prototype plumage; a *species* changes one or two of the prototype's parts;
a *morph* (male, female, juvenile) is a plumage of one species. A *view* is everything about one photograph
that is not the bird: pose, background, light, what stands in front. The renderer and both writers read these
records and nothing else, so that what is drawn and what is said agree by construction.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from random import Random

# One RGB per colour word; the renderer paints with it and `seen_colour` finds its way back.
PALETTE: dict[str, tuple[int, int, int]] = {
    "black": (28, 27, 32),
    "grey": (132, 135, 142),
    "white": (240, 240, 236),
    "brown": (104, 68, 42),
    "rufous": (172, 82, 38),
    "buff": (216, 184, 134),
    "red": (200, 34, 40),
    "orange": (238, 132, 26),
    "yellow": (246, 214, 52),
    "olive": (118, 122, 56),
    "green": (48, 140, 70),
    "blue": (42, 92, 188),
    "teal": (44, 160, 164),
    "purple": (112, 58, 150),
    "pink": (236, 152, 172),
}
BRIGHT = ("red", "orange", "yellow", "green", "blue", "teal", "purple", "pink", "rufous")
DULL = {  # what a bright male colour fades to in the female
    "red": "rufous",
    "orange": "buff",
    "yellow": "olive",
    "green": "olive",
    "blue": "grey",
    "teal": "grey",
    "purple": "brown",
    "pink": "buff",
    "rufous": "brown",
    "black": "brown",
}

COLOUR_PARTS = ("crown", "throat", "breast", "belly", "back", "wing", "tail")
BILL_SHAPES = ("conical", "thin", "hooked", "dagger", "curved", "flat")
SIZES = ("small", "medium", "large")
BUILDS = ("round", "slim", "upright", "long-necked")
TAIL_LENGTHS = ("short", "medium", "long", "forked")
CRESTS = ("none", "short", "tall")
WING_BARS = ("none", "one", "two")
STREAKS = ("none", "fine", "bold")
EYE_MARKS = ("none", "ring", "stripe")  # a pale eye ring, a dark stripe through the eye
MORPHS = ("male", "female", "juvenile")
MORPH_SHARES = (0.42, 0.34, 0.24)


@dataclass(frozen=True)
class Plumage:
    """What one morph looks like; every colour is a key of PALETTE."""

    crown: str
    throat: str
    breast: str
    belly: str
    back: str
    wing: str
    tail: str
    bill: str  # bill colour
    legs: str  # leg colour
    crest: str  # CRESTS
    wing_bar: str  # WING_BARS
    wing_bar_colour: str  # "white" or "buff"
    streaks: str  # STREAKS, on breast and belly
    eye_mark: str  # EYE_MARKS


@dataclass(frozen=True)
class Family:
    """A body plan that all species of the family share, and their prototype plumage."""

    name: str
    bill_shape: str
    bill_length: str  # "short", "medium", "long"
    size: str
    build: str
    tail_length: str
    leg_length: str  # "short", "long"
    prototype: Plumage
    habitat: str  # for the LLM writer's background: "reedbeds", "pine forest", ...
    dimorphic: bool  # females duller than males


@dataclass(frozen=True)
class Species:
    """One class of the aviary."""

    name: str  # "Calder Mirefinch"
    family: Family
    changed: tuple[str, ...]  # the parts in which it differs from the family's prototype
    male: Plumage
    female: Plumage
    juvenile: Plumage

    def plumage(self, morph: str) -> Plumage:
        return {"male": self.male, "female": self.female, "juvenile": self.juvenile}[morph]


@dataclass(frozen=True)
class View:
    """One photograph's nuisance: nothing here depends on the bird."""

    facing: int  # +1 looks right, -1 looks left
    pitch: float  # degrees, positive: head up
    turn: float  # 0 side view ... 1 foreshortened body
    zoom: float  # bird length as a share of the frame, about 0.55 to 0.95
    dx: float  # offset of the bird's centre, share of the frame
    dy: float
    backdrop: str  # BACKDROPS
    backdrop_seed: int
    light: str  # LIGHTS
    exposure: float  # multiplies all channels, about 0.75 to 1.2
    occluder: str  # "none", "leaf", "branch", "grass", "edge"
    hidden: tuple[str, ...]  # names of parts that the occluder or the frame hides
    noise: float  # standard deviation, grey levels
    blur: float  # Gaussian radius, pixels at 64 px
    perched: bool  # on a twig, else on the ground or the water
    individual: int  # seed of small differences between individuals (hue, proportions)


BACKDROPS = ("sky", "leaves", "grass", "water", "sand", "snow", "bark", "dusk", "reeds", "rock")
LIGHTS: dict[str, tuple[float, float, float]] = {
    "plain": (1.0, 1.0, 1.0),
    "warm": (1.14, 1.0, 0.78),
    "cool": (0.84, 0.98, 1.16),
    "dim": (0.66, 0.66, 0.72),
    "green shade": (0.84, 1.06, 0.80),
}
LIGHT_SHARES = (0.44, 0.18, 0.16, 0.12, 0.10)
# What each occluder may cover; "edge" is the frame cutting the bird off.
OCCLUSIONS: dict[str, tuple[tuple[str, ...], ...]] = {
    "leaf": (("wing",), ("tail",), ("breast",), ("belly", "legs"), ("crown",), ("throat",)),
    "branch": (("legs", "belly"), ("legs",), ("wing",), ("tail",)),
    "grass": (("legs", "belly"), ("legs",), ("legs", "tail")),
    "edge": (("tail",), ("legs",), ("bill",)),
}


def draw_view(rng: Random) -> View:
    """Draw one photograph's nuisance."""
    occluder = "none"
    hidden: tuple[str, ...] = ()
    if rng.random() < 0.5:
        occluder = rng.choice(tuple(OCCLUSIONS))
        hidden = rng.choice(OCCLUSIONS[occluder])
    return View(
        facing=rng.choice((-1, 1)),
        pitch=rng.gauss(0, 11),
        turn=rng.random() ** 2,
        zoom=rng.uniform(0.58, 0.95),
        dx=rng.gauss(0, 0.05),
        dy=rng.gauss(0, 0.04),
        backdrop=rng.choice(BACKDROPS),
        backdrop_seed=rng.randrange(1 << 30),
        light=rng.choices(tuple(LIGHTS), LIGHT_SHARES)[0],
        exposure=rng.uniform(0.78, 1.18),
        occluder=occluder,
        hidden=tuple(hidden),
        noise=rng.uniform(0, 9),
        blur=max(0.0, rng.gauss(0.25, 0.35)),
        perched=rng.random() < 0.6,
        individual=rng.randrange(1 << 30),
    )


def lit_rgb(colour: str, light: str, exposure: float = 1.0) -> tuple[int, int, int]:
    """RGB of a palette colour under a light, 0 to 255."""
    r, g, b = (round(min(255.0, c * t * exposure)) for c, t in zip(PALETTE[colour], LIGHTS[light], strict=True))
    return r, g, b


@lru_cache(maxsize=4096)
def seen_colour(colour: str, light: str, exposure: float = 1.0) -> str:
    """The colour word an annotator would choose for `colour` under this light: the nearest palette entry."""
    lit = lit_rgb(colour, light, exposure)
    return min(PALETTE, key=lambda name: sum((a - b) ** 2 for a, b in zip(lit, PALETTE[name], strict=True)))


# ---------------------------------------------------------------- families and species

_FAMILIES = (
    # name, bill shape, bill length, size, build, tail, legs, habitat, dimorphic, prototype (Plumage order)
    ("Mirefinch", "conical", "short", "small", "round", "medium", "short", "wet meadows", True,
     ("red", "red", "red", "buff", "brown", "brown", "brown", "buff", "pink", "none", "one", "white", "none", "none")),
    ("Cragwren", "curved", "medium", "small", "round", "short", "short", "stony slopes", False,
     ("brown", "white", "buff", "rufous", "brown", "brown", "rufous", "grey", "brown", "none", "none", "buff", "fine", "stripe")),
    ("Silkwarbler", "thin", "short", "small", "slim", "medium", "short", "willow scrub", True,
     ("olive", "yellow", "yellow", "yellow", "olive", "olive", "olive", "black", "black", "none", "two", "white", "none", "ring")),
    ("Gloamjay", "dagger", "medium", "medium", "slim", "long", "short", "oak woods", False,
     ("blue", "white", "grey", "grey", "blue", "blue", "blue", "black", "black", "tall", "one", "white", "none", "none")),
    ("Tarnheron", "dagger", "long", "large", "long-necked", "short", "long", "lake margins", False,
     ("grey", "white", "grey", "white", "grey", "grey", "grey", "yellow", "olive", "short", "none", "white", "fine", "stripe")),
    ("Emberthrush", "thin", "medium", "medium", "upright", "medium", "long", "beech forest", False,
     ("grey", "white", "orange", "orange", "brown", "brown", "grey", "yellow", "brown", "none", "none", "buff", "bold", "ring")),
    ("Skerrygull", "hooked", "medium", "large", "slim", "short", "short", "sea cliffs", False,
     ("white", "white", "white", "white", "grey", "grey", "black", "yellow", "pink", "none", "none", "white", "none", "none")),
    ("Dusktanager", "conical", "medium", "medium", "round", "medium", "short", "cloud forest", True,
     ("purple", "black", "teal", "teal", "purple", "black", "black", "black", "grey", "none", "one", "buff", "none", "none")),
    ("Veilparrot", "hooked", "short", "medium", "upright", "long", "short", "palm groves", False,
     ("yellow", "green", "green", "green", "green", "green", "blue", "red", "grey", "short", "none", "white", "none", "ring")),
    ("Fernduck", "flat", "medium", "large", "round", "short", "short", "ponds", True,
     ("green", "green", "rufous", "white", "brown", "grey", "black", "yellow", "orange", "none", "one", "white", "none", "none")),
    ("Larkshrike", "hooked", "short", "medium", "round", "long", "short", "open heath", False,
     ("grey", "white", "white", "buff", "grey", "black", "black", "black", "black", "none", "one", "white", "none", "stripe")),
    ("Ripplesnipe", "thin", "long", "medium", "long-necked", "short", "long", "tidal flats", False,
     ("brown", "buff", "buff", "white", "brown", "brown", "brown", "black", "yellow", "none", "none", "buff", "bold", "stripe")),
    ("Kitehawk", "hooked", "medium", "large", "upright", "forked", "short", "river valleys", False,
     ("white", "white", "rufous", "rufous", "brown", "black", "rufous", "grey", "yellow", "none", "none", "buff", "fine", "none")),
    ("Pollenbird", "curved", "long", "small", "slim", "forked", "short", "flowering hillsides", True,
     ("green", "pink", "white", "white", "green", "teal", "purple", "black", "black", "none", "none", "white", "none", "none")),
)  # fmt: skip

FAMILIES: tuple[Family, ...] = tuple(
    Family(name, shape, bill_length, size, build, tail, legs, Plumage(*plumage), habitat, dimorphic)
    for name, shape, bill_length, size, build, tail, legs, habitat, dimorphic, plumage in _FAMILIES
)

EPITHETS = (
    "Calder", "Ostrey", "Harrow", "Venn", "Tamsin", "Quill", "Brannoch", "Ilford", "Sable", "Morrow", "Kestle", "Udal",
    "Penrith", "Lorne", "Fenwick", "Garrick", "Isolde", "Wexcombe", "Nairn", "Dunmore", "Arden", "Bexley", "Corrie",
    "Delamere", "Esk", "Farrow", "Glendale", "Hollin", "Jarrow", "Kirkby", "Lindow", "Marlow", "Nuthurst", "Orrin",
    "Pellew", "Rannoch", "Selwyn", "Thirlby", "Ullin", "Wharram", "Yarrow", "Zennor", "Ashby", "Brixham", "Cadnam",
    "Dorran", "Elgol", "Foyle", "Grasmere", "Hexham", "Inver", "Kelso", "Laxey", "Melrose", "Northam", "Oban", "Purbeck",
    "Rydal", "Staffin", "Tiree", "Uist", "Wells", "Alston", "Bude", "Conway", "Devizes", "Eyam", "Frome", "Goring",
)  # fmt: skip

# Parts in which a species may differ from its family, and the values each may take.
VARIABLE: dict[str, tuple[str, ...]] = {
    **{part: tuple(PALETTE) for part in COLOUR_PARTS},
    "bill": ("black", "grey", "yellow", "orange", "red", "pink", "buff"),
    "legs": ("black", "grey", "yellow", "orange", "red", "pink", "olive", "brown"),
    "crest": CRESTS,
    "wing_bar": WING_BARS,
    "streaks": STREAKS,
    "eye_mark": EYE_MARKS,
}


def is_held_out(family: Family, male: Plumage) -> bool:
    """True for the quarter of all possible birds that only an aviary may use; CLIP's training takes the rest.

    A hash of the genome decides, so that every aviary seed's species are held out of every CLIP training.
    """
    text = family.name + "|" + "|".join(getattr(male, f.name) for f in fields(male))
    return hashlib.sha256(text.encode()).digest()[0] < 64


def vary(prototype: Plumage, parts: tuple[str, ...], rng: Random) -> Plumage:
    """The prototype with each of `parts` changed to another value."""
    return replace(
        prototype, **{part: rng.choice([v for v in VARIABLE[part] if v != getattr(prototype, part)]) for part in parts}
    )


def morphs_of(family: Family, male: Plumage, changed: tuple[str, ...], rng: Random) -> tuple[Plumage, Plumage]:
    """Female and juvenile of a species.

    The female of a dimorphic family is duller, but keeps about half of what sets the species apart; a juvenile
    is browner and streaked and keeps one such part, so that the young of one family are hard to tell apart.
    """
    kept_by_female = {part for part in changed if rng.random() < 0.6} or {rng.choice(changed)}
    kept_by_juvenile = {rng.choice(changed)}
    female = male
    if family.dimorphic:
        dull = {p: DULL.get(getattr(male, p), getattr(male, p)) for p in COLOUR_PARTS if p not in kept_by_female}
        female = replace(male, **dull)
    young: dict[str, str] = {}
    for part in ("crown", "breast", "back", "wing"):
        if part not in kept_by_juvenile:
            young[part] = {"crown": "brown", "breast": "buff", "back": "brown", "wing": "brown"}[part]
    if "streaks" not in kept_by_juvenile:
        young["streaks"] = "bold" if male.streaks == "none" else male.streaks
    if "bill" not in kept_by_juvenile:
        young["bill"] = "grey"
    if "crest" not in kept_by_juvenile:
        young["crest"] = "none"
    return female, replace(female, **young)


def draw_species(family: Family, name: str, rng: Random, held_out: bool, parts_changed: tuple[int, ...]) -> Species:
    """Draw one species of a family; `held_out` chooses between the aviary's birds and CLIP's training birds."""
    while True:
        changed = tuple(rng.sample(tuple(VARIABLE), rng.choice(parts_changed)))
        male = vary(family.prototype, changed, rng)
        if is_held_out(family, male) == held_out:
            return Species(name, family, changed, male, *morphs_of(family, male, changed, rng))


def draw_aviary(
    seed: int, n_species: int, per_family: int = 4, parts_changed: tuple[int, ...] = (1, 2)
) -> list[Species]:
    """The species of one aviary: families of `per_family`, in a fixed order; a smaller aviary is a prefix of a larger.

    Raises ValueError when more species are asked for than the families hold.
    """
    if n_species > len(FAMILIES) * per_family:
        raise ValueError(f"aviary: n_species is {n_species}, but {len(FAMILIES)} families of {per_family} hold no more")
    epithets = list(EPITHETS)
    Random(f"epithets-{seed}").shuffle(epithets)
    species: list[Species] = []
    for index in range(n_species):
        family = FAMILIES[index // per_family]
        siblings = [s.male for s in species if s.family is family]
        rng = Random(f"species-{seed}-{index}")
        while True:
            drawn = draw_species(family, f"{epithets[index]} {family.name}", rng, True, parts_changed)
            if drawn.male not in siblings:
                species.append(drawn)
                break
    return species


# ---------------------------------------------------------------- scenes, as COCO has them

OBJECTS = ("house", "tree", "boat", "ball", "car", "kite", "fence", "mountain", "cup", "flower", "chair", "bus", "lamp", "dog", "cat", "umbrella")  # fmt: skip
GROUNDS = ("grass", "sand", "snow", "water", "road", "floor")
SKIES = ("clear", "cloudy", "dusk", "night", "wall")


@dataclass(frozen=True)
class SceneObject:
    kind: str  # OBJECTS
    colour: str  # PALETTE
    size: str  # "small", "large"
    x: float  # centre, share of the frame
    y: float


@dataclass(frozen=True)
class CocoScene:
    """One image of the pairs: a setting, one to three objects, now and then a bird of any kind."""

    ground: str
    sky: str
    objects: tuple[SceneObject, ...]
    light: str
    exposure: float
    noise: float
    seed: int
    bird: tuple[Family, Plumage, View] | None


def draw_scene(rng: Random, bird_share: float) -> CocoScene:
    """Draw one scene; with probability `bird_share` it is a bird (never one of an aviary's own species)."""
    bird = None
    n_objects = rng.choice((1, 1, 2, 2, 3))
    if rng.random() < bird_share:
        species = draw_species(rng.choice(FAMILIES), "", rng, False, (1, 2, 3))
        bird = (species.family, species.plumage(rng.choices(MORPHS, MORPH_SHARES)[0]), draw_view(rng))
        n_objects = 0
    xs = [(i + 0.5) / max(n_objects, 1) + rng.uniform(-0.08, 0.08) for i in range(n_objects)]
    objects = tuple(
        SceneObject(
            rng.choice(OBJECTS), rng.choice(tuple(PALETTE)), rng.choice(("small", "large")), x, rng.uniform(0.45, 0.7)
        )
        for x in xs
    )
    return CocoScene(
        ground=rng.choice(GROUNDS),
        sky=rng.choice(SKIES),
        objects=objects,
        light=rng.choices(tuple(LIGHTS), LIGHT_SHARES)[0],
        exposure=rng.uniform(0.8, 1.15),
        noise=rng.uniform(0, 9),
        seed=rng.randrange(1 << 30),
        bird=bird,
    )
