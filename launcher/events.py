"""What happens in a run, as values: the console shows them, `--json` prints them, the ledger keeps them."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from launcher.receipt import Receipt
from launcher.run import State
from pricing.estimate import Dollars, Interval
from pricing.offer import Offer
from pricing.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Happened:
    """Base of all events: which run ("" before it has a name), and when."""

    run: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class PlanMade(Happened):
    """The ranked choices, before anything is spent."""

    plan: Plan
    title: str
    """Job name, model, method, data, in one line."""
    data: str = ""
    """What the job's rows came to, in one line."""


@dataclass(frozen=True, kw_only=True)
class IntentWritten(Happened):
    """A create call is about to be made, and is on disk."""

    attempt: int
    offer: Offer
    nonce: str
    worst_usd_per_hour: Decimal
    lease_seconds: int
    deadline: datetime


@dataclass(frozen=True, kw_only=True)
class OfferRefused(Happened):
    """A choice was not to be had; the next one follows."""

    offer: Offer
    code: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class StateChanged(Happened):
    """The run stepped on."""

    state: State
    attempt: int
    offer: Offer | None
    instance_id: str


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """How the work stands: seconds by phase so far (the last one still runs), and the last measurements."""

    phases: tuple[tuple[str, float], ...] = ()
    step: int = 0
    of: int = 0
    loss: float | None = None
    loss_falls: bool = False
    tokens_per_second: float | None = None
    vram_gib: float | None = None
    validation: tuple[int, float, bool] | None = None
    """The latest look at the validation rows: its step, the loss per answer token, whether it is the best so far."""
    evaluated: int = 0
    evaluate_of: int = 0
    arm: str = ""
    spent_usd: Decimal = Decimal(0)


@dataclass(frozen=True, kw_only=True)
class Progressed(Happened):
    """The machine reported."""

    snapshot: Snapshot


@dataclass(frozen=True, kw_only=True)
class Forecast(Happened):
    """`seconds` from now to TERMINATED, and what it will have cost then.

    `basis`: what the training's part rests on, "plan" until it is measured, then "probe", then "steps".
    """

    seconds: Interval
    usd: Dollars
    basis: str = "plan"


@dataclass(frozen=True, kw_only=True)
class Warned(Happened):
    """Something that a person should know, and that did not stop the run."""

    code: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Pulled(Happened):
    """Files came home and were verified; `refused` were not taken, with the reason."""

    folder: Path
    files: int
    bytes: int
    verified: bool
    what: str = "results"
    refused: tuple[str, ...] = field(default=())


@dataclass(frozen=True, kw_only=True)
class Settled(Happened):
    """The end: the receipt."""

    receipt: Receipt
