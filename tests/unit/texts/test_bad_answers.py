"""Whatever an endpoint answers: each request is accepted, rejected with a reason, or unanswered; none is lost, and none
is cut or holds reasoning that reaches a text. Over real sockets, through the openai package's own client.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fieldguide.texts.endpoint import fetch_model, find_endpoint
from fieldguide.texts.questions import NO_ANSWER
from fieldguide.texts.table import read_texts
from tests.llm_faults import Outcome, run_stage_here
from tests.llm_server import FIELDS, KEY, PRICES, Asked, Plan, Server, completion, error, running, write_inputs

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


# ---------------------------------------------------------------- one by one


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return write_inputs(tmp_path, CLASSES)


def test_what_is_refused_is_left_out_once_and_recorded(
    place: Path, shared_server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome = run(place, shared_server, Endpoint(refused=("max_tokens", "temperature")), reasoning_effort="low")
    assert outcome.error == "" and len(shared_server.asked) == 2 + CLASSES * REPLIES
    for asked in shared_server.asked[2:]:
        assert asked.body["max_completion_tokens"] == 200 and asked.body["reasoning_effort"] == "low"
        assert not {"max_tokens", "temperature"} & set(asked.body) and "seed" in asked.body
    for record in outcome.records:
        assert record.negotiated == {"max_tokens": "max_completion_tokens", "temperature": None}
        # The key is that of the question as the configuration asks it.
        assert record.request.parameters["max_tokens"] == 200 and record.request.parameters["temperature"] == 1
    said = capfd.readouterr().err
    assert said.count("sending max_completion_tokens in place of max_tokens") == 1
    assert said.count("leaving temperature out") == 1 and '"It is not taken."' in said
    assert run(place, shared_server, Endpoint(), reasoning_effort="low").error == "" and shared_server.asked == []


@pytest.mark.parametrize("structured", ["off", "auto"])
def test_a_refusal_that_names_nothing_ends_the_run_in_the_endpoints_words(
    structured: str, place: Path, shared_server: Server
) -> None:
    words = "Extra fields not allowed: seed. Allowed: response_format"
    endpoint = Endpoint([lambda number: error(400, words)] * 100)
    outcome = run(place, shared_server, endpoint, structured=structured)
    assert f'("{words}")' in outcome.error and "takes no JSON schema" not in outcome.error
    # `auto` tries the other form, once.
    assert len(shared_server.asked) == (2 if structured == "auto" else 1)


def test_a_limit_that_is_taken_by_neither_name_ends_the_run(place: Path, shared_server: Server) -> None:
    outcome = run(place, shared_server, Endpoint(refused=("max_tokens", "max_completion_tokens")))
    assert "it refuses the request (status 400)" in outcome.error and len(shared_server.asked) == 2


def test_a_429_within_a_200_pauses_and_costs_nothing(place: Path, shared_server: Server) -> None:
    busy = {"error": {"message": "Provider returned error", "code": 429, "metadata": {"raw": "Too Many Requests"}}}
    outcome = run(place, shared_server, Endpoint([lambda number: (200, busy)] * 2), backoff=0.1)
    assert outcome.error == "" and len(outcome.records) == len(outcome.accepted) == CLASSES * REPLIES
    first, second, third, *_ = (asked.at for asked in shared_server.asked)
    assert second - first >= 0.05 and third - second >= 0.1


def test_a_hopeless_run_ends_with_the_commonest_reason(place: Path, shared_server: Server) -> None:
    write_inputs(place, 200)
    outcome = run(
        place, shared_server, Endpoint([lambda number: reply(number, "", "length")] * 5000), max_concurrency=16
    )
    assert len(shared_server.asked) == 3 * ATTEMPTS and len(outcome.records) == 3 * ATTEMPTS
    for words in ("of the first 9 replies", "reasoning took all tokens", "raise max_tokens", "400 are missing"):
        assert words in outcome.error


def test_hard_questions_that_were_left_are_not_a_hopeless_run(place: Path, shared_server: Server) -> None:
    write_inputs(place, 10)
    assert run(place, shared_server, Endpoint()).error == ""
    write_inputs(place, 16)
    bad = [lambda number: reply(number, "Cut", "length")] * 5 * ATTEMPTS
    outcome = run(place, shared_server, Endpoint(bad), max_concurrency=1)
    assert len(outcome.accepted) == 32 - 5 and "5 replies about 5 classes are missing" in outcome.error


def test_reasoning_is_kept_in_the_ledger_and_reaches_no_text_and_no_complaint(
    place: Path, shared_server: Server
) -> None:
    lacking = f"<think>{THINKING}</think>**Size**: {END}"
    script = [
        lambda number: reply(number, lacking),
        lambda number: reply(number, f"<think>{THINKING}</think>{written(number)}", reasoning_content="beside"),
    ]
    outcome = run(place, shared_server, Endpoint(script), max_concurrency=1)
    assert outcome.error == ""
    first, second, *_ = outcome.records
    assert first.reply == lacking and first.rejected == "lacks the fields Coloration, Beak"
    assert THOUGHT in second.reply and second.reasoning == "beside" and second.rejected is None
    assert shared_server.asked[1].body["messages"][1] == {"role": "assistant", "content": f"**Size**: {END}"}
    assert THOUGHT not in (place / "texts.csv").read_text()


def test_a_key_that_is_escaped_or_divided_is_kept_out(place: Path, shared_server: Server) -> None:
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in KEY)
    status, body = reply(0, f"{written(0)} KEY")
    parts = [{"type": "text", "text": written(1) + " " + KEY[:15]}, {"type": "text", "text": KEY[15:]}]
    script = [lambda number: (status, json.dumps(body).replace("KEY", escaped)), lambda number: reply(number, parts)]
    outcome = run(place, shared_server, Endpoint(script), max_concurrency=1)
    assert outcome.error == "" and sum("[key]" in record.reply for record in outcome.records) == 2
    for path in place.iterdir():
        assert KEY[8:-4].encode() not in path.read_bytes()


def test_reasoning_tokens_are_priced_and_budgeted(place: Path, shared_server: Server) -> None:
    """Also where they are counted beside the completion, and past the limit that was asked for."""

    def thinks(number: int) -> Answer:
        status, body = reply(number)
        body["usage"] = {
            "prompt_tokens": 50,
            "completion_tokens": 60,
            "total_tokens": 5110,
            "completion_tokens_details": {"reasoning_tokens": 5000},
        }
        return status, body

    write_inputs(place, 20)
    budget = 0.05
    outcome = run(place, shared_server, Endpoint([thinks] * 100), budget_usd=budget)
    each = (50 * PRICES[0] + 5060 * PRICES[1]) / 1e6
    assert all(record.price_usd == pytest.approx(each) for record in outcome.records)
    assert all(
        r.usage and (r.usage.completion_tokens, r.usage.reasoning_tokens) == (5060, 5000) for r in outcome.records
    )
    assert "is used up" in outcome.error and outcome.recorded <= budget and len(outcome.records) >= 4


def test_a_query_goes_with_every_request(place: Path, shared_server: Server) -> None:
    url = shared_server.url.replace("/v1", "/openai/deployments/gpt?api-version=2024-10-21")
    outcome = run(place, shared_server, Endpoint(), base_url=url)
    assert outcome.error == "" and len(outcome.accepted) == CLASSES * REPLIES
    paths = {asked.path for asked in shared_server.asked}
    assert paths == {"/openai/deployments/gpt/chat/completions?api-version=2024-10-21"}
    # As Azure reads a key.
    keys = {(asked.headers.get("api-key"), asked.headers.get("authorization")) for asked in shared_server.asked}
    assert keys == {(KEY, None)}


def test_a_prompt_with_a_byte_order_mark_is_the_same_question(place: Path, shared_server: Server) -> None:
    assert run(place, shared_server, Endpoint()).error == ""
    texts, prompt = (place / "texts.csv").read_bytes(), (place / "prompt.txt").read_text()
    for encoding in ("utf-8-sig", "utf-16"):
        (place / "prompt.txt").write_bytes(prompt.replace("\n", "\r\n").encode(encoding))
        assert run(place, shared_server, Endpoint()).error == "" and shared_server.asked == []
        assert (place / "texts.csv").read_bytes() == texts
    (place / "prompt.txt").write_bytes(prompt.encode() + b"m\xf6glich")
    assert "prompt.txt, line 2: is not UTF-8 (byte 0xf6)" in run(place, shared_server, Endpoint()).error


# ---------------------------------------------------------------- the environment


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ALL_PROXY", "socks5://user:PASSWORD@127.0.0.1:1080", "names a SOCKS proxy"),
        ("https_proxy", "http://127.0.0.1:99999", "is no address of a proxy"),
        ("HTTP_PROXY", "127.0.0.1:port", "is no address of a proxy"),
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "/nowhere/ca.pem, which is not there"),
        ("SSL_CERT_DIR", "/nowhere/certs", "/nowhere/certs, which is not there"),
    ],
)
def test_a_fault_of_the_environment_names_its_variable(
    name: str, value: str, words: str, place: Path, shared_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv(name, value)
    outcome = run(place, shared_server, Endpoint(), base_url="https://llm.invalid/v1")
    assert f"{name} in the environment" in outcome.error and words in outcome.error
    assert "PASSWORD" not in outcome.error and "\n" not in outcome.error
    # What is on this machine is asked without proxy and certificate.
    assert run(place, shared_server, Endpoint()).error == ""


def test_what_else_a_client_stumbles_over_is_a_sentence(
    place: Path, shared_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "gopher://127.0.0.1:70")
    outcome = run(place, shared_server, Endpoint(), base_url="https://llm.invalid/v1")
    assert "no client can be made" in outcome.error and "ALL_PROXY" in outcome.error and "\n" not in outcome.error


def test_models_are_asked_for_by_name(shared_server: Server) -> None:
    found = {"id": "m", "shutdown_date": "2027-01-14"}
    shared_server.got.clear()
    shared_server.plan = Plan(get=lambda path: (200, found) if path.startswith("/v1/models/m") else error(404, KEY))
    place = find_endpoint(shared_server.url + "?api-version=1", "OPENAI_API_KEY")
    assert asyncio.run(fetch_model(place, "m", 20))[:2] == (200, found)
    status, _, text = asyncio.run(fetch_model(place, "other", 20))
    assert status == 404 and "[key]" in text and KEY not in text
    assert shared_server.got == ["/v1/models/m?api-version=1", "/v1/models/other?api-version=1"]
