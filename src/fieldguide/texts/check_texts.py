"""Check a source's texts before they are used, and write a page on which a person can read them.

  python -m fieldguide.texts.check_texts --source gpt-6-luna --raw results/cub/texts/raw/gpt-6-luna.csv \\
      --classes results/cub/records/classes.csv --model ViT-L-14 --lexicon workflow/resources/not_visible.txt \\
      --settings '{"naming": "removed"}' --out results/cub/texts/gpt-6-luna.csv \\
      --page results/cub/texts/gpt-6-luna.md

In this order: classes with too few texts are refused; class names are left, taken out or put in (`naming`); sentences
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
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from fieldguide.core.errors import FieldguideError, name_some, refuse_if_any
from fieldguide.core.files import read_csv, write_text
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.data.user_files import read_text
from fieldguide.features.tokenizer import Tokenizer, load_tokenizer
from fieldguide.texts.checks import Checked, Repeats, check_text, find_repeats, keep_captions
from fieldguide.texts.naming import NameIndex, classify_naming, has_name
from fieldguide.texts.sentences import CUTS, Lexicon, read_lexicon
from fieldguide.texts.settings import CheckSettings
from fieldguide.texts.table import TextRow, has_words, read_texts, write_texts
from fieldguide.texts.text_page import FEW_WORDS, PLACES, build_page, render_page

# ---------------------------------------------------------------- what is refused


def check_rows(raw: Sequence[TextRow], names: Mapping[str, str], path: Path, classes: Path) -> None:
    """Refuse a table that is not about these classes, or that has rows without words."""
    unknown = sorted({row.class_id for row in raw} - names.keys())
    refuse_if_any(unknown, f"{path}: class ids that {classes} lacks", "make both again from the same data set")
    other = {
        f"{row.class_id} is {row.class_name!r} here and {names[row.class_id]!r} there"
        for row in raw
        if row.class_name != names[row.class_id]
    }
    refuse_if_any(sorted(other), f"{path}: class names other than in {classes}", "write them as they stand there")
    empty = [f"line {line}, class {row.class_name}" for line, row in enumerate(raw, 2) if not has_words(row.text)]
    refuse_if_any(empty, f"{path}: rows without a word of text", "fill them in or leave them out")


def check_noun(names: Mapping[str, str], thing: str, classes: Path) -> None:
    """Refuse a noun for names taken out that is itself a class's name."""
    same = [name for name in names.values() if has_name(thing, name)]
    hint = "set `dataset.thing` to another"
    refuse_if_any(same, f"{classes}: classes called as what would stand for their name", hint)


def refuse_short(checked: Sequence[Checked], names: Mapping[str, str], at_least: int, source: str, raw: Path) -> None:
    """Refuse classes with fewer texts than asked for, all in one sentence."""
    had = Counter(one.row.class_id for one in checked)
    have = Counter(one.row.class_id for one in checked if one.pieces)
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


# ---------------------------------------------------------------- what is found: logged, and said on the page


def log_lengths(checked: Sequence[Checked], rows: Sequence[TextRow], tokenizer: Tokenizer) -> dict[str, str]:
    """How long texts are, and where those that are too long were cut."""
    longest = max(map(tokenizer.count, (row.text for row in rows)))
    facts = {"longest, in tokens": f"{longest}; the text encoder takes {tokenizer.context}"}
    cut = [one for one in checked if len(one.pieces) > 1]
    if cut:
        worst = Counter(max((piece.cut for piece in one.pieces), key=CUTS.index) for one in cut)
        places = ", ".join(f"{worst[place]} {PLACES[place]}" for place in CUTS if worst[place])
        pieces, first = sum(len(one.pieces) for one in cut), cut[0].row
        log.info(
            "%d texts exceed %d tokens and were cut into %d: %s; the first: %s: %s",
            *(len(cut), tokenizer.context, pieces, places, first.class_name, first.text),
        )
        facts["too long, cut"] = f"{len(cut)} into {pieces}: {places}"
    return facts


def log_names(checked: Sequence[Checked], naming: str, text_names: str) -> dict[str, str]:
    """How many texts name their class, or another."""
    own, others = sum(one.names_own for one in checked), [one for one in checked if one.names_others]
    facts = {"name their class as written": str(own)}
    facts["class names"] = f"{naming}; the tables call the source {text_names}"
    log.info("%d texts name their class as written; with naming %s", own, facts["class names"])
    if others:
        counts = Counter(name for one in others for name in one.names_others)
        some = name_some([f"{name} ({count})" for name, count in counts.most_common()])
        log.info("%d texts name another class: %s", len(others), some)
        facts["name another class"] = f"{len(others)}: {some}"
    return facts


def log_repeats(repeats: Repeats) -> dict[str, str]:
    """How many texts are equal, within classes and across them."""
    log.info("%d texts repeat one of their class", repeats.within)
    if shared := repeats.across:
        # The commonest first; of equally common ones the first read.
        commonest = sorted(shared, key=lambda key: -repeats.classes[key])[:3]
        some = "; ".join(f"{key!r} ({repeats.classes[key]} classes)" for key in commonest)
        log.warning("%d different texts occur in several classes and do not distinguish them: %s", len(shared), some)
    return {"repeated within their class": str(repeats.within), "in several classes": str(len(shared))}


def log_visibility(checked: Sequence[Checked], visible_only: bool) -> dict[str, str]:
    """How many sentences no photograph shows, and how many were dropped for it."""
    found = [visibility for one in checked for visibility in one.visibility.values()]
    invisible = [visibility for visibility in found if visibility.is_invisible]
    partly = len(found) - len(invisible)
    topics = Counter(topic for visibility in invisible for topic in visibility.topics)
    some = ", ".join(f"{topic} {count}" for topic, count in topics.most_common())
    facts = {"sentences of which nothing is visible": f"{len(invisible)}{f' ({some})' if some else ''}"}
    facts["sentences of which a part is not"] = str(partly)
    log.info("no photograph shows anything of %d of their sentences, nor a part of %d others", len(invisible), partly)
    if visible_only:
        dropped, gone = sum(len(one.dropped) for one in checked), sum(not one.pieces for one in checked)
        log.warning("dropped %d sentences that no photograph shows, and with them %d whole texts", dropped, gone)
        facts["dropped"] = f"{dropped} sentences, {gone} texts with all of theirs"
    return facts


def log_few_words(rows: Sequence[TextRow]) -> dict[str, str]:
    """How many texts are nearly empty."""
    few = sum(len(row.text.split()) < FEW_WORDS for row in rows)
    if few:
        log.warning("%d texts have fewer than %d words", few, FEW_WORDS)
    return {f"of fewer than {FEW_WORDS} words": str(few)}


# ---------------------------------------------------------------- the stage


def check_all(
    raw: Sequence[TextRow], names: Mapping[str, str], settings: CheckSettings, lexicon: Lexicon, tokenizer: Tokenizer
) -> list[Checked]:
    """All texts, checked; an image keeps its captions where dropping would leave it none."""
    index = NameIndex(names.values())
    checked = [
        check_text(row, settings, index, lexicon, tokenizer)
        for row in tqdm(raw, "checking", unit=" texts", disable=None)
    ]
    if not settings.visible_only:
        return checked
    whole = settings.model_copy(update={"visible_only": False})
    again = {
        place: check_text(one.row, whole, index, lexicon, tokenizer)
        for place, one in enumerate(checked)
        if not one.pieces
    }
    checked, bare = keep_captions(checked, again)
    if bare:
        log.warning("%d images keep their captions, though no photograph shows what they say", bare)
    return checked


def check_texts(args: argparse.Namespace) -> None:
    """Read, check, and only then write."""
    settings = parse_settings(CheckSettings, args.settings)
    raw = read_texts(args.raw)
    names = {row["class_id"]: row["class_name"] for row in read_csv(args.classes, ("class_id", "class_name"))}
    lexicon = read_lexicon(read_text(args.lexicon), str(args.lexicon))
    if not names:
        raise FieldguideError(f"{args.classes}: holds no class; make it again with the stage that writes it")
    check_rows(raw, names, args.raw, args.classes)
    if settings.naming == "removed":
        check_noun(names, settings.thing, args.classes)
    tokenizer = load_tokenizer(args.model)
    checked = check_all(raw, names, settings, lexicon, tokenizer)
    refuse_short(checked, names, settings.at_least, args.source, args.raw)

    rows = [one.row._replace(text=piece.text) for one in checked for piece in one.pieces]
    repeats, text_names = find_repeats(rows), classify_naming(rows)
    classes = len({one.row.class_id for one in checked})
    log.info("%s: %d texts of %d classes", args.source, len(checked), classes)
    facts = {
        "texts read": str(len(checked)),
        "texts to use": str(len(rows)),
        "classes": str(classes),
        **log_lengths(checked, rows, tokenizer),
        **log_names(checked, settings.naming, text_names),
        **log_repeats(repeats),
        **log_visibility(checked, settings.visible_only),
        **log_few_words(rows),
    }
    page = build_page(args.source, checked, names, facts, repeats, text_names, settings.images_shown)
    write_texts(args.out, rows)
    write_text(args.page, render_page(page))


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("texts.check_texts", __doc__)
    parser.add_argument("--source", required=True, help="the text source's name, as in the configuration's `texts`")
    add_settings(parser, CheckSettings)
    parser.add_argument("--raw", type=Path, required=True, help="table of texts as they were written")
    parser.add_argument("--classes", type=Path, required=True, help="table of classes, class_id and class_name")
    parser.add_argument("--model", required=True, help="the backbone, whose tokenizer says how long a text is")
    parser.add_argument("--cache", default="", help="folder that download_backbone filled; empty: open_clip's own")
    parser.add_argument("--lexicon", type=Path, required=True, help="words about what no photograph shows")
    parser.add_argument("--out", type=Path, required=True, help="table of texts to write")
    parser.add_argument("--page", type=Path, required=True, help="Markdown page to write")
    run_stage("check_texts", check_texts, parser, argv)


if __name__ == "__main__":
    main()
