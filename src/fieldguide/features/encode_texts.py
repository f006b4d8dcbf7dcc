"""Encode texts with the frozen backbone: pooled features and the token sequence that a translator reads.

  python -m fieldguide.features.encode_texts \\
      --settings '{"model": "ViT-B-32", "pretrained": "openai", "precision": "auto"}' \\
      --texts results/cub/texts/reed.csv --column text --out reed.safetensors

Equal texts are encoded once. A text longer than the backbone's context is cut to it and reported.
`--shard 3/16` encodes the third of 16 equal parts of the table: parts are made, lost and made again one by one.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_columns
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.features.backbone import (
    Backbone,
    add_backbone_options,
    backbone_key,
    describe_tokenizer,
    encode_text,
    fitting_batch,
    ignores_padding,
    keep_tower,
    load_backbone,
    pick_device,
    pick_precision,
    text_lengths,
)
from fieldguide.features.settings import EncoderSettings
from fieldguide.features.store import Shard, create_features, parse_shard

if TYPE_CHECKING:
    import torch

CPU_BATCH = 128
GPU_BATCH = 2048


def tokenise(backbone: Backbone, texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
    """Token ids (n, context) int32, lengths (n,) int64 with the end token, and the texts that had to be cut."""
    import torch

    chunks, lengths, cut = [], [], []
    for start in range(0, len(texts), 4096):
        some = texts[start : start + 4096]
        ids = backbone.tokenizer(list(some))
        chunks.append(ids.int())
        lengths.append(text_lengths(backbone.model, ids))
        full = (lengths[-1] == ids.shape[1]).nonzero().squeeze(1).tolist()
        if full:
            # A text that fills the context may have been cut: with one token of room its end token is elsewhere.
            roomy = backbone.tokenizer([some[i] for i in full], context_length=ids.shape[1] + 1)
            over = (roomy[:, :-1] != ids[full]).any(1)
            cut += [some[i] for i, is_over in zip(full, over.tolist(), strict=True) if is_over]
    return torch.cat(chunks), torch.cat(lengths), cut


def encode_ids(
    backbone: Backbone, ids: torch.Tensor, lengths: torch.Tensor, batch: int | None
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Texts in order of length, a batch after the other: which they are (b,), pooled (b, d) float32 unit norm, and
    tokens (b, longest, width) float16, of which a text's own are the first.

    In order of length a batch is no longer than its longest text. `batch` None is `auto`.
    """
    import torch

    order = lengths.argsort(stable=True)
    cuttable = ignores_padding(backbone.model)

    def forward(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        longest = int(lengths[rows].max()) if cuttable else ids.shape[1]
        some = ids[rows, :longest].long().to(backbone.device, non_blocking=True)
        head, sequence = encode_text(backbone.model, some)
        return head.float().cpu(), sequence.half().cpu()

    with tqdm(total=len(ids), desc="encode_texts", unit="text", disable=None) as bar, torch.inference_mode():
        if batch is None:
            batch = fitting_batch(backbone.device, lambda n: forward(order[-1:].expand(n)), GPU_BATCH, CPU_BATCH)
            log.info("%d texts per forward pass", batch)
        for rows in order.split(batch):
            yield rows, *forward(rows)
            bar.update(len(rows))


def encode(args: argparse.Namespace) -> None:
    settings = parse_settings(EncoderSettings, args.settings)
    batch = None if settings.batch == "auto" else settings.batch
    device = pick_device(args.device)
    precision = pick_precision(settings.precision, device)
    backbone = load_backbone(
        settings.model,
        settings.pretrained,
        settings.precision,
        "cpu",
        args.cache,
        precision,
        settings.preprocessing,
    )
    tokenizer = describe_tokenizer(backbone, settings.model)
    log.info("tokens by %s", tokenizer)
    backbone = keep_tower(backbone, "text", device)
    # After loading, which takes the most memory: a large table does not add to that.
    texts = [text for (text,) in read_columns(args.texts, (args.column,))]
    if not texts:
        raise FieldguideError(f"{args.texts}: holds no text")
    if len(texts) < args.shard.count:
        raise FieldguideError(
            f"{args.texts}: holds {len(texts)} texts, too few for {args.shard.count} shards; see backbone.shards"
        )
    texts = texts[args.shard.rows(len(texts))]
    distinct = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    clock = time.perf_counter()
    ids, lengths, cut = tokenise(backbone, list(distinct))
    offsets = np.concatenate([[0], lengths.numpy().cumsum()])
    batches = encode_ids(backbone, ids, lengths, batch)
    first = next(batches)
    sizes = {
        "pooled": (len(distinct), first[1].shape[1]),
        "tokens": (int(offsets[-1]), first[2].shape[2]),
        "offsets": (len(distinct) + 1,),
        "rows": (len(texts),),
    }
    types = {"pooled": np.float32, "tokens": np.float16, "offsets": np.int64, "rows": np.int64}
    about = {
        "kind": "text",
        "source": args.texts.stem,
        "dtype": str(backbone.dtype).removeprefix("torch."),
        "shard": str(args.shard.number),
        "shards": str(args.shard.count),
        "tokenizer": tokenizer,
        **({"weights": backbone.weights} if backbone.weights else {}),
    }
    key = backbone_key(settings.model, settings.pretrained, settings.precision, settings.preprocessing)
    with create_features(args.out, sizes, types, texts, key, about) as writer:
        writer.write("offsets", 0, offsets)
        writer.write("rows", 0, np.array([distinct[text] for text in texts]))
        for rows, pooled, tokens in itertools.chain([first], batches):
            for row, head, sequence in zip(rows.tolist(), pooled.numpy(), tokens.numpy(), strict=True):
                writer.write("pooled", row, head[None])
                writer.write("tokens", int(offsets[row]), sequence[: int(lengths[row])])
    rate = len(distinct) / (time.perf_counter() - clock)
    log.info(
        "%d texts (%d distinct) from %s (shard %s), %.0f a second in %s, to %s",
        len(texts),
        len(distinct),
        args.texts,
        args.shard,
        rate,
        about["dtype"],
        args.out,
    )
    if cut:
        log.info("%d texts exceed %d tokens and were cut, the first: %s", len(cut), backbone.context_length, cut[0])


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("features.encode_texts", __doc__)
    add_settings(parser, EncoderSettings)
    add_backbone_options(parser)
    parser.add_argument("--texts", type=Path, required=True, help="CSV with one text per row")
    parser.add_argument("--column", default="text", help="its column that holds the text")
    parser.add_argument("--shard", type=parse_shard, default=Shard(), metavar="NUMBER/COUNT", help="part of the table")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("encode_texts", encode, build_parser(), argv, imports=("torch", "open_clip"))


if __name__ == "__main__":
    main()
