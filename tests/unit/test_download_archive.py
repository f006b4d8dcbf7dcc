"""Downloads: what arrives whole takes its place, and everything else leaves nothing behind."""

from __future__ import annotations

import gzip
import hashlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from fieldguide.download_archive import CHUNK, main
from tests.tiny_data import refusal, said

CONTENT = bytes(range(256)) * 5000  # more than one chunk
MD5, SHA256 = hashlib.md5(CONTENT).hexdigest(), hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "data" / "CUB_200_2011.tgz"


def left_in(out: Path) -> list[Path]:
    """What lies in the folder of the archive, hidden files too."""
    return sorted(out.parent.iterdir()) if out.parent.exists() else []


def refused(out: Path, *argv: object) -> str:
    sentence = refusal(main, "--out", out, *argv)
    assert left_in(out) == [], "nothing is half-written"
    return sentence


def serve(httpserver: HTTPServer, path: str, content: bytes = CONTENT, status: int = 200) -> str:
    httpserver.expect_request(path).respond_with_data(content, status=status)
    url: str = httpserver.url_for(path)
    return url


def cutting_server(answer: bytes) -> Iterator[str]:
    """A server that sends these bytes and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/file.tgz"
        thread.join(10)


@pytest.mark.parametrize("checksums", [[], ["--md5", MD5], ["--sha256", SHA256], ["--md5", MD5, "--sha256", SHA256]])
def test_a_good_download(
    httpserver: HTTPServer, out: Path, checksums: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(CONTENT) > CHUNK
    url = serve(httpserver, "/cub.tgz")
    log = said(main, capsys, "--urls", url, "--out", out, *checksums)
    assert out.read_bytes() == CONTENT
    assert left_in(out) == [out]
    assert f"1.3 MB, from {url}" in log


@pytest.mark.parametrize("name", ["md5", "sha256"])
def test_a_wrong_checksum_is_refused(httpserver: HTTPServer, out: Path, name: str) -> None:
    url = serve(httpserver, "/cub.tgz", CONTENT[:-1])
    wanted = hashlib.new(name, CONTENT).hexdigest()
    got = hashlib.new(name, CONTENT[:-1]).hexdigest()
    assert f"{url}: its {name} is {got}, not {wanted}" in refused(out, "--urls", url, f"--{name}", wanted)


def test_the_case_of_a_checksum_is_nothing(httpserver: HTTPServer, out: Path) -> None:
    main(["--urls", serve(httpserver, "/cub.tgz"), "--out", str(out), "--md5", MD5.upper()])
    assert out.exists()


def test_the_next_address_serves_when_one_does_not(
    httpserver: HTTPServer, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = [
        serve(httpserver, "/gone.tgz", b"", 404),
        serve(httpserver, "/damaged.tgz", b"something else"),
        serve(httpserver, "/mirror.tgz"),
        serve(httpserver, "/unused.tgz", b"", 500),
    ]
    log = said(main, capsys, "--urls", *urls, "--out", out, "--md5", MD5)
    assert out.read_bytes() == CONTENT
    assert f"from {urls[2]}" in log
    assert [request.path for request, _ in httpserver.log] == ["/gone.tgz", "/damaged.tgz", "/mirror.tgz"]


def test_every_failure_is_told(httpserver: HTTPServer, out: Path) -> None:
    gone, broken = serve(httpserver, "/gone", b"", 404), serve(httpserver, "/broken", b"", 503)
    sentence = refused(out, "--urls", gone, broken)
    assert f"{gone}: 404 NOT FOUND; {broken}: 503 SERVICE UNAVAILABLE" in sentence
    assert "put it there by hand or try again" in sentence


def test_a_redirect_is_followed(httpserver: HTTPServer, out: Path) -> None:
    there = serve(httpserver, "/there")

    def answer(_: Request) -> Response:
        return Response(status=302, headers={"Location": there})

    httpserver.expect_request("/here").respond_with_handler(answer)
    main(["--urls", httpserver.url_for("/here"), "--out", str(out), "--sha256", SHA256])
    assert out.read_bytes() == CONTENT


def test_an_archive_is_not_unpacked_on_the_way(httpserver: HTTPServer, out: Path) -> None:
    packed = gzip.compress(CONTENT)
    main(["--urls", serve(httpserver, "/cub.tgz", packed), "--out", str(out)])
    assert out.read_bytes() == packed


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (HEAD + b"x" * 300, "the connection ended after 300 of 1000 bytes"),
        (HEAD, "the connection ended after 0 of 1000 bytes"),
        (CHUNKED + b"x" * 300, "IncompleteRead"),
        (b"", "Remote end closed connection without response"),
        (b"no http at all\r\n\r\n", "no http at all"),
    ],
)
def test_a_cut_connection_leaves_nothing(out: Path, answer: bytes, told: str) -> None:
    for url in cutting_server(answer):
        sentence = refused(out, "--urls", url)
        assert url in sentence and told in sentence


def test_what_was_there_stays_when_a_download_fails(httpserver: HTTPServer, out: Path) -> None:
    out.parent.mkdir()
    out.write_bytes(b"before")
    refusal(main, "--out", out, "--urls", serve(httpserver, "/cub.tgz"), "--md5", "0" * 32)
    assert out.read_bytes() == b"before" and left_in(out) == [out]


def test_nobody_answers(out: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    url = f"http://127.0.0.1:{port}/cub.tgz"
    assert f"{url}: [Errno 111] Connection refused" in refused(out, "--urls", url)


@pytest.mark.parametrize("url", ["cub.tgz", "http://", "htp://example.org/cub.tgz", "http://127.0.0.1:port/x"])
def test_an_address_that_is_none(out: Path, url: str) -> None:
    assert f"{url}: " in refused(out, "--urls", url)


def test_what_must_be_fetched_by_hand(out: Path) -> None:
    sentence = refused(out, "--by-hand", "it is shared by a drive link at https://example.org")
    assert f"{out} cannot be fetched by machine: it is shared by a drive link" in sentence
    assert sentence.endswith(f"then put it at {out}")
    assert "no address is configured for it" in refused(out)
