"""The judge of every budget test: bills each machine by AWS's own rules, and knows nothing of the product's books."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

MINIMUM_SECONDS = 60
"""Linux machines are billed by the second, but never for less than this (aws.md section 7)."""
GP3_USD_PER_GIB_MONTH = Decimal("0.08")
HOURS_PER_MONTH = Decimal(730)
IPV4_USD_PER_HOUR = Decimal("0.005")
EGRESS_USD_PER_GB = Decimal("0.09")
"""From the first byte: the account's free 100 GB a month may have been used up by somebody else."""


@dataclass(kw_only=True)
class Metered:
    """One machine as the meter sees it; instants are sim seconds since the world began, None = not yet."""

    id: str
    tags: dict[str, str]
    created: float
    disk_gib: int
    prices: list[tuple[float, Decimal]]
    """(from when, $/h) in order; a one-element list for an on-demand machine."""
    started: float | None = None
    ended: float | None = None
    deleted: float | None = None
    egress_bytes: int = 0

    def price(self, at: float, usd_per_hour: Decimal) -> None:
        """The zone's price moved while the machine lives."""
        if self.ended is None:
            self.prices.append((at, usd_per_hour))


@dataclass(frozen=True, kw_only=True)
class Bill:
    """What one machine costs up to an instant, in dollars, by item."""

    compute_usd: Decimal
    disk_usd: Decimal
    address_usd: Decimal
    egress_usd: Decimal
    seconds: Decimal = Decimal(0)
    """Billed seconds of compute."""

    @property
    def total_usd(self) -> Decimal:
        """The sum of the items."""
        return self.compute_usd + self.disk_usd + self.address_usd + self.egress_usd


def bill(machine: Metered, now: float) -> Bill:
    """What `machine` costs up to `now`. A machine that never ran costs its disk alone."""
    until = machine.ended if machine.ended is not None else now
    gone = machine.deleted if machine.deleted is not None else now
    disk = machine.disk_gib * _cost(GP3_USD_PER_GIB_MONTH, gone - machine.created) / HOURS_PER_MONTH
    egress = EGRESS_USD_PER_GB * machine.egress_bytes / Decimal(10**9)
    if machine.started is None:
        return Bill(compute_usd=Decimal(0), disk_usd=disk, address_usd=Decimal(0), egress_usd=egress)
    end = max(until, machine.started + MINIMUM_SECONDS)
    return Bill(
        compute_usd=_compute(machine.prices, machine.started, end),
        disk_usd=disk,
        address_usd=_cost(IPV4_USD_PER_HOUR, until - machine.started),
        egress_usd=egress,
        seconds=_decimal(end - machine.started),
    )


def _compute(prices: list[tuple[float, Decimal]], start: float, end: float) -> Decimal:
    """The price curve summed from `start` to `end`."""
    total = Decimal(0)
    for (since, usd_per_hour), until in zip(prices, [at for at, _ in prices[1:]] + [end], strict=True):
        total += _cost(usd_per_hour, max(0.0, min(until, end) - max(since, start)))
    return total


def _cost(usd_per_hour: Decimal, seconds: float) -> Decimal:
    return usd_per_hour * _decimal(seconds) / 3600


def _decimal(seconds: float) -> Decimal:
    return Decimal(str(round(seconds, 6)))


@dataclass(kw_only=True)
class Meter:
    """All machines that ever were, and what they cost."""

    machines: dict[str, Metered] = field(default_factory=dict)

    def add(self, machine: Metered) -> None:
        """Begin to meter a machine."""
        self.machines[machine.id] = machine

    def tagged(self, key: str | None = None, value: str | None = None) -> list[Metered]:
        """The machines with that tag; all of them without a key."""
        return [one for one in self.machines.values() if key is None or _matches(one.tags, key, value)]

    def total_usd(self, now: float, key: str | None = None, value: str | None = None) -> Decimal:
        """What those machines cost up to `now`."""
        return sum((bill(one, now).total_usd for one in self.tagged(key, value)), Decimal(0))

    def alive(self, key: str | None = None, value: str | None = None) -> list[str]:
        """The ids of those that are billed, or are about to be."""
        return [one.id for one in self.tagged(key, value) if one.ended is None]

    def peak(self, now: float, key: str | None = None, value: str | None = None) -> int:
        """The most of those machines that were ever held at one instant, counted from create to shutting-down."""
        return peak((one.created, one.ended if one.ended is not None else now) for one in self.tagged(key, value))


def _matches(tags: Mapping[str, str], key: str, value: str | None) -> bool:
    return key in tags and (value is None or tags[key] == value)


def peak(intervals: Iterable[tuple[float, float]]) -> int:
    """The most half-open intervals [begin, end) that overlap anywhere."""
    edges = sorted(edge for begin, end in intervals for edge in ((begin, 1), (end, -1)))
    now = most = 0
    for _, step in edges:
        now += step
        most = max(most, now)
    return most
