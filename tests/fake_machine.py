"""What is true of the machines of `fake_provider`: their clock, life and bill, and the offers they come from."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from pricing.gpus import Gpu, by_name
from pricing.offer import Fees, Market, Offer
from providers.base import EndReason, InstanceRequest, InstanceState, Traits
from tests.cloud.meter import Metered, Rules, bill

HOUR = 3600
FEES = Fees(
    disk_usd_per_gib_month=Decimal("0.08"), ip_usd_per_hour=Decimal("0.005"), egress_usd_per_gib=Decimal("0.09")
)


class VirtualClock:
    """A clock that moves only when told; `sleep` is the story's `World.sleep`."""

    def __init__(self, start: datetime = datetime(2026, 11, 24, 12, tzinfo=UTC)) -> None:
        self._now = start
        self.seconds = 0.0
        """Since it began: what a monotonic clock shows."""

    def __call__(self) -> datetime:
        return self._now

    def sleep(self, seconds: float) -> None:
        """Time passes."""
        self._now += timedelta(seconds=max(seconds, 0.0))
        self.seconds += max(seconds, 0.0)


@dataclass
class Machine:
    """A machine as it truly is, whatever the lies say."""

    id: str
    provider: str
    owner: str
    request: InstanceRequest
    born_at: datetime
    lease_seconds: float
    guard_seconds: float | None
    pending_seconds: float
    linger_seconds: float
    forgotten_seconds: float
    rates: list[tuple[datetime, Decimal]]
    ended_at: datetime | None = None
    reason: EndReason = EndReason.NONE
    dies_in_pending: EndReason = EndReason.NONE
    ends_at: datetime | None = None
    """When it will end, where its cloud takes its time over that, or has given notice."""
    ends_for: EndReason = EndReason.ASKED

    @property
    def dead_at(self) -> datetime | None:
        """When its own guard ends it at the latest; None where nothing does."""
        if self.guard_seconds is None:
            return None
        return self.born_at + timedelta(seconds=self.lease_seconds + self.guard_seconds)

    @property
    def gpu(self) -> Gpu | None:
        """The card that was rented."""
        return self.request.offer.gpu

    def settle(self, now: datetime) -> None:
        """Let happen what happens by itself up to `now`: death in pending, a slow end, the own deadline."""
        if self.ended_at is not None:
            return
        dead_at = self.dead_at
        if self.ends_at is not None and now >= self.ends_at and self.ends_at <= (dead_at or self.ends_at):
            self.end(self.ends_at, self.ends_for)
            return
        if self.dies_in_pending and now >= self.born_at + timedelta(seconds=self.pending_seconds):
            self.end(self.born_at + timedelta(seconds=self.pending_seconds), self.dies_in_pending)
        elif dead_at is not None and now >= dead_at:
            self.end(dead_at, EndReason.OWN_DEADLINE)

    def end_later(self, at: datetime, reason: EndReason) -> None:
        """It will end then, unless something ends it before."""
        if self.ends_at is None or at < self.ends_at:
            self.ends_at, self.ends_for = at, reason

    def end(self, at: datetime, reason: EndReason) -> None:
        """It ends, once."""
        if self.ended_at is None:
            self.ended_at, self.reason = at, reason

    def state(self, now: datetime) -> InstanceState:
        """What an honest cloud would show."""
        if self.ended_at is not None:
            lingering = now < self.ended_at + timedelta(seconds=self.linger_seconds)
            return InstanceState.ENDING if lingering else InstanceState.GONE
        pending = now < self.born_at + timedelta(seconds=self.pending_seconds)
        return InstanceState.PENDING if pending else InstanceState.RUNNING

    def billed_usd(self, now: datetime) -> Decimal:
        """What it has cost so far, by the meter of the test clouds."""
        return bill(self.metered(), self._age_seconds(now)).total_usd

    def metered(self) -> Metered:
        """As that meter sees it: billed from the create call on, in whole steps, its disk and its address with it."""
        offer = self.request.offer
        rules = Rules(
            step_seconds=offer.billing.granularity_seconds,
            minimum_seconds=offer.billing.minimum_seconds,
            from_create=True,
            disk_usd_per_gib_month=offer.fees.disk_usd_per_gib_month,
            disk_while_running=True,
            address_usd_per_hour=offer.fees.ip_usd_per_hour,
        )
        return Metered(
            id=self.id,
            tags={},
            created=0.0,
            disk_gib=self.request.disk_gib,
            prices=[(self._age_seconds(at), usd_per_hour) for at, usd_per_hour in self.rates],
            ended=None if self.ended_at is None else self._age_seconds(self.ended_at),
            rules=rules,
        )

    def _age_seconds(self, at: datetime) -> float:
        return (at - self.born_at).total_seconds()


def fake_traits(*, guarded: bool = True, spot: bool = True, idempotent_create: bool = True) -> Traits:
    """What a view can do; the figures are small, so that tests wait little virtual time."""
    return Traits(
        bills=True,
        guarded=guarded,
        guard="the fake's own clock",
        spot=spot,
        idempotent_create=idempotent_create,
        boot_deadline_seconds=480,
        settle_seconds=60,
        guard_delay_seconds=30,
    )


def fake_offer(
    instance_type: str = "f1.small", *, usd: str = "0.50", market: Market = Market.SPOT, zone: str = "north-1a"
) -> Offer:
    """One A10G machine at `usd` an hour; a spot offer may cost twice as much at worst."""
    price = Decimal(usd)
    return Offer(
        provider="fake",
        instance_type=instance_type,
        region=zone[:-1],
        zone=zone,
        market=market,
        gpu=by_name("A10G"),
        gpu_count=1,
        vcpus=4,
        ram_gib=16,
        usd_per_hour=price,
        worst_usd_per_hour=price * 2 if market is Market.SPOT else price,
        seen_at=datetime(2026, 11, 24, 12, tzinfo=UTC),
        source="the fake's own price list",
        guarded=True,
        fees=FEES,
        boot_seconds=60,
    )
