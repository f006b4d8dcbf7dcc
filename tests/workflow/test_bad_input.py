"""Bad input on the way: the stage's sentence is shown, nothing is lost, and after a repair the same command goes on."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fieldguide.core.files import read_csv
from tests.tiny_data import pack, write_coco, write_cub, write_reed
from tests.workflow_runs import (
    ADAPTERS,
    ROOT,
    TABLES,
    TINY,
    Answer,
    plan,
    results_of,
    run,
    snakemake,
    unfinished_files,
    write_config,
)

pytestmark = pytest.mark.workflow


def only_line_with(answer: Answer, what: str) -> str:
    (line,) = {line.strip() for line in answer.text.splitlines() if what in line}
    return line


def test_a_ledger_that_lacks_a_class(tiny: Path):
    whole = (tiny / "workflow/resources/aviary-llm.jsonl").read_bytes()
    name = read_csv(tiny / "results/tiny/records/classes.csv", ("class_name",))[2]["class_name"]
    lines = whole.splitlines(keepends=True)
    ledger = tiny / "mine.jsonl"
    ledger.write_bytes(b"".join(line for line in lines if json.loads(line)["class_name"] != name))
    configs = (TINY, write_config(tiny, {"texts": {"aviary-llm": {"ledger": "mine.jsonl"}}}))
    kept = ledger.read_bytes()

    answer = snakemake(tiny, configs=configs)
    assert answer.code != 0 and "Traceback" not in answer.text
    said = only_line_with(answer, "generate_texts: error:")
    assert "mine.jsonl" in said and name in said and "2 replies are missing" in said
    assert not unfinished_files(tiny) and ledger.read_bytes() == kept
    assert not (tiny / "results/tiny/texts/raw/aviary-llm.csv").exists()

    ledger.write_bytes(whole)
    again = run(tiny, configs=configs)
    assert again.ran == {
        "generate_texts": 1,
        "check_texts": 1,
        "encode_texts": 1,
        "translate_texts": 1,
        **ADAPTERS,
        **TABLES,
    }
    assert run(tiny, configs=configs).says_nothing_to_do


@pytest.fixture
def archives(tmp_path: Path) -> dict[str, Path]:
    """A data set's four archives as a user has them, older than the code."""
    made = tmp_path / "made"
    images, annotations = write_coco(tmp_path / "data")
    paths = {
        # A class keeps two training images when one of its three is left out.
        "cub": pack(write_cub(made, train=3), tmp_path / "data/CUB_200_2011.tgz"),
        "reed": pack(write_reed(made, images=4), tmp_path / "data/reed_text_c10.tgz"),
        "coco_images": images,
        "coco_annotations": annotations,
    }
    for path in paths.values():
        os.utime(path, (1_500_000_000, 1_500_000_000))
    return paths


def test_archives_that_are_cut_short(archives: dict[str, Path], tmp_path: Path):
    folder = tmp_path / "run"
    folder.mkdir()
    config = {
        "dataset": {"name": "mini", "kind": "cub"},
        "data": {name: {"path": str(path)} for name, path in archives.items()},
        "backbone": {"model": "local-dir:workflow/resources/aviary-clip", "pretrained": ""},
    }
    how = {"checkout": ROOT, "configs": (write_config(folder, config),)}
    targets = ("results/mini/texts/reed.csv", "results/mini/records/pairs.csv")
    whole = {path: path.read_bytes() for path in archives.values()}
    cut = {path: whole[path][: len(whole[path]) * 2 // 3] for path in (archives["reed"], archives["coco_images"])}
    for path, content in cut.items():
        path.write_bytes(content)

    answer = snakemake(folder, *targets, **how)
    assert answer.code != 0 and "Traceback" not in answer.text
    assert f"{archives['reed']}: cut short" in only_line_with(answer, "unpack_archive: error:")
    assert f"{archives['coco_images']}: is damaged" in only_line_with(answer, "index_pairs: error:")
    # What does not hang on them is done, what does is not, and the archives are as they were.
    assert answer.ran == {"unpack_archive": 1, "index_images": 1}
    assert not unfinished_files(folder) and not (folder / "results/mini/unpacked/reed").exists()
    assert {path: path.read_bytes() for path in whole} == whole | cut

    for path in cut:
        path.write_bytes(whole[path])
    assert run(folder, *targets, **how).ran == {
        "unpack_archive": 1,
        "index_captions": 1,
        "check_texts": 1,
        "index_pairs": 1,
    }
    assert plan(folder, *targets, **how) == {}


def test_damaged_images_are_listed_and_left_out_on_request(archives: dict[str, Path], tmp_path: Path):
    folder = tmp_path / "run"
    folder.mkdir()
    cub = tmp_path / "made/CUB_200_2011"
    good = (cub / "images.txt").read_text()
    names = [line.split()[1] for line in good.splitlines()]
    # A name with a space and quotes goes through the shell as it is.
    odd = names[0].replace(".jpg", " \"b'c.jpg")
    (cub / "images" / names[0]).rename(cub / "images" / odd)
    (cub / "images.txt").write_text(good.replace(names[0], odd))
    for name in (odd, names[4]):
        (cub / "images" / name).write_bytes(b"<html>")
    before = {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in (cub, *cub.rglob("*"))}
    config = {
        "dataset": {"name": "mini", "kind": "cub"},
        "data": {name: {"path": str(path)} for name, path in (archives | {"cub": cub}).items()},
        "backbone": {"model": "local-dir:workflow/resources/aviary-clip", "pretrained": ""},
    }
    target, listing = "results/mini/records/images.csv", folder / "results/mini/records/images.damaged.csv"

    def ran(**dataset: object) -> Answer:
        wanted = config | {"dataset": {**config["dataset"], **dataset}}
        return snakemake(folder, target, checkout=ROOT, configs=(write_config(folder, wanted),))

    answer = ran()
    assert answer.code != 0 and "Traceback" not in answer.text
    said = only_line_with(answer, "index_images: error:")
    assert "images that do not open (2)" in said and "records/images.damaged.csv" in said
    # Snakemake deletes what a failed job made; this is not among it.
    assert [row["path"] for row in read_csv(listing, ("path", "reason"))] == [f"images/{odd}", f"images/{names[4]}"]
    assert not (folder / target).exists()

    assert "do not open (1)" in only_line_with(ran(leave_out=[odd]), "index_images: error:")
    assert ran(leave_out=[odd], skip_damaged=True).ran == {"index_images": 1}
    kept = {row["path"] for row in read_csv(folder / target, ("path",))}
    assert kept == {f"images/{name}" for name in names[1:] if name != names[4]}
    assert {path: (path.stat().st_mtime_ns, path.stat().st_mode) for path in (cub, *cub.rglob("*"))} == before


def test_a_damaged_result_is_named_and_can_be_made_again(tiny: Path):
    before = results_of(tiny)
    (features,) = (tiny / "results/tiny/features").rglob("images/dataset/*.safetensors")
    features.write_bytes(features.read_bytes()[:1000])
    next((tiny / "results/tiny/adapters").rglob("ratio-50.json")).unlink()
    answer = snakemake(tiny)
    assert answer.code != 0 and "Traceback" not in answer.text
    assert features.relative_to(tiny).as_posix() in only_line_with(answer, "tune_adapter: error:")
    assert "delete it" in answer.text

    features.unlink()
    assert run(tiny).ran == {"encode_images": 1, **ADAPTERS, **TABLES}
    assert results_of(tiny) == before
