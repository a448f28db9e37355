"""Runs as lists show them: flat rows of the ledger, read without any cloud's SDK and without pydantic."""

import sqlite3
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from launcher.errors import Exit, LaunchError
from launcher.run import Outcome, State


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run as `ps` and `show` list it: flat columns only, no SDK and no pydantic to read them."""

    id: str
    name: str
    created_at: datetime
    state: State
    outcome: Outcome | None
    budget_usd: Decimal | None
    spent_usd: Decimal
    provider: str
    region: str
    zone: str
    instance_type: str
    market: str
    instance_id: str
    out_dir: Path
    receipt_json: str | None
    open_intents: int
    maybe_usd_per_hour: Decimal | None
    resumed: int = 0
    """How often `launch resume` gave it another budget."""


RECORDS = """
SELECT r.*, a.provider, a.region, a.zone, a.instance_type, a.market, a.instance_id,
       (SELECT COUNT(*) FROM intents i WHERE i.run = r.id AND i.closed_at IS NULL) AS open_intents,
       (SELECT MAX(CAST(i.cap_usd_per_hour AS REAL)) FROM intents i WHERE i.run = r.id AND i.closed_at IS NULL)
           AS maybe_usd_per_hour,
       (SELECT COUNT(*) FROM resumptions p WHERE p.run = r.id) AS resumed
FROM runs r LEFT JOIN attempts a
     ON a.run = r.id AND a.number = (SELECT MAX(number) FROM attempts WHERE run = r.id)
"""


def record(row: sqlite3.Row) -> RunRecord:
    """One row of `RECORDS`."""
    return RunRecord(
        id=row["id"],
        name=row["name"],
        created_at=datetime.fromisoformat(row["created_at"]),
        state=State(row["state"]),
        outcome=None if row["outcome"] is None else Outcome(row["outcome"]),
        budget_usd=None if row["budget_usd"] is None else Decimal(row["budget_usd"]),
        spent_usd=Decimal(row["spent_usd"]),
        provider=row["provider"] or "",
        region=row["region"] or "",
        zone=row["zone"] or "",
        instance_type=row["instance_type"] or "",
        market=row["market"] or "",
        instance_id=row["instance_id"] or "",
        out_dir=Path(row["out_dir"]),
        receipt_json=row["receipt"],
        open_intents=row["open_intents"],
        maybe_usd_per_hour=None if row["maybe_usd_per_hour"] is None else Decimal(str(row["maybe_usd_per_hour"])),
        resumed=row["resumed"],
    )


def pick(reference: str | None, runs: list[RunRecord]) -> RunRecord:
    """The run of an id, a name (its latest run), a unique prefix, or the latest of all."""
    if reference is None:
        found = runs[:1]
    else:
        found = [one for one in runs if one.id == reference]
        found = found or [one for one in runs if one.name == reference][:1]
        found = found or [one for one in runs if one.id.startswith(reference)]
    if len(found) == 1:
        return found[0]
    raise _not_one(reference, runs, found)


def _not_one(reference: str | None, runs: list[RunRecord], found: list[RunRecord]) -> LaunchError:
    if reference is None:
        return LaunchError(
            "there is no run yet", code="no-run", exit_code=Exit.USAGE, hint="launch --budget 5 --gpu a10g"
        )
    if found:
        names = ", ".join(one.id for one in found[:5])
        return LaunchError(
            f"{reference!r} could be {len(found)} runs: {names}", code="ambiguous-run", exit_code=Exit.USAGE,
            hint="give more letters of the id",
        )  # fmt: skip
    latest = f"; the latest is {runs[0].id}" if runs else ""
    return LaunchError(f"no run {reference!r}{latest}", code="no-run", exit_code=Exit.USAGE, hint="launch ps")
