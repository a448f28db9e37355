"""Forecast against outcome of every machine of every settled run, phase by phase: two flat tables of the ledger's file.

Read without pydantic: `launch history` must start fast. What happened stands here once more beside `attempts`, because
programs of another version write and read those while this is only ever added to.
"""

import json
import sqlite3
from dataclasses import astuple, dataclass, fields, replace
from decimal import Decimal
from typing import Any

from launcher.measured import Measured
from launcher.run import Attempt, Outcome, Run
from launcher.transaction import transaction
from pricing.estimate import PHASES
from pricing.interval import Dollars, Interval
from pricing.memory import fit
from pricing.workload import Workload

LEAST_SHARE = 0.25
"""Of the planned steps that a machine must have run, for its pace to stand for all of them (assumed)."""
GUEST_PHASES = ("install", "model", "train", "evaluate")
NOT_TORCHS = ("allocator", "context", "program")
"""Parts of the predicted memory that the peak which torch tells does not hold."""


@dataclass(frozen=True, kw_only=True)
class PhaseRecord:
    """One phase of one machine. `factor`: what own runs had multiplied the estimate by.

    `whole_seconds` is what the whole phase takes by what was measured here: as `actual_seconds` where it ran from
    beginning to end, None where it was cut off.
    """

    name: str
    planned_low_seconds: float
    planned_seconds: float
    planned_high_seconds: float
    planned_usd: str
    factor: float
    actual_seconds: float | None
    whole_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class AttemptRecord:
    """One machine: what was planned of it, and what came of it. VRAM is torch's peak, tokens a second are training's.

    `micro_batch` is the planned one; where the machine's memory did not hold it, `workload` has the one that ran, and
    the planned memory is of that. `finished`: the job succeeded on it. Of the `steps` of the whole training
    `first_step` to `last_step` ran here. `offer` and `workload` are JSON, so that today's estimator can say again what
    it thinks of them.
    """

    run: str
    attempt: int
    had_machine: bool
    finished: bool
    started_at: str
    provider: str
    instance_type: str
    market: str
    gpu: str
    model: str
    parameters: int
    method: str
    max_length: int
    micro_batch: int
    planned_low_usd: str
    planned_usd: str
    planned_high_usd: str
    billed_usd: str
    planned_low_seconds: float
    planned_seconds: float
    planned_high_seconds: float
    actual_seconds: float
    planned_low_tokens_per_second: float
    planned_tokens_per_second: float
    planned_high_tokens_per_second: float
    tokens_per_second: float | None
    planned_vram_gib: float
    vram_gib: float | None
    steps: int | None
    first_step: int | None
    last_step: int | None
    step_seconds: float | None
    offer: str
    workload: str
    phases: tuple[PhaseRecord, ...] = ()

    @property
    def seconds(self) -> Interval:
        """The forecast of the machine's whole life."""
        return Interval(low=self.planned_low_seconds, expected=self.planned_seconds, high=self.planned_high_seconds)

    @property
    def usd(self) -> Dollars:
        """The forecast of its whole bill."""
        return Dollars(
            low_usd=Decimal(self.planned_low_usd),
            expected_usd=Decimal(self.planned_usd),
            high_usd=Decimal(self.planned_high_usd),
        )


COLUMNS = tuple(one.name for one in fields(AttemptRecord) if one.name != "phases")
PHASE_COLUMNS = tuple(one.name for one in fields(PhaseRecord))


class AttemptRecords:
    """The two tables, by the ledger's own connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def keep(self, records: tuple[AttemptRecord, ...]) -> None:
        """Write them down, all or none; what is there of the same machine is replaced."""
        with transaction(self._db) as db:
            for one in records:
                marks = ",".join("?" * len(COLUMNS))
                values = [getattr(one, name) for name in COLUMNS]
                db.execute(
                    f"INSERT OR REPLACE INTO attempt_records ({','.join(COLUMNS)}) VALUES ({marks})",  # noqa: S608 - names of our own
                    values,
                )
                marks = ",".join("?" * (len(PHASE_COLUMNS) + 2))
                db.executemany(
                    f"INSERT OR REPLACE INTO phase_records (run,attempt,{','.join(PHASE_COLUMNS)}) VALUES ({marks})",  # noqa: S608 - as above
                    [(one.run, one.attempt, *astuple(phase)) for phase in one.phases],
                )

    def all(self, newest: int | None = None) -> tuple[AttemptRecord, ...]:
        """Every machine's record in order of time; of the `newest` runs alone where that is given."""
        rows = self._db.execute(
            "SELECT * FROM attempt_records WHERE run IN (SELECT id FROM runs WHERE state='TERMINATED'"
            " ORDER BY created_at DESC LIMIT ?) ORDER BY started_at, run, attempt",
            (-1 if newest is None else newest,),
        ).fetchall()
        phases: dict[tuple[str, int], list[PhaseRecord]] = {}
        for row in self._db.execute("SELECT * FROM phase_records"):
            phases.setdefault((row["run"], row["attempt"]), []).append(_phase(row))
        return tuple(_record(row, phases.get((row["run"], row["attempt"]), [])) for row in rows)

    def lacking(self) -> tuple[str, ...]:
        """Settled runs with a machine of which nothing stands here: a program of an older version settled them."""
        rows = self._db.execute(
            "SELECT DISTINCT a.run FROM attempts a JOIN runs r ON r.id = a.run WHERE r.receipt IS NOT NULL"
            " AND NOT EXISTS (SELECT 1 FROM attempt_records o WHERE o.run = a.run AND o.attempt = a.number)"
        )
        return tuple(row["run"] for row in rows)


def _phase(row: sqlite3.Row) -> PhaseRecord:
    return PhaseRecord(**{name: row[name] for name in PHASE_COLUMNS})


def _record(row: sqlite3.Row, phases: list[PhaseRecord]) -> AttemptRecord:
    values: dict[str, Any] = {name: row[name] for name in COLUMNS}
    values |= {"had_machine": bool(row["had_machine"]), "finished": bool(row["finished"])}
    in_order = sorted(phases, key=lambda one: PHASES.index(one.name) if one.name in PHASES else len(PHASES))
    return AttemptRecord(**values, phases=tuple(in_order))


# From a run that is over


def records(run: Run, plan: str, billed_usd: dict[int, Decimal]) -> tuple[AttemptRecord, ...]:
    """What each machine of a settled run came to. `plan` as the ledger has it; `billed_usd` by number of attempt."""
    from launcher.codec import load  # pydantic: here for start-up time, reading needs none

    workload = load(Workload, json.dumps(json.loads(plan)["workload"]))  # whatever else that plan holds
    last = max((one.number for one in run.attempts if not one.never_was), default=0)
    succeeded = run.ending is not None and run.ending.outcome is Outcome.SUCCEEDED
    return tuple(
        _of(run.id, one, workload, billed_usd[one.number], finished=succeeded and one.number == last)
        for one in run.attempts
    )


def as_it_ran(load: Workload, measured: Measured | None) -> Workload:
    """The workload with the micro-batch that the machine's memory held."""
    if measured is None or measured.micro_batch is None or measured.accumulation is None:
        return load
    return replace(load, micro_batch=measured.micro_batch, accumulation=measured.accumulation)


def _of(run: str, attempt: Attempt, load: Workload, billed_usd: Decimal, *, finished: bool) -> AttemptRecord:
    from launcher.codec import dump  # as above

    offer, forecast, measured = attempt.offer, attempt.choice.estimate, attempt.measured
    ran = as_it_ran(load, measured)
    parts = forecast.fit.parts if ran == load or offer.gpu is None else fit(ran, offer.gpu).parts
    return AttemptRecord(
        run=run,
        attempt=attempt.number,
        had_machine=not attempt.never_was,
        finished=finished,
        started_at=attempt.started_at.isoformat(),
        provider=offer.provider,
        instance_type=offer.instance_type,
        market=str(offer.market),
        gpu=offer.gpu.name if offer.gpu else "",
        model=load.shape.name,
        parameters=load.shape.parameters,
        method=str(load.method),
        max_length=load.max_length,
        micro_batch=load.micro_batch,
        planned_low_usd=str(forecast.usd.low_usd),
        planned_usd=str(forecast.usd.expected_usd),
        planned_high_usd=str(forecast.usd.high_usd),
        billed_usd=str(billed_usd),
        planned_low_seconds=forecast.seconds.low,
        planned_seconds=forecast.seconds.expected,
        planned_high_seconds=forecast.seconds.high,
        actual_seconds=_lived_seconds(attempt),
        planned_low_tokens_per_second=forecast.tokens_per_second.low,
        planned_tokens_per_second=forecast.tokens_per_second.expected,
        planned_high_tokens_per_second=forecast.tokens_per_second.high,
        tokens_per_second=measured.tokens_per_second if measured else None,
        planned_vram_gib=sum(gib for part, gib in parts if part not in NOT_TORCHS),
        vram_gib=measured.vram_gib if measured else None,
        steps=measured.of if measured else None,
        first_step=measured.first_step if measured else None,
        last_step=measured.last_step if measured else None,
        step_seconds=measured.step_seconds if measured else None,
        offer=dump(offer),
        workload=dump(ran),
        phases=() if attempt.never_was else _phases(attempt, finished=finished),
    )


def _lived_seconds(attempt: Attempt) -> float:
    return 0.0 if attempt.never_was else attempt.seconds(attempt.ended_at or attempt.gone_at or attempt.started_at)


def _phases(attempt: Attempt, *, finished: bool) -> tuple[PhaseRecord, ...]:
    """Of each phase that was planned or that there was; what no phase claims is teardown, as on the receipt."""
    forecast = attempt.choice.estimate
    planned, factors = {one.name: one for one in forecast.phases}, dict(forecast.times.factors)
    seconds = {name: one.seconds for name, one in planned.items()}
    if attempt.whole_training is not None:  # it was planned for the rest; whole is compared with whole
        seconds["train"] = attempt.whole_training
    actual = dict(attempt.phases)
    actual["teardown"] = max(0.0, _lived_seconds(attempt) - sum(actual.values()))
    return tuple(
        PhaseRecord(
            name=name,
            planned_low_seconds=seconds[name].low,
            planned_seconds=seconds[name].expected,
            planned_high_seconds=seconds[name].high,
            planned_usd=str(one.usd.expected_usd),
            factor=factors.get(name, 1.0),
            actual_seconds=actual.get(name),
            whole_seconds=whole_seconds(name, actual, attempt.measured, finished=finished),
        )
        for name, one in planned.items()
    )


def whole_seconds(name: str, actual: dict[str, float], measured: Measured | None, *, finished: bool) -> float | None:
    """What the whole of a phase takes, from one that ran to its end; None where it did not, or began in the middle.

    Training that another machine began, or whose schedule was shortened, is made whole at the pace that was measured.
    """
    seconds = actual.get(name)
    if seconds is None or name in ("boot", "ship"):
        return seconds
    if name in ("install", "model"):
        later = GUEST_PHASES[GUEST_PHASES.index(name) + 1 :]
        return seconds if finished or any(one in actual for one in later) else None
    if not finished or (name == "evaluate" and measured is not None and measured.skipped_steps > 0):
        return None
    return _whole_training(seconds, measured) if name == "train" else seconds


def _whole_training(seconds: float, measured: Measured | None) -> float | None:
    if measured is None or measured.missing_steps == 0:
        return seconds
    if measured.step_seconds is None or measured.share < LEAST_SHARE:
        return None
    return seconds + measured.missing_steps * measured.step_seconds
