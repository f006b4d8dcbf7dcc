"""A file server on 127.0.0.1 that misbehaves as told, request by request, and remembers what it was asked and sent."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Turn:
    """How one request is answered; the defaults are those of a good server."""

    status: int = 0
    """Anything but 0 answers with this status and no file."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further headers, or other values; an empty one is left out."""
    body: bytes | None = None
    """Served in place of the file."""
    cut: int | None = None
    """Hang up after so many bytes of the body."""
    stall: int | None = None
    """Send nothing more after so many bytes of the body, without hanging up."""
    pace: tuple[int, float] | None = None
    """Send so many bytes, wait so many seconds, and so on."""
    ranges: bool = True
    """Whether a Range is obeyed."""
    trusting: bool = False
    """Obey a Range whatever If-Range says."""


@dataclass
class Asked:
    """One request: what was asked, how it was answered, and how much of a body was sent."""

    method: str
    path: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0

    @property
    def range(self) -> str:
        return self.headers.get("Range", "")


class FileServer(ThreadingHTTPServer):
    """Files by path, and for each path the turns of its next requests; after those it behaves."""

    daemon_threads = True
    request_queue_size = 20

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.turns: dict[str, list[Turn]] = {}
        self.always: dict[str, Turn] = {}
        self.missing = Turn(404)
        self.log: list[Asked] = []
        self.stopping = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def serve(self, path: str, content: bytes, *turns: Turn, always: Turn | None = None) -> str:
        """Serve a file, its next requests by these turns, all later ones by `always`; returns its address."""
        self.files[path] = content
        self.turns[path] = list(turns)
        self.always[path] = always or Turn()
        return self.url + path

    def asked(self, path: str) -> list[Asked]:
        return [request for request in self.log if request.path == path]

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no error."""

    def serve_repository(self, name: str, files: Mapping[str, bytes], commit: str = "a" * 40) -> None:
        """Serve files as the Hugging Face hub serves a repository's branch main, the large ones with their sha256."""
        self.missing = Turn(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        for file, content in files.items():
            large = file.endswith((".safetensors", ".bin"))
            etag = hashlib.sha256(content).hexdigest() if large else hashlib.sha1(content).hexdigest()
            headers = {"X-Repo-Commit": commit, "ETag": f'"{etag}"', "X-Linked-Etag": f'"{etag}"'}
            turn = Turn(headers=headers | {"X-Linked-Size": str(len(content))})
            for revision in ("main", commit):
                self.serve(f"/{name}/resolve/{revision}/{file}", content, always=turn)
        tree = [{"type": "file", "oid": "0" * 40, "path": file, "size": len(files[file])} for file in files]
        about = {"id": name, "modelId": name, "sha": commit, "siblings": [{"rfilename": file} for file in files]}
        for revision in ("main", commit):
            self.serve(f"/api/models/{name}/revision/{revision}", json.dumps(about).encode())
            self.serve(f"/api/models/{name}/tree/{revision}", json.dumps(tree).encode())


class Handler(BaseHTTPRequestHandler):
    server: FileServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.answer()

    def do_HEAD(self) -> None:
        self.answer()

    def answer(self) -> None:
        server, path = self.server, self.path.partition("?")[0]
        asked = Asked(self.command, path, dict(self.headers.items()))
        server.log.append(asked)
        turns = server.turns.get(path, [])
        turn = turns.pop(0) if turns else server.always.get(path, Turn())
        if path not in server.files and not turn.status:
            turn = server.missing
        self.close_connection = True
        content = turn.body if turn.body is not None else server.files.get(path, b"")
        headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes", "Connection": "close"}
        status, start = 200, 0
        if turn.status:
            status, content = turn.status, turn.body or b""
        else:
            headers |= {"ETag": f'"{hashlib.md5(content).hexdigest()}"'} | dict(turn.headers)
            wanted = re.fullmatch(r"bytes=(\d+)-", asked.range)
            condition = asked.headers.get("If-Range")
            same = turn.trusting or condition in (None, headers.get("ETag"), headers.get("Last-Modified"))
            if wanted and turn.ranges and same:
                start, status = int(wanted[1]), 206
                if start >= len(content):
                    status, content, start = 416, b"", 0
                else:
                    headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        headers = {"Content-Length": str(len(content) - start)} | headers | dict(turn.headers)
        asked.status = status
        self.send_response(status)
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.send(content[start:], turn, asked)

    def send(self, body: bytes, turn: Turn, asked: Asked) -> None:
        ends = [at for at in (turn.cut, turn.stall) if at is not None]
        body = body[: min(ends)] if ends else body
        size, pause = turn.pace or (1 << 16, 0.0)
        for at in range(0, len(body), size):
            piece = body[at : at + size]
            asked.sent += len(piece)  # first, so that whoever has the last byte finds it counted
            self.wfile.write(piece)
            if pause and self.server.stopping.wait(pause):
                return
        if turn.stall is not None:
            self.server.stopping.wait(30)
        elif turn.cut is not None:
            # A polite end of the connection, so that all that was sent also arrives.
            self.connection.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def file_server() -> Iterator[FileServer]:
    """A running server."""
    server = FileServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
