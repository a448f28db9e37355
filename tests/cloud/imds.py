"""The instance metadata service of one box (IMDSv2 only): who am I, and am I being reclaimed."""

import contextlib
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 1338
Facts = Callable[[], Mapping[str, str]]
"""Path below /latest/meta-data/ to its text, as it stands now; a path that is absent answers 404."""


class Imds:
    """A small server on the box's own address."""

    def __init__(self, address: str, facts: Facts, port: int = PORT) -> None:
        self._tokens: set[str] = set()
        self._server = ThreadingHTTPServer((address, port), _answers(facts, self._tokens))
        self.url = f"http://{address}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()


def reclaim_facts(action_at: str | None, rebalance_at: str | None) -> dict[str, str]:
    """The two paths that appear only when a reclaim is near; times are ISO 8601 UTC."""
    found = {}
    if action_at is not None:
        found["spot/instance-action"] = json.dumps({"action": "terminate", "time": action_at})
        found["spot/termination-time"] = action_at
    if rebalance_at is not None:
        found["events/recommendations/rebalance"] = json.dumps({"noticeTime": rebalance_at})
    return found


def _answers(facts: Facts, tokens: set[str]) -> type[BaseHTTPRequestHandler]:
    class Answers(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            if self.path != "/latest/api/token" or "X-aws-ec2-metadata-token-ttl-seconds" not in self.headers:
                return self._say(400, "Bad Request")
            tokens.add(token := secrets.token_urlsafe(32))
            return self._say(200, token)

        def do_GET(self) -> None:
            if self.headers.get("X-aws-ec2-metadata-token") not in tokens:
                return self._say(401, "Unauthorized")
            text = facts().get(self.path.removeprefix("/latest/meta-data/"))
            return self._say(404, "Not Found") if text is None else self._say(200, text)

        def _say(self, status: int, text: str) -> None:
            with contextlib.suppress(ConnectionError):  # a machine's power goes while it asks
                self.send_response(status)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Be quiet: the world logs what matters."""

    return Answers
