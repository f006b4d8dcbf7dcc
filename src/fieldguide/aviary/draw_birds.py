"""Draw every species of the aviary, all its morphs, on one sheet: what the classifier has to tell apart."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from fieldguide.aviary.render import draw_sheet
from fieldguide.aviary.traits import draw_aviary
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import atomic_path
from fieldguide.core.stage import new_parser, run_stage


def draw_birds(args: argparse.Namespace) -> None:
    """Draw the sheet and write it as PNG."""
    for option in ("species", "columns"):
        if getattr(args, option) < 1:
            raise FieldguideError(f"--{option} is {getattr(args, option)}; give at least 1")
    try:
        species = draw_aviary(args.seed, args.species)
    except ValueError as error:
        raise FieldguideError(f"--species {args.species}: {error}; ask for fewer species") from error
    sheet = draw_sheet(species, args.columns, seed=args.seed)
    with atomic_path(args.out) as beside:
        sheet.save(beside, "PNG")


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("aviary.draw_birds", __doc__)
    parser.add_argument("--seed", type=int, default=0, help="the aviary's seed")
    parser.add_argument("--species", type=int, default=48, help="number of classes, 56 at most")
    parser.add_argument("--columns", type=int, default=4, help="species side by side")
    parser.add_argument("--out", required=True, help="the picture, a PNG file")
    run_stage("draw_birds", draw_birds, parser, argv)


if __name__ == "__main__":
    main()
