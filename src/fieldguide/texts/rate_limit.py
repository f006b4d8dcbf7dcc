"""Pace, concurrency and budget of the requests to an LLM.

Its own code, since a request's tokens are booked at their most and what it did not use is given back, and a wait ends
when the run does; a leaky bucket such as aiolimiter's takes nothing back and no amount beyond its capacity.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from fieldguide.texts.answers import StoppedError
from fieldguide.texts.ledger import LedgerRecord
from fieldguide.texts.settings import LLMSource


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

    def add_cost(self, record: LedgerRecord) -> None:
        """Count what a reply cost."""
        self.spent += record.price_usd or 0
        self.cost += record.price_usd or 0
        if record.usage:
            self.tokens_in += record.usage.prompt_tokens
            self.tokens_out += record.usage.completion_tokens

    def __str__(self) -> str:
        return (
            f"{self.requests} requests: {self.accepted} replies accepted, {self.rejected} rejected,"
            f" {self.unanswered} unanswered; {self.tokens_in} tokens in,"
            f" {self.tokens_out} out, ${self.cost:.4f}; ${self.spent:.4f} in the ledger in all"
        )


class RateLimiter:
    """Admits requests: as many at a time as the endpoint takes, at its pace, within the budget.

    How many go at a time falls by a quarter when the endpoint says that they are too many, and grows again by one for
    as many replies as are under way (additive increase, multiplicative decrease, as in TCP).
    """

    def __init__(self, settings: LLMSource, tally: Tally) -> None:
        self.settings, self.tally = settings, tally
        self.concurrency = float(settings.max_concurrency)
        self.lowered_at = 0.0
        self.under_way = 0
        self.requests, self.tokens = Pace(settings.requests_per_minute), Pace(settings.tokens_per_minute)
        self.changed = asyncio.Condition()
        self.stopping = asyncio.Event()
        self.reason = ""

    async def stop(self, reason: str) -> None:
        """Admit nothing more; requests under way are waited for, since they are paid for."""
        if not self.stopping.is_set():
            self.reason = reason
            self.stopping.set()
        async with self.changed:
            self.changed.notify_all()

    def raise_if_stopping(self) -> None:
        if self.stopping.is_set():
            raise StoppedError(self.reason)

    async def pause(self, seconds: float) -> None:
        """Sleep, but not longer than the run goes on."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stopping.wait(), seconds)
        self.raise_if_stopping()

    def fits(self, dollars: float) -> bool:
        """Whether a request that may cost so much can be sent without passing the budget, whatever the others cost."""
        budget = self.settings.budget_usd
        return budget is None or self.tally.spent + self.tally.reserved + dollars <= budget

    def is_free(self, dollars: float) -> bool:
        """Whether a request may be sent now; raises StoppedError where it never will be."""
        self.raise_if_stopping()
        if not self.fits(dollars) and not self.under_way:
            raise StoppedError(
                f"the budget of ${self.settings.budget_usd:g} is used up (${self.tally.spent:.4f} spent, and the next"
                f" request may cost ${dollars:.4f}); raise `budget_usd` to go on"
            )
        return self.under_way < max(1, int(self.concurrency)) and self.fits(dollars)

    @asynccontextmanager
    async def admit(self, tokens: int, dollars: float) -> AsyncIterator[float]:
        """Wait for room, budget and pace; yields the time at which the request is sent."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.is_free(dollars))
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

    def raise_concurrency(self) -> None:
        """A request was answered."""
        self.concurrency = min(self.concurrency + 1 / max(1.0, self.concurrency), self.settings.max_concurrency)

    def lower_concurrency(self, sent_at: float) -> None:
        """A request was one too many; those sent before the last time say nothing new."""
        if sent_at >= self.lowered_at:
            self.concurrency = max(1.0, 0.75 * self.concurrency)
            self.lowered_at = time.monotonic()
