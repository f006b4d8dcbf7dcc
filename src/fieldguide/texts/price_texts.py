"""Say what an LLM's replies will cost before anything is sent: requests, tokens and dollars, less what ledgers hold.

Requests are counted with tiktoken where it knows the model and its encoding is on this machine; nothing is fetched, so
elsewhere a token is taken for four characters. Replies are taken at the mean of the ledger's own, or, before the first,
at 45 tokens per field (a label and one or two sentences).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.texts.ledger import read_ledger
from fieldguide.texts.prices import Price, price_source
from fieldguide.texts.settings import LLMSource


def price_table(prices: Sequence[Price]) -> str:
    """The prices as text, with their sum and notes."""
    head = ("source", "replies", "in ledger", "to ask", "tokens in", "tokens out", "USD")
    rows = [
        (p.source, p.replies, p.held, p.missing, p.missing * p.tokens_in, p.missing * p.tokens_out, p.dollars)
        for p in prices
    ]
    rows.append(("total", *(sum(column) for column in list(zip(*rows, strict=True))[1:])))
    cells = [head, *((name, *(f"{n:,.0f}" for n in numbers), f"{usd:,.4f}") for name, *numbers, usd in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) if not place else cell.rjust(width) for place, (cell, width) in enumerate(row))
        for row in (tuple(zip(line, widths, strict=True)) for line in cells)
    ]
    return "\n".join([*lines, "", *(f"{price.source}: {note}" for price in prices for note in price.notes)])


def read_sources(text: str) -> dict[str, LLMSource]:
    """The sources from the command line's JSON, an object of a configuration's `texts` entries by name."""
    try:
        found = json.loads(text)
        if not isinstance(found, dict):
            raise FieldguideError("--sources should be a JSON object of text sources by name")
        return {name: LLMSource.model_validate(settings) for name, settings in found.items()}
    except json.JSONDecodeError as error:
        raise FieldguideError(f"--sources is not JSON ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise FieldguideError(f"--sources: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def price_texts(args: argparse.Namespace) -> None:
    """Print what the missing replies of all sources will cost."""
    sources: Mapping[str, LLMSource] = read_sources(args.sources)
    if not sources:
        print("No text source of the table is an LLM: nothing will be asked.")
        return
    table = Path(args.classes) if args.classes else None
    names: list[str] = []
    if table and table.is_file():
        names = [row["class_name"] for row in read_csv(table, ("class_name",))]
        told = f"{len(names)} classes, from {table}"
    elif args.class_count > 0:
        told = f"{args.class_count} classes, from the configuration; {table or 'no table of classes'} is not there yet"
    else:
        raise FieldguideError(
            f"{table or '--classes'} is not there, and the number of classes is not known without it; make it first:"
            f" `snakemake {table or 'TABLE'}`"
        )
    prices = []
    for name, settings in sources.items():
        ledger = Path(settings.ledger)
        records = read_ledger(ledger) if ledger.exists() else []
        prompt = Path(settings.prompt).read_text(encoding="utf-8")
        prices.append(price_source(name, settings, prompt, names, len(names) or args.class_count, records, args.thing))
        log.info("%s: %d of %d replies to ask, $%.4f", name, prices[-1].missing, prices[-1].replies, prices[-1].dollars)
    print(f"{told}\n\n{price_table(prices)}\n\nNothing was asked. Replies that have to be asked for again come on top.")


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("texts.price_texts", __doc__)
    parser.add_argument("--sources", required=True, help="text sources as in the configuration, a JSON object by name")
    parser.add_argument("--classes", default="", help="the table of classes, where it is there already")
    parser.add_argument(
        "--class-count", type=int, default=0, help="the number of classes, where the table is not there"
    )
    parser.add_argument("--thing", default="", help="what the classes are, for prompts with {thing}")
    run_stage("price_texts", price_texts, parser, argv)


if __name__ == "__main__":
    main()
