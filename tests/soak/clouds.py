"""The providers of a day: fakes with their natures, that tell the storm who was asked, and wait for their turn."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from pricing.offer import Billing, Market, Offer
from providers.base import Boot, EndReason, Instance, InstanceRequest, Leftover, NotFound, OfferQuery, Traits
from tests.fake_machine import Machine, fake_offer, fake_traits
from tests.fake_provider import FakeCloud, FakeProvider
from tests.fake_world import FIRST_RUN
from tests.soak.schedule import FIRST_CLOUD, Cloud, OtherCloud, Schedule

REQUEST_SECONDS, LAUNCH_SECONDS = 1.0, 12.0
"""Between two requests, and between two launches, of a cloud that counts them (lambda.md, section 0)."""
STRANGER, OLD_RUN = "somebody else", "calm-heron-0000"


class StormProvider(FakeProvider):
    """One provider of the day. `touched` hears of everything of a stranger that we would have ended."""

    def __init__(
        self, cloud: FakeCloud, name: str, nature: Cloud, asked: Callable[[str], None], touched: Callable[[str], None]
    ) -> None:
        super().__init__(cloud, name, offers_of(name, nature), owner="me", traits=traits_of(nature))
        self._nature, self._asked, self._touched = nature, asked, touched
        self._next_request = self._next_launch = cloud.clock()
        self.doubled: Callable[[], bool] = lambda: False
        """Whether this create call is delivered twice."""

    def offers(self, query: OfferQuery) -> tuple[Offer, ...]:
        """See `Provider`."""
        self._begin()
        return super().offers(query)

    def create(self, request: InstanceRequest) -> Instance:
        """See `Provider`; where the cloud knows no token, a call that comes twice is two machines."""
        self._begin(is_launch=True)
        return super().create(request)

    def _born(self, request: InstanceRequest) -> Machine:
        machine = super()._born(request)
        if self.doubled() and not self.traits.idempotent_create:
            super()._born(request)
        return machine

    def get(self, instance: Instance) -> Instance:
        """See `Provider`."""
        self._begin()
        return super().get(instance)

    def list(self, region: str | None = None) -> tuple[Instance, ...]:
        """See `Provider`."""
        self._begin()
        return super().list(region)

    def terminate(self, instance: Instance) -> None:
        """See `Provider`. A stranger's machine would end like any other: the account may do that."""
        self._begin()
        machine = self.cloud.truth.get(instance.id)
        if machine is not None and machine.owner != self.owner:
            self._touched(machine.id)
            machine.end(self.cloud.clock(), EndReason.ASKED)
            return
        super().terminate(instance)

    def leftovers(self) -> tuple[Leftover, ...]:
        """See `Provider`."""
        self._begin()
        return super().leftovers()

    def remove(self, leftover: Leftover) -> None:
        """See `Provider`."""
        self._begin()
        if leftover.id not in self.cloud.volumes:
            raise NotFound(f"no volume {leftover.id}", code="NotFound")
        super().remove(leftover)

    def _begin(self, *, is_launch: bool = False) -> None:
        """This one is asked now; it is our turn only after a while where requests are counted."""
        self._asked(self.name)
        # A price list is asked for in a thread of its own, and adapters keep it.
        if self._nature.limited and threading.current_thread() is threading.main_thread():
            self._wait_for_our_turn(is_launch)

    def _wait_for_our_turn(self, is_launch: bool) -> None:
        now = self.cloud.clock()
        at = max(now, self._next_request, self._next_launch if is_launch else now)
        self.cloud.clock.sleep((at - now).total_seconds())
        self._next_request = at + timedelta(seconds=REQUEST_SECONDS)
        if is_launch:
            self._next_launch = at + timedelta(seconds=LAUNCH_SECONDS)


def offers_of(name: str, nature: Cloud) -> tuple[Offer, ...]:
    """What it sells: two small machines and a large one."""
    billing = Billing(granularity_seconds=nature.granularity_seconds, minimum_seconds=nature.minimum_seconds)
    markets = (Market.SPOT, Market.SPOT, Market.ON_DEMAND) if nature.spot else (Market.ON_DEMAND,) * 3
    region, factor = ("north-1", "1") if not isinstance(nature, OtherCloud) else (nature.region, nature.factor)
    kinds = ("f1.small", "f1.small", "f1.large") if name == FIRST_CLOUD else tuple(
        f"{name}.{size}" for size in ("small", "small", "large")
    )  # fmt: skip
    prices = (str(Decimal(usd) * Decimal(factor)) for usd in ("0.50", "0.55", "0.80"))
    rows = zip(kinds, prices, ("a", "b", "a"), markets, strict=True)
    return tuple(
        replace(
            fake_offer(kind, usd=usd, zone=f"{region}{zone}", market=market), billing=billing, guarded=nature.guarded
        )
        for kind, usd, zone, market in rows
    )


def traits_of(nature: Cloud) -> Traits:
    """What it can do."""
    billing = Billing(granularity_seconds=nature.granularity_seconds, minimum_seconds=nature.minimum_seconds)
    return replace(
        fake_traits(guarded=nature.guarded, idempotent_create=nature.idempotent), billing=billing,
        guard_delay_seconds=nature.guard_delay_seconds, settle_seconds=nature.settle_seconds,
        notice="imds" if nature.noticed else "",
    )  # fmt: skip


def settle_down(cloud: FakeCloud, provider: FakeProvider, day: Schedule) -> None:
    """What is there already: strangers' machines under our run's names, forgotten ones of ours, volumes of ours."""
    for number in range(day.strangers):
        request = request_of(provider, cloud.clock(), run_id=FIRST_RUN, nonce="f" * 24)
        _found(cloud, provider, f"other-{number}", request, STRANGER)
    for number in range(day.forgotten):
        _found(cloud, provider, f"old-{number}", request_of(provider, cloud.clock()), provider.owner)
    for number in range(day.leftovers):
        left = Leftover(
            provider=provider.name, kind="volume", id=f"vol-old-{number}", region=provider.catalogue[0].region,
            run_id=OLD_RUN, billed=True,
        )  # fmt: skip
        cloud.volumes[left.id] = left


def _found(cloud: FakeCloud, provider: FakeProvider, machine_id: str, request: InstanceRequest, owner: str) -> None:
    guard_seconds = provider.traits.guard_delay_seconds if provider.traits.guarded and owner != STRANGER else None
    cloud.truth[machine_id] = Machine(
        id=machine_id, provider=provider.name, owner=owner, request=request, born_at=cloud.clock(),
        lease_seconds=request.boot.lease_seconds, guard_seconds=guard_seconds, pending_seconds=5, linger_seconds=10,
        forgotten_seconds=3600, rates=[(cloud.clock(), request.offer.usd_per_hour)],
    )  # fmt: skip


def request_of(
    provider: FakeProvider, now: datetime, *, run_id: str = OLD_RUN, nonce: str = "0" * 24
) -> InstanceRequest:
    """A create call for its first offer, of a machine that lives for two hours."""
    lease_seconds = 7200
    boot = Boot(
        deadman="", lease_seconds=lease_seconds, authorized_key="ssh-ed25519 AAAA", host_key_private="-",
        host_key_public="ssh-ed25519 AAAA",
    )  # fmt: skip
    return InstanceRequest(
        offer=provider.catalogue[0], run_id=run_id, attempt=1, nonce=nonce,
        deadline=now + timedelta(seconds=lease_seconds), disk_gib=60, boot=boot,
    )  # fmt: skip
