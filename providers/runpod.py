"""Runpod: pods (containers with a GPU) of its secure cloud, on demand, billed by the second, by REST v2 over httpx.

Quirks that shape this file and the private ones beside it (`runpod_*.py`):
- There is no token, and a 500 has been seen after a pod was made and billed: create is sent once, the pod is found by
  its name (`marks`).
- Lack of capacity is a bare 400, as is a rule that our request breaks; words tell them apart, where they do.
- RUNNING does not mean reachable: the public port comes later, or never.
- There is no server-side end (`terminateAfter` is accepted and ignored), no spot any more, REST v1 is gone. What a key
  in a pod may do is undocumented: a pod tries door after door to end itself (`runpod_end.sh`), and counts as guarded
  only once that was proven for the account (`runpod_proof`).
- A container that exits is started again, on a fresh disk, and billed on: ours never exits (`runpod_boot.sh`).
- After DELETE a pod is not found; so it may be in its first seconds.
- All is paid in advance; at zero pods are removed with their data.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from pricing.offer import Billing, Market, Offer
from providers import marks, reading, runpod_check, runpod_sdk, runpod_settings
from providers.base import (
    Ambiguous,
    AuthFailed,
    Busy,
    ContractBroken,
    Finding,
    Instance,
    InstanceRequest,
    InstanceState,
    Leftover,
    Level,
    NoCapacity,
    NotFound,
    OfferQuery,
    ProviderError,
    Surroundings,
    Traits,
)
from providers.funds import Funds
from providers.reading import Odd, Row, maybe_text, rows
from providers.rest import key_mark
from providers.runpod_boot import ARGS, environment
from providers.runpod_calls import Calls
from providers.runpod_pods import (
    ANYWHERE,
    COMMUNITY,
    FEES,
    TRIAL_VCPUS,
    community_offers,
    is_anothers,
    is_ours,
    is_small_cpu,
    offers,
    shown,
)
from providers.runpod_proof import Proof, Proofs, door_of
from providers.runpod_settings import NAME
from providers.silent import Silent

LOOK_TURNS = 8
"""A look at a pod that boots takes a turn of eight: a minute allows few, to all that use the account."""
TRAITS = Traits(
    bills=True,
    guarded=False,
    guard="a dead-man in the pod that is not proven for this account yet (`launch doctor --live` proves it)",
    spot=False,
    idempotent_create=False,
    boot_deadline_seconds=1500,
    settle_seconds=300,
    # Clocks that differ, the tries before the one that works, and the service's own time to end a pod.
    guard_delay_seconds=300,
    billing=Billing(granularity_seconds=1),
    one_list=True,
    look_seconds=LOOK_TURNS * runpod_settings.SECONDS_BETWEEN_REQUESTS,
    prepaid=True,
    minimum_disk_gib=60,
)
PLACES = ("RUNPOD_API_BASE_URL",)
MOST_NAME = 190
MOST_PAGES = 100
CURSORS = ("nextCursor", "next_cursor", "cursor")
"""Lists have no pages in the interface of 2026-08-20; a later client follows cursors. Both are right here."""
LEAST_DISK_GIB = 40
BILLED_BEFORE = timedelta(hours=1)
"""Before a pod was made by our clock, which may be wrong; whole hours are told anyway."""


def connect(surroundings: Surroundings) -> "Runpod":
    """Runpod as the surroundings say; raises `NotSetUp` for wrong settings. Nothing is asked over the network yet."""
    return Runpod(surroundings)


class Runpod(Silent):
    """The verbs of `providers.base.Provider`."""

    name = NAME

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._settings = runpod_settings.read(surroundings.settings)
        self._calls = Calls(surroundings, self._settings)
        self._proofs = Proofs(surroundings.state_dir / NAME / "proof.json", surroundings.now)

    @property
    def traits(self) -> Traits:
        """Guarded once a pod of this account was seen to end itself."""
        proof = self._proof()
        own = replace(TRAITS, look_seconds=LOOK_TURNS * self._settings.seconds_between_requests)
        if proof is None:
            return own
        return replace(own, guarded=True, guard=f"a dead-man in the pod, proven {proof.at:%Y-%m-%d}")

    def check(self) -> tuple[Finding, ...]:
        """Key and rights, balance, clock, what the interface says today, the second door, what guards a pod."""
        return runpod_check.findings(self._calls, self._around, self.traits, self._proof(), self._settings.profile)

    def offers(self, query: OfferQuery) -> tuple[Offer, ...]:
        """A row for each GPU type and data centre that has some; on request those of private hosts too."""
        regions, now, traits = query.regions or self._settings.regions, self._around.now(), self.traits
        wanted = replace(query, regions=())
        try:
            found = [*offers(self._catalogue("SECURE"), wanted, traits, now, regions)]
            if query.community and (not regions or COMMUNITY in regions):
                found += [*community_offers(self._catalogue("COMMUNITY"), wanted, traits, now)]
        except Odd as odd:
            raise reading.unusable("Runpod", odd) from odd
        kept = [one for one in found if isinstance(one, Offer)]
        return tuple(one for one in kept if not query.regions or one.region in query.regions)

    def create(self, request: InstanceRequest) -> Instance:
        """One POST, sent once. Raises `Ambiguous` where a pod may have come of it."""
        if request.offer.region == ANYWHERE:
            raise NoCapacity(f"Runpod shows no {request.offer.instance_type} free anywhere", code="sold-out")
        body = self._body(request)
        document = self._calls.act("POST", "/pods", body)
        try:
            return shown(reading.row(document, "the new pod"), self._around.now())
        except Odd as odd:
            raise Ambiguous(f"Runpod's answer to create names no pod: {odd}", code="incomplete") from odd

    def account(self) -> str:
        """By the key: nothing there tells the account cheaply."""
        return key_mark(self._calls)

    def get(self, instance: Instance) -> Instance:
        """The pod now, with what it costs; an id that we hold counts, whatever marks are shown, but another owner's."""
        try:
            found = reading.row(self._calls.read(f"/pods/{instance.id}"), "the pod")
            if is_anothers(found, self._around.owner_id):
                raise NotFound(f"{instance.id} is not ours", code="absent")
            return shown(found, self._around.now())
        except Odd as odd:
            raise reading.unusable("Runpod", odd) from odd

    def list(self, region: str | None = None) -> tuple[Instance, ...]:
        """Ours that have not ended, everywhere: one call shows the whole account."""
        del region
        try:
            ours = [one for one in self._pods() if is_ours(one, self._around.owner_id)]
            found = [shown(one, self._around.now()) for one in ours]
        except Odd as odd:
            raise reading.unusable("Runpod", odd) from odd
        return tuple(one for one in found if one.state is not InstanceState.GONE)

    def terminate(self, instance: Instance) -> None:
        """DELETE; by the pod's own action where that is refused. A pod that is not known is as good as ended."""
        try:
            self._calls.act("DELETE", f"/pods/{instance.id}")
        except NotFound:
            return
        except (Busy, ContractBroken):
            with contextlib.suppress(NotFound):
                self._calls.act("POST", f"/pods/{instance.id}/action", {"action": "terminate"})

    def leftovers(self) -> tuple[Leftover, ...]:
        """A pod leaves nothing: its disk goes with it, and no volume is made."""
        return ()

    def remove(self, leftover: Leftover) -> None:
        """There is nothing to remove."""
        raise ContractBroken(f"{leftover.kind!r} is nothing that launch makes at Runpod")

    def funds(self) -> Funds | None:
        """The balance, by the one small query that tells it; None where it is unknown."""
        return runpod_check.funds(self._calls)[1]

    def console(self, instance: Instance) -> tuple[str, ...]:
        """What the container printed; while there is no container yet, how its image comes."""
        source = "container" if instance.state is not InstanceState.PENDING else "system"
        found = self._calls.lines(f"/pods/{instance.id}/logs", source=source, tail="100")
        return tuple(line for line in found if line)

    def still_there(self, instance: Instance) -> bool | None:
        """By the `runpod` package, which asks another interface."""
        try:
            ids = runpod_sdk.listed(self._around.environ, self._calls.host_url, self._calls.key())
        except ProviderError:
            return None
        return None if ids is None else instance.id in ids

    def billed_usd(self, instance: Instance) -> Decimal | None:
        """What Runpod's books say of the pod; they lag by minutes to an hour."""
        try:
            said = self._calls.read("/billing/pods", bucketSize="hour", podId=instance.id, **self._life_of(instance))
            records = [one for one in rows(said, "records") if one.get("podId") == instance.id]
            amounts = [reading.maybe_usd(one.get("totalAmount")) for one in records]
        except (Odd, ProviderError):
            return None
        known = [amount for amount in amounts if amount is not None]
        return sum(known, Decimal(0)) if known else None

    def _life_of(self, instance: Instance) -> dict[str, str]:
        """From before it was made until now, however long ago that is; `lastN` would count back from now."""
        now = self._born()
        since = min(instance.created_at, now) - BILLED_BEFORE
        return {"startTime": _rfc3339(since), "endTime": _rfc3339(now)}

    def trial(self) -> Offer | None:
        """The smallest CPU pod: what a key in it may do is the same as in any other."""
        try:
            asked = {"include": "AVAILABILITY", "product": "POD", "vcpuCount": str(TRIAL_VCPUS)}
            cpus = [one for one in rows(self._calls.read("/catalog/cpus", **asked), "cpus") if is_small_cpu(one)]
            prices = [
                (reading.row(one.get("price"), "price").get("securePerVcpu"), maybe_text(one, "id")) for one in cpus
            ]
        except Odd as odd:
            raise reading.unusable("Runpod", odd) from odd
        priced = [(usd, name) for price, name in prices if name and (usd := reading.maybe_usd(price)) is not None]
        if not priced:
            raise NoCapacity("Runpod's catalogue shows no free CPU pod", code="no-cpu")
        usd, name = min(priced)
        return _trial_offer(name, usd * TRIAL_VCPUS, self._around.now())

    def note_trial(self, instance: Instance, lines: tuple[str, ...]) -> Finding:
        """A pod of this account ended itself: from now on they count as guarded."""
        proof = self._proofs.keep(self._calls.key(), door_of(lines))
        text = f"{instance.id} ended itself, by {proof.door}: pods of this account are guarded from now on"
        return Finding(level=Level.OK, subject="guard", text=text)

    def _proof(self) -> Proof | None:
        try:
            return self._proofs.of(self._calls.key())
        except AuthFailed:
            return None

    def _catalogue(self, cloud: str) -> Row:
        found = self._calls.read(
            "/catalog/gpus",
            include="AVAILABILITY",
            product="POD",
            count="1",
            cloud=cloud,
            minCudaVersion=self._settings.min_cuda,
        )
        return reading.row(found, "the catalogue")

    def _pods(self) -> Iterator[Row]:
        """All pods, page by page where there are pages."""
        cursor = ""
        for _ in range(MOST_PAGES):
            said = reading.row(self._calls.read("/pods", **({"cursor": cursor} if cursor else {})), "the answer")
            yield from rows(said, "pods")
            cursor = next((found for name in CURSORS if (found := maybe_text(said, name))), "")
            if not cursor:
                return
        raise Odd(f"the list does not end after {MOST_PAGES} pages")

    def _body(self, request: InstanceRequest) -> dict[str, Any]:
        offer = request.offer
        place = {"cloud": "COMMUNITY"} if offer.region == COMMUNITY else {
            "cloud": "SECURE", "dataCenterIds": [offer.region],
        }  # fmt: skip
        gpu = {"id": offer.instance_type, "count": offer.gpu_count, "minCudaVersion": self._settings.min_cuda}
        compute = {"cpu": {"id": offer.instance_type, "vcpuCount": TRIAL_VCPUS}} if offer.gpu is None else {"gpu": gpu}
        if offer.gpu is None:
            place = {"cloud": "SECURE"}
        return {
            "name": marks.name_of(request, self._around.owner_id, MOST_NAME),
            "image": self._settings.image,
            **compute,
            **place,
            "disk": max(request.disk_gib, LEAST_DISK_GIB),
            "env": environment(request, self._around.owner_id, self._calls.host_url, self._born()),
            "ports": ["22/tcp"],
            "args": ARGS,
        }

    def _born(self) -> datetime:
        """Now by Runpod's clock, as far as its last answer told it: a pod compares its own clock with that."""
        return self._around.now() + self._calls.ahead


def _rfc3339(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _trial_offer(name: str, usd_per_hour: Decimal, now: datetime) -> Offer:
    return Offer(
        provider=NAME,
        instance_type=name,
        region="trial",
        zone="",
        market=Market.ON_DEMAND,
        gpu=None,
        gpu_count=0,
        vcpus=TRIAL_VCPUS,
        ram_gib=4.0,
        usd_per_hour=usd_per_hour,
        worst_usd_per_hour=usd_per_hour * 2,
        seen_at=now,
        source="Runpod's catalogue",
        guarded=False,
        fees=FEES,
        billing=TRAITS.billing,
        boot_seconds=60.0,
    )
