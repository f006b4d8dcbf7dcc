"""An OpenAI-compatible endpoint: its address and key, what it answers, and what its errors mean for a run."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

from fieldguide.core.errors import FieldguideError

LONGEST_RETRY_AFTER = 600.0
"""Seconds; an endpoint that asks to come back later than that ends the run."""


@dataclass(frozen=True)
class Endpoint:
    """Where to ask, and the key, which is shown nowhere."""

    base_url: str
    key: str = field(default="", repr=False)

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).hostname or ""

    @property
    def is_here(self) -> bool:
        """Whether the endpoint runs on this machine, where no proxy leads."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def redact(self, text: str) -> str:
        """The text without the key."""
        # What is shorter is a placeholder for endpoints that want none, and may be a common word.
        return text.replace(self.key, "[key]") if len(self.key) >= 8 else text

    def redact_error(self, text: str) -> str:
        """An endpoint's own words on one line, without the key, whole or as endpoints shorten it."""
        return re.sub(r"\b(sk|pk|key)-[\w*.-]{4,}", "[key]", self.redact(" ".join(text.split())))[:300]


def needs_key(base_url: str) -> bool:
    """Whether an endpoint is one that needs a key; others may, local ones above all."""
    host = urlsplit(base_url).hostname or ""
    return host == "openai.com" or host.endswith(".openai.com")


def find_endpoint(base_url: str, variable: str) -> Endpoint:
    """The endpoint with its key, read from the environment.

    Raises FieldguideError when the key is missing and needed, or cannot be one; no message holds the key.
    """
    key = os.environ.get(variable, "").strip()
    if not key and needs_key(base_url):
        raise FieldguideError(f"{variable} is not set in the environment, and {base_url} needs a key")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise FieldguideError(f"{variable} holds a space or a character that no key has; set it anew")
    return Endpoint(base_url, key)


# ---------------------------------------------------------------- what an endpoint answers


class ReplyMessage(BaseModel):
    content: str | None = None
    refusal: str | None = None


class Choice(BaseModel):
    message: ReplyMessage
    finish_reason: str | None = None


class Completion(BaseModel):
    """A chat completion, as far as it is read."""

    id: str | None = None
    model: str | None = None
    choices: list[Choice] = Field(min_length=1)


class ReportedUsage(BaseModel):
    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)


class Billed(BaseModel):
    """The usage that an answer reports, whatever else it holds."""

    usage: ReportedUsage


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


class SchemaRefusedError(Exception):
    """The endpoint takes no JSON schema."""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that an answer asks to wait; None when it does not say."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with suppress(KeyError, ValueError):
            return max(0.0, float(headers[name]) * unit)
    with suppress(KeyError, ValueError, TypeError):
        when = parsedate_to_datetime(headers["retry-after"])
        return max(0.0, (when - datetime.now(UTC)).total_seconds())
    return None


def read_status(status: int, code: str, message: str, wait: float | None, model: str, base_url: str) -> Exception:
    """What an answer that is an error means for the run.

    `code` and `message` are the endpoint's own words, without the key; `wait` the seconds that it asks to wait.
    """
    quoted = f' ("{message}")' if message else ""
    no_credit = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
    if status == 402 or code in no_credit:
        return StoppedError(
            f"{base_url}: the account has no credit left ({status} {code}); top it up or use another key"
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
    if code in ("content_filter", "content_policy_violation"):
        return UnansweredError(f"the endpoint refuses the question: {code}", is_final=True)
    if status in (400, 422) and re.search(
        r"response_format|json.?schema|structured|guided|grammar", message, re.IGNORECASE
    ):
        return SchemaRefusedError(message)
    return StoppedError(f"{base_url}: it refuses the request (status {status}){quoted}; see the source's settings")
