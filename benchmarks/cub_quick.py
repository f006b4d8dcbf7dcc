"""How long `config/cub-quick.yaml` takes on this machine, and how much disk, from the rates of its parts.

Each stage is measured on a small part of its work, at its own sizes and on all cores, and the minutes are computed from
that. It was not run on the real archives: downloading, unpacking and reading them come on top.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from _photographs import write_photographs
from encode import CORES, load, our_encoding, seconds
from memory import CAPTIONS, WORDS, write_wide, write_wide_images

from fieldguide.core.stage import use_threads
from fieldguide.workflow.config import Config, check_config, merge

ROOT = Path(__file__).resolve().parents[1]
CUB_IMAGES, TRAIN_IMAGES, CLASSES = 11_788, 5_994, 200
CUB_CAPTIONS = 10 * TRAIN_IMAGES
WIDTH = 512
"""Of ViT-B/32's features and tokens."""
PHOTOGRAPHS, TEXTS, STEPS = 64, 1_024, 20


def read_config() -> Config:
    """config/cub-quick.yaml over the defaults."""
    merged: dict[str, Any] = {}
    for name in ("config.yaml", "config/cub-quick.yaml"):
        merge(merged, copy.deepcopy(yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))))
    return check_config(merged)


def sentences(count: int) -> list[str]:
    """Captions of 8 to 20 words."""
    rng = np.random.default_rng(0)
    return [" ".join(WORDS[i] for i in rng.integers(0, len(WORDS), rng.integers(8, 21))) for _ in range(count)]


def image_rate(folder: Path) -> float:
    """Images a second, from JPEG to feature."""
    import torch

    from fieldguide.features.backbone import keep_tower

    names, _ = write_photographs(folder / "photographs", PHOTOGRAPHS)
    backbone = keep_tower(load("ViT-B-32", "cpu", "fp32"), "image", torch.device("cpu"))
    our_encoding(backbone, folder / "photographs", names[:16])
    return PHOTOGRAPHS / seconds(lambda: our_encoding(backbone, folder / "photographs", names))


def text_rate() -> float:
    """Texts a second, tokenising among it."""
    import torch

    from fieldguide.features.backbone import keep_tower
    from fieldguide.features.encode_texts import encode_ids, tokenise

    backbone = keep_tower(load("ViT-B-32", "cpu", "fp32"), "text", torch.device("cpu"))
    texts = sentences(TEXTS)

    def encode() -> None:
        ids, lengths, _ = tokenise(backbone, texts)
        list(encode_ids(backbone, ids, lengths, None))

    encode()
    return TEXTS / seconds(encode)


def step_rate(folder: Path, config: Config) -> float:
    """Optimiser steps of the Q-Former a second, at its own size."""
    from fieldguide.core.files import write_csv
    from fieldguide.data.records import PAIR_COLUMNS

    images = config.pairs.images // 10
    captions = sentences(images * CAPTIONS)
    rows = [(str(i), str(i // CAPTIONS), "", caption) for i, caption in enumerate(captions)]
    write_csv(folder / "pairs.csv", PAIR_COLUMNS, (dict(zip(PAIR_COLUMNS, row, strict=True)) for row in rows))
    write_wide_images(folder / "images.safetensors", images, WIDTH)
    texts = write_wide(folder, "texts", list(captions), WIDTH)
    short = {"steps": STEPS, "warmup": 1, "evaluate_every": STEPS}
    settings = {**config.translators["qformer"].model_dump(mode="json"), **short}
    options: list[object] = ["--settings", json.dumps(settings), "--threads", CORES, "--out", folder / "qformer"]
    options += ["--pairs", folder / "pairs.csv", "--pair-images", folder / "images.safetensors", "--pair-texts", texts]
    words = [sys.executable, "-m", "fieldguide.translators.train_qformer", *map(str, options)]
    answer = subprocess.run(words, check=True, capture_output=True, text=True)
    (pairs,) = re.findall(r"(\d+) pairs a second", answer.stderr)
    return int(pairs) / settings["batch"]


def cell_seconds(config: Config) -> float:
    """Seconds of one cell: all its seeds at once."""
    from fieldguide.adapters.linear import fit, random_start

    rng = np.random.default_rng(0)
    rows = TRAIN_IMAGES + CUB_CAPTIONS
    table = rng.normal(size=(rows, WIDTH)).astype(np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    labels, seeds = rng.integers(0, CLASSES, rows), list(config.sweep.seeds)
    steps = config.adapter.amount // 10
    stream = rng.integers(0, rows, (len(seeds), steps, config.adapter.batch))
    start = random_start(CLASSES, WIDTH, seeds)
    return 10 * seconds(lambda: fit(table, labels, stream, start, [0.1] * len(seeds), [0.0] * len(seeds)))


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    use_threads(CORES)
    logging.getLogger().setLevel(logging.ERROR)
    import torch

    torch.set_num_threads(CORES)
    config = read_config()
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images, texts = image_rate(folder), text_rate()
        steps, cell = step_rate(folder, config), cell_seconds(config)
    sources = [source for variant in config.sweep.variants for source in variant.sources]
    cells = sum(sum(r > 0 if source == "none" else r < 100 for r in config.sweep.ratios) for source in sources)
    trials = len(config.adapter.learning_rates) * len(config.adapter.weight_decays) * config.adapter.tuning_seeds
    # Tuning trains its trials at four ratios, the last three with text too and ratio 0 without images.
    tuning = cell / len(config.sweep.seeds) * trials * 7
    all_images, all_texts = CUB_IMAGES + config.pairs.images, CAPTIONS * config.pairs.images + CUB_CAPTIONS
    qformer = config.translators["qformer"].model_dump()
    minutes = {
        f"encode {all_images} images at {images:.1f} a second": all_images / images / 60,
        f"encode {all_texts} texts at {texts:.0f} a second": all_texts / texts / 60,
        f"{qformer['steps']} steps of the Q-Former at {steps:.2f} a second": qformer["steps"] / steps / 60,
        f"tune the adapter, {trials} trials at {cell:.0f} s for {len(config.sweep.seeds)}": tuning / 60,
        f"{cells} cells at {cell:.0f} s": cells * cell / 60,
    }
    for what, taken in minutes.items():
        print(f"{taken:6.1f} min  {what}")
    tokens = 14 * all_texts * WIDTH * 2 + all_texts * WIDTH * 4 + all_images * WIDTH * 4
    print(f"{sum(minutes.values()):6.1f} min  in all, without downloads and reading the archives, on {CORES} cores")
    print(
        f"{tokens / 1e9:6.1f} GB of disk for features, beside 19 GB for COCO, 1.2 GB each for CUB packed and unpacked"
    )
    print(f"measured in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
