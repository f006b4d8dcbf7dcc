"""The ledger that ships with the aviary: what its generator writes, in the live format, and marked synthetic."""

from __future__ import annotations

from pathlib import Path

import pytest

from fieldguide.aviary.traits import draw_aviary
from fieldguide.aviary.write_ledger import MODEL, main, write_records
from fieldguide.aviary.writer import FIELDS
from fieldguide.texts.ledger import read_ledger, replies_by_key
from fieldguide.texts.replies import reply_texts

RESOURCES = Path(__file__).parents[3] / "workflow" / "resources"
SHIPPED = RESOURCES / "aviary-llm.jsonl"
PROMPT = RESOURCES / "prompts" / "field_guide.txt"


def test_shipped_ledger_is_what_the_generator_writes(tmp_path: Path) -> None:
    out = tmp_path / "ledger.jsonl"
    main(["--seed", "0", "--species", "56", "--replies", "6", "--prompt", str(PROMPT), "--out", str(out)])
    assert out.read_bytes() == SHIPPED.read_bytes()


def test_shipped_ledger_covers_every_species_in_every_field() -> None:
    records = read_ledger(SHIPPED)
    assert {record.class_name for record in records} == {species.name for species in draw_aviary(0, 56)}
    replies = replies_by_key(records)
    assert [len(found) for found in replies.values()] == [6] * 56
    for found in replies.values():
        for reply in found:
            assert len(reply_texts(reply, FIELDS, "shipped")) == len(FIELDS)


def test_shipped_ledger_passes_for_no_live_one() -> None:
    for record in read_ledger(SHIPPED):
        assert record.synthetic and record.request.model == MODEL
        assert (record.usage, record.price_usd, record.created, record.response_id) == (None, None, None, None)


def test_prompt_asks_about_the_class_and_its_fields() -> None:
    prompt = PROMPT.read_text(encoding="utf-8")
    assert "{class_name}" in prompt and "{fields}" in prompt


def test_smaller_aviary_gives_a_subset_of_the_records() -> None:
    prompt = PROMPT.read_text(encoding="utf-8")
    large = list(write_records(0, draw_aviary(0, 6), 3, prompt))
    small = list(write_records(0, draw_aviary(0, 4), 2, prompt))
    assert small == [record for record in large if record.reply_index < 2][: len(small)]


def test_too_many_species_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="fewer species"):
        main(["--species", "57", "--prompt", str(PROMPT), "--out", str(tmp_path / "l.jsonl")])
    assert not any(tmp_path.iterdir())
