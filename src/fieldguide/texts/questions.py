"""What a text source asks of an LLM: one question per class, in Markdown or by a JSON schema, and what is missing.

The key of a question is a hash of model, messages and parameters. The schema stands in it by its fields, so that no
version of pydantic changes a key. Two things that vary from reply to reply are not part of it: the seed, of which the
question names the first, and the follow-up after a rejected reply. What is asked next is a function of the ledger
alone, so that an interrupted run goes on as it would have gone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, JsonValue, create_model

from fieldguide.texts.ledger import MARKDOWN, LedgerRecord, Message, Request, request_for, request_key
from fieldguide.texts.settings import LLMSource

Structured = Literal["auto", "json_schema", "off"]

JSON_OBJECT = "Answer with one JSON object with a string for each field, and nothing before or after it."
"""What stands for a prompt's `{format}` where the endpoint is given a JSON schema."""

SEEDS_APART = 10_000
"""Seeds between a reply and its next attempt: more than anyone asks replies of one class."""

NO_ANSWER = "no answer"
NO_COMPLETION = "the body is not a chat completion"
UNFIT = (NO_ANSWER, NO_COMPLETION)
"""How the reasons begin that leave nothing to reply to."""


class Slot(NamedTuple):
    """A reply that is wanted: about which class, and which of its replies, counted from 0."""

    class_name: str
    reply_index: int


def response_format(fields: Sequence[str]) -> dict[str, JsonValue]:
    """The JSON schema of a reply as it is sent: one string per field, all required, nothing else."""
    members: dict[str, Any] = {
        f"field_{number}": (str, Field(alias=field, description=f"One or two sentences on the {field.lower()}."))
        for number, field in enumerate(fields)
    }
    model: type[BaseModel] = create_model("Description", __config__=ConfigDict(extra="forbid"), **members)
    schema = model.model_json_schema(by_alias=True)
    return {"type": "json_schema", "json_schema": {"name": "description", "strict": True, "schema": schema}}


class Question(NamedTuple):
    """What a text source asks about every class."""

    prompt: str  # template
    model: str
    fields: tuple[str, ...]
    parameters: Mapping[str, JsonValue]
    thing: str = ""
    structured: Structured = "off"

    @classmethod
    def of(cls, source: LLMSource, prompt: str, thing: str) -> Question:
        """What a source asks by its settings, with the text of its prompt."""
        return cls(prompt, source.model, source.fields, source.request_parameters(), thing, source.structured)

    @property
    def forms(self) -> tuple[bool, ...]:
        """The forms that an answer may have been asked in, the preferred first: with a JSON schema or not."""
        return {"auto": (True, False), "json_schema": (True,), "off": (False,)}[self.structured]

    def request(self, class_name: str, with_schema: bool) -> Request:
        """The question about one class."""
        parameters = dict(self.parameters)
        if with_schema:
            parameters["response_format"] = {"type": "json_schema", "fields": list(self.fields)}
        answer = JSON_OBJECT if with_schema else MARKDOWN
        return request_for(class_name, self.prompt, self.model, self.fields, parameters, self.thing, answer)

    def keys(self, class_name: str) -> list[str]:
        """The keys of the question about one class, one for each form."""
        return [request_key(self.request(class_name, with_schema)) for with_schema in self.forms]

    @property
    def longest_reply(self) -> int | None:
        """The most tokens that a reply may have; None when the parameters do not say."""
        for name in ("max_completion_tokens", "max_tokens"):
            if isinstance(value := self.parameters.get(name), int):
                return value
        return None


def replies_to(
    question: Question, class_names: Sequence[str], replies: Mapping[str, Sequence[str]], count: int
) -> dict[str, list[str]]:
    """The first `count` replies about each class, of `replies` by key; fewer where there are fewer."""
    return {
        name: [reply for key in question.keys(name) for reply in replies.get(key, ())][:count] for name in class_names
    }


def missing_slots(
    question: Question, class_names: Sequence[str], records: Sequence[LedgerRecord], count: int
) -> list[Slot]:
    """What to ask for until every class has `count` replies: round by round, so that all classes grow alike."""
    taken: dict[str, set[int]] = {}
    for record in records:
        if record.rejected is None:
            taken.setdefault(record.question_key, set()).add(record.reply_index)
    slots = []
    for place, name in enumerate(class_names):
        have = [taken.get(key, set()) for key in question.keys(name)]
        lacking = count - sum(map(len, have))
        free = (index for index in range(count + sum(map(len, have))) if not any(index in one for one in have))
        slots += [(round_, place, Slot(name, next(free))) for round_ in range(lacking)]
    return [slot for _, _, slot in sorted(slots)]


def wire_seed(first: int, index: int, attempt: int) -> int:
    """The seed that a request is sent with: another one for each reply, and for each attempt at it."""
    return first + index + SEEDS_APART * attempt


def wire_parameters(request: Request, index: int, attempt: int) -> dict[str, JsonValue]:
    """The request's parameters as they are sent for one reply."""
    parameters = dict(request.parameters)
    if isinstance(seed := parameters.get("seed"), int):
        parameters["seed"] = wire_seed(seed, index, attempt)
    if isinstance(form := parameters.get("response_format"), dict) and isinstance(fields := form.get("fields"), list):
        parameters["response_format"] = response_format([str(field) for field in fields])
    return parameters


def follow_up_to(last: LedgerRecord | None) -> tuple[Message, ...]:
    """The turns that answer a rejected reply: the reply, and what was wrong with it. None after no reply at all."""
    if last is None or last.rejected is None or last.rejected.startswith(UNFIT) or not last.answer.strip():
        return ()
    complaint = (
        f"That answer cannot be used: it {last.rejected}. "
        f'Answer the question again in full, about "{last.class_name}" alone, with every field.'
    )
    return (Message(role="assistant", content=last.answer), Message(role="user", content=complaint))
