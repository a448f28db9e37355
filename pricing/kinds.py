"""Offers of a kind: what a plan needs to know of an offer and that does not depend on its price, worked out once."""

from bisect import bisect_right
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from functools import lru_cache
from itertools import accumulate
from math import ceil

from pricing.budget import (
    RATE_STEP_USD,
    Cap,
    Reserve,
    budget_for_usd,
    payable_seconds,
    reserve_for,
)
from pricing.estimate import Outlook, checkpoints_usd, egress_usd, outlook
from pricing.gpus import Gpu
from pricing.memory import RAM_USABLE_SHARE, disk_gib, ram_gib
from pricing.odds import KEPT, Spread
from pricing.offer import Billing, Market, Offer, Stock
from pricing.terms import Terms
from pricing.workload import Workload

ARCHITECTURE = "x86_64"
"""What the job's locked wheels are proven on; a machine that the user owns brings its own."""
CENT_USD = Decimal("0.01")
FULLEST_FIRST = (Stock.HIGH, Stock.MEDIUM, Stock.SOME, Stock.UNKNOWN, Stock.LOW, Stock.NONE)

Refusal = tuple[str, str]
"""A code for programs, a reason for people."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Kind:
    """One kind of machine, able to do the work, for one workload under given terms.

    `no_room` and `closed` say why it is no choice at any price: memory, or it is not to be had. `needed_ram_gib` is of
    the host, beside a GPU. `most_usd_per_hour` is what was agreed to for one that does not end itself,
    `spare_usd_per_hour` what the account's limit leaves.
    `fees_usd_per_hour` and `egress_usd` (`checkpoints_usd` of it) come on top of the price; `left_usd` of `budget_usd`
    is left for machine time (None: no cap). `needed_seconds`: the work of a run as slow as `Terms.least_odds` asks,
    `needed_lease_seconds` the lease for it (0: no cap). `paid_seconds[i]`: billed time of all runs up to point i of the
    distribution, each times its probability. Equal by identity: to compare the values takes longer than to use them.
    """

    needed_ram_gib: float
    no_room: Refusal | None
    closed: Refusal | None
    most_usd_per_hour: Decimal | None
    spare_usd_per_hour: Decimal | None
    outlook: Outlook
    disk_gib: int
    fees_usd_per_hour: Decimal
    tax_fraction: Decimal
    egress_usd: Decimal
    checkpoints_usd: Decimal
    reserve: Reserve
    billing: Billing
    budget_usd: Decimal
    left_usd: Decimal | None
    deadline_seconds: int | None
    least_odds: float
    needed_seconds: float
    needed_lease_seconds: float
    paid_seconds: tuple[float, ...]

    def all_in_usd_per_hour(self, compute_usd_per_hour: Decimal) -> Decimal:
        """An hour at that price, with address, disk and tax; as `budget.worst_usd_per_hour` of the offer."""
        hourly = (compute_usd_per_hour + self.fees_usd_per_hour) * (1 + self.tax_fraction)
        return hourly.quantize(RATE_STEP_USD, rounding=ROUND_UP)

    def lease_seconds(self, worst_usd_per_hour: Decimal) -> int:
        """`Cap.lease_seconds` of a new machine at that rate."""
        return 0 if self.left_usd is None else self._lease_seconds(self.left_usd, worst_usd_per_hour)

    def working_lease_seconds(self, worst_usd_per_hour: Decimal, *, deadline: bool = True) -> int:
        """The same once the egress of all checkpoints is spent: what the work can count on."""
        if self.left_usd is None:
            return 0
        left_usd = max(Decimal(0), self.left_usd - self.checkpoints_usd)
        return self._lease_seconds(left_usd, worst_usd_per_hour, deadline=deadline)

    def _lease_seconds(self, left_usd: Decimal, worst_usd_per_hour: Decimal, *, deadline: bool = True) -> int:
        allowed = payable_seconds(left_usd, worst_usd_per_hour, self.billing)
        if deadline and self.deadline_seconds is not None:
            allowed = min(allowed, self.deadline_seconds)
        return max(0, allowed - ceil(self.reserve.guard_seconds))

    def stop_seconds(self, lease_seconds: int) -> float:
        """`Cap.stop_seconds` of that lease."""
        return max(0.0, lease_seconds - self.reserve.ending_seconds)

    def needed_usd(self, worst_usd_per_hour: Decimal) -> Decimal:
        """The budget, in whole cents, with which a machine at that rate finishes with the odds that are asked for."""
        usd = budget_for_usd(self.needed_seconds, worst_usd_per_hour, self.reserve, self.billing)
        return (usd + self.checkpoints_usd).quantize(CENT_USD, rounding=ROUND_UP)

    def finishing(self, lease_seconds: int) -> tuple[float, float]:
        """P(the work is done in time) under that lease, and the billed seconds of those runs, times their probability.

        Without a cap every run finishes.
        """
        if self.left_usd is None:
            return 1.0, self.paid_seconds[-1]
        work = self.outlook.work
        at = bisect_right(work.seconds, self.stop_seconds(lease_seconds)) - 1
        return (work.below[at], self.paid_seconds[at]) if at >= 0 else (0.0, 0.0)


class Kinds:
    """The kinds among the offers of one plan, each worked out at its first offer."""

    def __init__(self, workload: Workload, terms: Terms) -> None:
        self.workload, self.terms = workload, terms
        self._kinds: dict[tuple[object, ...], Kind | Refusal] = {}
        self._outlooks: dict[tuple[object, ...], Outlook] = {}
        self._cards: list[Gpu | None] = []

    def of(self, offer: Offer) -> Kind | Refusal:
        """The kind of this offer, or why it is not allowed or not able at any price."""
        fees, billing = offer.fees, offer.billing
        key = (
            # Cards and members of enumerations by identity: to hash their values takes as long as all the rest here.
            id(offer.gpu), id(offer.market), id(offer.stock), offer.provider, offer.boot_seconds,
            offer.ram_gib if offer.gpu is None else 0.0, offer.architecture, offer.guarded, offer.vetted,
            offer.reclaims_per_hour, not offer.worst_usd_per_hour, fees.disk_usd_per_gib_month,
            fees.ip_usd_per_hour, fees.egress_usd_per_gib, billing.granularity_seconds, billing.minimum_seconds,
        )  # fmt: skip
        found = self._kinds.get(key)
        if found is None:
            self._cards.append(offer.gpu)  # as long as it lives, no other card has its identity
            found = self._kinds[key] = self._made(offer)
        return found

    def able(self, offer: Offer) -> Kind:
        """The kind of an offer that was found able before."""
        found = self.of(offer)
        if not isinstance(found, Kind):
            raise ValueError(f"{offer.id}: {found[1]}")  # noqa: TRY004 - it is the offer that is wrong, not its type
        return found

    def _made(self, offer: Offer) -> Kind | Refusal:
        terms, workload = self.terms, self.workload
        refusal = not_allowed(offer, terms) or not_able(offer, terms)
        if refusal is not None:
            return refusal
        view = self._outlook(offer)
        disk, tax = max(disk_gib(workload), terms.minimum_disk_gib.get(offer.provider, 0)), terms.tax(offer.provider)
        delay = terms.guard_delay_seconds.get(offer.provider, 0.0)
        reserve = reserve_for(offer, workload, delay, tax, stores=terms.durable_store)
        fees_usd_per_hour = offer.fees.usd_per_hour(disk)
        bills = offer.worst_usd_per_hour + fees_usd_per_hour > 0
        needed_seconds = view.work.quantile(terms.least_odds)
        capped = terms.budget_usd is not None or not bills
        return Kind(
            needed_ram_gib=0.0 if offer.gpu is None else ram_gib(workload),
            no_room=no_room(offer, view),
            closed=closed(offer, terms),
            most_usd_per_hour=None if offer.guarded else terms.unguarded_usd_per_hour,
            spare_usd_per_hour=terms.spare_usd_per_hour.get(offer.provider),
            outlook=view,
            disk_gib=disk,
            fees_usd_per_hour=fees_usd_per_hour,
            tax_fraction=tax,
            egress_usd=egress_usd(offer, workload, terms),
            checkpoints_usd=checkpoints_usd(offer, workload, terms),
            reserve=reserve,
            billing=offer.billing,
            budget_usd=terms.budget_usd or Decimal(0),
            left_usd=_left_usd(offer, terms, reserve) if capped else None,
            deadline_seconds=None if terms.deadline_seconds is None else int(terms.deadline_seconds),
            least_odds=terms.least_odds,
            needed_seconds=needed_seconds,
            needed_lease_seconds=needed_seconds + reserve.ending_seconds if capped else 0.0,
            paid_seconds=_paid_seconds(view.work, view.ending_seconds, offer.billing),
        )

    def _outlook(self, offer: Offer) -> Outlook:
        key = (
            offer.gpu, offer.market, offer.provider, offer.boot_seconds, offer.reclaims_per_hour,
            offer.ram_gib if offer.gpu is None else None,
        )  # fmt: skip
        return self._outlooks.get(key) or self._outlooks.setdefault(key, outlook(offer, self.workload, self.terms))


def _left_usd(offer: Offer, terms: Terms, reserve: Reserve) -> Decimal:
    """Before anything is spent. The rate plays no part in it."""
    return Cap(
        budget_usd=terms.budget_usd,
        spent_usd=Decimal(0),
        worst_usd_per_hour=Decimal(0),
        reserve=reserve,
        billing=offer.billing,
        deadline_left_seconds=None,
    ).left_usd


@lru_cache(maxsize=KEPT)
def _paid_seconds(work: Spread, ending_seconds: float, billing: Billing) -> tuple[float, ...]:
    """The billed time of each point of the distribution, its ending included, times its probability, summed up."""
    step, least = billing.granularity_seconds, billing.minimum_seconds  # as `billed_seconds`, without its calls
    billed = [max(-(-(one + ending_seconds) // step) * step, least) for one in work.seconds]
    return tuple(accumulate(weight * one for weight, one in zip(work.weights, billed, strict=True)))


def not_allowed(offer: Offer, terms: Terms) -> Refusal | None:
    """What the person has to say first."""
    named = terms.asked_for is None or offer.provider in terms.asked_for
    if not named and offer.provider in terms.by_name_only:
        return "not-automatic", f"only by --provider {offer.provider}"
    if not named and offer.gpu is None:
        return "not-automatic", f"the CPU is used only when asked for (--provider {offer.provider})"
    if not (offer.guarded or terms.accept_unguarded or terms.interactive):
        return "unguarded", "it does not end itself if we vanish (--accept-unguarded takes it all the same)"
    if terms.has_secrets and not offer.vetted:
        return "community-secrets", "its owner could read the secrets that this job is handed"
    return None


def not_able(offer: Offer, terms: Terms) -> Refusal | None:
    """What the machine cannot do at all; another architecture may be tried by whoever names its card."""
    gpu = offer.gpu
    named = gpu is not None and gpu.name in terms.gpus_by_name
    if offer.market is not Market.OWNED and offer.architecture != ARCHITECTURE and not named:
        return "architecture", f"the job's programs are built for {ARCHITECTURE}, this machine is {offer.architecture}"
    if gpu is not None and not gpu.cuda:
        return "architecture", f"the job's programs are built for CUDA, the {gpu.name} is {gpu.architecture}"
    if gpu is not None and not gpu.bf16:
        return "no-bf16", f"the {gpu.name} cannot compute in bf16"
    return None


def no_ram(offer: Offer, kind: Kind) -> Refusal | None:
    """The host cannot load the model. Machines of a kind differ in this, and in their price."""
    usable_gib = offer.ram_gib * RAM_USABLE_SHARE
    if kind.needed_ram_gib <= usable_gib:
        return None
    need = f"loading the model needs {kind.needed_ram_gib:.1f} GiB of host memory"
    return "ram", f"{need}, {usable_gib:.1f} are usable"


def no_room(offer: Offer, view: Outlook) -> Refusal | None:
    """The run does not fit into the memory of the card (or of the machine)."""
    fit = view.times.fit
    if fit.fits:
        return None
    where = "the machine" if offer.gpu is None else f"the {offer.gpu.name}"
    text = f"needs {fit.needed_gib:.1f} GiB, {fit.sure_gib:.1f} to be sure, {where} has {fit.usable_gib:.1f}"
    return "does-not-fit", f"{text}: {fit.short_gib:.1f} short"


def closed(offer: Offer, terms: Terms) -> Refusal | None:
    """What would do, and cannot be rented or paid for now."""
    if offer.stock is Stock.NONE:
        return "sold-out", "the provider shows none free now"
    balance = terms.balance_usd.get(offer.provider)
    if balance is not None and terms.budget_usd is not None and balance < terms.budget_usd:
        return "balance", f"the run may cost {terms.budget_usd:.2f}, the account there holds {balance:.2f}"
    return None
