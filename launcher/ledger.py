"""The books: runs, attempts, intents, events and refusals in one SQLite file that survives the death of any process.

Every call that can cost money has a durable intent before it (`open_intent`), and an answer after it (`close_intent`).
WAL with `synchronous=FULL`: what was written before a call is on the disk when the call is made.
"""

import json
import sqlite3
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from launcher import older
from launcher.attempt_records import AttemptRecords
from launcher.codec import dump, dump_beside, load
from launcher.errors import Exit, LaunchError
from launcher.exposure import Exposure, Reservation, exposure, must_fit
from launcher.records import RECORDS, RunRecord, pick, record
from launcher.resumptions import Reopening, Resumptions
from launcher.run import NEXT, Attempt, Ending, Run, State
from launcher.schema import SCHEMA, TABLES
from launcher.sightings import Sightings
from launcher.transaction import transaction
from pricing.plan import Choice
from providers.base import Instance


@dataclass(frozen=True, kw_only=True)
class Intent:
    """A call that can cost money, written down before it was made."""

    id: int
    run: str
    attempt: int
    kind: str
    nonce: str
    opened_at: datetime


@dataclass(frozen=True, kw_only=True)
class Told:
    """One event as it was shown: its JSON document, and its words."""

    event: str
    document: str
    text: str
    number: int = 0


class Ledger:
    """One connection for one thread. Every method is one transaction, durable when it returns.

    A statement that stands alone is a transaction by itself; `transaction` is for those that belong together.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA:
            raise LaunchError(
                f"the ledger {path} was written by a newer version (schema {version}, this one knows {SCHEMA})",
                code="ledger-newer",
                exit_code=Exit.USAGE,
                hint="pipx upgrade gpu-launch",
            )
        if version < SCHEMA:
            self._db.executescript(f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version={SCHEMA}; COMMIT;")
        path.chmod(0o600)
        self.sightings = Sightings(self._db)
        """What was seen last of the market and of machines: shared by all our processes, and never missed."""
        self.records = AttemptRecords(self._db)
        """Forecast against outcome, machine by machine."""
        self.resumptions = Resumptions(self._db)
        """The earlier parts of runs that were resumed."""
        self._choices: dict[tuple[str, int], tuple[Choice, str]] = {}
        """What each attempt has rented, as JSON: most of an attempt, and never another."""
        self._instances: dict[tuple[str, int], tuple[Instance, str]] = {}
        """Its machine as it was seen last, as JSON: it stands in two columns, and seldom changes."""

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    # The run

    def open_run(self, run: Run, *, request: str, plan: str, reservation: Reservation | None = None) -> None:
        """Write a new run down. Raises `LaunchError` where what it reserves does not fit beside what is at risk.

        Counted and written in one transaction: of two launches at the same moment the second sees the first.
        """
        with transaction(self._db) as db:
            self._must_fit(reservation)
            db.execute(
                "INSERT INTO runs (id, name, created_at, budget_usd, deadline_at, out_dir, state, state_at, request,"
                " plan) VALUES (?,?,?,?,?,?,?,?,?,?)",
                (
                    run.id,
                    run.name,
                    _text(run.created_at),
                    None if run.budget_usd is None else str(run.budget_usd),
                    _text(run.deadline_at),
                    str(run.out_dir),
                    run.state,
                    _text(run.created_at),
                    request,
                    plan,
                ),
            )

    def advance(self, run: Run, state: State, now: datetime) -> None:
        """Step on; a step that `NEXT` does not know is a bug."""
        if state not in NEXT[run.state]:
            raise ValueError(f"{run.id}: {run.state} cannot become {state}")
        self._db.execute("UPDATE runs SET state=?, state_at=? WHERE id=?", (state, _text(now), run.id))
        run.state = state

    def end(self, run: Run, ending: Ending, now: datetime) -> None:
        """Write down how the work ended, and leave through TERMINATING, in one step."""
        self._db.execute(
            "UPDATE runs SET state=?, state_at=?, outcome=?, ending=? WHERE id=?",
            (State.TERMINATING, _text(now), ending.outcome, dump(ending), run.id),
        )
        run.state, run.ending = State.TERMINATING, ending

    def note_ending(self, run: Run, ending: Ending) -> None:
        """Keep how the job ended while its results are still being pulled."""
        self._db.execute("UPDATE runs SET outcome=?, ending=? WHERE id=?", (ending.outcome, dump(ending), run.id))
        run.ending = ending

    def reopen(self, run: Run, new: Reopening, reservation: Reservation, spent_usd: Decimal, now: datetime) -> None:
        """By `launch resume`: what the run came to becomes a part of it, and it goes on: one step. Raises as that."""
        with transaction(self._db) as db:
            self._must_fit(reservation)
            db.execute("UPDATE runs SET spent_usd=? WHERE id=?", (str(spent_usd), run.id))
            self.resumptions.begin(run, new, now)

    def undo_reopening(self, run: Run) -> None:
        """Nothing came of it: the run stands as it stood before."""
        with transaction(self._db):
            self.resumptions.undo(run)

    def exposure(self, cap_usd: Decimal | None, now: datetime) -> Exposure:
        """What all live runs together may still cost."""
        return exposure(self._db, cap_usd, now)

    def _must_fit(self, reservation: Reservation | None) -> None:
        if reservation is not None and reservation.cap_usd is not None:
            must_fit(exposure(self._db, reservation.cap_usd, reservation.now), reservation)

    def note_plan(self, run: Run, plan: str) -> None:
        """The choices as they are now, after a new look at the market."""
        self._db.execute("UPDATE runs SET plan=? WHERE id=?", (plan, run.id))

    def note_spent(self, run: Run, spent_usd: Decimal) -> None:
        """What it has cost so far, for `ps`."""
        self._db.execute("UPDATE runs SET spent_usd=? WHERE id=?", (str(spent_usd), run.id))

    def note_checkpoint(self, run: Run, name: str) -> None:
        """The last checkpoint that lies verified on this disk."""
        self._db.execute("UPDATE runs SET checkpoint=? WHERE id=?", (name, run.id))

    def checkpoint(self, run_id: str) -> str | None:
        """See `note_checkpoint`."""
        name: str | None = self._one("SELECT checkpoint FROM runs WHERE id=?", run_id)[0]
        return name

    def note_receipt(self, run: Run, document: str) -> None:
        """Keep the receipt."""
        self._db.execute("UPDATE runs SET receipt=? WHERE id=?", (document, run.id))

    def ask_stop(self, run_id: str, how: str) -> None:
        """Ask whoever carries the run to stop it: "save" or "now"."""
        self._db.execute("UPDATE runs SET stop_asked=? WHERE id=?", (how, run_id))

    def stop_asked(self, run_id: str) -> str | None:
        """See `ask_stop`."""
        how: str | None = self._one("SELECT stop_asked FROM runs WHERE id=?", run_id)[0]
        return how

    def request(self, run_id: str) -> str:
        """The request as it was written by `open_run`."""
        return str(self._one("SELECT request FROM runs WHERE id=?", run_id)[0])

    def plan(self, run_id: str) -> str:
        """The plan as it was last written."""
        return older.plan(str(self._one("SELECT plan FROM runs WHERE id=?", run_id)[0]))

    # Attempts and intents

    def open_attempt(self, run: Run, attempt: Attempt, parameters_sha256: str) -> int:
        """Write an attempt and the intent of its create call, in one step; the intent's id."""
        offer = attempt.offer
        with transaction(self._db) as db:
            db.execute(
                "INSERT INTO attempts (run, number, provider, region, zone, instance_type, market, started_at, value)"
                " VALUES (?,?,?,?,?,?,?,?,?)",
                (
                    run.id,
                    attempt.number,
                    offer.provider,
                    offer.region,
                    offer.zone,
                    offer.instance_type,
                    offer.market,
                    _text(attempt.started_at),
                    dump(attempt),
                ),
            )
            cursor = db.execute(
                "INSERT INTO intents (run, attempt, kind, nonce, parameters_sha256, deadline, cap_usd_per_hour,"
                " opened_at) VALUES (?,?,?,?,?,?,?,?)",
                (
                    run.id,
                    attempt.number,
                    "create",
                    attempt.nonce,
                    parameters_sha256,
                    _text(attempt.deadline),
                    str(attempt.choice.worst_usd_per_hour),
                    _text(attempt.started_at),
                ),
            )
        run.attempts.append(attempt)
        return int(cursor.lastrowid or 0)

    def close_intent(self, run_id: str, attempt: int, answer: str, now: datetime) -> None:
        """The call's answer is known: "created", "refused …", "absent", "terminated"."""
        self._db.execute(
            "UPDATE intents SET closed_at=?, answer=? WHERE run=? AND attempt=? AND closed_at IS NULL",
            (_text(now), answer, run_id, attempt),
        )

    def open_intents(self, run_id: str) -> tuple[Intent, ...]:
        """The calls whose answer nobody knows."""
        rows = self._db.execute("SELECT * FROM intents WHERE run=? AND closed_at IS NULL ORDER BY id", (run_id,))
        return tuple(_intent(row) for row in rows)

    def closed_in_doubt(self, since: datetime) -> tuple[Intent, ...]:
        """The calls that never got an answer, and of which nothing was found over the settle window, lately."""
        rows = self._db.execute(
            "SELECT * FROM intents WHERE answer='absent' AND closed_at>=? ORDER BY id", (_text(since),)
        )
        return tuple(_intent(row) for row in rows)

    def left_open(self) -> tuple[Intent, ...]:
        """Open calls of runs that are over: nobody carries those any more. No process of today leaves one."""
        rows = self._db.execute(
            "SELECT i.* FROM intents i JOIN runs r ON r.id=i.run"
            " WHERE i.closed_at IS NULL AND r.state='TERMINATED' ORDER BY i.id"
        )
        return tuple(_intent(row) for row in rows)

    def save_attempt(self, run: Run, attempt: Attempt) -> None:
        """Write an attempt as it stands now."""
        instance = attempt.instance
        text = None if instance is None else self._instance_text(run, attempt, instance)
        self._db.execute(
            "UPDATE attempts SET value=?, instance=?, instance_id=?, gone_at=? WHERE run=? AND number=?",
            (
                self._attempt_text(run, attempt, text),
                text,
                None if instance is None else instance.id,
                _text(attempt.gone_at),
                run.id,
                attempt.number,
            ),
        )

    def save_answered(self, run: Run, attempt: Attempt, answer: str, now: datetime) -> None:
        """Write an attempt and the answer of its create call, in one step: after a death there are both, or neither."""
        with transaction(self._db):
            self.save_attempt(run, attempt)
            self.close_intent(run.id, attempt.number, answer, now)

    def _instance_text(self, run: Run, attempt: Attempt, instance: Instance) -> str:
        known = self._instances.get((run.id, attempt.number))
        if known is None or known[0] is not instance:
            known = self._instances[run.id, attempt.number] = (instance, dump(instance))
        return known[1]

    def _attempt_text(self, run: Run, attempt: Attempt, instance: str | None) -> str:
        known = self._choices.get((run.id, attempt.number))
        if known is None or known[0] is not attempt.choice:
            known = self._choices[run.id, attempt.number] = (attempt.choice, dump(attempt.choice))
        return dump_beside(attempt, {"choice": known[1], "instance": instance or "null"})

    # The market

    def note_refusal(self, pool: tuple[str, ...], until: datetime, reason: str) -> None:
        """Leave a pool alone for a while, in all our processes."""
        self._db.execute("INSERT OR REPLACE INTO refusals VALUES (?,?,?)", (json.dumps(pool), _text(until), reason))

    def refused_until(self, pool: tuple[str, ...], now: datetime) -> datetime | None:
        """Until when the pool is to be left alone; None: it may be asked now."""
        row = self._db.execute("SELECT until FROM refusals WHERE pool=?", (json.dumps(pool),)).fetchone()
        until = None if row is None else datetime.fromisoformat(row["until"])
        return until if until is not None and until > now else None

    def note_prices(self, choices: tuple[Choice, ...]) -> None:
        """Keep the prices that a plan was made with."""
        rows = [(c.offer.id, str(c.offer.usd_per_hour), _text(c.offer.seen_at), c.offer.source) for c in choices]
        with transaction(self._db) as db:
            db.executemany("INSERT OR IGNORE INTO prices VALUES (?,?,?,?)", rows)

    # Events

    def note_event(self, run_id: str, at: datetime, told: Told) -> None:
        """Append one event."""
        self._db.execute(
            "INSERT INTO events (run, at, event, document, text) VALUES (?,?,?,?,?)",
            (run_id, _text(at), told.event, told.document, told.text),
        )

    def events(self, run_id: str, after: int = 0) -> list[Told]:
        """What was told of a run, in order; those after number `after`."""
        rows = self._db.execute("SELECT * FROM events WHERE run=? AND id>? ORDER BY id", (run_id, after))
        return [Told(event=row["event"], document=row["document"], text=row["text"], number=row["id"]) for row in rows]

    # Reading

    def runs(self) -> list[RunRecord]:
        """All runs, the latest first."""
        rows = self._db.execute(RECORDS + " ORDER BY r.created_at DESC, r.rowid DESC")
        return [record(row) for row in rows]

    def unfinished(self) -> list[RunRecord]:
        """Runs that may have a machine, the oldest first."""
        rows = self._db.execute(RECORDS + " WHERE r.state != 'TERMINATED' ORDER BY r.created_at")
        return [record(row) for row in rows]

    def latest(self) -> datetime | None:
        """The last instant that the books know while a run is open: time has not gone back since; None: none is."""
        at = self._db.execute(
            "SELECT max(at) FROM (SELECT max(state_at) AS at FROM runs UNION ALL SELECT max(asked_at) FROM sightings)"
            " WHERE EXISTS (SELECT 1 FROM runs WHERE state != 'TERMINATED')"
        ).fetchone()[0]
        return None if at is None else datetime.fromisoformat(at)

    def find(self, reference: str | None) -> RunRecord:
        """The run of an id, a unique prefix, a name (its latest run), or the latest of all."""
        return pick(reference, self.runs())

    def load(self, run_id: str) -> Run:
        """The run with all its attempts."""
        row = self._one("SELECT * FROM runs WHERE id=?", run_id)
        attempts = self._db.execute("SELECT value FROM attempts WHERE run=? ORDER BY number", (run_id,))
        return Run(
            id=row["id"],
            name=row["name"],
            created_at=datetime.fromisoformat(row["created_at"]),
            budget_usd=None if row["budget_usd"] is None else Decimal(row["budget_usd"]),
            deadline_at=None if row["deadline_at"] is None else datetime.fromisoformat(row["deadline_at"]),
            out_dir=Path(row["out_dir"]),
            state=State(row["state"]),
            ending=None if row["ending"] is None else load(Ending, row["ending"]),
            attempts=[load(Attempt, older.attempt(one["value"])) for one in attempts],
            parts=self.resumptions.of(run_id),
        )

    def _one(self, query: str, run_id: str) -> sqlite3.Row:
        row: sqlite3.Row | None = self._db.execute(query, (run_id,)).fetchone()
        if row is None:
            raise KeyError(run_id)
        return row


def _intent(row: sqlite3.Row) -> Intent:
    return Intent(
        id=row["id"],
        run=row["run"],
        attempt=row["attempt"],
        kind=row["kind"],
        nonce=row["nonce"],
        opened_at=datetime.fromisoformat(row["opened_at"]),
    )


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()
