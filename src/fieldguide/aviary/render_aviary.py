"""Render the aviary: a small data set of birds and scenes, written in exactly the layouts of CUB, Reed et al. and COCO.

Equal options give equal archives to the byte, whatever the number of workers; a smaller aviary is a prefix of a larger.
`truth.json` beside the archives says what was drawn; no stage reads it.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from random import Random
from typing import Any, TypeVar

from PIL import Image
from tqdm import tqdm

from fieldguide.aviary.annotators import caption_bird, caption_scene
from fieldguide.aviary.render import render_bird, render_scene
from fieldguide.aviary.settings import Aviary
from fieldguide.aviary.traits import MORPH_SHARES, MORPHS, Species, View, draw_aviary, draw_scene, draw_view
from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import atomic_path, write_json
from fieldguide.core.settings import parse_settings
from fieldguide.core.stage import add_settings, log, new_parser, run_stage

CAPTIONS_PER_BIRD = 10  # as Reed et al.
TAR_TIME = 1_483_228_800  # 2017-01-01, in every archive: the clock must not show in the bytes
ZIP_TIME = (2017, 1, 1, 0, 0, 0)

Job = TypeVar("Job")
Result = TypeVar("Result")
Mapper = Callable[[Callable[[Any], Any], Sequence[Any], str], list[Any]]


# ---------------------------------------------------------------- one image


@dataclass(frozen=True)
class BirdJob:
    """One photograph of a class, still to be taken; `number` counts within the class from 1."""

    seed: int
    class_id: int
    number: int
    species: Species
    size: int


@dataclass(frozen=True)
class Bird:
    """One photograph of a class, with its ten captions."""

    stem: str
    jpeg: bytes
    captions: tuple[str, ...]
    morph: str
    view: View


@dataclass(frozen=True)
class SceneJob:
    """One image of the pairs, still to be taken."""

    seed: int
    number: int
    bird_share: float
    n_captions: int
    size: int


@dataclass(frozen=True)
class Scene:
    """One image of the pairs, with its captions; `bird` is the family of the bird in it, if there is one."""

    jpeg: bytes
    captions: tuple[str, ...]
    bird: str | None


def jpeg_bytes(image: Image.Image) -> bytes:
    """The image as JPEG, colours at full resolution: a 64-pixel bird's bill is two pixels wide."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=92, subsampling=0)
    return stream.getvalue()


def take_bird(job: BirdJob) -> Bird:
    """Render one bird and have it captioned."""
    rng = Random(f"bird-{job.seed}-{job.class_id}-{job.number}")
    stem = f"{job.species.name.replace(' ', '_')}_{job.number:04d}_{rng.randrange(100_000, 1_000_000)}"
    morph = rng.choices(MORPHS, MORPH_SHARES)[0]
    family, plumage, view = job.species.family, job.species.plumage(morph), draw_view(rng)
    captions = tuple(caption_bird(family, plumage, view, rng) for _ in range(CAPTIONS_PER_BIRD))
    return Bird(stem, jpeg_bytes(render_bird(family, plumage, view, job.size)), captions, morph, view)


def take_scene(job: SceneJob) -> Scene:
    """Render one scene and have it captioned."""
    rng = Random(f"world-{job.seed}-{job.number}")
    scene = draw_scene(rng, job.bird_share)
    captions = tuple(caption_scene(scene, rng) for _ in range(job.n_captions))
    return Scene(jpeg_bytes(render_scene(scene, job.size)), captions, scene.bird[0].name if scene.bird else None)


@contextmanager
def mapper(workers: int) -> Iterator[Mapper]:
    """Yield an ordered map over `workers` processes, with a progress bar when someone is looking."""

    def show(results: Iterator[Result], total: int, what: str) -> list[Result]:
        return list(tqdm(results, what, total, unit="image", disable=None))

    if workers == 1:
        yield lambda work, jobs, what: show(map(work, jobs), len(jobs), what)
    else:
        # Not multiprocessing.Pool, which waits for ever for a worker that the system killed.
        pool = ProcessPoolExecutor(workers)
        try:
            yield lambda work, jobs, what: show(pool.map(work, jobs, chunksize=16), len(jobs), what)
        finally:
            pool.shutdown(cancel_futures=True)


# ---------------------------------------------------------------- the classes: CUB and Reed


@dataclass(frozen=True)
class Slot:
    """Where a photograph stands in CUB's tables."""

    image_id: int
    class_id: int
    number: int
    is_train: bool


def train_count(class_id: int, train_per_class: int) -> int:
    """Training images of a class: one fewer in every fifth, because CUB's classes are not equal either."""
    return max(1, train_per_class - 1) if class_id % 5 == 2 else train_per_class


def assign_slots(seed: int, n_classes: int, train_per_class: int, test_per_class: int) -> list[Slot]:
    """Image ids class after class; within a class neither id nor file name tells training from test, as in CUB."""
    slots: list[Slot] = []
    for class_id in range(1, n_classes + 1):
        rng = Random(f"split-{seed}-{class_id}")
        n_train = train_count(class_id, train_per_class)
        split = [True] * n_train + [False] * test_per_class
        numbers = list(range(1, len(split) + 1))
        rng.shuffle(split)
        rng.shuffle(numbers)
        for number, is_train in zip(numbers, split, strict=True):
            slots.append(Slot(len(slots) + 1, class_id, number, is_train))
    return slots


def folder_name(class_id: int, name: str) -> str:
    """CUB's name of a class: `001.Calder_Mirefinch`."""
    return f"{class_id:03d}.{name.replace(' ', '_')}"


def table(rows: Sequence[tuple[object, ...]]) -> bytes:
    """A table as CUB writes it: fields separated by a space, no header."""
    return "".join(" ".join(map(str, row)) + "\n" for row in rows).encode()


def cub_files(species: Sequence[Species], slots: Sequence[Slot], birds: Sequence[Bird], size: int) -> dict[str, bytes]:
    """The files of `CUB_200_2011.tgz`; the boxes are the full frame, since no stage crops."""
    root = "CUB_200_2011"
    folders = [folder_name(i, one.name) for i, one in enumerate(species, 1)]
    paths = [f"{folders[slot.class_id - 1]}/{bird.stem}.jpg" for slot, bird in zip(slots, birds, strict=True)]
    box = (0.0, 0.0, float(size), float(size))
    return {
        f"{root}/classes.txt": table(list(enumerate(folders, 1))),
        f"{root}/images.txt": table([(slot.image_id, path) for slot, path in zip(slots, paths, strict=True)]),
        f"{root}/image_class_labels.txt": table([(slot.image_id, slot.class_id) for slot in slots]),
        f"{root}/train_test_split.txt": table([(slot.image_id, int(slot.is_train)) for slot in slots]),
        f"{root}/bounding_boxes.txt": table([(slot.image_id, *box) for slot in slots]),
        **{f"{root}/images/{path}": bird.jpeg for path, bird in zip(paths, birds, strict=True)},
    }


def reed_files(species: Sequence[Species], slots: Sequence[Slot], birds: Sequence[Bird]) -> dict[str, bytes]:
    """The files of `reed_text_c10.tgz`: captions of test images too, as the real one has them."""
    return {
        f"text_c10/{folder_name(slot.class_id, species[slot.class_id - 1].name)}/{bird.stem}.txt": "".join(
            caption + "\n" for caption in bird.captions
        ).encode()
        for slot, bird in zip(slots, birds, strict=True)
    }


# ---------------------------------------------------------------- scenes, in the layout of COCO


def spaced_ids(rng: Random, count: int, mean_gap: int) -> list[int]:
    """Ascending ids with gaps, as COCO's: nothing may take an id for a position."""
    ids, last = [], 0
    for _ in range(count):
        last += rng.randrange(1, 2 * mean_gap)
        ids.append(last)
    return ids


def coco_files(seed: int, scenes: Sequence[Scene], size: int) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The files of `train2017.zip` and of `annotations_trainval2017.zip`."""
    image_ids = spaced_ids(Random(f"world-ids-{seed}"), len(scenes), 5)
    captions = [(i, c) for i, scene in zip(image_ids, scenes, strict=True) for c in scene.captions]
    caption_ids = spaced_ids(Random(f"caption-ids-{seed}"), len(captions), 2)
    annotations = {
        "info": {
            "description": "The aviary's world, rendered by fieldguide in the layout of COCO 2017",
            "url": "",
            "version": "1.0",
            "year": 2017,
            "contributor": "fieldguide",
            "date_created": "2017/01/01",
        },
        "licenses": [{"url": "", "id": 1, "name": "The licence of fieldguide, which rendered these images"}],
        "images": [
            {
                "license": 1,
                "file_name": f"{image_id:012d}.jpg",
                "coco_url": "",
                "height": size,
                "width": size,
                "date_captured": "2017-01-01 00:00:00",
                "flickr_url": "",
                "id": image_id,
            }
            for image_id in image_ids
        ],
        "annotations": [
            {"image_id": image_id, "id": caption_id, "caption": caption}
            for caption_id, (image_id, caption) in zip(caption_ids, captions, strict=True)
        ],
    }
    images = {f"train2017/{i:012d}.jpg": scene.jpeg for i, scene in zip(image_ids, scenes, strict=True)}
    return images, {"annotations/captions_train2017.json": json.dumps(annotations).encode()}


# ---------------------------------------------------------------- archives


def write_tgz(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a gzipped tar, folders included, whose bytes depend on `files` alone."""
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents} - {"."}
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as stream,
        # Level 1: JPEG does not shrink, and the captions are small.
        gzip.GzipFile("", "wb", 1, stream, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name in sorted(folders | files.keys()):
            entry = tarfile.TarInfo(name)
            entry.mtime, entry.uname, entry.gname = TAR_TIME, "root", "root"
            if name in folders:
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
            else:
                entry.size, entry.mode = len(files[name]), 0o644
                archive.addfile(entry, io.BytesIO(files[name]))


def write_zip(path: Path, files: Mapping[str, bytes], method: int) -> None:
    """Write a zip whose bytes depend on `files` alone."""
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, ZIP_TIME)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            archive.writestr(entry, files[name], method)


# ---------------------------------------------------------------- the stage


def truth_of(
    seed: int, species: Sequence[Species], slots: Sequence[Slot], birds: Sequence[Bird], scenes: Sequence[Scene]
) -> dict[str, Any]:
    """What was drawn: a test's answer book, which no stage reads."""
    return {
        "seed": seed,
        "species": [
            {
                "class_id": class_id,
                "class_name": one.name,
                "family": one.family.name,
                "changed": list(one.changed),
                "plumages": {morph: asdict(one.plumage(morph)) for morph in MORPHS},
            }
            for class_id, one in enumerate(species, 1)
        ],
        "images": [
            {"id": slot.image_id, "file": f"{bird.stem}.jpg", "morph": bird.morph, "view": asdict(bird.view)}
            for slot, bird in zip(slots, birds, strict=True)
        ],
        "world_birds": [scene.bird for scene in scenes],
    }


def render_aviary(args: argparse.Namespace) -> None:
    """Draw, render and caption everything, then write the four archives and `truth.json`."""
    aviary = parse_settings(Aviary, args.settings)
    if args.image_size < 16:
        raise FieldguideError(f"--image-size is {args.image_size}; give at least 16, or there is no bird to see")
    species = draw_aviary(aviary.seed, aviary.species)
    slots = assign_slots(aviary.seed, len(species), aviary.train_per_class, aviary.test_per_class)
    bird_jobs = [BirdJob(aviary.seed, s.class_id, s.number, species[s.class_id - 1], args.image_size) for s in slots]
    scene_jobs = [
        SceneJob(aviary.seed, number, aviary.bird_share, aviary.captions_per_pair_image, args.image_size)
        for number in range(1, aviary.pair_images + 1)
    ]
    with mapper(args.workers) as run:
        birds: list[Bird] = run(take_bird, bird_jobs, "birds")
        scenes: list[Scene] = run(take_scene, scene_jobs, "scenes")

    out = Path(args.out)
    images, annotations = coco_files(aviary.seed, scenes, args.image_size)
    write_tgz(out / "CUB_200_2011.tgz", cub_files(species, slots, birds, args.image_size))
    write_tgz(out / "reed_text_c10.tgz", reed_files(species, slots, birds))
    write_zip(out / "train2017.zip", images, zipfile.ZIP_STORED)
    write_zip(out / "annotations_trainval2017.zip", annotations, zipfile.ZIP_DEFLATED)
    write_json(out / "truth.json", truth_of(aviary.seed, species, slots, birds, scenes))
    log.info(
        "%d species, %d photographs (%d for training), %d images of pairs, %d of them with a bird",
        len(species),
        len(slots),
        sum(slot.is_train for slot in slots),
        len(scenes),
        sum(scene.bird is not None for scene in scenes),
    )


def main(argv: Sequence[str] | None = None) -> None:
    parser = new_parser("aviary.render_aviary", __doc__)
    add_settings(parser, Aviary)
    parser.add_argument("--image-size", type=int, default=64, help="pixels along each side")
    parser.add_argument("--workers", type=int, default=2, help="processes; the result does not depend on it")
    parser.add_argument("--out", required=True, help="folder for the archives")
    run_stage("render_aviary", render_aviary, parser, argv)


if __name__ == "__main__":
    main()
