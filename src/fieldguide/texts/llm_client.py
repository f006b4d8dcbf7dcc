"""Ask an LLM over any OpenAI-compatible endpoint for the replies that a ledger lacks, and keep each as it arrives.

The client of the openai package sends the requests; its own retries are off. They would pass rate limit and budget by,
retry an exhausted quota, and have no setting for their first pause. A request whose outcome is unknown (timed out, cut
off) may have been billed: it is written down as a rejected reply at the most that it can have cost.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, JsonValue, ValidationError
from tqdm import tqdm

from fieldguide.core.errors import FieldguideError, name_some
from fieldguide.core.stage import log
from fieldguide.texts.ledger import LedgerRecord, Message, Request, Usage, append_record, record_line, request_key
from fieldguide.texts.questions import (
    NO_ANSWER,
    NO_COMPLETION,
    UNFIT,
    Question,
    Slot,
    follow_up_to,
    wire_parameters,
)
from fieldguide.texts.replies import fault_of

if TYPE_CHECKING:
    from openai import APIStatusError

LONGEST_PAUSE = 60.0
"""Seconds; a pause before a repeated request doubles up to this."""
LONGEST_RETRY_AFTER = 600.0
"""Seconds; an endpoint that asks to come back later than that ends the run."""
PROGRESS_EVERY = 15.0
"""Seconds between two lines of the log."""
TOKENS_AROUND = 16
"""Tokens that a chat template may add to a message, at most."""


@dataclass(frozen=True)
class Limits:
    """How an endpoint may be used; nothing here changes a reply."""

    max_concurrency: int = 8
    requests_per_minute: float = 0  # 0: no limit of its own
    tokens_per_minute: float = 0
    budget_usd: float | None = None  # of all that the ledger records
    input_price: float = 0  # USD per million tokens
    output_price: float = 0
    attempts: int = 4  # at a reply that can be used
    retries: int = 8  # of a request that was not answered
    backoff: float = 1  # seconds; the first pause before a retry
    timeout: float = 120  # seconds for one request
    refuse_other_classes: bool = True

    def price(self, usage: Usage) -> float:
        """What a reply cost, USD."""
        return (usage.prompt_tokens * self.input_price + usage.completion_tokens * self.output_price) / 1e6


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
    """Whether an endpoint is one that answers nobody without a key; others may, local ones above all."""
    host = urlsplit(base_url).hostname or ""
    return host == "openai.com" or host.endswith(".openai.com")


def find_endpoint(base_url: str, variable: str) -> Endpoint:
    """The endpoint with its key, read from the environment.

    Raises FieldguideError when the key is missing and needed, or is none; the key itself is never said.
    """
    key = os.environ.get(variable, "").strip()
    if not key and needs_key(base_url):
        raise FieldguideError(f"{variable} is not set in the environment, and {base_url} answers nobody without a key")
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


def read_status(status: int, code: str, said: str, wait: float | None, model: str, base_url: str) -> Exception:
    """What an answer that is an error means for the run.

    `code` and `said` are the endpoint's own words, without the key.
    """
    quoted = f' ("{said}")' if said else ""
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
        r"response_format|json.?schema|structured|guided|grammar", said, re.IGNORECASE
    ):
        return SchemaRefusedError(said)
    return StoppedError(f"{base_url}: it refuses the request (status {status}){quoted}; see the source's settings")


# ---------------------------------------------------------------- pace, room and money


class Pace:
    """Spreads what is used evenly: no minute holds more than `per_minute` and one request."""

    def __init__(self, per_minute: float) -> None:
        self.per_minute = per_minute
        self.free_at = 0.0

    def book(self, amount: float, now: float) -> float:
        """Seconds until `amount` may be used, which is then taken."""
        if not self.per_minute:
            return 0.0
        start = max(now, self.free_at)
        self.free_at = start + 60 * amount / self.per_minute
        return start - now

    def give_back(self, amount: float) -> None:
        """Return what was booked and not used."""
        if self.per_minute:
            self.free_at -= 60 * amount / self.per_minute


@dataclass
class Tally:
    """What a run asked and paid."""

    spent: float = 0  # USD that the ledger records, earlier runs included
    reserved: float = 0  # the most that the requests under way can cost
    cost: float = 0  # USD of this run
    requests: int = 0
    accepted: int = 0
    rejected: int = 0
    unanswered: int = 0
    tokens_in: int = 0
    tokens_out: int = 0

    def __str__(self) -> str:
        return (
            f"{self.requests} requests: {self.accepted} replies accepted, {self.rejected} rejected,"
            f" {self.unanswered} unanswered; {self.tokens_in} tokens in,"
            f" {self.tokens_out} out, ${self.cost:.4f}; ${self.spent:.4f} in the ledger in all"
        )


class Gate:
    """Lets requests through: as many at a time as the endpoint takes, at its pace, within the budget.

    How many go at a time falls by a quarter when the endpoint says that they are too many, and grows again by one for
    as many replies as are under way (additive increase, multiplicative decrease, as in TCP).
    """

    def __init__(self, limits: Limits, tally: Tally) -> None:
        self.limits, self.tally = limits, tally
        self.width = float(limits.max_concurrency)
        self.narrowed_at = 0.0
        self.under_way = 0
        self.requests, self.tokens = Pace(limits.requests_per_minute), Pace(limits.tokens_per_minute)
        self.changed = asyncio.Condition()
        self.stopping = asyncio.Event()
        self.why = ""

    async def stop(self, why: str) -> None:
        """Let nothing more through; requests under way are waited for, since they are paid for."""
        if not self.stopping.is_set():
            self.why = why
            self.stopping.set()
        async with self.changed:
            self.changed.notify_all()

    def refuse_when_stopping(self) -> None:
        if self.stopping.is_set():
            raise StoppedError(self.why)

    async def pause(self, seconds: float) -> None:
        """Sleep, but not longer than the run goes on."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)
        self.refuse_when_stopping()

    def fits(self, dollars: float) -> bool:
        """Whether a request that may cost so much can be sent without passing the budget, whatever the others cost."""
        budget = self.limits.budget_usd
        return budget is None or self.tally.spent + self.tally.reserved + dollars <= budget

    def may_go(self, dollars: float) -> bool:
        self.refuse_when_stopping()
        if not self.fits(dollars) and not self.under_way:
            raise StoppedError(
                f"the budget of ${self.limits.budget_usd:g} is used up (${self.tally.spent:.4f} spent, and the next"
                f" request may cost ${dollars:.4f}); raise `budget_usd` to go on"
            )
        return self.under_way < max(1, int(self.width)) and self.fits(dollars)

    @asynccontextmanager
    async def passed(self, tokens: int, dollars: float) -> AsyncIterator[float]:
        """Wait for room, budget and pace; yields the time at which the request is sent."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.may_go(dollars))
            self.under_way += 1
            self.tally.reserved += dollars
        try:
            now = time.monotonic()
            wait = max(self.requests.book(1, now), self.tokens.book(tokens, now))
            if wait > 0:
                await self.pause(wait)
            self.tally.requests += 1
            yield time.monotonic()
        finally:
            self.under_way -= 1
            self.tally.reserved -= dollars
            async with self.changed:
                self.changed.notify_all()

    def widen(self) -> None:
        """A request was answered."""
        self.width = min(self.width + 1 / max(1.0, self.width), self.limits.max_concurrency)

    def narrow(self, sent_at: float) -> None:
        """A request was one too many; those sent before the last narrowing say nothing new."""
        if sent_at >= self.narrowed_at:
            self.width = max(1.0, 0.75 * self.width)
            self.narrowed_at = time.monotonic()


# ---------------------------------------------------------------- asking


def input_tokens_at_most(messages: Sequence[Message], parameters: Mapping[str, JsonValue]) -> int:
    """An upper bound of a request's tokens: no tokenizer makes more tokens than bytes."""
    said = sum(len(message.content.encode()) + TOKENS_AROUND for message in messages)
    return said + (len(str(parameters["response_format"]).encode()) if "response_format" in parameters else 0)


class Asker:
    """One run over the slots that are missing."""

    def __init__(
        self,
        source: str,
        question: Question,
        ledger: Path,
        endpoint: Endpoint,
        limits: Limits,
        class_names: Sequence[str],
        records: Sequence[LedgerRecord],
    ) -> None:
        self.source, self.question, self.ledger = source, question, ledger
        self.endpoint, self.limits, self.class_names = endpoint, limits, class_names
        self.tally = Tally(spent=sum(record.price_usd or 0 for record in records))
        self.last: dict[tuple[str, int], list[LedgerRecord]] = {}
        for record in records:
            self.remember(record)
        self.with_schema = self.known_form(records)
        self.failures: dict[Slot, str] = {}
        self.failed_in_a_row = 0
        self.was_answered = False
        self.random = Random()

    def remember(self, record: LedgerRecord) -> None:
        """Keep a rejected reply, which decides what is asked next; not a request that brought none."""
        if record.rejected is not None and not record.rejected.startswith(UNFIT):
            self.last.setdefault((record.key, record.reply_index), []).append(record)

    def known_form(self, records: Sequence[LedgerRecord]) -> bool | None:
        """Whether to ask with a JSON schema; None while `auto` has not found out."""
        if len(self.question.forms) == 1:
            return self.question.forms[0]
        accepted = {record.key for record in records if record.rejected is None}
        for with_schema in self.question.forms:
            if any(request_key(self.question.request(name, with_schema)) in accepted for name in self.class_names):
                return with_schema
        return None

    async def run(self, slots: Sequence[Slot]) -> None:
        """Ask for all slots; raises StoppedError when the run ended before it had tried them all."""
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2"):
            quieten(name)
        self.gate = Gate(self.limits, self.tally)
        waiting = iter(slots)
        http = DefaultAsyncHttpxClient(trust_env=not self.endpoint.is_here)
        with self.progress(len(slots)) as self.bar, self.heeding_signals():
            async with AsyncOpenAI(
                # The client insists on a key; an endpoint that wants none does not look at it.
                api_key=self.endpoint.key or "none",
                base_url=self.endpoint.base_url,
                timeout=self.limits.timeout,
                max_retries=0,
                http_client=http,
            ) as self.client:
                # Its parts are imported when they are first used, which is not to count against a time-out.
                self.completions = self.client.chat.completions.with_raw_response
                reporter = asyncio.create_task(self.report(len(slots)))
                try:
                    # Until `auto` knows the form, one reply at a time is asked for.
                    while self.with_schema is None and (slot := next(waiting, None)):
                        await self.fill(slot)
                    workers = [self.work(waiting) for _ in range(min(self.limits.max_concurrency, len(slots)))]
                    done = await asyncio.gather(*workers, return_exceptions=True)
                finally:
                    reporter.cancel()
        # What nobody foresaw goes first, with its traceback.
        for problem in sorted(filter(None, done), key=lambda one: isinstance(one, StoppedError)):
            raise problem

    async def work(self, waiting: Iterator[Slot]) -> None:
        """Fill slots until none is left."""
        try:
            for slot in waiting:
                await self.fill(slot)
        except BaseException as problem:
            await self.gate.stop(str(problem) if isinstance(problem, StoppedError) else "another request failed")
            raise

    async def fill(self, slot: Slot) -> None:
        """Ask for one reply until it can be used, or its attempts are over."""
        reason, attempts = "", 0
        while attempts < self.limits.attempts:
            try:
                record = await self.ask(slot)
            except SchemaRefusedError as refusal:
                self.do_without_schema(str(refusal))
                continue
            except UnansweredError as problem:
                reason = problem.reason
                break
            if record.rejected is None:
                self.failed_in_a_row = 0
                return
            reason = record.rejected if record.rejected.startswith(UNFIT) else f"it {record.rejected}"
            attempts += 1
        else:
            if reason.startswith(UNFIT):
                self.stop_when_nothing_answers(reason)
        self.failures[slot] = reason
        log.warning("%s, reply %d: given up for this run: %s", slot.class_name, slot.reply_index + 1, reason)

    def do_without_schema(self, said: str) -> None:
        """Ask for Markdown from now on, where the source leaves the choice."""
        if len(self.question.forms) == 1:
            raise StoppedError(
                f"{self.endpoint.base_url}: it takes no JSON schema for the model {self.question.model!r} ({said});"
                f' set texts.{self.source}.structured to "off" or auto'
            )
        if self.with_schema is not False:
            log.info("%s takes no JSON schema (%s); asking for Markdown", self.endpoint.base_url, said)
        self.with_schema = False

    async def ask(self, slot: Slot) -> LedgerRecord:
        """Send one request, again while it is not answered, and write the reply down, whether it can be used or not."""
        with_schema = self.question.forms[0] if self.with_schema is None else self.with_schema
        request = self.question.request(slot.class_name, with_schema)
        key = (request_key(request), slot.reply_index)
        for retry in range(self.limits.retries + 1):
            earlier = self.last.get(key, [])
            follow_up = follow_up_to(earlier[-1] if earlier else None)
            parameters = wire_parameters(request, slot.reply_index, len(earlier))
            messages = (*request.messages, *follow_up)
            tokens_in = input_tokens_at_most(messages, parameters)
            tokens_out = self.question.longest_reply or 0
            at_most = (tokens_in * self.limits.input_price + tokens_out * self.limits.output_price) / 1e6
            try:
                async with self.gate.passed(tokens_in + tokens_out, at_most) as sent_at:
                    try:
                        body = await self.send(messages, parameters)
                    except UnansweredError as problem:
                        self.was_answered |= problem.was_sent
                        if problem.was_limited:
                            self.gate.narrow(sent_at)
                        if problem.may_be_billed and at_most:
                            await self.write_down(
                                self.unbilled(slot, request, follow_up, f"{NO_ANSWER}: {problem.reason}", at_most)
                            )
                        raise
                    self.was_answered = True
                    self.gate.widen()
                    record = self.read(body, slot, request, follow_up, at_most)
                    if record.usage:
                        used = record.usage.prompt_tokens + record.usage.completion_tokens
                        self.gate.tokens.give_back(max(0, tokens_in + tokens_out - used))
                    await self.write_down(record)
                if self.with_schema is None:
                    self.with_schema = with_schema
                return record
            except UnansweredError as problem:
                self.tally.unanswered += 1
                if problem.is_final:
                    raise
                if retry == self.limits.retries or (retry >= 2 and not self.was_answered):
                    self.stop_when_nothing_answers(problem.reason)
                    raise
                await self.gate.pause(self.pause_after(retry, problem.pause))
        raise AssertionError("not reached")

    def stop_when_nothing_answers(self, reason: str) -> None:
        """Stop when no connection ever came about, or one reply after the other was given up with none in between."""
        self.failed_in_a_row += 1
        if not self.was_answered or self.failed_in_a_row >= max(3, 2 * self.limits.max_concurrency):
            raise StoppedError(f"{self.endpoint.base_url}: it does not answer ({reason})")

    def pause_after(self, retry: int, asked: float | None) -> float:
        """Seconds before a repeated request: what the endpoint asks for, else doubling from `backoff`, with jitter."""
        if asked is not None:
            return asked + self.random.uniform(0, 0.1 * self.limits.backoff)
        return min(self.limits.backoff * 2**retry, LONGEST_PAUSE) * self.random.uniform(0.5, 1)

    async def send(self, messages: Sequence[Message], parameters: Mapping[str, JsonValue]) -> str:
        """The body of the answer, without the key. Raises UnansweredError, SchemaRefusedError or StoppedError."""
        import openai

        try:
            async with asyncio.timeout(self.limits.timeout):
                answer = await self.completions.create(
                    model=self.question.model,
                    messages=[{"role": message.role, "content": message.content} for message in messages],  # type: ignore[misc]
                    extra_body=dict(parameters),
                )
                return self.endpoint.redact(answer.text)
        except (TimeoutError, openai.APITimeoutError):
            raise UnansweredError(f"timed out after {self.limits.timeout:g} s", may_be_billed=True) from None
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            said = self.endpoint.redact_error(str(cause)) or type(cause).__name__
            was_sent = type(cause).__name__ not in ("ConnectError", "ConnectTimeout", "PoolTimeout")
            raise UnansweredError(f"the connection failed: {said}", may_be_billed=was_sent, was_sent=was_sent) from None
        except openai.APIStatusError as error:
            self.was_answered = True
            raise self.read_error(error) from None

    def read_error(self, error: APIStatusError) -> Exception:
        """What an answer that is an error means, by its status and its own words."""
        said = error.body.get("message") if isinstance(error.body, dict) else error.response.text
        # The words beside a refused key are about the key.
        shown = "" if error.status_code == 401 else self.endpoint.redact_error(str(said or ""))
        code = self.endpoint.redact_error(str(error.code or error.type or ""))
        wait = retry_after(error.response.headers)
        return read_status(error.status_code, code, shown, wait, self.question.model, self.endpoint.base_url)

    def read(
        self, body: str, slot: Slot, request: Request, follow_up: tuple[Message, ...], at_most: float
    ) -> LedgerRecord:
        """The record of an answer: its reply, and why it cannot be used if it cannot."""
        usage: Usage | None = None
        completion: Completion | None
        rejected: str | None
        with suppress(ValidationError):
            usage = Usage(**Billed.model_validate_json(body).usage.model_dump())
        try:
            completion = Completion.model_validate_json(body)
        except ValidationError:
            completion, reply, rejected = None, body, NO_COMPLETION
        else:
            choice = completion.choices[0]
            reply = choice.message.content or choice.message.refusal or ""
            rejected = fault_of(
                reply,
                choice.finish_reason,
                bool(choice.message.refusal),
                slot.class_name,
                self.question.fields,
                self.class_names if self.limits.refuse_other_classes else (),
            )
        return LedgerRecord(
            key=request_key(request),
            request=request,
            reply_index=slot.reply_index,
            class_name=slot.class_name,
            reply=self.endpoint.redact(reply),
            synthetic=False,
            usage=usage,
            # An endpoint that reports no usage is taken at the most it may have cost.
            price_usd=self.limits.price(usage) if usage else at_most,
            created=datetime.now(UTC),
            response_id=self.endpoint.redact((completion and completion.id) or "") or None,
            served_model=self.endpoint.redact((completion and completion.model) or "") or None,
            follow_up=follow_up,
            rejected=rejected,
        )

    def unbilled(
        self, slot: Slot, request: Request, follow_up: tuple[Message, ...], reason: str, at_most: float
    ) -> LedgerRecord:
        """The record of a request that brought nothing and may have been billed."""
        return LedgerRecord(
            key=request_key(request),
            request=request,
            reply_index=slot.reply_index,
            class_name=slot.class_name,
            reply="",
            synthetic=False,
            price_usd=at_most,
            created=datetime.now(UTC),
            follow_up=follow_up,
            rejected=reason,
        )

    async def write_down(self, record: LedgerRecord) -> None:
        """Put a record into the ledger and the books; returns when it is on the disk."""
        tally, price = self.tally, record.price_usd or 0
        tally.spent += price
        tally.cost += price
        if record.usage:
            tally.tokens_in += record.usage.prompt_tokens
            tally.tokens_out += record.usage.completion_tokens
        try:
            await asyncio.to_thread(append_record, self.ledger, record)
        except OSError as error:
            line = record_line(record).decode().rstrip()
            log.error("%s could not be written; append this line by hand, it was paid for: %s", self.ledger, line)
            raise StoppedError(
                f"{self.ledger}: {error.strerror}; the log holds the reply that could not be written"
            ) from None
        if record.rejected is None:
            tally.accepted += 1
            self.bar.update()
        else:
            self.remember(record)
            tally.rejected += not record.rejected.startswith(NO_ANSWER)
        self.bar.set_postfix_str(f"${tally.cost:.4f}", refresh=False)

    # ------------------------------------------------------------ what the user sees

    @contextmanager
    def progress(self, total: int) -> Iterator[tqdm[Any]]:
        """A bar with rate, dollars and the time left; none where there is no terminal."""
        with tqdm(total=total, unit="reply", desc=self.source, disable=None) as bar:
            yield bar

    async def report(self, total: int) -> None:
        """A line in the log now and then."""
        started = time.monotonic()
        while self.bar.disable:
            await asyncio.sleep(PROGRESS_EVERY)
            done = self.tally.accepted
            rate = done / (time.monotonic() - started)
            left = f"{(total - done) / rate:.0f} s left" if done else "none yet"
            log.info("%d of %d replies, %.1f a second, $%.4f, %s", done, total, rate, self.tally.cost, left)

    @contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """On Ctrl-C or SIGTERM wait for the replies under way, which are paid for; a second one ends at once."""
        loop, signals = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)

        def heed() -> None:
            log.warning("stopping: waiting for %d replies under way; once more to leave them", self.gate.under_way)
            # A terminal's Ctrl-C comes twice, from the terminal and from Snakemake, and is meant once.
            for number in signals:
                loop.remove_signal_handler(number)
                signal.signal(number, signal.SIG_IGN)
            loop.call_later(MEANT_ONCE, listen_again)
            tasks.append(loop.create_task(self.gate.stop(INTERRUPTED)))

        def listen_again() -> None:
            for number in signals:
                signal.signal(number, signal.default_int_handler)

        tasks: list[asyncio.Task[None]] = []
        with suppress(ValueError, RuntimeError, NotImplementedError):  # not in a thread
            for number in signals:
                loop.add_signal_handler(number, heed)
        try:
            yield
        finally:
            with suppress(ValueError, RuntimeError, NotImplementedError):
                for number in signals:
                    loop.remove_signal_handler(number)


INTERRUPTED = "interrupted"
MEANT_ONCE = 5.0  # seconds in which a second signal is taken for the first: what it would cost is paid for


def quieten(name: str) -> None:
    """Only warnings of a library, whatever the environment says: its debug lines hold requests."""
    import logging

    logging.getLogger(name).setLevel(logging.WARNING)


def buy_replies(
    source: str,
    question: Question,
    ledger: Path,
    endpoint: Endpoint,
    limits: Limits,
    class_names: Sequence[str],
    records: Sequence[LedgerRecord],
    slots: Sequence[Slot],
) -> None:
    """Ask for the replies of all slots, append them to the ledger, and say what they cost.

    Raises FieldguideError when some are still missing, with their classes and reasons; all others have then been asked
    for, unless the run was stopped (key, quota, model, budget, endpoint down), which is said.
    """
    asker = Asker(source, question, ledger, endpoint, limits, class_names, records)
    stopped = ""
    log.info("%s: asking %s for %d replies of %s", source, endpoint.base_url, len(slots), question.model)
    try:
        asyncio.run(asker.run(slots))
    except StoppedError as stop:
        stopped = str(stop)
    finally:
        log.info("%s: %s", source, asker.tally)
        if not sys.stderr.isatty():  # the log goes to a file: say it on the terminal too
            print(f"{source}: {asker.tally}", flush=True)
    if stopped == INTERRUPTED:
        raise KeyboardInterrupt
    lacking = len(slots) - asker.tally.accepted
    if stopped:
        raise FieldguideError(
            f"{stopped}. {asker.tally.accepted} replies were bought and are kept in {ledger}, {lacking} are missing"
        )
    if asker.failures:
        by_class: dict[str, list[str]] = {}
        for slot, reason in sorted(asker.failures.items()):
            by_class.setdefault(slot.class_name, []).append(f"reply {slot.reply_index + 1}: {reason}")
        named = [f"{name} ({'; '.join(reasons)})" for name, reasons in by_class.items()]
        raise FieldguideError(
            f"{source}: {lacking} replies about {len(named)} classes are missing: {name_some(named)}. All others are in"
            f" {ledger}, with the rejected ones; run again to ask for these alone"
        )
