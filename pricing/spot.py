"""After a reclaim: stay on spot, move to another zone, go on-demand, or stop, under a budget and a deadline."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from pricing.budget import SECONDS_PER_HOUR
from pricing.offer import Market
from pricing.plan import Choice, Plan

RESTARTS = 2
"""The safety net's slack, in restarts (two, as in the published policy for deadlines)."""


class Step(StrEnum):
    """What to do next."""

    SPOT = "spot"
    ON_DEMAND = "on-demand"
    STOP = "stop"


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How far a run has come.

    `done_share` is of the training, by the last verified checkpoint; `lost_pools` are the pools (`Offer.pool`) that
    reclaimed a machine of this run; `restart_seconds` is what starting again takes.
    """

    budget_usd: Decimal
    spent_usd: Decimal
    done_share: float
    restart_seconds: float
    deadline_seconds: float | None
    elapsed_seconds: float
    lost_pools: frozenset[tuple[str, str, str, str]] = frozenset()

    def __post_init__(self) -> None:
        if not 0 <= self.done_share <= 1 or self.budget_usd <= 0 or self.spent_usd < 0:
            raise ValueError(f"a share lies between 0 and 1, a budget above 0: {self}")

    @property
    def used_share(self) -> float:
        """Of the budget or of the deadline, whichever is scarcer."""
        money = float(self.spent_usd / self.budget_usd)
        return money if not self.deadline_seconds else max(money, self.elapsed_seconds / self.deadline_seconds)


@dataclass(frozen=True, kw_only=True)
class Move:
    """The next step, the choice to take for it (None: stop), and why, for people."""

    step: Step
    choice: Choice | None
    reason: str


def next_move(standing: Standing, plan: Plan) -> Move:
    """What to rent after a reclaim. `plan` is made anew: of the work, money and time that are left.

    Uniform progress, in money: as long as the share of the work that is done keeps up with the share of the budget (or
    deadline) that is used, spot is worth another try, in a pool that has not reclaimed one of ours where there is one.
    Behind that line, or when the certain way to finish would otherwise no longer fit, on-demand. Nothing fits: stop.
    Every choice of `plan` fits its hard cap already, so no answer can break the budget.
    """
    spot = _cheapest(plan, {Market.SPOT}, standing)
    certain = _cheapest(plan, {Market.ON_DEMAND, Market.OWNED}, standing)
    if spot is None and certain is None:
        return Move(step=Step.STOP, choice=None, reason="no offer finishes within what is left")
    if spot is None:
        return Move(step=Step.ON_DEMAND, choice=certain, reason="no spot offer is left")
    if certain is None:
        return Move(step=Step.SPOT, choice=spot, reason="only spot finishes within what is left")
    if _last_call(certain, standing):
        return Move(step=Step.ON_DEMAND, choice=certain, reason="another reclaim would leave too little to finish")
    if standing.done_share < standing.used_share - _slack(certain, standing):
        return Move(step=Step.ON_DEMAND, choice=certain, reason="behind: more of the budget is used than work done")
    return Move(step=Step.SPOT, choice=spot, reason="on course: spot again")


def _cheapest(plan: Plan, markets: set[Market], standing: Standing) -> Choice | None:
    """The best ranked choice of these markets; one in a pool that has not reclaimed ours goes first."""
    choices = [choice for choice in plan.choices if choice.offer.market in markets]
    fresh = [choice for choice in choices if choice.offer.pool not in standing.lost_pools]
    return next(iter(fresh or choices), None)


def _last_call(certain: Choice, standing: Standing) -> bool:
    """The safety net: after `RESTARTS` more restarts the money would no longer pay for the certain way."""
    restarts_usd = _usd(certain.worst_usd_per_hour, RESTARTS * standing.restart_seconds)
    finish_usd = _usd(certain.worst_usd_per_hour, certain.estimate.seconds.expected)
    return finish_usd + restarts_usd > standing.budget_usd - standing.spent_usd


def _slack(certain: Choice, standing: Standing) -> float:
    """The share of the budget that a restart costs: how far behind the line counts as on it."""
    return float(_usd(certain.worst_usd_per_hour, standing.restart_seconds) / standing.budget_usd)


def _usd(usd_per_hour: Decimal, seconds: float) -> Decimal:
    return usd_per_hour * Decimal(str(seconds)) / SECONDS_PER_HOUR
