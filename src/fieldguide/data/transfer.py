"""One file over HTTP: resumed where it stopped, tried again, verified, and under its name only when it is whole."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import http.client
import json
import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import requests
import urllib3
from tqdm import tqdm
from urllib3.exceptions import MaxRetryError
from urllib3.util.retry import Retry

from fieldguide.core.errors import FieldguideError
from fieldguide.core.files import write_json
from fieldguide.core.stage import log

CHUNK = 1 << 18
HEAD = 512  # bytes that tell what a file is; a tar's mark ends at byte 262
PROGRESS = 1 << 20  # bytes further than ever: the count of failures in a row begins anew
CONNECT_TIMEOUT = 30.0
TELL_EVERY = 60.0  # seconds between lines of the log, where no bar is shown

TRY_AGAIN = (408, 425, 429)  # and every 5xx
FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up", errno.EFBIG: "the file is too big"}
ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")


class UnfetchedError(FieldguideError):
    """This address does not give the file; another may."""


class BrokenError(Exception):
    """The connection broke, or the server is busy; the same address may go on."""

    def __init__(self, reason: str, answer: requests.Response | None = None):
        super().__init__(reason)
        self.answer = answer


@dataclass(frozen=True)
class Patience:
    """When to give an address up. Times in seconds."""

    retries: int = 6
    """Failures in a row, none of which brought anything, that are put up with."""
    timeout: float = 60.0
    """Without a byte, after which a connection counts as broken."""
    backoff: float = 1.0
    """Waits are 0, 2, 4, 8, … times this, two minutes at most."""
    longest_wait: int = 600
    """The most that a server's Retry-After is obeyed."""

    def policy(self) -> Retry:
        return Retry(total=self.retries, backoff_factor=self.backoff, retry_after_max=self.longest_wait)


@dataclass(frozen=True)
class Origin:
    """Which file on which server a part is of."""

    url: str
    etag: str = ""
    last_modified: str = ""
    size: int | None = None

    @property
    def validator(self) -> str:
        """What If-Range takes: a strong entity tag, else a date; empty where the server gave neither."""
        return self.last_modified if self.etag.startswith("W/") or not self.etag else self.etag

    def is_other(self, answer: requests.Response) -> bool:
        """Whether an answer is visibly of another file, or of another version of it."""
        theirs = origin_of(self.url, answer)
        if self.etag and theirs.etag:
            return self.etag != theirs.etag
        return bool(self.last_modified and theirs.last_modified) and self.last_modified != theirs.last_modified


def origin_of(url: str, answer: requests.Response) -> Origin:
    """The origin that an answer's headers tell; the size is that of the whole body, where it is known."""
    headers = answer.headers
    length = headers.get("Content-Length", "")
    size = int(length) if length.isdecimal() and "Transfer-Encoding" not in headers else None
    return Origin(shown(url), headers.get("ETag", ""), headers.get("Last-Modified", ""), size)


def shown(url: str) -> str:
    """An address as it may be told: without user, password and query, which may be secrets."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def check_url(url: str) -> None:
    """Raise FieldguideError for what is no http or https address."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good:
        with contextlib.suppress(ValueError):
            url = shown(url)
        raise FieldguideError(f"{url}: is no address that can be fetched; it has to begin with http:// or https://")


class Part:
    """What has come of a file so far: `<name>.part`, and `<name>.part.json` that says of what. One process at a time.

    A context manager. Both files outlive the process, killed or not; an empty part leaves nothing.
    """

    def __init__(self, target: Path):
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self.note = target.with_name(target.name + ".part.json")
        self.stream: IO[bytes]

    def __enter__(self) -> Part:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.stream = self.path.open("ab", buffering=0)
        try:
            fcntl.flock(self.stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.stream.close()
            raise FieldguideError(f"{self.path}: another process is downloading it; wait for that one") from None
        except OSError:
            pass  # a file system without locks
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.close()
        if self.path.exists() and not self.size:
            self.path.unlink()
        if not self.path.exists():
            self.note.unlink(missing_ok=True)

    @property
    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size

    @property
    def origin(self) -> Origin | None:
        """What the bytes are of; None where there are none, or nobody knows."""
        try:
            return Origin(**json.loads(self.note.read_text(encoding="utf-8"))) if self.size else None
        except (OSError, ValueError, TypeError):
            return None

    @property
    def is_whole(self) -> bool:
        origin = self.origin
        return origin is not None and origin.size == self.size

    def begin(self, origin: Origin) -> None:
        """Forget what is there, and take down what comes now."""
        self.stream.truncate(0)  # first, so that no bytes ever stand beside a note on others
        write_json(self.note, asdict(origin))

    def write(self, chunk: bytes) -> None:
        """Append; raises FieldguideError where the disk takes no more, and keeps what it took."""
        try:
            view = memoryview(chunk)
            while view:
                view = view[self.stream.write(view) :]
        except OSError as error:
            raise self.no_room(FULL.get(error.errno or 0, str(error.strerror))) from error

    def check_room(self, size: int | None) -> None:
        """Raise FieldguideError where a file of that many bytes does not fit, before any of it is fetched."""
        free = shutil.disk_usage(self.path.parent).free + self.size
        if size is not None and size > free:
            raise self.no_room(f"the disk has {told(free)} free and {told(size)} are needed")

    def no_room(self, what: str) -> FieldguideError:
        kept = f"; {told(self.size)} are kept in {self.path}" if self.size else ""
        return FieldguideError(
            f"{self.target}: {what}{kept}; make room, or name a place on another disk, and run the same command again"
        )

    def discard(self) -> None:
        """Forget what is there."""
        self.stream.truncate(0)
        self.note.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the part its name."""
        self.path.replace(self.target)


def told(size: float) -> str:
    """Bytes in words."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def fault_of_archive(head: bytes, content_type: str) -> str:
    """What is wrong with a file that begins so, when it should be a zip or a tar; empty: nothing."""
    if fault := fault_of_page(head, content_type):
        return fault
    if head.startswith(ARCHIVES) or head[257:262] == b"ustar":
        return ""
    return f"serves {content_type or 'something'} that is no zip, gzip or tar: it begins with {head[:16]!r}"


def fault_of_page(head: bytes, content_type: str) -> str:
    """What is wrong with a file that is a web page, such as one that asks for consent; empty: it is none."""
    if content_type.lower() in ("text/html", "application/xhtml+xml") or re.match(
        rb"\W*(!doctype )?html\b", head, re.I
    ):
        return "serves a web page in place of the file; open it in a browser to see what it asks for"
    return ""


def reason_of(error: BaseException) -> str:
    """The innermost reason of a failed request, without the address and the objects around it."""
    while True:
        inner: Any = getattr(error, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((arg for arg in reversed(error.args) if isinstance(arg, BaseException)), None)
        if inner is None:
            break
        error = inner
    if isinstance(error, http.client.IncompleteRead):
        return f"the connection ended {f'{error.expected} bytes ' if error.expected else ''}too early"
    text = " ".join(str(error).split()) or type(error).__name__
    return re.sub(r"^<?HTTPS?Connection(Pool)?\(.*?\)>?: ", "", text)


def read_some(answer: requests.Response) -> bytes:
    """What has arrived of a body as the server stores it, at most CHUNK bytes; none at its end. Raises BrokenError."""
    try:
        return answer.raw.read1(CHUNK, decode_content=False) or b""
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise BrokenError(reason_of(error)) from error


class Bar:
    """Progress of a file: a bar where a terminal is, else a line of the log now and then."""

    def __init__(self, name: str, have: int):
        self.bar = tqdm(unit="B", unit_scale=True, desc=name, initial=have, disable=None)
        self.name, self.have, self.came = name, have, 0
        self.size: int | None = None
        self.begun = self.spoke = time.monotonic()

    def at(self, have: int, size: int | None) -> None:
        """Set where an attempt begins."""
        self.have, self.size = have, size
        self.bar.n, self.bar.total = have, size
        self.bar.refresh()

    def add(self, count: int) -> None:
        self.have += count
        self.came += count
        self.bar.update(count)
        now = time.monotonic()
        if self.bar.disable and now - self.spoke > TELL_EVERY:
            self.spoke = now
            of = f" of {told(self.size)}" if self.size else ""
            log.info("%s: %s%s, %s a second", self.name, told(self.have), of, told(self.came / (now - self.begun)))


def receive(
    session: requests.Session,
    url: str,
    part: Part,
    timeout: float,
    fault_of: Callable[[bytes, str], str],
    bar: Bar,
) -> None:
    """One request: go on with the part where the server still has the same file, else begin anew.

    Raises BrokenError where another attempt may help, UnfetchedError where none will.
    """
    headers = {"Accept-Encoding": "identity"}
    origin = part.origin
    if origin and origin.validator and origin.url == shown(url):
        headers |= {"Range": f"bytes={part.size}-", "If-Range": origin.validator}
    else:
        origin = None
    try:
        answer = session.get(url, headers=headers, stream=True, timeout=(min(timeout, CONNECT_TIMEOUT), timeout))
    except (requests.exceptions.SSLError, requests.TooManyRedirects, ValueError) as error:
        raise UnfetchedError(f"{shown(url)}: {reason_of(error)}") from error
    except requests.RequestException as error:
        raise BrokenError(reason_of(error)) from error
    with contextlib.closing(answer):
        status = f"{answer.status_code} {answer.reason}"
        if answer.status_code == 200:
            head = begin(answer, url, part, fault_of, bar)
            part.write(head)
        elif answer.status_code == 206 and origin:
            if not continues(answer, origin, part.size):
                part.discard()
                raise BrokenError("the file there is another by now, so what has come of it is dropped")
            bar.at(part.size, origin.size)
        elif answer.status_code == 416:
            part.discard()
            raise BrokenError("the file there is shorter than what has come of it, which is dropped")
        elif answer.status_code in TRY_AGAIN or answer.status_code >= 500:
            raise BrokenError(status, answer)
        else:
            raise UnfetchedError(f"{shown(url)}: {status}")
        while chunk := read_some(answer):
            part.write(chunk)
            bar.add(len(chunk))
    size = part.origin.size if part.origin else None
    if size is not None and part.size != size:
        raise BrokenError(f"the connection ended after {part.size} of {size} bytes")


def continues(answer: requests.Response, origin: Origin, have: int) -> bool:
    """Whether a partial answer goes on after `have` bytes of the same file."""
    come = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
    is_same_size = come is not None and (come[2] == "*" or origin.size in (None, int(come[2])))
    return come is not None and int(come[1]) == have and is_same_size and not origin.is_other(answer)


def begin(answer: requests.Response, url: str, part: Part, fault_of: Callable[[bytes, str], str], bar: Bar) -> bytes:
    """Look at the beginning of a whole file, and give up what was there only when it is the right kind; returns it."""
    head = b""
    while len(head) < HEAD and (chunk := read_some(answer)):
        head += chunk
    origin = origin_of(url, answer)
    if not head and origin.size:
        raise BrokenError(f"the connection ended after 0 of {origin.size} bytes")
    if not head:
        raise UnfetchedError(f"{shown(url)}: the file there is empty")
    if fault := fault_of(head, answer.headers.get("Content-Type", "").partition(";")[0].strip()):
        raise UnfetchedError(f"{shown(url)}: {fault}")
    part.check_room(origin.size)
    if part.size:
        log.info("%s: begun anew, since the server does not go on where it stopped", part.path)
    part.begin(origin)
    bar.at(0, origin.size)
    bar.add(len(head))
    return head


def fetch(url: str, part: Part, patience: Patience, fault_of: Callable[[bytes, str], str]) -> None:
    """Bring the whole file into the part; a part of the same file on the same server is gone on with.

    Raises UnfetchedError when the address does not give it, FieldguideError when there is no room for it.
    """
    if part.is_whole and part.origin and part.origin.url == shown(url):
        return
    policy = patience.policy()
    bar = Bar(part.target.name, part.size)
    if part.size and part.origin and part.origin.url == shown(url):
        log.info("%s: going on after %s", part.path, told(part.size))
    with requests.Session() as session, contextlib.closing(bar.bar):
        furthest = part.size
        while True:
            try:
                return receive(session, url, part, patience.timeout, fault_of, bar)
            except BrokenError as broken:
                if part.size - furthest >= PROGRESS:
                    policy, furthest = patience.policy(), part.size
                policy = wait(policy, broken, url, part)


def wait(policy: Retry, broken: BrokenError, url: str, part: Part) -> Retry:
    """Wait as long as the server or the back-off asks; raises UnfetchedError when it is time to give up."""
    try:
        policy = policy.increment("GET", shown(url), error=broken)
    except MaxRetryError:
        tries = len(policy.history) + 1
        often = f" (tried {tries} times)" if tries > 1 else ""
        raise UnfetchedError(f"{shown(url)}: {broken}{often}") from broken
    raw = broken.answer.raw if broken.answer is not None else None
    try:
        asked = policy.get_retry_after(raw) if raw is not None else None
    except urllib3.exceptions.InvalidHeader:
        asked = None
    pause = asked or policy.get_backoff_time()
    log.info("%s: %s; trying again in %.0f s, after %s", shown(url), broken, pause, told(part.size))
    time.sleep(pause)
    return policy


def digests_of(path: Path, names: Iterable[str]) -> dict[str, str]:
    """Checksums of a file in one pass, by the algorithm's name, hexadecimal."""
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in names}
    bar = tqdm(total=path.stat().st_size, unit="B", unit_scale=True, desc=f"checking {path.name}", disable=None)
    with path.open("rb") as stream, bar:
        while chunk := stream.read(1 << 22):
            for digest in digests.values():
                digest.update(chunk)
            bar.update(len(chunk))
    return {name: digest.hexdigest() for name, digest in digests.items()}


def fault_of_checksums(path: Path, wanted: Mapping[str, str]) -> str:
    """The first checksum that a file does not have, in words; empty: it has them all. A beginning of one will do."""
    found = digests_of(path, wanted) if wanted else {}
    for name, value in wanted.items():
        if not found[name].startswith(value.lower()):
            return f"its {name} is {found[name]}, not {value.lower()}"
    return ""
