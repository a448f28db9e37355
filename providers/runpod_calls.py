"""How Runpod is called: REST v2 by one key, at its pace (60 requests a minute), each refusal a typed error."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from providers import reading
from providers.base import (
    AuthFailed,
    Busy,
    ContractBroken,
    NoCapacity,
    NoCredentials,
    NoFunds,
    NotFound,
    ProviderError,
    Surroundings,
    Throttled,
)
from providers.pace import Limit, Pace
from providers.rest import SERVER_ERROR, Call, Reply, Rest, header_key, no_answer
from providers.runpod_settings import NAME, RunpodSettings

HOST_URL = "https://api.runpod.io"
KEY_FILE = ".runpod/config.toml"
KEY_FIX = "export RUNPOD_API_KEY=... (console.runpod.io/user/settings), or `runpod config` writes ~/.runpod/config.toml"
SCOPE_FIX = "make a key that may write (console.runpod.io/user/settings, API keys), not a read-only or restricted one"
FUNDS_FIX = "add money at console.runpod.io/user/billing; a pod needs an hour of its price, and launch the whole budget"
BURST = 8
LONGEST_WAIT_SECONDS = 15.0
FEW_LEFT = 3
"""Of the minute's requests: from there on we wait for the next minute, and leave these to others."""
CONSOLE_SECONDS = 6.0
NO_CAPACITY = ("no longer any instances", "no instances available", "does not have the resources", "capacity")
"""Texts that mean "none free there now": a refused placement has status 400, and no code of its own."""
LOW_BALANCE = "balance"
BAD_REQUEST, FORBIDDEN, CONFLICT, TOO_MANY = 400, 403, 409, 429
UNTOLD_WAIT_SECONDS = 15.0
STATUSES: Mapping[int, tuple[type[ProviderError], str, str]] = {
    401: (AuthFailed, "Runpod does not know this key", KEY_FIX),
    402: (NoFunds, "the account cannot pay for it", FUNDS_FIX),
    403: (AuthFailed, "this key may not do that", SCOPE_FIX),
    404: (NotFound, "Runpod does not know it", ""),
    409: (Busy, "not possible in this state", ""),
}
"""Every other status below 500 means that the request was not understood."""


class Calls:
    """The one way to Runpod. Nothing is sent before the first verb."""

    def __init__(self, around: Surroundings, settings: RunpodSettings) -> None:
        self._around, self._settings = around, settings
        self.host_url = (around.environ.get("RUNPOD_API_BASE_URL") or HOST_URL).rstrip("/")
        limits = {"rest": Limit(seconds=settings.seconds_between_requests, burst=BURST)}
        self._pace = Pace(around.state_dir / NAME / "pace.json", limits, around.now)
        self._rest: Rest | None = None
        self.server_date = ""
        """The time by Runpod's own clock in its latest answer, as HTTP tells it."""
        self.ahead = timedelta(0)
        """How far Runpod's clock was ahead of ours then."""

    def read(self, path: str, **params: str) -> Any:
        """The document that a GET answers with."""
        return self._asked(Call(method="GET", path=f"/v2{path}", params=params)).document

    def act(self, method: str, path: str, body: object = None) -> Any:
        """The same for a call that changes something; it is sent once. None where the answer has no body."""
        return self._asked(Call(method=method, path=f"/v2{path}", body=body, acts=True)).document

    def lines(self, path: str, **params: str) -> Iterator[str]:
        """The texts of a stream of log events, as far as they come within seconds."""
        rest = self._opened()
        self._around.pause(self._pace.turn("rest", most_seconds=LONGEST_WAIT_SECONDS))
        for line in rest.lines(Call(method="GET", path=f"/v2{path}", params=params), CONSOLE_SECONDS):
            if line.startswith("data:"):
                yield _line(line.removeprefix("data:").strip())

    def query(self, query: str) -> Any:
        """The `data` of a GraphQL query; None where that door is closed, or does not answer (it retires in 2027)."""
        try:
            reply = self._opened().ask(Call(method="POST", path="/graphql", body={"query": query}))
        except ProviderError:
            return None
        return reply.document.get("data") if isinstance(reply.document, Mapping) else None

    def key(self) -> str:
        """The user's key. Raises `NoCredentials` where there is none."""
        found = self._around.environ.get("RUNPOD_API_KEY", "").strip() or self._filed()
        if not found:
            text = f"there is no API key: neither RUNPOD_API_KEY nor ~/{KEY_FILE} holds one"
            raise NoCredentials(text, code="no-key", fix=KEY_FIX)
        return header_key(found, KEY_FIX)

    def _filed(self) -> str:
        """The habit of the field: `runpod config` keeps keys by profile; the package would take 2 s to read them."""
        home = self._around.environ.get("HOME")
        if not home or not (Path(home) / KEY_FILE).exists():
            return ""
        import tomllib  # here for start-up time: only with such a file

        try:
            parts = tomllib.loads((Path(home) / KEY_FILE).read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            return ""
        part = parts.get(self._settings.profile)
        found = part.get("api_key") if isinstance(part, Mapping) else None
        return found.strip() if isinstance(found, str) else ""

    def _opened(self) -> Rest:
        if self._rest is None:
            self._rest = Rest("Runpod", self.host_url, {"Authorization": f"Bearer {self.key()}"}, refusal)
        return self._rest

    def _asked(self, call: Call) -> Reply:
        rest = self._opened()
        self._around.pause(self._pace.turn("rest", most_seconds=LONGEST_WAIT_SECONDS))
        try:
            reply = rest.ask(call)
        except Throttled as error:
            self._pace.hold("rest", error.wait_seconds)
            raise
        self._compare_clocks(reply.headers.get("date", ""))
        left, seconds = _minute(reply.headers.get("ratelimit", ""))
        if left is not None and left <= FEW_LEFT:
            self._pace.hold("rest", seconds)
        return reply

    def _compare_clocks(self, date: str) -> None:
        self.server_date = date
        told = reading.maybe_http_date(date)
        if told is not None:
            self.ahead = told - self._around.now()


def refusal(reply: Reply, call: Call) -> ProviderError:
    """A refusal by its status, and where one status means two things by its text."""
    text, status = _told(reply), reply.status
    if status == TOO_MANY:
        told = reading.retry_seconds(reply.headers.get("retry-after", ""))
        wait = UNTOLD_WAIT_SECONDS if told is None else told
        return Throttled(text or "too many requests", code="429", wait_seconds=wait)
    if status >= SERVER_ERROR:
        return no_answer(f"Runpod had a problem of its own: {text or status}", str(status), acts=call.acts)
    if call.acts and call.path == "/v2/pods" and status in (BAD_REQUEST, FORBIDDEN):
        return _not_placed(text, status)
    if call.acts and call.path == "/v2/pods" and status == CONFLICT:
        return no_answer(f"Runpod tells of a conflict: {text or status}", str(status), acts=True)
    kind, words, fix = STATUSES.get(status, (ContractBroken, f"Runpod refuses the request ({status})", ""))
    return kind(f"{words}: {text}" if text else words, code=str(status), fix=fix)


def _not_placed(text: str, status: int) -> ProviderError:
    """A refused create call: no money, no machine, a rule, a pool that others may use: told apart by words alone."""
    if LOW_BALANCE in text.lower():
        return NoFunds(text, code="400", fix=FUNDS_FIX)
    if status == FORBIDDEN:
        mine = AuthFailed(f"this key may create nothing ({text or 'access denied'})", code="403", fix=SCOPE_FIX)
        return NoCapacity(f"not for this account or key ({text or 'access denied'})", code="403", or_else=mine)
    if any(part in text.lower() for part in NO_CAPACITY):
        return NoCapacity(text, code="400")
    broken = ContractBroken(f"Runpod refuses our request everywhere: {text}", code="400")
    return NoCapacity(text or "refused without a reason", code="400", or_else=broken)


def _told(reply: Reply) -> str:
    document = reply.document
    if not isinstance(document, Mapping):
        return ""
    errors = document.get("errors")
    more = "; ".join(str(one) for one in errors[:3]) if isinstance(errors, list) else ""
    return reading.printable(f"{document.get('detail') or document.get('title') or ''} {more}".strip())


def _minute(header: str) -> tuple[int | None, float]:
    """What is left of the minute's requests, and for how long: `"minute";r=58;t=12, ...`."""
    found = re.search(r'"minute"\s*;\s*r=(\d{1,9})\s*;\s*t=(\d{1,4})', header)
    return (int(found[1]), float(found[2])) if found else (None, 0.0)


def _line(data: str) -> str:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return ""
    line = found.get("line") if isinstance(found, dict) else None
    return reading.printable(line) if isinstance(line, str) else ""
