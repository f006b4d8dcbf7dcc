"""Ask each LLM's endpoint for its model before a run spends hours on downloads and encoding.

A run does so by itself before its first job, for every source that still has questions to ask; `snakemake check_llm`
does it at any time. `GET /models/{model}` costs nothing and tells whether the model is there, whether the key is taken
and, at OpenAI, when the model will be shut down. Servers without that route are asked the first question that the
ledger lacks: its reply is kept there like any other. A source whose ledger answers all is asked nothing.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.data.records import class_name
from fieldguide.texts.answers import ErrorReport, UnansweredError, read_report
from fieldguide.texts.endpoint import Endpoint, fetch_model, find_endpoint
from fieldguide.texts.generate_texts import ask_for_missing, read_if_any
from fieldguide.texts.ledger import LedgerRecord, read_prompt
from fieldguide.texts.questions import Question, missing_slots
from fieldguide.texts.settings import GenerateSettings, LLMSource, PriceSettings

DAYS_OF_WARNING = 90
"""A model that is shut down within so many days is named: the run can end well, the next one may not."""
LONGEST_WAIT = 30.0
"""Seconds to wait for a model's description."""
RETRIES = 3
"""Repetitions of the one real question: a server that is down is to be known soon."""


def ways_out(source: str) -> str:
    """What to do about a model that cannot be asked, as the end of a sentence."""
    return (
        f"name a model that lives under texts.{source}.model, or a ledger that holds its replies under"
        f" texts.{source}.ledger, or leave the column out: `{leave_out_line(source)}`"
    )


def leave_out_line(source: str) -> str:
    """The one line of a configuration that leaves a source's column out."""
    return f"sweep: {{leave_out: [{source}]}}"


def find_shutdown(body: Any) -> date | None:
    """The day on which a model is shut down, by its description (`shutdown_date`); None where none is announced."""
    said = body.get("shutdown_date") if isinstance(body, Mapping) else None
    try:
        return date.fromisoformat(said[:10]) if isinstance(said, str) else None
    except ValueError:
        return None


def is_description(body: Any) -> bool:
    """Whether an answer describes a model, and is no page and no list."""
    return isinstance(body, Mapping) and bool(body.get("id")) and body.get("object") != "list"


def lacks_model(report: ErrorReport, model: str) -> bool:
    """Whether an error says that the model is not there, and not only that the route is not.

    By the code and parameter of OpenAI, or by the model's name in the words of servers that give none.
    """
    named = "model_not_found" in report.codes or "model" in report.parameters or model in report.words
    return report.status == 410 or (report.status == 404 and named)


def judge_shutdown(source: str, model: str, shutdown: date, today: date) -> str:
    """The warning that a model's last day calls for, if any; raises FieldguideError when it is over."""
    days = (shutdown - today).days
    if days <= 0:
        raise FieldguideError(f"texts.{source}: {model} was shut down on {shutdown}; {ways_out(source)}")
    if days > DAYS_OF_WARNING:
        return ""
    return (
        f"texts.{source}: {model} will be shut down on {shutdown}, in {days} days. This run can have its texts; later"
        " nobody can ask for more: keep the ledger, or name another model now"
    )


def known_classes(
    table: Path | None, likely: Path | None, question: Question, records: Sequence[LedgerRecord], count: int
) -> list[str]:
    """The names of the classes, as far as they are known before the data are there.

    From their table; else those that the ledger has replies about. Where it has fewer than `count` about some of them,
    or none at all, those of `likely`, a file of class folders, if they are among these.
    """
    if table and table.is_file():
        return list(dict.fromkeys(row["class_name"] for row in read_csv(table, ("class_name",))))
    own = dict.fromkeys(r.class_name for r in records if r.question_key in question.keys(r.class_name))
    if own and not missing_slots(question, list(own), records, count):
        return list(own)  # perhaps all: a ledger is replayed without endpoint and key
    folders = likely.read_text(encoding="utf-8").splitlines() if likely and likely.is_file() else []
    supposed = [class_name(folder.strip()) for folder in folders if folder.strip()]
    return supposed if own.keys() <= set(supposed) else list(own)


def check_source(source: str, settings: GenerateSettings, table: Path | None, likely: Path | None) -> str:
    """What is to be said of a source on the terminal, nothing where nothing was asked.

    Raises FieldguideError in a sentence with the ways out where its replies cannot be had.
    """
    question = Question.of(settings, read_prompt(settings.prompt), settings.thing)
    records = read_if_any(Path(settings.ledger))
    names = known_classes(table, likely, question, records, settings.replies_per_class)
    missing = len(missing_slots(question, names, records, settings.replies_per_class))
    if names and not missing:
        log.info("%s: %s answers every question; nothing is asked", source, settings.ledger)
        return ""
    count = f"{missing:,} replies are still to be asked for" if names else "replies are still to be asked for"
    if not settings.base_url:
        if records:
            return ""  # generate_texts, which knows the classes, says what is missing
        raise FieldguideError(
            f"texts.{source}: {count}, {settings.ledger} is not there, and no base_url says whom to ask; give both or"
            f" one, or leave the column out: `{leave_out_line(source)}`"
        )
    try:
        endpoint = find_endpoint(settings.base_url, settings.key_variable)
    except FieldguideError as error:
        raise FieldguideError(
            f"texts.{source}: {count}, but {error}. Set it (`snakemake price_texts` says what they cost), name a ledger"
            f" that holds them under texts.{source}.ledger, or leave the column out by one line of configuration:"
            f" `{leave_out_line(source)}`, on the command line --config 'sweep={{leave_out: [{source}]}}'"
        ) from None
    said = ask_for_model(source, settings, endpoint)
    if said is None:
        said = ask_one_question(source, settings, question, names, records)
    return said


def ask_for_model(source: str, settings: LLMSource, endpoint: Endpoint) -> str | None:
    """What the model's description comes to; None where the endpoint gives none, so that only a question can tell."""
    model, base_url = settings.model, settings.base_url
    try:
        status, body, text = asyncio.run(fetch_model(endpoint, model, min(settings.timeout, LONGEST_WAIT)))
    except UnansweredError as error:
        raise FieldguideError(
            f"texts.{source}: {base_url} does not answer ({error.reason}); see that it runs and that `base_url` is its"
            f" address, or {ways_out(source)}"
        ) from None
    if status == 200 and is_description(body):
        shutdown = find_shutdown(body)
        if shutdown and (warning := judge_shutdown(source, model, shutdown, datetime.now(UTC).date())):
            log.warning("%s", warning)
            return warning
        until = f", until {shutdown}" if shutdown else ""
        return f"texts.{source}: {base_url} has {model}{until}"
    report = read_report(status, text)
    quoted = f' ("{endpoint.redact_error(report.words)}")' if report.words and status != 401 else ""
    if lacks_model(report, model):
        raise FieldguideError(f"texts.{source}: {base_url} has no model {model} ({status}){quoted}; {ways_out(source)}")
    if status == 401:
        raise FieldguideError(
            f"texts.{source}: {base_url} refuses the key in {settings.key_variable} (401); set the right one, or"
            f" {ways_out(source)}"
        )
    log.info("%s: %s does not describe its models (%d)%s", source, base_url, status, quoted)
    return None


def ask_one_question(
    source: str,
    settings: GenerateSettings,
    question: Question,
    names: Sequence[str],
    records: Sequence[LedgerRecord],
) -> str:
    """Ask for the first reply that the ledger lacks, and keep it there; what to say of it."""
    if not names:
        return (
            f"texts.{source}: {settings.base_url} does not describe its models, and no class is known yet to ask it"
            " about; whether it answers shows when texts are made"
        )
    patience = settings.model_copy(update={"retries": min(settings.retries, RETRIES)})
    try:
        ask_for_missing(source, patience, question, names, records, at_most=1)
    except FieldguideError as error:
        raise FieldguideError(f"texts.{source}: {error}; or {ways_out(source)}") from None
    return f"texts.{source}: {settings.base_url} has answered a question; the reply is in {settings.ledger}"


def check_llm(args: argparse.Namespace) -> None:
    """Check all sources, and only then stop for those that cannot be asked."""
    settings = parse_settings(PriceSettings, args.settings)
    failures = []
    for source, own in settings.sources.items():
        whole = GenerateSettings(**own.model_dump(), thing=settings.thing)
        try:
            if said := check_source(source, whole, args.classes, args.likely_classes):
                log.info("%s", said)
                print(said, flush=True)
        except FieldguideError as error:
            failures.append(str(error))
    if failures:
        raise FieldguideError("; ".join(failures))


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("texts.check_llm", __doc__)
    add_settings(parser, PriceSettings)
    parser.add_argument("--classes", type=Path, help="the table of classes, where it is there already")
    parser.add_argument(
        "--likely-classes", type=Path, help="the classes that the data will most likely have, a folder's name a line"
    )
    run_stage("check_llm", check_llm, parser, argv)


if __name__ == "__main__":
    main()
