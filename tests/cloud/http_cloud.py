"""A cloud over HTTP: faults outermost, then the application; every call written down, and held against our schemas."""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import uvicorn
from starlette.responses import JSONResponse, Response

from tests.cloud.faults import Fault
from tests.cloud.world import World

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HTML = b"<!doctype html><html><title>502 Bad Gateway</title><center><h1>502 Bad Gateway</h1></center></html>"
SCHEMAS = Path(__file__).with_name("schemas")
REFUSED = 400


class Refused(Exception):
    """The cloud says no; the application knows how its cloud words it."""

    def __init__(self, code: str, message: str, status: int = 400, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.headers = code, message, status, dict(headers or {})


@dataclass(kw_only=True)
class Asked:
    """One call as it came."""

    operation: str
    method: str
    path: str
    query: str
    body: Any
    status: int = 0


@dataclass(kw_only=True)
class Kept:
    """An answer that was made and is not sent yet."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""

    async def send(self, message: Message) -> None:
        """Keep it."""
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", []))
        else:
            self.body += message.get("body", b"")


class HttpCloud:
    """The ASGI application of one cloud."""

    def __init__(
        self,
        name: str,
        world: World,
        inner: App,
        operation_of: Callable[[str, str], str],
        refusal: Callable[[Refused], Response],
    ) -> None:
        self.name, self._world, self._inner = name, world, inner
        self._operation_of, self._refusal = operation_of, refusal
        self.calls: list[Asked] = []
        self.violations: list[str] = []
        """Where a request that was accepted, or an answer, is not as our schema says."""
        self.streamed: frozenset[str] = frozenset()
        """Operations whose answers go out as they come."""
        self.slow_seconds = 0.0
        """Real seconds before each answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        send = self._dated(send)
        body = await _whole(receive)
        asked = self._written_down(scope, body)
        if self.slow_seconds:
            await asyncio.sleep(self.slow_seconds)
        fault = self._world.faults.take(f"{self.name}.{asked.operation}", "")
        if fault is None and asked.operation in self.streamed:
            await self._inner(scope, _again(body), send)
            return
        if fault is not None:
            self._world.say("fault", "", f"{fault.when} {self.name}.{asked.operation}")
        answer = Kept()
        if fault is None or fault.applied:
            await self._inner(scope, _again(body), answer.send)
            self._judge(asked, answer)
        await self._put_out(fault, answer, receive, send)

    def _dated(self, send: Send) -> Send:
        """Every answer tells the time by this cloud's own clock, which is the world's, but for its skew."""
        skew_seconds = self._world.landlords[self.name].knobs.clock_skew_seconds
        date = format_datetime(self._world.clock.now() + timedelta(seconds=skew_seconds), usegmt=True)

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), (b"date", date.encode())]}
            await send(message)

        return dated

    def _written_down(self, scope: Scope, body: bytes) -> Asked:
        method, path = scope["method"], scope["path"]
        try:
            parsed = json.loads(body) if body else None
        except ValueError:
            parsed = body.decode(errors="replace")
        asked = Asked(
            operation=self._operation_of(method, path),
            method=method,
            path=path,
            query=scope["query_string"].decode(),
            body=parsed,
        )
        self.calls.append(asked)
        return asked

    def _judge(self, asked: Asked, answer: Kept) -> None:
        asked.status = answer.status
        checks = schema(self.name)
        if answer.status < REFUSED and f"{asked.operation} request" in checks:
            self._compare(f"{asked.operation} request", asked.body)
        name = f"{asked.operation} {answer.status}" if f"{asked.operation} {answer.status}" in checks else "refusal"
        self._compare(name, json.loads(answer.body) if answer.body else None)

    def _compare(self, name: str, document: object) -> None:
        validator = jsonschema.Draft202012Validator({"$ref": f"#/$defs/{_plain(name)}", "$defs": _defs(self.name)})
        for error in validator.iter_errors(document):
            self.violations.append(f"{self.name} {name}: {error.message[:300]} at {'/'.join(map(str, error.path))}")

    async def _put_out(self, fault: Fault | None, answer: Kept, receive: Receive, send: Send) -> None:
        if fault is None:
            await _send(send, answer.status, answer.headers, answer.body)
        elif fault.when in {"before", "after"}:
            await self._refuse(Refused(fault.code, fault.message, fault.status), send)
        elif fault.when == "throttle":
            headers = {"retry-after": str(int(fault.seconds))} if fault.seconds < 100 else {}
            await self._refuse(Refused("throttled", "rate limit exceeded for the minute window", 429, headers), send)
        elif fault.when == "html":
            await _send(send, fault.status, [(b"content-type", b"text/html")], HTML)
        elif fault.when == "empty":
            await _send(send, fault.status, [(b"content-type", b"application/json")], b"")
        elif fault.when == "badjson":
            await _send(send, 200, [(b"content-type", b"application/json")], answer.body[: len(answer.body) // 2])
        else:
            if fault.when == "signal":
                fault.strike()
            if fault.when == "hang":
                await _until_gone(receive, fault.seconds)
            await _cut(send)

    async def _refuse(self, refused: Refused, send: Send) -> None:
        answer = self._refusal(refused)
        await _send(send, answer.status_code, list(answer.raw_headers), bytes(answer.body))


async def _whole(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


def _again(body: bytes) -> Receive:
    """The body once more, for the application."""
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if not sent:
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}
        await asyncio.Event().wait()
        raise AssertionError("nobody comes by here")

    return receive


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    kept = [(name, value) for name, value in headers if name.lower() != b"content-length"]
    await send(
        {"type": "http.response.start", "status": status, "headers": [*kept, (b"content-length", b"%d" % len(body))]}
    )
    await send({"type": "http.response.body", "body": body})


async def _until_gone(receive: Receive, real_seconds: float) -> None:
    """Say nothing, until the time is over or the client has hung up."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(real_seconds):
            while (await receive())["type"] != "http.disconnect":
                pass


async def _cut(send: Send) -> None:
    """Promise more than is sent: the server then breaks the line off."""
    with contextlib.suppress(Exception):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


@cache
def schema(name: str) -> Mapping[str, Any]:
    """The schemas of one cloud, by "operation request" and "operation STATUS"."""
    found: dict[str, Any] = json.loads((SCHEMAS / f"{name}.json").read_text())
    return found


@cache
def _defs(name: str) -> Mapping[str, Any]:
    return {_plain(key): value for key, value in schema(name).items()}


def _plain(name: str) -> str:
    """A name as it may stand in a JSON pointer."""
    return name.replace(" ", "_")


def refused_as_json(refused: Refused, document: object, media_type: str) -> Response:
    """A refusal on its way."""
    answer = JSONResponse(document, status_code=refused.status, headers=refused.headers)
    answer.headers["content-type"] = media_type
    return answer


@contextlib.contextmanager
def serving(app: App) -> Iterator[str]:
    """Serve an application on a free loopback port until the block ends; its address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1, date_header=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        listener.close()
