"""Asks the metadata service whether the provider takes the machine back (IMDSv2); its absence is no trouble."""

from __future__ import annotations

import json
import os
import threading
import urllib.error
import urllib.request
from typing import Any, Callable

LOOK_SECONDS = 5
ANSWER_SECONDS = 2
ANSWER_BYTES = 4096
TOKEN_SECONDS = 21600
DEFAULT = "http://169.254.169.254"
INTERRUPTION = "/latest/meta-data/spot/instance-action"
REBALANCE = "/latest/meta-data/events/recommendations/rebalance"


class Metadata:
    """IMDSv2: a token first, then documents that are 404 as long as nothing is to be said."""

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")
        self._token = ""
        # No proxy of the job's environment may come between, or see the token.
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def document(self, path: str) -> dict[str, Any] | None:
        """The JSON object there, None for 404. Raises OSError or ValueError when nothing usable answers."""
        try:
            if not self._token:
                self._token = self._fetch("/latest/api/token", "PUT", "ttl-seconds", str(TOKEN_SECONDS)).decode("ascii")
            found = json.loads(self._fetch(path, "GET", "", self._token))
        except urllib.error.HTTPError as error:
            if error.code == 401:
                self._token = ""  # expired: the next look gets a new one
            if error.code == 404:
                return None
            raise
        if not isinstance(found, dict):
            raise ValueError("no JSON object")  # noqa: TRY004 - what came is bad, not what we passed
        return found

    def _fetch(self, path: str, method: str, header: str, value: str) -> bytes:
        name = "X-aws-ec2-metadata-token" + (f"-{header}" if header else "")
        request = urllib.request.Request(self._address + path, method=method, headers={name: value})  # noqa: S310 - a fixed http address
        with self._open(request, timeout=ANSWER_SECONDS) as answer:
            return bytes(answer.read(ANSWER_BYTES))


class Watch:
    """Looks for notices beside the job; calls `tell` once for each new one, from a thread of its own."""

    def __init__(self, metadata: Metadata, tell: Callable[[str, str], None]) -> None:
        self._metadata, self._tell = metadata, tell
        self._seen: set[str] = set()

    def begin(self) -> None:
        """Look every few seconds from now on, for as long as the process lives."""
        threading.Thread(target=self._look_on, name="notice", daemon=True).start()

    def _look_on(self) -> None:
        pause = threading.Event()
        self.look()
        while not pause.wait(LOOK_SECONDS):
            self.look()

    def look(self) -> None:
        """One look at both documents. Silence means nothing: there are reclaims without any notice."""
        for path in (INTERRUPTION, REBALANCE):
            try:
                found = self._metadata.document(path)
            except (OSError, ValueError):
                continue
            if found is not None:
                self._new(path, found)

    def _new(self, path: str, found: dict[str, Any]) -> None:
        if path in self._seen:
            return
        self._seen.add(path)
        action = "rebalance" if path == REBALANCE else str(found.get("action") or "terminate")
        self._tell(action, str(found.get("time") or found.get("noticeTime") or ""))


def address() -> str:
    """Where the metadata service is: as AWS's own clients find it."""
    found = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "")
    return found if found.startswith(("http://", "https://")) else DEFAULT
