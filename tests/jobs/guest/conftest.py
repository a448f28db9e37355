"""The machine of a test, with nothing left running after it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from tests.jobs.guest.box import Box


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    made = Box(tmp_path / "machine")
    yield made
    made.close()


class _Metadata(BaseHTTPRequestHandler):
    """IMDSv2 of a spot machine that is about to be taken back."""

    documents: ClassVar = {
        "/latest/meta-data/spot/instance-action": {"action": "terminate", "time": "2026-11-24T02:30:00Z"},
        "/latest/meta-data/events/recommendations/rebalance": {"noticeTime": "2026-11-24T02:20:00Z"},
    }

    def do_PUT(self) -> None:
        asked = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self._answer(200 if asked and self.path == "/latest/api/token" else 400, b"token-1")

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != "token-1":
            self._answer(401, b"")
            return
        found = self.documents.get(self.path)
        self._answer(200 if found else 404, json.dumps(found).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


class _Recommends(_Metadata):
    """The same of one that may be taken back, or not."""

    documents: ClassVar = {path: said for path, said in _Metadata.documents.items() if "rebalance" in path}


@contextmanager
def served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Its address while it answers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def metadata() -> Iterator[str]:
    """The address of a metadata service that announces the end."""
    with served(_Metadata) as address:
        yield address


@pytest.fixture
def recommended() -> Iterator[str]:
    """The address of a metadata service that only recommends to leave."""
    with served(_Recommends) as address:
        yield address
