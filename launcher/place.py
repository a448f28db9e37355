"""Which computer this is, and which one said last that it carries a run: a sign of life in the run's own folder.

A lock of the kernel is the stronger word, and does not reach another computer: a state folder may be synchronised, put
back from a backup there, or lie on a disk of the network.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

FRESH_SECONDS = 900.0
"""How long a sign of life counts: it is given once a minute, and a laptop may sleep, or lose its line, for some. What
the machine itself allows another computer is the same (`jobs.guest.carrier.QUIET_SECONDS`)."""
MACHINE_IDS = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
SIGN = "carrier.json"


@dataclass(frozen=True, kw_only=True)
class Place:
    """A state folder on a computer: no two that could carry a run without seeing each other's lock are the same."""

    id: str
    host: str
    """For people."""


@dataclass(frozen=True, kw_only=True)
class Sign:
    """Somebody carries the run."""

    place: str
    host: str
    since: datetime
    heard_at: datetime


def here(home: Path) -> Place:
    """This one. Not from anything in `home`, which may be a copy."""
    host = os.uname().nodename
    parts = (_machine_id(), host, str(home.resolve()))
    return Place(id=hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16], host=host)


def _machine_id() -> str:
    for path in MACHINE_IDS:
        with suppress(OSError):
            return path.read_text().strip()
    import uuid  # here for start-up time: only where the system names no machine (macOS)

    return str(uuid.getnode())


def give(run_folder: Path, place: Place, since: datetime, now: datetime) -> None:
    """Say that this place carries the run. Not synced to the disk: it says nothing any more after a loss of power."""
    sign = {"place": place.id, "host": place.host, "since": since.isoformat(), "heard_at": now.isoformat()}
    aside = run_folder / f"{SIGN}.{os.getpid()}"
    with suppress(OSError):  # a full disk must not keep anybody from what is being done
        aside.write_bytes(json.dumps(sign).encode())
        aside.replace(run_folder / SIGN)


def take_down(run_folder: Path, place: Place) -> None:
    """Whoever wants to may carry it now."""
    sign = read(run_folder)
    if sign is not None and sign.place == place.id:
        with suppress(OSError):
            (run_folder / SIGN).unlink(missing_ok=True)


def elsewhere(run_folder: Path, place: Place, now: datetime) -> Sign | None:
    """Who carries the run on another computer, by a sign that still counts; None: nobody that we know of."""
    sign = read(run_folder)
    if sign is None or sign.place == place.id:
        return None
    return sign if abs((now - sign.heard_at).total_seconds()) < FRESH_SECONDS else None


def read(run_folder: Path) -> Sign | None:
    """The last sign; None where there is none that can be read."""
    try:
        found = json.loads((run_folder / SIGN).read_text(encoding="utf-8"))
        instants = {name: datetime.fromisoformat(found[name]) for name in ("since", "heard_at")}
        return Sign(place=str(found["place"]), host=str(found["host"]), **instants)
    except (OSError, ValueError, KeyError, TypeError):
        return None
