"""Files of a model from the Hub, one at a time: bounded in size and time, and each refusal as an error of its own."""

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from jobs.config_values import WorkloadError

ENDPOINT = "https://huggingface.co"
CONNECT_SECONDS, READ_SECONDS = 2.0, 4.0
"""A Hub that has not taken the connection by then is not there: an estimate must not hang on it (assumed)."""
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, OK = 401, 403, 404, 200
URL = re.compile(r"https?://[\w.-]+(:\d+)?(/[\w./-]*)?", re.ASCII)
NO_REPOSITORY, NO_REVISION = "RepoNotFound", "RevisionNotFound"
"""What the Hub says in its header X-Error-Code; where a token is missing it answers 401 for what is not there, too."""


class HubError(Exception):
    """The Hub gave no file; `why` is for people."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Unreachable(HubError):
    """No answer, or one that tells nothing: the file may well be there."""


class Gated(HubError):
    """The file is there, and not for us."""


class NoModel(HubError):
    """There is no such model, or it is private."""


class NoRevision(HubError):
    """The model has no such revision."""


class NoFile(HubError):
    """The model has no such file."""


@dataclass(frozen=True, kw_only=True)
class Hub:
    """The Hub of this environment. `token` opens gated models; `offline` keeps every question from being asked."""

    endpoint: str = ENDPOINT
    token: str = ""
    offline: bool = False
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> "Hub":
        """By huggingface_hub's own variables."""
        return cls(
            endpoint=environ.get("HF_ENDPOINT", ENDPOINT).rstrip("/"),
            token=environ.get("HF_TOKEN", ""),
            offline=environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"},
        )

    @property
    def host(self) -> str:
        """For people."""
        return urlsplit(self.endpoint).netloc

    def file(self, name: str, revision: str, path: str, *, most_bytes: int, seconds: float) -> bytes:
        """The contents of one file of a model. Raises `HubError`, and `WorkloadError` for an endpoint that is none."""
        import httpx  # start-up time

        if self.offline:
            raise Unreachable("HF_HUB_OFFLINE is set")
        if not URL.fullmatch(self.endpoint):
            raise WorkloadError("HF_ENDPOINT is not a URL", hint="unset HF_ENDPOINT, or give https://HOST")
        url = f"{self.endpoint}/{name}/resolve/{quote(revision or 'main', safe='')}/{path}"
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        until = self.clock() + seconds
        try:
            with httpx.stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response:
                self._check(response.status_code, response.headers.get("x-error-code", ""), path)
                return self._bounded(response.iter_bytes(), most_bytes, until)
        except httpx.HTTPError as error:
            if isinstance(error, httpx.TimeoutException):
                why = "it did not answer in time"
            else:
                why = "no connection" if isinstance(error, httpx.ConnectError) else "the line broke"
            raise Unreachable(f"the Hub could not be reached: {why}") from error

    def _check(self, status: int, code: str, path: str) -> None:
        if status == OK:
            return
        if code == NO_REPOSITORY or (status == NOT_FOUND and not code):
            raise NoModel("the Hub has no such model" + ("" if self.token else ", or it is private and needs HF_TOKEN"))
        if code == NO_REVISION:
            raise NoRevision("the Hub has no such revision of it")
        if status in {UNAUTHORIZED, FORBIDDEN}:
            raise Gated("your HF_TOKEN has no access to it" if self.token else "it is gated, and HF_TOKEN is not set")
        if status == NOT_FOUND:
            raise NoFile(f"the model has no {path}")
        raise Unreachable(f"the Hub answered {status}")

    def _bounded(self, chunks: Iterable[bytes], most_bytes: int, until: float) -> bytes:
        body = bytearray()
        for chunk in chunks:
            body += chunk
            if len(body) > most_bytes:
                raise Unreachable("the Hub sent far more than such a file has")
            if self.clock() > until:
                raise Unreachable("the Hub sends too slowly")
        return bytes(body)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Files that were read before, in our own folder; None keeps nothing."""

    folder: Path | None
    hub: Hub

    def path(self, name: str, revision: str, suffix: str) -> Path | None:
        """Where such a file is kept."""
        if self.folder is None:
            return None
        return self.folder / f"{quote(f'{self.hub.endpoint} {name} {revision}', safe='')}{suffix}"

    def keep(self, path: Path | None, content: bytes) -> None:
        """Write it whole, or not at all."""
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{path.name}.{os.getpid()}")
        aside.write_bytes(content)
        aside.replace(path)
