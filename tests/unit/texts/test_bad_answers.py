"""Whatever an endpoint answers: each request is accepted, rejected with a reason, or unanswered; none is lost, and none
is cut or holds reasoning that reaches a text. Over real sockets, through the openai package's own client.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fieldguide.texts.questions import NO_ANSWER
from fieldguide.texts.table import read_texts
from tests.llm_faults import Outcome, run_stage_here
from tests.llm_server import FIELDS, KEY, Asked, Plan, Server, completion, error, running, write_inputs

THOUGHT, END = "HMTHOUGHT", "Endmark."
REPLIES, ATTEMPTS, RETRIES, AT_ONCE = 2, 3, 2, 2
CLASSES = 2
THINKING = f"Let me see.\n**Size**: {THOUGHT}\n**Coloration**: {THOUGHT}\n**Beak**: {THOUGHT}\n" + json.dumps(
    dict.fromkeys(FIELDS, THOUGHT)
)

SOAK = int(os.environ.get("FIELDGUIDE_SOAK", "0"))

Answer = tuple[int, Any]  # status and body


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    with running() as server:
        yield server


@dataclass
class Endpoint:
    """One that answers by script, and then well; `refused` parameters it never takes."""

    script: list[Callable[[int], Answer]] = field(default_factory=list)
    refused: tuple[str, ...] = ()
    name_it: Callable[[str], Any] = lambda name: error(400, "It is not taken.", "unsupported_parameter", name)[1]
    answered: list[int] = field(default_factory=list)  # requests that got a completion, or what was meant for one

    def __call__(self, asked: Asked, number: int) -> Answer:
        if found := [name for name in self.refused if name in asked.body]:
            return 400, self.name_it(found[0])
        status, body = self.script[number](number) if number < len(self.script) else reply(number)
        if status == 200 and not (isinstance(body, dict) and "error" in body):
            self.answered.append(number)
        return status, body


def written(number: int, style: str = "Markdown") -> str:
    """A good reply, another for each request."""
    texts = {name: f"It is {number}. {END}" for name in FIELDS}
    if style == "JSON":
        return f"Here it is:\n```json\n{json.dumps(texts, indent=1)}\n```\nAnything else?"
    before, after = {"Markdown": ("**", "**: "), "full width": ("**", "**："), "brackets": ("【", "】")}[style]
    return "\n".join(f"{before}{name}{after}{text}" for name, text in texts.items())


def reply(number: int, content: Any = None, finish: str | None = "stop", **message: Any) -> Answer:
    """A completion with an id of its own."""
    content = written(number) if content is None else content
    body = completion("", "x" * 40, id=f"r{number}", finish_reason=finish)
    body["choices"][0]["message"] |= {"content": content, **message}
    body["usage"] = {"prompt_tokens": 50, "completion_tokens": 60, "total_tokens": 110}
    return 200, body


def run(place: Path, server: Server, endpoint: Endpoint, **more: Any) -> Outcome:
    server.asked, server.plan = [], Plan(profile=endpoint)
    how = {"max_concurrency": AT_ONCE, "attempts": ATTEMPTS, "retries": RETRIES, "backoff": 0.002, **more}
    return run_stage_here(place, server, REPLIES, **how)


# ---------------------------------------------------------------- anything at all

TAGS = ["think", "Thinking", "REASONING", "seed:think", "analysis", 'think lang="en"']


def wrapped(shape: str, tag: str, answer: str) -> str:
    close = f"</{tag.split()[0]}>"
    return {
        "tags": f"<{tag}>{THINKING}{close}\n\n{answer}",
        "nested": f"<{tag}>{THOUGHT}<{tag}>{THINKING}{close}{THINKING}{close}{answer}",
        "lone": f"{THINKING}{close}\n{answer}",
        "open": f"<{tag}>{THINKING}",
        "channels": f"<|channel|>analysis<|message|>{THINKING}<|end|><|start|>assistant"
        f"<|channel|>final<|message|>{answer}",
        "none": answer,
    }[shape]


@st.composite
def replies(draw: st.DrawFn) -> Callable[[int], Answer]:
    """A completion: with reasoning somewhere, in some form, whole or cut."""
    shape = draw(st.sampled_from(["tags", "nested", "lone", "open", "channels", "none"]))
    tag, style = draw(st.sampled_from(TAGS)), draw(st.sampled_from(["Markdown", "JSON", "full width", "brackets"]))
    ending = draw(
        st.sampled_from(["stop", "STOP", "eos", None, "length", "MAX_TOKENS", "model_length", "SAFETY", "error"])
    )
    share = draw(st.floats(0, 1))
    form = draw(st.sampled_from(["string", "parts", "beside"]))
    usage = draw(st.booleans())

    def answer(number: int) -> Answer:
        text = wrapped(shape, tag, written(number, style))
        if ending not in ("stop", "STOP", "eos", None):
            text = text[: int(share * len(text))]
        content: Any = text
        if form == "parts":
            thinking = {"type": "thinking", "thinking": [{"type": "text", "text": THINKING}]}
            content = [thinking, {"type": "text", "text": text[:30]}, {"type": "text", "text": text[30:]}]
        status, body = reply(number, content, ending, **({"reasoning_content": THINKING} if form == "beside" else {}))
        if not usage:
            del body["usage"]
        return status, body

    return answer


@st.composite
def broken(draw: st.DrawFn) -> Callable[[int], Answer]:
    """A body that is no completion: cut somewhere, a stream that nobody asked for, a page."""
    kind, share = draw(st.sampled_from(["cut", "stream", "page", "other"])), draw(st.floats(0, 0.95))

    def answer(number: int) -> Answer:
        whole = json.dumps(reply(number)[1])
        stream = "".join(
            f"data: {json.dumps({'choices': [{'delta': {'content': part}}]})}\n\n" for part in written(number)
        )
        bodies = {
            "cut": whole,
            "stream": stream,
            "page": f"<html>{KEY}</html>" * 3,
            "other": '{"choices": []}' + " " * 9,
        }
        text = bodies[kind]
        return 200, text[: int(share * len(text))] if kind in ("cut", "stream") else text

    return answer


@st.composite
def errors(draw: st.DrawFn) -> Callable[[int], Answer]:
    """An error: of some status, in some form, also within a 200."""
    status = draw(st.sampled_from([200, 400, 401, 402, 403, 404, 408, 422, 429, 429, 500, 503, 529]))
    names = ["max_tokens", "temperature", "seed", "response_format", "top_p", "messages", "body.seed", ""]
    param = draw(st.sampled_from(names))
    codes = [
        "unsupported_parameter",
        "invalid_request_error",
        "rate_limit_exceeded",
        "content_filter",
        "x",
        429,
        400,
        None,
    ]
    code = draw(st.sampled_from(codes))
    shape = draw(st.sampled_from(["error", "string", "list", "detail", "raw", "text"]))
    said = f"It may not be, {KEY}."
    one = {"message": said, "param": param or None, "code": code}
    body: Any = {
        "error": {"error": one},
        "string": {"error": said},
        "list": [{"error": one}],
        "detail": {"detail": [{"type": "extra_forbidden", "loc": ["body", param], "msg": said}]},
        "raw": {"error": {"message": "Upstream", "code": code, "metadata": {"raw": json.dumps({"error": one})}}},
        "text": f"Gateway: {said}",
    }[shape]
    if status == 200:
        body = {"error": one, "choices": None}
    return lambda number: (status, body)


@given(
    script=st.lists(st.one_of(replies(), replies(), broken(), errors()), max_size=10),
    refused=st.sets(st.sampled_from(["max_tokens", "temperature", "seed", "response_format"])),
    structured=st.sampled_from(["off", "auto"]),
)
@settings(max_examples=max(20, 200 * SOAK), deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_it_answers(
    script: list[Callable[[int], Answer]], refused: set[str], structured: str, shared_server: Server
) -> None:
    endpoint = Endpoint(script, tuple(sorted(refused)))
    with tempfile.TemporaryDirectory() as folder:
        place = write_inputs(Path(folder), CLASSES)
        outcome = run(place, shared_server, endpoint, structured=structured)
        assert outcome.trouble == [] and "\n" not in outcome.error
        # Each answer that was no error is on record once: accepted, or rejected with a reason.
        assert len(outcome.records) == len(endpoint.answered)
        assert all(record.rejected is None or record.rejected.strip() for record in outcome.records)
        assert not any((record.rejected or "").startswith(NO_ANSWER) for record in outcome.records)
        slots = CLASSES * REPLIES
        assert len(shared_server.asked) <= slots * ATTEMPTS * (RETRIES + 1) + 5 * (AT_ONCE + 1)
        assert all(0 < (record.price_usd or 0) < 0.01 for record in outcome.records)
        # Then it behaves: only what is missing is asked for, and every text is whole.
        before = len(outcome.accepted)
        well = Endpoint(refused=tuple(sorted(refused)))
        last = run(place, shared_server, well, structured=structured)
        assert last.error == "" and len(last.accepted) == slots == before + len(well.answered)
        texts = [row.text for row in read_texts(place / "texts.csv")]
        assert len(texts) == slots * len(FIELDS)
        assert all(text.endswith(END) and THOUGHT not in text for text in texts)
        for path in place.iterdir():
            assert KEY[8:-4].encode() not in path.read_bytes()
