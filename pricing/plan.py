"""From offers to a plan: what could be rented, ranked by the expected cost to finish, and why the rest is left out."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from pricing.budget import (
    Cap,
    Reserve,
    budget_for_usd,
    expected_usd_per_hour,
    reserve_for,
    worst_usd_per_hour,
)
from pricing.estimate import Estimate, estimate
from pricing.memory import RAM_USABLE_SHARE, disk_gib, ram_gib
from pricing.offer import Market, Offer, Stock
from pricing.terms import Terms
from pricing.workload import Workload

__all__ = ["Choice", "Nearest", "Plan", "Rejected", "Terms", "make_plan", "nearest", "smallest_budget_usd"]

ARCHITECTURE = "x86_64"
"""What the job's locked wheels are proven on; a machine that the user owns brings its own."""
OUTLIER_ZONES = 4
"""From so many zones of one type on, a price below `OUTLIER_SHARE` of their median is not believed."""
OUTLIER_SHARE = Decimal("0.5")
"""A public catalogue of 36 zones had one at 0.162 where the next was 0.359 and the median 0.507 dollars."""
ENDING_PHASES = ("pull", "teardown")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An offer that would do. `lease_seconds`: how long its machine could live by its guard, were it made now."""

    offer: Offer
    estimate: Estimate
    worst_usd_per_hour: Decimal
    expected_usd_per_hour: Decimal
    lease_seconds: int
    disk_gib: int
    high_fits: bool = True
    """Even a run as slow as the high end would finish inside the lease."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know before agreeing."""
        notes = []
        if not self.high_fits:
            notes.append("may be stopped and saved before it is done")
        if self.offer.market is Market.SPOT and self.offer.reclaims_per_hour is None:
            notes.append("how often it is reclaimed is unknown")
        if not self.offer.guarded:
            notes.append("does not end itself")
        if self.offer.market is not Market.OWNED and self.offer.architecture != ARCHITECTURE:
            notes.append(f"{self.offer.architecture}: the job's packages are not proven there")
        return tuple(notes)


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """An offer that is left out: `code` for programs, `reason` for people.

    Codes: architecture, balance, community-secrets, does-not-fit, no-bf16, not-automatic, over-budget, over-deadline,
    price-outlier, ram, sold-out, spending-limit, unguarded.
    """

    offer: Offer
    code: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Ranked choices, best first, and what was left out; the same input gives the same plan."""

    choices: tuple[Choice, ...]
    rejected: tuple[Rejected, ...]
    workload: Workload
    terms: Terms


@dataclass(frozen=True, kw_only=True)
class Nearest:
    """What comes closest where the budget is too small: what it would need, and how much of the training it buys."""

    offer: Offer
    needed_usd: Decimal
    budget_usd: Decimal
    training_share: float


def make_plan(offers: Iterable[Offer], workload: Workload, terms: Terms) -> Plan:
    """Weigh every offer; rank by expected dollars, then expected seconds, then the offer's id."""
    offers = tuple(offers)
    odd = _price_outliers(offers)
    weighed = [_weigh(offer, odd.get(offer.id, ""), workload, terms) for offer in offers]
    choices = [one for one in weighed if isinstance(one, Choice)]
    rejected = [one for one in weighed if isinstance(one, Rejected)]
    return Plan(
        choices=tuple(sorted(choices, key=_rank)),
        rejected=tuple(sorted(rejected, key=lambda one: (one.code, one.offer.id))),
        workload=workload,
        terms=terms,
    )


def smallest_budget_usd(plan: Plan) -> Decimal | None:
    """The smallest budget under which one of these offers is expected to finish; None where money is not what lacks."""
    candidates = [one for one in plan.rejected if one.code == "over-budget"]
    offers = [choice.offer for choice in plan.choices] + [one.offer for one in candidates]
    return min((_needed_usd(offer, plan) for offer in offers), default=None)


def nearest(plan: Plan) -> Nearest | None:
    """Of the offers that are over budget the one that needs least, and what the budget would buy there."""
    over = [one.offer for one in plan.rejected if one.code == "over-budget"]
    if not over or plan.terms.budget_usd is None:
        return None
    offer = min(over, key=lambda one: (_needed_usd(one, plan), one.id))
    terms = plan.terms
    forecast = estimate(offer, plan.workload, terms)
    stop_seconds = _cap(offer, plan.workload, replace(terms, deadline_seconds=None)).stop_seconds
    train_seconds = next(phase.seconds.expected for phase in forecast.phases if phase.name == "train")
    left_for_training = stop_seconds - (_work_seconds(forecast) - train_seconds)
    return Nearest(
        offer=offer,
        needed_usd=_needed_usd(offer, plan),
        budget_usd=plan.terms.budget_usd,
        training_share=max(0.0, min(1.0, left_for_training / train_seconds)),
    )


_FULLEST_FIRST = (Stock.HIGH, Stock.MEDIUM, Stock.SOME, Stock.UNKNOWN, Stock.LOW, Stock.NONE)


def _rank(choice: Choice) -> tuple[Decimal, float, int, str]:
    """Cheapest to finish; of equals the one that is done sooner, then the one of which there is more."""
    estimate, offer = choice.estimate, choice.offer
    return estimate.usd.expected_usd, estimate.seconds.expected, _FULLEST_FIRST.index(offer.stock), offer.id


def _weigh(offer: Offer, odd_price: str, workload: Workload, terms: Terms) -> Choice | Rejected:
    refusal = _not_allowed(offer, terms) or _not_able(offer, workload, terms)
    if refusal is None and odd_price:
        refusal = ("price-outlier", odd_price)
    if refusal:
        return Rejected(offer=offer, code=refusal[0], reason=refusal[1])
    forecast = estimate(offer, workload, terms)
    refusal = _no_room(offer, workload, forecast) or _out_of_reach(offer, workload, forecast, terms)
    refusal = refusal or _not_to_be_had(offer, terms)
    if refusal:
        return Rejected(offer=offer, code=refusal[0], reason=refusal[1])
    return _choice(offer, workload, forecast, terms)


def _choice(offer: Offer, workload: Workload, forecast: Estimate, terms: Terms) -> Choice:
    disk = _disk_gib(offer, workload, terms)
    lease_seconds = _cap(offer, workload, terms).lease_seconds if _has_cap(offer, terms) else 0
    return Choice(
        offer=offer,
        estimate=forecast,
        worst_usd_per_hour=worst_usd_per_hour(offer, disk, terms.tax(offer.provider)),
        expected_usd_per_hour=expected_usd_per_hour(offer, disk, terms.tax(offer.provider)),
        lease_seconds=lease_seconds,
        disk_gib=disk,
        high_fits=not _has_cap(offer, terms) or forecast.seconds.high <= lease_seconds,
    )


def _not_allowed(offer: Offer, terms: Terms) -> tuple[str, str] | None:
    """What the person has to say first."""
    named = terms.asked_for is None or offer.provider in terms.asked_for
    if not named and offer.provider in terms.by_name_only:
        return "not-automatic", f"only by --provider {offer.provider}"
    if not named and offer.gpu is None:
        return "not-automatic", f"the CPU is used only when asked for (--provider {offer.provider})"
    if not (offer.guarded or terms.accept_unguarded or terms.interactive):
        return "unguarded", "it does not end itself if we vanish (--accept-unguarded takes it all the same)"
    most = terms.unguarded_usd_per_hour
    if not offer.guarded and most is not None and offer.worst_usd_per_hour * (1 + terms.tax(offer.provider)) > most:
        return "unguarded", f"it does not end itself if we vanish, and costs more than the {most:.2f}/h agreed to"
    if terms.has_secrets and not offer.vetted:
        return "community-secrets", "its owner could read the secrets that this job is handed"
    return None


def _not_to_be_had(offer: Offer, terms: Terms) -> tuple[str, str] | None:
    """What would do, and cannot be rented or paid for now."""
    if offer.stock is Stock.NONE:
        return "sold-out", "the provider shows none free now"
    balance = terms.balance_usd.get(offer.provider)
    if balance is not None and terms.budget_usd is not None and balance < terms.budget_usd:
        return "balance", f"the run may cost {terms.budget_usd:.2f}, the account there holds {balance:.2f}"
    spare = terms.spare_usd_per_hour.get(offer.provider)
    if spare is not None and offer.usd_per_hour > spare:
        return "spending-limit", f"the account's limit there leaves {spare:.2f}/h"
    return None


def _not_able(offer: Offer, workload: Workload, terms: Terms) -> tuple[str, str] | None:
    """What the machine cannot do at all; another architecture may be tried by whoever names its card."""
    gpu = offer.gpu
    named = gpu is not None and gpu.name in terms.gpus_by_name
    if offer.market is not Market.OWNED and offer.architecture != ARCHITECTURE and not named:
        return "architecture", f"the job's programs are built for {ARCHITECTURE}, this machine is {offer.architecture}"
    if gpu is not None and not gpu.cuda:
        return "architecture", f"the job's programs are built for CUDA, the {gpu.name} is {gpu.architecture}"
    if gpu is not None and not gpu.bf16:
        return "no-bf16", f"the {gpu.name} cannot compute in bf16"
    need_gib, have_gib = ram_gib(workload), offer.ram_gib * RAM_USABLE_SHARE
    if gpu is not None and need_gib > have_gib:
        return "ram", f"loading the model needs {need_gib:.1f} GiB of host memory, {have_gib:.1f} are usable"
    return None


def _no_room(offer: Offer, workload: Workload, forecast: Estimate) -> tuple[str, str] | None:
    fit = forecast.fit
    if fit.fits:
        return None
    where = "the machine" if offer.gpu is None else f"the {offer.gpu.name}"
    text = f"needs {fit.needed_gib:.1f} GiB with a margin of {fit.margin:g}, {where} has {fit.usable_gib:.1f}"
    return "does-not-fit", f"{text}: {fit.short_gib:.1f} short"


def _out_of_reach(offer: Offer, workload: Workload, forecast: Estimate, terms: Terms) -> tuple[str, str] | None:
    """The expected work must be done before the hard cap asks for a save."""
    if not _has_cap(offer, terms):
        return None
    work_seconds = _work_seconds(forecast)
    if _cap(offer, workload, terms).stop_seconds >= work_seconds:
        return None
    by_money = _cap(offer, workload, replace(terms, deadline_seconds=None)).stop_seconds
    if by_money >= work_seconds:
        return "over-deadline", f"needs about {forecast.seconds.expected / 3600:.1f} h, the deadline is earlier"
    needed_usd = _offer_needs_usd(offer, workload, forecast, terms)
    return "over-budget", f"to be sure to finish as expected it needs a budget of ${needed_usd}"


def _work_seconds(forecast: Estimate) -> float:
    """Until the results are there: all but pull and teardown, which the cap's reserve holds."""
    phases = [phase.seconds.expected for phase in forecast.phases if phase.name not in ENDING_PHASES]
    return sum(phases) + forecast.rework_seconds


def _has_cap(offer: Offer, terms: Terms) -> bool:
    """Without a budget (an estimate, nothing to be spent) a machine that bills has no lease."""
    return terms.budget_usd is not None or _rates(offer) == 0


def _rates(offer: Offer) -> Decimal:
    return offer.worst_usd_per_hour + offer.fees.ip_usd_per_hour + offer.fees.disk_usd_per_gib_month


def _cap(offer: Offer, workload: Workload, terms: Terms) -> Cap:
    disk = _disk_gib(offer, workload, terms)
    return Cap(
        budget_usd=terms.budget_usd,
        spent_usd=Decimal(0),
        worst_usd_per_hour=worst_usd_per_hour(offer, disk, terms.tax(offer.provider)),
        reserve=_reserve(offer, workload, terms),
        billing=offer.billing,
        deadline_left_seconds=terms.deadline_seconds,
    )


def _reserve(offer: Offer, workload: Workload, terms: Terms) -> Reserve:
    return reserve_for(offer, workload, terms.guard_delay_seconds.get(offer.provider, 0.0), terms.tax(offer.provider))


def _disk_gib(offer: Offer, workload: Workload, terms: Terms) -> int:
    return max(disk_gib(workload), terms.minimum_disk_gib.get(offer.provider, 0))


def _needed_usd(offer: Offer, plan: Plan) -> Decimal:
    return _offer_needs_usd(offer, plan.workload, estimate(offer, plan.workload, plan.terms), plan.terms)


def _offer_needs_usd(offer: Offer, workload: Workload, forecast: Estimate, terms: Terms) -> Decimal:
    worst = worst_usd_per_hour(offer, _disk_gib(offer, workload, terms), terms.tax(offer.provider))
    return budget_for_usd(_work_seconds(forecast), worst, _reserve(offer, workload, terms), offer.billing)


def _price_outliers(offers: tuple[Offer, ...]) -> dict[str, str]:
    """Spot prices that are not believed, by offer id: far below all other zones, or no cheaper than on-demand there."""
    spot = [offer for offer in offers if offer.market is Market.SPOT]
    return {offer.id: text for offer in spot if (text := _too_low(offer, spot) or _no_discount(offer, offers))}


def _too_low(offer: Offer, spot: list[Offer]) -> str:
    prices = sorted(one.usd_per_hour for one in spot if one.instance_type == offer.instance_type)
    middle = prices[len(prices) // 2]
    if len(prices) < OUTLIER_ZONES or offer.usd_per_hour >= middle * OUTLIER_SHARE:
        return ""
    return f"${offer.usd_per_hour}/h is far below the median of {len(prices)} places (${middle:.3f}): not believed"


def _no_discount(offer: Offer, offers: tuple[Offer, ...]) -> str:
    for one in offers:
        same = (one.provider, one.region, one.instance_type) == (offer.provider, offer.region, offer.instance_type)
        if same and one.market is Market.ON_DEMAND and one.usd_per_hour <= offer.usd_per_hour:
            return f"on-demand costs ${one.usd_per_hour}/h there and is not reclaimed"
    return ""
