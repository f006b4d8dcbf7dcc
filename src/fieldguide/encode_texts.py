"""Encode texts with the frozen backbone: pooled features and the token sequence that a translator reads.

  python -m fieldguide.encode_texts --model ViT-B-32 --pretrained openai \\
      --texts results/cub/texts/reed.csv --column text --out reed.safetensors

Equal texts are encoded once. A text longer than the backbone's context is cut to it and reported.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from fieldguide.backbone import (
    Backbone,
    add_backbone_options,
    backbone_key,
    encode_text,
    is_causal_clip,
    load_backbone,
    text_lengths,
)
from fieldguide.errors import FieldguideError
from fieldguide.features import save_features
from fieldguide.files import read_csv
from fieldguide.stage import log, new_parser, run_stage

if TYPE_CHECKING:
    import torch


def tokenise(backbone: Backbone, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Token ids (n, context) int64, lengths (n,) with the end token, and the texts that had to be cut."""
    import torch

    chunks = [backbone.tokenizer(list(texts[i : i + 4096])) for i in range(0, len(texts), 4096)]
    ids = torch.cat(chunks)
    lengths = text_lengths(backbone.model, ids)
    full = (lengths == ids.shape[1]).nonzero().squeeze(1).tolist()
    cut: list[str] = []
    if full:
        # A text that fills the context may have been cut: with one token of room its end token is elsewhere.
        roomy = backbone.tokenizer([texts[i] for i in full], context_length=ids.shape[1] + 1)
        over = (roomy[:, :-1] != ids[full]).any(1)
        cut = [texts[i] for i, is_over in zip(full, over.tolist(), strict=True) if is_over]
    return ids, lengths, cut


def encode_ids(
    backbone: Backbone, ids: torch.Tensor, lengths: torch.Tensor, batch: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pooled (n, d) float32 unit norm, tokens (total, width) float16 end to end, offsets (n + 1,) int64.

    Texts run in order of length, so that a batch is no longer than its longest text.
    """
    import torch

    order = lengths.argsort(stable=True)
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    pooled: torch.Tensor | None = None
    tokens: torch.Tensor | None = None
    cuttable = is_causal_clip(backbone.model)
    with tqdm(total=len(ids), desc="encode_texts", unit="text", disable=None) as bar, torch.inference_mode():
        for rows in order.split(batch):
            longest = int(lengths[rows].max()) if cuttable else ids.shape[1]
            head, sequence = encode_text(backbone.model, ids[rows, :longest].to(backbone.device))
            head, sequence = head.float().cpu(), sequence.half().cpu()
            if pooled is None or tokens is None:
                pooled = torch.empty(len(ids), head.shape[1])
                tokens = torch.empty(int(offsets[-1]), sequence.shape[2], dtype=torch.float16)
            pooled[rows] = head
            for row, one in zip(rows.tolist(), sequence, strict=True):
                tokens[offsets[row] : offsets[row + 1]] = one[: int(lengths[row])]
            bar.update(len(rows))
    assert pooled is not None and tokens is not None
    return pooled, tokens, offsets


def encode(args: argparse.Namespace) -> None:
    import torch

    texts = [row[args.column] for row in read_csv(args.texts, (args.column,))]
    if not texts:
        raise FieldguideError(f"{args.texts}: holds no text")
    distinct = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    backbone = load_backbone(args.model, args.pretrained, args.precision, args.device, args.cache)
    clock = time.perf_counter()
    ids, lengths, cut = tokenise(backbone, list(distinct))
    pooled, tokens, offsets = encode_ids(backbone, ids, lengths, args.batch)
    tensors = {
        "pooled": pooled,
        "tokens": tokens,
        "offsets": offsets,
        "rows": torch.tensor([distinct[text] for text in texts]),
    }
    key = backbone_key(args.model, args.pretrained, args.precision)
    save_features(args.out, tensors, texts, key, {"kind": "text", "source": args.texts.stem})
    rate = len(distinct) / (time.perf_counter() - clock)
    log.info(
        "%d texts (%d distinct) from %s, %.0f a second, to %s", len(texts), len(distinct), args.texts, rate, args.out
    )
    if cut:
        log.info("%d texts exceed %d tokens and were cut, the first: %s", len(cut), backbone.context_length, cut[0])


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("encode_texts", __doc__)
    add_backbone_options(parser)
    parser.add_argument("--texts", type=Path, required=True, help="CSV with one text per row")
    parser.add_argument("--column", default="text", help="its column that holds the text")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--batch", type=int, default=256, help="texts per forward pass")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("encode_texts", encode, build_parser(), argv, imports=("torch", "open_clip"))


if __name__ == "__main__":
    main()
