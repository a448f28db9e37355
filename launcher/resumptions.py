"""How often a run was resumed, and what its row said each time before: its earlier parts, and a way back to them."""

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from launcher.run import Outcome, Part, Run, State

KEPT = (
    "state", "state_at", "budget_usd", "deadline_at", "spent_usd", "outcome", "ending", "receipt", "request", "plan",
    "stop_asked",
)  # fmt: skip
"""Columns of `runs` that a resumption changes."""


@dataclass(frozen=True, kw_only=True)
class Reopening:
    """What a run goes on under: `budget_usd` is all that it may cost, what was spent before included."""

    budget_usd: Decimal
    deadline_at: datetime | None
    request: str
    plan: str


class Resumptions:
    """One table of the ledger's file, by the ledger's own connection; it begins and ends no transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def of(self, run_id: str) -> tuple[Part, ...]:
        """The parts that are over, in order."""
        rows = self._db.execute("SELECT * FROM resumptions WHERE run=? ORDER BY number", (run_id,))
        return tuple(_part(row) for row in rows)

    def last_event(self, run_id: str) -> int:
        """The number of the last event that belongs to an earlier part; 0 where there is none."""
        row = self._db.execute("SELECT MAX(event) AS event FROM resumptions WHERE run=?", (run_id,)).fetchone()
        return int(row["event"] or 0)

    def begin(self, run: Run, new: Reopening, now: datetime) -> None:
        """Put what the row says aside, and let the run stand before its next machine."""
        row = self._db.execute("SELECT * FROM runs WHERE id=?", (run.id,)).fetchone()
        if row is None or row["state"] != State.TERMINATED:
            raise ValueError(f"{run.id} has not ended, and is not resumed")
        event = self._db.execute("SELECT MAX(id) AS id FROM events WHERE run=?", (run.id,)).fetchone()["id"]
        before = json.dumps({name: row[name] for name in KEPT})
        self._db.execute(
            "INSERT INTO resumptions (run, number, at, attempts, event, before) VALUES (?,?,?,?,?,?)",
            (run.id, len(run.parts) + 1, now.isoformat(), len(run.attempts), event or 0, before),
        )
        self._db.execute(
            "UPDATE runs SET state=?, state_at=?, budget_usd=?, deadline_at=?, request=?, plan=?, receipt=NULL,"
            " stop_asked=NULL, outcome=NULL, ending=NULL WHERE id=?",
            (
                State.PROVISIONING,
                now.isoformat(),
                str(new.budget_usd),
                None if new.deadline_at is None else new.deadline_at.isoformat(),
                new.request,
                new.plan,
                run.id,
            ),
        )

    def undo(self, run: Run) -> None:
        """The row as it was before the last resumption, of which nothing came."""
        row = self._db.execute(
            "SELECT * FROM resumptions WHERE run=? ORDER BY number DESC LIMIT 1", (run.id,)
        ).fetchone()
        before = json.loads(row["before"])
        settings = ", ".join(f"{name}=?" for name in KEPT)
        self._db.execute(
            f"UPDATE runs SET {settings} WHERE id=?",  # noqa: S608 - names of our own
            (*(before[name] for name in KEPT), run.id),
        )
        self._db.execute("DELETE FROM resumptions WHERE run=? AND number=?", (run.id, row["number"]))


def _part(row: sqlite3.Row) -> Part:
    before: dict[str, Any] = json.loads(row["before"])
    ending = json.loads(before["ending"] or "{}")
    return Part(
        resumed_at=datetime.fromisoformat(row["at"]),
        budget_usd=None if before["budget_usd"] is None else Decimal(before["budget_usd"]),
        spent_usd=Decimal(before["spent_usd"]),
        attempts=row["attempts"],
        outcome=Outcome(before["outcome"] or Outcome.LOST),
        why=str(ending.get("why", "")),
    )
