"""Check a source's texts before they are used, and write a page on which a person can read them.

  python -m fieldguide.texts.check_texts --source gpt-3.5-turbo --raw results/cub/texts/raw/gpt-3.5-turbo.csv \\
      --classes results/cub/records/classes.csv --model ViT-L-14 --lexicon workflow/resources/not_visible.txt \\
      --out results/cub/texts/gpt-3.5-turbo.csv --page results/cub/texts/gpt-3.5-turbo.md

In this order: classes with too few texts are refused; class names are left, taken out or put in (--naming); sentences
about what no photograph shows are flagged, and dropped if asked; and a text longer than the text encoder's context is
cut between sentences, then clauses, then words, so that nothing of it is lost.

A sentence is flagged when it has a word of the lexicon's topics (sound, habitat, behaviour, range, diet) and, topics
and class names left out, none of what a photograph does show; one that speaks of both is marked as such and kept. Read
one by one: all 365 sentences flagged of 3,576 in the aviary's ledger speak of such a topic (they are 11 phrasings of
its writer). Of the 550 phrases that GPT-4 wrote as the unique features of CUB's classes 246 were flagged, 244 of them
rightly (two tell where in the picture a bird is), and 7 were missed, of which 5 gave the lexicon a phrase since. Of
2,418 of Reed's captions none is flagged, as it should be.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from fieldguide.core.errors import FieldguideError, name_some, refuse_if_any
from fieldguide.core.files import read_csv, write_csv, write_text
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.data.records import CLASS_COLUMNS
from fieldguide.features.tokenizer import Tokenizer, load_tokenizer
from fieldguide.texts.naming import (
    NAMED,
    UNNAMED,
    NameIndex,
    add_name,
    classify_naming,
    find_template_error,
    has_name,
    remove_name,
)
from fieldguide.texts.sentences import CUTS, Lexicon, Piece, Sight, fit_text, read_lexicon, see, split_sentences
from fieldguide.texts.table import TEXT_COLUMNS
from fieldguide.texts.text_page import Page, PageClass, PageGroup, PageText, render_page

NAMING = ("as-is", "removed", "added")
TEMPLATE = "a photo of a {class_name}, {text}"
FEW_WORDS = 3
"""A text of fewer words is called near-empty."""
PLACES = {
    CUTS[0]: "between sentences",
    CUTS[1]: "between clauses",
    CUTS[2]: "between words",
    CUTS[3]: "inside a word",
}


@dataclass(frozen=True)
class Checked:
    """One raw text: its row, what it became, and what was found in it as it was written."""

    row: Mapping[str, str]
    pieces: tuple[Piece, ...]
    dropped: tuple[str, ...]
    names_own: bool
    names_others: tuple[str, ...]
    sights: Mapping[str, Sight]  # of its sentences that speak of what no photograph shows, kept or dropped

    @property
    def unseen(self) -> bool:
        return any(sight.unseen for sight in self.sights.values())

    def sight_of(self, sentence: str) -> Sight | None:
        """What was found in a sentence of a piece, also where a template stands around it or it was cut."""
        return next((sight for told, sight in self.sights.items() if told in sentence or sentence in told), None)


@dataclass(frozen=True)
class Settings:
    """How a source's texts are to be treated."""

    naming: str
    template: str
    thing: str
    visible_only: bool


def check_rows(raw: Sequence[Mapping[str, str]], names: Mapping[str, str], path: Path, classes: Path) -> None:
    """Refuse a table that is not about these classes, or that has rows without words."""
    unknown = sorted({row["class_id"] for row in raw} - names.keys())
    refuse_if_any(unknown, f"{path}: class ids that {classes} lacks", "make both again from the same data set")
    other = {
        f"{row['class_id']} is {row['class_name']!r} here and {names[row['class_id']]!r} there"
        for row in raw
        if row["class_name"] != names[row["class_id"]]
    }
    refuse_if_any(sorted(other), f"{path}: class names other than in {classes}", "write them as they stand there")
    empty = [
        f"line {line}, class {row['class_name']}"
        for line, row in enumerate(raw, 2)
        if not any(character.isalnum() for character in row["text"])
    ]
    refuse_if_any(empty, f"{path}: rows without a word of text", "fill them in or leave them out")


def check_text(
    row: Mapping[str, str], settings: Settings, index: NameIndex, lexicon: Lexicon, tokenizer: Tokenizer
) -> Checked:
    """One raw text, checked; without pieces if nothing of it may stay."""
    name, text = row["class_name"], " ".join(row["text"].split())
    named = {mention.class_name for mention in index.find(text)}
    own = has_name(text, name)
    if settings.naming == "removed" and own:
        text = remove_name(text, name, settings.thing)
    sentences = split_sentences(text)
    sights = {}
    for sentence in sentences:
        if lexicon.may_speak_of(sentence) and (sight := see(index.mask(sentence), lexicon)).topics:
            sights[sentence] = sight
    dropped: tuple[str, ...] = ()
    if settings.visible_only:
        dropped = tuple(sentence for sentence in sentences if sentence in sights and sights[sentence].unseen)
        text = " ".join(sentence for sentence in sentences if sentence not in dropped)

    def finish(piece: str) -> str:
        return add_name(piece, name, settings.template) if settings.naming == "added" else piece

    pieces = fit_text(text, tokenizer.context, lambda piece: tokenizer.count(finish(piece))) if text else []
    finished = tuple(Piece(finish(piece.text), piece.cut) for piece in pieces)
    return Checked(row, finished, dropped, own, tuple(sorted(named - {name})), sights)


def keep_captions(checked: Sequence[Checked], again: Mapping[int, Checked]) -> tuple[list[Checked], int]:
    """The texts with those of images that dropping would leave without any as they were; and how many images.

    `again` holds, by place, the texts of which nothing was to stay, checked without dropping.
    """
    left = {one.row["image_id"] for one in checked if one.pieces}
    bare = {one.row["image_id"] for one in checked} - left - {""}
    return [again[i] if one.row["image_id"] in bare else one for i, one in enumerate(checked)], len(bare)


def refuse_short(checked: Sequence[Checked], names: Mapping[str, str], at_least: int, source: str, raw: Path) -> None:
    """Refuse classes with fewer texts than asked for, all in one sentence."""
    had = Counter(one.row["class_id"] for one in checked)
    have = Counter(one.row["class_id"] for one in checked if one.pieces)
    short = [
        f"{name} ({have[class_id]}{f' of {had[class_id]}' if had[class_id] > have[class_id] else ''})"
        for class_id, name in names.items()
        if have[class_id] < at_least
    ]
    if short:
        dropping = had.total() > have.total()
        visible = f", set `texts.{source}.visible_only` to false" if dropping else ""
        raise FieldguideError(
            f"{raw}: {len(short)} of {len(names)} classes have fewer than {at_least} texts"
            f"{', those left out of which no photograph shows anything' if dropping else ''}: {', '.join(short)};"
            f" bring more texts{visible} or lower `texts.{source}.at_least`"
        )


def key_of(text: str) -> str:
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


def find_repeats(rows: Sequence[Mapping[str, str]]) -> Repeats:
    """Equal texts within classes and across them."""
    in_class = Counter((row["class_id"], key_of(row["text"])) for row in rows)
    return Repeats(in_class, Counter(key for _, key in in_class))


# ---------------------------------------------------------------- the page

COLUMNS = (
    "texts",
    "name their class",
    "name another class",
    "repeated",
    "shared with other classes",
    "not visible",
    "in part not visible",
    "cut",
)


def flags_of(one: Checked, number: int, repeats: Repeats, usual: str) -> tuple[str, ...]:
    """What a reader should know about a piece of a text; whether it names its class only where that is not usual."""
    row, piece = one.row, one.pieces[number]
    key = key_of(piece.text)
    flags = [f"part {number + 1} of {len(one.pieces)}, cut {PLACES[piece.cut]}"] if piece.cut else []
    own = NAMED if has_name(piece.text, row["class_name"]) else UNNAMED
    flags += ["names its class" if own == NAMED else "does not name its class"] if own != usual else []
    flags += [f"names {name}" for name in one.names_others]
    inside, classes = repeats.in_class[row["class_id"], key], repeats.classes[key]
    flags += [f"{inside} times in this class"] if inside > 1 else []
    flags += [f"also in {classes - 1} other class{'es' if classes > 2 else ''}"] if classes > 1 else []
    words = len(piece.text.split())
    flags += [f"{words} word{'s' if words > 1 else ''}"] if words < FEW_WORDS else []
    sights = [one.sight_of(sentence) for sentence in split_sentences(piece.text)]
    last = number == len(one.pieces) - 1
    told = {
        "not visible": [sight for sight in sights if sight and sight.unseen],
        "in part not visible": [sight for sight in sights if sight and not sight.unseen],
        "dropped": [one.sights[sentence] for sentence in one.dropped] if last else [],
    }
    return (*flags, *(f"{what}: {name_topics(found)}" for what, found in told.items() if found))


def name_topics(sights: Iterable[Sight]) -> str:
    """The topics of sentences, each once."""
    return ", ".join(dict.fromkeys(topic for sight in sights for topic in sight.topics))


def page_texts(one: Checked, repeats: Repeats, usual: str) -> list[PageText]:
    """A raw text as the page shows it: its pieces, or what was dropped."""
    if not one.pieces:
        return [PageText((), (f"dropped: {name_topics(one.sights.values())}",), one.dropped)]
    return [
        PageText(
            tuple((s, bool((sight := one.sight_of(s)) and sight.unseen)) for s in split_sentences(piece.text)),
            flags_of(one, number, repeats, usual),
            one.dropped if number == len(one.pieces) - 1 else (),
        )
        for number, piece in enumerate(one.pieces)
    ]


def page_class(
    class_id: str, name: str, texts: Sequence[Checked], repeats: Repeats, usual: str, images: int
) -> PageClass:
    """A class on the page: its fields, or its first images."""
    groups: dict[str, list[PageText]] = defaultdict(list)
    pictured = list(dict.fromkeys(one.row["image_id"] for one in texts if one.row["image_id"]))
    left_out = 0
    for one in texts:
        image = one.row["image_id"]
        if image in pictured[images:]:
            left_out += 1
            continue
        groups[f"Image {image}" if image else one.row["field"] or "Texts"] += page_texts(one, repeats, usual)
    kept = [piece.text for one in texts for piece in one.pieces]
    counts = (
        len(kept),
        sum(has_name(text, name) for text in kept),
        sum(bool(one.names_others) for one in texts),
        len(kept) - len({key_of(text) for text in kept}),
        sum(repeats.classes[key_of(text)] > 1 for text in kept),
        sum(one.unseen for one in texts),
        sum(bool(one.sights) and not one.unseen for one in texts),
        sum(len(one.pieces) > 1 for one in texts),
    )
    more = f"{left_out} texts of {len(pictured) - images} more images are left out here" if left_out else ""
    shown = tuple(PageGroup(head, tuple(items)) for head, items in groups.items())
    return PageClass(f"{name} (class {class_id})", shown, more, counts)


LEAD = (
    "Every text as it is used, class by class. *Slanted* sentences speak only of what no photograph shows (sound, "
    "habitat, behaviour, range, diet), by the words of the lexicon; ~~struck~~ ones were dropped. Notes in "
    "**\\[brackets\\]** are not part of a text.",
    "A text that names its class says which one it is about without describing it; one that other classes have too "
    "tells nothing apart; one that names another class may compare the two, or may be about the wrong one.",
)


def build_page(
    source: str,
    checked: Sequence[Checked],
    names: Mapping[str, str],
    facts: Mapping[str, str],
    repeats: Repeats,
    usual: str,
    images: int,
) -> Page:
    """The page of a source; of images with captions the first few of each class, and columns that count something."""
    of_class: dict[str, list[Checked]] = defaultdict(list)
    for one in checked:
        of_class[one.row["class_id"]].append(one)
    classes = [
        page_class(class_id, name, of_class[class_id], repeats, usual, images) for class_id, name in names.items()
    ]
    used = [column for column in range(len(COLUMNS)) if any(one.counts[column] for one in classes)]
    classes = [replace(one, counts=tuple(one.counts[column] for column in used)) for one in classes]
    columns = tuple(COLUMNS[column] for column in used)
    return Page(f"Texts of {source}", LEAD, tuple(facts.items()), columns, tuple(classes))


# ---------------------------------------------------------------- the stage


def tell(
    source: str,
    checked: Sequence[Checked],
    rows: Sequence[Mapping[str, str]],
    repeats: Repeats,
    usual: str,
    settings: Settings,
    tokenizer: Tokenizer,
) -> dict[str, str]:
    """Log what was found; the same as facts for the head of the page."""
    texts, classes = len(checked), len({one.row["class_id"] for one in checked})
    log.info("%s: %d texts of %d classes", source, texts, classes)
    longest = max(map(tokenizer.count, (row["text"] for row in rows)))
    cut = [one for one in checked if len(one.pieces) > 1]
    facts = {"texts read": str(texts), "texts to use": str(len(rows)), "classes": str(classes)}
    facts["longest, in tokens"] = f"{longest}; the text encoder takes {tokenizer.context}"
    if cut:
        worst = Counter(max((piece.cut for piece in one.pieces), key=CUTS.index) for one in cut)
        places = ", ".join(f"{worst[place]} {PLACES[place]}" for place in CUTS if worst[place])
        pieces = sum(len(one.pieces) for one in cut)
        log.info(
            "%d texts exceed %d tokens and were cut into %d: %s; the first: %s: %s",
            len(cut),
            tokenizer.context,
            pieces,
            places,
            cut[0].row["class_name"],
            cut[0].row["text"],
        )
        facts["too long, cut"] = f"{len(cut)} into {pieces}: {places}"

    own, others = sum(one.names_own for one in checked), [one for one in checked if one.names_others]
    facts["name their class as written"] = str(own)
    facts["class names"] = f"{settings.naming}; the tables call the source {usual}"
    log.info("%d texts name their class as written; with naming %s", own, facts["class names"])
    if others:
        counts = Counter(name for one in others for name in one.names_others)
        some = name_some([f"{name} ({count})" for name, count in counts.most_common()])
        log.info("%d texts name another class: %s", len(others), some)
        facts["name another class"] = f"{len(others)}: {some}"

    facts["repeated within their class"] = str(repeats.within)
    facts["had by several classes"] = str(len(repeats.across))
    log.info("%d texts repeat one of their class", repeats.within)
    if shared := repeats.across:
        # The commonest first; of equally common ones the first read.
        commonest = sorted(shared, key=lambda key: -repeats.classes[key])[:3]
        some = "; ".join(f"{key!r} ({repeats.classes[key]} classes)" for key in commonest)
        log.warning("%d different texts are had by several classes and tell nothing apart: %s", len(shared), some)

    unseen = [sight for one in checked for sight in one.sights.values() if sight.unseen]
    partly = sum(not sight.unseen for one in checked for sight in one.sights.values())
    topics = Counter(topic for sight in unseen for topic in sight.topics)
    some = ", ".join(f"{topic} {count}" for topic, count in topics.most_common())
    facts["sentences of which nothing is visible"] = f"{len(unseen)}{f' ({some})' if some else ''}"
    facts["sentences of which a part is not"] = str(partly)
    log.info("no photograph shows anything of %d of their sentences, nor a part of %d others", len(unseen), partly)
    dropped = sum(len(one.dropped) for one in checked)
    if settings.visible_only:
        gone = sum(not one.pieces for one in checked)
        log.warning("dropped %d sentences that no photograph shows, and with them %d whole texts", dropped, gone)
        facts["dropped"] = f"{dropped} sentences, {gone} texts with all of theirs"
    few = sum(len(row["text"].split()) < FEW_WORDS for row in rows)
    facts[f"of fewer than {FEW_WORDS} words"] = str(few)
    if few:
        log.warning("%d texts have fewer than %d words", few, FEW_WORDS)
    return facts


def check_texts(args: argparse.Namespace) -> None:
    """Read, check, and only then write."""
    settings = Settings(args.naming, args.template, args.thing, args.visible_only)
    if fault := find_template_error(args.template):
        raise FieldguideError(f"--template {fault}")
    raw = [{column: row[column] or "" for column in TEXT_COLUMNS} for row in read_csv(args.raw, TEXT_COLUMNS)]
    names = {row["class_id"]: row["class_name"] for row in read_csv(args.classes, CLASS_COLUMNS[:2])}
    lexicon = read_lexicon(args.lexicon.read_text(encoding="utf-8"), str(args.lexicon))
    if not names:
        raise FieldguideError(f"{args.classes}: holds no class; make it again with the stage that writes it")
    check_rows(raw, names, args.raw, args.classes)
    if settings.naming == "removed":
        same = [name for name in names.values() if has_name(settings.thing, name)]
        refuse_if_any(
            same, f"{args.classes}: classes called as what would stand for their name", "set `dataset.thing` to another"
        )
    tokenizer = load_tokenizer(args.model)
    index = NameIndex(names.values())
    checked = [
        check_text(row, settings, index, lexicon, tokenizer)
        for row in tqdm(raw, "checking", unit=" texts", disable=None)
    ]
    if settings.visible_only:
        whole = Settings(settings.naming, settings.template, settings.thing, visible_only=False)
        again = {
            i: check_text(one.row, whole, index, lexicon, tokenizer) for i, one in enumerate(checked) if not one.pieces
        }
        checked, bare = keep_captions(checked, again)
        if bare:
            log.warning("%d images keep their captions, though no photograph shows what they say", bare)
    refuse_short(checked, names, args.at_least, args.source, args.raw)

    rows = [dict(one.row, text=piece.text) for one in checked for piece in one.pieces]
    repeats, usual = find_repeats(rows), classify_naming(rows)
    facts = tell(args.source, checked, rows, repeats, usual, settings, tokenizer)
    page = build_page(args.source, checked, names, facts, repeats, usual, args.images_shown)
    write_csv(args.out, TEXT_COLUMNS, rows)
    write_text(args.page, render_page(page))


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("texts.check_texts", __doc__)
    parser.add_argument("--source", required=True, help="the text source's name, as in the configuration's `texts`")
    parser.add_argument("--raw", type=Path, required=True, help="table of texts as they were written")
    parser.add_argument("--classes", type=Path, required=True, help="table of classes, class_id and class_name")
    parser.add_argument("--model", required=True, help="the backbone, whose tokenizer says how long a text is")
    parser.add_argument("--cache", default="", help="folder that download_backbone filled; empty: open_clip's own")
    parser.add_argument("--lexicon", type=Path, required=True, help="words about what no photograph shows")
    parser.add_argument("--at-least", type=int, default=1, help="texts that every class must have")
    parser.add_argument("--naming", choices=NAMING, default="as-is", help="what becomes of class names in texts")
    parser.add_argument("--template", default=TEMPLATE, help="how a name is added, with {class_name} and {text}")
    parser.add_argument("--thing", default="bird", help="the noun that stands for a name taken out")
    parser.add_argument("--visible-only", action="store_true", help="drop sentences that no photograph shows")
    parser.add_argument("--images-shown", type=int, default=3, help="images of each class on the page, with captions")
    parser.add_argument("--out", type=Path, required=True, help="table of texts to write")
    parser.add_argument("--page", type=Path, required=True, help="Markdown page to write")
    run_stage("check_texts", check_texts, parser, argv)


if __name__ == "__main__":
    main()
