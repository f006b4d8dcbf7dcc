"""Texts as sentences: where one ends, how a long text is cut to fit, and which sentences no photograph shows.

Pure functions on strings: no path is read here, and no tokenizer (how long a text is, a function given says).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fieldguide.core.errors import FieldguideError

# After these a full stop ends no sentence; after a unit it does where a capital letter or a figure follows.
_ABBREVIATION = re.compile(
    r"approx|avg|ca|cf|dr|e\.?g|esp|etc|fig|i\.?e|incl|max|min|mrs?|ms|mt|no|spp?|st|vs|(?-i:[A-Z])", re.IGNORECASE
)
_UNIT = re.compile("cm|ft|g|in|kg|km|lbs?|m|mm|oz", re.IGNORECASE)

_END = re.compile(
    r"""(?P<word>\S*?)(?:(?P<stop>[.!?…؟۔।॥]+)[)\]"'”’*]*\s+|[。！？｡]+[)\]"'”’」』）]*\s*)(?=(?P<next>\S))"""
)
_CLAUSE = re.compile(
    r"(?<=[;:,–—])\s+|\s+(?=[–—(])|\s+(?=(?:although|and|but|or|though|where|whereas|which|while|with)\b)",
    re.IGNORECASE,
)


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, white space made single; joined by spaces they are the text again.

    Full-width stops, after which no space is written, gain one by that.
    """
    text = " ".join(text.split())
    sentences, start = [], 0
    for found in _END.finditer(text):
        word = found["word"].lstrip("(\"'“‘")
        unfinished = _ABBREVIATION.fullmatch(word) or (_UNIT.fullmatch(word) and found["next"].islower())
        if found["stop"] == "." and unfinished:
            continue
        sentences.append(text[start : found.end()].rstrip())
        start = found.end()
    return [*sentences, text[start:]] if text[start:] else sentences


def split_clauses(sentence: str) -> list[str]:
    """A sentence cut after commas, colons and dashes and before conjunctions; joined by spaces it is whole again."""
    return [clause for clause in _CLAUSE.split(sentence) if clause]


# ---------------------------------------------------------------- into the text encoder's context


class Piece(NamedTuple):
    """A part of a text, and the coarsest place at which it could be cut off: "" for a whole text."""

    text: str
    cut: str


CUTS = ("sentence", "clause", "word", "character")
"""Where a text may be cut, the best place first."""
_LEVELS: tuple[tuple[str, Callable[[str], list[str]], str], ...] = (
    (CUTS[0], split_sentences, " "),
    (CUTS[1], split_clauses, " "),
    (CUTS[2], str.split, " "),
    (CUTS[3], list, ""),
)


def pack(units: Sequence[str], limit: int, count: Callable[[str], int], joiner: str = " ") -> list[str]:
    """Units joined in order into as few pieces of at most `limit` tokens as go, of about equal length.

    Every unit fits by itself. Equal lengths, since a remainder of two words would describe nothing.
    """

    def fill(room: int) -> list[str]:
        pieces = [units[0]]
        for unit in units[1:]:
            longer = pieces[-1] + joiner + unit
            if count(longer) <= room:
                pieces[-1] = longer
            else:
                pieces.append(unit)
        return pieces

    best = fill(limit)
    low, high = max(map(count, units)), limit
    while low < high and len(best) > 1:
        middle = (low + high) // 2
        tighter = fill(middle)
        if len(tighter) > len(best):
            low = middle + 1
        else:
            best, high = tighter, middle
    return best


def fit_text(text: str, limit: int, count: Callable[[str], int]) -> list[Piece]:
    """A text as pieces of at most `limit` tokens, by `count`: whole if it fits, else cut at the best places there are.

    Cut between sentences; a sentence that is too long by itself between clauses, then words, then characters.
    Nothing is lost: all pieces' characters, white space aside, are the text's, in order. Raises FieldguideError when
    a single character exceeds the limit.
    """
    text = " ".join(text.split())
    return [Piece(text, "")] if count(text) <= limit else _fit(text, limit, count, 0)


def _fit(text: str, limit: int, count: Callable[[str], int], level: int) -> list[Piece]:
    if level == len(_LEVELS):
        raise FieldguideError(f"a text encoder's context of {limit} tokens does not hold the character {text!r}")
    cut, split, joiner = _LEVELS[level]
    units = split(text)
    if len(units) == 1:
        return _fit(text, limit, count, level + 1)
    pieces: list[Piece] = []
    run: list[str] = []
    for unit in [*units, ""]:
        if unit and count(unit) <= limit:
            run.append(unit)
            continue
        pieces += [Piece(piece, cut) for piece in (pack(run, limit, count, joiner) if run else [])]
        run = []
        if unit:
            pieces += _fit(unit, limit, count, level + 1)
    return pieces


# ---------------------------------------------------------------- what no photograph shows

_WORD = re.compile(r"\w+")

VISIBLE = "visible"
"""The lexicon's topic of words that a photograph does show."""


@dataclass(frozen=True)
class Lexicon:
    """Topics that no photograph shows, each with the pattern of its words, and the pattern of what one does show."""

    topics: Mapping[str, re.Pattern[str]]
    visible: re.Pattern[str]
    words: frozenset[str]  # one of every entry of the topics
    stems: frozenset[str]  # the same, where it takes any ending
    lengths: tuple[int, ...]  # of the stems
    known: dict[str, bool] = field(default_factory=dict, compare=False, repr=False)  # words looked up already

    def may_speak_of(self, sentence: str) -> bool:
        """Whether a topic's pattern can match at all; a tenth of the time that matching all of them takes."""
        for word in _WORD.findall(sentence.casefold()):
            if (known := self.known.get(word)) is None:
                known = word in self.words or any(word[:length] in self.stems for length in self.lengths)
                self.known[word] = known
            if known:
                return True
        return False


class Visibility(NamedTuple):
    """What a sentence speaks of: topics that no photograph shows, and whether of something else that one does."""

    topics: tuple[str, ...]
    visible: bool

    @property
    def is_invisible(self) -> bool:
        """Whether a photograph shows nothing of it."""
        return bool(self.topics) and not self.visible


def read_lexicon(text: str, where: str) -> Lexicon:
    """A lexicon from its file's text: `[topic]` lines, then words and phrases between commas or line ends.

    A `*` stands for any ending, a space for any space or hyphen, `#` opens a comment. The topic `visible` holds what a
    photograph does show. Raises FieldguideError naming the line that is wrong.
    """
    entries: dict[str, list[str]] = {}
    topic = ""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.partition("#")[0].strip()
        if line.startswith("["):
            topic = line.strip("[] ").casefold()
            if not topic or not line.endswith("]") or topic in entries:
                raise FieldguideError(f"{where}, line {number}: {line} is no new topic; write one as [sound], once")
            entries[topic] = []
        elif line:
            words = [word for word in (word.strip() for word in line.split(",")) if word]
            bad = [word for word in words if not re.fullmatch(r"\w+\*?(?:[ -]\w+\*?)*", word)]
            if not topic or bad:
                what = f"{bad[0]!r} is no word or phrase" if bad else "words stand before the first [topic]"
                raise FieldguideError(f"{where}, line {number}: {what}; separate entries by commas")
            entries[topic] += words
    empty = [topic for topic, words in entries.items() if not words]
    if VISIBLE not in entries or len(entries) < 2 or empty:
        what = f"[{empty[0]}] has no words" if empty else f"needs [{VISIBLE}] and at least one other topic"
        raise FieldguideError(f"{where}: {what}")
    patterns = {topic: _pattern_of(words) for topic, words in entries.items()}
    visible = patterns[VISIBLE]
    rarest = set()
    for topic, words in entries.items():
        for word in words if topic != VISIBLE else ():
            parts = re.split("[ -]", word.casefold())
            # `small` of `small prey` stands in every other text, so it would tell nothing.
            rarest.add(max(parts, key=lambda part: (not visible.fullmatch(part), len(part))))
    stems = frozenset(word[:-1] for word in rarest if word.endswith("*"))
    return Lexicon(
        {topic: pattern for topic, pattern in patterns.items() if topic != VISIBLE},
        visible,
        frozenset(word for word in rarest if not word.endswith("*")),
        stems,
        tuple(sorted({len(stem) for stem in stems})),
    )


def _pattern_of(words: Sequence[str]) -> re.Pattern[str]:
    patterns = (
        re.escape(word).replace(r"\*", r"\w*").replace(r"\ ", r"[\s-]+").replace(r"\-", r"[\s-]+")
        for word in sorted(set(words))
    )
    return re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)", re.IGNORECASE)


def classify_visibility(sentence: str, lexicon: Lexicon) -> Visibility:
    """What a sentence speaks of, by the lexicon; what a topic's phrase takes up is not looked at again.

    So `large insects` under diet is not the size of the bird. Take class names out first: a Marsh Wren is no marsh.
    """
    if not lexicon.may_speak_of(sentence):
        return Visibility((), True)
    topics, rest = [], sentence
    for topic, pattern in lexicon.topics.items():
        if pattern.search(sentence):
            topics.append(topic)
            rest = pattern.sub(" ", rest)
    return Visibility(tuple(topics), bool(lexicon.visible.search(rest)) if topics else True)
