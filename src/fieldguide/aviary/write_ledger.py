"""Write the ledger that ships with the aviary: what its LLM replied about every species, in the live format.

No LLM was asked: model `aviary-writer`, synthetic, without usage, price, response id or time.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from random import Random

from fieldguide.aviary.traits import Species, draw_aviary
from fieldguide.aviary.writer import FIELDS, write_reply
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import atomic_path
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.texts.ledger import LedgerRecord, read_prompt, record_line, request_for, synthetic_record

MODEL = "aviary-writer"


def write_records(seed: int, species: Sequence[Species], n_replies: int, prompt: str) -> Iterator[LedgerRecord]:
    """`n_replies` replies about each species; fewer species or replies give a subset of the same records."""
    for class_id, one in enumerate(species, 1):
        request = request_for(one.name, prompt, MODEL, FIELDS, {})
        for index in range(n_replies):
            reply = write_reply(one, Random(f"llm-{seed}-{class_id}-{index}"))
            yield synthetic_record(request, index, one.name, reply)


def write_ledger(args: argparse.Namespace) -> None:
    """Write the whole ledger in one go."""
    for option in ("species", "replies"):
        if getattr(args, option) < 1:
            raise FieldguideError(f"--{option} is {getattr(args, option)}; give at least 1")
    try:
        species = draw_aviary(args.seed, args.species)
    except ValueError as error:
        raise FieldguideError(f"--species {args.species}: {error}; ask for fewer species") from error
    records = list(write_records(args.seed, species, args.replies, read_prompt(args.prompt)))
    with atomic_path(args.out) as temporary:
        temporary.write_bytes(b"".join(map(record_line, records)))
    log.info("%d replies about %d species", len(records), len(species))


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("aviary.write_ledger", __doc__)
    parser.add_argument("--seed", type=int, default=0, help="the aviary's seed")
    parser.add_argument("--species", type=int, default=56, help="number of classes, 56 at most")
    parser.add_argument("--replies", type=int, default=6, help="replies per class")
    parser.add_argument("--prompt", required=True, help="the question, with {class_name} and {fields}")
    parser.add_argument("--out", required=True, help="the ledger, JSON lines")
    run_stage("write_ledger", write_ledger, parser, argv)


if __name__ == "__main__":
    main()
