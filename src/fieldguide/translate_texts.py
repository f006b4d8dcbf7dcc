"""Translate a text source's features into image features, with a trained translator or with none.

  python -m fieldguide.translate_texts --translator translators/…/qformer/translator.safetensors \\
      --texts features/…/texts/reed/*.safetensors --table texts/reed.csv --out translated/…/reed.safetensors

`--kind identity` needs no translator: a text stands for the image whose feature its own pooled feature would be.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import trange

from fieldguide.backbone import pick_device
from fieldguide.errors import FieldguideError
from fieldguide.features import TokenTable, check_same_backbone, kept_dtype, read_features, save_features
from fieldguide.files import read_columns
from fieldguide.stage import log, new_parser, run_stage

BATCH = 512
"""Texts per forward pass."""


def translate_source(args: argparse.Namespace) -> None:
    texts = [text for (text,) in read_columns(args.table, ("text",))]
    translate = keep_pooled if args.kind == "identity" else run_qformer
    translated, about = translate(args, texts)
    save_features(args.out, {"features": translated}, texts, about["backbone"], about_translated(about))
    log.info("%d texts of %s, %d wide, to %s", len(texts), args.table, translated.shape[1], args.out)


def about_translated(about: Mapping[str, str]) -> dict[str, str]:
    """What a file of translated texts says of itself, from what its text features say."""
    return {"kind": "translated text", **kept_dtype(about)}


def keep_pooled(args: argparse.Namespace, texts: Sequence[str]) -> tuple[Any, dict[str, str]]:
    """The pooled text features (n, d) float32, unit norm, and their file's metadata; without importing torch."""
    features, about = read_features(args.texts, texts, "np", ("pooled", "rows"))
    pooled = features["pooled"][features["rows"]]
    return pooled / np.linalg.norm(pooled, axis=1, keepdims=True), about


def run_qformer(args: argparse.Namespace, texts: Sequence[str]) -> tuple[Any, dict[str, str]]:
    """The Q-Former's features (n, d) float32, unit norm, and the text features' metadata."""
    import torch

    from fieldguide.qformer import QFormer, translate

    features, about = read_features(args.texts, texts, "np", ("rows",))
    state, translator = read_features(args.translator)
    check_same_backbone((args.translator, translator), (args.texts[0], about))
    if translator.get("translator") != "qformer":
        raise FieldguideError(f"{args.translator}: is no translator that this version knows")
    model = QFormer.from_metadata(translator)
    model.load_state_dict(state)
    model.to(pick_device(args.device))
    table = TokenTable(args.texts)
    translated = np.empty((len(table.lengths), model.size.image_width), np.float32)
    # In order of length a batch is no longer than its longest text.
    order = table.lengths.argsort(kind="stable")
    for start in trange(0, len(order), BATCH, desc="translate_texts", unit="batch", disable=None):
        rows = order[start : start + BATCH]
        tokens, offsets = (torch.from_numpy(part) for part in table.take(rows))
        translated[rows] = translate(model, tokens, offsets, BATCH).numpy()
    return translated[features["rows"]], about


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("translate_texts", __doc__)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--translator", type=Path, help="translator.safetensors")
    how.add_argument("--kind", choices=("identity",), help="a translator that is not trained")
    parser.add_argument("--texts", type=Path, nargs="+", required=True, help="text features, in shards")
    parser.add_argument("--table", type=Path, required=True, help="CSV of the texts, in the features' order")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    parser = build_parser()
    imports = () if parser.parse_args(argv).kind == "identity" else ("torch",)
    run_stage("translate_texts", translate_source, parser, argv, imports)


if __name__ == "__main__":
    main()
