"""Asking an LLM from the workflow: priced first, asked once, and nothing made anew by a price or a pace."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fieldguide.core.files import read_csv
from fieldguide.texts.ledger import read_ledger
from tests.llm_server import FIELDS, PROMPT, Plan, in_turn, running
from tests.workflow_runs import TINY, plan, run, snakemake, write_config

pytestmark = pytest.mark.workflow

TEXTS = "results/tiny/texts/raw/gpt.csv"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def configs(folder: Path, url: str, **more: Any) -> tuple[str | Path, ...]:
    """The tiny world with one more LLM beside its own."""
    (folder / "prompt.txt").write_text(PROMPT, encoding="utf-8")
    source = {
        "kind": "llm",
        "model": "llama3.1:8b",
        "base_url": url,
        "ledger": "ledgers/gpt.jsonl",
        "prompt": "prompt.txt",
        "fields": [*FIELDS],
        "replies_per_class": 2,
        "seed": 0,
        "max_tokens": 100,
        "prices": {"input": 0.5, "output": 1.5},
        **more,
    }
    variants = [{"sampling": "class-wise", "redraw": "fixed", "sources": ["none", "aviary-llm", "gpt"]}]
    return TINY, write_config(folder, {"texts": {"gpt": source}, "sweep": {"variants": variants}})


def test_what_is_missing_is_asked_for_once_and_then_replayed(tiny: Path) -> None:
    known = (200, {"id": "llama3.1:8b"})
    with running(Plan(fault=in_turn("", "", "field missing"), get=lambda path: known)) as server:
        how = {"configs": configs(tiny, server.url)}
        priced = run(tiny, "price_texts", **how)
        assert (
            "aviary-llm       12         12       0" in priced.text
            and "gpt              12          0      12" in priced.text
        )
        assert server.asked == [] and plan(tiny, TEXTS, **how) == {"generate_texts": 1}

        answer = run(tiny, TEXTS, **how)
        assert answer.ran == {"generate_texts": 1} and len(server.asked) == 13
        # What it cost is told on the terminal too.
        assert "gpt: 13 requests: 12 replies accepted, 1 rejected" in answer.text
        assert "12 replies accepted" in (tiny / "results/tiny/logs/generate_texts/gpt.log").read_text()
        assert len(read_csv(tiny / TEXTS, ("text",))) == 36 and len(read_ledger(tiny / "ledgers/gpt.jsonl")) == 13

        # The ledger that has come into being makes nothing anew, nor does what changes no text.
        assert run(tiny, TEXTS, **how).says_nothing_to_do
        another = {"budget_usd": 1.0, "max_concurrency": 2, "prices": {"input": 9, "output": 9}, "timeout": 9}
        assert plan(tiny, TEXTS, configs=configs(tiny, server.url, **another)) == {}
        assert plan(tiny, TEXTS, configs=configs(tiny, server.url, temperature=0.5)) == {"generate_texts": 1}

        # Texts that are deleted are replayed.
        how = {"configs": configs(tiny, server.url)}
        before = (tiny / TEXTS).read_bytes()
        (tiny / TEXTS).unlink()
        assert run(tiny, TEXTS, **how).ran == {"generate_texts": 1}
        assert (tiny / TEXTS).read_bytes() == before and len(server.asked) == 13
        priced = run(tiny, "price_texts", **how)
        assert (
            "gpt              12         12       0" in priced.text and "mean of the ledger's 13 replies" in priced.text
        )


def test_without_a_key_one_sentence_names_the_ways_out(tiny: Path) -> None:
    answer = snakemake(tiny, TEXTS, configs=configs(tiny, "https://api.openai.com/v1"))
    assert answer.code != 0 and "Traceback" not in answer.text
    (said,) = {line.strip() for line in answer.text.splitlines() if "check_llm: error:" in line}
    for part in ("12 replies", "snakemake price_texts", "OPENAI_API_KEY", "texts.gpt.ledger", "leave_out: [gpt]"):
        assert part in said
    assert not (tiny / "ledgers").exists()


def test_prices_need_no_data(tmp_path: Path) -> None:
    from tests.workflow_runs import ROOT

    answer = run(tmp_path, "price_texts", checkout=ROOT, configs=())
    assert answer.ran == {"price_texts": 1}
    assert (
        "200 classes, from the configuration" in answer.text and "gpt-6-luna    1,200          0   1,200" in answer.text
    )
    assert not (tmp_path / "data").exists() and not (tmp_path / "ledgers").exists()
    # Asked for again, they are told again.
    assert run(tmp_path, "price_texts", checkout=ROOT, configs=()).ran == {"price_texts": 1}
