"""Images a second of `encode_images`, beside the forward pass alone and the plain loop that others use.

Three ways from the same files through the same model (ViT-B-32, random weights, single precision), taking turns:
  ours    `fieldguide.features.encode_images.encode_store`, from JPEG to feature
  limit   the plain model's forward pass alone, on tensors that lie in memory, at its best batch size
  peer    the loop of CLIP_benchmark: a DataLoader over `preprocess(Image.open(path))`, at its best number of workers
          and batch size
All three use every core. Each is measured `--repeats` times; medians count. The features of all three must be equal to
1e-3. `ratio encode_vs_limit` and `ratio encode_vs_peer` are our rate over theirs; above 1 is faster.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from _photographs import write_photographs

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
BATCHES = (16, 32, 64)
WORKERS = (0, 1, 2)
TOLERANCE = 1e-3
GPU_IMAGES = 2048


def load(name: str, device: str, precision: str) -> Any:
    """A backbone with random weights; the same ones every time."""
    import open_clip
    import torch

    from fieldguide.features.backbone import Backbone, pick_precision

    torch.manual_seed(0)
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    target = torch.device(device)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[pick_precision(precision, target)]
    model = model.eval().requires_grad_(False).to(dtype)
    return Backbone(model, preprocess, open_clip.get_tokenizer(name), 77, target, dtype)


def plain_tensors(preprocess: Any, folder: Path, names: Sequence[str]) -> Any:
    """All images as open_clip prepares them, (n, 3, h, w)."""
    import torch
    from PIL import Image

    return torch.stack([preprocess(Image.open(folder / name)) for name in names])


def forward_alone(model: Any, tensors: Any, batch: int) -> Any:
    """Features of tensors in memory."""
    import torch

    with torch.inference_mode():
        return torch.cat([model.encode_image(part, normalize=True).float() for part in tensors.split(batch)])


def plain_loop(model: Any, preprocess: Any, folder: Path, names: Sequence[str], batch: int, workers: int) -> Any:
    """Features by a DataLoader and the model, as CLIP_benchmark extracts them."""
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    class Photographs(Dataset[Any]):
        def __len__(self) -> int:
            return len(names)

        def __getitem__(self, index: int) -> Any:
            return preprocess(Image.open(folder / names[index]))

    features = []
    with torch.inference_mode():
        for images in DataLoader(Photographs(), batch_size=batch, num_workers=workers):
            features.append(torch.nn.functional.normalize(model.encode_image(images), dim=-1))
    return torch.cat(features)


def our_encoding(backbone: Any, folder: Path, names: Sequence[str]) -> Any:
    """Features as `encode_images` makes them, before they are written."""
    import torch

    from fieldguide.data.image_store import open_image_store
    from fieldguide.features.encode_images import encode_store

    return torch.cat(list(encode_store(backbone, open_image_store(folder), names, None, CORES)))


def seconds(run: Callable[[], Any]) -> float:
    """How long a call takes."""
    clock = time.perf_counter()
    run()
    return time.perf_counter() - clock


def best(candidates: Sequence[Any], run: Callable[[Any], Any]) -> Any:
    """The candidate that runs fastest, once each."""
    return min(candidates, key=lambda candidate: seconds(lambda: run(candidate)))


def on_cpu(folder: Path, names: Sequence[str], repeats: int) -> tuple[float, float]:
    """Our rate over the limit's and over the peer's."""
    import torch

    from fieldguide.features.backbone import keep_tower

    torch.set_num_threads(CORES)
    plain = load("ViT-B-32", "cpu", "fp32")
    ours = keep_tower(load("ViT-B-32", "cpu", "fp32"), "image", torch.device("cpu"))
    model, preprocess = plain.model, plain.preprocess
    tensors = plain_tensors(preprocess, folder, names)
    forward_alone(model, tensors[:16], 16)
    our_encoding(ours, folder, names[:16])
    batch = best(BATCHES, lambda batch: forward_alone(model, tensors, batch))
    loop = best(
        list(itertools.product(BATCHES, WORKERS)), lambda pair: plain_loop(model, preprocess, folder, names, *pair)
    )
    ways: dict[str, Callable[[], Any]] = {
        "ours": lambda: our_encoding(ours, folder, names),
        "limit": lambda: forward_alone(model, tensors, batch),
        "peer": lambda: plain_loop(model, preprocess, folder, names, *loop),
        "ours, forward pass alone": lambda: forward_alone(ours.model, tensors, 32),
    }
    features = {name: way() for name, way in ways.items()}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            times[name].append(seconds(way))
    rates = {name: len(names) / statistics.median(taken) for name, taken in times.items()}
    notes = {"limit": f"batch {batch}", "peer": f"batch {loop[0]}, {loop[1]} workers"}
    for name, taken in times.items():
        spread = f"{len(names) / max(taken):.2f} to {len(names) / min(taken):.2f}"
        print(f"{name:26} {rates[name]:7.2f} images/s ({spread}) {notes.get(name, '')}".rstrip())
    for name in ("limit", "peer"):
        difference = float((features["ours"] - features[name]).abs().max())
        print(f"largest difference of a feature, ours and {name}: {difference:.1e}")
        assert difference < TOLERANCE, f"the features of ours and {name} differ"
    apart = float((features["ours"][1:] - features["ours"][:-1]).abs().amax(1).min())
    print(f"smallest difference between neighbouring photographs: {apart:.1e}")
    return rates["ours"] / rates["limit"], rates["ours"] / rates["peer"]


def on_gpu(folder: Path, names: Sequence[str]) -> None:
    """ViT-L/14 from JPEG, beside its forward pass alone."""
    import torch

    from fieldguide.features.backbone import keep_tower

    if not torch.cuda.is_available():
        print("gpu: torch sees none here, so ViT-L/14 was not measured")
        return
    backbone = load("ViT-L-14", "cuda", "auto")
    backbone = keep_tower(dataclasses.replace(backbone, device=torch.device("cpu")), "image", torch.device("cuda"))
    names = list(itertools.islice(itertools.cycle(names), GPU_IMAGES))
    our_encoding(backbone, folder, names)
    jpeg = len(names) / seconds(lambda: our_encoding(backbone, folder, names))
    batch = torch.randn(256, 3, 224, 224, device="cuda", dtype=backbone.dtype)

    def forward() -> None:
        for _ in range(8):
            forward_alone(backbone.model, batch, 256)
        torch.cuda.synchronize()

    forward()
    alone = 8 * 256 / seconds(forward)
    print(f"gpu {torch.cuda.get_device_name()}, {backbone.dtype}, {CORES} cores to decode")
    print(f"gpu ViT-L/14 from JPEG {jpeg:.0f} images/s")
    print(f"gpu ViT-L/14 forward pass alone {alone:.0f} images/s")
    print(f"gpu ratio {jpeg / alone:.3f}")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=64, help="photographs per pass")
    parser.add_argument("--repeats", type=int, default=5, help="passes of each way")
    args = parser.parse_args(argv)
    logging.getLogger().setLevel(logging.ERROR)
    # As in a stage: set before torch is imported.
    from fieldguide.core.stage import use_threads

    use_threads(CORES)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        names, what = write_photographs(folder, args.images)
        print(f"{len(names)} {what}, ViT-B-32, {CORES} cores, {args.repeats} repeats", flush=True)
        on_gpu(folder, names)
        limit, peer = on_cpu(folder, names, args.repeats)
    print(f"ratio encode_vs_limit {limit:.3f}")
    print(f"ratio encode_vs_peer {peer:.3f}")


if __name__ == "__main__":
    main()
