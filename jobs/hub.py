"""Files of models and data sets from the Hub, one at a time: bounded in size and time, each refusal a typed error."""

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from jobs.config_values import WorkloadError

if TYPE_CHECKING:  # start-up time
    import httpx

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
    """There is no such model (or data set), or it is private."""


class NoRevision(HubError):
    """It has no such revision."""


class NoFile(HubError):
    """It has no such file."""


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
        """For people, and for names of files: without a login that the address may hold."""
        return urlsplit(self.endpoint).netloc.rpartition("@")[2]

    def file(self, name: str, revision: str, path: str, *, most_bytes: int, seconds: float) -> bytes:
        """The contents of one file of a model. Raises `HubError`, and `WorkloadError` for an endpoint that is none."""
        until = self.clock() + seconds
        place = f"{name}/resolve/{quote(revision or 'main', safe='')}/{quote(path)}"
        with self.opened(place, f"model has no {path}") as answer:
            return b"".join(self._bounded(answer.iter_bytes(), most_bytes, until))

    def asked(self, place: str, *, of: str, most_bytes: int, seconds: float) -> bytes:
        """The answer to a question of the Hub's interface; `of` is what it is about. Raises as `file`."""
        until = self.clock() + seconds
        with self.opened(place, f"{of} is not there", of=of) as answer:
            return b"".join(self._bounded(answer.iter_bytes(), most_bytes, until))

    def save(self, place: str, into: Path, *, lacks: str, most_bytes: int, seconds: float) -> None:
        """One file of a data set, written whole or not at all. Raises as `file`, and `OSError`."""
        until = self.clock() + seconds
        into.parent.mkdir(parents=True, exist_ok=True)
        aside = into.with_name(f"{into.name}.{os.getpid()}.part")
        try:
            with self.opened(place, lacks, of="data set") as answer, aside.open("wb") as file:
                for chunk in self._bounded(answer.iter_bytes(), most_bytes, until):
                    file.write(chunk)
            aside.replace(into)
        finally:
            aside.unlink(missing_ok=True)

    @contextmanager
    def opened(self, place: str, lacks: str, *, of: str = "model") -> "Iterator[httpx.Response]":
        """The answer for one place below the endpoint, which alone is told the token.

        httpx takes it out of a request that a redirect sends to another host.
        """
        import httpx  # start-up time

        if self.offline:
            raise Unreachable("HF_HUB_OFFLINE is set")
        if not URL.fullmatch(self.endpoint):
            raise WorkloadError("HF_ENDPOINT is not a URL", hint="unset HF_ENDPOINT, or give https://HOST")
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        try:
            url = f"{self.endpoint}/{place}"
            with httpx.stream("GET", url, headers=headers, timeout=timeout, follow_redirects=True) as response:
                self._check(response.status_code, response.headers.get("x-error-code", ""), lacks, of)
                yield response
        except httpx.HTTPError as error:
            if isinstance(error, httpx.TimeoutException):
                why = "it did not answer in time"
            else:
                why = "no connection" if isinstance(error, httpx.ConnectError) else "the line broke"
            raise Unreachable(f"the Hub could not be reached: {why}") from error

    def _check(self, status: int, code: str, lacks: str, of: str) -> None:
        if status == OK:
            return
        if code == NO_REPOSITORY or (status == NOT_FOUND and not code):
            private = "" if self.token else ", or it is private and needs HF_TOKEN"
            raise NoModel(f"the Hub has no such {of}{private}")
        if code == NO_REVISION:
            raise NoRevision("the Hub has no such revision of it")
        if status in {UNAUTHORIZED, FORBIDDEN}:
            raise Gated("your HF_TOKEN has no access to it" if self.token else "it is gated, and HF_TOKEN is not set")
        if status == NOT_FOUND:
            raise NoFile(f"the {lacks}")
        raise Unreachable(f"the Hub answered {status}")

    def _bounded(self, chunks: Iterable[bytes], most_bytes: int, until: float) -> Iterator[bytes]:
        """The chunks as they come, up to so many bytes and until then."""
        so_far = 0
        for chunk in chunks:
            so_far += len(chunk)
            if so_far > most_bytes:
                raise Unreachable("the Hub sent far more than such a file has")
            if self.clock() > until:
                raise Unreachable("the Hub sends too slowly")
            yield chunk


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Files that were read before, in our own folder; None keeps nothing."""

    folder: Path | None
    hub: Hub

    def path(self, name: str, revision: str, suffix: str) -> Path | None:
        """Where such a file is kept."""
        if self.folder is None:
            return None
        where = urlsplit(self.hub.endpoint)._replace(netloc=self.hub.host).geturl()
        return self.folder / f"{quote(f'{where} {name} {revision}', safe='')}{suffix}"

    def keep(self, path: Path | None, content: bytes) -> None:
        """Write it whole, or not at all."""
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{path.name}.{os.getpid()}")
        aside.write_bytes(content)
        aside.replace(path)
