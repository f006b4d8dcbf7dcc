"""The ledger finds replies by what was asked, and loses none to a stopped writer."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.core.errors import FieldguideError
from fieldguide.texts.ledger import (
    LedgerRecord,
    Request,
    append_record,
    read_ledger,
    read_prompt,
    record_line,
    replies_by_key,
    request_for,
    request_key,
    synthetic_record,
)

PROMPT = "Describe {class_name} by {fields}."


def record(index: int = 0, reply: str = "**Size**: small", name: str = "Calder Mirefinch") -> LedgerRecord:
    request = request_for(name, PROMPT, "aviary-writer", ["Size"], {})
    return synthetic_record(request, index, name, reply)


# ---------------------------------------------------------------- keys

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
parameters = st.dictionaries(st.text(), json_values, max_size=4)


@given(st.text(), st.text(), parameters)
def test_key_does_not_depend_on_order_or_a_round_trip(
    model: str, content: str, given_parameters: dict[str, Any]
) -> None:
    messages = [{"role": "user", "content": content}]
    request = Request.model_validate({"model": model, "messages": messages, "parameters": given_parameters})
    turned = dict(reversed(given_parameters.items()))
    other = Request.model_validate({"parameters": turned, "messages": messages, "model": model})
    assert request_key(other) == request_key(request)
    again = Request.model_validate_json(json.dumps(request.model_dump(mode="json")))
    assert request_key(again) == request_key(request)


@given(st.integers(-(2**53), 2**53))
def test_whole_floats_and_integers_ask_the_same(value: int) -> None:
    keys = {request_key(request_for("a", PROMPT, "m", ["Size"], {"temperature": v})) for v in (value, float(value))}
    assert len(keys) == 1


def test_true_is_not_one() -> None:
    keys = {request_key(request_for("a", PROMPT, "m", ["Size"], {"logprobs": v})) for v in (True, 1)}
    assert len(keys) == 2


def test_every_part_of_the_question_changes_the_key() -> None:
    requests = [
        request_for("a", PROMPT, "m", ["Size"], {}),
        request_for("b", PROMPT, "m", ["Size"], {}),
        request_for("a", PROMPT + "!", "m", ["Size"], {}),
        request_for("a", PROMPT, "n", ["Size"], {}),
        request_for("a", PROMPT, "m", ["Size", "Eyes"], {}),
        request_for("a", PROMPT, "m", ["Size"], {"temperature": 1}),
    ]
    assert len({request_key(request) for request in requests}) == len(requests)


def test_key_of_the_shipped_format_never_changes() -> None:
    key = request_key(request_for("Calder Mirefinch", PROMPT, "aviary-writer", ["Size"], {"temperature": 0.7}))
    assert key == "aabc43f077384b3aac0c437476f9ebda956c8498a052fe40a68abd275279bcca"


def test_prompt_keeps_its_own_braces_and_loses_its_outer_space() -> None:
    request = request_for("Calder Mirefinch", 'On {class_name}: {"json": {}} {fields}\n', "m", ["Size", "Eyes"], {})
    assert request.messages[0].content == 'On Calder Mirefinch: {"json": {}} Size, Eyes'


def test_prompt_without_the_class_is_refused() -> None:
    with pytest.raises(FieldguideError, match="class_name"):
        request_for("a", "Describe the bird.", "m", ["Size"], {})


# ---------------------------------------------------------------- files


def test_appended_records_are_read_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ledger.jsonl"
    records = [record(0, "a\nb — ü\u2028"), record(1, '"quoted"'), record(0, "x", "Uist Mirefinch")]
    for one in records:
        append_record(path, one)
    assert read_ledger(path) == records
    assert path.read_bytes().count(b"\n") == 3


def test_a_live_record_is_read(tmp_path: Path) -> None:
    live = json.loads(record_line(record())) | {
        "synthetic": False,
        "usage": {"prompt_tokens": 120, "completion_tokens": 150},
        "price_usd": 0.0004,
        "created": "2024-01-31T12:00:00Z",
        "response_id": "chatcmpl-1",
    }
    (tmp_path / "l.jsonl").write_text(json.dumps(live) + "\n")
    (one,) = read_ledger(tmp_path / "l.jsonl")
    assert one.created is not None and one.created.year == 2024
    assert one.usage is not None and one.usage.completion_tokens == 150
    assert json.loads(record_line(one)) == live


@given(cut=st.integers(1, 10_000))
def test_a_torn_last_line_is_left_out_and_then_set_aside(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "ledger.jsonl"
    line = record_line(record(1, "größer"))
    torn = line[: 1 + cut % (len(line) - 2)]
    path.write_bytes(record_line(record(0)) + torn)
    assert read_ledger(path) == [record(0)]
    append_record(path, record(2))
    assert read_ledger(path) == [record(0), record(2)]
    assert (path.parent / "ledger.jsonl.torn").read_bytes() == torn + b"\n"


def test_a_torn_line_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(record_line(record(0)) + b'{"key": "1')
    with caplog.at_level(logging.WARNING):
        read_ledger(path)
    assert f"{path}:2" in caplog.text and "is truncated" in caplog.text


def test_a_last_line_that_lacks_only_its_line_end_counts(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(record_line(record(0)).rstrip(b"\n"))
    assert read_ledger(path) == [record(0)]
    append_record(path, record(1))
    assert read_ledger(path) == [record(0), record(1)]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"reply": None}, "reply"),
        ({"reply_index": -1}, "reply_index"),
        ({"price": 3}, "price"),
        ({"key": "0" * 64}, "key"),
        ({"created": "2024-01-31T12:00:00"}, "created"),
    ],
)
def test_any_other_bad_line_is_refused_by_number(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    path = tmp_path / "ledger.jsonl"
    bad = json.dumps(record().model_dump(mode="json") | change)
    path.write_text(record_line(record()).decode() + "\n" + bad + "\n" + record_line(record(1)).decode())
    with pytest.raises(FieldguideError) as caught:
        read_ledger(path)
    assert f"{path}:3" in str(caught.value) and told in str(caught.value)


@pytest.mark.parametrize("line", [b"{", b"[]", b"\xff\xfe", b"null"])
def test_what_is_no_record_is_refused_once_it_has_its_line_end(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(record_line(record()) + line + b"\n")
    with pytest.raises(FieldguideError, match=r"ledger\.jsonl:2"):
        read_ledger(path)


def test_replies_come_by_index_and_repeats_count_once() -> None:
    records = [record(1, "b"), record(0, "a"), record(1, "b")]
    assert replies_by_key(records) == {record().key: ["a", "b"]}


def test_two_replies_with_one_index_are_refused() -> None:
    with pytest.raises(FieldguideError, match=r"Calder Mirefinch.*index 1"):
        replies_by_key([record(1, "a"), record(1, "b")])


def test_rejected_replies_are_kept_and_answer_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    rejected = record(0, "no use").model_copy(update={"rejected": "is empty", "price_usd": 0.01})
    for one in (rejected, record(0, "of use")):
        append_record(path, one)
    assert read_ledger(path) == [rejected, record(0, "of use")]
    assert replies_by_key(read_ledger(path)) == {record().key: ["of use"]}
    # Lines that need none of the newer keys are those of older versions.
    assert [set(json.loads(line)) - set(json.loads(record_line(record()))) for line in path.open()] == [
        {"rejected"},
        set(),
    ]


def test_processes_that_append_at_once_tear_nothing(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(b'{"key": "torn')
    code = (
        "import sys\n"
        "from fieldguide.texts.ledger import append_record, request_for, synthetic_record\n"
        f"request = request_for('a', {PROMPT!r}, 'm', ['Size'], {{}})\n"
        "first = 100 * int(sys.argv[2])\n"
        "for index in range(first, first + 40):\n"
        "    append_record(sys.argv[1], synthetic_record(request, index, 'a', 'r' * 9000))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3] / "src")}
    writers = [subprocess.Popen([sys.executable, "-c", code, path, str(n)], env=environment) for n in range(4)]
    while any(writer.poll() is None for writer in writers):
        read_ledger(path)
    assert [writer.returncode for writer in writers] == [0] * 4
    assert {one.reply_index for one in read_ledger(path)} == {100 * n + m for n in range(4) for m in range(40)}
    assert len(path.read_bytes().splitlines()) == 160
    assert path.with_name("ledger.jsonl.torn").read_bytes() == b'{"key": "torn\n'


# ---------------------------------------------------------------- ledgers of before


LIVE_2025 = (
    '{"key": "KEY", "request": {"model": "gpt-3.5-turbo", "messages": [{"role": "user", "content": "Describe Ani."}],'
    ' "parameters": {"max_tokens": 600, "temperature": 0.7}}, "reply_index": 0, "class_name": "Ani", "reply":'
    ' "**Size**: small", "synthetic": false, "usage": {"prompt_tokens": 9, "completion_tokens": 7}, "price_usd":'
    ' 1.5e-05, "created": "2025-03-01T10:00:00Z", "response_id": "chatcmpl-1", "served_model": "gpt-3.5-turbo-0125",'
    ' "rejected": "lacks the field Eyes"}\n'
)


def old_line(**changes: Any) -> bytes:
    """A line as it was written before reasoning and negotiation were recorded."""
    content = json.loads(LIVE_2025)
    content["request"]["messages"][0]["content"] = changes.pop("prompt", "Describe Ani.")
    content |= {"key": request_key(Request.model_validate(content["request"])), **changes}
    return json.dumps({name: value for name, value in content.items() if value is not None}).encode() + b"\n"


def test_a_line_of_before_is_read_and_written_the_same() -> None:
    assert record_line(LedgerRecord.model_validate_json(old_line())) == old_line()


def test_what_is_new_stands_in_a_line_where_there_is_some() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 70, "reasoning_tokens": 60}
    line = old_line(usage=usage, reasoning="Hm", negotiated={"max_tokens": "max_completion_tokens", "seed": None})
    assert record_line(LedgerRecord.model_validate_json(line)) == line


def test_reasoning_in_a_reply_of_before_reaches_no_text() -> None:
    reply = "<think>**Size**: large?</think>\n\n**Size**: small"
    found = LedgerRecord.model_validate_json(old_line(reply=reply, rejected=None))
    assert found.reply == reply and list(replies_by_key([found]).values()) == [["**Size**: small"]]


def test_a_ledger_of_a_prompt_with_a_byte_order_mark_answers_it_without(tmp_path: Path) -> None:
    """Before, the mark was a part of the question."""
    marked = LedgerRecord.model_validate_json(old_line(prompt="\ufeffDescribe Ani.", rejected=None))
    plain = LedgerRecord.model_validate_json(old_line(rejected=None))
    assert marked.key != plain.key == marked.question_key == plain.question_key
    assert replies_by_key([marked]) == replies_by_key([plain])
    other = LedgerRecord.model_validate_json(old_line(reply="**Size**: large", rejected=None))
    assert replies_by_key([marked, other]) == replies_by_key([other])  # asked anew without it, before
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (tmp_path / "prompt.txt").write_bytes("Describe\r\n{class_name}.".encode(encoding))
        assert read_prompt(tmp_path / "prompt.txt") == "Describe\n{class_name}."
