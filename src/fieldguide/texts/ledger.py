"""The ledger of LLM replies: append-only JSON lines, one reply each, found again by what was asked.

Replies cost money, so a ledger lives outside every declared output and no stage rewrites it. Texts are made by
replaying it; whoever fetches replies (`llm_client`, `aviary.write_ledger`) appends to it. A reply that was paid for and
cannot be used is kept too, marked as rejected with the reason.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from fieldguide.core.errors import FieldguideError
from fieldguide.core.stage import log
from fieldguide.data.user_files import read_text
from fieldguide.texts.reasoning import split_reasoning

BYTE_ORDER_MARK = "\ufeff"


class Strict(BaseModel):
    """A record that does not change and has no keys but its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Message(Strict):
    """One turn of the conversation with the LLM."""

    role: Literal["system", "user", "assistant"]
    content: str


class Request(Strict):
    """What an LLM is asked; nothing else decides the key."""

    model: str
    messages: tuple[Message, ...]
    parameters: dict[str, JsonValue] = Field(default_factory=dict)


class Usage(Strict):
    """Tokens that a reply was billed for."""

    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(ge=0)
    reasoning_tokens: int = Field(default=0, ge=0)  # of the completion's


class LedgerRecord(Strict):
    """One reply as it came, with what was asked for it; what it says without its reasoning is `answer`.

    A request that names a `seed` was sent with one of its own for each reply (`questions.wire_seed`).
    """

    key: str
    request: Request
    reply_index: int = Field(ge=0)
    class_name: str
    reply: str
    synthetic: bool
    usage: Usage | None = None
    price_usd: float | None = None
    created: AwareDatetime | None = None
    response_id: str | None = None
    served_model: str | None = None  # the model that the endpoint says has answered
    follow_up: tuple[
        Message, ...
    ] = ()  # turns sent after the request's own: a rejected reply and what was wrong with it
    rejected: str | None = None  # why it is not used as a text
    reasoning: str | None = None  # what came beside the reply; what came within it still stands there
    # Parameters that the endpoint takes in another form only: the name each was sent by, null where it was left out.
    negotiated: dict[str, str | None] | None = None

    @property
    def answer(self) -> str:
        """The reply without the reasoning that may stand within it."""
        return split_reasoning(self.reply)[0]

    @property
    def question_key(self) -> str:
        """The key that its question is looked up by: of a prompt with a byte order mark that of the same without."""
        first, *others = self.request.messages or (None,)
        if first is None or not first.content.startswith(BYTE_ORDER_MARK):
            return self.key
        bare = first.model_copy(update={"content": first.content.lstrip(BYTE_ORDER_MARK)})
        return request_key(self.request.model_copy(update={"messages": (bare, *others)}))

    @model_validator(mode="after")
    def key_is_the_requests(self) -> LedgerRecord:
        if self.key != request_key(self.request):
            raise ValueError("the key is not that of the request")
        return self


def canonical(value: Any) -> Any:
    """The value with whole floats as integers: YAML's `1` and `1.0` ask the same question."""
    if isinstance(value, Mapping):
        return {key: canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def request_key(request: Request) -> str:
    """SHA-256 of the request's canonical JSON: equal questions have equal keys, in any order of their parameters."""
    text = json.dumps(canonical(request.model_dump()), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def synthetic_record(request: Request, reply_index: int, class_name: str, reply: str) -> LedgerRecord:
    """A reply that no LLM gave and nobody paid for: without usage, price, time and response id."""
    return LedgerRecord(
        key=request_key(request),
        request=request,
        reply_index=reply_index,
        class_name=class_name,
        reply=reply,
        synthetic=True,
    )


MARKDOWN = (
    "Answer in Markdown, one line per field, each line beginning with the name of the field in bold followed by a"
    " colon, and nothing before the first or after the last."
)
"""What stands for a prompt's `{format}` unless the endpoint is given a JSON schema."""


def read_prompt(path: Path | str) -> str:
    """The template in a prompt's file: the same however an editor encodes it (UTF-8 or UTF-16, with a mark or without).

    Raises FieldguideError naming the line of the first byte that is no UTF-8.
    """
    # Line ends as Python reads them: they are part of a question's key.
    return read_text(Path(path)).replace("\r\n", "\n").replace("\r", "\n")


def request_for(
    class_name: str,
    prompt_template: str,
    model: str,
    fields: Sequence[str],
    parameters: Mapping[str, JsonValue],
    thing: str = "",
    answer_format: str = MARKDOWN,
) -> Request:
    """The question about one class: the template with `{class_name}`, `{fields}`, `{thing}` and `{format}` filled in.

    Raises FieldguideError when the template does not name the class, or asks for a thing that is not said.
    """
    if "{class_name}" not in prompt_template:
        raise FieldguideError("the prompt lacks {class_name}, so every class would be asked the same; put it in")
    if "{thing}" in prompt_template and not thing:
        raise FieldguideError("the prompt has {thing}, and `thing` does not say what the classes are (bird, car, …)")
    # Not str.format: a prompt may hold braces of its own. The class comes last, since a name may hold braces too.
    filling = {"{format}": answer_format, "{thing}": thing, "{fields}": ", ".join(fields), "{class_name}": class_name}
    prompt = prompt_template.strip()
    for place, text in filling.items():
        prompt = prompt.replace(place, text)
    return Request(model=model, messages=(Message(role="user", content=prompt),), parameters=dict(parameters))


# ---------------------------------------------------------------- lines and files


# Left out of a line where they say nothing.
OPTIONAL = ("served_model", "follow_up", "rejected", "reasoning", "negotiated")


def record_line(record: LedgerRecord) -> bytes:
    """The record as one line of the ledger."""
    content = record.model_dump(mode="json")
    if record.usage and not record.usage.reasoning_tokens:
        del content["usage"]["reasoning_tokens"]
    kept = {name: value for name, value in content.items() if value or name not in OPTIONAL}
    return json.dumps(kept, ensure_ascii=False).encode() + b"\n"


def parse_line(line: bytes, where: str) -> LedgerRecord:
    """One line of the ledger; raises FieldguideError naming file and line when it is not a record."""
    try:
        return LedgerRecord.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the record"
        what = f"{place}: {first['msg']}"
        raise FieldguideError(f"{where}: not a ledger record ({what}); correct or remove the line") from error


def is_truncated(last_line: bytes) -> bool:
    """True when what follows the last line end is the beginning of a record: its writer was stopped."""
    try:
        json.loads(last_line)
    except ValueError:
        return bool(last_line.strip())
    return False


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Line numbers and lines that are not blank, without a truncated last one, which is reported."""
    with path.open("rb") as stream:
        # Not while a writer moves a truncated line: the file's beginning would be the old one's, its end the new one's.
        with suppress(OSError):  # a file system without locks
            fcntl.flock(stream, fcntl.LOCK_SH)
        *whole, last = stream.read().split(b"\n")
    if is_truncated(last):
        log.warning(
            "%s:%d: the last line is truncated (its writer was stopped, or is still writing); it is left out",
            path,
            len(whole) + 1,
        )
        last = b""
    for number, line in enumerate((*whole, last), 1):
        if line.strip():
            yield number, line


def read_ledger(path: Path | str) -> list[LedgerRecord]:
    """All records in the order of the file; a truncated last line is reported and left out.

    Raises FieldguideError naming file and line of any other line that is not a record.
    """
    path = Path(path)
    return [parse_line(line, f"{path}:{number}") for number, line in numbered_lines(path)]


def move_truncated_line(stream: BinaryIO, path: Path) -> None:
    """Make the file end with a line end; a truncated last line, which may be paid for, moves to `<ledger>.torn`."""
    size = stream.seek(0, os.SEEK_END)
    if not size or os.pread(stream.fileno(), 1, size - 1) == b"\n":
        return
    last = os.pread(stream.fileno(), size, 0).rpartition(b"\n")[2]
    if is_truncated(last):
        temporary = path.with_name(path.name + ".torn")
        with temporary.open("ab") as truncated:
            truncated.write(last + b"\n")
            truncated.flush()
            os.fsync(truncated.fileno())
        stream.truncate(size - len(last))
        log.warning("%s: its last line was truncated (its writer was stopped); moved to %s", path, temporary)
    else:
        stream.write(b"\n")


def append_record(path: Path | str, record: LedgerRecord) -> None:
    """Append one record and return only when it is on the disk; writers in other processes wait for one another.

    An OSError (a full disk) leaves the ledger as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    is_new = not path.exists()
    with path.open("ab+", buffering=0) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        move_truncated_line(stream, path)
        size = stream.seek(0, os.SEEK_END)
        line = memoryview(record_line(record))
        try:
            while line:
                line = line[stream.write(line) :]
            os.fsync(stream.fileno())
        except OSError:
            stream.truncate(size)
            raise
    if is_new:  # or a power cut could take the file's name
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


@contextmanager
def lock_ledger(path: Path | str) -> Iterator[None]:
    """Be the one process that asks for a ledger's replies; another waits, and then finds what this one bought.

    The lock is `<ledger>.lock`; the system frees it when its holder ends, however it ends. It holds the number of
    its process; filelock would empty the file before it waits.
    """
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            log.warning(
                "%s: process %s is asking for replies to it; waiting for its end, so that no reply is requested twice",
                path,
                stream.read().strip() or "another",
            )
            fcntl.flock(stream, fcntl.LOCK_EX)
        stream.truncate(0)
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        yield


def replies_by_key(records: Sequence[LedgerRecord]) -> dict[str, list[str]]:
    """The answers to each question that can be used, by reply index; rejected ones are left out.

    Raises FieldguideError when two different replies claim one index.
    """
    found: dict[str, dict[int, str]] = {}
    usable = [record for record in records if record.rejected is None]
    # Those of a prompt with a byte order mark come last: they fill in where the question was not asked without.
    for record in sorted(usable, key=lambda record: record.key != record.question_key):
        kept = found.setdefault(record.question_key, {}).setdefault(record.reply_index, record.answer)
        if kept != record.answer and record.key == record.question_key:
            raise FieldguideError(
                f"ledger: class {record.class_name!r} has two different replies with index {record.reply_index}"
                f" (key {record.key[:12]}); remove one of the two lines"
            )
    return {key: [replies[index] for index in sorted(replies)] for key, replies in found.items()}
