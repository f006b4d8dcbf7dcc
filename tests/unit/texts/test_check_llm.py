"""Whether a model can be asked, known before anything else; and every endpoint of docs/llm.md, played over sockets."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import read_csv
from fieldguide.texts.answers import read_report
from fieldguide.texts.check_llm import find_shutdown, is_description, judge_shutdown, lacks_model, main
from fieldguide.texts.generate_texts import main as generate_texts
from fieldguide.texts.ledger import read_ledger
from tests.llm_profiles import PROFILES, REASONING
from tests.llm_server import FIELDS, KEY, Plan, Server, error, options, running, write_inputs
from tests.tiny_data import refusal

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def source(folder: Path, url: str, **more: Any) -> dict[str, Any]:
    words = options(folder, url, 2, backoff=0.01, **more)
    settings: dict[str, Any] = json.loads(words[words.index("--settings") + 1])
    return settings


def check(folder: Path, url: str, *words: str | Path, **more: Any) -> None:
    """Run the stage, the classes known by their table unless other words are given."""
    settings = json.dumps({"sources": {"gpt": source(folder, url, **more)}})
    files = [str(word) for word in words] or ["--classes", str(folder / "classes.csv")]
    main(["--settings", settings, *files])


def refused(folder: Path, url: str, *words: str | Path, **more: Any) -> str:
    with pytest.raises(SystemExit) as caught:
        check(folder, url, *words, **more)
    told = str(caught.value)
    assert KEY not in told and "\n" not in told
    return told


def describing(**more: Any) -> Plan:
    return Plan(get=lambda path: (200, {"id": path.rpartition("/")[2], "object": "model", **more}))


def day(days: int) -> str:
    return (datetime.now(UTC).date() + timedelta(days=days)).isoformat()


def test_a_model_that_lives_is_asked_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with running(describing(shutdown_date=None)) as server:
        check(write_inputs(tmp_path, 2), server.url)
        assert server.got == ["/v1/models/gpt-test"] and server.asked == []
    assert capfd.readouterr().out == f"texts.gpt: {server.url} has gpt-test\n"
    assert not (tmp_path / "ledger.jsonl").exists()


@pytest.mark.parametrize("days", [1, 90])
def test_the_last_days_of_a_model_are_a_warning(tmp_path: Path, days: int, capfd: pytest.CaptureFixture[str]) -> None:
    with running(describing(shutdown_date=day(days))) as server:
        check(write_inputs(tmp_path, 2), server.url)
    said = capfd.readouterr()
    for stream in (said.out, said.err):
        assert f"gpt-test will be shut down on {day(days)}, in {days} days" in stream and "keep the ledger" in stream


def test_a_model_that_is_shut_down_stops_the_run(tmp_path: Path) -> None:
    with running(describing(shutdown_date=day(0))) as server:
        told = refused(write_inputs(tmp_path, 2), server.url)
    assert f"gpt-test was shut down on {day(0)}" in told and "sweep: {leave_out: [gpt]}" in told


def test_days_are_counted_to_the_last() -> None:
    assert judge_shutdown("a", "m", date(2027, 1, 14), date(2026, 10, 15)) == ""
    assert "in 90 days" in judge_shutdown("a", "m", date(2027, 1, 14), date(2026, 10, 16))
    with pytest.raises(FieldguideError, match="was shut down on 2027-01-14"):
        judge_shutdown("a", "m", date(2027, 1, 14), date(2027, 1, 14))


@pytest.mark.parametrize("said", [None, "", "soon", 20270114, "2027-13-40", []])
def test_a_date_that_is_none_is_no_date(said: object) -> None:
    assert find_shutdown({"id": "m", "shutdown_date": said}) is None and find_shutdown(said) is None
    assert find_shutdown({"shutdown_date": "2027-01-14"}) == date(2027, 1, 14)


def test_a_description_is_of_one_model() -> None:
    assert is_description({"id": "m", "object": "model"}) and is_description({"id": "m"})
    assert not any(map(is_description, ({"object": "list", "data": []}, [], None, "Ollama is running", {"id": ""})))


@pytest.mark.parametrize(
    ("status", "body", "lacks"),
    [
        (404, {"error": {"message": "gone", "code": "model_not_found"}}, True),
        (404, {"error": {"message": "no such thing", "param": "model"}}, True),
        (404, {"error": "model 'm-1' not found"}, True),
        (410, {}, True),
        (404, {"detail": "Not Found"}, False),
        (404, {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}, False),
        (404, "<html>nginx</html>", False),
        (500, {"error": {"code": "model_not_found"}}, False),
    ],
)
def test_a_model_that_is_not_there_is_told_from_a_route_that_is_not(status: int, body: object, lacks: bool) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    assert lacks_model(read_report(status, text), "m-1") is lacks


def test_an_unknown_model_and_a_refused_key_are_one_sentence_with_the_ways_out(tmp_path: Path) -> None:
    write_inputs(tmp_path, 2)
    gone = error(404, f"The model does not exist ({KEY}).", "model_not_found")
    with running(Plan(get=lambda path: gone)) as server:
        told = refused(tmp_path, server.url)
    for part in ("has no model gpt-test (404)", "texts.gpt.model", "texts.gpt.ledger", "sweep: {leave_out: [gpt]}"):
        assert part in told
    with running(Plan(get=lambda path: error(401, f"Wrong key {KEY}", "invalid_api_key"))) as server:
        told = refused(tmp_path, server.url)
        assert server.asked == []
    assert "refuses the key in OPENAI_API_KEY (401)" in told and "leave_out" in told


def test_without_a_key_the_line_that_leaves_the_column_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    told = refused(write_inputs(tmp_path, 2), "https://api.openai.com/v1")
    for part in ("4 replies", "OPENAI_API_KEY is not set", "texts.gpt.ledger", "--config 'sweep={leave_out: [gpt]}'"):
        assert part in told
    assert "1,200" not in told and not (tmp_path / "ledger.jsonl").exists()


def test_an_endpoint_that_does_not_answer_is_said(tmp_path: Path) -> None:
    told = refused(write_inputs(tmp_path, 2), "http://127.0.0.1:9/v1")
    assert "http://127.0.0.1:9/v1 does not answer (the connection failed" in told and "leave_out" in told


def test_neither_endpoint_nor_ledger(tmp_path: Path) -> None:
    told = refused(write_inputs(tmp_path, 2), "")
    assert "ledger.jsonl is not there, and no base_url says whom to ask" in told and "leave_out" in told


def fill(folder: Path, server: Server) -> None:
    generate_texts(options(folder, server.url, 2, backoff=0.01))


def test_a_ledger_that_answers_all_needs_neither_endpoint_nor_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    write_inputs(tmp_path, 3)
    with running() as server:
        fill(tmp_path, server)
    monkeypatch.delenv("OPENAI_API_KEY")
    capfd.readouterr()
    likely = tmp_path / "likely.txt"
    likely.write_text("001.Black_footed_Albatross\n", encoding="utf-8")
    gone = tmp_path / "gone.csv"
    # Known by their table, by the ledger alone, and where other classes were to be expected.
    for words in ((), ("--classes", gone), ("--classes", gone, "--likely-classes", likely)):
        check(tmp_path, "https://api.openai.com/v1", *words)
    assert capfd.readouterr().out == ""
    # Two replies more of each are missing.
    assert "OPENAI_API_KEY is not set" in refused(tmp_path, "https://api.openai.com/v1", replies_per_class=3)


def test_the_classes_to_be_expected_count_while_the_ledger_lacks_some(tmp_path: Path) -> None:
    write_inputs(tmp_path, 1)
    (tmp_path / "likely.txt").write_text("002.Test_Bird_002\n001.Test_Bird_001\n", encoding="utf-8")
    words = ("--likely-classes", tmp_path / "likely.txt")
    with running(Plan(get=lambda path: (404, {"detail": "Not Found"}))) as server:
        fill(tmp_path, server)
        check(tmp_path, server.url, *words)
        assert len(server.asked) == 2  # whole for all that it knows: perhaps the data have no more
        check(tmp_path, server.url, *words, replies_per_class=3)
        assert [one.class_name for one in server.asked[2:]] == ["Test Bird 002"]


def test_where_models_are_not_described_the_first_question_is_asked_and_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_inputs(tmp_path, 2)
    with running(Plan(get=lambda path: (404, {"detail": "Not Found"}))) as server:
        check(tmp_path, server.url)
        assert len(server.asked) == 1
        assert "has answered a question; the reply is in" in capfd.readouterr().out
        fill(tmp_path, server)
        assert len(server.asked) == 4 and not server.asked_twice()
    assert len(read_ledger(tmp_path / "ledger.jsonl")) == 4


@pytest.mark.parametrize("status", [403, 405, 429, 500, 501])
def test_what_says_nothing_of_the_model_is_settled_by_a_question(tmp_path: Path, status: int) -> None:
    write_inputs(tmp_path, 2)
    with running(Plan(get=lambda path: error(status, "not this one"))) as server:
        check(tmp_path, server.url)
        assert len(server.asked) == 1
    dead = Plan(get=lambda path: error(status, "not this one"), fault=lambda asked, number: "unknown model")
    with running(dead) as server:
        told = refused(tmp_path, server.url)
        assert len(server.asked) == 1 and "it has no model 'gpt-test'" in told and "leave_out" in told


def test_a_page_in_place_of_a_model_is_settled_by_a_question_too(tmp_path: Path) -> None:
    with running(Plan(get=lambda path: (200, "<html>Welcome</html>"))) as server:
        check(write_inputs(tmp_path, 2), server.url)
        assert len(server.asked) == 1


def test_no_class_to_ask_about_is_said_and_stops_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with running(Plan(get=lambda path: (404, {"detail": "Not Found"}))) as server:
        check(write_inputs(tmp_path, 2), server.url, "--classes", tmp_path / "gone.csv")
        assert server.asked == [] and "no class is known yet" in capfd.readouterr().out


def test_all_sources_are_looked_at_before_one_stops_the_run(tmp_path: Path) -> None:
    write_inputs(tmp_path, 2)
    with running(Plan(get=lambda path: error(404, "no", "model_not_found"))) as server:
        settings = {"sources": {name: source(tmp_path, server.url, model=name) for name in ("a", "b")}}
        told = refusal(main, "--settings", json.dumps(settings), "--classes", tmp_path / "classes.csv")
    assert "texts.a: " in told and "texts.b: " in told


# ---------------------------------------------------------------- the table of endpoints

each_endpoint = pytest.mark.parametrize("name", PROFILES)


def test_the_table_has_a_row_for_every_profile_and_no_other() -> None:
    page = (ROOT / "docs/llm.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \*\*(.+?)\*\*", page, re.MULTILINE)
    assert rows == list(PROFILES)


@each_endpoint
def test_every_endpoint_of_the_table_gives_its_texts(name: str, tmp_path: Path) -> None:
    write_inputs(tmp_path, 2, other=True)
    profile = PROFILES[name]
    with running(profile.plan()) as server:
        more = {"backoff": 0.01, "max_concurrency": 1, "model": profile.model, **profile.settings}
        url = server.url + profile.query
        check(tmp_path, url, **{key: value for key, value in more.items() if key != "backoff"})
        generate_texts(options(tmp_path, url, 2, **more))
        sent = [one.body for one in server.asked]
        assert all(KEY not in json.dumps(body) for body in sent)
        assert not profile.query or all(one.path.endswith(profile.query) for one in server.asked)
    records = read_ledger(tmp_path / "ledger.jsonl")
    assert len(records) == 4 and all(record.rejected is None for record in records)
    # Refused once by the check or the stage, and once by each: never once a question.
    assert len(sent) <= 4 + 2 * len(profile.refuses) + bool(profile.at_first)
    assert all((record.negotiated or {}) == dict(profile.refuses) for record in records)
    for name_sent, instead in profile.refuses.items():
        assert name_sent not in sent[-1] and (instead is None or instead in sent[-1])
    assert any(record.reasoning or REASONING in record.reply for record in records) is profile.reasons
    texts = read_csv(tmp_path / "texts.csv", ("field", "text"))
    assert len(texts) == 4 * len(FIELDS)
    assert all(row["text"].startswith(f"Its {row['field'].lower()} is number ") for row in texts)


@pytest.mark.parametrize("name", [name for name, profile in PROFILES.items() if profile.unknown_model != (404, {})])
def test_every_endpoint_of_the_table_says_that_a_model_is_not_there(name: str, tmp_path: Path) -> None:
    write_inputs(tmp_path, 2)
    profile = PROFILES[name]
    with running(profile.plan()) as server:
        told = refused(tmp_path, server.url + profile.query, model="no-such-model", **profile.settings)
        assert len(server.asked) <= 1
    assert "leave_out" in told and not (tmp_path / "ledger.jsonl").exists()
