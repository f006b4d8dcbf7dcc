"""Translate a text source's features into image features, with a trained translator or with none.

  python -m fieldguide.translate_texts --translator translators/…/qformer/translator.safetensors \\
      --texts features/…/texts/reed.safetensors --table texts/reed.csv --out translated/…/reed.safetensors

`--kind identity` needs no translator: a text stands for the image whose feature its own pooled feature would be.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fieldguide.backbone import pick_device
from fieldguide.errors import FieldguideError
from fieldguide.features import check_same_backbone, read_features, save_features
from fieldguide.files import read_csv
from fieldguide.stage import log, new_parser, run_stage


def translate_source(args: argparse.Namespace) -> None:
    texts = [row["text"] for row in read_csv(args.table, ("text",))]
    translate = keep_pooled if args.kind == "identity" else run_qformer
    translated, backbone = translate(args, texts)
    save_features(args.out, {"features": translated}, texts, backbone, {"kind": "translated text"})
    log.info("%d texts of %s, %d wide, to %s", len(texts), args.texts, translated.shape[1], args.out)


def keep_pooled(args: argparse.Namespace, texts: Sequence[str]) -> tuple[Any, str]:
    """The pooled text features (n, d) float32, unit norm, and the backbone's key; without importing torch."""
    import numpy as np

    features, about = read_features(args.texts, texts, "np")
    pooled = features["pooled"][features["rows"]]
    return pooled / np.linalg.norm(pooled, axis=1, keepdims=True), about["backbone"]


def run_qformer(args: argparse.Namespace, texts: Sequence[str]) -> tuple[Any, str]:
    """The Q-Former's features (n, d) float32, unit norm, and the backbone's key."""
    from fieldguide.qformer import QFormer, translate

    features, about = read_features(args.texts, texts)
    state, translator = read_features(args.translator)
    backbone = check_same_backbone((args.translator, translator), (args.texts, about))
    if translator.get("translator") != "qformer":
        raise FieldguideError(f"{args.translator}: is no translator that this version knows")
    model = QFormer.from_metadata(translator)
    model.load_state_dict(state)
    model.to(pick_device(args.device))
    return translate(model, features["tokens"], features["offsets"])[features["rows"]], backbone


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("translate_texts", __doc__)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--translator", type=Path, help="translator.safetensors")
    how.add_argument("--kind", choices=("identity",), help="a translator that is not trained")
    parser.add_argument("--texts", type=Path, required=True, help="text features")
    parser.add_argument("--table", type=Path, required=True, help="CSV of the texts, in the features' order")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    parser = build_parser()
    imports = ("numpy",) if parser.parse_args(argv).kind == "identity" else ("torch",)
    run_stage("translate_texts", translate_source, parser, argv, imports)


if __name__ == "__main__":
    main()
