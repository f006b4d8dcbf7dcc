"""Say what an LLM's replies will cost before anything is sent: requests, tokens and dollars, less what ledgers hold.

Requests are counted with tiktoken where it knows the model and its encoding is on this machine; nothing is fetched, so
elsewhere a token is taken for four characters. Replies are taken at the mean of the ledger's own, or, before the first,
at 45 tokens per field (a label and one or two sentences).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fieldguide.core.files import read_csv
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.texts.ledger import read_ledger, read_prompt
from fieldguide.texts.prices import Price, price_source
from fieldguide.texts.settings import PriceSettings

MISSING = "\N{EN DASH}"


def price_table(prices: Sequence[Price]) -> str:
    """The prices as text, with their sum and notes."""
    head = ("source", "replies", "in ledger", "to ask", "tokens in", "tokens out", "USD", "USD at most")
    rows = [
        (p.source, p.replies, p.held, p.missing, p.missing * p.tokens_in, p.missing * p.tokens_out, p.dollars)
        for p in prices
    ]
    rows.append(("total", *(sum(column) for column in list(zip(*rows, strict=True))[1:])))
    mosts = [price.most for price in prices]
    mosts.append(None if None in mosts else sum(most or 0 for most in mosts))
    cells = [
        head,
        *(
            (name, *(f"{n:,.0f}" for n in numbers), f"{usd:,.4f}", MISSING if most is None else f"{most:,.4f}")
            for (name, *numbers, usd), most in zip(rows, mosts, strict=True)
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) if not place else cell.rjust(width) for place, (cell, width) in enumerate(row))
        for row in (tuple(zip(line, widths, strict=True)) for line in cells)
    ]
    return "\n".join([*lines, "", *(f"{price.source}: {note}" for price in prices for note in price.notes)])


def price_texts(args: argparse.Namespace) -> None:
    """Print what the missing replies of all sources will cost."""
    settings = parse_settings(PriceSettings, args.settings)
    if not settings.sources:
        print("No text source of the table is an LLM: nothing will be asked.")
        return
    table = args.classes
    names: list[str] = []
    if table and table.is_file():
        names = [row["class_name"] for row in read_csv(table, ("class_name",))]
        known = f"{len(names)} classes, from {table}"
    elif settings.class_count > 0:
        absent = f"{table or 'no table of classes'} is not there yet"
        known = f"{settings.class_count} classes, from the configuration; {absent}"
    else:
        known = "One class: how many there are is not known before the data are read. Multiply by their number"
    count = len(names) or settings.class_count or 1
    prices = []
    for name, source in settings.sources.items():
        ledger = Path(source.ledger)
        records = read_ledger(ledger) if ledger.exists() else []
        prompt = read_prompt(source.prompt)
        prices.append(price_source(name, source, prompt, names, count, records, settings.thing))
        log.info("%s: %d of %d replies to ask, $%.4f", name, prices[-1].missing, prices[-1].replies, prices[-1].dollars)
    print(
        f"{known}\n\n{price_table(prices)}\n\nNothing was asked. Replies that have to be asked for again come on top."
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("texts.price_texts", __doc__)
    add_settings(parser, PriceSettings)
    parser.add_argument("--classes", type=Path, help="the table of classes, where it is there already")
    run_stage("price_texts", price_texts, parser, argv)


if __name__ == "__main__":
    main()
