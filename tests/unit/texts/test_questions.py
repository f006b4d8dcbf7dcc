"""What is asked, by which key it is found again, and what is still missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.aviary.write_ledger import MODEL
from fieldguide.aviary.writer import FIELDS
from fieldguide.core.errors import FieldguideError
from fieldguide.texts.ledger import LedgerRecord, read_ledger, replies_by_key, request_for, synthetic_record
from fieldguide.texts.questions import Question, Slot, follow_up_to, missing_slots, replies_to, wire_parameters

RESOURCES = Path(__file__).parents[3] / "workflow" / "resources"
PROMPT = "Describe the {thing} {class_name} by {fields}. {format}"
QUESTION = Question(PROMPT, "m", ("Size", "Wing bars"), {"seed": 7, "temperature": 1}, "bird", "auto")


def record(
    name: str, index: int, with_schema: bool = False, rejected: str | None = None, reply: str = "r"
) -> LedgerRecord:
    return synthetic_record(QUESTION.request(name, with_schema), index, name, reply).model_copy(
        update={"rejected": rejected}
    )


def test_the_shipped_ledger_answers_the_shipped_prompt() -> None:
    """Its keys must never change: every change here would cost its users their replies."""
    prompt = (RESOURCES / "prompts" / "field_guide.txt").read_text(encoding="utf-8")
    records = read_ledger(RESOURCES / "aviary-llm.jsonl")
    names = list(dict.fromkeys(one.class_name for one in records))
    question = Question(prompt, MODEL, tuple(FIELDS), {}, "bird", "off")
    assert len(names) == 56 and missing_slots(question, names, records, 6) == []
    assert all(len(found) == 6 for found in replies_to(question, names, replies_by_key(records), 6).values())


def test_keys_of_live_questions_never_change() -> None:
    assert [key[:16] for key in QUESTION.keys("Ani")] == ["f9f2cd565c36e94b", "bad5bdca186f1919"]


def test_every_part_of_a_question_is_in_its_key() -> None:
    changes = [
        QUESTION,
        QUESTION._replace(prompt=PROMPT + "!"),
        QUESTION._replace(model="n"),
        QUESTION._replace(fields=("Size",)),
        QUESTION._replace(parameters={"seed": 8, "temperature": 1}),
        QUESTION._replace(parameters={"seed": 7, "temperature": 0.5}),
        QUESTION._replace(thing="dog"),
    ]
    keys = [key for question in changes for key in question.keys("Ani")]
    assert len(set(keys)) == len(keys) == 14


def test_what_is_sent_is_the_schema_and_the_replys_own_seed() -> None:
    request = QUESTION.request("Ani", True)
    sent = wire_parameters(request, 2, 0)
    assert sent["seed"] == 9 and sent["temperature"] == 1
    assert isinstance(sent["response_format"], dict)
    schema = json.loads(json.dumps(sent["response_format"]))["json_schema"]["schema"]
    assert schema["required"] == ["Size", "Wing bars"] == list(schema["properties"])
    assert schema["additionalProperties"] is False
    assert wire_parameters(request, 2, 1)["seed"] == 10_009
    assert "seed" not in wire_parameters(QUESTION._replace(parameters={}).request("Ani", False), 2, 1)


def test_the_prompt_is_filled_in() -> None:
    markdown, by_schema = (QUESTION.request("Ani {fields}", form).messages[0].content for form in (False, True))
    assert markdown.startswith("Describe the bird Ani {fields} by Size, Wing bars. Answer in Markdown")
    assert by_schema.endswith(
        "Answer with one JSON object with a string for each field, and nothing before or after it."
    )
    with pytest.raises(FieldguideError, match="thing"):
        request_for("Ani", PROMPT, "m", ["Size"], {})


@given(
    have=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 6), st.booleans(), st.booleans()), max_size=20),
    count=st.integers(1, 5),
)
def test_what_is_missing_completes_every_class_and_takes_no_index_twice(
    have: list[tuple[str, int, bool, bool]], count: int
) -> None:
    records = [record(name, index, schema, "is empty" if bad else None) for name, index, schema, bad in have]
    slots = missing_slots(QUESTION, list("abc"), records, count)
    assert len(set(slots)) == len(slots)
    used = {(one.class_name, one.reply_index) for one in records if one.rejected is None}
    assert not used & set(slots)
    for form in (True, False):
        filled = [*records, *(record(slot.class_name, slot.reply_index, form) for slot in slots)]
        assert missing_slots(QUESTION, list("abc"), filled, count) == []
        found = replies_to(QUESTION, list("abc"), replies_by_key(filled), count)
        assert all(len(replies) == count for replies in found.values())


def test_all_classes_grow_alike() -> None:
    assert missing_slots(QUESTION, ["a", "b"], [record("a", 1)], 2) == [Slot("a", 0), Slot("b", 0), Slot("b", 1)]


def test_a_complaint_follows_a_reply_and_nothing_else() -> None:
    said = follow_up_to(record("Ani", 0, rejected="lacks the field Eyes"))
    assert [turn.role for turn in said] == ["assistant", "user"] and "it lacks the field Eyes" in said[1].content
    for silent in (
        None,
        record("Ani", 0),
        record("Ani", 0, rejected="is empty", reply=" "),
        record("Ani", 0, rejected="no answer: timed out", reply=""),
        record("Ani", 0, rejected="the body is not a chat completion", reply="<html>"),
    ):
        assert follow_up_to(silent) == ()
