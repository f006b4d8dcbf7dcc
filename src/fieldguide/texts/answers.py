"""What an endpoint answers: a chat completion in the forms in which servers write it, or an error and what it means.

Pure functions on parsed JSON. Errors are read by their structure (status, `code`, `param`, `loc`), never by the words
of a message, which are for the user.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from fieldguide.texts.ledger import Usage

LONGEST_RETRY_AFTER = 600.0
"""Seconds; an endpoint that asks to come back later than that ends the run."""
DEEPEST = 6
"""How many errors within errors are opened: a gateway wraps that of the server behind it."""
LONGEST_QUOTE = 300
"""Characters of an endpoint's own words in a message."""


def parse_json(text: str) -> Any:
    """The JSON value of a text; None where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


# ---------------------------------------------------------------- completions


class Completion(NamedTuple):
    """A chat completion, as far as it is read."""

    reply: str  # the content, in which reasoning may stand too
    reasoning: str  # what stands beside the content
    refused: bool
    finish_reason: str | None
    response_id: str
    served_model: str


def strings_of(value: Any, *keys: str) -> Iterator[str]:
    """The strings of a part: its own, and those below the keys that may hold some."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings_of(item, *keys)
    elif isinstance(value, Mapping):
        for key in keys:
            yield from strings_of(value.get(key), *keys)


def split_parts(content: Any) -> tuple[str, str, str]:
    """Text, reasoning and refusal of a message's content: a string, or a list of parts with their types."""
    text: list[str] = []
    reasoning: list[str] = []
    refusal: list[str] = []
    for part in content if isinstance(content, list) else [content]:
        kind = str(part.get("type", "")).casefold() if isinstance(part, Mapping) else ""
        is_thought = isinstance(part, Mapping) and part.get("thought") is True
        if is_thought or re.search(r"think|reason|thought", kind):
            reasoning += strings_of(part, "thinking", "reasoning", "text", "content", "summary")
        elif kind == "refusal":
            refusal += strings_of(part, "refusal", "text")
        elif kind in ("", "text", "output_text"):
            text += strings_of(part, "text", "value", "content")
    return "".join(text), "\n".join(reasoning), "".join(refusal)


REASONING_KEYS = ("reasoning_content", "reasoning", "thinking", "reasoning_text", "reasoning_details")
"""Where servers put reasoning beside the content: DeepSeek and vLLM, OpenRouter and newer vLLM, Ollama."""


def read_completion(body: Any) -> Completion | None:
    """The completion that a body holds; None where it is none."""
    choices = body.get("choices") if isinstance(body, Mapping) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(choice, Mapping) or not isinstance(message, Mapping):
        return None
    if not isinstance(message.get("content"), str | list | Mapping | None):
        return None
    text, reasoning, refusal = split_parts(message.get("content"))
    beside = ("\n".join(strings_of(message.get(key), "text", "summary", "content")) for key in REASONING_KEYS)
    refusal = refusal or "".join(strings_of(message.get("refusal")))
    finish = choice.get("finish_reason")
    return Completion(
        text or refusal,
        reasoning or next(filter(None, beside), ""),
        bool(refusal),
        finish if isinstance(finish, str) else None,
        *(value if isinstance(value := body.get(key), str) else "" for key in ("id", "model")),
    )


def read_usage(body: Any) -> Usage | None:
    """The tokens that an answer reports, reasoning counted as output; None where it does not report both.

    Some endpoints (Gemini's, xAI's) count reasoning in `total_tokens` alone, and bill it as output all the same.
    """
    usage = body.get("usage") if isinstance(body, Mapping) else None
    if not isinstance(usage, Mapping):
        return None

    def count(of: Any, key: str) -> int | None:
        value = of.get(key) if isinstance(of, Mapping) else None
        is_count = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12
        return int(value) if is_count and value is not None else None

    made, asked = count(usage, "completion_tokens"), count(usage, "prompt_tokens")
    if made is None or asked is None:
        return None
    reasoned = count(usage.get("completion_tokens_details"), "reasoning_tokens") or count(usage, "reasoning_tokens")
    reasoned = reasoned or 0
    made = max(made, (count(usage, "total_tokens") or 0) - asked, made + reasoned if reasoned > made else 0)
    return Usage(prompt_tokens=asked, completion_tokens=made, reasoning_tokens=reasoned)


# ---------------------------------------------------------------- errors


class UnansweredError(Exception):
    """A request that brought no reply."""

    def __init__(
        self,
        reason: str,
        *,
        pause: float | None = None,  # seconds that the endpoint asks to wait
        was_limited: bool = False,  # by the endpoint's rate limit
        may_be_billed: bool = False,
        was_sent: bool = True,
        is_final: bool = False,  # asking again brings nothing else
    ) -> None:
        super().__init__(reason)
        self.reason, self.pause, self.was_limited = reason, pause, was_limited
        self.may_be_billed, self.was_sent, self.is_final = may_be_billed, was_sent, is_final


class StoppedError(Exception):
    """Nothing more is to be asked; the text is a sentence for the user."""


@dataclass(frozen=True)
class ErrorReport:
    """An answer that is an error: its status, the words for the user, and what it names."""

    status: int
    words: str = ""
    codes: tuple[str, ...] = ()  # `code`, `type` and `status` of the error and those within it, the outermost first
    parameters: tuple[str, ...] = ()  # `param` and `loc`, as the endpoint spells them

    @property
    def code(self) -> str:
        return next(iter(self.codes), "")


class RefusedError(StoppedError):
    """The endpoint refuses the request as it was sent; another form of it may do."""

    def __init__(self, sentence: str, report: ErrorReport) -> None:
        super().__init__(sentence)
        self.report = report
        self.form: object = None  # in which it was sent


@dataclass
class _Found:
    words: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    parameters: list[str] = field(default_factory=list)


WITHIN = ("error", "errors", "message", "detail", "details", "fieldViolations", "innererror", "metadata", "raw")
"""Where an error keeps its words, or another error."""


def _collect(value: Any, found: _Found, depth: int = 0) -> None:
    if depth > DEEPEST:
        return
    if isinstance(value, str):
        inner = parse_json(value) if value.lstrip().startswith(("{", "[")) else None
        if isinstance(inner, dict | list):
            _collect(inner, found, depth + 1)
        elif value.strip() and value not in found.words:
            found.words.append(value)
    elif isinstance(value, list):
        for item in value[:20]:
            _collect(item, found, depth + 1)
    elif isinstance(value, Mapping):
        named = [value[key] for key in ("code", "type", "status") if isinstance(value.get(key), str | int)]
        found.codes += [str(one) for one in named if not isinstance(one, bool)]
        found.parameters += [value[key] for key in ("param", "field") if isinstance(value.get(key), str) and value[key]]
        if isinstance(place := value.get("loc"), list):  # FastAPI, pydantic
            found.parameters.append(".".join(map(str, place)))
            found.words.append(f"{found.parameters[-1]}: {value.get('msg', '')}")
        for key in WITHIN:
            _collect(value.get(key), found, depth + 1)


def read_report(status: int, text: str) -> ErrorReport:
    """What an answer of an error's status says."""
    found = _Found()
    body = parse_json(text)
    _collect(body, found)
    words = "; ".join(found.words) or text
    codes = tuple(code for code in found.codes if code and code != "error")
    return ErrorReport(status, " ".join(words.split()), codes, tuple(found.parameters))


# What names stand for as a status, in an error that came with status 200.
STATUS_OF = {
    **dict.fromkeys(("bad_request", "invalid_argument", "invalid_request", "invalid_request_error"), 400),
    **dict.fromkeys(("unsupported_parameter", "unsupported_value", "unknown_parameter", "content_filter"), 400),
    **dict.fromkeys(("unauthorized", "unauthenticated", "authentication_error", "invalid_api_key"), 401),
    **dict.fromkeys(("insufficient_credits", "payment_required"), 402),
    **dict.fromkeys(("forbidden", "permission_denied", "permission_error"), 403),
    **dict.fromkeys(("not_found", "not_found_error", "model_not_found"), 404),
    **dict.fromkeys(("rate_limit_exceeded", "rate_limit_error", "resource_exhausted", "too_many_requests"), 429),
    "insufficient_quota": 429,
}


def read_error_within(text: str) -> ErrorReport | None:
    """The error that an answer of status 200 holds in place of a reply; None where it holds none.

    Its status is the number that it names, or what its name stands for, else 502: an aggregator could not get one.
    """
    body = parse_json(text)
    for one in body if isinstance(body, list) else [body]:
        if not isinstance(one, Mapping):
            return None
        choices = one.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else {}
        within = one.get("error") or (choice.get("error") if isinstance(choice, Mapping) else None)
        completion = read_completion(one)
        if within and (completion is None or not completion.reply.strip()):
            report = read_report(502, json.dumps({"error": within}))
            numbers = [int(code) for code in report.codes if re.fullmatch(r"[45]\d\d", code)]
            names = [STATUS_OF[name] for code in report.codes if (name := code.casefold()) in STATUS_OF]
            codes = tuple(code for code in report.codes if not code.isdecimal())
            return ErrorReport((numbers or names or [502])[0], report.words, codes, report.parameters)
    return None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that an answer asks to wait; None when it does not say."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with suppress(KeyError, ValueError):
            return max(0.0, float(headers[name]) * unit)
    with suppress(KeyError, ValueError, TypeError):
        when = parsedate_to_datetime(headers["retry-after"])
        return max(0.0, (when - datetime.now(UTC)).total_seconds())
    return None


NO_CREDIT = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_credits")
FILTERED = ("content_filter", "content_policy_violation")


def read_status(report: ErrorReport, wait: float | None, model: str, base_url: str) -> Exception:
    """What an answer that is an error means for the run.

    The report's words are without the key; `wait` is the seconds that the endpoint asks to wait.
    """
    status, code = report.status, report.code
    quoted = f' ("{report.words}")' if report.words else ""
    if status == 402 or any(code in NO_CREDIT for code in report.codes):
        return StoppedError(
            f"{base_url}: the account has no credit left ({status} {code}){quoted}; top it up or use another key"
        )
    if status == 401:
        return StoppedError(f"{base_url}: the key was refused (401); set the right one in the environment")
    if status == 403:
        return StoppedError(f"{base_url}: the key has no permission for the model {model!r} (403){quoted}")
    if status == 404:
        return StoppedError(
            f"{base_url}: it has no model {model!r}, or no chat completions (404){quoted}; see `model` and `base_url`"
        )
    if status in (408, 409, 425, 429) or status >= 500:
        if wait is not None and wait > LONGEST_RETRY_AFTER:
            return StoppedError(f"{base_url}: it asks to come back in {wait:.0f} s ({status}); run again then")
        return UnansweredError(f"status {status}{quoted}", pause=wait, was_limited=status == 429)
    if any(code in FILTERED for code in report.codes):
        return UnansweredError(f"the endpoint refuses the question: {code}", is_final=True)
    sentence = f"{base_url}: it refuses the request (status {status}){quoted}; see the source's settings"
    return RefusedError(sentence, report) if status in (400, 422) else StoppedError(sentence)
