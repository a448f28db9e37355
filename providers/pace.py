"""Keeps all processes of ours on this computer to a cloud's request limits, through one small locked file."""

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from providers.base import Clock, Throttled

FURTHEST_SECONDS = 900.0
"""A turn that lies further ahead than this was written by a clock that has been set back since."""


@dataclass(frozen=True, kw_only=True)
class Limit:
    """One request in so many seconds, with so many at once after a pause."""

    seconds: float
    burst: int = 1


class Pace:
    """Turns of several kinds of request; each kind has a limit of its own, and a request may need turns of several."""

    def __init__(self, file: Path, limits: Mapping[str, Limit], now: Clock) -> None:
        self._file, self._limits, self._now = file, limits, now
        self._own: dict[str, float] = {}

    def turn(self, *kinds: str, most_seconds: float) -> float:
        """Take a turn of all these kinds; how long to wait for it.

        Raises `Throttled`, with the turn not taken, where that would be longer than `most_seconds`.
        """
        with self._held() as turns:
            now = self._now().timestamp()
            wait = max(self._wait(turns, kind, now) for kind in kinds)
            if wait > most_seconds:
                text = f"our own pace: the next such request may be sent in {wait:.0f} s"
                raise Throttled(text, code="pace", wait_seconds=wait)
            for kind in kinds:  # each counts from when it will be sent, which the slowest kind says
                turns[kind] = max(self._empty_at(turns, kind, now), now + wait) + self._limits[kind].seconds
        return wait

    def hold(self, kind: str, seconds: float) -> None:
        """The cloud itself said that nothing of this kind is welcome for so long."""
        with self._held() as turns:
            limit, now = self._limits[kind], self._now().timestamp()
            ahead = (limit.burst - 1) * limit.seconds
            turns[kind] = max(self._empty_at(turns, kind, now), now + min(seconds, FURTHEST_SECONDS) + ahead)

    def _wait(self, turns: Mapping[str, float], kind: str, now: float) -> float:
        """A bucket that leaks."""
        limit = self._limits[kind]
        return max(0.0, self._empty_at(turns, kind, now) - (limit.burst - 1) * limit.seconds - now)

    def _empty_at(self, turns: Mapping[str, float], kind: str, now: float) -> float:
        """When the bucket will be empty; a time that a clock wrote which has been set back since counts as past."""
        limit, empty_at = self._limits[kind], turns.get(kind, 0.0)
        return 0.0 if empty_at - now > FURTHEST_SECONDS + limit.burst * limit.seconds else empty_at

    @contextlib.contextmanager
    def _held(self) -> Iterator[dict[str, float]]:
        """The turns, held against all others; on a disk that does not let us write each process keeps its own pace."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            opened = self._file.open("a+", encoding="ascii")
        except OSError:
            yield self._own
            return
        with opened as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            turns = _parsed(file.read())
            yield turns
            file.seek(0)
            file.truncate()
            file.write(json.dumps(turns))
            file.flush()


def _parsed(text: str) -> dict[str, float]:
    try:
        found = json.loads(text or "{}")
        return {str(kind): float(at) for kind, at in found.items()}
    except (ValueError, TypeError, AttributeError):
        return {}  # half a file, by a process that died: nobody is harmed by an early turn
