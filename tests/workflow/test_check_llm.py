"""An LLM that cannot be asked is known before anything is downloaded, and one that can is asked no more than once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fieldguide.core.files import read_csv
from tests.file_server import FileServer, file_server
from tests.llm_server import FIELDS, PROMPT, Plan, error, running
from tests.tiny_data import pack, write_cub
from tests.workflow_runs import ROOT, Answer, plan, run, snakemake, write_config

pytestmark = pytest.mark.workflow

TEXTS = "results/mini/texts/raw/gpt-6-luna.csv"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def files() -> Iterator[FileServer]:
    with file_server() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path, files: FileServer) -> Path:
    """Where nothing is there yet; the archives are on the file server."""
    (tmp_path / "run").mkdir()
    files.serve("/cub", pack(write_cub(tmp_path), tmp_path / "CUB_200_2011.tgz").read_bytes())
    (tmp_path / "run/prompt.txt").write_text(PROMPT, encoding="utf-8")
    return tmp_path / "run"


def configs(folder: Path, files: FileServer, **source: Any) -> tuple[Path, ...]:
    """config.yaml with its archives on the file server, and its LLM as given."""
    md5 = hashlib.md5(files.files["/cub"]).hexdigest()
    elsewhere = {"urls": [f"{files.url}/none"]}
    data = {"cub": {"urls": [f"{files.url}/cub"], "md5": md5}, "reed": elsewhere}
    data |= {name: elsewhere for name in ("coco_images", "coco_annotations")}
    local = {"model": "local-dir:workflow/resources/aviary-clip", "pretrained": ""}
    llm = {"prompt": "prompt.txt", "fields": [*FIELDS], "replies_per_class": 2, "backoff": 0.1, **source}
    config = {"dataset": {"name": "mini"}, "data": data, "backbone": local, "texts": {"gpt-6-luna": llm}}
    return ROOT / "config.yaml", write_config(folder, config)


def stopped(folder: Path, *words: str, **how: Any) -> Answer:
    """The whole experiment, which has to end before its first job."""
    began = time.monotonic()
    answer = snakemake(folder, "all", *words, checkout=ROOT, **how)
    assert answer.code != 0 and "Traceback" not in answer.text and answer.ran == {}
    assert time.monotonic() - began < 60
    assert not (folder / "data").exists() and not (folder / "ledgers").exists()
    return answer


def test_without_a_key_the_run_ends_before_anything_is_fetched(folder: Path, files: FileServer) -> None:
    answer = stopped(folder, "--keep-going", configs=configs(folder, files))
    for part in ("OPENAI_API_KEY is not set", "400 replies", "texts.gpt-6-luna.ledger", "leave_out: [gpt-6-luna]"):
        assert part in answer.text
    assert files.log == []
    assert "OPENAI_API_KEY" in (folder / "results/mini/logs/check_llm/all.log").read_text(encoding="utf-8")


def test_a_dead_model_ends_it_too_and_a_dry_run_asks_nobody(folder: Path, files: FileServer) -> None:
    with running(Plan(get=lambda path: error(404, "It does not exist.", "model_not_found"))) as server:
        how = {"configs": configs(folder, files, base_url=server.url)}
        assert plan(folder, TEXTS, checkout=ROOT, **how)["generate_texts"] == 1
        assert server.got == []
        answer = stopped(folder, "--keep-going", **how)
        assert server.got == ["/v1/models/gpt-6-luna"] and server.asked == []
    assert "has no model gpt-6-luna (404)" in answer.text and "leave the column out" in answer.text
    assert files.log == []


def test_one_line_leaves_the_column_out(folder: Path, files: FileServer) -> None:
    how = {"configs": configs(folder, files), "checkout": ROOT}
    with_it = plan(folder, "all", **how)
    without = plan(folder, "all", "--config", "sweep={leave_out: [gpt-6-luna]}", **how)
    assert with_it["generate_texts"] == 1 and "generate_texts" not in without
    assert 0 < without["train_adapter"] < with_it["train_adapter"]


def test_a_living_model_is_asked_once_and_a_replayed_ledger_asks_nobody(folder: Path, files: FileServer) -> None:
    last = (datetime.now(UTC).date() + timedelta(days=60)).isoformat()
    with running(Plan(get=lambda path: (200, {"id": "gpt-6-luna", "shutdown_date": last}))) as server:
        how = {"configs": configs(folder, files, base_url=server.url), "checkout": ROOT}
        answer = run(folder, TEXTS, **how)
        assert f"gpt-6-luna will be shut down on {last}, in 60 days" in answer.text
        assert answer.ran == {"download_cub": 1, "unpack_archive": 1, "index_images": 1, "generate_texts": 1}
        assert len(server.got) == 1 and len(server.asked) == 6
        assert run(folder, TEXTS, **how).says_nothing_to_do and len(server.got) == 1
        assert run(folder, "check_llm", **how).ran == {"check_llm": 1}
    assert len(read_csv(folder / TEXTS, ("text",))) == 18
    # The endpoint is gone, and the ledger answers all, also before the classes are known.
    for made in ("records/classes.csv", "texts/raw/gpt-6-luna.csv"):
        (folder / "results/mini" / made).unlink()
    assert run(folder, TEXTS, **how).ran["generate_texts"] == 1
