"""The real archives, cut down to ten classes, through the whole workflow: from archive to table."""

from __future__ import annotations

import csv
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from fieldguide.core.files import read_csv
from fieldguide.data.records import IMAGE_COLUMNS
from fieldguide.texts.ledger import append_record, request_for, synthetic_record
from tests.workflow_runs import (
    ADAPTERS,
    ROOT,
    TABLES,
    TINY,
    TRANSLATOR,
    copy_run,
    run,
    snakemake,
    unfinished_files,
    write_config,
)

REAL = Path(os.environ.get("FIELDGUIDE_REAL_DATA") or ROOT.parent / "shared" / "real")
ARCHIVES = {
    "cub": REAL / "CUB_200_2011.tgz",
    "reed": REAL / "reed_text_c10.tgz",
    "coco_images": REAL / "train2017.zip",
    "coco_annotations": REAL / "annotations_trainval2017.zip",
}

pytestmark = [
    pytest.mark.real,
    pytest.mark.workflow,
    pytest.mark.skipif(
        not all(path.exists() for path in ARCHIVES.values()),
        reason=f"no real archives in {REAL}; name their folder in FIELDGUIDE_REAL_DATA",
    ),
]

# The published figures are said to be of these ten classes, so that they stand beside a run of them.
CLASSES = "published-classes.txt"
NAME = "cub-ten"
RESULTS = f"results/{NAME}"
RATIOS = (100, 50, 10, 0)
FIELDS = ("Size", "Coloration")
WRITER = "test-writer"
SOURCES = ("none", "reed", WRITER)
PROMPT = "workflow/resources/prompts/field_guide.txt"
JOBS = {
    "unpack_archive": 2,
    "index_images": 1,
    "select_published": 1,
    "index_captions": 1,
    "index_pairs": 1,
    "generate_texts": 1,
    "check_texts": 2,
    "plan_images": 1,
    "encode_images": 2,
    "encode_texts": 3,
    **TRANSLATOR,
    **ADAPTERS,
    "train_adapter": 9,
    **TABLES,
}


def config(**data: Path) -> dict[str, Any]:
    writer = {
        "kind": "llm",
        "model": WRITER,
        "ledger": "ledger.jsonl",
        "prompt": PROMPT,
        "fields": list(FIELDS),
        "replies_per_class": 2,
    }
    return {
        "dataset": {"name": NAME, "kind": "cub", "note": "Ten classes and an untrained little CLIP, for a test."},
        "data": {name: {"path": str(path)} for name, path in (ARCHIVES | data).items()},
        "published": {"classes": CLASSES},
        "texts": {WRITER: writer},
        "sweep": {
            "ratios": list(RATIOS),
            "variants": [{"sampling": "class-wise", "redraw": "fixed", "sources": list(SOURCES)}],
        },
    }


def how(folder: Path, **data: Path) -> dict[str, Any]:
    """How Snakemake is to run there."""
    return {"checkout": ROOT, "configs": (ROOT / TINY, write_config(folder, config(**data)))}


def write_ledger(path: Path, class_names: list[str]) -> None:
    """Two replies about every class, as a live client would keep them."""
    prompt = (ROOT / PROMPT).read_text(encoding="utf-8")
    for name in class_names:
        request = request_for(name, prompt, WRITER, FIELDS, {})
        for index in range(2):
            reply = f"**Size**: {name} is {20 + index} cm long.\n**Coloration**: As the name of {name} says."
            append_record(path, synthetic_record(request, index, name, reply))


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the run is finished; tests read it only."""
    folder = tmp_path_factory.mktemp("ten")
    with tarfile.open(ARCHIVES["cub"]) as archive:
        lines = archive.extractfile("CUB_200_2011/classes.txt").read().decode().splitlines()  # type: ignore[union-attr]
    (folder / CLASSES).write_text("".join(line.partition(" ")[2] + "\n" for line in lines), encoding="utf-8")
    first = run(folder, f"{RESULTS}/records/classes.csv", **how(folder)).ran
    assert first == {"unpack_archive": 1, "index_images": 1}
    classes = read_csv(folder / RESULTS / "records/classes.csv", ("class_id", "class_name"))
    assert len(classes) == 10
    write_ledger(folder / "ledger.jsonl", [row["class_name"] for row in classes])
    second = run(folder, **how(folder)).ran
    assert {rule: first.get(rule, 0) + second.get(rule, 0) for rule in {**first, **second}} == JOBS
    return folder


def test_the_table_has_every_cell(ten: Path):
    images = read_csv(ten / RESULTS / "records/images.csv", IMAGE_COLUMNS)
    training = sum(row["split"] == "train" for row in images)
    with (ten / RESULTS / "tables/accuracy.csv").open(encoding="utf-8", newline="") as stream:
        rows = {(row["text_source"], int(row["image_percent"])): row for row in csv.DictReader(stream)}
    assert set(rows) == {(source, r) for source in SOURCES for r in RATIOS if (r > 0 if source == "none" else r < 100)}
    for (source, ratio), row in rows.items():
        kept = (ratio * training + 50) // 100
        assert float(row["distinct_images"]) == kept
        assert (float(row["distinct_texts"]) > 0) == (source != "none")
        # A class has four of these texts, which go round; of the captions each image has ten of its own.
        most = {"none": 0, "reed": training - kept, WRITER: 40}[source]
        assert float(row["distinct_texts"]) <= most


def test_the_published_figures_stand_beside_ours(ten: Path):
    page = (ten / RESULTS / "tables/accuracy.md").read_text(encoding="utf-8")
    for figure in ("85.07", "81.88", "77.64", "24.12"):
        assert f"[{figure}]" in page or f"({figure})" in page, page


def test_nothing_is_left_to_do_and_the_archives_are_untouched(ten: Path, tmp_path: Path):
    folder = copy_run(ten, tmp_path / "ten")
    assert run(folder, **how(folder)).says_nothing_to_do
    assert not unfinished_files(folder)
    assert sorted(path.name for path in folder.iterdir()) == [
        ".snakemake",
        "extra.yaml",
        "ledger.jsonl",
        CLASSES,
        "results",
    ]


def test_a_missing_caption_file_is_named(ten: Path, tmp_path: Path):
    folder = copy_run(ten, tmp_path / "ten")
    images = read_csv(folder / RESULTS / "records/images.csv", IMAGE_COLUMNS)
    lost = next(row["path"] for row in images if row["split"] == "train")
    damaged = tmp_path / "reed_text_c10.tgz"
    with tarfile.open(ARCHIVES["reed"]) as source, tarfile.open(damaged, "w:gz") as sink:
        for member in source:
            if Path(member.name).stem != Path(lost).stem:
                sink.addfile(member, source.extractfile(member) if member.isfile() else None)

    answer = snakemake(folder, **how(folder, reed=damaged))
    assert answer.code != 0 and "Traceback" not in answer.text
    (said,) = {line for line in answer.text.splitlines() if "index_captions: error:" in line}
    assert lost in said and "without a caption file (1)" in said
    assert answer.ran == {"unpack_archive": 1}

    again = run(folder, f"{RESULTS}/texts/reed.csv", **how(folder)).ran
    assert again == {"unpack_archive": 1, "index_captions": 1, "check_texts": 1}
