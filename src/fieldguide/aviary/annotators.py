"""The aviary's human captions: Reed's part (one photograph of a bird) and COCO's part (scenes).

Every caption is written from what the photograph shows: parts that are not hidden, colours as the light shows
them. Ten annotators differ in habits, spelling and care. The writer of the class descriptions (`writer`) shares
no template and no phrase with this module; a test bounds the overlap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from fieldguide.aviary.traits import (
    BRIGHT,
    COLOUR_PARTS,
    PALETTE,
    CocoScene,
    Family,
    Plumage,
    SceneObject,
    View,
    seen_colour,
)

MISTAKES = 0.06  # share of a bird's features told with a wrong colour or on a wrong part
TYPOS = 0.04  # share of the words that the two sloppy annotators misspell
SCENE_MISTAKES = 0.03  # share of wrong colours in COCO-style captions
MAX_WORDS = 30

# What people call the colours, the most usual word first.
COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "black": ("black",),
    "grey": ("gray", "grey"),
    "white": ("white",),
    "brown": ("brown",),
    "rufous": ("reddish brown", "rusty", "rust colored"),
    "buff": ("tan", "beige", "cream colored"),
    "red": ("red",),
    "orange": ("orange",),
    "yellow": ("yellow",),
    "olive": ("olive", "olive green", "greenish brown"),
    "green": ("green",),
    "blue": ("blue",),
    "teal": ("turquoise", "teal", "blue green"),
    "purple": ("purple", "violet"),
    "pink": ("pink",),
}
# What people call the parts, the most usual word first; plural words end in "s" or are "feet".
PART_WORDS: dict[str, tuple[str, ...]] = {
    "crown": ("head", "head", "top of the head", "crown"),
    "throat": ("throat", "neck"),
    "breast": ("chest", "chest", "breast"),
    "belly": ("belly", "belly", "stomach", "tummy"),
    "back": ("back",),
    "wing": ("wings", "wings", "wing", "wing feathers"),
    "tail": ("tail", "tail", "tail feathers"),
    "bill": ("beak", "beak", "bill"),
    "legs": ("legs", "feet"),
}
_BILL_SHAPE_WORDS = {
    "conical": ("thick", "stubby", "triangular", "cone shaped"),
    "thin": ("thin", "pointy", "skinny", "needle like"),
    "hooked": ("hooked", "sharp hooked"),
    "dagger": ("straight pointed", "sharp pointed", "spear like"),
    "curved": ("curved", "down curved", "bent"),
    "flat": ("flat", "wide flat", "broad"),
}
_SIZE_WORDS = {
    "small": ("small", "tiny", "little"),
    "medium": ("medium sized", "medium", "mid sized"),
    "large": ("large", "big", "very big"),
}
_BUILD_WORDS = {
    "round": ("round", "plump", "chubby"),
    "slim": ("slim", "skinny", "sleek"),
    "upright": ("upright", "proud looking"),
    "long-necked": ("long necked",),
}
_VIVID = tuple(colour for colour in BRIGHT if colour != "rufous")
_PRAISE = ("lovely", "pretty", "beautiful", "charming", "handsome", "striking")
_AS_BIG_AS = {
    "small": (
        "no bigger than a fist",
        "small enough to sit in a hand",
        "about as big as a plum",
        "the size of a mouse",
    ),
    "medium": ("about the size of a shoe", "as big as a squirrel", "the size of a small melon"),
    "large": ("as large as a cat", "bigger than a football", "the size of a small dog"),
}
_AREA = {"crown": 1.0, "throat": 0.7, "breast": 2.0, "belly": 1.6, "back": 1.5, "wing": 2.0, "tail": 0.8}


class Statement(NamedTuple):
    """One thing that a caption says, for tests: the part, what was said of it, what the photograph shows."""

    part: str
    said: str
    true: str


@dataclass(frozen=True)
class _Feature:
    """Something about the bird that one may mention; `parts` are the parts that must be visible."""

    kind: str  # "colour", "bill", "legs", "crest", "bar", "streaks", "eye", "tail shape"
    parts: tuple[str, ...]
    colour: str = ""
    shape: str = ""


@dataclass(frozen=True)
class _Annotator:
    """A person's habits."""

    compose: Callable[[_CaptionWriter], str]
    features: tuple[int, ...]  # how many features they mention
    merges: float = 0.4  # how often parts of one colour are said together
    gray: str = "gray"
    capital: float = 0.0  # how often the caption begins with a capital
    period: float = 0.5
    sloppy: bool = False
    size_share: float = 0.6
    shape_share: float = 0.6  # how often a shape is given with a colour


# ---------------------------------------------------------------- what there is to see


def _shown(plumage: Plumage, part: str, view: View) -> str:
    return seen_colour(getattr(plumage, part), view.light, view.exposure)


def _features(family: Family, plumage: Plumage, view: View) -> tuple[list[_Feature], list[float]]:
    """All visible features with their salience."""
    hidden = set(view.hidden)
    found: list[tuple[_Feature, float]] = []

    def add(weight: float, kind: str, parts: tuple[str, ...], colour: str = "", shape: str = "") -> None:
        found.append((_Feature(kind, parts, colour, shape), weight))

    for part in COLOUR_PARTS:
        if part not in hidden:
            colour = _shown(plumage, part, view)
            vivid = 2.6 if colour in BRIGHT else 1.5 if colour in ("black", "white") else 1.0
            shape = family.tail_length if part == "tail" else ""
            add(vivid * {"tail": 0.7, "throat": 0.8, "belly": 0.9}.get(part, 1.1), "colour", (part,), colour, shape)
    if "bill" not in hidden:
        add(2.8, "bill", ("bill",), _shown(plumage, "bill", view), family.bill_shape)
    if "legs" not in hidden:
        add(1.1, "legs", ("legs",), _shown(plumage, "legs", view), family.leg_length)
    if "crown" not in hidden:
        if plumage.crest != "none":
            add(3.2 if plumage.crest == "tall" else 2.0, "crest", ("crown",), shape=plumage.crest)
        if plumage.eye_mark != "none":
            add(1.8, "eye", ("crown",), shape=plumage.eye_mark)
    if "wing" not in hidden and plumage.wing_bar != "none":
        colour = seen_colour(plumage.wing_bar_colour, view.light, view.exposure)
        add(2.0, "bar", ("wing",), colour, plumage.wing_bar)
    streaked = tuple(part for part in ("breast", "belly") if part not in hidden)
    if plumage.streaks != "none" and streaked:
        add(2.4 if plumage.streaks == "bold" else 1.4, "streaks", streaked, shape=plumage.streaks)
    if "tail" not in hidden and family.tail_length in ("long", "forked"):
        add(1.0, "tail shape", ("tail",), shape=family.tail_length)
    return [feature for feature, _ in found], [weight for _, weight in found]


def _overall(plumage: Plumage, view: View) -> list[str]:
    """The colours that the visible plumage mostly shows, the most frequent first."""
    areas: dict[str, float] = {}
    for part in COLOUR_PARTS:
        if part not in view.hidden:
            colour = _shown(plumage, part, view)
            areas[colour] = areas.get(colour, 0.0) + _AREA[part]
    return sorted(areas, key=lambda colour: -areas[colour])


def _confused(colour: str, rng: Random) -> str:
    """A colour that someone might take `colour` for: one of the five nearest others."""
    near = sorted(PALETTE, key=lambda c: sum((a - b) ** 2 for a, b in zip(PALETTE[c], PALETTE[colour], strict=True)))
    return rng.choice(near[1:6])


def _draw_features(found: list[_Feature], weights: list[float], n: int, rng: Random) -> list[_Feature]:
    """`n` different features by salience; a tail's shape and its colour are one mention."""
    found, weights = list(found), list(weights)
    drawn: list[_Feature] = []
    while found and len(drawn) < n:
        index = rng.choices(range(len(found)), weights)[0]
        feature = found.pop(index)
        weights.pop(index)
        if "tail" in feature.parts and any("tail" in other.parts for other in drawn):
            continue
        drawn.append(feature)
    return drawn


# ---------------------------------------------------------------- words


def _article(phrase: str) -> str:
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def _plural(word: str) -> bool:
    return word == "feet" or word.endswith(("wings", "feathers", "legs"))


def _listing(phrases: Sequence[str], last: str = " and ") -> str:
    return phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + last + phrases[-1]


class _CaptionWriter:
    """One annotator at one photograph: what they noticed, and how they put it."""

    def __init__(self, who: _Annotator, family: Family, plumage: Plumage, view: View, rng: Random) -> None:
        self.who, self.family, self.view, self.rng = who, family, view, rng
        self.overall = _overall(plumage, view)
        self.noted: list[_Feature] = []

    def pick(self, *phrases: str) -> str:
        return self.rng.choice(phrases)

    def colour(self, colour: str) -> str:
        if colour == "grey":
            return self.who.gray
        words = COLOUR_WORDS[colour]
        return words[0] if self.rng.random() < 0.6 else self.rng.choice(words)

    def part(self, part: str) -> str:
        return self.rng.choice(PART_WORDS[part])

    def size(self) -> str:
        """A word for the size and a space, or nothing."""
        return self.rng.choice(_SIZE_WORDS[self.family.size]) + " " if self.rng.random() < self.who.size_share else ""

    def build(self) -> str:
        """A word for the build and a space, or nothing; a long neck is not told where the throat cannot be seen."""
        if self.rng.random() > 0.25 or (self.family.build == "long-necked" and "throat" in self.view.hidden):
            return ""
        return self.rng.choice(_BUILD_WORDS[self.family.build]) + " "

    def bare(self, feature: _Feature) -> tuple[str, bool]:
        """The feature as a noun phrase without article, and whether it is plural."""
        rng = self.rng
        if feature.kind in ("colour", "legs"):
            words = [self.part(part) for part in feature.parts]
            said = self.colour(feature.colour)
            if feature.shape == "long" and rng.random() < self.who.shape_share:
                said = f"long {said}"
            elif feature.shape in ("short", "forked") and rng.random() < 0.4 * self.who.shape_share:
                said = f"{feature.shape} {said}"
            elif feature.kind == "colour" and len(words) == 1 and rng.random() < 0.12:
                said = f"{self.pick('bright', 'vivid') if feature.colour in _VIVID else 'all'} {said}"
            return f"{said} {_listing(words)}", _plural(words[0])
        if feature.kind == "bill":
            words_of_shape = []
            if rng.random() < self.who.shape_share:
                words_of_shape.append(rng.choice(_BILL_SHAPE_WORDS[feature.shape]))
            if self.family.bill_length != "medium" and rng.random() < self.who.shape_share:
                words_of_shape.insert(0, self.family.bill_length)
            if not words_of_shape or rng.random() < 0.75:
                words_of_shape.append(self.colour(feature.colour))
            return f"{' '.join(words_of_shape)} {self.part('bill')}", False
        if feature.kind == "crest":
            if feature.shape == "tall":
                return self.pick(
                    "tall crest", "tall spiky tuft on the head", "big pointed crest", "mohawk on its head"
                ), False
            return self.pick("small crest", "little tuft on the head", "short crest", "bit of a crest"), False
        if feature.kind == "bar":
            said = self.colour(feature.colour)
            if feature.shape == "two":
                return self.pick(
                    f"two {said} stripes on the wing", f"two {said} wing bars", f"double {said} wing stripes"
                ), True
            return self.pick(
                f"{said} stripe on the wing", f"single {said} wing bar", f"{said} band across the wing"
            ), False
        if feature.kind == "streaks":
            where = self.part(rng.choice(feature.parts))
            if feature.shape == "bold":
                return self.pick(
                    f"heavy dark streaks on the {where}",
                    f"big dark spots on the {where}",
                    f"bold streaks down its {where}",
                ), True
            return self.pick(
                f"faint streaks on the {where}", f"thin dark lines on the {where}", f"little specks on its {where}"
            ), True
        if feature.kind == "eye":
            if feature.shape == "ring":
                return self.pick("pale ring around the eye", "light eye ring", "pale circle round its eye"), False
            return self.pick("dark stripe through the eye", "dark line across its eye", "dark eye stripe"), False
        return f"{feature.shape} {self.part('tail')}", False  # tail shape

    def phrase(self, feature: _Feature) -> str:
        """The feature as a noun phrase with its article."""
        said, plural = self.bare(feature)
        return said if plural or said.endswith("feathers") else _article(said)

    def clause(self, feature: _Feature) -> str:
        """The feature as a clause: "its head and back are red"."""
        if feature.kind not in ("colour", "legs"):
            many = feature.kind == "streaks" or feature.shape == "two"
            opening = "it has" if feature.kind == "bill" else self.pick("it has", "there are" if many else "there is")
            return f"{opening} {self.phrase(feature)}"
        words = [self.part(part) for part in feature.parts]
        many = len(words) > 1 or _plural(words[0])
        return f"{self.pick('the', 'its')} {_listing(words)} {'are' if many else 'is'} {self.colour(feature.colour)}"


# ---------------------------------------------------------------- the annotators


def _plain(s: _CaptionWriter) -> str:
    first, phrases = s.noted[0], [s.phrase(f) for f in s.noted]
    if first.kind == "colour" and first.parts == ("wing",) and len(s.noted) > 1 and s.rng.random() < 0.6:
        return f"the wings of this bird are {s.colour(first.colour)}, it has {_listing(phrases[1:])}"
    return f"{s.pick('this bird has', 'this bird has', 'this is a bird that has')} {_listing(phrases)}"


def _terse(s: _CaptionWriter) -> str:
    named = s.colour(s.overall[0]) + " " if s.overall and s.rng.random() < 0.5 else ""
    return f"{s.size()}{named}bird with {' and '.join(s.bare(f)[0] for f in s.noted)}"


def _lister(s: _CaptionWriter) -> str:
    items = [s.bare(f)[0] for f in s.noted]
    return f"{s.size()}{s.build()}bird{s.pick(': ', ', ')}{s.pick(', ', ', ', '; ').join(items)}"


def _flowery(s: _CaptionWriter) -> str:
    items = [s.phrase(f) for f in s.noted]
    praise = s.rng.choice(_PRAISE)
    if s.overall and s.rng.random() < 0.5:
        dress = " and ".join(COLOUR_WORDS[c][0] for c in s.overall[:2])
        wearing = s.pick("showing off", "proudly wearing", "with")
        return f"{_article(praise)} {s.build()}bird dressed in {dress}, {wearing} {_listing(items)}"
    gift = s.pick("graced with", "adorned with", "blessed with")
    return f"what {_article(praise)} {s.size()}bird, {gift} {_listing(items)}"


def _sizer(s: _CaptionWriter) -> str:
    items = [s.phrase(f) for f in s.noted]
    size = s.rng.choice(_AS_BIG_AS[s.family.size])
    if s.rng.random() < 0.5:
        return f"{_article(s.build() + 'bird')} {size}, with {_listing(items)}"
    if "bill" not in s.view.hidden and s.rng.random() < 0.5:
        fit = {"short": "is short for its body", "medium": "fits its body", "long": "is long for its body"}[
            s.family.bill_length
        ]
        return f"a bird {size}, it has {_listing(items)}, the beak {fit}"
    return f"this one looks {size} and has {_listing(items)}"


def _chatty(s: _CaptionWriter) -> str:
    items = [s.phrase(f) for f in s.noted]
    joint = s.pick(" n ", " and ", " an also ")
    return f"{s.pick('its got', 'this bird got', 'bird has', 'the bird has')} {joint.join(items)}"


def _rambler(s: _CaptionWriter) -> str:
    items = [s.phrase(f) for f in s.noted]
    rest = f", {s.pick('it also has', 'and also', 'plus')} {_listing(items[1:])}" if len(items) > 1 else ""
    return f"{_article(s.size() + s.build() + 'bird')} with {items[0]}{rest}"


def _clauses(s: _CaptionWriter) -> str:
    said = [s.clause(f) for f in s.noted]
    if s.rng.random() < 0.35:
        said[0] = f"{_article(s.size() + 'bird')}, {said[0]}"
    return _listing(said, s.pick(", and ", " while "))


def _overviewer(s: _CaptionWriter) -> str:
    items = _listing([s.phrase(f) for f in s.noted])
    if not s.overall:
        return f"{_article(s.size() + 'bird')} with {items}"
    shade = s.colour(s.overall[0])
    if len(s.overall) > 1 and s.rng.random() < 0.4:
        shade += f" and {s.colour(s.overall[1])}"
        size = s.size()
        return f"the bird is {size + 'and ' if size else ''}{s.pick('mainly ', 'mostly ', '')}{shade} with {items}"
    return f"{s.pick('a mostly', 'a mainly')} {shade} bird with {items}"


def _poser(s: _CaptionWriter) -> str:
    side = "right" if s.view.facing > 0 else "left"
    where = s.pick("on a twig", "on a thin branch") if s.view.perched else s.pick("near the ground", "down low")
    if s.rng.random() < 0.3:
        where += f" looking {side}"
    items = _listing([s.phrase(f) for f in s.noted])
    if s.rng.random() < 0.5:
        return f"{_article(s.size() + 'bird')} {where} with {items}"
    return f"{s.pick('bird', 'a bird', 'this bird')} facing {side}, {s.pick('you see', 'it shows', 'one sees')} {items}"


ANNOTATORS: dict[str, _Annotator] = {
    "plain": _Annotator(_plain, (2, 3, 3), period=0.6, shape_share=0.5),
    "terse": _Annotator(_terse, (2,), period=0.0, gray="grey", shape_share=0.35),
    "lister": _Annotator(_lister, (3, 4, 4), period=0.3, merges=0.2, size_share=0.7),
    "flowery": _Annotator(_flowery, (2, 3), capital=1.0, period=1.0, gray="grey", shape_share=0.8),
    "sizer": _Annotator(_sizer, (2, 3), capital=0.7, period=0.9, shape_share=0.9),
    "chatty": _Annotator(_chatty, (2, 2, 3), period=0.0, sloppy=True, merges=0.5),
    "rambler": _Annotator(_rambler, (2, 3, 4), capital=0.2, period=0.4, sloppy=True, shape_share=0.7),
    "clauses": _Annotator(_clauses, (3, 3, 4), capital=0.9, period=1.0, merges=0.6, gray="grey"),
    "overviewer": _Annotator(_overviewer, (2, 3), capital=0.5, period=0.8, merges=0.5),
    "poser": _Annotator(_poser, (2, 3), period=0.5, merges=0.3),
}


def _merge(noted: list[_Feature], found: list[_Feature], who: _Annotator, rng: Random) -> list[_Feature]:
    """Parts of the same colour said together: "a red head and chest"."""
    merged: list[_Feature] = []
    for feature in noted:
        if feature.kind != "colour":
            merged.append(feature)
            continue
        taken = {part for other in merged if other.kind == "colour" for part in other.parts}
        if feature.parts[0] in taken:
            continue
        alike = next((i for i, f in enumerate(merged) if f.kind == "colour" and f.colour == feature.colour), None)
        if alike is not None and rng.random() < 0.8:
            merged[alike] = replace(merged[alike], parts=merged[alike].parts + feature.parts, shape="")
            continue
        more = [f.parts[0] for f in found if f.kind == "colour" and f.colour == feature.colour]
        more = [part for part in more if part not in taken and part not in feature.parts]
        if more and rng.random() < who.merges:
            also = rng.sample(more, min(len(more), rng.choice((1, 1, 2))))
            feature = replace(feature, parts=feature.parts + tuple(also), shape="")
        merged.append(feature)
    return merged


def _mistaken(feature: _Feature, found: list[_Feature], rng: Random) -> _Feature:
    """The feature with a wrong colour, or on a wrong (visible) part; a mark without a colour is misjudged in shape."""
    others = [f for f in found if f.kind == "colour" and f.colour != feature.colour and f.parts[0] not in feature.parts]
    if feature.kind == "colour" and others and rng.random() < 0.4:
        return replace(feature, parts=rng.choice(others).parts, shape="")
    if feature.colour:
        return replace(feature, colour=_confused(feature.colour, rng))
    wrong = {"tall": "short", "short": "tall", "ring": "stripe", "stripe": "ring", "bold": "fine", "fine": "bold"}
    return replace(feature, shape=wrong.get(feature.shape, "short"))


def _misspell(word: str, rng: Random) -> str:
    """One slip of the fingers inside a word of at least four letters."""
    if len(word) < 4 or not word.isalpha():
        return word
    i = rng.randrange(1, len(word) - 1)
    slip = rng.random()
    if slip < 0.4:
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    if slip < 0.75:
        return word[:i] + word[i + 1 :]
    return word[:i] + word[i] + word[i:]


def caption_bird(
    family: Family,
    plumage: Plumage,
    view: View,
    rng: Random,
    *,
    mistakes: float = MISTAKES,
    typos: float = TYPOS,
    statements: list[Statement] | None = None,
) -> str:
    """One annotator's caption of this photograph. `statements`, if given, collects what was said."""
    who = ANNOTATORS[rng.choice(tuple(ANNOTATORS))]
    scribe = _CaptionWriter(who, family, plumage, view, rng)
    found, weights = _features(family, plumage, view)
    wanted = rng.choice(who.features)
    noted = _merge(_draw_features(found, weights, wanted, rng), found, who, rng)
    if statements is None:
        statements = []
    scribe.noted = []
    for feature in noted:
        said = _mistaken(feature, found, rng) if rng.random() < mistakes else feature
        statements.append(Statement("+".join(said.parts), said.colour or said.shape, _truth(said, feature)))
        scribe.noted.append(said)
    caption = who.compose(scribe)
    while len(caption.split()) > MAX_WORDS:
        scribe.noted.pop()
        statements.pop()
        caption = who.compose(scribe)
    if who.sloppy:
        caption = " ".join(_misspell(w, rng) if rng.random() < typos else w for w in caption.split(" "))
    return _finish(caption, who.capital, who.period, rng)


def _truth(said: _Feature, shown: _Feature) -> str:
    """What the photograph shows; a wrong part is written as the colour with the right part."""
    true = shown.colour or shown.shape
    return true if said.parts == shown.parts else f"{true} {'+'.join(shown.parts)}"


def _finish(caption: str, capital: float, period: float, rng: Random) -> str:
    if rng.random() < capital:
        caption = caption[0].upper() + caption[1:]
    return caption + "." if rng.random() < period else caption


# ---------------------------------------------------------------- COCO-style: a bird from afar

_PERCHED = {
    "sky": (
        "sitting on a twig with the sky behind it",
        "perched up against the sky",
        "on a branch in front of the sky",
    ),
    "leaves": ("sitting on a branch near some leaves", "perched among leaves", "in a tree full of leaves"),
    "grass": ("sitting on a stick over the grass", "perched on a twig in a field", "on a branch with grass behind it"),
    "water": ("perched on a branch over the water", "sitting on a stick near a lake", "on a twig next to the water"),
    "sand": ("sitting on a twig at the beach", "perched on driftwood near sand"),
    "snow": ("sitting on a branch on a snowy day", "perched on a twig in the snow"),
    "bark": ("sitting beside a tree trunk", "perched on a branch next to some bark"),
    "dusk": ("sitting on a branch at sunset", "perched on a twig in the evening"),
    "reeds": ("clinging to a stalk in the reeds", "sitting on a stem among tall reeds"),
    "rock": ("sitting on a twig by some rocks", "perched near a rocky wall"),
}
_GROUNDED = {
    "sky": ("standing under an open sky", "standing up on a ledge with the sky behind"),
    "leaves": ("standing near some bushes", "standing on the ground by a lot of leaves"),
    "grass": ("standing in the grass", "walking through a grassy field"),
    "water": ("standing in the water", "out on the water", "in a pond"),
    "sand": ("standing on the sand", "walking along the beach"),
    "snow": ("standing in the snow", "standing on snowy ground"),
    "bark": ("standing at the foot of a tree", "on the ground next to a tree trunk"),
    "dusk": ("standing outside at sunset", "standing on the ground as it gets dark"),
    "reeds": ("standing among tall reeds", "wading through the reeds"),
    "rock": ("standing on some rocks", "standing on a rock"),
}


def _coco_colour(colour: str, rng: Random, mistakes: float) -> str:
    if rng.random() < mistakes:
        colour = _confused(colour, rng)
    words = COLOUR_WORDS[colour]
    return words[0] if rng.random() < 0.75 else rng.choice(words)


def caption_bird_coarsely(
    family: Family, plumage: Plumage, view: View, rng: Random, *, mistakes: float = SCENE_MISTAKES
) -> str:
    """A COCO-style caption: a bird, roughly its colour and size, and where it is."""
    words = []
    if rng.random() < 0.55 and (family.size != "medium" or rng.random() < 0.3):
        words.append(rng.choice(_SIZE_WORDS[family.size]))
    colours = _overall(plumage, view)
    if colours and rng.random() < 0.8:
        some = colours[:2] if rng.random() < 0.45 else colours[:1]
        words.append(" and ".join(_coco_colour(colour, rng, mistakes) for colour in some))
    bird = " ".join([*words, "bird"])
    where = rng.choice((_PERCHED if view.perched else _GROUNDED)[view.backdrop])
    opening = rng.random()
    if opening < 0.6:
        caption = f"{_article(bird)} {where}"
    elif opening < 0.75:
        caption = f"a {rng.choice(('close up', 'photo', 'picture'))} of {_article(bird)} {where}"
    elif opening < 0.88:
        caption = f"there is {_article(bird)} {where}"
    else:
        caption = f"{_article(bird)} that is {where}"
    return _finish(caption, 0.5, 0.6, rng)


# ---------------------------------------------------------------- COCO-style: scenes

_KINDS = {
    "house": ("house", "house", "building", "cottage"),
    "boat": ("boat", "boat", "ship"),
    "kite": ("kite",),
    "mountain": ("mountain", "mountain", "hill", "peak"),
    "cup": ("cup", "mug"),
    "car": ("car", "car", "vehicle"),
    "chair": ("chair", "seat"),
    "ball": ("ball",),
    "lamp": ("lamp", "light"),
    "dog": ("dog", "dog", "puppy"),
    "cat": ("cat", "cat", "kitty"),
    "umbrella": ("umbrella", "parasol"),
    "flower": ("flower", "flower", "blossom"),
}
_GROUND_PHRASES = {
    "grass": ("on the grass", "in a field", "in a grassy area", "on a lawn"),
    "sand": ("on the sand", "at the beach", "on a sandy beach"),
    "snow": ("in the snow", "on snowy ground", "on a snow covered field"),
    "water": ("in the water", "on a lake", "surrounded by water"),
    "road": ("on the road", "by the street", "on a paved road"),
    "floor": ("on the floor", "on a wooden floor", "on a tiled floor"),
}
_SKY_PHRASES = {
    "clear": ("under a clear sky", "on a sunny day", "with a clear sky above"),
    "cloudy": ("under a cloudy sky", "on a cloudy day", "with clouds overhead"),
    "dusk": ("at dusk", "at sunset", "as the sun goes down"),
    "night": ("at night", "in the dark", "under a night sky"),
    "wall": ("in front of a wall", "inside a room", "next to a plain wall"),
}
_NUMBERS = {2: "two", 3: "three"}


def _object_phrase(thing: SceneObject, scene: CocoScene, rng: Random, mistakes: float) -> str:
    words = []
    if rng.random() < 0.45:
        words.append(rng.choice({"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}[thing.size]))
    if rng.random() < 0.8:
        words.append(_coco_colour(seen_colour(thing.colour, scene.light, scene.exposure), rng, mistakes))
    return _article(" ".join([*words, rng.choice(_KINDS.get(thing.kind, (thing.kind,)))]))


def _plural_of(kind: str) -> str:
    return {"bus": "buses"}.get(kind, kind + "s")


def caption_scene(scene: CocoScene, rng: Random, *, mistakes: float = SCENE_MISTAKES) -> str:
    """A COCO-style caption of a scene."""
    if scene.bird is not None:
        return caption_bird_coarsely(*scene.bird, rng, mistakes=mistakes)
    things = sorted(scene.objects, key=lambda thing: thing.x)
    if len(things) > 1 and rng.random() < 0.2:
        things = [rng.choice(things)]
    elif len(things) > 2 and rng.random() < 0.3:
        things = rng.sample(things, 2)
    ground = rng.choice(_GROUND_PHRASES[scene.ground])
    sky = rng.choice(_SKY_PHRASES[scene.sky])
    setting = rng.choices((ground, sky, f"{ground} {sky}", ""), (0.45, 0.2, 0.25, 0.1))[0]
    said = [_object_phrase(thing, scene, rng, mistakes) for thing in things]
    kinds = {thing.kind for thing in things}
    shape = rng.random()
    if not said:
        caption = f"{rng.choice(('a view', 'a picture', 'an empty place'))} {ground} {sky}"
    elif len(kinds) == 1 and len(things) > 1 and shape < 0.6:
        shades = {
            _coco_colour(seen_colour(thing.colour, scene.light, scene.exposure), rng, mistakes) for thing in things
        }
        shade = shades.pop() + " " if len(shades) == 1 else ""
        caption = f"{_NUMBERS[len(things)]} {shade}{_plural_of(things[0].kind)} {setting}"
    elif len(said) == 1:
        sits = "" if things[0].kind in ("tree", "mountain", "house", "fence", "kite") else "sitting "
        verb = rng.choice(("", "", sits, "that is ") if setting.startswith(ground) else ("",))
        opening = rng.choice(("", "", "there is ", "a photo of ", "a view of "))
        caption = f"{opening}{said[0]} {verb}{setting}"
    elif shape < 0.5:
        caption = f"{rng.choice(('', '', 'there is ', 'a picture of '))}{_listing(said)} {setting}"
    elif shape < 0.8:
        beside = rng.choice(("next to", "beside", "near", "to the left of"))
        if beside == "to the left of" and things != sorted(things, key=lambda thing: thing.x):
            beside = "near"
        caption = f"{said[0]} {beside} {_listing(said[1:])} {setting}"
    else:
        caption = f"{rng.choice(('a scene', 'an image', 'a photo'))} {setting} with {_listing(said)}".replace("  ", " ")
    return _finish(caption.strip(), 0.6, 0.7, rng)
