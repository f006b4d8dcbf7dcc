"""Make an LLM's texts: ask for the replies that its ledger lacks, then replay it, field by field, for every class.

A complete ledger is replayed without network and key. Where replies are missing and the source has an endpoint
(`--base-url`), they are asked for, and each is in the ledger before anything else is done with it; `snakemake
price_texts` says beforehand what they cost.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from fieldguide.core.errors import FieldguideError, name_some
from fieldguide.core.files import read_csv, write_csv
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.texts.ledger import LedgerRecord, only_asker, read_ledger, replies_by_key
from fieldguide.texts.questions import Question, missing_slots, replies_to
from fieldguide.texts.replies import fields_not_asked_for, reply_texts, words

COLUMNS = ("class_id", "class_name", "image_id", "field", "text")


def refuse_missing(
    missing: Mapping[str, int], ledger: Path, source: str, records: Sequence[LedgerRecord], why: str
) -> NoReturn:
    """Refuse to go on without replies: which classes, how many, why they cannot be asked for, and the way out."""
    named = [f"{name} ({count})" for name, count in missing.items()]
    if not ledger.exists():
        state = "there is no such file"
    elif any(record.class_name in missing for record in records):
        state = "it has replies about such classes, perhaps to another model, prompt, field list or parameters"
    else:
        state = f"it holds {len(records)} replies"
    raise FieldguideError(
        f"{ledger}: {sum(missing.values())} replies are missing, for {len(missing)} classes: {name_some(named)};"
        f" {state}. {why}; `snakemake price_texts` says what they cost, OPENAI_API_KEY in the environment lets"
        f" them be asked for, and `texts.{source}.ledger` takes a ledger of yours"
    )


def text_rows(
    classes: Sequence[Mapping[str, str]], replies: Mapping[str, Sequence[str]], fields: Sequence[str], ledger: Path
) -> list[dict[str, str]]:
    """The rows of the table: classes by id, then replies, then fields in order."""
    return [
        {"class_id": one["class_id"], "class_name": one["class_name"], "image_id": "", "field": field, "text": text}
        for one in sorted(classes, key=lambda row: int(row["class_id"]))
        for number, reply in enumerate(replies[one["class_name"]], 1)
        for field, text in zip(
            fields, reply_texts(reply, fields, f"{ledger}: class {one['class_name']!r}, reply {number}"), strict=True
        )
    ]


def read_parameters(text: str) -> dict[str, Any]:
    """The request's parameters from the command line's JSON."""
    example = """give a JSON object such as '{"temperature": 1}'"""

    def refuse(constant: str) -> None:
        raise FieldguideError(f"--parameters holds {constant}, which JSON does not know; {example}")

    try:
        parameters = json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise FieldguideError(f"--parameters is not JSON ({error}); {example}") from error
    if not isinstance(parameters, dict):
        raise FieldguideError(f"--parameters is {text}; {example}")
    return parameters


def read_if_any(ledger: Path) -> list[LedgerRecord]:
    """The ledger's records; none where there is no ledger yet."""
    return read_ledger(ledger) if ledger.exists() else []


def ask_for_missing(
    args: argparse.Namespace, question: Question, class_names: Sequence[str], records: Sequence[LedgerRecord]
) -> None:
    """Buy what the ledger lacks, as the only process that does. Raises FieldguideError when that cannot be done."""
    ledger, count = Path(args.ledger), args.replies_per_class
    missing = Counter(slot.class_name for slot in missing_slots(question, class_names, records, count))
    if not args.base_url:
        refuse_missing(missing, ledger, args.source, records, f"texts.{args.source} has no `base_url` to ask")
    from fieldguide.texts.llm_client import Limits, buy_replies, find_endpoint

    try:
        endpoint = find_endpoint(args.base_url, args.key_variable)
    except FieldguideError as error:
        refuse_missing(missing, ledger, args.source, records, str(error))
    limits = Limits(
        max_concurrency=args.max_concurrency,
        requests_per_minute=args.requests_per_minute,
        tokens_per_minute=args.tokens_per_minute,
        budget_usd=args.budget_usd,
        input_price=args.input_price,
        output_price=args.output_price,
        attempts=args.attempts,
        retries=args.retries,
        backoff=args.backoff,
        timeout=args.timeout,
        refuse_other_classes=args.other_classes == "refuse",
    )
    with only_asker(ledger):
        # Another process may have bought some while this one waited.
        records = read_if_any(ledger)
        if slots := missing_slots(question, class_names, records, count):
            buy_replies(args.source, question, ledger, endpoint, limits, class_names, records, slots)


def generate_texts(args: argparse.Namespace) -> None:
    """Fill the ledger where it is incomplete, replay it and write the table of texts."""
    if args.replies_per_class < 1:
        raise FieldguideError(f"--replies-per-class is {args.replies_per_class}; give at least 1")
    ledger = Path(args.ledger)
    classes = read_csv(args.classes, COLUMNS[:2])
    if not classes:
        raise FieldguideError(f"{args.classes}: holds no class; make it again with the stage that writes it")
    question = Question(
        prompt=Path(args.prompt).read_text(encoding="utf-8"),
        model=args.model,
        fields=tuple(args.fields),
        parameters=read_parameters(args.parameters),
        thing=args.thing,
        structured=args.structured,
    )
    names = list(dict.fromkeys(one["class_name"] for one in classes))
    records = read_if_any(ledger)
    if missing_slots(question, names, records, args.replies_per_class):
        ask_for_missing(args, question, names, records)
        records = read_if_any(ledger)
    replies = replies_to(question, names, replies_by_key(records), args.replies_per_class)

    rows = text_rows(classes, replies, args.fields, ledger)
    write_csv(args.out, COLUMNS, rows)
    repeated = sum(count - 1 for count in Counter((row["class_id"], row["text"]) for row in rows).values())
    naming = sum(words(row["class_name"]) in words(row["text"]) for row in rows)
    log.info(
        "%s: %d texts about %d classes, %d of them duplicates within their class, %d name their class",
        args.source,
        len(rows),
        len(classes),
        repeated,
        naming,
    )
    kept = (reply for name in replies for reply in replies[name])
    others = Counter(name for reply in kept for name in fields_not_asked_for(reply, args.fields))
    if paid := sum(record.price_usd or 0 for record in records):
        log.info("%s: its replies have cost $%.4f", ledger, paid)
    if others:
        named = ", ".join(f"{name} ({count})" for name, count in others.most_common(8))
        log.warning("left out, being no fields asked for: %s", named)


def add_asking_options(parser: argparse.ArgumentParser) -> None:
    """The options that say how missing replies are asked for; none of them changes a reply."""
    asking = parser.add_argument_group("asking for missing replies")
    add = asking.add_argument
    add("--base-url", default="", help="an OpenAI-compatible endpoint; none: nothing is asked")
    add("--key-variable", default="OPENAI_API_KEY", help="the environment variable that holds the key")
    add("--max-concurrency", type=int, default=8, help="requests under way at a time, at most")
    add("--requests-per-minute", type=float, default=0, help="requests a minute, at most; 0: no limit")
    add("--tokens-per-minute", type=float, default=0, help="tokens a minute, at most; 0: no limit")
    add("--budget-usd", type=read_budget, default=None, help="what the ledger may cost in all, USD; empty: no limit")
    add("--input-price", type=float, default=0, help="USD per million tokens of a request")
    add("--output-price", type=float, default=0, help="USD per million tokens of a reply")
    add("--attempts", type=int, default=4, help="replies to ask for until one can be used")
    add("--retries", type=int, default=8, help="times to repeat a request that is not answered")
    add("--backoff", type=float, default=1, help="seconds before the first repetition; they double")
    add("--timeout", type=float, default=120, help="seconds to wait for a reply")
    add(
        "--other-classes",
        choices=("refuse", "allow"),
        default="refuse",
        help="whether a reply may name another class",
    )


def read_budget(text: str) -> float | None:
    """Dollars; None for an empty text."""
    return float(text) if text else None


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("texts.generate_texts", __doc__)
    parser.add_argument("--source", required=True, help="the text source's name, as in the configuration's `texts`")
    parser.add_argument("--ledger", required=True, help="the ledger of replies, JSON lines")
    parser.add_argument("--model", required=True, help="the LLM's name, part of the question's key")
    parser.add_argument("--prompt", required=True, help="the question, with {class_name} and {fields}")
    parser.add_argument("--parameters", default="{}", help="the request's parameters (JSON object), part of the key")
    parser.add_argument("--fields", nargs="+", required=True, help="the fields of a reply, in order")
    parser.add_argument("--replies-per-class", type=int, default=6, help="how many replies of each class to take")
    parser.add_argument("--thing", default="", help="what the classes are, for a prompt with {thing}")
    parser.add_argument(
        "--structured",
        choices=("auto", "json_schema", "off"),
        default="off",
        help="how a reply is asked for: by a JSON schema, in Markdown (off), or whichever the endpoint takes",
    )
    parser.add_argument("--classes", required=True, help="the table of classes, class_id and class_name")
    parser.add_argument("--out", required=True, help="the table of texts to write")
    add_asking_options(parser)
    run_stage("generate_texts", generate_texts, parser, argv)


if __name__ == "__main__":
    main()
