"""A small HTTP server on loopback that answers by a script, well or badly, and writes down what it was asked."""

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Heard:
    """One request as it came."""

    method: str
    path: str
    """With its query."""
    headers: dict[str, str]
    """Their names in lower case."""
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Said:
    """One answer. `cut`: the line is reset after so many bytes of the body, instead of the rest."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None


def document(value: object, status: int = 200, **headers: str) -> Said:
    """An answer that is JSON."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Said(status=status, body=json.dumps(value).encode(), headers={"Content-Type": "application/json", **named})


Script = Callable[[Heard], Said]


@dataclass
class PlainServer:
    """What it answers may be changed at any time."""

    url: str
    script: Script = lambda heard: Said()
    heard: list[Heard] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def hear(self, heard: Heard) -> Said:
        """Write a request down; its answer."""
        with self.arrived:
            self.heard.append(heard)
            self.arrived.notify_all()
        return self.script(heard)

    def first(self, seconds: float) -> tuple[str, str]:
        """Method and path of the first request; waits so long for it."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: self.heard, seconds), f"nobody asked within {seconds} s"
        return self.asked()[0]

    def says(self, *answers: Said) -> None:
        """These answers, one after the other; the last one again and again."""
        left = list(answers)
        self.script = lambda heard: left.pop(0) if len(left) > 1 else left[0]

    def asked(self) -> list[tuple[str, str]]:
        """Method and path of every request, in order."""
        return [(one.method, one.path.partition("?")[0]) for one in self.heard]


class Listener(ThreadingHTTPServer):
    """One that does not tell of lines that a client, or its own script, has cut."""

    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: the client's side is what a test looks at."""


def _door(server: list[PlainServer]) -> type[BaseHTTPRequestHandler]:
    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: whether a program prints is a question of its own."""

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): text for name, text in self.headers.items()}
            heard = Heard(method=self.command, path=self.path, headers=headers, body=body)
            said = server[0].hear(heard)
            self.send_response(said.status)
            for name, text in {"Content-Length": str(len(said.body)), **said.headers}.items():
                self.send_header(name, text)
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # the client may have heard enough
                self.wfile.write(said.body if said.cut is None else said.body[: said.cut])
            if said.cut is not None:
                self._reset()

        def _reset(self) -> None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True

    for verb in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        setattr(Door, f"do_{verb}", Door.answer)
    return Door


@contextlib.contextmanager
def plain_server() -> Iterator[PlainServer]:
    """Serve on a free port until the block ends."""
    found: list[PlainServer] = []
    with Listener(("127.0.0.1", 0), _door(found)) as server:
        found.append(PlainServer(f"http://127.0.0.1:{server.server_port}"))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield found[0]
        finally:
            server.shutdown()
            thread.join(timeout=5)


def closed_port() -> int:
    """A loopback port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        return int(door.getsockname()[1])
