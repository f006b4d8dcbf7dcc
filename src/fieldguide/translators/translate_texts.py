"""Translate a text source's features into image features, with a fitted translator or with none.

  python -m fieldguide.translators.translate_texts --translator translators/…/qformer/translator.safetensors \\
      --texts features/…/texts/reed/*.safetensors --table texts/reed.csv --out translated/…/reed.safetensors

Without a translator a text stands for the image whose feature its own pooled feature would be (`identity`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_columns
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.translators.registry import TRANSLATORS

if TYPE_CHECKING:
    from fieldguide.core.arrays import Floats, Ints
    from fieldguide.features.store import Paths
    from fieldguide.translators.task import State

UNFITTED = "identity"
"""The kind that translates where no fitted translator is given."""


def read_translator(path: Path) -> tuple[State, dict[str, str]]:
    """A fitted translator's state, and what its file says of itself, which is the state's `about` too."""
    from fieldguide.features.store import read_features

    state, about = read_features(path)
    if about.get("translator") not in TRANSLATORS:
        raise FieldguideError(f"{path}: is no translator that this version knows")
    return {**state, "about": about}, about


def run_translator(
    fitted: Path | None,
    paths: Paths,
    texts: Sequence[str],
    wanted: Ints | None = None,
    device: str = "auto",
) -> tuple[Floats, dict[str, str]]:
    """Texts of a set of text features as image features (n, d) float32, unit norm, and the set's metadata.

    `fitted`: the file of a translator; None: texts as they are. `wanted` (n,): which rows of the texts; all if None.
    Raises FieldguideError where the translator and the texts are not of one backbone.
    """
    import numpy as np

    from fieldguide.features.store import check_same_backbone, list_files, read_features
    from fieldguide.features.tokens import TokenTable
    from fieldguide.translators.task import TokenRows

    features, about = read_features(paths, texts, names=("rows",))
    kind = UNFITTED
    state: State = {}
    if fitted is not None:
        state, translator = read_translator(fitted)
        check_same_backbone((fitted, translator), (list_files(paths)[0], about))
        kind = translator["translator"]
    line = TRANSLATORS[kind]
    rows = features["rows"] if wanted is None else features["rows"][wanted]
    # A text that occurs many times is translated once.
    distinct, place = np.unique(rows, return_inverse=True)
    source = TokenRows(TokenTable(paths), distinct) if line.tokens else read_pooled(paths)[distinct]
    options = {"device": device} if line.network else {}
    translated: Floats = line.load().translate(state, source, **options)
    return translated[place], about


def read_pooled(paths: Paths) -> Floats:
    """The pooled features (u, d) of the distinct texts."""
    from fieldguide.features.store import read_features

    pooled: Floats = read_features(paths, names=("pooled",))[0]["pooled"]
    return pooled


def translate_source(args: argparse.Namespace) -> None:
    from fieldguide.features.store import save_features

    texts = [text for (text,) in read_columns(args.table, ("text",))]
    translated, about = run_translator(args.translator, args.texts, texts, device=args.device)
    save_features(args.out, {"features": translated}, texts, about["backbone"], about_translated(about))
    log.info("%d texts of %s, %d wide, to %s", len(texts), args.table, translated.shape[1], args.out)


def about_translated(about: Mapping[str, str]) -> dict[str, str]:
    """What a file of translated texts says of itself, from what its text features say."""
    from fieldguide.features.store import kept_dtype

    return {"kind": "translated text", **kept_dtype(about)}


def needs_torch(fitted: Path | None) -> bool:
    """Whether translating runs a network, by the file's header; what is wrong with the file is said when it is read.

    Without numpy, which takes its number of threads when it is imported.
    """
    if fitted is None:
        return False
    try:
        with fitted.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        return TRANSLATORS[header["__metadata__"]["translator"]].network
    except (OSError, ValueError, KeyError, OverflowError, MemoryError):
        return False


def add_translator_option(parser: argparse.ArgumentParser) -> None:
    """The option that names a fitted translator, or none."""
    parser.add_argument("--translator", type=Path, nargs="?", help="translator.safetensors; without: as they are")


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("translators.translate_texts", __doc__)
    add_translator_option(parser)
    parser.add_argument("--texts", type=Path, nargs="+", required=True, help="text features, in shards")
    parser.add_argument("--table", type=Path, required=True, help="CSV of the texts, in the features' order")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    parser = build_parser()
    imports = ("numpy", "torch") if needs_torch(parser.parse_args(argv).translator) else ("numpy",)
    run_stage("translate_texts", translate_source, parser, argv, imports)


if __name__ == "__main__":
    main()
