"""Downloads from a server that misbehaves: what arrives whole takes its place, the rest is resumed or refused."""

from __future__ import annotations

import email.utils
import gzip
import hashlib
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from fieldguide.core.errors import FieldguideError
from fieldguide.data.download_archive import main
from fieldguide.data.settings import RetryPolicy
from fieldguide.data.transfer import (
    CHUNK,
    HEAD,
    DownloadError,
    PartialDownload,
    check_url,
    compute_digests,
    fetch,
    find_archive_error,
    redact_url,
)
from tests.file_server import FileServer, Turn, file_server
from tests.tiny_data import as_settings, pack, refusal, said, write_coco, write_cub

CONTENT = gzip.compress(random.Random(0).randbytes(3_000_000), 1, mtime=0)
OTHER = gzip.compress(random.Random(1).randbytes(3_000_000), 1, mtime=0)
SIZE = len(CONTENT)
MD5, SHA256 = hashlib.md5(CONTENT).hexdigest(), hashlib.sha256(CONTENT).hexdigest()
ETAG = f'"{MD5}"'
QUICK = {"backoff": 0.01, "timeout": 5}
HTML = b"<!DOCTYPE html>\n<html><body>Do you consent?" + b" " * 2000


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as running:
        yield running


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "data" / "CUB_200_2011.tgz"


def left_in(out: Path) -> list[Path]:
    """What lies in the folder of the archive, hidden files too."""
    return sorted(out.parent.iterdir()) if out.parent.exists() else []


def part_of(out: Path) -> Path:
    return out.with_name(out.name + ".part")


def options(out: Path, *urls: str, retry: Mapping[str, float] | None = None, **more: Any) -> list[str]:
    """The command line; quick, unless `retry` says otherwise."""
    return ["--out", str(out), *as_settings(urls=urls, retry={**QUICK, **(retry or {})}, **more)]


def refused(out: Path, *urls: str, **more: Any) -> str:
    """The sentence, where nothing that came is worth keeping."""
    sentence = refusal(main, *options(out, *urls, **more))
    assert left_in(out) == [], "nothing is half-written"
    return sentence


def download(out: Path, *urls: str, **more: Any) -> None:
    main(options(out, *urls, **more))


# ---------------------------------------------------------------- what arrives


@pytest.mark.parametrize("checksums", [{}, {"md5": MD5}, {"sha256": SHA256}, {"md5": MD5, "sha256": SHA256}])
def test_a_good_download(server: FileServer, out: Path, checksums: dict[str, str], capsys: pytest.CaptureFixture[str]):
    assert SIZE > 2 * CHUNK
    url = server.serve("/cub.tgz", CONTENT)
    log = said(main, capsys, *options(out, url, **checksums))
    assert out.read_bytes() == CONTENT
    assert left_in(out) == [out]
    assert f"3.0 MB, from {url}" in log
    assert [(request.range, request.sent) for request in server.log] == [("", SIZE)]


def test_the_archives_in_their_own_layouts(server: FileServer, tmp_path: Path):
    cub = pack(write_cub(tmp_path / "made"), tmp_path / "made/CUB_200_2011.tgz")
    for archive in (cub, *write_coco(tmp_path / "made"), pack(tmp_path / "made/CUB_200_2011", tmp_path / "cub.tar")):
        content = archive.read_bytes()
        out = tmp_path / "data" / archive.name
        sha256 = hashlib.sha256(content).hexdigest()
        download(out, server.serve(f"/{archive.name}", content), sha256=sha256)
        assert out.read_bytes() == content
    with tarfile.open(tmp_path / "data/CUB_200_2011.tgz") as tar:
        assert "CUB_200_2011/images.txt" in tar.getnames()


@pytest.mark.parametrize("name", ["md5", "sha256"])
def test_a_wrong_checksum_is_refused_and_what_came_is_dropped(server: FileServer, out: Path, name: str):
    url = server.serve("/cub.tgz", OTHER)
    wanted, got = hashlib.new(name, CONTENT).hexdigest(), hashlib.new(name, OTHER).hexdigest()
    sentence = refused(out, url, **{name: wanted})
    assert f"{url}: its {name} is {got}, not {wanted}; what was downloaded was deleted" in sentence


def test_the_case_of_a_checksum_is_nothing(server: FileServer, out: Path):
    download(out, server.serve("/cub.tgz", CONTENT), md5=MD5.upper())
    assert out.exists()


def test_the_next_address_serves_when_one_does_not(server: FileServer, out: Path, capsys: pytest.CaptureFixture[str]):
    urls = [
        server.serve("/gone.tgz", b"", always=Turn(404)),
        server.serve("/other.tgz", OTHER),
        server.serve("/mirror.tgz", CONTENT),
        server.serve("/unused.tgz", CONTENT),
    ]
    log = said(main, capsys, *options(out, *urls, md5=MD5))
    assert out.read_bytes() == CONTENT and left_in(out) == [out]
    assert [request.path for request in server.log] == ["/gone.tgz", "/other.tgz", "/mirror.tgz"]
    assert f"{urls[0]}: 404 Not Found" in log and f"{urls[1]}: its md5 is" in log and f"from {urls[2]}" in log


@pytest.mark.parametrize("status", [401, 403, 404, 410, 451])
def test_what_is_not_there_is_not_asked_for_twice(server: FileServer, out: Path, status: int):
    url = server.serve("/cub.tgz", b"", always=Turn(status))
    assert f"{url}: {status} " in refused(out, url)
    assert len(server.log) == 1


def test_every_failure_is_told_and_what_to_do_by_hand(server: FileServer, out: Path):
    gone, broken = server.serve("/gone", b"", always=Turn(404)), server.serve("/broken", b"", always=Turn(503))
    sentence = refused(out, gone, broken, by_hand="it is at https://example.org/cub", retry={"retries": 2})
    assert f"{gone}: 404 Not Found; {broken}: 503 Service Unavailable (tried 3 times)" in sentence
    assert "run the same command again to go on, or get it by hand: it is at https://example.org/cub; " in sentence
    assert sentence.endswith(f"then put it at {out}")
    assert f"get it by hand: download it from {gone}; " in refused(out, gone)


def test_a_redirect_is_followed_and_gone_on_with_through_it(server: FileServer, httpserver: HTTPServer, out: Path):
    there = server.serve("/there", CONTENT, Turn(cut=1_000_000))
    httpserver.expect_request("/here").respond_with_handler(lambda _: Response(status=302, headers={"Location": there}))
    download(out, httpserver.url_for("/here"), sha256=SHA256)
    assert out.read_bytes() == CONTENT
    assert [request.range for request in server.log] == ["", "bytes=1000000-"]


@pytest.mark.parametrize("place", ["ftp://127.0.0.1/cub.tgz", "file:///etc/hostname"])
def test_a_redirect_to_another_protocol_is_refused(httpserver: HTTPServer, out: Path, place: str):
    def answer(_: Request) -> Response:
        return Response(status=302, headers={"Location": place})

    httpserver.expect_request("/here").respond_with_handler(answer)
    assert "No connection adapters were found" in refused(out, httpserver.url_for("/here"))


def test_a_redirect_in_a_circle_ends(httpserver: HTTPServer, out: Path):
    httpserver.expect_request("/here").respond_with_handler(
        lambda _: Response(status=302, headers={"Location": "/here"})
    )
    assert "Exceeded 30 redirects" in refused(out, httpserver.url_for("/here"))


def test_an_archive_is_not_unpacked_on_the_way(server: FileServer, out: Path):
    url = server.serve("/cub.tgz", CONTENT, always=Turn(headers={"Content-Encoding": "gzip"}))
    download(out, url)
    assert out.read_bytes() == CONTENT
    assert server.log[0].headers["Accept-Encoding"] == "identity"


def test_a_body_of_unknown_length(httpserver: HTTPServer, out: Path):
    def chunks() -> Iterator[bytes]:
        yield from (CONTENT[at : at + 100_000] for at in range(0, SIZE, 100_000))

    httpserver.expect_request("/cub.tgz").respond_with_handler(lambda _: Response(chunks()))
    download(out, httpserver.url_for("/cub.tgz"), md5=MD5)
    assert out.read_bytes() == CONTENT and left_in(out) == [out]


# ---------------------------------------------------------------- what breaks, and goes on


def test_a_connection_cut_again_and_again_goes_on_where_it_stopped(server: FileServer, out: Path):
    cuts = [Turn(cut=700_000), Turn(cut=0), Turn(cut=1), Turn(cut=99_999), Turn(cut=1_200_000)]
    url = server.serve("/cub.tgz", CONTENT, *cuts)
    download(out, url, sha256=SHA256)
    assert out.read_bytes() == CONTENT and left_in(out) == [out]
    places = [700_000, 700_000, 700_001, 800_000, 2_000_000]
    assert [request.range for request in server.log] == ["", *(f"bytes={place}-" for place in places)]
    assert [request.headers.get("If-Range") for request in server.log] == [None, *[ETAG] * 5]
    assert sum(request.sent for request in server.log) == SIZE, "not a byte is sent twice"


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 400_000), max_size=5))
def test_wherever_it_is_cut_the_bytes_are_the_same(tmp_path: Path, cuts: list[int]):
    out = tmp_path / "archive.tgz"
    with file_server() as server:
        url = server.serve("/cub.tgz", CONTENT, *(Turn(cut=cut) for cut in cuts))
        download(out, url)
        # A connection cut before the first HEAD bytes leaves nothing to go on with.
        lost = sum(request.sent for request in server.log) - SIZE
    assert out.read_bytes() == CONTENT and left_in(out) == [out]
    assert 0 <= lost < HEAD * max(1, len(cuts))
    out.unlink()


def test_what_came_is_no_failure_in_a_row(server: FileServer, out: Path):
    """A long file over a bad line is cut more often than --retries allows for a line that brings nothing."""
    content = gzip.compress(random.Random(2).randbytes(8_000_000), 1, mtime=0)
    server.serve("/cub.tgz", content, *[Turn(cut=1_100_000)] * 7)
    download(out, f"{server.url}/cub.tgz", retry={"retries": 1})
    assert out.read_bytes() == content and len(server.log) == 8


def test_beginning_anew_again_and_again_ends(server: FileServer, out: Path):
    turns = [Turn(cut=cut, ranges=False) for cut in (2_500_000, 100_000, 2_400_000, 1, 2_450_000)]
    url = server.serve("/cub.tgz", CONTENT, *turns, always=Turn(404))
    refusal(main, *options(out, url, retry={"retries": 3}))
    assert len(server.log) == 4


def test_a_line_that_brings_nothing_is_given_up_and_what_came_is_kept(server: FileServer, out: Path):
    url = server.serve("/cub.tgz", CONTENT, Turn(cut=500_000), always=Turn(cut=0))
    sentence = refusal(main, *options(out, url, retry={"retries": 3}))
    assert f"{url}: the connection ended {SIZE - 500_000} bytes too early (tried 4 times)" in sentence
    assert f"0.5 MB are kept in {part_of(out)}" in sentence
    assert not out.exists() and part_of(out).read_bytes() == CONTENT[:500_000]
    server.always["/cub.tgz"] = Turn()
    server.log.clear()
    download(out, url, md5=MD5)
    assert out.read_bytes() == CONTENT and left_in(out) == [out]
    assert [(request.range, request.sent) for request in server.log] == [("bytes=500000-", SIZE - 500_000)]


def test_a_part_goes_on_at_the_address_that_it_came_from(server: FileServer, out: Path):
    first = server.serve("/first.tgz", CONTENT, Turn(404))
    second = server.serve("/second.tgz", CONTENT, Turn(cut=2_000_000), always=Turn(cut=0))
    refusal(main, *options(out, first, second, retry={"retries": 0}))
    server.always["/second.tgz"] = Turn()
    server.log.clear()
    download(out, first, second)
    assert [(request.path, request.range) for request in server.log] == [("/second.tgz", "bytes=2000000-")]


def test_a_mirror_that_serves_nothing_costs_nothing_of_what_came(server: FileServer, out: Path):
    first = server.serve("/first.tgz", CONTENT, Turn(cut=2_000_000), always=Turn(503))
    mirrors = [server.serve("/a", b"", always=Turn(404)), server.serve("/b", HTML), server.serve("/c", b"")]
    refusal(main, *options(out, first, *mirrors, retry={"retries": 1}))
    assert part_of(out).read_bytes() == CONTENT[:2_000_000]


def test_a_stall_counts_as_broken_and_is_gone_on_with(server: FileServer, out: Path):
    url = server.serve("/cub.tgz", CONTENT, Turn(stall=600_000), Turn(stall=600_000))
    download(out, url, md5=MD5, retry={"timeout": 0.3})
    assert out.read_bytes() == CONTENT
    assert [request.range for request in server.log] == ["", "bytes=600000-", "bytes=1200000-"]
    assert sum(request.sent for request in server.log) == SIZE


def test_a_server_that_accepts_and_never_answers(out: Path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/cub.tgz"
        assert f"{url}: Read timed out. (read timeout=0.2)" in refused(out, url, retry={"timeout": 0.2, "retries": 1})


def test_a_trickle_is_slow_and_no_failure(server: FileServer, out: Path):
    content = pack_small()
    url = server.serve("/cub.tgz", content, Turn(pace=(len(content) // 6, 0.1)))
    download(out, url, retry={"timeout": 0.5})
    assert out.read_bytes() == content and len(server.log) == 1


def pack_small() -> bytes:
    return gzip.compress(random.Random(3).randbytes(3000), mtime=0)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 429])
def test_a_server_that_is_busy_is_asked_again(server: FileServer, out: Path, status: int):
    url = server.serve("/cub.tgz", CONTENT, Turn(status), Turn(status))
    download(out, url)
    assert out.read_bytes() == CONTENT and [request.status for request in server.log] == [status, status, 200]


def test_retry_after_is_obeyed_in_seconds_and_as_a_date(server: FileServer, out: Path):
    date = email.utils.formatdate(time.time() + 2, usegmt=True)
    url = server.serve(
        "/cub.tgz", CONTENT, Turn(429, {"Retry-After": "1"}), Turn(503, {"Retry-After": date}), Turn(429)
    )
    started = time.monotonic()
    download(out, url)
    assert out.exists() and 1 <= time.monotonic() - started < 20


@pytest.mark.parametrize("asked", ["100000", "Fri, 01 Jan 2100 00:00:00 GMT"])
def test_retry_after_is_obeyed_no_longer_than_is_sensible(server: FileServer, out: Path, asked: str):
    url = server.serve("/cub.tgz", CONTENT, Turn(429, {"Retry-After": asked}))
    started = time.monotonic()
    with PartialDownload(out) as part:
        fetch(url, part, RetryPolicy(longest_wait=1), find_archive_error)
    assert 0.9 < time.monotonic() - started < 20
    assert len(server.log) == 2


def test_a_retry_after_that_means_nothing_is_passed_over(server: FileServer, out: Path):
    download(out, server.serve("/cub.tgz", CONTENT, Turn(429, {"Retry-After": "soon"})))
    assert out.exists()


def test_waits_grow(server: FileServer, out: Path, monkeypatch: pytest.MonkeyPatch):
    waits: list[float] = []
    monkeypatch.setattr("fieldguide.data.transfer.time.sleep", waits.append)
    refusal(main, *options(out, server.serve("/cub.tgz", b"", always=Turn(500)), retry={"retries": 9, "backoff": 1}))
    assert waits == [0, 2, 4, 8, 16, 32, 64, 120, 120]


def test_without_ranges_it_begins_anew(server: FileServer, out: Path, capsys: pytest.CaptureFixture[str]):
    url = server.serve("/cub.tgz", CONTENT, Turn(cut=900_000), Turn(ranges=False, cut=600_000), Turn(ranges=False))
    log = said(main, capsys, *options(out, url, md5=MD5))
    assert out.read_bytes() == CONTENT
    assert [request.range for request in server.log] == ["", "bytes=900000-", "bytes=600000-"]
    assert "starting over" in log


def test_without_a_validator_it_begins_anew(server: FileServer, out: Path):
    """Nothing would tell whether the file is still the same."""
    nothing = {"ETag": ""}
    url = server.serve("/cub.tgz", CONTENT, Turn(cut=900_000, headers=nothing), Turn(headers=nothing))
    download(out, url)
    assert out.read_bytes() == CONTENT and [request.range for request in server.log] == ["", ""]


def test_a_date_validates_where_there_is_no_strong_tag(server: FileServer, out: Path):
    date = "Mon, 02 Jan 2017 03:04:05 GMT"
    headers = {"ETag": 'W/"x"', "Last-Modified": date}
    url = server.serve("/cub.tgz", CONTENT, Turn(cut=900_000, headers=headers), Turn(headers=headers))
    download(out, url)
    assert out.read_bytes() == CONTENT
    assert [request.headers.get("If-Range") for request in server.log] == [None, date]


@pytest.mark.parametrize("trusting", [False, True], ids=["obeys If-Range", "passes over If-Range"])
def test_a_file_that_changed_is_never_glued_to_what_came_before(server: FileServer, out: Path, trusting: bool):
    url = server.serve("/cub.tgz", CONTENT, Turn(cut=900_000), always=Turn(503))
    refusal(main, *options(out, url, retry={"retries": 0}))
    assert part_of(out).stat().st_size == 900_000
    server.serve("/cub.tgz", OTHER, always=Turn(trusting=trusting))
    download(out, url)
    assert out.read_bytes() == OTHER and left_in(out) == [out]


def test_a_file_that_became_longer_under_the_same_tag(server: FileServer, out: Path):
    tag = {"ETag": '"same"'}
    url = server.serve("/cub.tgz", CONTENT, Turn(cut=900_000, headers=tag), Turn(body=OTHER + b"x", headers=tag))
    server.always["/cub.tgz"] = Turn(body=OTHER + b"x", headers=tag)
    download(out, url)
    assert out.read_bytes() == OTHER + b"x"


def test_a_file_that_became_shorter(server: FileServer, out: Path):
    small, tag = pack_small(), {"ETag": '"same"'}
    url = server.serve("/cub.tgz", small, Turn(body=CONTENT, cut=900_000, headers=tag), always=Turn(headers=tag))
    download(out, url)
    assert out.read_bytes() == small
    assert [request.status for request in server.log] == [200, 416, 200]


@pytest.mark.parametrize(
    "content_range",
    ["bytes 0-9/10", "bytes 5-9/x", "", f"bytes 900000-{SIZE - 1}/{SIZE + 1}", f"bytes 900001-{SIZE - 1}/{SIZE}"],
)
def test_a_partial_answer_that_is_of_something_else(server: FileServer, out: Path, content_range: str):
    wrong = Turn(headers={"Content-Range": content_range})
    download(out, server.serve("/cub.tgz", CONTENT, Turn(cut=900_000), wrong))
    assert out.read_bytes() == CONTENT


def test_a_length_that_is_too_long_is_no_whole_file(server: FileServer, out: Path):
    url = server.serve("/cub.tgz", CONTENT, always=Turn(headers={"Content-Length": str(SIZE + 5)}, ranges=False))
    sentence = refusal(main, *options(out, url, retry={"retries": 1}))
    assert "the connection ended 5 bytes too early" in sentence and not out.exists()


def test_a_length_that_is_too_short_is_found_by_the_checksum(server: FileServer, out: Path):
    url = server.serve("/cub.tgz", CONTENT, always=Turn(headers={"Content-Length": str(SIZE - 5)}))
    assert f"{url}: its md5 is " in refused(out, url, md5=MD5)


def test_a_note_that_is_damaged_or_lost_is_no_reason_to_go_on(server: FileServer, out: Path):
    url = server.serve("/cub.tgz", CONTENT)
    for note in (b"{", b"[]", b'{"x": 1}', None):
        out.parent.mkdir(exist_ok=True)
        part_of(out).write_bytes(b"\x1f\x8bsomething of long ago")
        if note is not None:
            Path(f"{part_of(out)}.json").write_bytes(note)
        server.log.clear()
        download(out, url, md5=MD5)
        assert [request.range for request in server.log] == [""] and left_in(out) == [out]
        out.unlink()


def test_a_part_that_was_whole_when_the_process_died_is_not_fetched_again(server: FileServer, out: Path):
    url = server.serve("/cub.tgz", CONTENT, always=Turn(404))
    for content, good in ((CONTENT, True), (CONTENT[:-1] + b"x", False)):
        with PartialDownload(out) as part:
            fetch(server.serve("/x", content), part, RetryPolicy(), find_archive_error)
        note = Path(f"{part_of(out)}.json")
        note.write_text(json.dumps(json.loads(note.read_text()) | {"url": url}))
        server.log.clear()
        if good:
            download(out, url, md5=MD5)
            assert server.log == [] and out.read_bytes() == CONTENT
            out.unlink()
        else:
            assert "its md5 is" in refusal(main, *options(out, url, md5=MD5))
            assert left_in(out) == []


# A process that was started in the background of a shell ignores SIGINT, and so do its children unless told otherwise.
KILLED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from fieldguide.data.download_archive import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("kind", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_process_is_gone_on_with_by_the_next(server: FileServer, out: Path, kind: signal.Signals):
    url = server.serve("/cub.tgz", CONTENT, Turn(stall=1_234_567))
    argv = [sys.executable, "-c", KILLED, *options(out, url, md5=MD5)]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 30
    while not (part_of(out).exists() and part_of(out).stat().st_size == 1_234_567):
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(kind)
    _, told = process.communicate(timeout=30)
    assert process.returncode and not out.exists()
    assert ("stopped; run the same command again to go on" in told) == (kind != signal.SIGKILL)
    download(out, url, md5=MD5)
    assert out.read_bytes() == CONTENT and left_in(out) == [out]
    assert [(request.range, request.sent) for request in server.log] == [
        ("", 1_234_567),
        ("bytes=1234567-", SIZE - 1_234_567),
    ]


def test_two_processes_do_not_write_into_one_part(server: FileServer, out: Path):
    url = server.serve("/cub.tgz", CONTENT)
    with PartialDownload(out):
        assert "another process is downloading it" in refusal(main, *options(out, url))
    assert server.log == []
    download(out, url)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (HTML, "text/html; charset=utf-8"),
        (HTML, "application/gzip"),
        (b"\xef\xbb\xbf \n<html lang=en>" + HTML, ""),
        (gzip.compress(HTML), "text/html"),
    ],
    ids=["as a page", "as an archive", "as nothing", "packed"],
)
def test_a_web_page_is_no_archive(server: FileServer, out: Path, body: bytes, kind: str):
    url = server.serve("/cub.tgz", body, always=Turn(headers={"Content-Type": kind}))
    sentence = refused(out, url, by_hand="it is shared by a drive link")
    assert f"{url}: serves a web page in place of the file" in sentence
    assert f"get it by hand: it is shared by a drive link; then put it at {out}" in sentence
    assert len(server.log) == 1, "asking again would not help"


@pytest.mark.parametrize("body", [b'{"error": "quota"}', b"x" * 5000, b"PK", b"\0" * 600])
def test_what_is_no_archive_is_refused_before_it_is_fetched(server: FileServer, out: Path, body: bytes):
    url = server.serve("/cub.tgz", body)
    assert f"{url}: serves application/octet-stream that is no zip, gzip or tar: it begins with " in refused(out, url)


@pytest.mark.parametrize("ending", ["tgz", "tar", "zip", "tar.bz2", "tar.xz"])
def test_every_kind_of_archive_is_known_by_its_beginning(tmp_path: Path, ending: str):
    folder = write_cub(tmp_path)
    if "." in ending:
        with tarfile.open(tmp_path / f"x.{ending}", f"w:{ending.partition('.')[2]}") as tar:  # type: ignore[call-overload]
            tar.add(folder)
    else:
        pack(folder, tmp_path / f"x.{ending}")
    assert find_archive_error((tmp_path / f"x.{ending}").read_bytes()[:HEAD], "application/octet-stream") == ""


def test_an_empty_file_is_none(server: FileServer, out: Path):
    url = server.serve("/cub.tgz", b"")
    assert f"{url}: the file there is empty" in refused(out, url)


def test_a_file_larger_than_the_disk_is_refused_before_it_is_fetched(server: FileServer, out: Path):
    url = server.serve("/cub.tgz", CONTENT, always=Turn(headers={"Content-Length": str(10**18)}, cut=1_000_000))
    sentence = refused(out, url, url)
    assert f"{out}: the disk has " in sentence and "1000000000.00 GB are needed; make room, or name a place" in sentence
    assert len(server.log) == 1


def test_a_disk_that_fills_up_is_one_sentence_and_what_came_is_kept(server: FileServer, out: Path):
    """A limit on a file's size stands in for the disk: the kernel refuses the write in the same way."""
    url = server.serve("/cub.tgz", CONTENT)

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))

    argv = [sys.executable, "-m", "fieldguide.data.download_archive", *options(out, url)]
    answer = subprocess.run(argv, preexec_fn=limit, capture_output=True, text=True)
    (sentence,) = (line for line in answer.stderr.splitlines() if "error" in line)
    assert answer.returncode == 1 and "Traceback" not in answer.stderr
    assert f"{out}: the file is too big; 1.0 MB are kept in {part_of(out)}; make room, or name a place" in sentence
    download(out, url, md5=MD5)
    assert [request.range for request in server.log] == ["", "bytes=1000000-"]


def test_a_full_disk_is_called_so(out: Path):
    with PartialDownload(out) as part:
        part.stream.close()
        part.stream = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115
        with pytest.raises(FieldguideError, match=f"^{out}: the disk is full; make room, or name a place"):
            part.write(b"x")


def raw_server(answer: bytes) -> Iterator[str]:
    """A server that sends these bytes and hangs up, whoever asks."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        stop = threading.Event()

        def hang_up() -> None:
            while not stop.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                with connection:
                    connection.recv(65536)
                    connection.sendall(answer)

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/file.tgz"
        stop.set()
        thread.join(10)


BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (BEGUN + b"\x1f\x8b" + b"x" * 298, "the connection ended 700 bytes too early"),
        (BEGUN, "the connection ended 1000 bytes too early"),
        (CHUNKED + b"\x1f\x8b" + b"x" * 298, "the connection ended too early"),
        (b"", "Remote end closed connection without response"),
        (b"no http at all\r\n\r\n", "no http at all"),
    ],
)
def test_a_connection_cut_at_its_beginning_leaves_nothing(out: Path, answer: bytes, told: str):
    for url in raw_server(answer):
        sentence = refused(out, url, retry={"retries": 1})
        assert url in sentence and told in sentence and "tried 2 times" in sentence


def test_what_was_there_stays_when_a_download_fails(server: FileServer, out: Path):
    out.parent.mkdir()
    out.write_bytes(b"before")
    refusal(main, *options(out, server.serve("/cub.tgz", CONTENT), md5="0" * 32))
    assert out.read_bytes() == b"before" and left_in(out) == [out]


def test_nobody_answers(out: Path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = f"http://127.0.0.1:{port}/cub.tgz"
    assert f"{url}: Failed to establish a new connection: [Errno 111] Connection refused" in refused(
        out, url, retry={"retries": 1}
    )


@pytest.mark.parametrize(
    "url",
    ["cub.tgz", "http://", "htp://example.org/cub.tgz", "http://127.0.0.1:port/x", "file:///etc/hostname", "ftp://x/y"],
)
def test_an_address_that_is_none_is_refused_before_anything_is_asked(server: FileServer, out: Path, url: str):
    sentence = refused(out, server.serve("/cub.tgz", CONTENT), url)
    assert f"{url}: is not an address to download from; it has to begin with http:// or https://" in sentence
    assert server.log == []


def test_what_may_be_secret_in_an_address_is_never_told(
    server: FileServer, out: Path, capsys: pytest.CaptureFixture[str]
):
    secret = "s3cr3t"
    plain = server.serve("/cub.tgz", CONTENT, Turn(404), Turn(cut=1_000_000), Turn(500))
    url = plain.replace("//", f"//user:{secret}@") + f"?token={secret}"
    told = refused(out, url)
    log = said(main, capsys, *options(out, url))
    assert secret not in told + log and plain in told and plain in log
    assert redact_url("https://a:b@x.org:8/p?q=1#f") == "https://x.org:8/p"
    with pytest.raises(FieldguideError) as caught:
        check_url(f"ftp://user:{secret}@x/y?{secret}")
    assert secret not in str(caught.value)
    dead = f"http://user:{secret}@127.0.0.1:1/x?token={secret}"
    assert secret not in refusal(main, *options(out, dead, retry={"retries": 0}))


def test_the_note_beside_a_part_holds_no_secret(server: FileServer, out: Path):
    url = server.serve("/cub.tgz", CONTENT, always=Turn(cut=900_000)).replace("//", "//user:s3cr3t@") + "?key=s3cr3t"
    with PartialDownload(out) as part, pytest.raises(DownloadError):
        fetch(url, part, RetryPolicy(retries=0), find_archive_error)
    note = json.loads(Path(f"{part_of(out)}.json").read_text())
    assert note == {"url": f"{server.url}/cub.tgz", "etag": ETAG, "last_modified": "", "size": SIZE}


def test_what_must_be_fetched_by_hand(out: Path):
    sentence = refused(out, by_hand="it is shared by a drive link at https://example.org")
    assert f"{out} cannot be fetched by machine: it is shared by a drive link" in sentence
    assert sentence.endswith(f"then put it at {out}")
    assert "no address is configured for it" in refused(out)


def test_checksums_are_those_of_hashlib(tmp_path: Path):
    (tmp_path / "x").write_bytes(CONTENT)
    assert compute_digests(tmp_path / "x", ("md5", "sha256")) == {"md5": MD5, "sha256": SHA256}


def test_a_log_says_how_far_it_is_where_no_bar_is_shown(
    server: FileServer, out: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("fieldguide.data.transfer.LOG_EVERY", 0)
    log = said(main, capsys, *options(out, server.serve("/cub.tgz", CONTENT)))
    assert f"{out.name}: 3.0 MB of 3.0 MB, " in log and "a second" in log


def test_permissions_are_those_of_any_file(server: FileServer, out: Path):
    download(out, server.serve("/cub.tgz", CONTENT))
    mask = os.umask(0)
    os.umask(mask)
    assert out.stat().st_mode & 0o777 == 0o666 & ~mask
