"""The receipt: what was planned, what it took, what it cost, and the proof that nothing is left."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from launcher.errors import Exit
from launcher.run import Outcome
from pricing.estimate import Dollars
from pricing.offer import Market


@dataclass(frozen=True, kw_only=True)
class ReceiptPhase:
    """One phase, as it went; what was planned is None for a phase that nobody planned, or in an older receipt."""

    name: str
    seconds: float
    usd: Decimal
    planned_seconds: float | None
    planned_usd: Decimal | None = None


@dataclass(frozen=True, kw_only=True)
class Terminated:
    """The proof of the end: `looks` agreeing answers of the provider, the last one `at`."""

    confirmed: bool
    at: datetime | None
    looks: int


@dataclass(frozen=True, kw_only=True)
class Results:
    """What lies on this disk."""

    folder: Path
    files: int
    bytes: int
    verified: bool
    store: str = ""
    """The durable store that they came from; "" where they came from the machine itself."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """One arm of the evaluation ("base", "prompted", "tuned", "larger"): metric name to value, over `n` test rows."""

    arm: str
    metrics: tuple[tuple[str, float], ...]
    n: int


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Tuned minus another arm over the same `n` items, with its 95 % interval; `title` names the metric for people."""

    metric: str
    title: str
    against: str
    value: float
    low: float
    high: float
    n: int
    distinguishable: bool


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task that was not trained, before and after: "held", "improved", "may have dropped" or "dropped"."""

    name: str
    metric: str
    base: float
    tuned: float
    state: str


@dataclass(frozen=True, kw_only=True)
class ReceiptPart:
    """What a run came to under one of its budgets; the last one is the present. Of a resumed run there are several.

    `spent_usd` of what `budget_usd` left of it when the part began: `allowed_usd`. `attempts` counts machines.
    """

    outcome: Outcome
    attempts: int
    budget_usd: Decimal | None
    allowed_usd: Decimal | None
    spent_usd: Decimal
    phases: tuple[ReceiptPhase, ...]


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What one run came to."""

    run: str
    name: str
    at: datetime
    started_at: datetime
    outcome: Outcome
    exit_code: Exit
    why: str
    """One sentence for an outcome other than success, "" else."""
    provider: str
    region: str
    zone: str
    instance_type: str
    market: Market | None
    """None where no machine was ever had."""
    attempts: int
    budget_usd: Decimal | None
    planned_usd: Dollars | None
    spent_usd: Decimal
    spent_is: str
    price_source: str
    price_seen_at: datetime | None
    phases: tuple[ReceiptPhase, ...]
    terminated: Terminated
    leftovers: tuple[str, ...]
    results: Results
    scores: tuple[Score, ...]
    gate: tuple[str, ...] = ()
    """What the gate found wanting, in words; empty where it passed or there is none."""
    gains: tuple[Gain, ...] = ()
    """The metric that the verdict is about first; empty without per-item results, and in receipts of older versions."""
    adjacent: tuple[Task, ...] = ()
    verdict: str = ""
    """Whether fine-tuning was worth it, in one sentence; "" where nothing was evaluated."""
    parts: tuple[ReceiptPart, ...] = ()
    """In order, of a run that was resumed; empty of any other. All else is of all parts together."""
    resume_usd: Decimal | None = None
    """The budget under which `launch resume` finishes it nine times in ten; None where it cannot go on, or need not."""
