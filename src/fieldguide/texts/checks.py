"""What is found in a text, and what becomes of it: its class's name, what no photograph shows, its length, repeats."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fieldguide.features.tokenizer import Tokenizer
from fieldguide.texts.naming import NameIndex, add_name, has_name, remove_name
from fieldguide.texts.sentences import Lexicon, Piece, Visibility, classify_visibility, fit_text, split_sentences
from fieldguide.texts.settings import CheckSettings
from fieldguide.texts.table import TextRow


@dataclass(frozen=True)
class Checked:
    """One raw text: its row, what it became, and what was found in it as it was written."""

    row: TextRow
    pieces: tuple[Piece, ...]
    dropped: tuple[str, ...]
    names_own: bool
    names_others: tuple[str, ...]
    visibility: Mapping[str, Visibility]  # of its sentences that speak of what no photograph shows, kept or dropped

    @property
    def is_invisible(self) -> bool:
        return any(found.is_invisible for found in self.visibility.values())

    def visibility_of(self, sentence: str) -> Visibility | None:
        """What was found in a sentence of a piece, also where a template stands around it or it was cut."""
        return next((found for one, found in self.visibility.items() if one in sentence or sentence in one), None)


def check_text(
    row: TextRow, settings: CheckSettings, index: NameIndex, lexicon: Lexicon, tokenizer: Tokenizer
) -> Checked:
    """One raw text, checked; without pieces if nothing of it may stay."""
    name, text = row.class_name, " ".join(row.text.split())
    named = {mention.class_name for mention in index.find(text)}
    own = has_name(text, name)
    if settings.naming == "removed" and own:
        text = remove_name(text, name, settings.thing)
    sentences = split_sentences(text)
    speaking = [sentence for sentence in sentences if lexicon.may_speak_of(sentence)]
    found = {sentence: classify_visibility(index.mask(sentence), lexicon) for sentence in speaking}
    visibility = {sentence: one for sentence, one in found.items() if one.topics}
    dropped: tuple[str, ...] = ()
    if settings.visible_only:
        dropped = tuple(one for one in sentences if one in visibility and visibility[one].is_invisible)
        text = " ".join(sentence for sentence in sentences if sentence not in dropped)

    def finish(piece: str) -> str:
        return add_name(piece, name, settings.template) if settings.naming == "added" else piece

    pieces = fit_text(text, tokenizer.context, lambda piece: tokenizer.count(finish(piece))) if text else []
    finished = tuple(Piece(finish(piece.text), piece.cut) for piece in pieces)
    return Checked(row, finished, dropped, own, tuple(sorted(named - {name})), visibility)


def keep_captions(checked: Sequence[Checked], again: Mapping[int, Checked]) -> tuple[list[Checked], int]:
    """The texts with those of images that dropping would leave without any as they were; and how many images.

    `again` holds, by place, the texts of which nothing was to stay, checked without dropping.
    """
    left = {one.row.image_id for one in checked if one.pieces}
    bare = {one.row.image_id for one in checked} - left - {""}
    return [again[i] if one.row.image_id in bare else one for i, one in enumerate(checked)], len(bare)


def normalise_text(text: str) -> str:
    """What makes two texts the same: their words."""
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


@dataclass(frozen=True)
class Repeats:
    """How often each text occurs, by its words: in each class, and in how many classes."""

    in_class: Mapping[tuple[str, str], int]
    classes: Mapping[str, int]

    @property
    def within(self) -> int:
        """Texts beyond the first of their words in their class."""
        return sum(count - 1 for count in self.in_class.values())

    @property
    def across(self) -> list[str]:
        """Words that more than one class has."""
        return [key for key, count in self.classes.items() if count > 1]


def find_repeats(rows: Sequence[TextRow]) -> Repeats:
    """Equal texts within classes and across them."""
    in_class = Counter((row.class_id, normalise_text(row.text)) for row in rows)
    return Repeats(in_class, Counter(key for _, key in in_class))
