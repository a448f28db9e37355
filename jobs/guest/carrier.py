"""Who carries this machine's run: taken by one computer at a time, under a number that only grows."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from typing import Any, Iterator

from .places import GuestError, Run, read_json, write_whole

QUIET_SECONDS = 900.0
"""A carrier that was not heard of for so long may be followed by another computer without being asked: it looks in once
a minute, and may lose its line, or sleep, for some."""
FENCED = "fenced: "
"""How the refusal of a verb begins whose carrier was followed by another."""


def carry(run: Run, place: str, host: str, *, take: bool, carrier: str = "") -> dict[str, Any]:
    """Compare and set: the run is `place`'s if it is its already, nobody's, a quiet one's, or if it is to be taken.

    Who says the number that it was given (`carrier`) is heard, and keeps it as long as nobody has followed it. A place
    that says none (its process died, and the next one holds its lock) gets the next number.
    """
    if not place.isalnum() or len(place) > 64 or len(host) > 255:
        raise GuestError("no name of a computer")
    with _alone(run):
        held, now = read_json(run.carrier), time.monotonic()
        heard = _seconds(held, "heard", now)
        is_quiet = heard is None or heard > QUIET_SECONDS
        is_kept = bool(carrier) and carrier == _name(held)
        is_free = take or is_quiet or held.get("place") is None or (held["place"] == place and not carrier)
        if is_kept:
            held = {**held, "heard": now}
        elif is_free:
            held = {"epoch": _epoch(held) + 1, "place": place, "host": host, "since": now, "heard": now}
        if is_kept or is_free:
            write_whole(run.carrier, json.dumps(held).encode())
        return {
            "granted": is_kept or is_free,
            "epoch": _epoch(held),
            "place": held["place"],
            "host": held["host"],
            "since_seconds": _seconds(held, "since", now) or 0.0,
            "heard_seconds": _seconds(held, "heard", now) or 0.0,
        }


def must_carry(run: Run, carrier: str) -> None:
    """Only who carries the run may go on with a verb, and is heard with it. "": a caller that was given no number."""
    if not carrier:
        return
    with _alone(run):
        held = read_json(run.carrier)
        if held and _name(held) != carrier:
            raise GuestError(f"{FENCED}{held.get('host')} carries this run now")
        if held:
            write_whole(run.carrier, json.dumps({**held, "heard": time.monotonic()}).encode())


def _name(held: dict[str, Any]) -> str:
    return f"{_epoch(held)}.{held.get('place')}"


def _epoch(held: dict[str, Any]) -> int:
    epoch = held.get("epoch")
    return epoch if isinstance(epoch, int) else 0


def _seconds(held: dict[str, Any], what: str, now: float) -> float | None:
    """How long ago; None where nobody knows, as after a restart, which begins the monotonic clock anew."""
    at = held.get(what)
    return now - at if isinstance(at, (int, float)) and at <= now else None


@contextlib.contextmanager
def _alone(run: Run) -> Iterator[None]:
    """One verb at a time, of however many connections."""
    os.makedirs(run.path, exist_ok=True)
    file = os.open(run.carrier + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
