"""Make an LLM's texts: ask for the replies that its ledger lacks, then replay it, field by field, for every class.

A complete ledger is replayed without network and key. Where replies are missing and the source has an endpoint
(`base_url`), they are asked for, and each is in the ledger before anything else is done with it; `snakemake
price_texts` says beforehand what they cost.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from fieldguide.core.errors import FieldguideError, name_some
from fieldguide.core.files import read_csv
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.texts.ledger import LedgerRecord, lock_ledger, read_ledger, read_prompt, replies_by_key
from fieldguide.texts.naming import has_name
from fieldguide.texts.questions import Question, missing_slots, replies_to
from fieldguide.texts.replies import reply_texts, surplus_fields
from fieldguide.texts.settings import GenerateSettings
from fieldguide.texts.table import TextRow, write_texts


def missing_error(
    source: str, ledger: Path, missing: Mapping[str, int], records: Sequence[LedgerRecord], why: str
) -> FieldguideError:
    """The error of missing replies: which classes, how many, why they cannot be asked for, and what to do.

    `missing` is the number by class.
    """
    named = [f"{name} ({count})" for name, count in missing.items()]
    if not ledger.exists():
        state = "there is no such file"
    elif any(record.class_name in missing for record in records):
        state = "it has replies about such classes, perhaps to another model, prompt, field list or parameters"
    else:
        state = f"it holds {len(records)} replies"
    return FieldguideError(
        f"{ledger}: {sum(missing.values())} replies are missing, for {len(missing)} classes: {name_some(named)};"
        f" {state}. {why}; `snakemake price_texts` says what they cost, OPENAI_API_KEY in the environment lets"
        f" them be asked for, and `texts.{source}.ledger` takes a ledger of yours"
    )


def text_rows(
    classes: Sequence[Mapping[str, str]], replies: Mapping[str, Sequence[str]], fields: Sequence[str], ledger: Path
) -> list[TextRow]:
    """The rows of the table: classes by id, then replies, then fields in order."""
    rows = []
    for row in sorted(classes, key=lambda row: int(row["class_id"])):
        class_id, name = row["class_id"], row["class_name"]
        for number, reply in enumerate(replies[name], 1):
            texts = reply_texts(reply, fields, f"{ledger}: class {name!r}, reply {number}")
            rows += [TextRow(class_id, name, "", field, text) for field, text in zip(fields, texts, strict=True)]
    return rows


def read_if_any(ledger: Path) -> list[LedgerRecord]:
    """The ledger's records; none where there is no ledger yet."""
    return read_ledger(ledger) if ledger.exists() else []


def ask_for_missing(
    source: str,
    settings: GenerateSettings,
    question: Question,
    class_names: Sequence[str],
    records: Sequence[LedgerRecord],
    at_most: int | None = None,
) -> None:
    """Buy what the ledger lacks, or the first `at_most` replies of it, as the only process that does.

    Raises FieldguideError when that cannot be done.
    """
    ledger, count = Path(settings.ledger), settings.replies_per_class
    missing = Counter(slot.class_name for slot in missing_slots(question, class_names, records, count))
    if not settings.base_url:
        raise missing_error(source, ledger, missing, records, f"texts.{source} has no `base_url` to ask")
    from fieldguide.texts.endpoint import find_endpoint
    from fieldguide.texts.llm_client import request_replies

    try:
        endpoint = find_endpoint(settings.base_url, settings.key_variable)
    except FieldguideError as error:
        raise missing_error(source, ledger, missing, records, str(error)) from None
    with lock_ledger(ledger):
        # Another process may have bought some while this one waited.
        records = read_if_any(ledger)
        if slots := missing_slots(question, class_names, records, count)[:at_most]:
            request_replies(source, settings, question, endpoint, class_names, records, slots)


def log_texts(
    source: str, settings: GenerateSettings, rows: Sequence[TextRow], replies: Mapping[str, Sequence[str]], spent: float
) -> None:
    """Say how many texts there are, what they have cost, and which fields nobody asked for."""
    repeated = sum(count - 1 for count in Counter((row.class_id, row.text) for row in rows).values())
    naming = sum(has_name(row.text, row.class_name) for row in rows)
    log.info(
        "%s: %d texts about %d classes, %d of them duplicates within their class, %d name their class",
        *(source, len(rows), len({row.class_id for row in rows}), repeated, naming),
    )
    if spent:
        log.info("%s: its replies have cost $%.4f", settings.ledger, spent)
    kept = [reply for of_class in replies.values() for reply in of_class]
    others = Counter(name for reply in kept for name in surplus_fields(reply, settings.fields))
    if others:
        named = ", ".join(f"{name} ({count})" for name, count in others.most_common(8))
        log.warning("left out, being no fields asked for: %s", named)


def generate_texts(args: argparse.Namespace) -> None:
    """Fill the ledger where it is incomplete, replay it and write the table of texts."""
    settings = parse_settings(GenerateSettings, args.settings)
    ledger, count = Path(settings.ledger), settings.replies_per_class
    classes = read_csv(args.classes, ("class_id", "class_name"))
    if not classes:
        raise FieldguideError(f"{args.classes}: holds no class; make it again with the stage that writes it")
    question = Question.of(settings, read_prompt(settings.prompt), settings.thing)
    names = list(dict.fromkeys(one["class_name"] for one in classes))
    records = read_if_any(ledger)
    if missing_slots(question, names, records, count):
        ask_for_missing(args.source, settings, question, names, records)
        records = read_if_any(ledger)
    replies = replies_to(question, names, replies_by_key(records), count)
    rows = text_rows(classes, replies, settings.fields, ledger)
    write_texts(args.out, rows)
    log_texts(args.source, settings, rows, replies, sum(record.price_usd or 0 for record in records))


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("texts.generate_texts", __doc__)
    parser.add_argument("--source", required=True, help="the text source's name, as in the configuration's `texts`")
    add_settings(parser, GenerateSettings)
    parser.add_argument("--classes", required=True, help="the table of classes, class_id and class_name")
    parser.add_argument("--out", required=True, help="the table of texts to write")
    run_stage("generate_texts", generate_texts, parser, argv)


if __name__ == "__main__":
    main()
