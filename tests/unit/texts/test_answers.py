"""Completions and errors in the forms in which servers write them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.texts.answers import (
    RefusedError,
    StoppedError,
    UnansweredError,
    read_completion,
    read_error_within,
    read_report,
    read_status,
    read_usage,
)
from fieldguide.texts.ledger import Usage


def body(content: Any, **message: Any) -> dict[str, Any]:
    return {
        "id": "r1",
        "model": "m",
        "choices": [{"message": {"content": content, **message}, "finish_reason": "stop"}],
    }


CONTENTS = {
    "a string": ("Small.", {}, ("Small.", "")),
    "Mistral's chunks": (
        [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}, {"type": "text", "text": "Small."}],
        {},
        ("Small.", "Hm"),
    ),
    "chunks of one sentence": ([{"type": "text", "text": "Sm"}, {"type": "text", "text": "all."}], {}, ("Small.", "")),
    "strings": (["Sm", "all."], {}, ("Small.", "")),
    "one part": ({"type": "output_text", "text": {"value": "Small."}}, {}, ("Small.", "")),
    "a thought of Gemini's": ([{"thought": True, "text": "Hm"}, {"text": "Small."}], {}, ("Small.", "Hm")),
    "DeepSeek": ("Small.", {"reasoning_content": "Hm"}, ("Small.", "Hm")),
    "OpenRouter": (
        "Small.",
        {"reasoning": "Hm", "reasoning_details": [{"type": "reasoning.text", "text": "Hm"}]},
        ("Small.", "Hm"),
    ),
    "reasoning alone": ("", {"reasoning_content": "Hm"}, ("", "Hm")),
    "no part of text": ([{"type": "image_url", "image_url": {"url": "x"}}], {}, ("", "")),
    "nothing": (None, {}, ("", "")),
}


@pytest.mark.parametrize(("content", "message", "read"), CONTENTS.values(), ids=CONTENTS.keys())
def test_a_completion_is_read(content: Any, message: dict[str, Any], read: tuple[str, str]) -> None:
    found = read_completion(body(content, **message))
    assert found is not None and (found.reply, found.reasoning) == read
    assert (found.response_id, found.served_model, found.finish_reason) == ("r1", "m", "stop")


def test_a_refusal_is_one_wherever_it_stands() -> None:
    for found in (
        read_completion(body(None, refusal="No.")),
        read_completion(body([{"type": "refusal", "refusal": "No."}])),
    ):
        assert found is not None and found.refused and found.reply == "No."


@pytest.mark.parametrize(
    "other", [None, [], "x", {}, {"choices": []}, {"choices": [{}]}, {"choices": [{"message": 1}]}, body(3)]
)
def test_what_is_no_completion_is_none(other: Any) -> None:
    assert read_completion(other) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "content", "error", "usage", "type", "text", "code", "detail", "loc", "raw"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(json_values)
def test_any_answer_can_be_read(value: Any) -> None:
    text = json.dumps(value)
    read_completion(value), read_usage(value)
    for report in filter(None, (read_report(400, text), read_error_within(text))):
        assert isinstance(read_status(report, None, "m", "http://x/v1"), StoppedError | UnansweredError)


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}, (9, 7, 0)),
        # OpenAI: reasoning is a part of the completion.
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 70,
                "total_tokens": 79,
                "completion_tokens_details": {"reasoning_tokens": 64},
            },
            (9, 70, 64),
        ),
        # Gemini: in the total alone.
        ({"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 516}, (9, 507, 0)),
        # xAI: beside the completion.
        (
            {"prompt_tokens": 9, "completion_tokens": 7, "completion_tokens_details": {"reasoning_tokens": 500}},
            (9, 507, 500),
        ),
        ({"prompt_tokens": 9.0, "completion_tokens": 7.0}, (9, 7, 0)),
        ({"prompt_tokens": 9}, None),
        ({"prompt_tokens": -9, "completion_tokens": 7}, None),
        ({"prompt_tokens": "9", "completion_tokens": 7}, None),
        (None, None),
    ],
)
def test_reasoning_counts_as_output(usage: Any, read: tuple[int, int, int] | None) -> None:
    asked, made, reasoned = read or (0, 0, 0)
    expected = Usage(prompt_tokens=asked, completion_tokens=made, reasoning_tokens=reasoned) if read else None
    assert read_usage({"usage": usage}) == expected


# ---------------------------------------------------------------- errors

WORDS = {
    "OpenAI": ({"error": {"message": "No such thing.", "type": "x", "code": None}}, "No such thing."),
    "a string": ({"error": "No such thing."}, "No such thing."),
    "a list": ([{"error": {"code": 400, "message": "No such thing."}}], "No such thing."),
    "FastAPI": ({"detail": "No such thing."}, "No such thing."),
    "FastAPI's list": ({"detail": [{"loc": ["body", "seed"], "msg": "No such thing."}]}, "body.seed: No such thing."),
    "raw": (
        {"error": {"message": "Provider returned error", "metadata": {"raw": "No such thing."}}},
        "Provider returned error; No such thing.",
    ),
    "raw JSON": (
        {"error": {"message": "Upstream", "metadata": {"raw": '{"error": {"message": "No such thing."}}'}}},
        "Upstream; No such thing.",
    ),
    "a message alone": ({"statusCode": 400, "message": "No such thing."}, "No such thing."),
    "errors": ({"errors": [{"message": "No such thing."}]}, "No such thing."),
    "HTML": ("<html>No such\n thing.</html>", "<html>No such thing.</html>"),
    "nothing known": ({"oh": "No such thing."}, '{"oh": "No such thing."}'),
}


@pytest.mark.parametrize(("content", "words"), WORDS.values(), ids=WORDS.keys())
@pytest.mark.parametrize("status", [400, 403, 404, 422, 500])
def test_an_endpoints_own_words_are_told(status: int, content: Any, words: str) -> None:
    report = read_report(status, content if isinstance(content, str) else json.dumps(content))
    assert report.words == words and words in str(read_status(report, None, "m", "http://x/v1"))


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        ({"message": "x", "code": 429}, 429, UnansweredError),
        ({"message": "x", "code": "429"}, 429, UnansweredError),
        ({"message": "x", "code": "rate_limit_exceeded"}, 429, UnansweredError),
        ({"message": "x", "status": "RESOURCE_EXHAUSTED"}, 429, UnansweredError),
        ({"message": "x", "code": 400, "param": "seed"}, 400, RefusedError),
        ({"message": "x", "code": 402}, 402, StoppedError),
        ({"message": "x", "type": "not_found_error"}, 404, StoppedError),
        ({"message": "x", "code": "odd"}, 502, UnansweredError),
        ("x", 502, UnansweredError),
    ],
)
def test_an_error_within_a_200_is_that_error(error: Any, status: int, kind: type[Exception]) -> None:
    within_choice = {"choices": [{"error": error, "message": {"content": ""}, "finish_reason": "error"}]}
    for answer in ({"error": error}, {"error": error, "choices": None}, [{"error": error}], within_choice):
        report = read_error_within(json.dumps(answer))
        assert report is not None and report.status == status and report.words == "x"
        problem = read_status(report, None, "m", "http://x/v1")
        assert isinstance(problem, kind)


def test_a_reply_is_no_error() -> None:
    assert read_error_within(json.dumps({**body("Small."), "error": None})) is None
    assert read_error_within(json.dumps({**body("Small."), "error": {"message": "late"}})) is None
    assert read_error_within("<html>") is None and read_error_within("[]") is None
