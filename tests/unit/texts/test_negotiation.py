"""Parameters that an endpoint refuses: found by what its error names, and answered at most once each."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldguide.texts.answers import read_report
from fieldguide.texts.negotiation import NO_CHANGES, apply_changes, changes_made, find_refused, negotiate

SENT = {"model": "m", "max_tokens": 600, "temperature": 0.7, "seed": 3, "response_format": {}, "top_p": 0.9}

NAMED = {
    "OpenAI": ({"error": {"message": "no", "param": "max_tokens", "code": "unsupported_parameter"}}, "max_tokens"),
    "a value": ({"error": {"message": "no", "param": "temperature", "code": "unsupported_value"}}, "temperature"),
    "part of it": ({"error": {"message": "no", "param": "response_format.json_schema"}}, "response_format"),
    "FastAPI": ({"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra"}]}, "seed"),
    "Mistral": ({"message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "x"}]}}, "seed"),
    "an aggregator's raw": (
        {
            "error": {
                "message": "Provider returned error",
                "metadata": {"raw": '{"error":{"message":"x","param":"seed"}}'},
            }
        },
        "seed",
    ),
    "Google": ([{"error": {"message": "x", "details": [{"fieldViolations": [{"field": "seed"}]}]}}], "seed"),
    "words alone": ({"error": {"message": "Unknown name seed; response_format is allowed", "param": None}}, None),
    "what was not sent": ({"error": {"message": "x", "param": "logprobs"}}, None),
    "a limit of the value": (
        {"error": {"message": "x", "param": "max_tokens", "code": "integer_above_max_value"}},
        None,
    ),
    "a value's type": ({"detail": [{"type": "less_than_equal", "loc": ["body", "temperature"], "msg": "x"}]}, None),
    "the schema is ours": (
        {"error": {"message": "x", "param": "response_format", "code": "invalid_value"}},
        "response_format",
    ),
    "no JSON": ("<html>seed</html>", None),
}


@pytest.mark.parametrize(("body", "refused"), NAMED.values(), ids=NAMED.keys())
def test_a_parameter_is_found_by_what_names_it(body: object, refused: str | None) -> None:
    report = read_report(400, body if isinstance(body, str) else json.dumps(body))
    assert find_refused(report, SENT) == refused


def test_each_refusal_is_answered_by_the_form_that_is_wanted() -> None:
    parameters = {"max_tokens": 600, "temperature": 0.7, "seed": 3, "top_p": 0.9}
    changes = NO_CHANGES
    for refused in ("max_tokens", "temperature", "seed"):
        found = negotiate(refused, parameters, changes)
        assert found is not None
        changes = found
    assert apply_changes(parameters, changes) == {"max_completion_tokens": 600, "top_p": 0.9}
    assert changes_made(["seed", "top_p"], changes) == {"seed": None}
    # Neither name is taken: that is the user's to mend.
    assert negotiate("max_completion_tokens", parameters, changes) is None
    assert negotiate("top_p", parameters, changes) is None
    assert negotiate("max_completion_tokens", {"max_completion_tokens": 9}, NO_CHANGES) == {
        "max_completion_tokens": "max_tokens"
    }


@given(
    st.dictionaries(st.sampled_from(list(SENT)), st.integers(), min_size=1),
    st.lists(st.sampled_from([*SENT, "max_completion_tokens"]), max_size=60),
)
def test_a_negotiation_ends(parameters: dict[str, int], refusals: list[str]) -> None:
    changes, count = NO_CHANGES, 0
    for refused in refusals:
        if (found := negotiate(refused, dict(parameters), changes)) is not None:
            assert found != changes
            changes, count = found, count + 1
    assert count <= 4 and {*changes} <= {*parameters}
