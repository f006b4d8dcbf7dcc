"""Peak memory of the encoding stages and of the Q-Former's training at COCO's size with ViT-L/14.

Stages are measured in processes of their own, as the workflow runs them.
  slope   what a further image costs: the stages on synthetic pairs (five captions of 8 to 20 words an image) at three
          sizes, through a tiny CLIP. It does not grow with the features' width, because rows go to disk as they come.
  base    what ViT-L/14 itself costs: its architecture with random weights, on 32 images and their captions. Loading it
          takes more than running it, since the weights lie there twice; tables are read after that.
encode_images and encode_texts at COCO's size take the larger of loading and of running plus slope, in one shard: the
worst case, since with 16 shards features are made of a sixteenth of the rows. The Q-Former's training and
translate_texts are measured at full width and size: their token files are as long as COCO's, but sparse, so that they
take no disk.

`peak` is the largest resident set of the process (getrusage); `anonymous` is the part of it that is no file, sampled.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

COCO_IMAGES, CAPTIONS = 118_287, 5
SIZES = (10_000, 40_000, COCO_IMAGES)
WIDTH = 768
"""Of ViT-L/14's token features, and of its image features."""
TEXTS = 59_940
"""Reed et al.'s captions of CUB's training images."""
GIB = 2**30
WORDS = [
    f"{a}{b}" for a in ("bird", "dog", "bus", "red", "small", "table", "street", "tree") for b in ("", "s", " on a")
]
TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


class Peak(NamedTuple):
    """Bytes: the largest resident set, the largest part of it that is no file, and the largest set after loading."""

    resident: int
    anonymous: int
    running: int


def run(module: str, *argv: object) -> Peak:
    """The peak of a stage in a process of its own."""
    words = [sys.executable, "-m", f"fieldguide.{module}", *map(str, argv)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    anonymous, running, is_loaded = 0, 0, False

    def watch() -> None:
        nonlocal anonymous, running
        status = Path(f"/proc/{process.pid}/status")
        while process.returncode is None:
            try:
                lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
                anonymous = max(anonymous, int(lines["RssAnon"].split()[0]) * 1024)
                if is_loaded:
                    running = max(running, int(lines["VmRSS"].split()[0]) * 1024)
            except (OSError, KeyError):  # it has ended, or this is not Linux
                return
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        # The encoding stages say so when the backbone is loaded and the first batch comes.
        is_loaded = is_loaded or "per forward pass" in line
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    watcher.join()
    if process.returncode:
        sys.exit(f"{module} failed: {said}")
    return Peak(usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024), anonymous, running)


def write_clip(folder: Path, config: dict[str, Any]) -> str:
    """A folder that open_clip loads, with random weights; written in another process, whose memory is not ours."""
    folder.mkdir()
    code = """
import json, sys
from pathlib import Path
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file
folder = Path(sys.argv[1])
torch.manual_seed(0)
model = CLIP(**json.loads((folder / "open_clip_config.json").read_text())["model_cfg"])
state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
save_file(state, folder / "open_clip_model.safetensors")
"""
    preprocess = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    content = {"model_cfg": config, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
    return f"local-dir:{folder}"


def large_config() -> dict[str, Any]:
    """ViT-L/14's architecture."""
    code = "import json, open_clip; print(json.dumps(open_clip.get_model_config('ViT-L-14')))"
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    config: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return config


def write_pairs(folder: Path, images: int) -> list[str]:
    """records/pairs.csv and a zip of as many small JPEGs; returns the captions."""
    import io

    from PIL import Image

    from fieldguide.core.files import write_csv
    from fieldguide.data.records import PAIR_COLUMNS

    folder.mkdir()
    rng = np.random.default_rng(0)
    contents = []
    for _ in range(8):
        stream = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(stream, "JPEG")
        contents.append(stream.getvalue())
    names = [f"train2017/{number:012d}.jpg" for number in range(images)]
    with zipfile.ZipFile(folder / "train2017.zip", "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(name, contents[number % len(contents)])
    lengths = rng.integers(8, 21, images * CAPTIONS)
    captions = [" ".join(WORDS[i] for i in rng.integers(0, len(WORDS), length)) for length in lengths]
    rows = [
        (str(number), str(number // CAPTIONS), names[number // CAPTIONS], caption)
        for number, caption in enumerate(captions)
    ]
    write_csv(folder / "pairs.csv", PAIR_COLUMNS, (dict(zip(PAIR_COLUMNS, row, strict=True)) for row in rows))
    return captions


def write_wide(folder: Path, name: str, texts: Sequence[str], width: int = WIDTH) -> Path:
    """A text feature file as wide as ViT-L/14's, its tokens a hole in the file: zeros that take no disk."""
    from fieldguide.features.store import FeatureWriter, describe

    lengths = np.array([2 + len(text.split()) for text in texts])
    offsets = np.concatenate([[0], lengths.cumsum()])
    sizes = {
        "pooled": (len(texts), width),
        "tokens": (int(offsets[-1]), width),
        "offsets": (len(texts) + 1,),
        "rows": (len(texts),),
    }
    types = {"pooled": np.float32, "tokens": np.float16, "offsets": np.int64, "rows": np.int64}
    path = folder / f"{name}.safetensors"
    with path.open("wb") as stream:
        writer = FeatureWriter(path, stream, sizes, types)
        writer.begin(describe(texts, "wide_0", {"kind": "text"}))
        writer.write("offsets", 0, offsets)
        writer.write("rows", 0, np.arange(len(texts)))
    return path


def write_wide_images(path: Path, images: int, width: int = WIDTH) -> None:
    """Image features of ViT-L/14's width, unit norm."""
    from fieldguide.features.store import create_features

    rng = np.random.default_rng(0)
    sizes, types = {"features": (images, width)}, {"features": np.float32}
    ids = [str(number) for number in range(images)]
    with create_features(path, sizes, types, ids, "wide_0", {"kind": "image"}) as writer:
        for start in range(0, images, 4096):
            part = rng.normal(size=(min(4096, images - start), width)).astype(np.float32)
            writer.write("features", start, part / np.linalg.norm(part, axis=1, keepdims=True))


def encode_both(model: str, folder: Path, *more: object) -> dict[str, Peak]:
    """Peaks of encode_images and encode_texts on the folder's pairs."""
    pairs = folder / "pairs.csv"
    images = ("--images", folder / "train2017.zip", "--records", pairs, "--out", folder / "images.safetensors")
    texts = ("--texts", pairs, "--column", "caption", "--out", folder / "texts.safetensors")
    return {
        "encode_images": run("encode_images", "--model", model, "--device", "cpu", *images, *more),
        "encode_texts": run("encode_texts", "--model", model, "--device", "cpu", *texts, *more),
    }


def train_wide(folder: Path, images: int, captions: Sequence[str], steps: int) -> Peak:
    """Peak of train_qformer with config.yaml's Q-Former, features as wide as ViT-L/14's."""
    import yaml

    root = Path(__file__).resolve().parents[1]
    settings = yaml.safe_load((root / "config.yaml").read_text(encoding="utf-8"))["translators"]["qformer"]
    settings = {**settings, "steps": steps, "warmup": 1, "evaluate_every": steps}
    write_wide_images(folder / "wide-images.safetensors", images)
    texts = write_wide(folder, "wide-texts", captions)
    given = ("--pairs", folder / "pairs.csv", "--pair-images", folder / "wide-images.safetensors")
    last = ("--pair-texts", texts, "--device", "cpu", "--out", folder / "qformer")
    return run("train_qformer", *given, *last, "--settings", json.dumps(settings))


def translate_wide(folder: Path, texts: int) -> Peak:
    """Peak of translate_texts by that Q-Former."""
    from fieldguide.core.files import write_csv

    table = [f"{'word ' * (8 + number % 13)}{number}" for number in range(texts)]
    write_csv(folder / "table.csv", ("text",), ({"text": text} for text in table))
    features = write_wide(folder, "reed", table)
    translator = folder / "qformer" / "translator.safetensors"
    given = ("--translator", translator, "--texts", features, "--table", folder / "table.csv")
    return run("translate_texts", *given, "--device", "cpu", "--out", folder / "translated.safetensors")


def show(stage: str, what: str, peak: Peak) -> None:
    print(
        f"{stage:16} {what:28} peak {peak.resident / GIB:6.3f} GiB, anonymous {peak.anonymous / GIB:6.3f} GiB",
        flush=True,
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of images")
    parser.add_argument("--steps", type=int, default=20, help="steps of the Q-Former")
    parser.add_argument("--texts", type=int, default=TEXTS, help="texts to translate")
    args = parser.parse_args(argv)
    peaks: dict[str, list[Peak]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        top = Path(temporary)
        tiny, large = write_clip(top / "tiny", TINY), write_clip(top / "large", large_config())
        for size in args.sizes:
            folder = top / str(size)
            captions = write_pairs(folder, size)
            found = encode_both(tiny, folder)
            found["train_qformer"] = train_wide(folder, size, captions, args.steps)
            for stage, peak in found.items():
                peaks.setdefault(stage, []).append(peak)
                show(stage, f"{size} images", peak)
        show("translate_texts", f"{args.texts} texts", translate_wide(folder, args.texts))
        few = top / "few"
        write_pairs(few, 32)
        base = encode_both(large, few, "--threads", os.cpu_count() or 1)
    for stage, peak in base.items():
        show(stage, "ViT-L/14, 32 images", peak)
    slopes = {
        stage: float(np.polyfit(args.sizes, [peak.resident for peak in found], 1)[0]) for stage, found in peaks.items()
    }
    for stage, slope in slopes.items():
        print(f"{stage:16} {slope / 1024:.2f} KiB more for each further image and its {CAPTIONS} captions")
    final = {}
    for stage in ("encode_images", "encode_texts"):
        more = max(0.0, slopes[stage]) * COCO_IMAGES
        loading, running = base[stage].resident, base[stage].running
        final[stage] = max(loading, running + more)
        sum_of = f"{running / GIB:.3f} GiB + {COCO_IMAGES} x {slopes[stage]:.0f} B = {(running + more) / GIB:.3f} GiB"
        print(f"{stage:16} loading ViT-L/14 {loading / GIB:.3f} GiB; running {sum_of}")
    more = max(0.0, slopes["train_qformer"]) * (COCO_IMAGES - args.sizes[-1])
    final["train_qformer"] = peaks["train_qformer"][-1].resident + more
    how = "measured" if args.sizes[-1] == COCO_IMAGES else f"{args.sizes[-1]} images and the slope"
    print(f"{'train_qformer':16} at ViT-L/14's width, {how}: {final['train_qformer'] / GIB:.3f} GiB")
    for stage, peak_bytes in final.items():
        print(f"peak_gib {stage} {peak_bytes / GIB:.3f}")


if __name__ == "__main__":
    main()
