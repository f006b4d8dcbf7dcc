"""Encode images with the frozen backbone: one unit-norm feature per row of a record table.

  python -m fieldguide.features.encode_images \\
      --settings '{"model": "ViT-B-32", "pretrained": "openai", "precision": "auto"}' \\
      --images results/cub/unpacked/CUB_200_2011 --records results/cub/records/images.csv --out images.safetensors

The record table needs the columns image_id and path; an image listed in several rows (COCO's captions) is encoded once.
`--shard 3/16` encodes the third of 16 equal parts of the images: parts are made, lost and made again one by one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_columns
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage
from fieldguide.data.image_store import ImageStore, open_image_store
from fieldguide.features.backbone import (
    Backbone,
    add_backbone_options,
    backbone_key,
    fitting_batch,
    keep_tower,
    load_backbone,
    pick_device,
    pick_precision,
)
from fieldguide.features.preprocessing import format_preprocessing
from fieldguide.features.settings import EncoderSettings
from fieldguide.features.store import Shard, create_features, parse_shard

if TYPE_CHECKING:
    import torch

CPU_BATCH = 32
GPU_BATCH = 512


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


def by_turns(work: Callable[[Any], Any], items: Iterable[Any], workers: int, depth: int) -> Iterator[Any]:
    """The same, `depth` items at a time and none while the reader works: for when the reader uses every core itself."""
    with ThreadPoolExecutor(workers) as pool:
        items = iter(items)
        while some := list(itertools.islice(items, depth)):
            yield from list(pool.map(work, some))


def has_spare_cores(numeric_threads: int) -> bool:
    """Whether cores stay free beside the numeric threads."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores > numeric_threads


def split_preprocess(preprocess: Any) -> tuple[Callable[[Any], Any], Any]:
    """open_clip's preprocessing as (what happens to a PIL image, how its bytes become numbers).

    The second is None where the chain does not end as open_clip's does; then the first gives float tensors.
    """
    from torchvision.transforms import Compose, Normalize, ToTensor

    steps = getattr(preprocess, "transforms", [])
    if not (len(steps) > 2 and isinstance(steps[-2], ToTensor) and isinstance(steps[-1], Normalize)):
        return preprocess, None
    shrink = Compose(steps[:-2])
    return (lambda image: np.asarray(shrink(image))), steps[-1]


def to_input(pixels: Sequence[Any], normalise: Any, backbone: Backbone) -> torch.Tensor:
    """A batch for the model, (b, 3, h, w) on its device, from images as `split_preprocess` gives them.

    Bytes travel to the device and become numbers there, by the arithmetic of ToTensor and Normalize.
    """
    import torch

    batch = torch.stack(list(pixels)) if normalise is None else torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)
    if backbone.device.type == "cuda":
        # Bytes lie channels last already, the layout that convolutions on a GPU like best.
        batch = batch.pin_memory().to(backbone.device, non_blocking=True)
    else:
        batch = batch.contiguous()
    if normalise is not None:
        mean, std = (
            torch.tensor(values, device=batch.device).view(-1, 1, 1) for values in (normalise.mean, normalise.std)
        )
        batch = batch.float().div_(255).sub_(mean).div_(std)
    return batch.to(backbone.dtype)


def encode_store(
    backbone: Backbone, store: ImageStore, names: Sequence[str], batch: int | None, workers: int
) -> Iterator[torch.Tensor]:
    """Features (b, d) float32, unit norm, of the named images, a batch after the other in their order.

    Decoding runs ahead of the forward pass in threads; where the forward pass has all cores, they take turns, because
    a core that decodes would make the others wait for its share of every matrix product. `batch` None is `auto`.
    """
    import torch

    shrink, normalise = split_preprocess(backbone.preprocess)

    def load(name: str) -> Any:
        return shrink(store.open(name))

    def forward(pixels: Sequence[Any]) -> tuple[torch.Tensor, Any]:
        """Features on their way to the CPU, and the event after which they are there."""
        out = backbone.model.encode_image(to_input(pixels, normalise, backbone), normalize=True).float()
        if backbone.device.type != "cuda":
            return out, None
        out = out.to("cpu", non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        return out, event

    def arrived(out: torch.Tensor, event: Any) -> torch.Tensor:
        if event is not None:
            event.synchronize()
        return out

    if not names:
        return
    with torch.inference_mode():
        if batch is None:
            first = load(names[0])
            batch = fitting_batch(backbone.device, lambda n: forward([first] * n), GPU_BATCH, CPU_BATCH)
            log.info("%d images per forward pass", batch)
        on_gpu = backbone.device.type == "cuda"
        if on_gpu or has_spare_cores(torch.get_num_threads()):
            decoded = ahead(load, names, workers, 2 * batch)
        else:
            decoded = by_turns(load, names, workers, batch)
        with tqdm(total=len(names), desc="encode_images", unit="image", disable=None) as bar:
            # A GPU works on a batch while the next one is put together and the last one is fetched.
            pending: deque[tuple[torch.Tensor, Any]] = deque()
            while pixels := list(itertools.islice(decoded, batch)):
                pending.append(forward(pixels))
                if len(pending) > on_gpu:
                    yield arrived(*pending.popleft())
                bar.update(len(pixels))
            while pending:
                yield arrived(*pending.popleft())


def read_shard(records: Path, shard: Shard) -> tuple[list[str], list[str]]:
    """Ids and paths of the shard's images; raises FieldguideError where a shard would be empty."""
    paths = {image_id: path for image_id, path in read_columns(records, ("image_id", "path"))}
    if not paths:
        raise FieldguideError(f"{records}: lists no image")
    if len(paths) < shard.count:
        raise FieldguideError(
            f"{records}: lists {len(paths)} images, too few for {shard.count} shards; see backbone.shards"
        )
    own = shard.rows(len(paths))
    return list(paths)[own], list(paths.values())[own]


def encode(args: argparse.Namespace) -> None:
    import torch

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
    config = backbone.model.visual.preprocess_cfg
    log.info("preprocessing as %s has it: %s", backbone.source, format_preprocessing(config))
    backbone = keep_tower(backbone, "image", device)
    # After loading, which takes the most memory: a large table does not add to that.
    ids, names = read_shard(args.records, args.shard)
    given = settings.preprocessing.given()
    about = {
        "kind": "image",
        "dtype": str(backbone.dtype).removeprefix("torch."),
        "shard": str(args.shard.number),
        "shards": str(args.shard.count),
        # What another photograph needs to become such a feature; the key says whether it is still the same.
        "model": settings.model,
        "pretrained": settings.pretrained,
        "precision": settings.precision,
        "preprocessing": json.dumps(config, sort_keys=True),
        "preprocessing_source": backbone.source,
        **({"preprocessing_given": json.dumps(given, sort_keys=True)} if given else {}),
        **({"weights": backbone.weights} if backbone.weights else {}),
    }
    key = backbone_key(settings.model, settings.pretrained, settings.precision, settings.preprocessing)
    clock = time.perf_counter()
    parts = encode_store(backbone, open_image_store(args.images), names, batch, args.workers)
    first = next(parts)
    sizes = {"features": (len(ids), first.shape[1])}
    with create_features(args.out, sizes, {"features": np.float32}, ids, key, about) as writer:
        done = 0
        for part in itertools.chain([first], parts):
            writer.write("features", done, part.numpy())
            done += len(part)
    rate = len(ids) / (time.perf_counter() - clock)
    log.info(
        "%d images from %s (shard %s), %d wide, %.0f a second on %s in %s, to %s",
        len(ids),
        args.images,
        args.shard,
        first.shape[1],
        rate,
        torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU",
        about["dtype"],
        args.out,
    )


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser("features.encode_images", __doc__)
    add_settings(parser, EncoderSettings)
    add_backbone_options(parser)
    parser.add_argument("--images", type=Path, required=True, help="folder or zip that holds the images")
    parser.add_argument("--records", type=Path, required=True, help="CSV with image_id and path")
    parser.add_argument("--shard", type=parse_shard, default=Shard(), metavar="NUMBER/COUNT", help="part of the images")
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--workers", type=int, default=2, help="threads that decode and resize")
    parser.add_argument("--threads", type=int, default=1, help="numeric threads")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("encode_images", encode, build_parser(), argv, imports=("torch", "open_clip"))


if __name__ == "__main__":
    main()
