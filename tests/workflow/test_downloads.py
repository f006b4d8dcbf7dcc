"""Archives brought by Snakemake for real, from a server on this machine that breaks connections."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fieldguide.data.transfer import HEAD
from tests.file_server import FileServer, Turn, file_server
from tests.processes import start_group
from tests.tiny_data import pack, write_coco, write_cub, write_reed
from tests.unit.tiny_backbone import write_backbone
from tests.workflow_runs import ROOT, command, environment, run, snakemake, unfinished_files, write_config

pytestmark = pytest.mark.workflow

RULES = {
    "cub": "download_cub",
    "reed": "download_reed_captions",
    "coco_images": "download_coco_images",
    "coco_annotations": "download_coco_annotations",
}


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as running:
        yield running


@pytest.fixture
def archives(tmp_path: Path) -> dict[str, bytes]:
    """The four archives, in the layouts of the real ones."""
    made = tmp_path / "made"
    images, annotations = write_coco(made)
    paths = {
        "cub": pack(write_cub(made), made / "CUB_200_2011.tgz"),
        "reed": pack(write_reed(made), made / "reed_text_c10.tgz"),
        "coco_images": images,
        "coco_annotations": annotations,
    }
    return {name: path.read_bytes() for name, path in paths.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def configure(folder: Path, data: dict[str, dict[str, Any]]) -> Path:
    config = {
        "dataset": {"name": "mini"},
        "data": data,
        "backbone": {"model": "local-dir:workflow/resources/aviary-clip", "pretrained": ""},
    }
    return write_config(folder, config)


def test_each_archive_is_a_target_and_a_broken_connection_is_gone_on_with(
    server: FileServer, archives: dict[str, bytes], folder: Path
):
    halves = {name: max(HEAD, len(content) // 2) for name, content in archives.items()}
    data = {
        name: {
            # A shell would break this address in two.
            "urls": [server.serve(f"/{name}", content, Turn(cut=halves[name])) + "?download=1&part=all"],
            "md5": hashlib.md5(content).hexdigest(),
        }
        for name, content in archives.items()
    }
    configs = (ROOT / "config.yaml", configure(folder, data))
    for name, rule in RULES.items():
        answer = run(folder, rule, checkout=ROOT, configs=configs, cores=1)
        assert answer.ran == {rule: 1}
        assert [request.range for request in server.asked(f"/{name}")] == ["", f"bytes={halves[name]}-"]
        assert "after 0.0 MB" in (folder / f"results/mini/logs/{rule}/all.log").read_text()
        assert (folder / f"results/mini/benchmarks/{rule}/all.tsv").exists()
    made = {path.name: path.read_bytes() for path in (folder / "data").iterdir()}
    assert sorted(made.values()) == sorted(archives.values())

    records = ("results/mini/records/images.csv", "results/mini/records/pairs.csv", "results/mini/texts/reed.csv")
    answer = run(folder, *records, checkout=ROOT, configs=configs)
    assert answer.ran == {
        "unpack_archive": 2,
        "index_images": 1,
        "index_pairs": 1,
        "index_captions": 1,
        "check_texts": 1,
    }
    assert sum(1 for request in server.log) == 8, "what is there is not fetched again"


def test_a_failed_download_says_what_to_do_and_keeps_what_came(
    server: FileServer, archives: dict[str, bytes], folder: Path
):
    page = server.serve("/consent", b"<html>Do you consent?</html>", always=Turn(headers={"Content-Type": "text/html"}))
    busy = server.serve("/busy", archives["cub"], Turn(cut=1000), always=Turn(410))
    data = {
        "cub": {"urls": [busy], "md5": "", "by_hand": "take it from the authors' page"},
        "reed": {"urls": [page], "by_hand": "ask the authors"},
    }
    configs = (ROOT / "config.yaml", configure(folder, data))
    answer = snakemake(folder, "download_cub", "download_reed_captions", "--keep-going", checkout=ROOT, configs=configs)
    assert answer.code != 0 and "Traceback" not in answer.text
    for said in (
        f"data/reed_text_c10.tgz could not be fetched ({page}: serves a web page in place of the file",
        "get it by hand: ask the authors; then put it at data/reed_text_c10.tgz",
        f"data/CUB_200_2011.tgz could not be fetched ({busy}: 410 Gone); 0.0 MB are kept in data/CUB_200_2011.tgz.part",
        "take it from the authors' page; then put it at data/CUB_200_2011.tgz",
    ):
        assert said in answer.text
    assert unfinished_files(folder) == [folder / "data/CUB_200_2011.tgz.part"]
    server.always["/busy"] = Turn()
    run(folder, "download_cub", checkout=ROOT, configs=configs)
    assert server.asked("/busy")[-1].range == "bytes=1000-"
    assert (folder / "data/CUB_200_2011.tgz").read_bytes() == archives["cub"]


def test_a_killed_run_is_gone_on_with(server: FileServer, archives: dict[str, bytes], folder: Path):
    content = archives["coco_images"]
    url = server.serve("/images", content, Turn(stall=2000))
    md5 = hashlib.md5(content).hexdigest()
    configs = (ROOT / "config.yaml", configure(folder, {"coco_images": {"urls": [url], "md5": md5}}))
    argv = command("download_coco_images", "--snakefile", ROOT / "Snakefile", configs=configs, cores=1)
    process = start_group(argv, cwd=folder, env=environment(ROOT), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    part, until = folder / "data/train2017.zip.part", time.monotonic() + 60
    while not (part.exists() and part.stat().st_size == 2000):
        assert time.monotonic() < until
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)
    assert process.returncode == -signal.SIGKILL and part.stat().st_size == 2000
    run(folder, "--unlock", checkout=ROOT, configs=configs)
    answer = run(folder, "download_coco_images", "--rerun-incomplete", checkout=ROOT, configs=configs)
    assert answer.ran == {"download_coco_images": 1}
    assert [request.range for request in server.log] == ["", "bytes=2000-"]
    assert (folder / "data/train2017.zip").read_bytes() == content and not unfinished_files(folder)


@pytest.mark.slow
def test_weights_are_fetched_once_and_encoders_ask_no_hub(
    server: FileServer, archives: dict[str, bytes], folder: Path, monkeypatch: pytest.MonkeyPatch
):
    repository = "tests/tiny-clip"
    made = write_backbone(folder.parent / "made" / "tiny-clip")
    files = {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()}
    settings = json.loads(files["open_clip_config.json"])
    settings["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = repository
    server.serve_repository(repository, files | {"open_clip_config.json": json.dumps(settings).encode()})
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_HOME", str(folder / "home"))
    (folder / "data").mkdir()
    (folder / "data/CUB_200_2011.tgz").write_bytes(archives["cub"])
    (folder / "data/reed_text_c10.tgz").write_bytes(archives["reed"])
    config = {"dataset": {"name": "mini"}, "backbone": {"model": f"hf-hub:{repository}", "pretrained": ""}}
    configs = (ROOT / "config.yaml", write_config(folder, config))

    answer = run(folder, "download_backbone", checkout=ROOT, configs=configs, cores=1)
    assert answer.ran == {"download_backbone": 1}
    (manifest,) = (folder / "data/backbones").glob("*.json")
    listed = {Path(file["path"]).name: file["sha256"] for file in json.loads(manifest.read_text())["files"]}
    weights = "open_clip_model.safetensors"
    assert listed[weights] == hashlib.sha256(files[weights]).hexdigest() and "tokenizer.json" in listed
    assert server.log and not (folder / "home/hub").exists()

    server.log.clear()
    features = f"results/mini/features/{manifest.stem}"
    targets = [f"{features}/{name}/shard-1-of-1.safetensors" for name in ("images/dataset", "texts/reed")]
    answer = run(folder, *targets, checkout=ROOT, configs=configs)
    assert answer.ran["encode_images"] == answer.ran["encode_texts"] == 1 and "download_backbone" not in answer.ran
    assert server.log == []
    os.utime(manifest, (1, 1))  # older than the code, as one that was copied here
    assert run(folder, *targets, checkout=ROOT, configs=configs).says_nothing_to_do
