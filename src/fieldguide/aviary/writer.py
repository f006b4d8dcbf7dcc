"""The stand-in of a large language model: describes a class in five fields, never a photograph.

Encyclopaedic register, measurements, near-synonyms of colours, sexes and young, things that no photograph shows,
and a share of facts that are wrong. Shares no template and no phrase with `annotators`; a test bounds the overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from random import Random
from typing import NamedTuple

from fieldguide.aviary.traits import (
    BILL_SHAPES,
    BUILDS,
    COLOUR_PARTS,
    CRESTS,
    EYE_MARKS,
    PALETTE,
    SIZES,
    STREAKS,
    TAIL_LENGTHS,
    VARIABLE,
    WING_BARS,
    Plumage,
    Species,
)

FIELDS = ("Size", "Coloration", "Beak", "Feet", "Eyes")
ERRORS = 0.08  # share of facts that are wrong
MAX_WORDS = 45  # of one field

# Near-synonyms; the plain word is used half of the time.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "black": ("jet", "sooty", "ebony"),
    "grey": ("slate", "ashen", "leaden"),
    "white": ("snowy", "ivory", "chalky"),
    "brown": ("umber", "earth-brown", "chocolate"),
    "rufous": ("chestnut", "russet", "cinnamon"),
    "buff": ("tawny", "sandy", "fawn"),
    "red": ("scarlet", "crimson", "vermilion"),
    "orange": ("apricot", "tangerine", "flame-coloured"),
    "yellow": ("lemon", "golden", "sulphur"),
    "olive": ("olivaceous", "moss-toned", "khaki"),
    "green": ("emerald", "verdant", "leaf-green"),
    "blue": ("azure", "cobalt", "ultramarine"),
    "teal": ("aquamarine", "cyan", "verdigris"),
    "purple": ("violaceous", "amethyst", "plum"),
    "pink": ("rose", "roseate", "salmon"),
}
_ANATOMY: dict[str, tuple[str, ...]] = {
    "crown": ("crown", "cap", "forecrown", "crown and nape"),
    "throat": ("throat", "chin", "gular region", "foreneck"),
    "breast": ("breast", "upper breast", "pectoral area"),
    "belly": ("belly", "abdomen", "lower underside", "vent area"),
    "back": ("mantle", "mantle and rump", "back", "dorsum"),
    "wing": ("folded wing", "wing panel", "wing surface", "forewing"),
    "tail": ("tail", "uppertail", "tail fan"),
}
_LENGTHS_CM = {"small": (9, 15), "medium": (19, 33), "large": (48, 92)}
_HEFT_G = {"small": (7, 24), "medium": (62, 240), "large": (620, 2100)}
_STATURE = {
    "small": ("small", "diminutive", "slight"),
    "medium": ("medium-sized", "mid-sized", "moderately proportioned"),
    "large": ("large", "sizeable", "hefty"),
}
_FRAME = {
    "round": ("stocky", "full-bodied", "rotund"),
    "slim": ("slender", "svelte", "gracile"),
    "upright": ("erect", "vertical", "bolt-upright"),
    "long-necked": ("elongate", "swan-like", "stretched"),
}
_TAIL = {
    "short": ("short", "abbreviated"),
    "medium": ("moderate", "average"),
    "long": ("long", "graduated"),
    "forked": ("forked", "swallow-like"),
}
_BILL = {
    "conical": (("conical", "deep-based", "wedge-shaped"), "husking seeds"),
    "thin": (("fine", "slender", "tweezer-like"), "gleaning small invertebrates"),
    "hooked": (("hooked", "raptorial", "hook-tipped"), "tearing food apart"),
    "dagger": (("dagger-shaped", "lance-like", "tapering"), "striking at prey"),
    "curved": (("decurved", "sickle-shaped", "arched"), "probing crevices and corollas"),
    "flat": (("flattened", "spatulate", "shovel-shaped"), "sieving plant matter"),
}
_CULMEN_MM = {"short": (0.09, 0.13), "medium": (0.14, 0.18), "long": (0.22, 0.30)}  # share of the body length


class Statement(NamedTuple):
    """One stated fact, for tests: what it is about, what was said, what is true."""

    about: str
    said: str
    true: str


class _Author:
    """Writes one reply: states facts, now and then a wrong one, and remembers them."""

    def __init__(self, species: Species, rng: Random, errors: float, statements: list[Statement]) -> None:
        self.species, self.rng, self.errors, self.statements = species, rng, errors, statements
        # What is fixed for the class but drawn on no photograph: measurements, iris, clutch.
        fixed = Random(f"{species.family.name}|{astuple(species.male)}")
        low, high = _LENGTHS_CM[species.family.size]
        self.fraction = fixed.random()
        self.length = low + self.fraction * (high - low)
        self.iris = fixed.choice(("dark brown", "hazel", "amber", "blackish", "straw-coloured", "reddish"))
        self.clutch = fixed.choice(("two or three", "three to five", "four to six"))

    def pick(self, *options: str) -> str:
        return self.rng.choice(options)

    def state(self, about: str, true: str, values: Sequence[str]) -> str:
        """`true`, or in a share of cases another of `values`."""
        said = true
        if self.rng.random() < self.errors:
            said = self.rng.choice([value for value in values if value != true])
        self.statements.append(Statement(about, said, true))
        return said

    def colour(self, about: str, true: str) -> str:
        """A colour as stated: the palette's key."""
        return self.state(about, true, VARIABLE[about] if about in ("bill", "legs") else tuple(PALETTE))

    def shade(self, colour: str) -> str:
        """A word for it."""
        return colour if self.rng.random() < 0.5 else self.rng.choice(SYNONYMS[colour])

    def fits(self, sentences: list[str], extra: str) -> list[str]:
        """`sentences` and `extra`, if the field then stays within its limit."""
        longer = [*sentences, extra]
        return longer if len(" ".join(longer).split()) <= MAX_WORDS else sentences

    # ---------------------------------------------------------------- the fields

    def size(self) -> str:
        family, rng = self.species.family, self.rng
        said = self.state("size", family.size, SIZES)
        low, high = _LENGTHS_CM[said]
        mid = low + self.fraction * (high - low) + rng.uniform(-0.5, 0.5) * (1 + low / 30)
        a, b = round(mid - 0.04 * mid), round(mid + 0.05 * mid) + 1
        light, heavy = _HEFT_G[said]
        mass = light + self.fraction * (heavy - light)
        d, e = round(mass * rng.uniform(0.84, 0.95)), round(mass * rng.uniform(1.03, 1.15)) + 1
        stature = self.pick(*_STATURE[said])
        frame = self.pick(*_FRAME[self.state("build", family.build, BUILDS)])
        tail = self.pick(*_TAIL[self.state("tail length", family.tail_length, TAIL_LENGTHS)])
        sentences = [
            self.pick(
                f"Adults measure {a}–{b} cm in length and weigh roughly {d}–{e} g.",
                f"{stature.capitalize()} and {frame} in outline, reaching {a}–{b} cm; body mass spans {d} to {e} g.",
                f"Total length is {a}–{b} cm, wingspan near {round(1.6 * mid)} cm, mass {d}–{e} g.",
                f"Among its relatives {_indefinite(stature)} form, averaging {round(mid)} cm and weighing {d} g.",
            )
        ]
        extra = self.pick(
            f"The silhouette is {frame} and the tail proportionally {tail}.",
            f"Stature is {stature}, posture {frame}; tail {tail}.",
            f"It inhabits {family.habitat}, where its {frame} profile and {tail} tail are diagnostic.",
            f"Sexes differ little in bulk; {_indefinite(tail)} tail complements the {frame} physique.",
            f"Proportions are {frame}, the rectrices {tail}; males outweigh females by {rng.randrange(3, 12)} percent.",
            f"Wing chord averages {round(mid * 5.2)} mm; in flight {_indefinite(frame)} shape, {tail} tail.",
            f"Restricted largely to {family.habitat}, it appears {frame} at rest, its tail {tail}.",
            f"Fledglings reach {rng.randrange(70, 92)} percent of that mass. Structure: {frame}, tail {tail}.",
        )
        return " ".join(self.fits(sentences, extra))

    def _groups(self, plumage: Plumage, parts: Sequence[str], prefix: str = "") -> list[tuple[str, list[str]]]:
        """The stated colours of `parts`, parts of one stated colour together: [(shade, anatomical terms)]."""
        groups: dict[str, list[str]] = {}
        for part in parts:
            said = self.colour(prefix + part, getattr(plumage, part))
            groups.setdefault(said, []).append(self.pick(*_ANATOMY[part]))
        return [
            (self.shade(colour), terms if len(terms) == 1 else [term.split(" and ")[0] for term in terms])
            for colour, terms in groups.items()
        ]

    def _chosen_parts(self) -> list[str]:
        """Which coloured parts to mention: mostly what sets the species apart, then others."""
        weights = {"crown": 1.4, "throat": 1.0, "breast": 1.4, "belly": 0.9, "back": 1.1, "wing": 1.2, "tail": 0.8}
        changed = [part for part in COLOUR_PARTS if part in self.species.changed and self.rng.random() < 0.85]
        rest = [part for part in COLOUR_PARTS if part not in changed]
        wanted = self.rng.choice((4, 5, 5, 6))
        while rest and len(changed) < wanted:
            part = self.rng.choices(rest, [weights[p] for p in rest])[0]
            rest.remove(part)
            changed.append(part)
        self.rng.shuffle(changed)
        return changed

    def coloration(self) -> str:
        species, rng = self.species, self.rng
        male = species.male
        groups = self._groups(male, self._chosen_parts())
        whom = (
            self.pick("Adult males", "Breeding males", "Males")
            if species.family.dimorphic
            else self.pick("Adults", "Both sexes")
        )
        form = rng.randrange(4)
        if form == 0:
            each = [f"{shade} {_join(terms)}" for shade, terms in groups]
            text = f"{whom} {self.pick('combine', 'exhibit', 'display')} {_join(each)}."
        elif form == 1:
            each = [f"the {_join(terms)} {'is' if _single(terms) else 'are'} {shade}" for shade, terms in groups]
            text = f"In {whom.lower()} {_join(each, ', whereas ')}."
        elif form == 2:
            each = [f"{shade} {self.pick('on', 'across', 'over')} the {_join(terms)}" for shade, terms in groups]
            text = f"Plumage {self.pick('in nuptial dress is', 'of ' + whom.lower() + ' is')} {_join(each)}."
        else:
            each = [f"{_join(terms)} {shade}" for shade, terms in groups]
            text = f"{'; '.join(each)}.".capitalize()
        sentences = [text]
        for extra in self._marks():
            sentences = self.fits(sentences, extra)
        if rng.random() < 0.6:
            sentences = self.fits(sentences, self._other_morph())
        return " ".join(sentences)

    def _marks(self) -> list[str]:
        """Sentences on streaks, wing bars and crest: those that set the species apart, and some others."""
        male, marks = self.species.male, []

        def wanted(about: str) -> bool:
            value = getattr(male, about)
            if about in self.species.changed:
                return self.rng.random() < 0.9
            return self.rng.random() < (0.5 if value != "none" else 0.12)

        if wanted("crest"):
            crest = self.state("crest", male.crest, CRESTS)
            marks.append(
                {
                    "none": self.pick("No crest is developed.", "The hindcrown lacks a crest."),
                    "short": self.pick(
                        "A modest nuchal crest is present.", "The crest is short and usually flattened."
                    ),
                    "tall": self.pick(
                        "A tall erectile crest surmounts the crown.", "Its lofty crest is raised in display."
                    ),
                }[crest]
            )
        if wanted("wing_bar"):
            bars = self.state("wing_bar", male.wing_bar, WING_BARS)
            tint = self.shade(male.wing_bar_colour)
            marks.append(
                {
                    "none": self.pick("Wing-bars are absent.", "The coverts form no wing-bar."),
                    "one": self.pick(
                        f"A solitary {tint} wing-bar marks the greater coverts.",
                        f"Covert tips form one {tint} wing-bar.",
                    ),
                    "two": self.pick(
                        f"Two {tint} wing-bars cross the coverts.",
                        f"Covert tips form {_indefinite(tint)} double wing-bar.",
                    ),
                }[bars]
            )
        if wanted("streaks"):
            streaks = self.state("streaks", male.streaks, STREAKS)
            marks.append(
                {
                    "none": self.pick("Underparts are unmarked.", "Flanks and underparts stay unstreaked."),
                    "fine": self.pick("Delicate dusky striations adorn the underparts.", "Flanks are finely streaked."),
                    "bold": self.pick(
                        "Coarse blackish streaking extends along the flanks.", "Underparts are boldly streaked."
                    ),
                }[streaks]
            )
        self.rng.shuffle(marks)
        return marks

    def _other_morph(self) -> str:
        """One sentence on females or on the young."""
        species = self.species
        if self.rng.random() < 0.55:
            if not species.family.dimorphic:
                return self.pick(
                    "The sexes are alike.", "Females resemble males closely.", "No sexual dichromatism is known."
                )
            differ = [p for p in COLOUR_PARTS if getattr(species.female, p) != getattr(species.male, p)]
            differing = self._groups(species.female, self.rng.sample(differ, min(len(differ), 2)), "female ")
            if not differing:
                return "Females match males."
            dull = self.pick("duller", "drabber", "more subdued")
            return f"Females are {dull}, {_join([f'{s} on the {_join(t)}' for s, t in differing])}."
        differ = [p for p in COLOUR_PARTS if getattr(species.juvenile, p) != getattr(species.male, p)]
        if not differ or self.rng.random() < 0.3:
            return self.pick(
                "Juveniles moult into adult dress during their first winter.",
                "Immatures attain full colour after one year.",
            )
        differing = self._groups(species.juvenile, self.rng.sample(differ, min(len(differ), 2)), "juvenile ")
        streaked = ", streaked below" if species.juvenile.streaks != "none" else ""
        who = self.pick("Juveniles", "Immatures")
        return f"{who} are {_join([f'{s} on the {_join(t)}' for s, t in differing])}{streaked}."

    def beak(self) -> str:
        family = self.species.family
        shape = self.state("bill shape", family.bill_shape, BILL_SHAPES)
        length = self.state("bill length", family.bill_length, ("short", "medium", "long"))
        shade = self.shade(self.colour("bill", self.species.male.bill))
        how, purpose = self.pick(*_BILL[shape][0]), _BILL[shape][1]
        extent = {
            "short": self.pick("short", "reduced"),
            "medium": self.pick("moderate", "medium-length"),
            "long": self.pick("long", "elongated"),
        }[length]
        low, high = _CULMEN_MM[length]
        culmen = round(10 * self.length * (low + self.fraction * (high - low)))
        sentences = [
            self.pick(
                f"Bill {extent}, {how} and {shade}.",
                f"The {shade} bill is {extent} and {how}, an adaptation for {purpose}.",
                f"Mandibles are {shade}; the bill is {how}, of {extent} proportions.",
                f"{extent.capitalize()} {how} bill, {shade} at maturity and suited to {purpose}.",
            )
        ]
        extra = self.pick(
            f"The exposed culmen averages {culmen} mm.",
            f"Culmen length in adults reaches {culmen} mm; nestlings show a pale gape flange.",
            "Both mandibles darken slightly outside the breeding season.",
            f"It is employed chiefly in {purpose}.",
            "Young individuals possess a greyer, softer bill.",
            "Cutting edges bear minute serrations visible only in the hand.",
            "Nostrils are partly concealed by frontal bristles.",
            f"Depth at the base is close to {max(3, round(culmen * 0.4))} mm.",
            f"This morphology favours {purpose}.",
            "Gape flanges of hatchlings are conspicuously bright.",
        )
        if purpose in extra and purpose in sentences[0]:
            extra = f"The exposed culmen averages {culmen} mm."
        return " ".join(self.fits(sentences, extra))

    def feet(self) -> str:
        family = self.species.family
        length = self.state("leg length", family.leg_length, ("short", "long"))
        shade = self.shade(self.colour("legs", self.species.male.legs))
        extent = {"short": self.pick("short", "low-set"), "long": self.pick("long", "stilt-like", "lengthy")}[length]
        tarsus = round(self.length * (1.1 if length == "short" else 2.6))
        sentences = [
            self.pick(
                f"Tarsi {extent} and {shade}, scutellate in front.",
                f"The {shade} tarsi are {extent}, each foot bearing three forward toes and a hallux.",
                f"Legs and toes are {shade}; the tarsus is {extent}, measuring {tarsus} mm.",
                f"Bare parts of the leg are {shade}, with {extent} tarsi of around {tarsus} mm.",
            )
        ]
        extra = self.pick(
            "Claws are moderately curved.",
            "Scutes wear visibly towards the annual moult.",
            "Perching tendons lock automatically while roosting.",
            "Individuals often rest with one limb drawn into the plumage.",
            "Soles are padded, giving purchase on uneven substrate.",
            f"Tracks left amid {family.habitat} reveal a brisk stride.",
            f"Gait and grip suit a life amid {family.habitat}.",
            "The hind claw is noticeably stronger than the others.",
            "In the young, soft parts appear paler until the second autumn.",
            f"Its favoured foraging ground comprises {family.habitat}.",
        )
        return " ".join(self.fits(sentences, extra))

    def eyes(self) -> str:
        family = self.species.family
        mark = self.state("eye_mark", self.species.male.eye_mark, EYE_MARKS)
        iris = self.state("iris", self.iris, ("dark brown", "hazel", "amber", "blackish", "straw-coloured", "reddish"))
        marked = {
            "none": self.pick(
                "no orbital ring or eyestripe interrupts the facial pattern", "lores and ear-coverts are plain"
            ),
            "ring": self.pick(
                "a pale orbital ring encircles the eye", "a conspicuous whitish orbital ring frames the lids"
            ),
            "stripe": self.pick(
                "a dusky eyestripe passes from lores to ear-coverts",
                "a blackish loral stripe runs beneath the supercilium",
            ),
        }[mark]
        sentences = [
            self.pick(
                f"The iris is {iris}; {marked}.",
                f"Irides {iris}; {marked}.",
                f"{iris.capitalize()} irides characterise adults, and {marked}.",
            )
        ]
        extra = self.pick(
            "Juvenile irides are duller, changing within months.",
            "Vision is acute, aiding detection of food at dawn.",
            f"Clutches of {self.clutch} eggs are laid amid {family.habitat}.",
            "The pupil is round and the eyelids are finely feathered.",
            "Lores are sparsely feathered in hatchlings.",
            "Nocturnal activity is rare, peaking on moonlit migrations.",
            f"From exposed lookouts it surveys {family.habitat}.",
            "Its nictitating membrane is translucent.",
            "Seasonal variation in eye pigmentation remains undocumented.",
            "Adults remain vigilant, scanning frequently for raptors.",
        )
        return " ".join(self.fits(sentences, extra))


def _join(phrases: Sequence[str], last: str = " and ") -> str:
    return phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + last + phrases[-1]


def _indefinite(phrase: str) -> str:
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


def _single(terms: Sequence[str]) -> bool:
    return len(terms) == 1 and " and " not in terms[0]


def write_fields(
    species: Species, rng: Random, *, errors: float = ERRORS, statements: list[Statement] | None = None
) -> dict[str, str]:
    """One description of the class, field by field. `statements`, if given, collects every stated fact."""
    author = _Author(species, rng, errors, [] if statements is None else statements)
    return {
        "Size": author.size(),
        "Coloration": author.coloration(),
        "Beak": author.beak(),
        "Feet": author.feet(),
        "Eyes": author.eyes(),
    }


def write_reply(
    species: Species, rng: Random, *, errors: float = ERRORS, statements: list[Statement] | None = None
) -> str:
    """The fields as the Markdown that a chat model returns."""
    fields = write_fields(species, rng, errors=errors, statements=statements)
    return "\n".join(f"**{field}**: {fields[field]}" for field in FIELDS)
