"""The judge of every budget test: bills each machine by AWS's own rules, and knows nothing of the product's books."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

HOURS_PER_MONTH = Decimal(730)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How one cloud bills: compute from `started` (or the create call) to the end, in steps, for a minimum."""

    step_seconds: int = 1
    minimum_seconds: int = 0
    from_create: bool = False
    disk_usd_per_gib_month: Decimal = Decimal(0)
    disk_while_running: bool = False
    """Billed with the compute; else from the create call until it is deleted."""
    address_usd_per_hour: Decimal = Decimal(0)
    egress_usd_per_gb: Decimal = Decimal(0)


AWS = Rules(
    minimum_seconds=60,
    disk_usd_per_gib_month=Decimal("0.08"),
    address_usd_per_hour=Decimal("0.005"),
    egress_usd_per_gb=Decimal("0.09"),
)
"""By the second, at least 60 (aws.md section 7). Egress from the first byte: the account's free 100 GB a month may have
been used up by somebody else."""
LAMBDA = Rules(step_seconds=60, minimum_seconds=60)
"""By the started minute, from healthy (or unhealthy: some say that they paid) to the terminate call (lambda.md 9)."""
RUNPOD = Rules(from_create=True, disk_usd_per_gib_month=Decimal("0.10"), disk_while_running=True)
"""By the second. Where its meter starts is not documented: the bad case is the create call (runpod.md section 7)."""


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
    rules: Rules = AWS
    off: list[list[float | None]] = field(default_factory=list)
    """Stretches in which it was stopped, and no compute was billed; the last one may be open."""

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
    rules = machine.rules
    until = machine.ended if machine.ended is not None else now
    gone = machine.deleted if machine.deleted is not None else now
    start = machine.created if rules.from_create else machine.started
    egress = rules.egress_usd_per_gb * machine.egress_bytes / Decimal(10**9)
    if start is None:
        return Bill(
            compute_usd=Decimal(0), disk_usd=_disk(machine, gone - machine.created),
            address_usd=Decimal(0), egress_usd=egress,
        )  # fmt: skip
    steps = -(-max(0.0, round(until - start, 6)) // rules.step_seconds) if rules.step_seconds > 1 else None
    end = max(until if steps is None else start + steps * rules.step_seconds, start + rules.minimum_seconds)
    off = sum(max(0.0, (until if to is None else to) - (since or 0.0)) for since, to in machine.off)
    return Bill(
        compute_usd=_compute(machine.prices, start, end) - _cost(machine.prices[-1][1], off),
        disk_usd=_disk(machine, until - start - off if rules.disk_while_running else gone - machine.created),
        address_usd=_cost(rules.address_usd_per_hour, until - start),
        egress_usd=egress,
        seconds=_decimal(end - start - off),
    )


def _disk(machine: Metered, seconds: float) -> Decimal:
    return machine.disk_gib * _cost(machine.rules.disk_usd_per_gib_month, seconds) / HOURS_PER_MONTH


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
