"""A cloud in memory that lies on demand, keeps its own time and its own bill: the judge of money and leaks in tests.

    clock = VirtualClock()
    cloud = FakeCloud(clock, seed=7)
    provider = cloud.provider("fake", (fake_offer(),))        # several views, each a `providers.base.Provider`
    provider.lies.create_lost_after = 1                       # the next create happens, its answer is lost

Knobs, on `provider.lies` (counters count down, one for each time they fire; `provider.fired` says what fired):
    create_lost_after, create_lost_before   Ambiguous; with a machine, without one
    refuse(error, instance_type=, zone=, market=, times=)   a create is refused with that error, where it matches
    visible_after_seconds                   a fresh machine is not listed for so long
    early_not_found_seconds                 `get` of a fresh machine raises NotFound for so long
    list_gaps                               the next n lists leave one machine out (chosen by the seed)
    stale_lists                             the next n lists repeat what the last one showed
    deaf_terminates, lost_terminates        accepted and ignored; done, but answered Ambiguous
    slow_terminate_seconds                  how long a machine still runs, and is billed, once it was asked to end
    reads_down, throttled                   get/list raise Unavailable; create raises Throttled, nothing done
    odd_states                              the next n gets show a state that nobody ever saw (UNKNOWN)
    die_in_pending                          an EndReason: the next machine never runs, and says why
    pending_seconds, linger_seconds         how long PENDING and ENDING last
    forgotten_seconds                       how long after its end `get` still knows a machine (then NotFound)
    rate_factor                             what is billed, as a factor of the offered price (and told truly)
    tells_rate                              False: `billed_usd_per_hour` is None
    rate_seen_late_seconds                  how long a new rate is billed before it is told
    leaves_volume                           an ended machine leaves a billed volume behind, until it is removed
    shown_as                                a function: what is shown instead of a machine as it truly is
The rarer questions (`funds`, `console`, `still_there`, ...) are attributes of the provider: a test puts its own there.
On the cloud: `preempt(id)`, `extend(id, lease_seconds)` (what the dead-man is told), `reprice(id, usd_per_hour)`,
`alive()`, `billed_usd()`, `most_at_once(run_id)`, and `before_call` / `after_call`: called with "create", "list" and
so on around the work, so that a test can die there (raise) at every point.

The own deadline is kept by `cloud` itself (guarded views only): `lease_seconds` after the create call, plus
`guard_seconds`. The bill is worked out here from first principles and uses nothing of pricing or launcher.
"""

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from pricing.offer import Market, Offer
from providers.base import (
    OVER,
    Access,
    Ambiguous,
    ContractBroken,
    EndReason,
    Finding,
    Instance,
    InstanceRequest,
    InstanceState,
    Leftover,
    Level,
    NotFound,
    OfferQuery,
    ProviderError,
    Ssh,
    Throttled,
    Traits,
    Unavailable,
)
from providers.carried import Carried
from providers.funds import Funds
from tests.cloud.sight import is_shown
from tests.fake_machine import HOUR, Machine, VirtualClock, fake_offer, fake_traits

__all__ = ["FakeCloud", "FakeProvider", "Lies", "Machine", "VirtualClock", "fake_offer", "fake_traits"]


@dataclass
class Refusal:
    """Creates that match are refused."""

    error: ProviderError
    instance_type: str | None
    zone: str | None
    market: Market | None
    times: int

    def matches(self, offer: Offer) -> bool:
        """Whether it concerns this offer; None matches everything."""
        wanted = (self.instance_type, self.zone, self.market)
        return all(
            a is None or a == b for a, b in zip(wanted, (offer.instance_type, offer.zone, offer.market), strict=True)
        )


@dataclass
class Lies:
    """The knobs of one view; see the module's docstring."""

    create_lost_after: int = 0
    create_lost_before: int = 0
    visible_after_seconds: float = 0
    early_not_found_seconds: float = 0
    list_gaps: int = 0
    stale_lists: int = 0
    deaf_terminates: int = 0
    lost_terminates: int = 0
    slow_terminate_seconds: float = 0
    reads_down: int = 0
    throttled: int = 0
    odd_states: int = 0
    die_in_pending: EndReason = EndReason.NONE
    pending_seconds: float = 5
    linger_seconds: float = 10
    forgotten_seconds: float = HOUR
    rate_factor: Decimal = Decimal(1)
    tells_rate: bool = True
    rate_seen_late_seconds: float = 0
    leaves_volume: bool = False
    shown_as: Callable[[Instance], Instance] = lambda instance: instance
    refusals: list[Refusal] = field(default_factory=list)

    def refuse(
        self,
        error: ProviderError,
        *,
        instance_type: str | None = None,
        zone: str | None = None,
        market: Market | None = None,
        times: int = 1_000_000,
    ) -> None:
        """Refuse the creates that match with `error`."""
        self.refusals.append(Refusal(error, instance_type, zone, market, times))


class FakeCloud:
    """All machines of all views, the truth about them, and their bill."""

    def __init__(self, clock: VirtualClock, seed: int = 0) -> None:
        self.clock, self.random = clock, random.Random(seed)
        self.truth: dict[str, Machine] = {}
        self.shown_ids: set[str] = set()
        """Machines of which an answer has told: who listened may know of them."""
        self.volumes: dict[str, Leftover] = {}
        self.calls: list[str] = []
        self.before_call: Callable[[str], None] = lambda verb: None
        self.after_call: Callable[[str], None] = lambda verb: None
        self.access: Callable[[Machine], Access] = _ssh

    def provider(
        self, name: str, offers: tuple[Offer, ...], *, owner: str = "me", traits: Traits | None = None
    ) -> "FakeProvider":
        """A view: one provider with its own price list, owner, traits and lies."""
        return FakeProvider(self, name, offers, owner=owner, traits=traits or fake_traits())

    def machines(self) -> tuple[Machine, ...]:
        """All that ever were, as they are now."""
        now = self.clock()
        for machine in self.truth.values():
            machine.settle(now)
        return tuple(self.truth.values())

    def alive(self, run_id: str | None = None) -> tuple[Machine, ...]:
        """Those that are billed now."""
        return tuple(one for one in self.machines() if one.ended_at is None and run_id in (None, one.request.run_id))

    def billed_usd(self, run_id: str | None = None) -> Decimal:
        """The bill so far."""
        mine = [one for one in self.machines() if run_id in (None, one.request.run_id)]
        return sum((one.billed_usd(self.clock()) for one in mine), Decimal(0))

    def most_at_once(self, run_id: str) -> int:
        """The highest number of machines of one run that were billed at the same instant."""
        changes: list[tuple[datetime, int]] = []
        for one in self.machines():
            if one.request.run_id == run_id:
                changes += [(one.born_at, 1), (one.ended_at or self.clock() + timedelta(days=1), -1)]
        return max(itertools.accumulate(step for _, step in sorted(changes)), default=0)

    def preempt(self, machine_id: str) -> None:
        """The cloud takes a machine back, now."""
        self.truth[machine_id].end(self.clock(), EndReason.PREEMPTED)

    def extend(self, machine_id: str, lease_seconds: float) -> None:
        """The dead-man on the machine is told another lease, counted from the create call."""
        machine = self.truth[machine_id]
        machine.settle(self.clock())
        machine.lease_seconds = lease_seconds

    def reprice(self, machine_id: str, usd_per_hour: Decimal) -> None:
        """From now on the machine is billed at another price."""
        self.truth[machine_id].rates.append((self.clock(), usd_per_hour))

    def call(self, verb: str) -> None:
        """Note a call, and let the test die before it."""
        self.calls.append(verb)
        self.before_call(verb)


class FakeProvider:
    """One view of the cloud; keeps the promises of `providers.base` except where its lies say otherwise."""

    def __init__(self, cloud: FakeCloud, name: str, offers: tuple[Offer, ...], *, owner: str, traits: Traits) -> None:
        self.cloud, self.name, self.traits, self.owner = cloud, name, traits, owner
        self.catalogue = tuple(replace(one, provider=name) for one in offers)
        self.lies = Lies()
        self.fired: list[str] = []
        self.last_list: tuple[Instance, ...] | None = None
        self.findings: tuple[Finding, ...] = (Finding(level=Level.OK, subject=name, text="a cloud in memory"),)
        self.funds: Callable[[], Funds | None] = lambda: None
        self.console: Callable[[Instance], tuple[str, ...]] = lambda instance: ()
        self.still_there: Callable[[Instance], bool | None] = lambda instance: None
        self.let_in: Callable[[Instance], str] = lambda instance: ""
        self.billed_usd: Callable[[Instance], Decimal | None] = lambda instance: None
        self.trial: Callable[[], Offer | None] = lambda: None
        self.note_trial: Callable[[Instance, tuple[str, ...]], Finding] = lambda instance, lines: self.findings[0]
        self.marks: dict[str, Carried] = {}
        self.keeps_marks = True
        self.account: Callable[[], str] = lambda: f"account of {self.owner}"
        self.policy: Callable[[], str] = lambda: ""
        self.price_age: Callable[[Offer], timedelta] = lambda offer: timedelta()

    def check(self) -> tuple[Finding, ...]:
        """As a test says; else all is well in here."""
        return self.findings

    def offers(self, query: OfferQuery) -> tuple[Offer, ...]:
        """The price list, seen now, unless a test says that its prices have an age."""
        self.cloud.call("offers")
        fitting = (one for one in self.catalogue if query.allows(one))
        now = self.cloud.clock()
        return tuple(_capped(one, query.max_usd_per_hour, now - self.price_age(one)) for one in fitting)

    def create(self, request: InstanceRequest) -> Instance:
        """As told, with all the lies that a create call knows."""
        self.cloud.call("create")
        self._refuse(request)
        machine = self._known(request) if self.traits.idempotent_create else None
        machine = machine or self._born(request)
        self.cloud.after_call("create")
        if self._fires("create_lost_after"):
            raise Ambiguous("the answer to create got lost", code="timeout")
        return self._shown(machine)

    def get(self, instance: Instance) -> Instance:
        """One machine as it is now."""
        self._read("get")
        machine = self.cloud.truth.get(instance.id)
        if machine is None or machine.owner != self.owner or self._is_unknown(machine):
            raise NotFound(f"no machine {instance.id}", code="NotFound")
        shown = self._shown(machine)
        self.cloud.after_call("get")
        return replace(shown, state=InstanceState.UNKNOWN) if self._fires("odd_states") else shown

    def list(self, region: str | None = None) -> tuple[Instance, ...]:
        """What is ours and not gone."""
        self._read("list")
        if self.last_list is not None and self._fires("stale_lists"):
            self.cloud.after_call("list")
            return tuple(one for one in self.last_list if region in (None, one.region))
        visible = [one for one in self.cloud.machines() if self._is_listed(one)]
        if visible and self._fires("list_gaps"):
            visible.remove(self.cloud.random.choice(visible))
        self.last_list = tuple(self._shown(one) for one in visible)
        self.cloud.after_call("list")
        return tuple(one for one in self.last_list if region in (None, one.region))

    def terminate(self, instance: Instance) -> None:
        """Its end, unless this cloud is deaf."""
        self.cloud.call("terminate")
        machine = self.cloud.truth.get(instance.id)
        if machine is None or machine.owner != self.owner:
            raise NotFound(f"no machine {instance.id}", code="NotFound")
        machine.settle(self.cloud.clock())
        if not self._fires("deaf_terminates"):
            self._end(machine)
        self.cloud.after_call("terminate")
        if self._fires("lost_terminates"):
            raise Ambiguous("the answer to terminate got lost", code="timeout")

    def _end(self, machine: Machine) -> None:
        now = self.cloud.clock()
        if self.lies.slow_terminate_seconds and machine.ended_at is None:
            machine.end_later(now + timedelta(seconds=self.lies.slow_terminate_seconds), EndReason.ASKED)
            self.fired.append("slow_terminate_seconds")
        else:
            machine.end(now, EndReason.ASKED)

    def mark(self, instance: Instance, carried: Carried) -> None:
        """Kept, where this cloud keeps marks."""
        self.cloud.call("mark")
        if self.keeps_marks:
            self.marks[instance.id] = carried
        self.cloud.after_call("mark")

    def leftovers(self) -> tuple[Leftover, ...]:
        """Volumes of ended machines."""
        self._read("leftovers")
        return tuple(one for one in self.cloud.volumes.values() if one.provider == self.name)

    def remove(self, leftover: Leftover) -> None:
        """It is gone."""
        self.cloud.call("remove")
        self.cloud.volumes.pop(leftover.id, None)
        self.cloud.after_call("remove")

    def _refuse(self, request: InstanceRequest) -> None:
        if self._fires("throttled"):
            raise Throttled("too many requests", code="RequestLimitExceeded")
        for refusal in self.lies.refusals:
            if refusal.times and refusal.matches(request.offer):
                refusal.times -= 1
                self.fired.append("refuse")
                raise refusal.error
        if self._fires("create_lost_before"):
            raise Ambiguous("create was never answered", code="timeout")

    def _known(self, request: InstanceRequest) -> Machine | None:
        for machine in self.cloud.machines():
            if machine.request.nonce == request.nonce and machine.request.offer.region == request.offer.region:
                if machine.request != request:
                    raise ContractBroken("same token, other parameters", code="IdempotentParameterMismatch")
                return machine
        return None

    def _born(self, request: InstanceRequest) -> Machine:
        now, lies = self.cloud.clock(), self.lies
        machine = Machine(
            id=f"m-{len(self.cloud.truth) + 1:04d}",
            provider=self.name,
            owner=self.owner,
            request=request,
            born_at=now,
            lease_seconds=request.boot.lease_seconds,
            guard_seconds=self.traits.guard_delay_seconds if self.traits.guarded else None,
            pending_seconds=lies.pending_seconds,
            linger_seconds=lies.linger_seconds,
            forgotten_seconds=lies.forgotten_seconds,
            rates=[(now, request.offer.usd_per_hour * lies.rate_factor)],
            dies_in_pending=lies.die_in_pending,
        )
        lies.die_in_pending = EndReason.NONE
        self.cloud.truth[machine.id] = machine
        if lies.leaves_volume:
            self._leave_volume(machine)
        return machine

    def _leave_volume(self, machine: Machine) -> None:
        left = Leftover(
            provider=self.name,
            kind="volume",
            id=f"vol-{machine.id}",
            region=machine.request.offer.region,
            run_id=machine.request.run_id,
            billed=True,
        )
        self.cloud.volumes[left.id] = left

    def _read(self, verb: str) -> None:
        self.cloud.call(verb)
        if self._fires("reads_down"):
            raise Unavailable("no usable answer", code="503")

    def _fires(self, knob: str) -> bool:
        left: int = getattr(self.lies, knob)
        if left <= 0:
            return False
        setattr(self.lies, knob, left - 1)
        self.fired.append(knob)
        return True

    def _is_listed(self, machine: Machine) -> bool:
        now = self.cloud.clock()
        if machine.owner != self.owner or machine.provider != self.name or machine.state(now) is InstanceState.GONE:
            return False
        age_seconds = (now - machine.born_at).total_seconds()
        return is_shown(age_seconds, lag_seconds=self.lies.visible_after_seconds, gone_seconds=None)

    def _is_unknown(self, machine: Machine) -> bool:
        now = self.cloud.clock()
        machine.settle(now)
        return not is_shown(
            (now - machine.born_at).total_seconds(),
            lag_seconds=self.lies.early_not_found_seconds,
            gone_seconds=None if machine.ended_at is None else (now - machine.ended_at).total_seconds(),
            kept_seconds=machine.linger_seconds + machine.forgotten_seconds,
        )

    def _shown(self, machine: Machine) -> Instance:
        machine.settle(self.cloud.clock())
        state, request = machine.state(self.cloud.clock()), machine.request
        self.cloud.shown_ids.add(machine.id)
        truly = Instance(
            provider=self.name,
            id=machine.id,
            region=request.offer.region,
            zone=request.offer.zone,
            instance_type=request.offer.instance_type,
            market=request.offer.market,
            state=state,
            run_id=request.run_id,
            attempt=request.attempt,
            nonce=request.nonce,
            created_at=machine.born_at,
            deadline=request.deadline,
            # An address goes with its machine.
            access=None if state in (InstanceState.PENDING, *OVER) else self.cloud.access(machine),
            end_reason=machine.reason,
            carried=self.marks.get(machine.id),
            billed_usd_per_hour=self._told_rate(machine) if self.lies.tells_rate else None,
        )
        return self.lies.shown_as(truly)

    def _told_rate(self, machine: Machine) -> Decimal:
        known_until = self.cloud.clock() - timedelta(seconds=self.lies.rate_seen_late_seconds)
        return [rate for at, rate in machine.rates if at <= known_until or at == machine.rates[0][0]][-1]


def _ssh(machine: Machine) -> Access:
    return Ssh(host=f"{machine.id}.invalid", port=22, user="fake", guard_dir="/var/lib/launch")


def _capped(offer: Offer, cap: Decimal | None, now: datetime) -> Offer:
    if cap is None or offer.market is not Market.SPOT:
        return replace(offer, seen_at=now)
    return replace(offer, seen_at=now, worst_usd_per_hour=min(offer.worst_usd_per_hour, cap))
