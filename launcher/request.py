"""What a person asked for: the run options, already parsed and checked one by one."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from pricing.offer import Market


class IfSlow(StrEnum):
    """What to do once the first steps show that the rest will probably not fit into the budget or the deadline."""

    SHORTEN = "shorten"
    MOVE = "move"
    STOP = "stop"
    GO_ON = "go-on"


@dataclass(frozen=True, kw_only=True)
class Request:
    """One launch. None and empty tuples mean "not said"."""

    budget_usd: Decimal | None = None
    gpu: str | None = None
    providers: tuple[str, ...] = ()
    job: Path | None = None
    model: str | None = None
    data: str | None = None
    name: str | None = None
    markets: tuple[Market, ...] = ()
    regions: tuple[str, ...] = ()
    deadline_seconds: float | None = None
    max_price_usd_per_hour: Decimal | None = None
    wait_capacity_seconds: float = 0.0
    secrets: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    fit_budget: bool = False
    """As much of the training as the budget is sure to pay for, where all of it is not."""
    out: Path | None = None
    detach: bool = False
    yes: bool = False
    accept_unguarded: bool = False
    unguarded_usd_per_hour: Decimal | None = None
    """Up to what a person was told that a machine costs which does not end itself; None: they said any."""
    community: bool = False
    """Also machines of private hosts."""
    fresh: bool = False
    """No price that is older than `freshness.LIMIT`, or shipped with us."""
    if_slow: IfSlow = IfSlow.SHORTEN
