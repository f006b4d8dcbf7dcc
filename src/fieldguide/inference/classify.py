"""Name what a photograph shows: the five likeliest classes, and the field guide's sentences nearest to it.

  fieldguide classify bird.jpg
  fieldguide classify photographs/ 'more/**/*.png' --top 3
  fieldguide classify photographs/ --json > names.jsonl
  fieldguide classify bird.jpg --checkpoint results/aviary/adapters/…/ratio-100.safetensors

PHOTO is a file, a folder (with all below it) or a pattern in quotes, where ** stands for any folders. Without
--checkpoint the newest results under `results` are taken, and of them the cell that names best those training images
that it did not see, among the cells with the most images; what was taken is said.

Probabilities are calibrated on training images that the cell did not see (its card, ratio-….md, says how), once the
rule `calibrate_adapters` has run, a part of `make everything`; until then they are the logits' softmax. A photograph
that lies farther from every training photograph than 95% of these lie from one another is said to be out of its domain:
its name is then a guess. By --json every photograph is one line.

Exit status: 0, all were named; 1, nothing could be done; 2, the command was mistaken; 3, there are photographs that do
not open, or all of them, which are named on stderr; the others were named.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv
from fieldguide.core.stage import log, new_parser, run_stage
from fieldguide.data.image_store import HINT, FolderStore, is_image_name
from fieldguide.inference.checkpoint import Checkpoint, find_model, read_checkpoint
from fieldguide.inference.domain import WITHIN, Domain, learn_domain
from fieldguide.inference.results_folder import IMAGES, RESULTS, choose_cell, find_results, list_sources, read_texts

if TYPE_CHECKING:
    from PIL.Image import Image

    from fieldguide.core.arrays import Floats
    from fieldguide.features.backbone import Backbone

CACHE = Path("data/backbones")
"""Where the workflow keeps downloaded weights, as config.yaml has it."""
CALIBRATE = "to calibrate it run `make everything`, or `snakemake calibrate_adapters` as the run was started"
UNREADABLE = 3
"""Exit status when some photographs do not open."""
WIDTH = 100


class Photographs(FolderStore):
    """Photographs by their paths. One that does not open is remembered, and a grey one stands in its place."""

    def __init__(self) -> None:
        super().__init__(Path())
        self.faults: dict[str, str] = {}

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and Path(name).is_file()

    def open(self, name: str) -> Image:
        from PIL import Image

        try:
            return super().open(name)
        except FieldguideError as error:
            fault = str(error).removeprefix(f"{self.path}: ").removesuffix(f"; {HINT}")
            for before in ("the image ", "the file ", "has no file ", f"{name} "):
                fault = fault.removeprefix(before)
            gone = "no image matches this pattern" if glob.has_magic(name) else "there is no such file"
            self.faults[name] = gone if fault == name else fault
            return Image.new("RGB", (8, 8), "grey")


@dataclass(frozen=True)
class Guide:
    """The sentences of a field guide as text features (u, D), unit norm, each with what it is."""

    features: Floats
    sentences: list[dict[str, str]]  # source, class_name, field, text

    def nearest(self, features: Floats, count: int) -> list[list[dict[str, Any]]]:
        """For each feature (b, D) the sentences of the largest cosine, nearest first."""
        import numpy as np

        cosines = features @ self.features.T
        count = min(count, cosines.shape[1])
        some = np.argpartition(-cosines, count - 1, axis=1)[:, :count] if count else np.empty((len(cosines), 0), int)
        found = []
        for row, columns in zip(cosines, some, strict=True):
            ordered = sorted(columns.tolist(), key=lambda column: (-row[column], column))
            found.append([{**self.sentences[c], "cosine": round(float(row[c]), 4)} for c in ordered])
        return found


def find_photographs(given: Sequence[str]) -> list[str]:
    """The files that paths, folders and patterns name, each once; a path that is nothing is kept, to be reported."""
    found: dict[str, None] = {}
    for name in given:
        if Path(name).is_dir():
            found.update(dict.fromkeys(str(Path(name, file)) for file in FolderStore(Path(name)).names()))
        elif not Path(name).exists() and glob.has_magic(name):
            files = sorted(filter(is_image_name, glob.glob(name, recursive=True)))  # noqa: PTH207 - may be absolute
            found.update(dict.fromkeys(files or [name]))
        else:
            found[name] = None
    return list(found)


def read_domain(results: Path, backbone: str) -> Domain | None:
    """The domain of the data set's training images; None, said so, where their features are not there."""
    from fieldguide.features.store import check_same_backbone, read_features

    shards = find_shards(results / "features" / backbone / "images" / "dataset")
    if not shards or not (results / IMAGES).is_file():
        log.info("%s holds no features of training images, so no photograph can be said to be out of domain", results)
        return None
    rows = read_csv(results / IMAGES, ("image_id", "split"))
    tensors, about = read_features(shards, [row["image_id"] for row in rows])
    check_same_backbone((shards[0], about), (shards[0], {"backbone": backbone}))
    features = tensors["features"][[row["split"] == "train" for row in rows]]
    return learn_domain(features) if len(features) > 1 else None


def find_shards(folder: Path) -> list[Path]:
    """The shards of a set of features in order; those of the newest set, where several were made."""
    by_count: dict[str, list[Path]] = {}
    for path in folder.glob("shard-*-of-*.safetensors"):
        by_count.setdefault(path.stem.rpartition("-")[2], []).append(path)
    whole = {count: paths for count, paths in by_count.items() if len(paths) == int(count)}
    if not whole:
        return []
    newest = max(whole.values(), key=lambda paths: max(path.stat().st_mtime for path in paths))
    return sorted(newest, key=lambda path: int(path.stem.split("-")[1]))


def choose_sources(results: Path, checkpoint: Checkpoint, requested: Sequence[str]) -> list[str]:
    """The text sources to quote: those asked for, the checkpoint's own, those about classes, or any."""
    if requested:
        return list(requested)
    names = [name for name in list_sources(results) if find_shards(text_folder(results, checkpoint, name))]
    own = checkpoint.about.get("text_source", "none")
    if own in names:
        return [own]
    return [name for name in names if not read_texts(results, name).is_of_images] or names


def text_folder(results: Path, checkpoint: Checkpoint, source: str) -> Path:
    """Where the features of a source's texts lie."""
    return results / "features" / checkpoint.backbone / "texts" / source


def read_guide(results: Path, checkpoint: Checkpoint, requested: Sequence[str]) -> Guide | None:
    """The sentences to quote, with their own features as the text encoder has them; None where there are none."""
    import numpy as np

    from fieldguide.features.store import read_features

    sentences: list[dict[str, str]] = []
    parts = []
    for name in choose_sources(results, checkpoint, requested):
        table = read_texts(results, name)
        shards = find_shards(text_folder(results, checkpoint, name))
        if not shards:
            raise FieldguideError(
                f"{results}: holds no features of the texts {name} by the backbone {checkpoint.backbone}; ask for "
                "others by --texts, or run the workflow with them among its sources"
            )
        tensors, _ = read_features(shards, [row["text"] for row in table.rows], names=("pooled", "rows"))
        # A text that stands in several rows is quoted once.
        _, first = np.unique(tensors["rows"], return_index=True)
        parts.append(tensors["pooled"][tensors["rows"][first]])
        kept = ("class_name", "field", "text")
        sentences += [{"source": name, **{key: table.rows[row][key] for key in kept}} for row in first.tolist()]
    return Guide(np.concatenate(parts), sentences) if parts else None


def name_photographs(
    names: Sequence[str],
    features: Floats,
    checkpoint: Checkpoint,
    domain: Domain | None,
    guide: Guide | None,
    args: argparse.Namespace,
) -> list[dict[str, Any]]:
    """What is said of photographs with features (b, D)."""
    probabilities = checkpoint.probabilities(features)
    quoted = guide.nearest(features, args.sentences) if guide else [[] for _ in names]
    answers: list[dict[str, Any]] = []
    for name, row, sentences in zip(names, probabilities, quoted, strict=True):
        order = sorted(range(len(row)), key=lambda c: (-row[c], c))[: args.top]
        classes = [
            {"class_id": class_id, "class_name": class_name, "probability": round(row[c], 6)}
            for c, class_id, class_name in ((c, checkpoint.class_ids[c], checkpoint.class_names[c]) for c in order)
        ]
        answers.append({"photograph": name, "classes": classes, "out_of_domain": None, "sentences": sentences})
    if domain is not None:
        distances = domain.measure(features)
        threshold = domain.threshold(args.within)
        for answer, distance, percent in zip(answers, distances, domain.farther_than(distances), strict=True):
            answer["out_of_domain"] = bool(distance > threshold)
            answer["distance"] = round(float(distance), 4)
            answer["threshold"] = round(threshold, 4)
            answer["farther_than_percent"] = round(float(percent), 2)
    return answers


def format_answer(answer: dict[str, Any]) -> str:
    """An answer as a person reads it."""
    lines = [answer["photograph"]]
    width = max(len(row["class_name"]) for row in answer["classes"])
    for row in answer["classes"]:
        lines.append(f"  {100 * row['probability']:5.1f}%  {row['class_name']:<{width}}  (class {row['class_id']})")
    if answer["out_of_domain"]:
        lines += textwrap.wrap(
            f"  Out of its domain: at {answer['distance']:.3f} from the nearest training photograph, where "
            f"{answer['farther_than_percent']:.4g}% of these have another one nearer (limit "
            f"{answer['threshold']:.3f}). The names above are guesses.",
            WIDTH,
            subsequent_indent="  ",
        )
    for sentence in answer["sentences"]:
        about = f"{sentence['class_name']}" + (f", {sentence['field']}" if sentence["field"] else "")
        quoted = f'  {sentence["cosine"]:.3f}  "{" ".join(sentence["text"].split())}" ({about}; {sentence["source"]})'
        lines += textwrap.wrap(quoted, WIDTH, subsequent_indent=" " * 9, break_on_hyphens=False)
    return "\n".join(lines)


def encode_photographs(
    backbone: Backbone, store: Photographs, names: Sequence[str], args: argparse.Namespace
) -> Iterator[tuple[list[str], Floats]]:
    """The photographs that open, with their features, a batch after the other."""
    from fieldguide.features.encode_images import encode_store

    start = 0
    for part in encode_store(backbone, store, names, args.batch, args.workers):
        batch = names[start : start + len(part)]
        start += len(part)
        opened = [i for i, name in enumerate(batch) if name not in store.faults]
        if opened:
            yield [batch[i] for i in opened], part.numpy()[opened]


def choose_checkpoint(args: argparse.Namespace) -> tuple[Checkpoint, Path | None]:
    """The checkpoint, and the results folder that it belongs to."""
    given: Path | None = args.checkpoint
    if given is not None and not given.is_dir():
        checkpoint = read_checkpoint(given)
        return checkpoint, args.results or checkpoint.results
    # A folder of cells below a results folder holds several, and none of what goes with them.
    inside = [parent.parent for parent in [given, *given.parents] if parent.name == "adapters"] if given else []
    if inside:
        raise FieldguideError(f"{given}: is a part of {inside[0]}; give that folder, or the .safetensors of one cell")
    results = find_results(given or args.results)
    path, why = choose_cell(results)
    log.info("with %s: %s", path, why)
    return read_checkpoint(path), results


def classify(args: argparse.Namespace) -> None:
    import torch
    from tqdm import tqdm

    from fieldguide.features.backbone import keep_tower, load_backbone, pick_device, pick_precision
    from fieldguide.features.preprocessing import recorded

    names = find_photographs(args.photographs)
    if not names:
        raise FieldguideError(f"{', '.join(args.photographs)}: no photograph in there")
    checkpoint, results = choose_checkpoint(args)
    if checkpoint.temperature is None:
        log.info("%s is not calibrated, so its probabilities are not to be relied on; %s", checkpoint.path, CALIBRATE)
    about = checkpoint.about
    model, pretrained = find_model(about, args.model, args.pretrained)
    domain = read_domain(results, checkpoint.backbone) if results else None
    guide = read_guide(results, checkpoint, args.texts) if results and args.sentences else None
    device = pick_device(args.device)
    cache = args.cache if args.cache or not CACHE.is_dir() else str(CACHE)
    precision = pick_precision(about["precision"], device)
    loaded = load_backbone(model, pretrained, about["precision"], "cpu", cache, precision, recorded(about))
    if loaded.weights and loaded.weights != about.get("weights", loaded.weights):
        raise FieldguideError(
            f"{checkpoint.path}: was trained on features of other weights of {model} than those in {cache}; name "
            "the folder that holds them by --cache"
        )
    backbone = keep_tower(loaded, "image", device)
    store = Photographs()
    clock = time.perf_counter()
    named = outside = 0
    for batch, features in encode_photographs(backbone, store, names, args):
        for answer in name_photographs(batch, features, checkpoint, domain, guide, args):
            named += 1
            outside += bool(answer["out_of_domain"])
            text = json.dumps(answer, ensure_ascii=False) if args.json else format_answer(answer) + "\n"
            tqdm.write(text, file=sys.stdout)
    seconds = time.perf_counter() - clock
    for name in names:
        if name in store.faults:
            if args.json:
                print(json.dumps({"photograph": name, "error": store.faults[name]}, ensure_ascii=False))
            log.error("%s: %s", name, store.faults[name])
    log.info(
        "named %d of %d, %d of them out of domain; %d did not open; %.0f a second on %s",
        named,
        len(names),
        outside,
        len(store.faults),
        len(names) / seconds,
        torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU",
    )
    if store.faults:
        sys.stdout.flush()
        raise SystemExit(UNREADABLE)


def count(text: str) -> int:
    """A number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0")
    return int(text)


def percentage(text: str) -> float:
    """A percentage."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage from 0 to 100")
    return value


def build_parser() -> argparse.ArgumentParser:
    from fieldguide.features.backbone import parse_batch

    parser = new_parser("inference.classify", __doc__)
    parser.add_argument("photographs", nargs="+", metavar="PHOTO", help="a file, a folder, or a pattern in quotes")
    parser.add_argument(
        "--checkpoint", type=Path, help=f"a cell's .safetensors, or a results folder (default: {RESULTS})"
    )
    parser.add_argument("--top", type=count, default=5, help="how many classes to name (default: 5)")
    parser.add_argument("--sentences", type=count, default=3, help="how many sentences to quote (default: 3)")
    parser.add_argument(
        "--texts", nargs="+", default=[], metavar="SOURCE", help="text sources to quote; default: the cell's own"
    )
    parser.add_argument(
        "--within",
        type=percentage,
        default=WITHIN,
        metavar="PERCENT",
        help="of training photographs that count as inside the domain (default: 95); 100 is the least strict",
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON for each photograph")
    parser.add_argument("--results", type=Path, help="results folder with the texts, if the checkpoint lies elsewhere")
    parser.add_argument("--model", default="", help="the encoder, where it moved: open_clip name or local-dir:FOLDER")
    parser.add_argument("--pretrained", default="", help="its open_clip tag or weights file")
    parser.add_argument("--cache", default="", help=f"folder of downloaded weights (default: {CACHE}, if there is one)")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ...; auto takes a GPU where there is one")
    parser.add_argument("--batch", type=parse_batch, default=None, help="photographs per forward pass; default: auto")
    parser.add_argument("--workers", type=int, default=2, help="threads that decode and resize")
    # One core decodes: where numeric threads have all of them, every decoded photograph makes the others wait.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    help_ = "numeric threads (default: all cores but one)"
    parser.add_argument("--threads", type=int, default=max(1, cores - 1), help=help_)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    run_stage("classify", classify, build_parser(), argv, imports=("torch", "open_clip"), resumes=False)


if __name__ == "__main__":
    main()
