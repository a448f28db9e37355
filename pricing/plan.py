"""From offers to a plan: what could be rented, ranked by the expected cost to finish, and why the rest is left out."""

import gc
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from heapq import merge
from itertools import groupby, islice
from operator import attrgetter

from pricing.budget import SECONDS_PER_HOUR, SMALLEST_USD
from pricing.estimate import Estimate
from pricing.kinds import ARCHITECTURE, FULLEST_FIRST, Kind, Kinds, Refusal, no_ram
from pricing.offer import Market, Offer
from pricing.outliers import price_outliers
from pricing.terms import Terms
from pricing.workload import Workload

__all__ = ["Choice", "Fitted", "Nearest", "Plan", "Rejected", "Terms", "make_plan", "nearest", "smallest_budget_usd"]

EVEN_IF_SLOW = 0.9
"""With such odds even a run as slow as the high end (P90) finishes."""
MOST_CHOICES = 2000
"""The best so many are kept: the rest would do too, and nobody would ever come to them."""
EVEN = 0.5
SUREST = 0.999
"""Higher odds are never told: the distribution's ends are cut off, and it knows nothing of machines that break."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """An offer that would do. `lease_seconds`: how long its machine could live by its guard, were it made now.

    `odds` is P(the work is done before the cap asks for a save), at the worst rate and with this machine's guard alone:
    a lease that is renewed because less was spent makes it better. None where nothing caps the run. `finish_usd` is the
    average cost of a run that finishes, and of those that fail before it and spend the whole budget (decision 0012).
    """

    offer: Offer
    estimate: Estimate
    worst_usd_per_hour: Decimal
    lease_seconds: int
    disk_gib: int
    finish_usd: Decimal
    odds: float | None = None

    @property
    def expected_usd_per_hour(self) -> Decimal:
        """At the price that was seen, all in."""
        return self.estimate.usd_per_hour

    @property
    def high_fits(self) -> bool:
        """Even a run as slow as the high end would finish inside the lease."""
        return self.odds is None or self.odds >= EVEN_IF_SLOW

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know before agreeing."""
        notes = []
        if self.odds is not None and not self.high_fits:
            notes.append(f"may be stopped and saved before it is done: finishes in {self.odds:.0%} of cases")
        if self.offer.market is Market.SPOT and self.offer.reclaims_per_hour is None:
            notes.append("how often it is reclaimed is unknown")
        if not self.offer.guarded:
            notes.append("does not end itself")
        if self.offer.market is not Market.OWNED and self.offer.architecture != ARCHITECTURE:
            notes.append(f"{self.offer.architecture}: the job's packages are not proven there")
        return tuple(notes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """An offer that is left out: `code` for programs, `reason` for people.

    Codes: architecture, balance, community-secrets, does-not-fit, no-bf16, not-automatic, over-budget, over-deadline,
    price-outlier, ram, sold-out, spending-limit, unguarded.
    """

    offer: Offer
    code: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """How much training was asked for, and how much of it the budget is sure to pay for (`fit_budget`).

    `whole_usd`: the smallest budget that is sure to pay for all of it; None where money is not what lacks.
    """

    asked_epochs: float
    asked_steps: int
    epochs: float
    steps: int
    whole_usd: Decimal | None

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= self.asked_steps:
            raise ValueError(f"what fits is at least one step, and never more than was asked for: {self}")

    @property
    def is_less(self) -> bool:
        """The schedule was shortened."""
        return self.steps < self.asked_steps


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Ranked choices, best first, and what was left out; the same input gives the same plan."""

    choices: tuple[Choice, ...]
    rejected: tuple[Rejected, ...]
    workload: Workload
    terms: Terms
    outranked: int = 0
    """Offers that would do and are not among the `MOST_CHOICES` best."""
    fitted: Fitted | None = None
    """What `--fit-budget` made of the schedule, where it was asked for."""


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """What comes closest where the budget is too small: what it would need, and how much of the training it buys."""

    offer: Offer
    needed_usd: Decimal
    budget_usd: Decimal
    training_share: float


def make_plan(offers: Iterable[Offer], workload: Workload, terms: Terms) -> Plan:
    """Weigh every offer; rank by the expected dollars to finish, then expected seconds, stock, and the offer's name."""
    with _without_collector():
        return _made(tuple(offers), workload, terms)


@contextmanager
def _without_collector() -> Iterator[None]:
    """No garbage is looked for meanwhile: what is made is kept, and to look through 100,000 offers takes longest."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _made(offers: tuple[Offer, ...], workload: Workload, terms: Terms) -> Plan:
    kinds, odd = Kinds(workload, terms), price_outliers(offers)
    able: dict[Kind, list[Offer]] = defaultdict(list)
    rejected: list[Rejected] = []
    for number, offer in enumerate(offers):
        kind = kinds.of(offer)
        if not isinstance(kind, Kind):
            rejected.append(_rejected(offer, kind))
        elif refusal := _by_itself(offer, kind, odd.get(number)):
            rejected.append(_rejected(offer, refusal))
        else:
            able[kind].append(offer)

    rows = [(kind, row) for kind, members in able.items() for row in _would_do(members, kind, rejected)]
    choices = islice(merge(*(_choices(kind, row) for kind, row in rows), key=_finish_usd), MOST_CHOICES)
    best = tuple(sorted(choices, key=_rank))
    return Plan(
        choices=best,
        rejected=tuple(sorted(rejected, key=_by_code)),
        workload=workload,
        terms=terms,
        outranked=sum(len(row) for _, row in rows) - len(best),
    )


def smallest_budget_usd(plan: Plan) -> Decimal | None:
    """The smallest budget under which one of these offers finishes with the odds that are asked for.

    None where money is not what lacks.
    """
    candidates = [one.offer for one in plan.rejected if one.code == "over-budget"]
    kinds = Kinds(plan.workload, plan.terms)
    offers = [choice.offer for choice in plan.choices] + candidates
    return min((_needed_usd(offer, kinds) for offer in offers), default=None)


def nearest(plan: Plan) -> Nearest | None:
    """Of the offers that are over budget the one that needs least, and what the budget would buy there."""
    over = [one.offer for one in plan.rejected if one.code == "over-budget"]
    if not over or plan.terms.budget_usd is None:
        return None
    kinds = Kinds(plan.workload, plan.terms)
    needed_usd, _, offer = min(((_needed_usd(one, kinds), one.id, one) for one in over), key=lambda row: row[:2])
    kind = kinds.able(offer)
    worst = kind.all_in_usd_per_hour(offer.worst_usd_per_hour)
    stop_seconds = kind.stop_seconds(kind.working_lease_seconds(worst, deadline=False))
    train_seconds = dict(kind.outlook.times.by_phase)["train"].expected
    left_for_training = stop_seconds - (kind.needed_seconds - train_seconds)
    return Nearest(
        offer=offer,
        needed_usd=needed_usd,
        budget_usd=plan.terms.budget_usd,
        training_share=max(0.0, min(1.0, left_for_training / train_seconds)),
    )


_price, _worst, _finish_usd = attrgetter("usd_per_hour"), attrgetter("worst_usd_per_hour"), attrgetter("finish_usd")


def _by_code(one: Rejected) -> str:
    """By code, then by name; one text is compared faster than six."""
    offer = one.offer
    return f"{one.code}\0{offer.provider}\0{offer.zone}\0{offer.region}\0{offer.instance_type}\0{offer.market.value}"


def _rank(choice: Choice) -> tuple[Decimal, float, int, Decimal, str, str, str, str]:
    """Cheapest to finish; of equals the one that is done sooner, then the one of which there is more, then by name."""
    offer = choice.offer
    seconds, scarcity = choice.estimate.times.seconds.expected, FULLEST_FIRST.index(offer.stock)
    names = offer.provider, offer.zone, offer.region, offer.instance_type
    return choice.finish_usd, seconds, scarcity, offer.usd_per_hour, *names


def _rejected(offer: Offer, refusal: Refusal) -> Rejected:
    return Rejected(offer=offer, code=refusal[0], reason=refusal[1])


def _by_itself(offer: Offer, kind: Kind, odd_price: str | None) -> Refusal | None:
    """Why an offer is left out by its own memory or price alone, whatever it would take to finish."""
    if refusal := no_ram(offer, kind):
        return refusal
    most = kind.most_usd_per_hour
    if most is not None and offer.worst_usd_per_hour * (1 + kind.tax_fraction) > most:
        return "unguarded", f"it does not end itself if we vanish, and costs more than the {most:.2f}/h agreed to"
    return ("price-outlier", odd_price) if odd_price else None


def _would_do(members: Sequence[Offer], kind: Kind, rejected: list[Rejected]) -> list[list[Offer]]:
    """Those of a kind that can finish and can be had; the others become part of `rejected`.

    In rows, each from the lowest price up, which is also from the lowest cost to finish up: those whose price cannot
    rise are one row, and of the others those with the same worst rate.
    """
    if kind.no_room:
        rejected += [_rejected(offer, kind.no_room) for offer in members]
        return []
    fixed = sorted([offer for offer in members if offer.worst_usd_per_hour == offer.usd_per_hour], key=_price)
    rising: dict[Decimal, list[Offer]] = defaultdict(list)
    if len(fixed) < len(members):
        for offer in members:
            if offer.worst_usd_per_hour != offer.usd_per_hour:
                rising[offer.worst_usd_per_hour].append(offer)
    # Where a price is out of reach, no higher one is within it: the border is searched, not every offer weighed.
    border = bisect_left(fixed, True, key=lambda offer: not _in_reach(offer.worst_usd_per_hour, kind))
    rows, beyond = [fixed[:border]], fixed[border:]
    for worst, row in rising.items():
        if _in_reach(worst, kind):
            rows.append(sorted(row, key=_price))
        else:
            beyond += row
    for worst, alike in groupby(beyond, key=_worst):
        refusal = _out_of_reach(worst, kind)
        rejected += [_rejected(offer, refusal) for offer in alike]
    return [_to_be_had(row, kind, rejected) for row in rows if row]


def _to_be_had(row: list[Offer], kind: Kind, rejected: list[Rejected]) -> list[Offer]:
    """Those that can be rented and paid for now."""
    spare = kind.spare_usd_per_hour
    if kind.closed:
        rejected += [_rejected(offer, kind.closed) for offer in row]
        return []
    if spare is None:
        return row
    over = ("spending-limit", f"the account's limit there leaves {spare:.2f}/h")
    rejected += [_rejected(offer, over) for offer in row if offer.usd_per_hour > spare]
    return [offer for offer in row if offer.usd_per_hour <= spare]


def _in_reach(worst_usd_per_hour: Decimal, kind: Kind) -> bool:
    worst = kind.all_in_usd_per_hour(worst_usd_per_hour)
    return kind.working_lease_seconds(worst) >= kind.needed_lease_seconds


def _out_of_reach(worst_usd_per_hour: Decimal, kind: Kind) -> Refusal:
    """The work is less likely than asked for to be done before the hard cap asks for a save."""
    worst = kind.all_in_usd_per_hour(worst_usd_per_hour)
    if worst == 0 or kind.working_lease_seconds(worst, deadline=False) >= kind.needed_lease_seconds:
        hours = (kind.needed_seconds + kind.outlook.ending_seconds) / SECONDS_PER_HOUR
        limit = "no machine lives so long" if kind.deadline_seconds is None else "the deadline is earlier"
        return "over-deadline", f"needs about {hours:.1f} h, {limit}"
    odds = "to be as likely as not to finish" if kind.least_odds == EVEN else f"to finish with {kind.least_odds:.0%}"
    return "over-budget", f"{odds} it needs a budget of ${kind.needed_usd(worst)}"


def _choices(kind: Kind, row: Sequence[Offer]) -> Iterator[Choice]:
    """One after the other, each made when it is asked for: of 100,000 offers hardly any is."""
    return (_choice(offer, kind) for offer in row)


def _choice(offer: Offer, kind: Kind) -> Choice:
    worst, rate = kind.all_in_usd_per_hour(offer.worst_usd_per_hour), kind.all_in_usd_per_hour(offer.usd_per_hour)
    odds, paid_seconds = kind.finishing(kind.working_lease_seconds(worst))
    # A run that does not finish spends what it may, and so does the next one, until one does.
    lost_usd = Decimal(1 - odds) * kind.budget_usd if worst else Decimal(0)
    finish_usd = (rate * Decimal(paid_seconds) / SECONDS_PER_HOUR + lost_usd) / Decimal(odds) + kind.egress_usd
    return Choice(
        offer=offer,
        estimate=Estimate(offer=offer, times=kind.outlook.times, usd_per_hour=rate, egress_usd=kind.egress_usd),
        worst_usd_per_hour=worst,
        lease_seconds=kind.lease_seconds(worst),
        disk_gib=kind.disk_gib,
        finish_usd=finish_usd.quantize(SMALLEST_USD),
        odds=None if kind.left_usd is None else min(odds, SUREST),
    )


def _needed_usd(offer: Offer, kinds: Kinds) -> Decimal:
    kind = kinds.able(offer)
    return kind.needed_usd(kind.all_in_usd_per_hour(offer.worst_usd_per_hour))
