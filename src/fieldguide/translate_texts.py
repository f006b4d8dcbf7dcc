"""Translate a text source's features into image features with a trained translator.

  python -m fieldguide.translate_texts --translator translators/…/qformer/translator.safetensors \\
      --texts features/…/texts/reed.safetensors --table texts/reed.csv --out translated/…/reed.safetensors
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fieldguide.backbone import pick_device
from fieldguide.errors import FieldguideError
from fieldguide.features import check_same_backbone, read_features, save_features
from fieldguide.files import read_csv
from fieldguide.stage import log, new_parser, run_stage


def translate_source(args: argparse.Namespace) -> None:
    from fieldguide.qformer import QFormer, translate

    texts = [row["text"] for row in read_csv(args.table, ("text",))]
    features, about = read_features(args.texts, texts)
    state, translator = read_features(args.translator)
    backbone = check_same_backbone((args.translator, translator), (args.texts, about))
    if translator.get("translator") != "qformer":
        raise FieldguideError(f"{args.translator}: is no translator that this version knows")
    model = QFormer.from_metadata(translator)
    model.load_state_dict(state)
    model.to(pick_device(args.device))
    translated = translate(model, features["tokens"], features["offsets"])[features["rows"]]
    save_features(args.out, {"features": translated}, texts, backbone, {"kind": "translated text"})
    log.info("%d texts of %s, %d wide, to %s", len(texts), args.texts, translated.shape[1], args.out)


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("translate_texts", __doc__)
    parser.add_argument("--translator", type=Path, required=True, help="translator.safetensors")
    parser.add_argument("--texts", type=Path, required=True, help="text features")
    parser.add_argument("--table", type=Path, required=True, help="CSV of the texts, in the features' order")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("translate_texts", translate_source, build_parser(), argv, imports=("torch",))


if __name__ == "__main__":
    main()
