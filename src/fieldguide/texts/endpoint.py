"""An OpenAI-compatible endpoint: its address, its key, and the client of the openai package that reaches it."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from fieldguide.core.errors import FieldguideError
from fieldguide.texts.answers import LONGEST_QUOTE, UnansweredError, parse_json

if TYPE_CHECKING:
    from openai import AsyncOpenAI


@dataclass(frozen=True)
class Endpoint:
    """Where to ask, and the key, which is shown nowhere."""

    base_url: str
    key: str = field(default="", repr=False)

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).hostname or ""

    @property
    def is_here(self) -> bool:
        """Whether the endpoint runs on this machine, where no proxy leads."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def redact(self, text: str) -> str:
        """The text without the key."""
        # What is shorter is a placeholder for endpoints that want none, and may be a common word.
        return text.replace(self.key, "[key]") if len(self.key) >= 8 else text

    def redact_error(self, text: str) -> str:
        """An endpoint's own words on one line, without the key, whole or as endpoints shorten it."""
        return re.sub(r"\b(sk|pk|key)-[\w*.-]{4,}", "[key]", self.redact(" ".join(text.split())))[:LONGEST_QUOTE]


def needs_key(base_url: str) -> bool:
    """Whether an endpoint is one that needs a key; others may, local ones above all."""
    host = urlsplit(base_url).hostname or ""
    return host == "openai.com" or host.endswith(".openai.com")


def find_endpoint(base_url: str, variable: str) -> Endpoint:
    """The endpoint with its key, read from the environment.

    Raises FieldguideError when the key is missing and needed, or cannot be one; no message holds the key.
    """
    key = os.environ.get(variable, "").strip()
    if not key and needs_key(base_url):
        raise FieldguideError(f"{variable} is not set in the environment, and {base_url} needs a key")
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise FieldguideError(f"{variable} holds a space or a character that no key has; set it anew")
    return Endpoint(base_url, key)


# ---------------------------------------------------------------- the client


PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")
CERTIFICATES = {"SSL_CERT_FILE": Path.is_file, "SSL_CERT_DIR": Path.is_dir}


def check_environment() -> None:
    """Refuse proxies and certificates of the environment that no client can use, in a sentence naming the variable.

    A proxy's address is not shown: it may hold a password.
    """
    for name in (spelling for upper in PROXIES for spelling in (upper, upper.lower())):
        value = os.environ.get(name, "")
        try:
            parts = urlsplit(value if "://" in value else f"http://{value}")
            _ = parts.port
        except ValueError as error:
            raise FieldguideError(
                f"{name} in the environment is no address of a proxy ({error}); correct it, or unset it"
            ) from None
        if parts.scheme.startswith("socks"):
            try:
                import socksio  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: F401
            except ImportError:
                raise FieldguideError(
                    f"{name} in the environment names a SOCKS proxy, for which the package socksio is missing here;"
                    f" install it beside fieldguide, name an http:// proxy, or unset {name}"
                ) from None
    for name, is_there in CERTIFICATES.items():
        if (value := os.environ.get(name, "")) and not is_there(Path(value)):
            raise FieldguideError(
                f"{name} in the environment names {value}, which is not there, so no certificate can be checked;"
                " correct it, or unset it"
            )


def open_client(endpoint: Endpoint, timeout: float) -> AsyncOpenAI:
    """The openai package's client of an endpoint, without retries; `timeout` in seconds. To be closed by `async with`.

    A query in `base_url` (Azure's `api-version`) goes with every request. Raises FieldguideError naming the variable
    of the environment that keeps a client from being made.
    """
    # Only warnings of the libraries, whatever the environment says: their debug lines hold requests.
    for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if not endpoint.is_here:
        check_environment()
    from openai import AsyncAzureOpenAI, AsyncOpenAI, DefaultAsyncHttpxClient

    parts = urlsplit(endpoint.base_url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    # Azure's addresses by deployment read the key from a header of their own.
    by_deployment = "/deployments/" in parts.path and "api-version" in query
    try:
        return (partial(AsyncAzureOpenAI, api_version=query["api-version"]) if by_deployment else AsyncOpenAI)(
            # The client insists on a key; an endpoint that wants none does not look at it.
            api_key=endpoint.key or "none",
            base_url=urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")),
            default_query=query,
            timeout=timeout,
            max_retries=0,
            http_client=DefaultAsyncHttpxClient(trust_env=not endpoint.is_here),
        )
    except Exception as error:
        # Whatever else a client stumbles over when it is made stands in the environment.
        names = [*PROXIES, *map(str.lower, PROXIES), *CERTIFICATES, "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"]
        named = ", ".join(name for name in names if os.environ.get(name)) or "no proxy and no certificate file"
        raise FieldguideError(
            f"{endpoint.base_url}: no client can be made ({endpoint.redact_error(str(error))}); the environment sets"
            f" {named}"
        ) from None


async def fetch_model(endpoint: Endpoint, model: str, timeout: float) -> tuple[int, Any, str]:
    """What `GET /models/{model}` answers: its status, its JSON (None where it is none) and its text, without the key.

    Raises UnansweredError when no answer comes within `timeout` seconds, FieldguideError as `open_client` does.
    """
    import openai

    async with open_client(endpoint, timeout) as client:
        try:
            answer = await client.models.with_raw_response.retrieve(model)
            status, text = answer.status_code, answer.text
        except openai.APIStatusError as error:
            status, text = error.status_code, error.response.text
        except openai.APIConnectionError as error:
            what = endpoint.redact_error(str(error.__cause__ or error)) or "no answer"
            raise UnansweredError(f"the connection failed: {what}", was_sent=False) from None
    text = endpoint.redact(text)
    return status, parse_json(text), text
