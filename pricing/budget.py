"""The hard cap: how long a machine may live so that what the provider bills can never exceed the budget."""

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from math import ceil

from pricing.offer import Billing, Market, Offer
from pricing.stored import granted_gib
from pricing.workload import Workload

SMALLEST_USD = Decimal("0.0001")
RATE_STEP_USD = Decimal("0.000001")
"""All-in rates are rounded up to this, so that no later arithmetic can be below the truth."""
SECONDS_PER_HOUR = 3600
UNCAPPED_LEASE_SECONDS = 30 * 24 * 3600
"""The lease of a machine that bills nothing and has no deadline: it still ends some day."""

SAVE_SECONDS = 150.0
"""The job's own save (90 s) and the grace before it is killed (60 s), as `jobs/guest` counts them."""
OWNED_SAVE_SECONDS = 30.0
PULL_START_SECONDS = 30.0
PULL_GIB_PER_SECOND = 1.5e6 / 1024**3
"""12 Mbit/s: a slow line at home, since the reserve has to last there too (assumed)."""
TEARDOWN_SECONDS = 60.0
"""From our terminate call to the end of billing, one refused call included (assumed)."""
PULLS_PAID = 8
"""Egress that is set aside, in sizes of the result: it, a checkpoint with its optimiser state (three times that), and
both once more after a failure."""


@dataclass(frozen=True, kw_only=True)
class Reserve:
    """What is kept back for the end: time to save, pull and tear down, the guard's own delay, and egress in dollars."""

    save_seconds: float
    pull_seconds: float
    teardown_seconds: float
    guard_seconds: float
    egress_usd: Decimal

    def __post_init__(self) -> None:
        seconds = (self.save_seconds, self.pull_seconds, self.teardown_seconds, self.guard_seconds)
        if min(seconds) < 0 or self.egress_usd < 0:
            raise ValueError(f"a reserve cannot be negative: {self}")

    @property
    def ending_seconds(self) -> float:
        """From "save now" to the end of billing, when we are there to do it."""
        return self.save_seconds + self.pull_seconds + self.teardown_seconds


@dataclass(frozen=True, kw_only=True)
class Cap:
    """The budget as it stands at one instant, for one machine that is about to be made or extended.

    `spent_usd` is everything so far, this machine's life up to now included, rounded up as the provider bills it;
    `lived_seconds` is that life (0 for a new machine): it counts towards the provider's minimum, which is paid once.
    `budget_usd` may be None only where nothing is billed.
    """

    budget_usd: Decimal | None
    spent_usd: Decimal
    worst_usd_per_hour: Decimal
    reserve: Reserve
    billing: Billing
    deadline_left_seconds: float | None
    lived_seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.budget_usd is None and self.worst_usd_per_hour > 0:
            raise ValueError("a machine that is billed needs a budget")
        if min(self.spent_usd, self.worst_usd_per_hour) < 0 or self.lived_seconds < 0:
            raise ValueError(f"money spent, rate and life cannot be negative: {self}")

    @property
    def left_usd(self) -> Decimal:
        """What may still be billed for machine time: the budget less what is spent and the egress that is set aside."""
        if self.budget_usd is None:
            return Decimal(0)
        left = self.budget_usd - self.spent_usd - self.reserve.egress_usd
        return max(left, Decimal(0)).quantize(SMALLEST_USD, rounding=ROUND_DOWN)

    @property
    def lease_seconds(self) -> int:
        """How long from now the machine may live by its own guard, whatever happens to us; 0 when nothing is possible.

        Even when the guard is late by all of its delay, the bill, rounded up as the provider rounds, and the egress
        stay within the budget; and the deadline, where there is one, is kept too.
        """
        allowed = self._payable_seconds()
        if self.deadline_left_seconds is not None:
            allowed = min(allowed, int(self.deadline_left_seconds))
        return max(0, allowed - ceil(self.reserve.guard_seconds))

    @property
    def stop_seconds(self) -> float:
        """How long from now the job may work before it must be asked to save, so that the ending still fits."""
        return max(0.0, self.lease_seconds - self.reserve.ending_seconds)

    def _payable_seconds(self) -> int:
        minimum_left = self.billing.minimum_seconds - self.lived_seconds
        return payable_seconds(self.left_usd, self.worst_usd_per_hour, self.billing, minimum_left)


def payable_seconds(
    left_usd: Decimal, worst_usd_per_hour: Decimal, billing: Billing, minimum_seconds: float | None = None
) -> int:
    """The most seconds from now that the money pays for at the worst rate, in whole steps of billing.

    `minimum_seconds`: what of the provider's minimum is not yet lived (None: all of it); less cannot be bought.
    """
    if worst_usd_per_hour == 0:
        return UNCAPPED_LEASE_SECONDS
    # The quotient of `//` is exact: amounts have four decimals and rates six, far within Decimal's 28 digits.
    seconds = int(left_usd * SECONDS_PER_HOUR // worst_usd_per_hour)
    billed = seconds - seconds % billing.granularity_seconds
    return billed if seconds >= (billing.minimum_seconds if minimum_seconds is None else minimum_seconds) else 0


def cost_usd(seconds: float, all_in_usd_per_hour: Decimal, billing: Billing) -> Decimal:
    """What `seconds` of machine life cost, rounded as the provider rounds time, and up to 0.0001 dollars."""
    usd = Decimal(billing.billed_seconds(seconds)) * all_in_usd_per_hour / SECONDS_PER_HOUR
    return usd.quantize(SMALLEST_USD, rounding=ROUND_UP)


def worst_usd_per_hour(offer: Offer, disk_gib: int, tax_fraction: Decimal) -> Decimal:
    """The most that an hour of the offer can cost, all in: compute at its worst rate, address, disk, tax."""
    return _all_in(offer.worst_usd_per_hour, offer, disk_gib, tax_fraction)


def expected_usd_per_hour(offer: Offer, disk_gib: int, tax_fraction: Decimal) -> Decimal:
    """What an hour of the offer costs at the price that was seen, all in: compute, address, disk, tax."""
    return _all_in(offer.usd_per_hour, offer, disk_gib, tax_fraction)


def reserve_for(
    offer: Offer,
    workload: Workload,
    guard_delay_seconds: float,
    tax_fraction: Decimal = Decimal(0),
    *,
    stores: bool = False,
) -> Reserve:
    """What the end of a run needs on this offer. Whoever pulls more than `PULLS_PAID` results counts that as spent.

    `stores`: the machine may also write into a durable store, as much as it was granted, before we count it.
    """
    owned = offer.market is Market.OWNED
    leaving_gib = PULLS_PAID * Decimal(str(workload.result_gib))
    leaving_gib += Decimal(str(granted_gib(workload.result_gib))) if stores and not owned else 0
    pulls_usd = offer.fees.egress_usd_per_gib * leaving_gib * (1 + tax_fraction)
    return Reserve(
        save_seconds=OWNED_SAVE_SECONDS if owned else SAVE_SECONDS,
        pull_seconds=0.0 if owned else PULL_START_SECONDS + workload.result_gib / PULL_GIB_PER_SECOND,
        teardown_seconds=0.0 if owned else TEARDOWN_SECONDS,
        guard_seconds=guard_delay_seconds,
        egress_usd=pulls_usd.quantize(SMALLEST_USD, rounding=ROUND_UP),
    )


def budget_for_usd(work_seconds: float, worst_usd_per_hour: Decimal, reserve: Reserve, billing: Billing) -> Decimal:
    """The smallest budget, in whole cents, under which the job may work for `work_seconds` before it must save."""
    lease_seconds = int(work_seconds + reserve.ending_seconds) + 1
    life_seconds = lease_seconds + ceil(reserve.guard_seconds)
    usd = cost_usd(life_seconds, worst_usd_per_hour, billing) + reserve.egress_usd
    return usd.quantize(Decimal("0.01"), rounding=ROUND_UP)


def _all_in(compute_usd_per_hour: Decimal, offer: Offer, disk_gib: int, tax_fraction: Decimal) -> Decimal:
    hourly = (compute_usd_per_hour + offer.fees.usd_per_hour(disk_gib)) * (1 + tax_fraction)
    return hourly.quantize(RATE_STEP_USD, rounding=ROUND_UP)
