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
from fieldguide.data.settings import RetryPolicy

CHUNK = 1 << 18
HEAD = 512  # bytes that tell what a file is; a tar's mark ends at byte 262
PROGRESS = 1 << 20  # bytes further than ever: the count of failures in a row begins anew
CONNECT_TIMEOUT = 30.0
LOG_EVERY = 60.0  # seconds between lines of the log, where no bar is shown

TRY_AGAIN = (408, 425, 429)  # and every 5xx
NO_SPACE = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is too big",
}
ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")


class DownloadError(FieldguideError):
    """This address does not give the file; another may."""


class TransferError(Exception):
    """The connection broke, or the server is busy; the same address may go on."""

    def __init__(self, reason: str, answer: requests.Response | None = None):
        super().__init__(reason)
        self.answer = answer


@dataclass(frozen=True)
class RemoteFile:
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
        theirs = read_remote(self.url, answer)
        if self.etag and theirs.etag:
            return self.etag != theirs.etag
        return bool(self.last_modified and theirs.last_modified) and self.last_modified != theirs.last_modified


def read_remote(url: str, answer: requests.Response) -> RemoteFile:
    """The remote file that an answer's headers describe; the size is that of the whole body, where it is known."""
    headers = answer.headers
    length = headers.get("Content-Length", "")
    size = int(length) if length.isdecimal() and "Transfer-Encoding" not in headers else None
    return RemoteFile(redact_url(url), headers.get("ETag", ""), headers.get("Last-Modified", ""), size)


def redact_url(url: str) -> str:
    """An address as it may be shown: without user, password and query, which may be secrets."""
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
            url = redact_url(url)
        raise FieldguideError(f"{url}: is not an address to download from; it has to begin with http:// or https://")


class PartialDownload:
    """What has come of a file so far: `<name>.part`, and `<name>.part.json` that says of what. One process at a time.

    A context manager. Both files outlive the process, killed or not; an empty part leaves nothing.
    """

    def __init__(self, target: Path):
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self.note = target.with_name(target.name + ".part.json")
        self.stream: IO[bytes]

    def __enter__(self) -> PartialDownload:
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
    def remote(self) -> RemoteFile | None:
        """What the bytes are of; None where there are none, or nobody knows."""
        try:
            return RemoteFile(**json.loads(self.note.read_text(encoding="utf-8"))) if self.size else None
        except (OSError, ValueError, TypeError):
            return None

    @property
    def is_whole(self) -> bool:
        remote = self.remote
        return remote is not None and remote.size == self.size

    def begin(self, remote: RemoteFile) -> None:
        """Forget what is there, and take down what comes now."""
        self.stream.truncate(0)  # first, so that no bytes ever stand beside a note on others
        write_json(self.note, asdict(remote))

    def write(self, chunk: bytes) -> None:
        """Append; raises FieldguideError where the disk takes no more, and keeps what it took."""
        try:
            view = memoryview(chunk)
            while view:
                view = view[self.stream.write(view) :]
        except OSError as error:
            raise self.disk_full_error(NO_SPACE.get(error.errno or 0, str(error.strerror))) from error

    def check_disk_space(self, size: int | None) -> None:
        """Raise FieldguideError where a file of that many bytes does not fit, before any of it is fetched."""
        free = shutil.disk_usage(self.path.parent).free + self.size
        if size is not None and size > free:
            raise self.disk_full_error(f"the disk has {format_bytes(free)} free and {format_bytes(size)} are needed")

    def disk_full_error(self, what: str) -> FieldguideError:
        kept = f"; {format_bytes(self.size)} are kept in {self.path}" if self.size else ""
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


def format_bytes(size: float) -> str:
    """Bytes in words."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def find_archive_error(head: bytes, content_type: str) -> str:
    """What is wrong with a file that begins so, when it should be a zip or a tar; empty: nothing."""
    if error := find_page_error(head, content_type):
        return error
    if head.startswith(ARCHIVES) or head[257:262] == b"ustar":
        return ""
    return f"serves {content_type or 'something'} that is no zip, gzip or tar: it begins with {head[:16]!r}"


def find_page_error(head: bytes, content_type: str) -> str:
    """What is wrong with a file that is a web page, such as one that asks for consent; empty: it is none."""
    if content_type.lower() in ("text/html", "application/xhtml+xml") or re.match(
        rb"\W*(!doctype )?html\b", head, re.I
    ):
        return "serves a web page in place of the file; open it in a browser to see what it asks for"
    return ""


def innermost_reason(error: BaseException) -> str:
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
    """What has come of a body as the server stores it, at most CHUNK bytes; none at its end. Raises TransferError."""
    try:
        return answer.raw.read1(CHUNK, decode_content=False) or b""
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise TransferError(innermost_reason(error)) from error


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
        if self.bar.disable and now - self.spoke > LOG_EVERY:
            self.spoke = now
            of = f" of {format_bytes(self.size)}" if self.size else ""
            log.info(
                "%s: %s%s, %s a second",
                self.name,
                format_bytes(self.have),
                of,
                format_bytes(self.came / (now - self.begun)),
            )


def receive(
    session: requests.Session,
    url: str,
    part: PartialDownload,
    timeout: float,
    find_error: Callable[[bytes, str], str],
    bar: Bar,
) -> None:
    """One request: go on with the part where the server still has the same file, else begin anew.

    Raises TransferError where another attempt may help, DownloadError where none will.
    """
    headers = {"Accept-Encoding": "identity"}
    remote = part.remote
    if remote and remote.validator and remote.url == redact_url(url):
        headers |= {"Range": f"bytes={part.size}-", "If-Range": remote.validator}
    else:
        remote = None
    try:
        answer = session.get(url, headers=headers, stream=True, timeout=(min(timeout, CONNECT_TIMEOUT), timeout))
    except (requests.exceptions.SSLError, requests.TooManyRedirects, ValueError) as error:
        raise DownloadError(f"{redact_url(url)}: {innermost_reason(error)}") from error
    except requests.RequestException as error:
        raise TransferError(innermost_reason(error)) from error
    with contextlib.closing(answer):
        status = f"{answer.status_code} {answer.reason}"
        if answer.status_code == 200:
            head = begin(answer, url, part, find_error, bar)
            part.write(head)
        elif answer.status_code == 206 and remote:
            if not continues(answer, remote, part.size):
                part.discard()
                raise TransferError("the file there has changed, so the partial download is deleted")
            bar.at(part.size, remote.size)
        elif answer.status_code == 416:
            part.discard()
            raise TransferError("the file there is shorter than the partial download, which is deleted")
        elif answer.status_code in TRY_AGAIN or answer.status_code >= 500:
            raise TransferError(status, answer)
        else:
            raise DownloadError(f"{redact_url(url)}: {status}")
        while chunk := read_some(answer):
            part.write(chunk)
            bar.add(len(chunk))
    size = part.remote.size if part.remote else None
    if size is not None and part.size != size:
        raise TransferError(f"the connection ended after {part.size} of {size} bytes")


def continues(answer: requests.Response, remote: RemoteFile, have: int) -> bool:
    """Whether a partial answer goes on after `have` bytes of the same file."""
    come = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
    is_same_size = come is not None and (come[2] == "*" or remote.size in (None, int(come[2])))
    return come is not None and int(come[1]) == have and is_same_size and not remote.is_other(answer)


def begin(
    answer: requests.Response, url: str, part: PartialDownload, find_error: Callable[[bytes, str], str], bar: Bar
) -> bytes:
    """Look at the beginning of a whole file, and give up what was there only when it is the right kind; returns it."""
    head = b""
    while len(head) < HEAD and (chunk := read_some(answer)):
        head += chunk
    remote = read_remote(url, answer)
    if not head and remote.size:
        raise TransferError(f"the connection ended after 0 of {remote.size} bytes")
    if not head:
        raise DownloadError(f"{redact_url(url)}: the file there is empty")
    if error := find_error(head, answer.headers.get("Content-Type", "").partition(";")[0].strip()):
        raise DownloadError(f"{redact_url(url)}: {error}")
    part.check_disk_space(remote.size)
    if part.size:
        log.info("%s: starting over, since the server cannot resume a download", part.path)
    part.begin(remote)
    bar.at(0, remote.size)
    bar.add(len(head))
    return head


def fetch(url: str, part: PartialDownload, retry: RetryPolicy, find_error: Callable[[bytes, str], str]) -> None:
    """Bring the whole file into the part; a part of the same file on the same server is gone on with.

    Raises DownloadError when the address does not give it, FieldguideError when there is no room for it.
    """
    if part.is_whole and part.remote and part.remote.url == redact_url(url):
        return
    policy = make_policy(retry)
    bar = Bar(part.target.name, part.size)
    if part.size and part.remote and part.remote.url == redact_url(url):
        log.info("%s: resuming after %s", part.path, format_bytes(part.size))
    with requests.Session() as session, contextlib.closing(bar.bar):
        furthest = part.size
        while True:
            try:
                return receive(session, url, part, retry.timeout, find_error, bar)
            except TransferError as broken:
                if part.size - furthest >= PROGRESS:
                    policy, furthest = make_policy(retry), part.size
                policy = wait(policy, broken, url, part)


def make_policy(retry: RetryPolicy) -> Retry:
    """urllib3's count of failures, its back-off and its reading of Retry-After, by the settings."""
    return Retry(total=retry.retries, backoff_factor=retry.backoff, retry_after_max=retry.longest_wait)


def wait(policy: Retry, broken: TransferError, url: str, part: PartialDownload) -> Retry:
    """Wait as long as the server or the back-off asks; raises DownloadError when it is time to give up."""
    try:
        policy = policy.increment("GET", redact_url(url), error=broken)
    except MaxRetryError:
        tries = len(policy.history) + 1
        often = f" (tried {tries} times)" if tries > 1 else ""
        raise DownloadError(f"{redact_url(url)}: {broken}{often}") from broken
    raw = broken.answer.raw if broken.answer is not None else None
    try:
        retry_after = policy.get_retry_after(raw) if raw is not None else None
    except urllib3.exceptions.InvalidHeader:
        retry_after = None
    pause = retry_after or policy.get_backoff_time()
    log.info("%s: %s; trying again in %.0f s, after %s", redact_url(url), broken, pause, format_bytes(part.size))
    time.sleep(pause)
    return policy


def compute_digests(path: Path, names: Iterable[str]) -> dict[str, str]:
    """Checksums of a file in one pass, by the algorithm's name, hexadecimal."""
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in names}
    bar = tqdm(total=path.stat().st_size, unit="B", unit_scale=True, desc=f"checking {path.name}", disable=None)
    with path.open("rb") as stream, bar:
        while chunk := stream.read(1 << 22):
            for digest in digests.values():
                digest.update(chunk)
            bar.update(len(chunk))
    return {name: digest.hexdigest() for name, digest in digests.items()}


def find_checksum_error(path: Path, wanted: Mapping[str, str]) -> str:
    """The first checksum that a file does not have, in words; empty: it has them all. A beginning of one will do."""
    found = compute_digests(path, wanted) if wanted else {}
    for name, value in wanted.items():
        if not found[name].startswith(value.lower()):
            return f"its {name} is {found[name]}, not {value.lower()}"
    return ""
