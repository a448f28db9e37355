"""Runpod's books: what each pod was billed, in the buckets of the window that was asked for."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from tests.cloud.clock import Clock
from tests.cloud.http_cloud import Refused
from tests.cloud.meter import Bill, Metered, bill
from tests.cloud.runpod_life import Pod

BUCKETS = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
"""Of the sizes that there are, those that a launcher could want."""
UNTOLD = timedelta(days=30)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Window:
    """What a query asks for, aligned to its buckets as the service aligns it."""

    size: str
    start: datetime
    end: datetime

    def buckets(self) -> Iterator[tuple[datetime, datetime]]:
        """Each from its begin to its end."""
        at = self.start
        while at < self.end:
            yield at, at + BUCKETS[self.size]
            at += BUCKETS[self.size]


def window(query: Mapping[str, str], now: datetime) -> Window:
    """`lastN` buckets with the one in progress, or from `startTime` to `endTime`; never both."""
    size = query.get("bucketSize", "day")
    if size not in BUCKETS:
        raise Refused("", f"bucketSize {size} is not one of hour, day")
    if "lastN" in query:
        if "startTime" in query or "endTime" in query:
            raise Refused("", "lastN and startTime/endTime are mutually exclusive")
        if not query["lastN"].isdecimal() or not int(query["lastN"]):
            raise Refused("", "lastN must be at least 1")
        end = _down(now, size) + BUCKETS[size]
        return Window(size=size, start=end - int(query["lastN"]) * BUCKETS[size], end=end)
    start, end = _instant(query, "startTime", now - UNTOLD), _instant(query, "endTime", now)
    if start >= end:
        raise Refused("", "startTime must be before endTime")
    return Window(size=size, start=_down(start, size), end=_up(end, size))


def records(pods: Iterable[Pod], asked: Window, clock: Clock) -> list[dict[str, object]]:
    """One for each pod and bucket in which it was billed."""
    origin, now, found = clock.at(0), clock.seconds(), []
    for pod in pods:
        for start, end in asked.buckets():
            since, until = ((one - origin).total_seconds() for one in (start, end))
            before, after = (_until(pod.metered, min(at, now)) for at in (since, until))
            total, gpu, disk = (
                float(after.total_usd - before.total_usd),
                float(after.compute_usd - before.compute_usd),
                float(after.disk_usd - before.disk_usd),
            )
            if total:
                times = {"startTime": start.isoformat(), "endTime": end.isoformat(), "podId": pod.id}
                found.append({**times, "totalAmount": total, "gpuAmount": gpu, "cpuAmount": 0.0, "diskAmount": disk})
    return found


def _until(machine: Metered, at: float) -> Bill:
    """What it had cost at that instant."""
    at = max(at, machine.created)
    ended = at if machine.ended is None else min(machine.ended, at)
    off: list[list[float | None]] = [
        [since, at if to is None else min(to, at)] for since, to in machine.off if since is not None and since < at
    ]
    return bill(replace(machine, ended=ended, off=off), at)


def _instant(query: Mapping[str, str], key: str, untold: datetime) -> datetime:
    if key not in query:
        return untold
    try:
        found = datetime.fromisoformat(query[key])
    except ValueError as error:
        raise Refused("", f"{key} is no date-time") from error
    if found.tzinfo is None:
        raise Refused("", f"{key} has no zone")
    return found


def _down(at: datetime, size: str) -> datetime:
    return at - (at - EPOCH) % BUCKETS[size]


def _up(at: datetime, size: str) -> datetime:
    return _down(at, size) if _down(at, size) == at else _down(at, size) + BUCKETS[size]
