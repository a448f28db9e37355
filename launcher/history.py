"""Forecast against outcome of the runs that are over: how good the estimates were, and what the next one learns."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from statistics import median

from launcher import corrected
from launcher.attempt_records import AttemptRecord, records
from launcher.books import CENT_PART_USD, attempt_usd
from launcher.run import Outcome, Run
from launcher.world import World
from pricing import gpus
from pricing.calibration import Corrections, Finished, learn, path
from pricing.interval import Dollars, Interval

NEWEST_RUNS = 100
"""Runs that are learned from: software and networks change, and an estimate must be quick."""
WHOLE_SHARE = 0.98
"""A run that did less than this part of its steps was shortened, and says nothing about the forecast of all."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One run: its forecast when it began, and what it came to. `left_out` says why it does not count ("": it does).

    Time is that of all its machines together. GiB of memory are torch's peak; None where nothing was measured.
    """

    run: str
    name: str
    at: datetime
    provider: str
    instance_type: str
    market: str
    gpu: str
    model: str
    method: str
    outcome: str
    attempts: int
    planned_usd: Dollars
    spent_usd: Decimal
    planned_seconds: Interval
    actual_seconds: float
    planned_tokens_per_second: float
    tokens_per_second: float | None
    planned_vram_gib: float
    vram_gib: float | None
    left_out: str
    machines: tuple[AttemptRecord, ...]

    @property
    def usd_error(self) -> float | None:
        """Actual over planned, less one; None where nothing is billed."""
        planned = self.planned_usd.expected_usd
        return float(self.spent_usd / planned) - 1 if planned > 0 else None

    @property
    def seconds_error(self) -> float:
        """As `usd_error`, of time."""
        return self.actual_seconds / self.planned_seconds.expected - 1

    @property
    def usd_inside(self) -> bool:
        """The bill lies within P10 and P90."""
        return self.planned_usd.low_usd <= self.spent_usd <= self.planned_usd.high_usd

    @property
    def seconds_inside(self) -> bool:
        """The time lies within P10 and P90."""
        return self.planned_seconds.low <= self.actual_seconds <= self.planned_seconds.high


@dataclass(frozen=True, kw_only=True)
class Score:
    """How good forecasts were over `runs`. Errors are shares of what was planned; `bias` is the median signed one."""

    runs: int
    median_error: float
    bias: float
    inside: float


@dataclass(frozen=True, kw_only=True)
class Learned:
    """One thing that own runs teach: what is multiplied, where, by how much, and how many runs say so."""

    what: str
    where: str
    factor: float
    runs: int


@dataclass(frozen=True, kw_only=True)
class History:
    """All of it, the latest run first. A score is None where no run counts, `memory` where no peak was measured.

    `memory`: the peak over what was predicted: smallest, median and largest.
    """

    runs: tuple[Compared, ...]
    usd: Score | None
    seconds: Score | None
    learned: tuple[Learned, ...]
    memory: Interval | None


def note_records(run: Run, world: World) -> None:
    """Write down what each machine of a run that is over came to."""
    billed = {one.number: _rounded(attempt_usd(one, world.now()) + one.egress_usd) for one in run.attempts}
    world.ledger.records.keep(records(run, world.ledger.plan(run.id), billed))


def _rounded(usd: Decimal) -> Decimal:
    return usd.quantize(CENT_PART_USD)


def catch_up(world: World) -> None:
    """The same for runs that a program of an older version settled. What cannot be read is left out."""
    for run_id in world.ledger.records.lacking():
        with suppress(ValueError, KeyError, TypeError, sqlite3.Error):
            note_records(world.ledger.load(run_id), world)


def corrections(world: World) -> Corrections:
    """What the user's own runs teach the next estimate."""
    catch_up(world)
    return learn(finished(world.ledger.records.all(newest=NEWEST_RUNS)))


def finished(machines: Sequence[AttemptRecord]) -> list[Finished]:
    """Each phase that ran to its end, beside what today's estimator, uncorrected, thinks of it.

    What it thought when the run began plays no part: it may have been an older one, and corrected already.
    """
    from launcher.codec import load  # pydantic: here for start-up time
    from pricing.estimate import phase_seconds
    from pricing.offer import Offer
    from pricing.workload import Workload

    found = []
    for machine in machines:
        whole = {one.name: one.whole_seconds for one in machine.phases if one.whole_seconds is not None}
        if not whole:
            continue
        with suppress(ValueError, KeyError, TypeError, LookupError):  # written by a version that is too old or too new
            offer, workload = load(Offer, machine.offer), load(Workload, machine.workload)
            if offer.gpu is not None:
                offer = replace(offer, gpu=gpus.by_name(offer.gpu.name))
            for name, estimate in phase_seconds(offer, workload).items():
                if name in whole:
                    where = path(name, offer, workload)
                    found.append(Finished(run=machine.run, path=where, estimate=estimate, actual_seconds=whole[name]))
    return found


def history(world: World, *, cards: Sequence[str] = (), providers: Sequence[str] = ()) -> History:
    """Every run that is over; of those cards (canonical names) and providers alone where any are named."""
    catch_up(world)
    outcomes = {one.id: one for one in world.ledger.runs()}
    found = []
    machines = sorted(world.ledger.records.all(), key=lambda one: one.run)
    for run_id, group in groupby(machines, key=lambda one: one.run):
        record = outcomes[run_id]
        one = _compared(tuple(group), name=record.name, at=record.created_at, outcome=record.outcome)
        if one is not None and record.resumed:  # a second budget was a person's choice, which no forecast foresees
            one = replace(one, left_out=one.left_out or "resumed")
        if one is not None and (not cards or one.gpu in cards) and (not providers or one.provider in providers):
            found.append(replace(one, spent_usd=record.spent_usd))
    runs = tuple(sorted(found, key=lambda one: (one.at, one.run), reverse=True))
    counted = [one for one in runs if not one.left_out]
    billed = [one for one in counted if one.usd_error is not None]
    shown = [machine for one in runs[:NEWEST_RUNS] for machine in one.machines]
    return History(
        runs=runs,
        usd=_score(billed, lambda one: one.usd_error or 0.0, lambda one: one.usd_inside),
        seconds=_score(counted, lambda one: one.seconds_error, lambda one: one.seconds_inside),
        learned=_learned(finished(shown)) if shown else (),
        memory=_memory(shown),
    )


def _compared(
    machines: tuple[AttemptRecord, ...], *, name: str, at: datetime, outcome: Outcome | None
) -> Compared | None:
    """The first plan against all machines that there were; None where there was none."""
    had = [one for one in machines if one.had_machine]
    if not had:
        return None
    first, last = machines[0], had[-1]
    return Compared(
        run=first.run,
        name=name,
        at=at,
        provider=last.provider,
        instance_type=last.instance_type,
        market=last.market,
        gpu=last.gpu,
        model=last.model,
        method=last.method,
        outcome=str(outcome or ""),
        attempts=len(had),
        planned_usd=first.usd,
        spent_usd=sum((Decimal(one.billed_usd) for one in had), Decimal(0)),
        planned_seconds=first.seconds,
        actual_seconds=sum(one.actual_seconds for one in had),
        planned_tokens_per_second=first.planned_tokens_per_second,
        tokens_per_second=last.tokens_per_second,
        planned_vram_gib=last.planned_vram_gib,
        vram_gib=last.vram_gib,
        left_out=_left_out(last, outcome),
        machines=machines,
    )


def _left_out(last: AttemptRecord, outcome: Outcome | None) -> str:
    if not last.finished:
        return str(outcome or "not finished")
    if last.steps and last.last_step is not None and last.last_step < WHOLE_SHARE * last.steps:
        return "shortened"
    return ""


def _score(
    runs: Sequence[Compared], error: Callable[[Compared], float], inside: Callable[[Compared], bool]
) -> Score | None:
    if not runs:
        return None
    errors = [error(one) for one in runs]
    return Score(
        runs=len(runs),
        median_error=median(abs(one) for one in errors),
        bias=median(errors),
        inside=sum(inside(one) for one in runs) / len(runs),
    )


def _learned(taught: Sequence[Finished]) -> tuple[Learned, ...]:
    """What is told of it: by card and by provider; what changes a run's time most comes first."""
    told = []
    for place, one in learn(taught).by_place.items():
        root, *rest = place.split("/")
        if len(rest) != 1 or not corrected.matters(one):
            continue
        phase, kind = root.split(" ")
        where = {"cpu": "on the CPU of", "gpu": "on"}.get(kind, "at") + f" {rest[0]}"
        usual_seconds = median(each.estimate.expected for each in taught if each.path[:2] == (root, rest[0]))
        seconds = abs(one.factor - 1) * usual_seconds
        told.append((seconds, Learned(what=corrected.word(phase), where=where, factor=one.factor, runs=one.runs)))
    return tuple(one for _, one in sorted(told, key=lambda pair: (-pair[0], pair[1].where, pair[1].what)))


def _memory(machines: Sequence[AttemptRecord]) -> Interval | None:
    shares = [one.vram_gib / one.planned_vram_gib for one in machines if one.vram_gib and one.planned_vram_gib > 0]
    return Interval(low=min(shares), expected=median(shares), high=max(shares)) if shares else None
