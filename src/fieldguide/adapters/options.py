"""Command-line options that tuning, training and calibration share. Imports nothing heavy."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """The labelled images, and the text sources: one file of each kind for each, in the order of the settings."""
    parser.add_argument("--records", type=Path, required=True, help="records/images.csv")
    parser.add_argument("--images", type=Path, nargs="+", required=True, help="image features, in shards")
    parser.add_argument("--texts", type=Path, nargs="*", default=[], help="text tables, in the order of the sources")
    parser.add_argument("--translated", type=Path, nargs="*", default=[], help="their translated features")
    parser.add_argument("--raw", type=Path, nargs="*", default=[], help="their features as they are")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
