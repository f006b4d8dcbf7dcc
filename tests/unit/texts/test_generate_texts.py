"""Replaying a ledger into a table of texts, and every refusal a sentence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from fieldguide.aviary.writer import FIELDS as AVIARY_FIELDS
from fieldguide.texts.generate_texts import main
from fieldguide.texts.ledger import append_record, read_ledger, request_for, synthetic_record
from fieldguide.texts.naming import has_name
from fieldguide.texts.table import read_texts

RESOURCES = Path(__file__).parents[3] / "workflow" / "resources"
FIELDS = ("Size", "Coloration", "Eyes")
PROMPT = "Describe {class_name} by {fields}."

# ---------------------------------------------------------------- the stage


def tell(ledger: Path, name: str, replies: Sequence[str], fields: Sequence[str] = FIELDS) -> None:
    request = request_for(name, PROMPT, "aviary-writer", fields, {})
    for index, reply in enumerate(replies):
        append_record(ledger, synthetic_record(request, index, name, reply))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "prompt.txt").write_text(PROMPT + "\n")
    (tmp_path / "classes.csv").write_text("class_id,class_name\n10,Ten\n2,Two\n")
    return tmp_path


def run(place: Path, **more: object) -> None:
    settings = {
        "kind": "llm",
        "model": "aviary-writer",
        "replies_per_class": 2,
        "fields": FIELDS,
        "ledger": str(place / "l.jsonl"),
        "prompt": str(place / "prompt.txt"),
        **more,
    }
    files = ["--classes", str(place / "classes.csv"), "--out", str(place / "t.csv")]
    main(["--source", "aviary-llm", "--settings", json.dumps(settings), *files])


def reply(size: str, eyes: str = "Dark.") -> str:
    return f"**Size**: {size}\n**Coloration**: Red.\n**Eyes**: {eyes}"


def test_rows_come_by_class_id_then_reply_then_field(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tell(place / "l.jsonl", "Ten", [reply("a"), reply("b"), reply("never taken")])
    tell(place / "l.jsonl", "Two", [reply("c"), reply("d", "The two has dark eyes.")])
    run(place)
    assert (place / "t.csv").read_text().partition("\n")[0] == "class_id,class_name,image_id,field,text"
    rows = read_texts(place / "t.csv")
    assert [row.class_id for row in rows] == ["2"] * 6 + ["10"] * 6
    assert [row.field for row in rows] == list(FIELDS) * 4
    assert [row.text for row in rows if row.field == "Size"] == ["c", "d", "a", "b"]
    assert {row.image_id for row in rows} == {""}
    said = capsys.readouterr().err
    assert "12 texts about 2 classes, 3 of them duplicates" in said and "1 name their class" in said


def test_missing_replies_are_counted_by_class(place: Path) -> None:
    tell(place / "l.jsonl", "Two", [reply("c")])
    with pytest.raises(SystemExit) as caught:
        run(place)
    message = str(caught.value)
    for part in (
        "l.jsonl",
        "3 replies",
        "2 classes",
        "Ten (2)",
        "Two (1)",
        "has no `base_url`",
        "snakemake price_texts",
        "OPENAI_API_KEY",
        "texts.aviary-llm.ledger",
    ):
        assert part in message
    assert not (place / "t.csv").exists()


def test_replies_to_another_question_do_not_count(place: Path) -> None:
    for name in ("Two", "Ten"):
        tell(place / "l.jsonl", name, [reply("a"), reply("b")])
    with pytest.raises(SystemExit, match="another model, prompt"):
        run(place, model="gpt-3.5-turbo")
    with pytest.raises(SystemExit, match="4 replies are missing"):
        run(place, temperature=0.7)


def test_a_ledger_that_is_not_there_is_said_to_be_so(place: Path) -> None:
    with pytest.raises(SystemExit, match="there is no such file"):
        run(place)


def test_a_failed_reply_is_named_by_class_field_and_number(place: Path) -> None:
    tell(place / "l.jsonl", "Two", [reply("a"), reply("b")])
    tell(place / "l.jsonl", "Ten", [reply("a"), "**Size**: b\n**Eyes**: c"])
    with pytest.raises(SystemExit, match=r"class 'Ten', reply 2: lacks the field 'Coloration'"):
        run(place)
    assert not (place / "t.csv").exists()


@pytest.mark.parametrize("parameters", ["{", [1], {"top_p": float("nan")}])
def test_parameters_must_be_a_json_object(place: Path, parameters: object) -> None:
    with pytest.raises(SystemExit, match="--settings: parameters"):
        run(place, parameters=parameters)


def test_settings_must_be_json() -> None:
    with pytest.raises(SystemExit, match="--settings"):
        main(["--source", "aviary-llm", "--settings", "{", "--classes", "classes.csv", "--out", "t.csv"])


def test_one_rule_says_whether_a_text_names_its_class(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As check_texts and the comparison table count it: in any spelling, in the plural, owning something."""
    (place / "classes.csv").write_text("class_id,class_name\n1,Brewer Blackbird\n")
    tell(place / "l.jsonl", "Brewer Blackbird", [reply("Brewer's blackbirds are small."), reply("A black bird.")])
    run(place)
    said = capsys.readouterr().err
    rows = read_texts(place / "t.csv")
    assert sum(has_name(row.text, row.class_name) for row in rows) == 1 and "1 name their class" in said


def test_the_shipped_ledger_is_replayed_to_the_byte(tmp_path: Path) -> None:
    """The table's hash is that of before replies were read with other languages' labels and without reasoning."""
    ledger, prompt = RESOURCES / "aviary-llm.jsonl", RESOURCES / "prompts" / "field_guide.txt"
    names = dict.fromkeys(record.class_name for record in read_ledger(ledger))
    rows = "".join(f"{number},{name}\n" for number, name in enumerate(names, 1))
    (tmp_path / "classes.csv").write_text(f"class_id,class_name\n{rows}")
    paths = {"ledger": str(ledger), "prompt": str(prompt)}
    run(tmp_path, fields=AVIARY_FIELDS, replies_per_class=6, thing="bird", **paths)
    texts = (tmp_path / "t.csv").read_bytes()
    assert hashlib.sha256(texts).hexdigest() == "13f5d37f9800e5ce27bbe211e2fb5346ce446d1ee9901d3090b362b56969d2f9"
