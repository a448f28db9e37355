"""How much money is at risk at this moment: what every live run may still cost, against the cap of `config.yaml`.

Counted from the ledger alone, in flat columns: without a cloud's SDK and without pydantic, for `ps`.
"""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Any

from launcher.display import money
from launcher.errors import Exit, LaunchError

SECONDS_PER_HOUR = 3600
CENT_USD = Decimal("0.01")
SIGHTED = timedelta(hours=1)
"""How long a machine that no run here accounts for counts after it was last listed (assumed): nobody watches it."""
OVER = ("gone", "ending", "absent")


@dataclass(frozen=True, kw_only=True)
class Exposed:
    """One thing that may still cost money: a run of this ledger, or a machine of ours that no run of it knows."""

    name: str
    what: str
    """Its state, in a word or two."""
    usd: Decimal
    """The most that it may still cost: its budget less what it has spent."""
    is_run: bool = True
    is_maybe: bool = False
    """A create call of it has no answer yet."""


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """All of it, dearest first, and the cap; None: none is set."""

    parts: tuple[Exposed, ...]
    cap_usd: Decimal | None

    @property
    def usd(self) -> Decimal:
        """What all of it may still cost together."""
        return sum((one.usd for one in self.parts), Decimal(0))

    @property
    def room_usd(self) -> Decimal | None:
        """What a new run may cost beside it, in whole cents; None where there is no cap."""
        if self.cap_usd is None:
            return None
        return max(Decimal(0), self.cap_usd - self.usd).quantize(CENT_USD, rounding=ROUND_DOWN)

    def fits(self, usd: Decimal | None) -> bool:
        """Whether so much more is allowed. What costs nothing always is."""
        return not usd or self.cap_usd is None or self.usd + usd <= self.cap_usd


@dataclass(frozen=True, kw_only=True)
class Reservation:
    """What a run asks for when it is opened: `usd` more may be spent, if the cap allows it.

    `command` would ask again, with `--budget` and an amount behind it ("": nobody chooses the amount); `spent_usd` is
    part of what is typed there.
    """

    usd: Decimal | None
    cap_usd: Decimal | None
    now: datetime
    command: str = "launch"
    spent_usd: Decimal = Decimal(0)


def exposure(db: sqlite3.Connection, cap_usd: Decimal | None, now: datetime) -> Exposure:
    """As the ledger has it: every run that has not ended, or of which a create call has no answer."""
    rows = db.execute(
        "SELECT r.*, (SELECT COUNT(*) FROM intents i WHERE i.run = r.id AND i.closed_at IS NULL) AS open_intents"
        " FROM runs r WHERE r.state != 'TERMINATED'"
        " OR EXISTS (SELECT 1 FROM intents i WHERE i.run = r.id AND i.closed_at IS NULL)"
    ).fetchall()
    found = [*(_of_run(db, row, now) for row in rows), *_strangers(db, now)]
    return Exposure(parts=tuple(sorted(found, key=lambda one: (-one.usd, one.name))), cap_usd=cap_usd)


def _of_run(db: sqlite3.Connection, row: sqlite3.Row, now: datetime) -> Exposed:
    if row["budget_usd"] is None:
        usd = _leases_usd(db, row["id"], now)
    else:
        usd = max(Decimal(0), Decimal(row["budget_usd"]) - Decimal(row["spent_usd"]))
    maybe = bool(row["open_intents"])
    what = "maybe running" if maybe else str(row["state"]).lower()
    return Exposed(name=row["id"], what=what, usd=_up(usd), is_maybe=maybe)


def _leases_usd(db: sqlite3.Connection, run_id: str, now: datetime) -> Decimal:
    """Of a run without a budget: what its machines may cost until their leases end, at the most that was agreed to."""
    rows = db.execute(
        "SELECT i.* FROM intents i JOIN attempts a ON a.run = i.run AND a.number = i.attempt"
        " WHERE i.run=? AND a.gone_at IS NULL",
        (run_id,),
    ).fetchall()
    return sum((_until_usd(row["deadline"], Decimal(row["cap_usd_per_hour"]), now) for row in rows), Decimal(0))


def _until_usd(deadline: str, usd_per_hour: Decimal, now: datetime) -> Decimal:
    seconds = max(0.0, (datetime.fromisoformat(deadline) - now).total_seconds())
    return usd_per_hour * Decimal(seconds) / SECONDS_PER_HOUR


def _strangers(db: sqlite3.Connection, now: datetime) -> Iterator[Exposed]:
    """Machines of ours that were listed lately, of runs that this ledger does not know: another computer's.

    What such a one costs is known as far as its provider told its rate, and its deadline.
    """
    known = {row["id"] for row in db.execute("SELECT id FROM runs")}
    for row in db.execute("SELECT machines, seen_at FROM sightings WHERE seen_at IS NOT NULL AND machines IS NOT NULL"):
        if not timedelta(0) <= now - datetime.fromisoformat(row["seen_at"]) <= SIGHTED:
            continue
        for machine in json.loads(row["machines"]).get("machines", []):
            if machine.get("run_id") in known or machine.get("state") in OVER:
                continue
            name = f"{machine['provider']} {machine['id']}"
            yield Exposed(name=name, what="unknown here", usd=_told_usd(machine, now), is_run=False)


def _told_usd(machine: dict[str, Any], now: datetime) -> Decimal:
    rate, deadline = machine.get("billed_usd_per_hour"), machine.get("deadline")
    return Decimal(0) if rate is None or deadline is None else _up(_until_usd(deadline, Decimal(str(rate)), now))


def _up(usd: Decimal) -> Decimal:
    return usd.quantize(CENT_USD, rounding=ROUND_UP)


def must_fit(found: Exposure, asked: Reservation) -> None:
    """Raises `LaunchError` (exit 3) where the new money does not fit beside what is at risk already."""
    if found.fits(asked.usd):
        return
    taken = f"{money(found.usd)} of it are taken" if found.usd else "nothing of it is taken"
    first = f"this may cost {money(asked.usd)} more, and the exposure cap over all live runs is {money(found.cap_usd)}"
    raise LaunchError(
        "\n".join([f"{first}: {taken}", *lines(found.parts)]),
        code="exposure-cap",
        exit_code=Exit.REFUSED,
        hint=_hint(found, asked),
    )


def lines(parts: Sequence[Exposed]) -> list[str]:
    """One line for each thing that may still cost money."""
    wide = max((len(one.name) for one in parts), default=0)
    states = max((len(one.what) for one in parts), default=0)
    return [f"  {one.name:<{wide}}  {one.what:<{states}}  may still cost {money(one.usd):>6}" for one in parts]


def _hint(found: Exposure, asked: Reservation) -> str:
    """What fits beside it, first; else what would make room."""
    room = found.room_usd or Decimal(0)
    raise_it = "or raise `exposure_cap_usd` in config.yaml"
    if room > 0 and asked.command:
        total = (asked.spent_usd + room).quantize(CENT_USD, rounding=ROUND_DOWN)
        return f"{asked.command} --budget {total} ...     # fits beside it; {raise_it}"
    ends = next((one for one in found.parts if one.is_run and one.usd), None)
    if ends is None or ends.is_maybe or not found.parts:
        return f"launch reap     # ends what should not run; {raise_it}"
    return f"launch stop {ends.name}     # or wait until it ends; {raise_it}"


def note(found: Exposure, usd: Decimal | None) -> str:
    """For an estimate: a sentence where a run of so much would be refused; "" where it would not."""
    if found.fits(usd):
        return ""
    runs = ", ".join(one.name for one in found.parts) or "nothing"
    text = f"the exposure cap of {money(found.cap_usd)} leaves {money(found.room_usd)} beside what runs ({runs})"
    return f"{text}: a launch that may cost {money(usd)} would be refused"
