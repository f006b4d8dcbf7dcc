"""The live LLM client against an endpoint on this machine: what is bought is kept, once, whatever goes wrong."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fieldguide.texts.llm_client as llm_client
from fieldguide.texts.answers import ErrorReport, StoppedError, UnansweredError, read_status, retry_after
from fieldguide.texts.endpoint import find_endpoint, needs_key
from fieldguide.texts.ledger import Message, read_ledger
from fieldguide.texts.llm_client import input_tokens_at_most
from fieldguide.texts.rate_limit import Pace
from fieldguide.texts.table import read_texts
from tests.llm_faults import QUICK, kill_often, play, run_stage_here, start, wait_for
from tests.llm_server import (
    FATAL,
    FAULTS,
    KEPT,
    KEY,
    LOST,
    PRICES,
    ROOT,
    Asked,
    Plan,
    Server,
    in_turn,
    options,
    running,
    tokens,
    write_inputs,
)

SOAK = int(os.environ.get("FIELDGUIDE_SOAK", "0"))


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return write_inputs(tmp_path, 5, other=True)


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Server]:
    with running() as server:
        yield server


def always(fault: str, *names: str) -> Plan:
    """A fault for these classes, or for all."""
    return Plan(fault=lambda asked, number: fault if not names or asked.class_name in names else "", hang=1)


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_fault_everything_is_there_and_nothing_was_bought_twice(fault: str, shared_server: Server) -> None:
    server, outcome = play(["", fault, fault], classes=3, server=shared_server)
    assert outcome.error == "" and outcome.trouble == []
    assert len(outcome.accepted) == 6 and outcome.lost(server) == 0 and server.asked_twice() == []
    assert len(server.asked) == 8
    # What was, or may have been, paid for is on record, at no less than it cost.
    rejected = [record.rejected for record in outcome.records if record.rejected]
    assert len(rejected) == (0 if fault in LOST[:4] else 2)
    assert outcome.recorded >= server.billed - 1e-12


@pytest.mark.parametrize("fault", [fault for fault in KEPT if "body" not in fault and fault not in ("empty reply",)])
def test_what_was_wrong_is_said_when_it_is_asked_again(fault: str, place: Path) -> None:
    with running(Plan(fault=in_turn(fault))) as server:
        outcome = run_stage_here(place, server, 1, max_concurrency=1)
    (record,) = [record for record in outcome.records if record.rejected]
    first, again, *_ = (one.body for one in server.asked)
    if record.reply:
        question, said, complaint = again["messages"]
        assert said == {"role": "assistant", "content": record.reply} and question == first["messages"][0]
        assert record.rejected in complaint["content"] and '"Test Bird 001"' in complaint["content"]
    else:
        assert again["messages"] == first["messages"]
    # The same seed would bring the same reply.
    assert again["seed"] != first["seed"]


@pytest.mark.slow
@given(faults=st.lists(st.sampled_from(["", "", *FAULTS]), max_size=24))
@settings(max_examples=max(200, 200 * SOAK), suppress_health_check=list(HealthCheck))
def test_no_sequence_of_faults_loses_a_reply_or_buys_it_twice(faults: list[str], shared_server: Server) -> None:
    server, outcome = play(faults, classes=4, server=shared_server)
    assert outcome.error == "" and outcome.trouble == []
    assert len(outcome.accepted) == len({(r.class_name, r.reply_index) for r in outcome.accepted}) == 8
    assert outcome.lost(server) == 0 and server.asked_twice() == []
    assert outcome.recorded >= server.billed - 1e-12


def test_past_its_attempts_a_reply_is_reported_and_only_it_is_asked_for_next_time(place: Path) -> None:
    with running(always("field missing", "Test Bird 002")) as server:
        outcome = run_stage_here(place, server, 2, attempts=2)
        assert "2 replies about 1 classes are missing: Test Bird 002 (reply 1: it lacks the field" in outcome.error
        assert str(place / "ledger.jsonl") in outcome.error and "run again" in outcome.error
        assert len(outcome.accepted) == 8 and not (place / "texts.csv").exists()
        assert Counter(one.class_name for one in server.asked)["Test Bird 002"] == 4
        server.plan.fault = lambda asked, number: ""
        before = len(server.asked)
        outcome = run_stage_here(place, server, 2)
        assert outcome.error == "" and {one.class_name for one in server.asked[before:]} == {"Test Bird 002"}
    assert len(server.asked) == before + 2 and len(read_texts(place / "texts.csv")) == 30
    # It went on where it was: the second run began with what was wrong with the last reply.
    assert all(len(one.body["messages"]) == 3 for one in server.asked[before:])


def test_a_request_that_is_never_answered_is_reported_with_the_rest_done(place: Path) -> None:
    with running(always("500", "Test Bird 003")) as server:
        outcome = run_stage_here(place, server, 1, retries=2)
    assert "Test Bird 003 (reply 1: status 500" in outcome.error and len(outcome.accepted) == 4
    assert Counter(one.class_name for one in server.asked)["Test Bird 003"] == 3


def test_an_endpoint_that_is_not_there_ends_the_run_soon(place: Path) -> None:
    with running() as server:
        pass
    outcome = run_stage_here(place, server, 6)
    assert "does not answer" in outcome.error and "30 are missing" in outcome.error


def test_an_endpoint_that_goes_down_ends_the_run(place: Path) -> None:
    with running(Plan(fault=lambda asked, number: "503" if number > 3 else "")) as server:
        outcome = run_stage_here(write_inputs(place, 40), server, 1, retries=1, max_concurrency=2)
    assert "does not answer (status 503" in outcome.error and len(outcome.accepted) == 4
    assert len(server.asked) < 20


def test_an_endpoint_that_answers_something_else_ends_the_run(place: Path) -> None:
    with running(always("body of HTML")) as server:
        outcome = run_stage_here(write_inputs(place, 40), server, 1, attempts=2, max_concurrency=2)
    assert "does not answer (the body is not a chat completion)" in outcome.error
    assert len(server.asked) < 16 and outcome.recorded >= server.billed


# ---------------------------------------------------------------- what ends a run at once

SENTENCES = {
    "no quota": "no credit left (429 insufficient_quota)",
    "wrong key": "the key was refused (401)",
    "no permission": "no permission for the model 'gpt-test' (403)",
    "unknown model": "no model 'gpt-test'",
}


@pytest.mark.parametrize("fault", FATAL)
def test_what_no_repetition_mends_ends_the_run_at_once_and_keeps_what_was_bought(
    fault: str, place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with running(Plan(fault=lambda asked, number: fault if number >= 5 else "", latency=0.02)) as server:
        outcome = run_stage_here(place, server, 6, max_concurrency=3)
    assert SENTENCES[fault] in outcome.error and "\n" not in outcome.error
    assert "5 replies were received and are kept in" in outcome.error and "25 are missing" in outcome.error
    assert len(outcome.accepted) == 5 and 6 <= len(server.asked) <= 5 + 3
    assert {one.headers["authorization"] for one in server.asked} == {f"Bearer {KEY}"}
    assert_no_key(place, outcome.error + capfd.readouterr().err)


def assert_no_key(folder: Path, said: str) -> None:
    """The key stands neither in what was said nor in any file, nor does the middle of it."""
    secret = KEY[8:-4]
    assert secret not in said
    for path in folder.rglob("*"):
        assert not path.is_file() or secret.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("debug", ["", "debug"])
def test_the_key_reaches_no_file_log_or_error(debug: str, place: Path) -> None:
    """Nor from an endpoint that says it back, in an error, a reply or a header."""
    echo = {**dict.fromkeys(range(3), "500"), 3: "body of HTML", 4: "unknown model"}
    environment = {**os.environ, "OPENAI_API_KEY": KEY, "OPENAI_LOG": debug, "PYTHONPATH": str(ROOT / "src")}
    with running(Plan(fault=lambda asked, number: echo.get(number, ""))) as server:
        server.plan.echo = KEY
        words = options(place, server.url, 2, **{**QUICK, "max_concurrency": 1})
        answer = subprocess.run(
            [sys.executable, "-m", "fieldguide.texts.generate_texts", *words],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert answer.returncode == 1 and "no model" in answer.stderr and "Traceback" not in answer.stderr
        assert_no_key(place, answer.stdout + answer.stderr)
        answer = subprocess.run(
            [sys.executable, "-m", "fieldguide.texts.generate_texts", *words],
            env=environment,
            capture_output=True,
            text=True,
        )
    assert answer.returncode == 0, answer.stderr
    assert_no_key(place, answer.stdout + answer.stderr)
    assert "[key]" in (place / "ledger.jsonl").read_text() and "[key]" in (place / "texts.csv").read_text()


def test_a_key_is_checked_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    with pytest.raises(Exception, match="OPENAI_API_KEY is not set"):
        find_endpoint("https://api.openai.com/v1", "OPENAI_API_KEY")
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\nexport X=1")
    with pytest.raises(Exception, match="no key has") as caught:
        find_endpoint("https://api.openai.com/v1", "OPENAI_API_KEY")
    assert KEY not in str(caught.value)
    monkeypatch.setenv("OTHER_KEY", f" {KEY}\n")
    endpoint = find_endpoint("https://api.openai.com/v1", "OTHER_KEY")
    assert endpoint.key == KEY and KEY not in repr(endpoint)


@pytest.mark.parametrize(
    ("address", "needed"),
    [
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1", True),
        ("http://localhost:11434/v1", False),
        ("https://openai.company.example/v1", False),
        ("https://notopenai.com/v1", False),
    ],
)
def test_only_openai_needs_a_key(address: str, needed: bool) -> None:
    assert needs_key(address) == needed


def test_without_a_key_nothing_is_asked_and_the_way_out_is_told(place: Path) -> None:
    with running() as server:
        outcome = run_stage_here(place, server, 1, base_url="https://api.openai.com/v1")
    assert server.asked == []
    for part in ("ledger.jsonl", "snakemake price_texts", "OPENAI_API_KEY is not set", "5 replies", "Test Bird 001"):
        assert part in outcome.error
    assert "\n" not in outcome.error


def test_replay_needs_no_network_no_key_and_no_client(place: Path) -> None:
    with running() as server:
        run_stage_here(place, server, 1)
    first = (place / "texts.csv").read_bytes()
    code = (
        "import socket, sys\n"
        "def refuse(*args, **kwargs): raise SystemExit('opens a connection')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "from fieldguide.texts.generate_texts import main\n"
        f"main({options(place, server.url, 1)!r})\n"
        "assert 'openai' not in sys.modules and 'tiktoken' not in sys.modules\n"
    )
    (place / "texts.csv").unlink()
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert (place / "texts.csv").read_bytes() == first and len(server.asked) == 5


# ---------------------------------------------------------------- money


@pytest.mark.parametrize("fault", ["", "field missing", "time-out", "connection cut", "body of HTML"])
@pytest.mark.parametrize("reports_usage", [True, False])
def test_the_budget_is_never_passed_however_many_ask(fault: str, reports_usage: bool, place: Path) -> None:
    # Every third request goes wrong, and is billed.
    plan = Plan(fault=lambda asked, number: fault if number % 3 == 0 else "", latency=0.01, hang=2)
    plan.reports_usage = reports_usage
    write_inputs(place, 40)
    budget = 0.0065
    how = {"budget_usd": budget, "max_concurrency": 16, "timeout": 0.5 if fault == "time-out" else 20}
    with running(plan) as server:
        outcome = run_stage_here(place, server, 2, **how)
        assert server.billed <= budget and outcome.recorded <= budget
        assert f"the budget of ${budget:g} is used up" in outcome.error and "budget_usd" in outcome.error
        assert 3 <= len(outcome.accepted) < 80 and outcome.lost(server) == 0
        # It counts what earlier runs paid.
        before = len(server.asked)
        again = run_stage_here(place, server, 2, **how)
        assert "is used up" in again.error and len(server.asked) - before <= 1 and server.billed <= budget
        server.plan.fault = lambda asked, number: ""
        assert run_stage_here(place, server, 2).error == "" and server.asked_twice() == []


def test_what_is_spent_is_what_the_endpoint_billed(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with running(Plan(fault=in_turn("field missing"))) as server:
        outcome = run_stage_here(place, server, 2)
    assert outcome.recorded == pytest.approx(server.billed, rel=1e-9) and server.billed > 0
    said = capfd.readouterr().err
    assert "11 requests: 10 replies accepted, 1 rejected, 0 unanswered; " in said and f"${server.billed:.4f}" in said
    for record in outcome.records:
        assert record.usage and record.created and record.response_id and record.served_model == "gpt-test-0125"
        assert record.price_usd == pytest.approx(
            (record.usage.prompt_tokens * PRICES[0] + record.usage.completion_tokens * PRICES[1]) / 1e6
        )


@given(st.text(max_size=200), st.text(max_size=200))
def test_the_bound_of_a_requests_tokens_is_one(question: str, said: str) -> None:
    messages = [Message(role="user", content=question), Message(role="assistant", content=said)]
    assert input_tokens_at_most(messages, {}) >= len(question.encode()) + len(said.encode())


# ---------------------------------------------------------------- pace


@given(
    per_minute=st.floats(1, 10_000),
    steps=st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 50)), min_size=1, max_size=60),
)
def test_no_minute_holds_more_than_its_limit_and_one_request(
    per_minute: float, steps: list[tuple[float, float]]
) -> None:
    pace, now, used = Pace(per_minute), 0.0, []
    for passed, amount in steps:
        now += passed
        used.append((now + pace.book(amount, now), amount))
    for begin, _ in used:
        inside = [amount for at, amount in used if begin <= at < begin + 60]
        assert sum(inside) <= per_minute * (1 + 1e-9) + max(inside)


def test_a_pace_without_limit_never_waits() -> None:
    pace = Pace(0)
    assert [pace.book(1e9, 0.0) for _ in range(3)] == [0.0, 0.0, 0.0]


def test_requests_keep_to_the_pace(place: Path) -> None:
    write_inputs(place, 12)
    with running() as server:
        run_stage_here(place, server, 1, requests_per_minute=1200)
        at = [one.at for one in server.asked]
        assert at[-1] - at[0] >= 11 * 0.05 - 0.1
        server.asked.clear()
        (place / "ledger.jsonl").unlink()
        # The bound of a request's tokens here is below 700: at most 1.3 s if none were given back.
        run_stage_here(place, server, 1, tokens_per_minute=400_000)
        at = [one.at for one in server.asked]
        assert at[-1] - at[0] >= 0.2 and max(tokens(json.dumps(one.body["messages"])) for one in server.asked) < 100


def test_no_more_requests_are_under_way_than_allowed(place: Path) -> None:
    now, most = Counter[str](), Counter[str]()

    def count(asked: Asked, number: int) -> str:
        now["open"] = sum(not one.sent_whole for one in server.asked) + 1
        most["open"] = max(most["open"], now["open"])
        return ""

    with running(Plan(fault=count, latency=0.02)) as server:
        run_stage_here(write_inputs(place, 30), server, 1, max_concurrency=4)
    assert 2 <= most["open"] <= 4


@pytest.mark.parametrize("known", [True, False])
def test_a_rate_limit_is_used_to_the_full_and_not_fought(known: bool, place: Path) -> None:
    """In small what benchmarks/generate_texts.py measures: 120 replies at 40 a second take 3 s."""
    write_inputs(place, 60)
    with running(Plan(latency=0.15, per_second=40, burst=10)) as server:
        started = time.monotonic()
        pace = {"requests_per_minute": 2400} if known else {}
        outcome = run_stage_here(place, server, 2, max_concurrency=16, backoff=0.2, timeout=10, **pace)
        seconds = time.monotonic() - started
    assert outcome.error == "" and len(outcome.accepted) == 120 and server.asked_twice() == []
    assert sum(one.fault == "429" for one in server.asked) <= (12 if known else 60)
    assert seconds < (6 if known else 9)


def test_retry_after_is_obeyed(place: Path) -> None:
    with running(Plan(fault=in_turn("429 and Retry-After"), retry_after_ms=600)) as server:
        run_stage_here(place, server, 1, max_concurrency=1)
    assert server.asked[1].at - server.asked[0].at >= 0.59


def test_retry_after_is_read_in_all_its_forms() -> None:
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert retry_after({"retry-after": "7.5"}) == 7.5
    assert retry_after({"retry-after": "-3"}) == 0
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < (retry_after({"retry-after": soon}) or 0) <= 30
    assert retry_after({"retry-after": "soon"}) is None and retry_after({}) is None


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 529])
def test_what_passes_is_repeated(status: int) -> None:
    problem = read_status(ErrorReport(status, "busy"), 3.0, "m", "http://x/v1")
    assert isinstance(problem, UnansweredError) and problem.pause == 3.0 and not problem.is_final
    assert problem.was_limited == (status == 429)


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (402, "", "no credit left"),
        (429, "billing_hard_limit_reached", "no credit left"),
        (400, "", "refuses the request"),
    ],
)
def test_what_does_not_pass_ends_the_run(status: int, code: str, said: str) -> None:
    problem = read_status(ErrorReport(status, "words", (code,)), None, "m", "http://x/v1")
    assert isinstance(problem, StoppedError) and said in str(problem) and "http://x/v1" in str(problem)


def test_an_endpoint_that_asks_for_hours_ends_the_run() -> None:
    assert "come back in 7200 s" in str(read_status(ErrorReport(429), 7200.0, "m", "http://x/v1"))


def test_a_question_that_a_filter_refuses_concerns_its_class_alone() -> None:
    problem = read_status(ErrorReport(400, "", ("content_filter",)), None, "m", "http://x/v1")
    assert isinstance(problem, UnansweredError) and problem.is_final


# ---------------------------------------------------------------- JSON schemas


@pytest.mark.parametrize("takes_schema", [True, False])
def test_auto_asks_by_schema_where_that_is_taken(takes_schema: bool, place: Path) -> None:
    with running(Plan(takes_schema=takes_schema)) as server:
        outcome = run_stage_here(place, server, 2, structured="auto")
        assert outcome.error == "" and len(outcome.accepted) == 10
        # One request finds out; nothing else is tried.
        assert len(server.asked) == (10 if takes_schema else 11)
        assert all(record.reply.startswith("{" if takes_schema else "**Size**") for record in outcome.accepted)
        texts = (place / "texts.csv").read_bytes()
        assert run_stage_here(place, server, 3, structured="auto").error == ""
        # The ledger knows by now.
        assert len(server.asked) == (15 if takes_schema else 16)
        assert run_stage_here(place, server, 2, structured="auto").error == ""
    assert (place / "texts.csv").read_bytes() == texts
    if takes_schema:
        (schema,) = {json.dumps(one.body["response_format"]) for one in server.asked}
        assert (
            json.loads(schema)["json_schema"]["strict"] is True
            and "JSON" in server.asked[0].body["messages"][0]["content"]
        )


def test_both_forms_give_the_same_texts(place: Path) -> None:
    with running() as server:
        run_stage_here(place, server, 2, structured="json_schema")
        texts = (place / "texts.csv").read_bytes()
        outcome = run_stage_here(place, server, 2, structured="off")
    assert (place / "texts.csv").read_bytes() == texts and len(outcome.accepted) == 20


def test_a_schema_that_is_insisted_on_and_not_taken_is_told(place: Path) -> None:
    with running(Plan(takes_schema=False)) as server:
        outcome = run_stage_here(place, server, 2, structured="json_schema", max_concurrency=2)
    assert "takes no JSON schema" in outcome.error and "texts.gpt.structured" in outcome.error
    assert len(server.asked) <= 2


# ---------------------------------------------------------------- requests


def test_parameters_are_sent_as_they_are_and_the_seed_counts_replies(place: Path) -> None:
    parameters = {"top_k": 3, "reasoning": {"effort": "low"}}
    with running() as server:
        outcome = run_stage_here(place, server, 3, temperature=0.7, max_tokens=90, seed=5, parameters=parameters)
    bodies = [one.body for one in server.asked]
    assert {body["model"] for body in bodies} == {"gpt-test"}
    for body in bodies:
        assert {name: body[name] for name in ("temperature", "max_tokens", "top_k", "reasoning")} == {
            "temperature": 0.7,
            "max_tokens": 90,
            "top_k": 3,
            "reasoning": {"effort": "low"},
        }
        assert set(body) == {"model", "messages", "temperature", "max_tokens", "top_k", "reasoning", "seed"}
    assert Counter(body["seed"] for body in bodies) == {5: 5, 6: 5, 7: 5}
    assert len({record.key for record in outcome.records}) == 5


def test_a_key_that_is_set_is_sent_and_none_is_needed_here(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A proxy that is not there: what is on this machine is asked directly.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with running() as server:
        assert run_stage_here(place, server, 1).error == ""
        assert KEY not in server.asked[0].headers["authorization"]
        monkeypatch.setenv("LOCAL_KEY", KEY)
        assert run_stage_here(place, server, 2, key_variable="LOCAL_KEY").error == ""
        assert server.asked[-1].headers["authorization"] == f"Bearer {KEY}"


# ---------------------------------------------------------------- processes


@pytest.mark.slow
def test_killed_runs_lose_no_more_than_the_replies_under_way() -> None:
    concurrency = 8
    kills = kill_often(max(5, 20 * SOAK), concurrency=concurrency)
    assert len({kill.at for kill in kills}) > 2 and any(0 < kill.kept < 200 for kill in kills)
    for kill in kills:
        assert kill.same and kill.asked_again == 0 and 0 <= kill.cost <= concurrency, kill


def test_two_processes_on_one_ledger_buy_nothing_twice(place: Path) -> None:
    write_inputs(place, 30)
    with running(Plan(latency=0.03)) as server:
        processes = [start(place, server, 2, max_concurrency=4) for _ in range(3)]
        assert [process.wait(120) for process in processes] == [0, 0, 0]
    assert len(server.asked) == len(read_ledger(place / "ledger.jsonl")) == 60 and server.asked_twice() == []
    assert "waiting for its end, so that no reply is requested twice" in (place / "log.txt").read_text()


def test_ctrl_c_waits_for_the_replies_under_way(place: Path) -> None:
    write_inputs(place, 100)
    with running(Plan(latency=0.3)) as server:
        process = start(place, server, 1, max_concurrency=6)
        assert wait_for(lambda: len(server.asked) >= 9)
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.send_signal(signal.SIGTERM)  # Snakemake passes on what the terminal told all; it is meant once
        assert process.wait(30) == 1
        asked = len(server.asked)
        assert len(read_ledger(place / "ledger.jsonl")) == len(server.whole) == asked < 100
    said = (place / "log.txt").read_text()
    assert "replies under way" in said and "stopped; run the same command again to go on" in said
    assert "Traceback" not in said and f"{asked} requests: {asked} replies accepted" in said


def test_a_reply_that_a_full_disk_refuses_is_in_the_log(place: Path) -> None:
    with running() as server:
        command = [
            sys.executable,
            "-m",
            "fieldguide.texts.generate_texts",
            *options(place, server.url, 2, max_concurrency=1),
        ]
        answer = subprocess.run(
            command,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
            capture_output=True,
            text=True,
        )
        assert (
            answer.returncode == 1 and "the log holds the reply" in answer.stderr and "Traceback" not in answer.stderr
        )
        kept = read_ledger(place / "ledger.jsonl")
        (line,) = [line.partition("paid for: ")[2] for line in answer.stderr.splitlines() if "paid for: " in line]
        assert len(kept) + 1 == len(server.asked) == 3
        # As the log says: appended by hand, it counts.
        with (place / "ledger.jsonl").open("a") as stream:
            stream.write(line + "\n")
        assert run_stage_here(place, server, 2).error == ""
    assert len(server.asked) == 10 and server.asked_twice() == []


def test_a_torn_line_is_asked_for_again(place: Path) -> None:
    with running() as server:
        run_stage_here(place, server, 1)
        texts, ledger = (place / "texts.csv").read_bytes(), place / "ledger.jsonl"
        ledger.write_bytes(ledger.read_bytes()[:-40])
        outcome = run_stage_here(place, server, 1)
    assert outcome.error == "" and len(server.asked) == 6 and len(outcome.records) == 5
    assert (place / "texts.csv").read_bytes() == texts and (place / "ledger.jsonl.torn").exists()


def test_a_long_run_says_now_and_then_how_far_it_is(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(llm_client, "PROGRESS_EVERY", 0.1)
    with running(Plan(latency=0.05)) as server:
        run_stage_here(place, server, 4, max_concurrency=2)
    lines = [line for line in capfd.readouterr().err.splitlines() if " of 20 replies, " in line]
    assert len(lines) >= 2 and all("$0.0" in line and " a second, " in line for line in lines)
    assert logging.getLogger("fieldguide").level == logging.WARNING
