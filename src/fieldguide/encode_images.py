"""Encode images with the frozen backbone: one unit-norm feature per row of a record table.

  python -m fieldguide.encode_images --model ViT-B-32 --pretrained openai \\
      --images results/cub/unpacked/CUB_200_2011 --records results/cub/records/images.csv --out images.safetensors

The record table needs the columns image_id and path; an image listed in several rows (COCO's captions) is encoded once.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from fieldguide.backbone import Backbone, add_backbone_options, backbone_key, load_backbone
from fieldguide.errors import FieldguideError
from fieldguide.features import save_features
from fieldguide.files import read_csv
from fieldguide.image_store import ImageStore, open_image_store
from fieldguide.stage import log, new_parser, run_stage

if TYPE_CHECKING:
    import torch


def ahead(work: Callable[[Any], Any], items: Iterable[Any], workers: int, depth: int) -> Iterator[Any]:
    """`map(work, items)` in threads, in order, never more than `depth` results ahead of the reader."""
    with ThreadPoolExecutor(workers) as pool:
        items = iter(items)
        pending = deque(pool.submit(work, item) for item in itertools.islice(items, depth))
        while pending:
            done = pending.popleft().result()
            for item in itertools.islice(items, 1):
                pending.append(pool.submit(work, item))
            yield done


def encode_store(backbone: Backbone, store: ImageStore, names: Sequence[str], batch: int, workers: int) -> torch.Tensor:
    """Features (n, d) float32, unit norm, of the named images; decoding runs ahead of the forward pass."""
    import torch

    out: list[torch.Tensor] = []
    prepared = ahead(lambda name: backbone.preprocess(store.open(name)), names, workers, 2 * batch)
    with tqdm(total=len(names), desc="encode_images", unit="image", disable=None) as bar, torch.inference_mode():
        while pixels := list(itertools.islice(prepared, batch)):
            images = torch.stack(pixels).to(backbone.device, backbone.dtype)
            out.append(backbone.model.encode_image(images, normalize=True).float().cpu())
            bar.update(len(pixels))
    return torch.cat(out)


def encode(args: argparse.Namespace) -> None:
    records = {row["image_id"]: row["path"] for row in read_csv(args.records, ("image_id", "path"))}
    if not records:
        raise FieldguideError(f"{args.records}: lists no image")
    backbone = load_backbone(args.model, args.pretrained, args.precision, args.device, args.cache)
    clock = time.perf_counter()
    features = encode_store(backbone, open_image_store(args.images), list(records.values()), args.batch, args.workers)
    key = backbone_key(args.model, args.pretrained, args.precision)
    save_features(args.out, {"features": features}, list(records), key, {"kind": "image"})
    rate = len(records) / (time.perf_counter() - clock)
    log.info(
        "%d images from %s, %d wide, %.0f a second, to %s", len(records), args.images, features.shape[1], rate, args.out
    )


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("encode_images", __doc__)
    add_backbone_options(parser)
    parser.add_argument("--images", type=Path, required=True, help="folder or zip that holds the images")
    parser.add_argument("--records", type=Path, required=True, help="CSV with image_id and path")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--batch", type=int, default=256, help="images per forward pass")
    parser.add_argument("--workers", type=int, default=2, help="threads that decode and resize")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("encode_images", encode, build_parser(), argv, imports=("torch", "open_clip"))


if __name__ == "__main__":
    main()
