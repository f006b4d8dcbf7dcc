"""Class names in texts: finding them however they are spelled, taking them out, and putting them in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from fieldguide.texts.table import TextRow

NAMED, UNNAMED = "named", "unnamed"

_WORD = re.compile(r"[^\W_]+")
# Spelled either way by different writers.
_EITHER = {"gray": "gr[ae]y", "grey": "gr[ae]y"}
_GAP = r"[\s_‐‑–-]*"
_OWNED = r"(?:['’]s?|s['’]?)?"

# After these a name without an article needs one: `unlike Sooty Albatross` becomes `unlike the bird`.
_BEFORE_ARTICLE = re.compile(
    """about|above|after|also|although|and|are|as|at|be|because|before|behind|below|beneath|beside|besides|between|but|by
    |called|describes|distinguishes|for|from|helps|if|in|is|like|makes|named|near|of|on|or|resembles?|see|separates
    |suggests|than|that|though|to|towards?|under|unlike|versus|was|were|when|where|whereas|while|with""",
    re.VERBOSE | re.IGNORECASE,
)
_ARTICLE = re.compile(r"\b(an?)(\s+)$", re.IGNORECASE)
_LAST_WORD = re.compile(r"([^\W\d_]+)[\s\"'“‘]*$")
_OPEN = re.compile(r"(?:^|[.!?…:;]['\"”’)]*)[\s\"'“‘(*-]*$")


def _plural(word: str) -> str:
    """The pattern of a word in the singular, in the plural, and owning something."""
    stem, ending = re.escape(word), r"(?:e?s)?"
    if re.search(r"(?<![aeiou])y$", word):
        stem, ending = re.escape(word[:-1]), "(?:y|ies|ys)"
    elif word.endswith("ouse"):
        stem, ending = re.escape(word[:-4]), "(?:ouses?|ice)"
    elif word.endswith("oose"):
        stem, ending = re.escape(word[:-4]), "(?:ooses?|eese)"
    elif match := re.search("fe?$", word):
        stem, ending = re.escape(word[: match.start()]), f"(?:{match[0]}s?|ves)"
    return _EITHER.get(word, stem) + ending + "(?P<owns>['’]s?)?"


@lru_cache(maxsize=4096)
def name_pattern(class_name: str) -> re.Pattern[str]:
    """The pattern of a class's name in any spelling.

    Upper or lower case; spaces, hyphens, underscores or nothing between its words (`Black_footed Albatross`,
    `bluejay`); each word with or without an apostrophe and s (`Brewer's` for `Brewer`); singular, plural, owning.
    """
    words = list(_WORD.finditer(class_name.casefold()))
    if not words:
        return re.compile(r"(?!)(?P<owns>)")
    parts = []
    for one, after in pairwise(words):
        stem = re.escape(one[0][:-1]) if one[0].endswith("s") and len(one[0]) > 3 else re.escape(one[0])
        gap = re.escape(class_name[one.end() : after.start()].strip(" _-'’")) if class_name.isascii() else ""
        parts.append(_EITHER.get(one[0], stem) + _OWNED + (f"{_GAP}(?:{gap})?{_GAP}" if gap else _GAP))
    return re.compile(r"(?<![^\W_])" + "".join(parts) + _plural(words[-1][0]) + r"(?![^\W_])", re.IGNORECASE)


@lru_cache(maxsize=4096)
def _start_of(class_name: str) -> str:
    """Letters, four at most, that the name begins with in any spelling; empty for a name without a word."""
    word = _WORD.search(class_name.casefold())
    if word is None:
        return ""
    if word[0] in _EITHER:
        return "gr"
    if match := re.search("(?:ouse|oose)$", word[0]):
        return word[0][: min(4, max(1, match.start()))] if match.start() else ""
    return word[0][: max(1, min(4, len(word[0]) - 1))]


def has_name(text: str, class_name: str) -> bool:
    """Whether a text names its class."""
    # Most texts lack even the name's first letters: looking for them first is ten times as fast.
    return _start_of(class_name) in text.casefold() and name_pattern(class_name).search(text) is not None


class Mention(NamedTuple):
    """Where a text names a class."""

    class_name: str
    start: int
    end: int


class NameIndex:
    """Finds the names of all classes of a data set in a text at once."""

    def __init__(self, class_names: Iterable[str]) -> None:
        self._by_start: dict[str, list[str]] = {}
        for name in dict.fromkeys(class_names):
            self._by_start.setdefault(_start_of(name), []).append(name)
        self._lengths = sorted({len(start) for start in self._by_start})
        self._candidates: dict[str, list[str]] = {}

    def _names_from(self, word: str) -> list[str]:
        """Classes whose name may begin with a word that begins with these letters."""
        if word not in self._candidates:
            starts = {word[:length] for length in self._lengths if length <= len(word)}
            self._candidates[word] = [name for start in sorted(starts) for name in self._by_start.get(start, ())]
        return self._candidates[word]

    def find(self, text: str) -> Iterator[Mention]:
        """Names in the text from left to right, the longest at each place: a Fish Crow is no Crow."""
        end = 0
        for word in _WORD.finditer(text):
            if word.start() < end:
                continue
            found = [
                Mention(name, match.start(), match.end())
                for name in self._names_from(word[0][:4].casefold())
                if (match := name_pattern(name).match(text, word.start()))
            ]
            if found:
                mention = max(found, key=lambda one: (one.end, one.class_name))
                end = mention.end
                yield mention

    def mask(self, text: str) -> str:
        """The text with a comma for every class's name, so that a Marsh Wren is no marsh."""
        parts, end = [], 0
        for mention in self.find(text):
            parts.append(text[end : mention.start])
            end = mention.end
        return ",".join([*parts, text[end:]])


def find_other_class(text: str, class_name: str, names: NameIndex) -> str | None:
    """The first other class that a text names, if any.

    A name within the class's own (`Gull` in `Western Gull`) does not count. A name of one word may be a common word
    (`rose`, `cardinal`), so it counts only where the text does not name its own class.
    """
    names_own = has_name(text, class_name)
    for name, _, _ in names.find(text):
        is_one_word = len(_WORD.findall(name)) == 1
        if name != class_name and not has_name(class_name, name) and not (names_own and is_one_word):
            return name
    return None


def pluralise(thing: str) -> str:
    """A noun's plural, by the rule."""
    if thing.endswith("craft"):
        return thing
    if re.search(r"[^aeiou]y$", thing):
        return f"{thing[:-1]}ies"
    return f"{thing}es" if re.search(r"(?:s|x|z|ch|sh)$", thing) else f"{thing}s"


def remove_name(text: str, class_name: str, thing: str) -> str:
    """The text with a neutral noun for the class's name: `A Laysan Albatross's bill` gives `A bird's bill`.

    An article or adjective before the name stays (a or an as the noun asks for), and where there is none the noun gets
    one: `Unlike Laysan Albatross` gives `Unlike the bird`. The noun must not be a spelling of the name.
    """
    for _ in range(len(text)):
        found = name_pattern(class_name).search(text)
        if found is None:
            break
        before, after = text[: found.start()], text[found.end() :]
        owns = found["owns"] or ""
        noun = pluralise(thing) if _is_plural(found[0].removesuffix(owns), class_name) else thing
        if article := _ARTICLE.search(before):
            new = f"{article[1][0]}n" if re.match("[aeiou]", thing, re.IGNORECASE) else article[1][0]
            before = before[: article.start(1)] + new + article[2]
        elif _OPEN.search(before):
            noun = f"{'The' if found[0][0].isupper() else 'the'} {noun}"
        elif (last := _LAST_WORD.search(before)) is None or _BEFORE_ARTICLE.fullmatch(last[1]):
            noun = f"the {noun}"
        text = f"{before}{noun}{owns}{after}"
    return text


def _is_plural(found: str, class_name: str) -> bool:
    last, name = found.casefold(), class_name.casefold()
    return re.search(r"(?:s|ice|eese)$", last) is not None and last[-3:] != name[-3:]


def add_name(text: str, class_name: str, template: str) -> str:
    """The text with its class's name put in by the template, unless it is there already.

    The template holds {class_name} and {text}; `a` before the name becomes `an` where a vowel follows, and a text that
    goes on in a sentence of the template's begins with a small letter.
    """
    if has_name(text, class_name):
        return text
    name = " ".join(class_name.replace("_", " ").split())
    if re.match(r"(?!eu|uni|use|one)[aeiou]", name, re.IGNORECASE):
        template = re.sub(r"\b([Aa]) (?=\{class_name\})", r"\1n ", template)
    if not _OPEN.search(template.partition("{text}")[0]) and re.match(r"[^\W\d_][a-z]|A ", text):
        text = text[0].lower() + text[1:]
    return template.replace("{class_name}", name).replace("{text}", text)


def find_template_error(template: str) -> str:
    """What is wrong with a template that is to add names; empty if nothing is."""
    found = sorted(re.findall(r"\{[^{}]*\}", template))
    wrong = found != ["{class_name}", "{text}"] or "{" in re.sub(r"\{[^{}]*\}", "", template)
    return f"should hold {{class_name}} and {{text}} once each and no other braces, not {template!r}" if wrong else ""


def classify_naming(rows: Iterable[TextRow]) -> str:
    """What the comparison table says of a source in `text_names`: "named" if most of its texts name their class."""
    naming = [has_name(row.text, row.class_name) for row in rows]
    return NAMED if 2 * sum(naming) > len(naming) else UNNAMED
