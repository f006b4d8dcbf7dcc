"""Draw every species of the aviary, all its morphs, on one sheet: what the classifier has to distinguish."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from fieldguide.aviary.render import draw_sheet
from fieldguide.aviary.settings import Species
from fieldguide.aviary.traits import draw_aviary
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import atomic_path
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, new_parser, run_stage


def draw_birds(args: argparse.Namespace) -> None:
    """Draw the sheet and write it as PNG."""
    settings = parse_settings(Species, args.settings)
    if args.columns < 1:
        raise FieldguideError(f"--columns is {args.columns}; give at least 1")
    sheet = draw_sheet(draw_aviary(settings.seed, settings.species), args.columns, seed=settings.seed)
    with atomic_path(args.out) as temporary:
        sheet.save(temporary, "PNG")


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("aviary.draw_birds", __doc__)
    add_settings(parser, Species)
    parser.add_argument("--columns", type=int, default=4, help="species side by side")
    parser.add_argument("--out", required=True, help="the picture, a PNG file")
    run_stage("draw_birds", draw_birds, parser, argv)


if __name__ == "__main__":
    main()
