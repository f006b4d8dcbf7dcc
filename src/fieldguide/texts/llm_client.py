"""Ask an LLM over any OpenAI-compatible endpoint for the replies that a ledger lacks, and keep each as it arrives.

The client of the openai package sends the requests and tenacity repeats them. The client's own retries are off: they
would pass rate limit and budget by, retry an exhausted quota, and send again what was perhaps billed without anyone's
knowing. A request whose outcome is unknown (timed out, cut off) is written down before it is repeated, as a rejected
reply at the most that it can have cost.

Until one reply can be used, one at a time is asked for: meanwhile the form that the endpoint takes is found out
(`negotiation`), and a run of which nothing will come ends before it costs much.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import uniform
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential
from tqdm import tqdm

from fieldguide.core.errors import FieldguideError, name_some
from fieldguide.core.signals import REPEAT_WINDOW
from fieldguide.core.stage import log
from fieldguide.texts.answers import (
    ErrorReport,
    RefusedError,
    StoppedError,
    UnansweredError,
    parse_json,
    read_completion,
    read_error_within,
    read_report,
    read_status,
    read_usage,
    retry_after,
)
from fieldguide.texts.endpoint import Endpoint, open_client
from fieldguide.texts.ledger import LedgerRecord, Message, Request, append_record, record_line, request_key
from fieldguide.texts.naming import NameIndex
from fieldguide.texts.negotiation import (
    NO_CHANGES,
    SCHEMA,
    Changes,
    apply_changes,
    changes_made,
    describe_change,
    find_refused,
    negotiate,
)
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
    from openai.resources.chat.completions import AsyncCompletionsWithRawResponse

LONGEST_PAUSE = 60.0
"""Seconds; a pause before a repeated request doubles up to this."""
PROGRESS_EVERY = 15.0
"""Seconds between two lines of the log."""
TOKENS_AROUND = 16
"""Tokens that a chat template may add to a message, at most."""
INTERRUPTED = "interrupted"
FIRST_FEW = 3
"""Replies given up with none accepted before them that end a run."""
FIRST_FEW_KNOWN = 12
"""The same where the ledger has replies to the same questions: these may be the hard ones that were left."""


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
        self.changes: Changes = NO_CHANGES
        self.failures: dict[Slot, str] = {}
        self.failed_in_a_row = 0
        self.was_answered = False
        self.unusable: Counter[str] = Counter()  # why replies of this run could not be used
        self.given_up = 0
        keys = {key for name in class_names for key in question.keys(name)}
        own = [record for record in records if record.question_key in keys]
        self.few = FIRST_FEW_KNOWN if any(record.rejected is None for record in own) else FIRST_FEW
        # Some endpoints do not count reasoning against the limit, so a reply may be longer than it allows.
        self.longest_reply = max([question.longest_reply or 0, *(r.usage.completion_tokens for r in own if r.usage)])

    @property
    def asks_with_schema(self) -> bool:
        """Whether the next request has a JSON schema."""
        return self.question.forms[0] if self.with_schema is None else self.with_schema

    def remember(self, record: LedgerRecord) -> None:
        """Keep a rejected reply, which decides what is asked next; not a request that brought none."""
        if record.rejected is not None and not record.rejected.startswith(UNFIT):
            self.rejected.setdefault((record.question_key, record.reply_index), []).append(record)

    def known_form(self, class_names: Sequence[str], records: Sequence[LedgerRecord]) -> bool | None:
        """Whether to ask with a JSON schema; None while `auto` has not found out."""
        if len(self.question.forms) == 1:
            return self.question.forms[0]
        accepted = {record.question_key for record in records if record.rejected is None}
        for with_schema in self.question.forms:
            if any(request_key(self.question.request(name, with_schema)) in accepted for name in class_names):
                return with_schema
        return None

    # ------------------------------------------------------------ all replies

    async def run(self, slots: Sequence[Slot]) -> None:
        """Ask for all slots; raises StoppedError when the run ended before it had tried them all."""
        self.limiter = RateLimiter(self.settings, self.tally)
        waiting = iter(slots)
        # The bar shows rate, dollars and the time left; there is none where there is no terminal.
        with (
            tqdm(total=len(slots), unit="reply", desc=self.source, disable=None) as self.bar,
            self.stopping_on_signals(),
        ):
            async with open_client(self.endpoint, self.settings.timeout) as client:
                # Its parts are imported when they are first used, which is not to count against a time-out.
                self.completions: AsyncCompletionsWithRawResponse = client.chat.completions.with_raw_response
                reporter = asyncio.create_task(self.report(len(slots)))
                try:
                    while not self.tally.accepted and (slot := next(waiting, None)):
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
            except RefusedError as refusal:
                self.answer_refusal(refusal)
                await self.limiter.pause(self.settings.backoff * uniform(0.5, 1))
                continue
            except UnansweredError as problem:
                reason = problem.reason
                if problem.is_final:
                    self.stop_when_hopeless(reason)
                break
            if record.rejected is None:
                self.failed_in_a_row = 0
                return
            reason = record.rejected if record.rejected.startswith(UNFIT) else f"it {record.rejected}"
            self.unusable[reason] += 1
            attempts += 1
        else:
            if reason.startswith(UNFIT):
                self.stop_when_nothing_answers(reason)
            else:
                self.stop_when_hopeless()
        self.failures[slot] = reason
        log.warning("%s, reply %d: given up for this run: %s", slot.class_name, slot.reply_index + 1, reason)

    def answer_refusal(self, refusal: RefusedError) -> None:
        """Ask in another form from now on; raises the refusal where there is none left that the source allows."""
        report, words = refusal.report, f' ("{refusal.report.words}")' if refusal.report.words else ""
        if refusal.form != (self.asks_with_schema, self.changes):
            return  # another request was refused meanwhile, and has changed the form
        parameters = {**self.question.parameters, **({SCHEMA: None} if self.asks_with_schema else {})}
        refused = find_refused(report, apply_changes(parameters, self.changes))
        # `auto` finds out by asking: what names nothing may mean the schema, once.
        if refused == SCHEMA or (refused is None and self.asks_with_schema and self.with_schema is None):
            if len(self.question.forms) == 1:
                raise StoppedError(
                    f"{self.endpoint.base_url}: it takes no JSON schema for the model {self.question.model!r}"
                    f' ({report.words}); set texts.{self.source}.structured to "off" or auto'
                )
            log.info("%s takes no JSON schema%s; asking for Markdown", self.endpoint.base_url, words)
            self.with_schema = False
            return
        changes = negotiate(refused, parameters, self.changes) if refused else None
        if changes is None:
            raise refusal
        for name, sent in changes.items():
            if self.changes.get(name, name) != sent:
                log.info("%s refuses %s%s; %s", self.endpoint.base_url, name, words, describe_change(name, sent))
        self.changes = changes

    def stop_when_hopeless(self, reason: str = "") -> None:
        """Stop when the first replies were all given up: the rest would be paid for in vain."""
        if reason:
            self.unusable[reason] += 1
        self.given_up += 1
        if not self.tally.accepted and self.given_up >= self.few:
            (commonest, count), total = self.unusable.most_common(1)[0], self.unusable.total()
            raise StoppedError(
                f"{self.endpoint.base_url}: of the first {total} replies of {self.question.model} none can be used,"
                f" most often since {commonest} ({count} of {total}); mend that before asking for the rest"
            )

    def stop_when_nothing_answers(self, reason: str) -> None:
        """Stop when no connection ever came about, or one reply after the other was given up with none in between."""
        self.failed_in_a_row += 1
        enough = max(3, 2 * self.settings.max_concurrency) if self.tally.accepted else 3
        if not self.was_answered or self.failed_in_a_row >= enough:
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
        with_schema, changes = self.asks_with_schema, self.changes
        request = self.question.request(slot.class_name, with_schema)
        earlier = self.rejected.get((request_key(request), slot.reply_index), [])
        follow_up = follow_up_to(earlier[-1] if earlier else None)
        parameters = apply_changes(wire_parameters(request, slot.reply_index, len(earlier)), changes)
        negotiated = changes_made(request.parameters, changes)
        messages = (*request.messages, *follow_up)
        tokens_in = input_tokens_at_most(messages, parameters)
        tokens_out = self.longest_reply
        at_most = self.settings.prices.cost(tokens_in, tokens_out)
        async with self.limiter.admit(tokens_in + tokens_out, at_most) as sent_at:
            blank = self.record(slot, request, follow_up, at_most, negotiated)
            try:
                body = await self.send(messages, parameters)
            except StoppedError as stop:
                self.tally.unanswered += 1
                if isinstance(stop, RefusedError):
                    stop.form = (with_schema, changes)
                raise
            except UnansweredError as problem:
                self.was_answered |= problem.was_sent
                self.tally.unanswered += 1
                if problem.was_limited:
                    self.limiter.lower_concurrency(sent_at)
                if problem.may_be_billed and at_most:
                    told = {"rejected": f"{NO_ANSWER}: {problem.reason}", "created": datetime.now(UTC)}
                    await self.write_down(blank.model_copy(update=told))
                raise
            self.was_answered = True
            self.limiter.raise_concurrency()
            record = self.read(body, blank)
            if record.usage:
                used = record.usage.prompt_tokens + record.usage.completion_tokens
                self.limiter.tokens.give_back(max(0, tokens_in + tokens_out - used))
            await self.write_down(record)
        if self.with_schema is None:
            self.with_schema = with_schema
        return record

    async def send(self, messages: Sequence[Message], parameters: Mapping[str, JsonValue]) -> str:
        """The body of the answer, without the key. Raises UnansweredError, RefusedError or StoppedError."""
        import openai

        try:
            async with asyncio.timeout(self.settings.timeout):
                answer = await self.completions.create(
                    model=self.question.model,
                    messages=[{"role": message.role, "content": message.content} for message in messages],  # type: ignore[misc]
                    extra_body=dict(parameters),
                )
                body = self.endpoint.redact(answer.text)
        except (TimeoutError, openai.APITimeoutError):
            raise UnansweredError(f"timed out after {self.settings.timeout:g} s", may_be_billed=True) from None
        except openai.APIConnectionError as error:
            cause = error.__cause__ or error
            what = self.endpoint.redact_error(str(cause)) or type(cause).__name__
            was_sent = type(cause).__name__ not in ("ConnectError", "ConnectTimeout", "PoolTimeout")
            raise UnansweredError(f"the connection failed: {what}", may_be_billed=was_sent, was_sent=was_sent) from None
        except openai.APIStatusError as error:
            self.was_answered = True
            found = read_report(error.status_code, error.response.text)
            raise self.find_meaning(found, error.response.headers) from None
        if report := read_error_within(body):
            self.was_answered = True
            problem = self.find_meaning(report, answer.headers)
            if isinstance(problem, UnansweredError):
                problem.may_be_billed = read_usage(parse_json(body)) is not None
            raise problem
        return body

    def find_meaning(self, report: ErrorReport, headers: Mapping[str, str]) -> Exception:
        """What an answer that is an error means, by its status, what it names and, for the user, its own words."""
        redact = self.endpoint.redact_error
        shown = replace(report, words=redact(report.words), codes=tuple(map(redact, report.codes)))
        return read_status(shown, retry_after(headers), self.question.model, self.endpoint.base_url)

    def read(self, body: str, blank: LedgerRecord) -> LedgerRecord:
        """The record of an answer: its reply, and why it cannot be used if it cannot."""
        found = parse_json(body)
        usage, completion = read_usage(found), read_completion(found)
        known: dict[str, Any] = {"created": datetime.now(UTC)}
        if usage:  # an endpoint that reports none is taken at the most that it may have cost
            price = self.settings.prices.cost(usage.prompt_tokens, usage.completion_tokens)
            known |= {"usage": usage, "price_usd": price}
            self.longest_reply = max(self.longest_reply, usage.completion_tokens)
        if completion is None:
            return blank.model_copy(update={**known, "reply": body, "rejected": NO_COMPLETION})
        redact = self.endpoint.redact  # once more: JSON may have escaped the key, or a list of parts divided it
        record = blank.model_copy(
            update={
                **known,
                "reply": redact(completion.reply),
                "reasoning": redact(completion.reasoning) or None,
                "response_id": redact(completion.response_id) or None,
                "served_model": redact(completion.served_model) or None,
            }
        )
        error = find_error(
            record.answer,
            completion.finish_reason,
            completion.refused,
            record.class_name,
            self.question.fields,
            self.other_names,
        )
        return record.model_copy(update={"rejected": error})

    def record(
        self,
        slot: Slot,
        request: Request,
        follow_up: tuple[Message, ...],
        price: float,
        negotiated: dict[str, str | None],
    ) -> LedgerRecord:
        """The record of a request that no reply has come to, at the most that it can cost."""
        return LedgerRecord(
            key=request_key(request),
            request=request,
            reply_index=slot.reply_index,
            class_name=slot.class_name,
            reply="",
            synthetic=False,
            price_usd=price,
            created=datetime.now(UTC),
            follow_up=follow_up,
            negotiated=negotiated or None,
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
