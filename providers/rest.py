"""One JSON call over HTTP to a cloud: sent once, bounded in time and size; every odd answer is one of our errors."""

import hashlib
import json
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NoReturn, Protocol

from providers.base import Ambiguous, AuthFailed, NotSetUp, ProviderError, Unavailable, Unreachable

MOST_BYTES = 16 * 2**20
CALL_SECONDS = 30.0
CONNECT_SECONDS = 10.0
LONGEST_TEXT = 300
SERVER_ERROR = 500
REFUSED = 400
MOVED = 300


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer. `document` is what its JSON says; None for an empty body, and for a refusal that is no JSON (a page).

    Numbers with a point are `Decimal`s; header names are in lower case.
    """

    status: int
    document: Any
    headers: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One request. `acts`: it changes something, so that an answer that gets lost leaves open whether it did."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: object = None
    acts: bool = False


Refusal = Callable[[Reply, Call], ProviderError]
"""A cloud's own table: a reply with status 400 or more as one of our errors."""


class Rest:
    """A cloud's API below one address. httpx is imported at the first call: start-up time."""

    def __init__(self, name: str, base_url: str, headers: Mapping[str, str], refusal: Refusal) -> None:
        self._name, self._base_url, self._headers, self._refusal = name, base_url.rstrip("/"), dict(headers), refusal
        self._client: Any = None
        self._lock = threading.Lock()

    def ask(self, call: Call) -> Reply:
        """The answer to one call, sent once. Raises what `refusal` makes of a refusal, else as the class tells.

        `Unreachable`: nothing was sent. `Ambiguous` (it acts) or `Unavailable` (it reads): no usable answer.
        """
        body, status, headers = self._exchanged(call)
        if MOVED <= status < REFUSED:
            self._no_answer(f"it points elsewhere (HTTP {status})", f"http-{status}", call)
        reply = Reply(status=status, document=self._read(body, status, call), headers=headers)
        if status >= REFUSED:
            raise self._refusal(reply, call)
        return reply

    def lines(self, call: Call, seconds: float) -> Iterator[str]:
        """Lines of an answer that may never end, for at most so long, and until nothing comes for a third of that."""
        import httpx  # start-up time

        until = time.monotonic() + seconds
        timeout = httpx.Timeout(seconds / 3, connect=CONNECT_SECONDS)
        try:
            with self._opened().stream(call.method, call.path, params=dict(call.params), timeout=timeout) as answer:
                if answer.status_code >= REFUSED:
                    raise self._refusal(Reply(status=answer.status_code, document=None, headers={}), call)
                for line in answer.iter_lines():
                    yield line
                    if time.monotonic() > until:
                        return
        except httpx.ReadTimeout:
            return
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            self._no_answer(f"{type(error).__name__}", "no-answer", call)

    def _exchanged(self, call: Call) -> tuple[bytes, int, dict[str, str]]:
        import httpx  # start-up time

        content = None if call.body is None else json.dumps(call.body).encode()
        until = time.monotonic() + CALL_SECONDS
        try:
            with self._opened().stream(
                call.method, call.path, params=dict(call.params) or None, content=content
            ) as answer:
                body = b"".join(self._bounded(answer.iter_bytes(), until, call))
                return body, answer.status_code, {name.lower(): text for name, text in answer.headers.items()}
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            text = f"no connection to {self._name} at {self._base_url} ({type(error).__name__})"
            raise Unreachable(text, code="unreachable") from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            text = f"{self._base_url} is no address that {self._name} could have"
            raise NotSetUp(text, code="address") from error
        except httpx.HTTPError as error:
            self._no_answer(type(error).__name__, "no-answer", call, error)

    def _bounded(self, chunks: Iterator[bytes], until: float, call: Call) -> Iterator[bytes]:
        """A server that drips, or sends without end, gets no more of our time than one that is silent."""
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if size > MOST_BYTES or time.monotonic() > until:
                self._no_answer(f"its answer does not end ({size} bytes)", "endless", call)
            yield chunk

    def _read(self, body: bytes, status: int, call: Call) -> Any:
        if not body.strip():
            return None
        try:
            return json.loads(body, parse_float=Decimal, parse_constant=_no_number)
        except (ValueError, ArithmeticError, RecursionError) as error:  # a number beyond all exponents, too
            if REFUSED <= status < SERVER_ERROR:
                return None  # a page instead of a document, and a status that says enough
            self._no_answer(f"a page, no JSON (HTTP {status})", f"http-{status}", call, error)

    def _no_answer(self, what: str, code: str, call: Call, cause: Exception | None = None) -> NoReturn:
        text = f"no usable answer from {self._name} to {call.method} {call.path}: {what}"
        raise no_answer(text, code, acts=call.acts) from cause

    def _opened(self) -> Any:
        import httpx  # start-up time

        with self._lock:
            if self._client is None:
                timeout = httpx.Timeout(CALL_SECONDS, connect=CONNECT_SECONDS)
                headers = {"User-Agent": "gpu-launch", "Content-Type": "application/json", **self._headers}
                try:
                    # Never a second try, and no redirect: nobody is followed to another address with our key.
                    self._client = httpx.Client(
                        base_url=self._base_url, headers=headers, timeout=timeout, follow_redirects=False
                    )
                except (httpx.InvalidURL, ValueError) as error:
                    text = f"{self._base_url} is no address that {self._name} could have"
                    raise NotSetUp(text, code="address") from error
                weakref.finalize(self, self._client.close)
            return self._client


def header_key(key: str, fix: str) -> str:
    """The key, if a header can carry it. Raises `AuthFailed` without a word of it: nothing is sent then."""
    if not key.isascii() or not key.isprintable() or " " in key:
        text = "the API key holds a space, a line break or a letter that no key has: it was not copied as it is"
        raise AuthFailed(text, code="odd-key", fix=fix)
    return key


class Keyed(Protocol):
    """Whoever calls a cloud by one key."""

    def key(self) -> str:
        """Raises `NoCredentials` where there is none."""


def key_mark(calls: Keyed) -> str:
    """A mark by which one key is told from another, and which tells nothing of it; "" without one."""
    try:
        return hashlib.sha256(calls.key().encode()).hexdigest()[:16]
    except AuthFailed:
        return ""


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON")


def no_answer(text: str, code: str, *, acts: bool) -> ProviderError:
    """What "we do not know" is called: it depends on whether the call may have changed something."""
    return Ambiguous(text, code=code) if acts else Unavailable(text, code=code)
