"""Class names that are spelled differently: which name of one list is which class of another.

The rule, from strict to loose; the first that gives a class decides, and nothing is ever guessed by likeness:

1. what the configuration's table `class_names` says of a name, and after it a name spelled exactly as the class;
2. the same words: `017.Cardinal`, `cardinal` and `CARDINAL` are one, as are `Whip_poor_Will` and `whip-poor-will`. A
   number in front with a dot is not part of the name, unless a digit follows the dot: `1.8T` and `2.5 ton truck` are
   names, and `001.1.8T` is one behind a number, since no other number begins with a 0. Case, accents, apostrophes,
   spaces, hyphens, underscores and other punctuation do not count, and `&` is `and`;
3. a name that is only a number is the class of that id;
4. the same words but for an s at the end of a word, plural or possessive: `Brewer's Blackbirds`, `Brewer_Blackbird`;
5. the same number in front (`126.Nelson_Sparrow`, `126.Nelson_Sharp_tailed_Sparrow`), where both lists number their
   classes alike: at least half of the names are matched by words, and each of these has its class's number.

A name that a rule gives to two classes has none, and two names of one class have neither.
"""

from __future__ import annotations

import difflib
import itertools
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from fieldguide.core.errors import FieldguideError

_NUMBERED = re.compile(r"^\s*(0\d+|\d+(?=\.[\s_]*[^\s_.,\d]))\.[\s_]*(?=[^\s_.,])")
_APOSTROPHES = re.compile("['`´‘’ʼ′＇]")
_ACCENTS = re.compile("[\u0300-\u036f]")
_MAY_LACK_S = 6
"""How many words of a name may have an s at their end or not; further ones have to agree."""

NO_CLASS = "is no class"
SUGGESTED = 2
"""How many candidates a report offers for a name."""


def number_of(name: str) -> int | None:
    """The number in front of a name: 17 of `017.Cardinal`, none of `Cardinal`, `747-400` or `2.5 ton truck`."""
    found = _NUMBERED.match(name)
    return int(found[1]) if found else None


def without_number(name: str) -> str:
    """The name behind the number in front: `Cardinal` of `017.Cardinal`."""
    return _NUMBERED.sub("", name, count=1)


def in_nfc(name: str) -> str:
    """A name in composed Unicode, to be compared: macOS writes `é` as an e and an accent, and both look alike."""
    return unicodedata.normalize("NFC", name)


def words_of(name: str) -> list[str]:
    """The name's words in lower case, without accents, apostrophes, punctuation and a number in front."""
    text = without_number(_APOSTROPHES.sub("", name)).replace("&", " and ")
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    text = _ACCENTS.sub("", text)
    return "".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in text).split()


def key_of(name: str) -> str:
    """What names of the same words share: the words without a gap."""
    return "".join(words_of(name))


def keys_of(name: str) -> set[str]:
    """The keys that a name may have when an s at the end of a word is left out; its own key is among them."""
    words = words_of(name)
    spellings: list[tuple[str, ...]] = []
    for word in words:
        loses = word.endswith("s") and len(word) > 2 and sum(len(s) > 1 for s in spellings) < _MAY_LACK_S
        spellings.append((word, word[:-1]) if loses else (word,))
    return {"".join(choice) for choice in itertools.product(*spellings)} if words else set()


class Matching(NamedTuple):
    """Which name is which class, and what is left over."""

    class_ids: dict[str, str]
    """Class id by name, for the names that are a class; no class id occurs twice."""
    unmatched: dict[str, str]
    """Why a name is no class, by name; in their given order."""
    lacking: list[str]
    """Ids of the classes that no name is; in their given order."""


def match_names(
    names: Sequence[str], classes: Sequence[Mapping[str, str]], explicit: Mapping[str, str] | None = None
) -> Matching:
    """Match distinct names to classes (`class_id`, `class_name`, `folder`), one to one, by the module's rule.

    `explicit` gives classes by their name, folder or id for names as the list spells them, up to case and punctuation.

    Raises FieldguideError when `explicit` gives a class or a name that is not there.
    """
    rule = ClassRule(classes)
    wanted = _explicit_classes(names, rule, explicit or {})
    candidates = {name: [wanted[name]] if name in wanted else rule.classes_by_words(name) for name in names}
    by_words = {name: found[0] for name, found in candidates.items() if len(found) == 1 and name not in wanted}
    if rule.is_numbered_alike(by_words, len(names)):
        taken = {class_id for found in candidates.values() for class_id in found}
        for name, found in candidates.items():
            if not found:
                found += [one for one in rule.class_by_number(name) if one not in taken]
    claims: dict[str, list[str]] = {}
    for name, found in candidates.items():
        if len(found) == 1:
            claims.setdefault(found[0], []).append(name)
    matched, unmatched = {}, {}
    for name, found in candidates.items():
        if len(found) > 1:
            unmatched[name] = f"is as near to {_or(rule.label(one) for one in found)}"
        elif found and len(claims[found[0]]) > 1:
            others = (repr(_one_line(other)) for other in claims[found[0]] if other != name)
            unmatched[name] = f"is {rule.label(found[0])}, but so is {_or(others)}"
        elif found:
            matched[name] = found[0]
        else:
            unmatched[name] = NO_CLASS
    has = set(matched.values())
    return Matching(matched, unmatched, [row["class_id"] for row in classes if row["class_id"] not in has])


class ClassRule:
    """Classes (`class_id`, `class_name`, `folder`), found by what they may be called."""

    def __init__(self, classes: Sequence[Mapping[str, str]]) -> None:
        self.rows = {row["class_id"]: row for row in classes}
        self._by_spelling: dict[str, list[str]] = {}
        self._by_key: dict[str, list[str]] = {}
        self._by_keys: dict[str, list[str]] = {}
        self._by_number: dict[int, list[str]] = {}
        for class_id, row in self.rows.items():
            spellings = [spelling for spelling in (row["class_name"], row.get("folder", "")) if spelling]
            for spelling in dict.fromkeys(spellings):
                self._by_spelling.setdefault(spelling, []).append(class_id)
            for key in sorted({key_of(spelling) for spelling in spellings} - {""}):
                self._by_key.setdefault(key, []).append(class_id)
            for key in sorted(set().union(*map(keys_of, spellings))):
                self._by_keys.setdefault(key, []).append(class_id)
            number = number_of(row.get("folder", ""))
            if number is not None:
                self._by_number.setdefault(number, []).append(class_id)

    def label(self, class_id: str) -> str:
        """The class as a report names it: `Cardinal (class 17)`."""
        return f"{self.rows[class_id]['class_name']} (class {class_id})"

    def classes_by_words(self, name: str) -> list[str]:
        """Ids of the classes that rules 1 to 4 give; several where they are equally near."""
        key = key_of(name)
        if name in self._by_spelling:
            return list(self._by_spelling[name])
        if key in self._by_key:
            return list(self._by_key[key])
        if key.isascii() and key.isdigit():
            return [class_id for class_id in [str(int(key))] if class_id in self.rows]
        return sorted({one for spelling in keys_of(name) for one in self._by_keys.get(spelling, [])})

    def is_called(self, name: str, class_id: str) -> bool:
        """Whether a name may be that class's: by its words, or by its number where its words are no class's."""
        number = number_of(name)
        by_words = self.classes_by_words(name)
        is_numbered = number is not None and number == number_of(self.rows[class_id].get("folder", ""))
        return class_id in by_words if by_words else is_numbered

    def class_by_number(self, name: str) -> list[str]:
        """Ids of the classes whose folder has the name's number in front; one or none."""
        number = number_of(name)
        found = self._by_number.get(number, []) if number is not None else []
        return found if len(found) == 1 else []

    def is_numbered_alike(self, by_words: Mapping[str, str], total: int) -> bool:
        """Whether the names are numbered as the classes' folders are."""
        numbers = [
            (number_of(name), number_of(self.rows[class_id].get("folder", ""))) for name, class_id in by_words.items()
        ]
        return 2 * len(numbers) >= total > 0 and all(one is not None and one == other for one, other in numbers)


def _explicit_classes(names: Sequence[str], rule: ClassRule, explicit: Mapping[str, str]) -> dict[str, str]:
    by_key = {key_of(name): name for name in names}
    found: dict[str, str] = {}
    names_of_classes = [row["class_name"] for row in rule.rows.values()]
    unknown, absent = [], []
    for theirs, ours in explicit.items():
        name = theirs if theirs in names else by_key.get(key_of(theirs))
        classes = [ours] if ours in rule.rows else rule.classes_by_words(ours)
        if len(classes) != 1:
            unknown.append(f"{theirs}: {ours}{_like(ours, names_of_classes)}")
        elif name is None:
            absent.append(theirs)
        else:
            found[name] = classes[0]
    if unknown:
        raise FieldguideError(
            f"class_names: gives classes that are not there: {'; '.join(unknown)} - correct the table"
        )
    if absent:
        raise FieldguideError(
            f"class_names: has entries for names that do not occur: {', '.join(absent)} - correct or remove them"
        )
    return found


def report(matching: Matching, classes: Sequence[Mapping[str, str]], unknown: bool = True) -> str:
    """All that is left over on either side in one line, with the closest candidates; empty when nothing is.

    Without `unknown`, names that are no class at all are no matter of complaint.
    """
    rows = {row["class_id"]: row for row in classes}
    lacking = [rows[class_id]["class_name"] for class_id in matching.lacking]
    free = [name for name, why in matching.unmatched.items() if why == NO_CLASS]
    left = [
        _one_line(name) + (_like(name, lacking) if why == NO_CLASS else f" ({why})")
        for name, why in matching.unmatched.items()
        if unknown or why != NO_CLASS
    ]
    parts = []
    if left:
        parts.append(f"names that are no class of the data set ({len(left)}): {'; '.join(left)}")
    if lacking:
        # Said once: a suggestion that stands above need not come again.
        near = [""] * len(lacking) if unknown else [_like(name, free) for name in lacking]
        named = "; ".join(
            f"{name} (class {class_id}){like}"
            for name, class_id, like in zip(lacking, matching.lacking, near, strict=True)
        )
        parts.append(f"classes that none of the names is ({len(lacking)}): {named}")
    return " - and ".join(parts)


def closest(name: str, candidates: Iterable[str], count: int = SUGGESTED) -> list[str]:
    """The candidates that are spelled most like a name, nearest first; none where nothing is like it."""
    by_key = {key_of(one): one for one in candidates}
    return [by_key[key] for key in difflib.get_close_matches(key_of(name), list(by_key), count)]


def _like(name: str, candidates: Iterable[str]) -> str:
    """` [perhaps …]`: the closest names, for a person to decide on."""
    close = closest(name, candidates)
    return f" [perhaps {_or(_one_line(one) for one in close)}]" if close else ""


def _one_line(name: str) -> str:
    """A name as one line."""
    return " ".join(name.split())


def _or(words: Iterable[str]) -> str:
    return " or ".join(words)
