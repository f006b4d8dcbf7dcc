"""What missing replies will cost, told before anything is sent."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from fieldguide.texts.ledger import LedgerRecord, Usage, append_record
from fieldguide.texts.price_texts import main
from fieldguide.texts.prices import TOKENS_PER_FIELD, price_source, token_counter
from fieldguide.texts.questions import Question
from fieldguide.texts.settings import LLMSource
from tests.tiny_data import refusal

PROMPT = "Describe {class_name} by {fields}. {format}"
SETTINGS: dict[str, Any] = {
    "kind": "llm",
    "model": "gpt-3.5-turbo",
    "ledger": "l.jsonl",
    "prompt": "p.txt",
    "fields": ["Size", "Eyes"],
    "replies_per_class": 3,
    "base_url": "http://127.0.0.1:1/v1",
    "max_tokens": 100,
    "prices": {"input": 2, "output": 10},
}


@pytest.fixture(autouse=True)
def no_encodings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path / "encodings"))
    return tmp_path / "encodings"


def source(**more: Any) -> LLMSource:
    return LLMSource.model_validate({**SETTINGS, **more})


def paid(
    name: str, index: int, settings: LLMSource, tokens: tuple[int, int], rejected: str | None = None
) -> LedgerRecord:
    """A reply in the ledger."""
    request = Question(PROMPT, settings.model, settings.fields, settings.request_parameters()).request(name, False)
    from fieldguide.texts.ledger import request_key

    return LedgerRecord(
        key=request_key(request),
        request=request,
        reply_index=index,
        class_name=name,
        reply="**Size**: a\n**Eyes**: b",
        synthetic=False,
        usage=Usage(prompt_tokens=tokens[0], completion_tokens=tokens[1]),
        price_usd=0.01,
        rejected=rejected,
    )


def test_an_empty_ledger_is_priced_by_characters_and_fields() -> None:
    price = price_source("gpt", source(), PROMPT, ["Ani"], 1, [])
    prompt = Question(PROMPT, "m", ("Size", "Eyes"), {}).request("Ani", False).messages[0].content
    assert (price.replies, price.held, price.missing) == (3, 0, 3)
    assert price.tokens_in == round(len(prompt) / 4) + 8 and price.tokens_out == 2 * TOKENS_PER_FIELD
    assert price.dollars == pytest.approx(3 * (price.tokens_in * 2 + price.tokens_out * 10) / 1e6)
    assert any("4 characters a token: tiktoken's cl100k_base is not on this machine" in note for note in price.notes)


def test_what_the_ledger_has_is_taken_off_and_its_means_are_used() -> None:
    settings = source()
    records = [
        paid("Ani", 0, settings, (100, 30)),
        paid("Ani", 1, settings, (200, 50)),
        paid("Ani", 1, settings, (300, 70), "is empty"),
        paid("Dodo", 0, settings, (9000, 9000)),
    ]
    price = price_source("gpt", settings, PROMPT, ["Ani", "Emu"], 2, records)
    assert (price.replies, price.held) == (6, 2)
    assert (price.tokens_in, price.tokens_out) == (200, 50)
    assert price.dollars == pytest.approx(4 * (200 * 2 + 50 * 10) / 1e6) and price.spent == pytest.approx(0.04)


def test_without_names_the_ledgers_classes_count() -> None:
    settings = source()
    records = [paid(name, index, settings, (100, 30)) for name in ("Ani", "Emu") for index in range(5)]
    assert price_source("gpt", settings, PROMPT, [], 200, records).held == 6
    # Replies to another question do not.
    assert price_source("gpt", source(temperature=0.5), PROMPT, [], 200, records).held == 0


def test_a_budget_that_will_not_do_is_told() -> None:
    (note,) = (n for n in price_source("gpt", source(budget_usd=0.0001), PROMPT, [], 200, []).notes if "budget" in n)
    assert "NOT ENOUGH" in note
    (note,) = (n for n in price_source("gpt", source(budget_usd=9), PROMPT, [], 200, []).notes if "budget" in n)
    assert "enough" in note and "$9" in note


def test_a_local_model_costs_nothing_and_is_told_to() -> None:
    price = price_source("llama", source(model="llama3.1:8b", prices={}), PROMPT, [], 200, [])
    assert price.dollars == 0 and any("its prices are 0" in note for note in price.notes)
    assert any("tiktoken does not know llama3.1:8b" in note for note in price.notes)


def test_tiktoken_is_used_where_its_file_is(no_encodings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is named by the hash of its address; its content is tiktoken's business."""
    import tiktoken

    address = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"
    no_encodings.mkdir()
    (no_encodings / hashlib.sha1(address.encode()).hexdigest()).write_bytes(b"")
    bytes_alone = tiktoken.Encoding(
        "bytes", pat_str=".", mergeable_ranks={bytes([b]): b for b in range(256)}, special_tokens={}
    )
    monkeypatch.setattr(tiktoken, "get_encoding", lambda name: bytes_alone)
    count, how = token_counter("gpt-3.5-turbo")
    assert count("abc <|endoftext|>") == 17 and how == "counted with tiktoken's cl100k_base"


def test_the_table_has_each_source_and_their_sum(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.txt").write_text(PROMPT)
    (tmp_path / "classes.csv").write_text("class_id,class_name\n1,Ani\n2,Emu\n")
    settings = {**SETTINGS, "prompt": str(tmp_path / "p.txt"), "ledger": str(tmp_path / "l.jsonl")}
    for index in range(3):
        append_record(tmp_path / "l.jsonl", paid("Ani", index, source(), (100, 30)))
    sources = {"one": settings, "two": {**settings, "replies_per_class": 5}}
    given = json.dumps({"sources": sources, "class_count": 200})
    main(["--settings", given, "--classes", str(tmp_path / "classes.csv")])
    said = capsys.readouterr().out
    assert "2 classes, from" in said and "Nothing was asked" in said
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if re.match(r"(one|two|total) ", line)}
    # At most every reply has the 100 tokens that it may have.
    assert rows["one"] == ["6", "3", "3", "300", "90", "0.0015", "0.0036"]
    assert rows["two"] == ["10", "3", "7", "700", "210", "0.0035", "0.0084"]
    assert rows["total"] == ["16", "6", "10", "1,000", "300", "0.0050", "0.0120"]


def test_what_nothing_bounds_has_no_most(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.txt").write_text(PROMPT)
    settings = {**SETTINGS, "prompt": str(tmp_path / "p.txt"), "max_tokens": None, "reasoning_effort": "low"}
    main(["--settings", json.dumps({"sources": {"gpt": settings}, "class_count": 2})])
    said = capsys.readouterr().out
    assert [line.split()[-1] for line in said.splitlines() if re.match(r"(gpt|total) ", line)] == ["–", "–"]
    assert "nothing bounds a reply" in said and "its reasoning, billed as output, comes on top" in said


def test_without_a_number_of_classes_one_is_priced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.txt").write_text(PROMPT)
    main(["--settings", json.dumps({"sources": {"gpt": {**SETTINGS, "prompt": str(tmp_path / "p.txt")}}})])
    said = capsys.readouterr().out
    assert "One class: how many there are is not known" in said
    assert next(line for line in said.splitlines() if line.startswith("gpt ")).split()[1:4] == ["3", "0", "3"]


def test_no_llm_no_price(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--settings", '{"sources": {}}'])
    assert "nothing will be asked" in capsys.readouterr().out


def test_what_cannot_be_priced_is_told(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text(PROMPT)
    sources = {"gpt": {**SETTINGS, "prompt": str(tmp_path / "p.txt")}}
    assert "--settings: Invalid JSON" in refusal(main, "--settings", "{")
    assert "--settings: should be a section of keys" in refusal(main, "--settings", "[]")
    counted = json.dumps({"sources": sources, "class_count": 3})
    assert "p2.txt" in refusal(main, "--settings", counted.replace("p.txt", "p2.txt"))
