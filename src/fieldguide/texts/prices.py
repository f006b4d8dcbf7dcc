"""What the replies that a ledger lacks will cost. Pure, but for tiktoken's encodings where they are on this machine.

Requests are counted with tiktoken where it knows the model; elsewhere a token is taken for four characters. Replies are
taken at the mean of the ledger's own, or, before the first, at 45 tokens per field (a label and one or two sentences).
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from fieldguide.texts.ledger import LedgerRecord
from fieldguide.texts.questions import Question, missing_slots
from fieldguide.texts.settings import LLMSource

CHARACTERS_PER_TOKEN = 4
TOKENS_PER_FIELD = 45
TOKENS_PER_REQUEST = 8
"""What a chat's frame adds to a question of one message."""
SOME_CLASS = "Black footed Albatross"
"""A name of usual length, where no name is known yet."""

Counter = Callable[[str], int]


class Price(NamedTuple):
    """What the missing replies of one source will cost."""

    source: str
    replies: int  # wanted in all
    held: int  # of them in the ledger
    tokens_in: float  # per request
    tokens_out: float
    dollars: float
    most: float | None  # USD, if every reply is as long as it may be; None where nothing bounds it
    spent: float  # what the ledger's replies have cost, USD
    notes: tuple[str, ...]

    @property
    def missing(self) -> int:
        return self.replies - self.held


def token_counter(model: str) -> tuple[Counter, str]:
    """A function that counts a text's tokens for a model, and how it does so. Touches no network."""
    import tiktoken

    folder = os.environ.get("TIKTOKEN_CACHE_DIR", os.environ.get("DATA_GYM_CACHE_DIR"))
    cache = Path(folder) if folder else Path(tempfile.gettempdir()) / "data-gym-cache"
    try:
        name = tiktoken.encoding_name_for_model(model)
    except KeyError:
        name, why = "", f"tiktoken does not know {model}"
    else:
        why = f"tiktoken's {name} is not on this machine"
    # tiktoken keeps a file by the hash of its address; without it, it would fetch it.
    address = f"https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
    if name and (cache / hashlib.sha1(address.encode(), usedforsecurity=False).hexdigest()).is_file():
        encoding = tiktoken.get_encoding(name)
        return lambda text: len(encoding.encode(text, disallowed_special=())), f"counted with tiktoken's {name}"
    return lambda text: round(len(text) / CHARACTERS_PER_TOKEN), f"estimated at 4 characters a token: {why}"


def price_source(
    source: str,
    settings: LLMSource,
    prompt: str,
    names: Sequence[str],
    class_count: int,
    records: Sequence[LedgerRecord],
    thing: str = "",
) -> Price:
    """The price of one source. `names` are the classes' names; where they are not known yet, empty.

    The ledger's own classes stand for the data set's then.
    """
    count = settings.replies_per_class
    question = Question.of(settings, prompt, thing)
    known = list(names) or list(dict.fromkeys(record.class_name for record in records))[:class_count]
    replies = class_count * count
    held = len(known) * count - len(missing_slots(question, known, records, count))
    counted, how = token_counter(settings.model)
    prompts = [question.request(name, question.forms[0]).messages for name in known or [SOME_CLASS]]
    tokens_in = (
        fmean(sum(counted(message.content) for message in messages) for messages in prompts) + TOKENS_PER_REQUEST
    )

    keys = {key for name in known for key in question.keys(name)}
    own = [record for record in records if record.question_key in keys and record.usage]
    usages = [record.usage for record in own if record.usage]
    notes = [f"tokens of a request {how}"]
    if usages:
        tokens_in = fmean(usage.prompt_tokens for usage in usages)
        tokens_out = fmean(usage.completion_tokens for usage in usages)
        accepted = sum(record.rejected is None for record in own)
        notes = [f"tokens are the mean of the ledger's {len(usages)} replies"]
        if rejected := len(own) - accepted:
            notes.append(f"{rejected} of them could not be used; the price counts no further ones")
    else:
        tokens_out = TOKENS_PER_FIELD * len(settings.fields)
        notes.append(f"tokens of a reply are a guess: {TOKENS_PER_FIELD} per field")
        if settings.reasoning_effort not in (None, "none"):
            notes.append("its reasoning, billed as output, comes on top; how much, the first replies will show")
    each = settings.prices.cost(tokens_in, tokens_out)
    longest = question.longest_reply
    most = None if longest is None else (replies - held) * settings.prices.cost(tokens_in, max(longest, tokens_out))
    if longest is None:
        notes.append("it has no max_tokens, so nothing bounds a reply and its price")
    else:
        notes.append(f"at most: every reply of {longest:,} tokens, its reasoning included")
    if not (settings.prices.input or settings.prices.output):
        notes.append("its prices are 0: right for a local model only")
    if not settings.base_url:
        notes.append("it has no `base_url`, so nothing will be asked: its ledger is replayed")
    spent = sum(record.price_usd or 0 for record in records)
    dollars = (replies - held) * each
    if settings.budget_usd is not None:
        what = "enough" if spent + dollars <= settings.budget_usd else "NOT ENOUGH"
        notes.append(f"budget ${settings.budget_usd:g}, of which ${spent:.4f} is spent: {what}")
    return Price(source, replies, held, tokens_in, tokens_out, dollars, most, spent, tuple(notes))
