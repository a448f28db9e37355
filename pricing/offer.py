"""What can be rented: one machine type, in one place, at one price, seen at one time, from one source."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from pricing.gpus import Gpu

HOURS_PER_MONTH = 730


class Market(StrEnum):
    """How the machine is bought: `spot` may be reclaimed, `owned` costs no rent."""

    SPOT = "spot"
    ON_DEMAND = "on-demand"
    OWNED = "owned"


@dataclass(frozen=True, kw_only=True)
class Fees:
    """What a machine costs beside its hourly price; zero where the provider asks nothing."""

    disk_usd_per_gib_month: Decimal = Decimal(0)
    ip_usd_per_hour: Decimal = Decimal(0)
    egress_usd_per_gib: Decimal = Decimal(0)

    def usd_per_hour(self, disk_gib: int) -> Decimal:
        """The fees that run by the hour, for a disk of `disk_gib`."""
        return self.ip_usd_per_hour + self.disk_usd_per_gib_month * disk_gib / HOURS_PER_MONTH


@dataclass(frozen=True, kw_only=True)
class Billing:
    """In what steps a provider counts time, and the least that it charges for."""

    granularity_seconds: int = 1
    minimum_seconds: int = 0

    def billed_seconds(self, seconds: float) -> int:
        """`seconds` of machine life, rounded as the provider rounds: up to its step, at least its minimum."""
        steps = -(-max(seconds, 0.0) // self.granularity_seconds)
        return max(int(steps) * self.granularity_seconds, self.minimum_seconds)


BY_THE_SECOND = Billing()


class Stock(StrEnum):
    """How many there are, as the provider says it; UNKNOWN where it says nothing."""

    UNKNOWN = ""
    NONE = "none"
    SOME = "some"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """One machine at one price. `worst_usd_per_hour` is the most that it can ever bill (a spot offer's MaxPrice)."""

    provider: str
    instance_type: str
    region: str
    zone: str
    market: Market
    gpu: Gpu | None
    gpu_count: int
    vcpus: int
    ram_gib: float
    usd_per_hour: Decimal
    worst_usd_per_hour: Decimal
    seen_at: datetime
    source: str
    guarded: bool
    fees: Fees = Fees()
    billing: Billing = Billing()
    boot_seconds: float = 0.0
    architecture: str = "x86_64"
    reclaims_per_hour: float | None = None
    """Expected reclaims in an hour of a spot machine; None where nobody knows."""
    stock: Stock = Stock.UNKNOWN
    """A hint, never a reservation."""
    vetted: bool = True
    """False: the host is a private person's computer, and its owner can read all that is on it."""

    def __post_init__(self) -> None:
        if self.usd_per_hour < 0 or self.worst_usd_per_hour < self.usd_per_hour:
            raise ValueError(
                f"{self.id}: price {self.usd_per_hour} must be within 0 and worst price {self.worst_usd_per_hour}"
            )
        if self.seen_at.tzinfo is None:
            raise ValueError(f"{self.id}: a price needs an aware time")
        if (self.gpu is None) != (self.gpu_count == 0):
            raise ValueError(f"{self.id}: {self.gpu_count} GPUs of model {self.gpu}")

    @property
    def id(self) -> str:
        """A name for people and logs: provider/zone/type/market."""
        return f"{self.provider}/{self.zone or self.region}/{self.instance_type}/{self.market}"

    @property
    def pool(self) -> tuple[str, str, str, str]:
        """What shares one supply: a refused pool is left alone for a while."""
        return (self.provider, self.zone or self.region, self.instance_type, str(self.market))

    def age(self, now: datetime) -> timedelta:
        """How old the price is."""
        return now - self.seen_at
