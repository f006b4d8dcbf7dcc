"""Ask an LLM over any OpenAI-compatible endpoint for the replies that a ledger lacks, and keep each as it arrives.

The client of the openai package sends the requests and tenacity repeats them. The client's own retries are off: they
would pass rate limit and budget by, retry an exhausted quota, and send again what was perhaps billed without anyone's
knowing. A request whose outcome is unknown (timed out, cut off) is written down before it is repeated, as a rejected
reply at the most that it can have cost.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from random import uniform
from typing import TYPE_CHECKING

from pydantic import JsonValue, ValidationError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential
from tqdm import tqdm

from fieldguide.core.errors import FieldguideError, name_some
from fieldguide.core.signals import REPEAT_WINDOW
from fieldguide.core.stage import log
from fieldguide.texts.endpoint import (
    Billed,
    Completion,
    Endpoint,
    SchemaRefusedError,
    StoppedError,
    UnansweredError,
    read_status,
    retry_after,
)
from fieldguide.texts.ledger import LedgerRecord, Message, Request, Usage, append_record, record_line, request_key
from fieldguide.texts.naming import NameIndex
from fieldguide.texts.questions import (
    NO_ANSWER,
    NO_COMPLETION,
    UNFIT,
    Question,
    Slot,
    follow_up_to,
    wire_parameters,
)
from fieldguide.texts.rate_limit import RateLimiter, Tally
from fieldguide.texts.replies import find_error
from fieldguide.texts.settings import LLMSource

if TYPE_CHECKING:
    from openai import APIStatusError

LONGEST_PAUSE = 60.0
"""Seconds; a pause before a repeated request doubles up to this."""
PROGRESS_EVERY = 15.0
"""Seconds between two lines of the log."""
TOKENS_AROUND = 16
"""Tokens that a chat template may add to a message, at most."""
INTERRUPTED = "interrupted"


def input_tokens_at_most(messages: Sequence[Message], parameters: Mapping[str, JsonValue]) -> int:
    """An upper bound of a request's tokens: no tokenizer makes more tokens than bytes."""
    total = sum(len(message.content.encode()) + TOKENS_AROUND for message in messages)
    return total + (len(str(parameters["response_format"]).encode()) if "response_format" in parameters else 0)


class Client:
    """One run over the replies that are missing. `source` names the text source, `settings` are its own."""

    def __init__(
        self,
        source: str,
        settings: LLMSource,
        question: Question,
        endpoint: Endpoint,
        class_names: Sequence[str],
        records: Sequence[LedgerRecord],
    ) -> None:
        self.source, self.settings, self.question, self.endpoint = source, settings, question, endpoint
        self.ledger = Path(settings.ledger)
        self.other_names = NameIndex(class_names if settings.other_classes == "refuse" else ())
        self.tally = Tally(spent=sum(record.price_usd or 0 for record in records))
        self.rejected: dict[tuple[str, int], list[LedgerRecord]] = {}
        for record in records:
            self.remember(record)
        self.with_schema = self.known_form(class_names, records)
        self.failures: dict[Slot, str] = {}
        self.failed_in_a_row = 0
        self.was_answered = False

    def remember(self, record: LedgerRecord) -> None:
        """Keep a rejected reply, which decides what is asked next; not a request that brought none."""
        if record.rejected is not None and not record.rejected.startswith(UNFIT):
            self.rejected.setdefault((record.key, record.reply_index), []).append(record)

    def known_form(self, class_names: Sequence[str], records: Sequence[LedgerRecord]) -> bool | None:
        """Whether to ask with a JSON schema; None while `auto` has not found out."""
        if len(self.question.forms) == 1:
            return self.question.forms[0]
        accepted = {record.key for record in records if record.rejected is None}
        for with_schema in self.question.forms:
            if any(request_key(self.question.request(name, with_schema)) in accepted for name in class_names):
                return with_schema
        return None

    # ------------------------------------------------------------ all replies

    async def run(self, slots: Sequence[Slot]) -> None:
        """Ask for all slots; raises StoppedError when the run ended before it had tried them all."""
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient

        # Only warnings of the libraries, whatever the environment says: their debug lines hold requests.
        for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self.limiter = RateLimiter(self.settings, self.tally)
        waiting = iter(slots)
        http = DefaultAsyncHttpxClient(trust_env=not self.endpoint.is_here)
        # The bar shows rate, dollars and the time left; there is none where there is no terminal.
        with (
            tqdm(total=len(slots), unit="reply", desc=self.source, disable=None) as self.bar,
            self.stopping_on_signals(),
        ):
            async with AsyncOpenAI(
                # The client insists on a key; an endpoint that wants none does not look at it.
                api_key=self.endpoint.key or "none",
                base_url=self.endpoint.base_url,
                timeout=self.settings.timeout,
                max_retries=0,
                http_client=http,
            ) as client:
                # Its parts are imported when they are first used, which is not to count against a time-out.
                self.completions = client.chat.completions.with_raw_response
                reporter = asyncio.create_task(self.report(len(slots)))
                try:
                    # Until `auto` knows the form, one reply at a time is asked for.
                    while self.with_schema is None and (slot := next(waiting, None)):
                        await self.fill(slot)
                    workers = [self.work(waiting) for _ in range(min(self.settings.max_concurrency, len(slots)))]
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
            await self.limiter.stop(str(problem) if isinstance(problem, StoppedError) else "another request failed")
            raise

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
    def stopping_on_signals(self) -> Iterator[None]:
        """On Ctrl-C, SIGTERM or SIGHUP wait for the replies under way, which are paid for; a later one ends at once."""
        loop, first = asyncio.get_running_loop(), 0.0
        tasks: list[asyncio.Task[None]] = []

        def on_signal() -> None:
            nonlocal first
            if not first:
                first = time.monotonic()
                under_way = self.limiter.under_way
                log.warning("stopping: waiting for %d replies under way; once more to leave them", under_way)
                tasks.append(loop.create_task(self.limiter.stop(INTERRUPTED)))
            elif time.monotonic() - first > REPEAT_WINDOW:
                raise KeyboardInterrupt

        before = {}
        with suppress(ValueError, RuntimeError, NotImplementedError):  # not in the main thread
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a shell's background: meant so
                    before[number] = signal.getsignal(number)
                    loop.add_signal_handler(number, on_signal)
        try:
            yield
        finally:
            with suppress(ValueError, RuntimeError):
                for number, handler in before.items():
                    loop.remove_signal_handler(number)
                    # Once stopped, the process is on its way out, and the second signal may still come.
                    signal.signal(number, signal.SIG_IGN if first else handler)

    # ------------------------------------------------------------ one reply

    async def fill(self, slot: Slot) -> None:
        """Ask for one reply until it can be used, or its attempts are over."""
        reason, attempts = "", 0
        while attempts < self.settings.attempts:
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

    def do_without_schema(self, refusal: str) -> None:
        """Ask for Markdown from now on, where the source leaves the choice."""
        if len(self.question.forms) == 1:
            raise StoppedError(
                f"{self.endpoint.base_url}: it takes no JSON schema for the model {self.question.model!r} ({refusal});"
                f' set texts.{self.source}.structured to "off" or auto'
            )
        if self.with_schema is not False:
            log.info("%s takes no JSON schema (%s); asking for Markdown", self.endpoint.base_url, refusal)
        self.with_schema = False

    def stop_when_nothing_answers(self, reason: str) -> None:
        """Stop when no connection ever came about, or one reply after the other was given up with none in between."""
        self.failed_in_a_row += 1
        if not self.was_answered or self.failed_in_a_row >= max(3, 2 * self.settings.max_concurrency):
            raise StoppedError(f"{self.endpoint.base_url}: it does not answer ({reason})")

    async def ask(self, slot: Slot) -> LedgerRecord:
        """Send a request, again while it is not answered; the record of the reply, whether it can be used or not."""
        # One for each request: requests under way side by side would overwrite the state of a shared one.
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda problem: isinstance(problem, UnansweredError) and not problem.is_final),
            stop=self.is_last_try,
            wait=self.pause_after,
            sleep=self.limiter.pause,
            reraise=True,
        )
        try:
            return await retrying(self.ask_once, slot)
        except UnansweredError as problem:
            if not problem.is_final:
                self.stop_when_nothing_answers(problem.reason)
            raise

    def is_last_try(self, state: RetryCallState) -> bool:
        """Whether the retries are over: sooner while no connection ever came about."""
        return state.attempt_number > self.settings.retries or (state.attempt_number > 2 and not self.was_answered)

    def pause_after(self, state: RetryCallState) -> float:
        """Seconds before a repeated request: what the endpoint asks for, else doubling from `backoff`, with jitter."""
        problem = state.outcome and state.outcome.exception()
        if isinstance(problem, UnansweredError) and problem.pause is not None:
            return problem.pause + uniform(0, 0.1 * self.settings.backoff)
        return wait_exponential(multiplier=self.settings.backoff, max=LONGEST_PAUSE)(state) * uniform(0.5, 1)

    async def ask_once(self, slot: Slot) -> LedgerRecord:
        """Send one request as pace and budget allow, and write down what came of it and may have been billed."""
        with_schema = self.question.forms[0] if self.with_schema is None else self.with_schema
        request = self.question.request(slot.class_name, with_schema)
        earlier = self.rejected.get((request_key(request), slot.reply_index), [])
        follow_up = follow_up_to(earlier[-1] if earlier else None)
        parameters = wire_parameters(request, slot.reply_index, len(earlier))
        messages = (*request.messages, *follow_up)
        tokens_in = input_tokens_at_most(messages, parameters)
        tokens_out = self.question.longest_reply or 0
        at_most = self.settings.prices.cost(tokens_in, tokens_out)
        async with self.limiter.admit(tokens_in + tokens_out, at_most) as sent_at:
            try:
                body = await self.send(messages, parameters)
            except UnansweredError as problem:
                self.was_answered |= problem.was_sent
                self.tally.unanswered += 1
                if problem.was_limited:
                    self.limiter.lower_concurrency(sent_at)
                if problem.may_be_billed and at_most:
                    reason = f"{NO_ANSWER}: {problem.reason}"
                    await self.write_down(self.record(slot, request, follow_up, "", at_most, rejected=reason))
                raise
            self.was_answered = True
            self.limiter.raise_concurrency()
            record = self.read(body, slot, request, follow_up, at_most)
            if record.usage:
                used = record.usage.prompt_tokens + record.usage.completion_tokens
                self.limiter.tokens.give_back(max(0, tokens_in + tokens_out - used))
            await self.write_down(record)
        if self.with_schema is None:
            self.with_schema = with_schema
        return record

    async def send(self, messages: Sequence[Message], parameters: Mapping[str, JsonValue]) -> str:
        """The body of the answer, without the key. Raises UnansweredError, SchemaRefusedError or StoppedError."""
        import openai

        try:
            async with asyncio.timeout(self.settings.timeout):
                answer = await self.completions.create(
                    model=self.question.model,
                    messages=[{"role": message.role, "content": message.content} for message in messages],  # type: ignore[misc]
                    extra_body=dict(parameters),
                )
                return self.endpoint.redact(answer.text)
        except (TimeoutError, openai.APITimeoutError):
            raise UnansweredError(f"timed out after {self.settings.timeout:g} s", may_be_billed=True) from None
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            what = self.endpoint.redact_error(str(cause)) or type(cause).__name__
            was_sent = type(cause).__name__ not in ("ConnectError", "ConnectTimeout", "PoolTimeout")
            raise UnansweredError(f"the connection failed: {what}", may_be_billed=was_sent, was_sent=was_sent) from None
        except openai.APIStatusError as error:
            self.was_answered = True
            raise self.read_error(error) from None

    def read_error(self, error: APIStatusError) -> Exception:
        """What an answer that is an error means, by its status and its own words."""
        message = error.body.get("message") if isinstance(error.body, dict) else error.response.text
        # The words beside a refused key are about the key.
        quoted = "" if error.status_code == 401 else self.endpoint.redact_error(str(message or ""))
        code = self.endpoint.redact_error(str(error.code or error.type or ""))
        wait = retry_after(error.response.headers)
        return read_status(error.status_code, code, quoted, wait, self.question.model, self.endpoint.base_url)

    def read(
        self, body: str, slot: Slot, request: Request, follow_up: tuple[Message, ...], at_most: float
    ) -> LedgerRecord:
        """The record of an answer: its reply, and why it cannot be used if it cannot."""
        usage = None
        with suppress(ValidationError):
            usage = Usage(**Billed.model_validate_json(body).usage.model_dump())
        # An endpoint that reports no usage is taken at the most it may have cost.
        price = self.settings.prices.cost(usage.prompt_tokens, usage.completion_tokens) if usage else at_most
        try:
            completion = Completion.model_validate_json(body)
        except ValidationError:
            return self.record(slot, request, follow_up, body, price, usage, NO_COMPLETION)
        choice = completion.choices[0]
        reply = choice.message.content or choice.message.refusal or ""
        refused, fields = bool(choice.message.refusal), self.question.fields
        error = find_error(reply, choice.finish_reason, refused, slot.class_name, fields, self.other_names)
        return self.record(slot, request, follow_up, reply, price, usage, error, completion.id, completion.model)

    def record(
        self,
        slot: Slot,
        request: Request,
        follow_up: tuple[Message, ...],
        reply: str,
        price: float,
        usage: Usage | None = None,
        rejected: str | None = None,
        response_id: str | None = None,
        served_model: str | None = None,
    ) -> LedgerRecord:
        """A record for the ledger, without the key."""
        return LedgerRecord(
            key=request_key(request),
            request=request,
            reply_index=slot.reply_index,
            class_name=slot.class_name,
            reply=self.endpoint.redact(reply),
            synthetic=False,
            usage=usage,
            price_usd=price,
            created=datetime.now(UTC),
            response_id=self.endpoint.redact(response_id or "") or None,
            served_model=self.endpoint.redact(served_model or "") or None,
            follow_up=follow_up,
            rejected=rejected,
        )

    async def write_down(self, record: LedgerRecord) -> None:
        """Put a record into the ledger and the tally; returns when it is on the disk."""
        self.tally.add_cost(record)
        try:
            await asyncio.to_thread(append_record, self.ledger, record)
        except OSError as error:
            line = record_line(record).decode().rstrip()
            log.error("%s could not be written; append this line by hand, it was paid for: %s", self.ledger, line)
            raise StoppedError(
                f"{self.ledger}: {error.strerror}; the log holds the reply that could not be written"
            ) from None
        if record.rejected is None:
            self.tally.accepted += 1
            self.bar.update()
        else:
            self.remember(record)
            self.tally.rejected += not record.rejected.startswith(NO_ANSWER)
        self.bar.set_postfix_str(f"${self.tally.cost:.4f}", refresh=False)


def request_replies(
    source: str,
    settings: LLMSource,
    question: Question,
    endpoint: Endpoint,
    class_names: Sequence[str],
    records: Sequence[LedgerRecord],
    slots: Sequence[Slot],
) -> None:
    """Ask for the replies of all slots, append them to the ledger, and say what they cost.

    `records` are the ledger's. Raises FieldguideError when some are still missing, with their classes and reasons; all
    others have then been asked for, unless the run was stopped (key, quota, model, budget, endpoint down), which is
    said.
    """
    client = Client(source, settings, question, endpoint, class_names, records)
    tally, stopped = client.tally, ""
    log.info("%s: asking %s for %d replies of %s", source, endpoint.base_url, len(slots), question.model)
    try:
        asyncio.run(client.run(slots))
    except StoppedError as stop:
        stopped = str(stop)
    finally:
        log.info("%s: %s", source, tally)
        if not sys.stderr.isatty():  # the log goes to a file: say it on the terminal too
            print(f"{source}: {tally}", flush=True)
    if stopped == INTERRUPTED:
        raise KeyboardInterrupt
    missing = len(slots) - tally.accepted
    if stopped:
        raise FieldguideError(
            f"{stopped}. {tally.accepted} replies were received and are kept in {client.ledger}, {missing} are missing"
        )
    if client.failures:
        by_class: dict[str, list[str]] = {}
        for slot, reason in sorted(client.failures.items()):
            by_class.setdefault(slot.class_name, []).append(f"reply {slot.reply_index + 1}: {reason}")
        named = [f"{name} ({'; '.join(reasons)})" for name, reasons in by_class.items()]
        raise FieldguideError(
            f"{source}: {missing} replies about {len(named)} classes are missing: {name_some(named)}. All others are in"
            f" {client.ledger}, with the rejected ones; run again to ask for these alone"
        )
