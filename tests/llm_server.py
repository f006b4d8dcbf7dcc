"""An OpenAI-compatible endpoint on 127.0.0.1 over real sockets, which plays faults by script and keeps accounts.

It answers by the content of a request and its `seed` alone, so that two runs get the same replies. Every request is
recorded with what was done to it, and every reply that was sent whole has its price.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

FIELDS = ("Size", "Coloration", "Beak")
PROMPT = 'Describe the bird "{class_name}" by {fields}. {format}\n'
KEY = "sk-test-SECRETSECRETSECRET0123456789"
PRICES = (0.5, 1.5)  # USD per million tokens

# What happens to a request; `kept` ones bring a reply that is paid for and cannot be used, `lost` ones bring none.
LOST = ("429", "429 and Retry-After", "500", "503", "time-out", "connection cut", "connection reset")
KEPT = (
    "empty reply",
    "refusal",
    "cut at the length limit",
    "field missing",
    "field empty",
    "invalid JSON",
    "another class",
    "empty body",
    "body cut short",
    "body of HTML",
    "body of another shape",
    "null content",
)
FAULTS = LOST + KEPT
FATAL = ("no quota", "wrong key", "no permission", "unknown model")


@dataclass
class Asked:
    """One request, and what became of it."""

    at: float
    class_name: str
    body: dict[str, Any]
    headers: dict[str, str]
    fault: str = ""
    path: str = ""  # with its query
    sent_whole: bool = False  # a usable reply, to its last byte
    billed: float = 0.0  # USD
    response_id: str = ""

    @property
    def identity(self) -> tuple[str, str]:
        """What a reply answers: messages and parameters."""
        return self.class_name, hashlib.sha256(json.dumps(self.body, sort_keys=True).encode()).hexdigest()


@dataclass
class Plan:
    """How the server behaves."""

    fault: Callable[[Asked, int], str] = lambda asked, number: ""  # by request and its number, from 0
    latency: float = 0.0
    per_second: float = 0.0  # token bucket; 0: none
    burst: int = 0
    retry_after_ms: int | None = None
    takes_schema: bool = True
    reports_usage: bool = True
    hang: float = 30.0  # seconds that a time-out lasts
    echo: str = ""  # said wherever the endpoint says anything
    # What a profile answers in place of a fault: status and JSON, or text; None for the usual answer.
    profile: Callable[[Asked, int], tuple[int, Any] | None] = lambda asked, number: None
    # What GET answers by path, such as "/v1/models/gpt-test".
    get: Callable[[str], tuple[int, Any]] = lambda path: error(404, "Not found.")


@dataclass
class Server:
    """The accounts of a running server."""

    plan: Plan
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    got: list[str] = field(default_factory=list)  # paths of GET
    level: float = 0.0
    filled_at: float = 0.0

    @property
    def whole(self) -> list[Asked]:
        """Requests that got a usable reply, sent whole."""
        return [one for one in self.asked if one.sent_whole]

    @property
    def billed(self) -> float:
        return sum(one.billed for one in self.asked)

    def asked_twice(self) -> list[tuple[str, str]]:
        """Questions to which a usable reply was sent whole more than once."""
        return [identity for identity, count in Counter(one.identity for one in self.whole).items() if count > 1]

    def is_over_the_limit(self) -> bool:
        """Take a token from the bucket."""
        if not self.plan.per_second:
            return False
        now = time.monotonic()
        if not self.filled_at:
            self.level, self.filled_at = float(self.plan.burst), now
        self.level = min(self.plan.burst, self.level + (now - self.filled_at) * self.plan.per_second)
        self.filled_at = now
        if self.level < 1:
            return True
        self.level -= 1
        return False


def describe(class_name: str, seed: object, fields: tuple[str, ...] = FIELDS) -> dict[str, str]:
    """The fields of a reply, by class and seed alone."""
    digest = hashlib.sha256(f"{class_name} {seed}".encode()).hexdigest()
    return {name: f"Its {name.lower()} is number {digest[:8]} of the {class_name}." for name in fields}


def tokens(text: str) -> int:
    """Tokens as this endpoint counts them."""
    return 1 + len(text) // 4


def completion(content: str | None, prompt: str, **more: Any) -> dict[str, Any]:
    """A chat completion as the endpoint writes it."""
    choice = {"index": 0, "finish_reason": more.pop("finish_reason", "stop"), "logprobs": None}
    message = {"role": "assistant", "content": content, "refusal": more.pop("refusal", None)}
    used, made = tokens(prompt), tokens(content or "")
    return {
        "id": f"chatcmpl-{hashlib.sha256((prompt + str(content)).encode()).hexdigest()[:12]}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": "gpt-test-0125",
        "choices": [{**choice, "message": message}],
        "usage": {"prompt_tokens": used, "completion_tokens": made, "total_tokens": used + made, "details": {}},
        **more,
    }


def error(status: int, message: str, code: str | None = None, param: str | None = None) -> tuple[int, dict[str, Any]]:
    return status, {"error": {"message": message, "type": "error", "param": param, "code": code}}


REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 429: "Too Many Requests"}


def answer_to(asked: Asked, plan: Plan) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; the body is what would be billed where it is a completion."""
    body = asked.body
    prompt = json.dumps(body.get("messages"))
    with_schema = "response_format" in body
    if with_schema and not plan.takes_schema:
        words = "Invalid parameter: 'response_format' of type 'json_schema' is not supported."
        status, content = error(400, words, param="response_format")
        return status, {}, json.dumps(content).encode()
    headers: dict[str, str] = {}
    errors = {
        "429": error(429, "Rate limit reached.", "rate_limit_exceeded"),
        "429 and Retry-After": error(429, "Rate limit reached.", "rate_limit_exceeded"),
        "500": error(500, "The server had an error."),
        "503": error(503, "The engine is overloaded."),
        "no quota": error(429, "You exceeded your current quota.", "insufficient_quota"),
        "wrong key": error(
            401, f"Incorrect API key provided: {asked.headers.get('authorization')}.", "invalid_api_key"
        ),
        "no permission": error(403, f"Key {asked.headers.get('authorization')} may not.", "permission_denied"),
        "unknown model": error(404, f"The model does not exist ({KEY}).", "model_not_found"),
    }
    if asked.fault in errors:
        status, content = errors[asked.fault]
        if asked.fault == "429 and Retry-After":
            headers["retry-after-ms"] = str(20 if plan.retry_after_ms is None else plan.retry_after_ms)
        elif asked.fault == "429" and plan.retry_after_ms is not None:
            headers["retry-after-ms"] = str(plan.retry_after_ms)
        content["error"]["message"] += plan.echo
        return status, headers, json.dumps(content).encode()

    found = describe(asked.class_name, body.get("seed"))
    found[FIELDS[2]] += plan.echo
    if asked.fault == "field missing":
        del found[FIELDS[1]]
    elif asked.fault == "field empty":
        found[FIELDS[1]] = "–"
    elif asked.fault == "another class":
        other = "Test Bird 001" if asked.class_name == "Other Test Bird" else "Other Test Bird"
        found[FIELDS[0]] = f"Smaller than the {other}."
    text = json.dumps(found) if with_schema else "\n".join(f"**{name}**: {said}" for name, said in found.items())
    made = completion(text, prompt)
    if asked.fault == "empty reply":
        made = completion("", prompt)
    elif asked.fault == "null content":
        made = completion(None, prompt)
    elif asked.fault == "refusal":
        made = completion(None, prompt, refusal="I'm sorry, I cannot help with that.")
    elif asked.fault == "cut at the length limit":
        made = completion(text[: len(text) // 2], prompt, finish_reason="length")
    elif asked.fault == "invalid JSON":
        made = completion("{" + text, prompt)
    elif asked.fault == "body of another shape":
        made = {"choices": [], "usage": made["usage"]}
    if not plan.reports_usage:
        del made["usage"]
    raw = json.dumps(made).encode()
    asked.response_id = str(made.get("id"))
    usage = made.get("usage") or {"prompt_tokens": tokens(prompt), "completion_tokens": tokens(text)}
    asked.billed = (usage["prompt_tokens"] * PRICES[0] + usage["completion_tokens"] * PRICES[1]) / 1e6
    if asked.fault == "empty body":
        raw = b""
    elif asked.fault == "body of HTML":
        headers["content-type"], raw = "text/html", f"<html>Log in first {plan.echo}</html>".encode()
    return 200, headers, raw


async def read_request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], bytes] | None:
    """Method, path, headers and body of the next request on a connection; None at its end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.decode().split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)
    }
    return method, path, headers, await reader.readexactly(int(headers.get("content-length", "0")))


def as_bytes(content: Any) -> bytes:
    """A body: text as it is, all else as JSON."""
    return content.encode() if isinstance(content, str) else json.dumps(content).encode()


async def send(writer: asyncio.StreamWriter, status: int, headers: dict[str, str], content: bytes) -> None:
    """Send a whole answer."""
    fields = {"content-type": "application/json", "content-length": str(len(content)), **headers}
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}", *(f"{n}: {v}" for n, v in fields.items())]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + content)
    await writer.drain()


async def serve(server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection."""
    plan = server.plan
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while request := await read_request(reader):
            method, path, headers, raw = request
            if method == "GET":
                server.got.append(path)
                status, found = plan.get(path)
                await send(writer, status, {}, as_bytes(found))
                continue
            body = json.loads(raw)
            name = re.search(r'bird "(.+?)"', body["messages"][0]["content"])
            asked = Asked(time.monotonic(), name[1] if name else "", body, headers, path=path)
            asked.fault = plan.fault(asked, len(server.asked))
            server.asked.append(asked)
            if server.is_over_the_limit():
                asked.fault = "429"
            elif plan.latency:
                await asyncio.sleep(plan.latency)
            if (played := plan.profile(asked, len(server.asked) - 1)) is not None:
                await send(writer, played[0], {}, as_bytes(played[1]))
                continue
            status, more, content = answer_to(asked, plan)
            if asked.fault == "time-out":
                await asyncio.sleep(plan.hang)
                break
            if asked.fault == "connection reset":
                break
            length = {} if asked.fault == "body cut short" else {"content-length": str(len(content))}
            fields = {"content-type": "application/json", **length, **more}
            lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}", *(f"{n}: {v}" for n, v in fields.items())]
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
            if asked.fault in ("connection cut", "body cut short"):
                writer.write(content[: len(content) // 2])
                await writer.drain()
                break
            writer.write(content)
            await writer.drain()
            asked.sent_whole = status == 200 and not asked.fault
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@contextlib.contextmanager
def running(plan: Plan | None = None) -> Iterator[Server]:
    """A server on a free port, in a thread of its own; what still hangs is dropped at the end."""
    server = Server(plan or Plan())
    loop = asyncio.new_event_loop()
    started = threading.Event()
    end = asyncio.Event()

    async def run() -> None:
        tasks: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task
            tasks.add(task)
            try:
                with contextlib.suppress(asyncio.CancelledError):
                    await serve(server, reader, writer)
            finally:
                tasks.discard(task)
                writer.close()

        listener = await asyncio.start_server(connected, "127.0.0.1", 0)
        server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/v1"
        started.set()
        await end.wait()
        listener.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(10)
        loop.close()


def in_turn(*faults: str) -> Callable[[Asked, int], str]:
    """The first requests meet these faults, in turn; all others meet none."""
    return lambda asked, number: faults[number] if number < len(faults) else ""


# ---------------------------------------------------------------- the stage's inputs


def write_inputs(folder: Path, classes: int, other: bool = False) -> Path:
    """Prompt and table of classes; with `other` the last class is the one that faulty replies name."""
    names = [f"Test Bird {number:03d}" for number in range(1, classes + 1)]
    if other:
        names[-1] = "Other Test Bird"
    rows = "".join(f"{number},{name}\n" for number, name in enumerate(names, 1))
    (folder / "classes.csv").write_text(f"class_id,class_name\n{rows}", encoding="utf-8")
    (folder / "prompt.txt").write_text(PROMPT, encoding="utf-8")
    return folder


def options(folder: Path, url: str, replies: int, **settings: object) -> list[str]:
    """The stage's command line, with short pauses."""
    given: dict[str, object] = {
        "kind": "llm",
        "model": "gpt-test",
        "ledger": str(folder / "ledger.jsonl"),
        "prompt": str(folder / "prompt.txt"),
        "fields": FIELDS,
        "replies_per_class": replies,
        "max_tokens": 200,
        "seed": 0,
        "temperature": 1.0,
        "base_url": url,
        "backoff": 0.5,
        **settings,
    }
    files = ["--classes", str(folder / "classes.csv"), "--out", str(folder / "texts.csv")]
    return ["--source", "gpt", "--settings", json.dumps(given), *files]
