"""The form in which an endpoint takes a request's parameters, found out from what it refuses. Pure.

What an endpoint refuses is read from the parameter that its error names (`error.param`, FastAPI's `loc`), and from the
code beside it. Four changes are known, each made once at most, so a negotiation ends: a limit goes by its other name,
temperature and seed are left out, and the JSON schema gives way to Markdown. Anything else is the user's to change.
Each run finds the form out anew: a refusal costs nothing, and the endpoint may be another by then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from pydantic import JsonValue

from fieldguide.texts.answers import ErrorReport

OTHER_NAME = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
OPTIONAL = ("temperature", "seed")
SCHEMA = "response_format"

# Codes that speak of the value alone: another value would be taken, so it is the user's to change.
_OF_VALUE = re.compile(
    r"above_max|below_min|less_than|greater_than|out_of_range|too_(?:large|small|long|short|big)|_type$|parsing"
    r"|^invalid_(?:value|type)$|value_error",
    re.IGNORECASE,
)

Changes = Mapping[str, str | None]
"""What is sent in another form: the name that each parameter goes by, None where it is left out."""
NO_CHANGES: Changes = MappingProxyType({})


def apply_changes(parameters: Mapping[str, JsonValue], changes: Changes) -> dict[str, JsonValue]:
    """The parameters as the endpoint takes them."""
    named = ((changes.get(name, name), value) for name, value in parameters.items())
    return {name: value for name, value in named if name is not None}


def changes_made(parameters: Iterable[str], changes: Changes) -> dict[str, str | None]:
    """The changes that concern a request with these parameters."""
    return {name: changes[name] for name in parameters if name in changes}


def find_refused(report: ErrorReport, sent: Iterable[str]) -> str | None:
    """The parameter, of those sent, that an error names as one not taken; None where it names none.

    `body.seed` and `response_format.json_schema` are read as `seed` and `response_format`.
    """
    known = set(sent)
    parts = (part for place in report.parameters for part in re.split(r"[^\w]+", place))
    refused = next((part for part in parts if part in known), None)
    # The schema is ours, so whatever is wrong with it, it is not a value to be changed.
    if refused != SCHEMA and any(_OF_VALUE.search(code) for code in report.codes):
        return None
    return refused


def negotiate(refused: str, parameters: Mapping[str, JsonValue], changes: Changes) -> Changes | None:
    """The changes that answer a refusal of a parameter, by the name it was sent by; None where there are none left.

    `parameters` are those of the request before any change.
    """
    asked = next((name for name, sent in changes.items() if sent == refused), refused)
    if asked in changes or asked not in parameters:
        return None
    if asked in OPTIONAL:
        return {**changes, asked: None}
    if asked in OTHER_NAME and OTHER_NAME[asked] not in parameters:
        return {**changes, asked: OTHER_NAME[asked]}
    return None


def describe_change(parameter: str, sent: str | None) -> str:
    """What is done about a refused parameter, as a clause for the log."""
    if sent is not None:
        return f"sending {sent} in place of {parameter}"
    return f"leaving {parameter} out" + (
        ", so replies of a class differ by chance alone" if parameter == "seed" else ""
    )
