"""AWS EC2: GPU machines on the spot market and on demand, in the user's own account.

Quirks that shape this file and the private ones beside it (`aws_*.py`):
- A refused or unanswered RunInstances is repeated by boto itself unless it is told otherwise (`aws_calls`).
- The client token makes a repeat safe only with the very same parameters, and only in one region (`aws_create`).
- A power-off from inside terminates the machine, spot or not, if the create call says so: the dead-man needs no
  credentials there (`cloud_init`).
- A fresh id may be unknown for a minute or two; a terminated machine stays in lists for about an hour.
- Lack of capacity, quota and price are different answers, some of them with status 500 (`aws_errors`).
- Zone names differ between accounts; spot prices hold for a zone; a subnet stands for its zone (`aws_places`).
"""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from pricing.offer import Billing, Fees, Market, Offer
from providers import aws_check, aws_left, aws_settings
from providers.aws_calls import Answer, Calls, required
from providers.aws_create import Chosen, Records, parameters, token_of
from providers.aws_errors import no_answer
from providers.aws_instances import CARRIED_TAG, owner_of, shown
from providers.aws_places import Places
from providers.aws_prices import Prices, Seen
from providers.aws_quota import explained
from providers.aws_types import MachineType, Types
from providers.base import (
    Finding,
    Instance,
    InstanceRequest,
    InstanceState,
    Leftover,
    NotFound,
    NotSetUp,
    OfferQuery,
    ProviderError,
    QuotaExceeded,
    Surroundings,
    Throttled,
    Traits,
)
from providers.carried import Carried
from providers.findings import wrong
from providers.silent import Silent

TRAITS = Traits(
    bills=True,
    guarded=True,
    guard="its own power-off, which ends it and needs no credentials",
    spot=True,
    idempotent_create=True,
    boot_deadline_seconds=480,
    settle_seconds=120,
    # From the create call to the dead-man's first tick (pending, kernel, cloud-init), and from power-off to the end.
    guard_delay_seconds=180,
    billing=Billing(granularity_seconds=1, minimum_seconds=60),
    minimum_disk_gib=100,
    notice="imds",
    boot_data_is_seen=True,
)
PLACES = (
    "AWS_CA_BUNDLE", "AWS_CONFIG_FILE", "AWS_DEFAULT_PROFILE", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_REGION",
    "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL_PRICING", "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_SERVICE_QUOTAS", "AWS_ENDPOINT_URL_SSM", "AWS_ENDPOINT_URL_STS",
)  # fmt: skip
"""Ours, and those by which boto3 finds credentials without holding one (its guides, "Configuration", "Credentials")."""
FEES = Fees(
    disk_usd_per_gib_month=Decimal("0.08"), ip_usd_per_hour=Decimal("0.005"), egress_usd_per_gib=Decimal("0.09")
)
"""gp3, a public IPv4 address, traffic to the internet: list prices of us-east-1; other regions differ by some cents."""
BOOT_SECONDS = 90.0
UNCAPPED_FACTOR = Decimal("1.5")
"""A spot offer whose on-demand price nobody tells is capped at this many times its current price."""
CHOSEN_KEPT_FOR = timedelta(minutes=5)
RATE_KEPT_FOR = timedelta(seconds=60)
"""Shorter than what the launcher counts as a look at the price (`books.UNSEEN_SECONDS`)."""
WORKERS = 8
QUESTIONS = 3
POLICY = Path(__file__).with_name("aws_policy.json")
DISABLED = ("AuthFailure", "OptInRequired")
"""How a region that the account has not enabled answers, while others accept the same keys."""

Found = TypeVar("Found")


def connect(surroundings: Surroundings) -> "Aws":
    """AWS as the surroundings say; raises `NotSetUp` for wrong settings. Nothing is asked over the network yet."""
    return Aws(surroundings, Calls(surroundings.environ))


class Aws(Silent):
    """The verbs of `providers.base.Provider`."""

    name = "aws"

    def __init__(self, surroundings: Surroundings, calls: Calls) -> None:
        folder = surroundings.state_dir / "aws"
        self._around, self._calls = surroundings, calls
        self._settings = aws_settings.read(surroundings.settings)
        self._places = Places(calls, self._settings, surroundings.owner_id)
        self._chosen: dict[tuple[str, str, str], tuple[datetime, Chosen]] = {}
        self._types = Types(calls, folder, surroundings.now)
        self._prices = Prices(calls, folder / "on-demand.json", surroundings.now)
        self._records = Records(folder / "creates")
        self.traits = replace(TRAITS, minimum_disk_gib=max(TRAITS.minimum_disk_gib, self._records.image_gib()))
        self._rates: dict[tuple[str, str, str, Market], tuple[datetime, Decimal | None]] = {}
        self._lock = threading.Lock()
        self._account = ""

    def check(self) -> tuple[Finding, ...]:
        """Identity, clock, and in each region: network, quotas, and whether we may create."""
        try:
            regions = self._regions()
        except ProviderError as error:
            return (wrong("regions", error),)
        return aws_check.findings(self._calls, self._places, regions, self._around)

    def offers(self, query: OfferQuery) -> tuple[Offer, ...]:
        """GPU machines by zone and market, in the regions asked for or all configured; each region in a thread."""
        regions = tuple(query.regions) or self._regions()
        found = self._everywhere(regions, lambda region: self._offers_in(region, query))
        return tuple(offer for part in found for offer in part)

    def create(self, request: InstanceRequest) -> Instance:
        """One RunInstances, sent once. The same request again is the same call, and gives the same machine."""
        token, offer = token_of(request), request.offer
        chosen = self._records.chosen(token)
        if chosen is None:
            chosen = self._choose(request)
            self._write_down(token, chosen)
        call = parameters(request, chosen, self._around.owner_id)
        try:
            answer = self._calls.act("ec2", "run_instances", offer.region, **call)
        except QuotaExceeded as error:
            raise explained(error, offer, self._calls) from error
        except NotFound as error:  # the security group, made a moment ago or removed since: refused, nothing done
            self._records.forget(token)
            self._chosen.clear()
            raise Throttled(error.text, code=error.code) from error
        except NotSetUp:
            self._records.forget(token)
            self._chosen.clear()
            raise
        return self._shown(_first(answer), offer.region, acts=True)

    def account(self) -> str:
        """By its number, asked once; keys of one account change by the hour."""
        if not self._account:
            try:
                answer = self._calls.read("sts", "get_caller_identity", self._regions()[0])
                self._account = str(answer.get("Account", ""))
            except ProviderError:
                return ""
        return self._account

    def get(self, instance: Instance) -> Instance:
        """The machine now, with its rate while it runs. An id that we hold counts before its tags are shown, too."""
        rows = list(self._machines(instance.region, InstanceIds=[instance.id]))
        mine = [row for row in rows if owner_of(row) in ("", self._around.owner_id)]
        if not mine:
            raise NotFound(f"{instance.id} is not known in {instance.region}", code="absent")
        found = self._shown(mine[0], instance.region)
        if found.state is not InstanceState.RUNNING:
            return found
        return self._with_rate(found)

    def list(self, region: str | None = None) -> tuple[Instance, ...]:
        """Ours and not terminated: in `region`, or in every region configured now or ever created in."""
        regions = (region,) if region else tuple(sorted({*self._regions(), *self._records.regions()}))
        found = self._everywhere(regions, self._listed_in)
        return tuple(one for part in found for one in part if one.state is not InstanceState.GONE)

    def terminate(self, instance: Instance) -> None:
        """One id a call: with a wrong one among several, none is ended."""
        self._calls.act("ec2", "terminate_instances", instance.region, InstanceIds=[instance.id])

    def mark(self, instance: Instance, carried: Carried) -> None:
        """As a tag, which all who may look at the machine can read."""
        tag = {"Key": CARRIED_TAG, "Value": carried.value()}
        self._calls.act("ec2", "create_tags", instance.region, Resources=[instance.id], Tags=[tag])

    def let_in(self, instance: Instance) -> str:
        """The security group follows this computer to its new address."""
        return self._places.let_in(instance.region)

    def leftovers(self) -> tuple[Leftover, ...]:
        """Volumes, network interfaces, key pairs and security groups with our tag that no machine holds."""
        regions = tuple(sorted({*self._regions(), *self._records.regions()}))
        found = self._everywhere(regions, lambda region: aws_left.found(self._calls, region, self._around.owner_id))
        return tuple(one for part in found for one in part)

    def remove(self, leftover: Leftover) -> None:
        """Idempotent; raises `Busy` while a machine holds it."""
        aws_left.remove(self._calls, leftover)

    def policy(self) -> str:
        """The IAM policy that allows what launch does, and no more."""
        return POLICY.read_text(encoding="utf-8")

    def _regions(self) -> tuple[str, ...]:
        if self._settings.regions:
            return self._settings.regions
        environ = self._around.environ
        named = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or self._calls.profile_region()
        return (named,) if named else aws_settings.DEFAULT_REGIONS

    def _everywhere(self, regions: Iterable[str], ask: Callable[[str], Found]) -> tuple[Found, ...]:
        """`ask` in all regions at once. A region that the account has not enabled holds nothing; all else is raised."""
        names = tuple(regions)
        with ThreadPoolExecutor(WORKERS) as pool:
            answers = tuple(pool.map(lambda region: _answer(ask, region), names))
        good = tuple(one for one in answers if not isinstance(one, ProviderError))
        for error in answers:
            if isinstance(error, ProviderError) and not (good and error.code in DISABLED):
                raise error
        return good

    def _offers_in(self, region: str, query: OfferQuery) -> tuple[Offer, ...]:
        """All is asked at once, for the types that we know from the last time; types that are new come after."""
        known = {name for name, one in self._types.kept().items() if _is_wanted(one, query)}
        with ThreadPoolExecutor(QUESTIONS) as pool:
            on_demand_known = pool.submit(self._on_demand, region, known)
            spot_known = pool.submit(self._spot, region, known, query)
            subnets = pool.submit(self._places.subnets, region)
            zones = self._types.zones(region)
            types = self._types.known(zones, region)
            wanted = {name: one for name, one in types.items() if _is_wanted(one, query)}
            if not wanted:
                return ()
            on_demand, spot = on_demand_known.result(), spot_known.result()
            usable = set(subnets.result().by_zone)
        new = set(wanted) - known
        on_demand, spot = {**on_demand, **self._on_demand(region, new)}, {**spot, **self._spot(region, new, query)}
        found: list[Offer | None] = []
        for name, machine in sorted(wanted.items()):
            for zone in (one for one in zones[name] if one in usable):
                found.append(_spot_offer(machine, (region, zone), spot.get((name, zone)), on_demand.get(name), query))
                found.append(_on_demand_offer(machine, (region, zone), on_demand.get(name), query))
        return tuple(one for one in found if one)

    def _on_demand(self, region: str, types: set[str]) -> dict[str, Seen]:
        return self._prices.on_demand(region, types) if types else {}

    def _spot(self, region: str, types: set[str], query: OfferQuery) -> dict[tuple[str, str], Seen]:
        return self._prices.spot(region, types) if types and _asks(query, Market.SPOT) else {}

    def _choose(self, request: InstanceRequest) -> Chosen:
        """Kept for some minutes: who is refused in one zone asks for the next machine type, or tries again, there."""
        offer, now = request.offer, self._around.now()
        key = (offer.region, offer.zone, offer.architecture)
        at, chosen = self._chosen.get(key, (None, None))
        if at is None or chosen is None or now - at > CHOSEN_KEPT_FOR:
            chosen = self._looked_up(offer)
            self._chosen[key] = (now, chosen)
        if chosen.disk_gib > request.disk_gib:
            raise self._larger_than_priced(chosen.disk_gib, request.disk_gib)
        return replace(chosen, disk_gib=request.disk_gib)

    def _larger_than_priced(self, image_gib: int, priced_gib: int) -> NotSetUp:
        """Nothing is rented that was not agreed to: the next plan has this disk in it."""
        self._records.note_image_gib(image_gib)
        self.traits = replace(TRAITS, minimum_disk_gib=image_gib)
        text = f"the machine's image takes {image_gib} GiB of disk, and {priced_gib} GiB were priced"
        return NotSetUp(text, code="disk", fix="launch it again: from now on the larger disk is in the plan")

    def _looked_up(self, offer: Offer) -> Chosen:
        """What a machine of the offer starts from, and where; on the smallest disk that holds its image."""
        subnet, vpc = self._places.subnet(offer.region, offer.zone)
        image = self._places.image(offer.region, offer.architecture)
        return Chosen(
            region=offer.region,
            image=image.id,
            root_device=image.root_device,
            disk_gib=image.least_gib,
            subnet=subnet,
            group=self._places.firewall(offer.region, vpc),
        )

    def _listed_in(self, region: str) -> tuple[Instance, ...]:
        ours = [{"Name": "tag:launch:owner", "Values": [self._around.owner_id]}]
        shown_now = [self._shown(row, region) for row in self._machines(region, Filters=ours)]
        return tuple(self._with_rate(one) if one.state is InstanceState.RUNNING else one for one in shown_now)

    def _machines(self, region: str, **which: object) -> Iterable[Answer]:
        for reservation in self._calls.items("describe_instances", region, "Reservations", **which):
            yield from required(reservation, "Instances")

    def _write_down(self, token: str, chosen: Chosen) -> None:
        try:
            self._records.keep(token, chosen)
        except OSError as error:
            text = f"the create call cannot be written down beforehand: {error}"
            raise NotSetUp(text, code="disk", fix="free some space in LAUNCH_HOME") from error

    def _shown(self, row: Answer, region: str, *, acts: bool = False) -> Instance:
        try:
            return shown(row, region, self._settings.ssh_port)
        except (KeyError, TypeError) as error:
            raise no_answer(f"AWS describes a machine without its {error}", "incomplete", acts=acts) from error

    def _with_rate(self, instance: Instance) -> Instance:
        return replace(instance, billed_usd_per_hour=self._rate(instance))

    def _rate(self, instance: Instance) -> Decimal | None:
        """Kept for a minute: it changes slowly, and a machine is looked at every second while it boots."""
        key = (instance.region, instance.zone, instance.instance_type, instance.market)
        now = self._around.now()
        with self._lock:
            kept = self._rates.get(key)
            if kept is None or now - kept[0] > RATE_KEPT_FOR:
                usd = self._prices.now_usd_per_hour(*key[:3], spot=instance.market is Market.SPOT)
                self._rates[key] = kept = (now, usd)
        return kept[1]


def _answer(ask: Callable[[str], Found], region: str) -> Found | ProviderError:
    try:
        return ask(region)
    except ProviderError as error:
        return error


def _first(answer: Answer) -> Answer:
    """The machine in RunInstances' answer; an answer without one does not say that there is none."""
    rows = required(answer, "Instances", acts=True)
    if not rows:
        raise no_answer("AWS's answer to create names no machine", "incomplete", acts=True)
    return rows[0]  # type: ignore[no-any-return]  # checked to be a row above


def _is_wanted(machine: MachineType, query: OfferQuery) -> bool:
    gpu = machine.gpu
    return gpu is not None and bool(machine.architecture) and (not query.gpus or gpu.name in query.gpus)


def _asks(query: OfferQuery, market: Market) -> bool:
    return not query.markets or market in query.markets


def _spot_offer(
    machine: MachineType, place: tuple[str, str], price: Seen | None, list_price: Seen | None, query: OfferQuery
) -> Offer | None:
    """None where there is no price, or the price is above the most that we would pay."""
    if price is None:
        return None
    most = list_price.usd_per_hour if list_price else price.usd_per_hour * UNCAPPED_FACTOR
    if query.max_usd_per_hour is not None:
        most = min(most, query.max_usd_per_hour)
    return _offer(machine, place, price, most) if price.usd_per_hour <= most else None


def _on_demand_offer(
    machine: MachineType, place: tuple[str, str], price: Seen | None, query: OfferQuery
) -> Offer | None:
    if price is None or not _asks(query, Market.ON_DEMAND):
        return None
    if query.max_usd_per_hour is not None and price.usd_per_hour > query.max_usd_per_hour:
        return None
    return _offer(machine, place, price, None)


def _offer(machine: MachineType, place: tuple[str, str], price: Seen, most_usd: Decimal | None) -> Offer:
    """A spot offer when `most_usd` (its MaxPrice, by the hour) is given, else on demand."""
    return Offer(
        provider=Aws.name,
        instance_type=machine.name,
        region=place[0],
        zone=place[1],
        market=Market.ON_DEMAND if most_usd is None else Market.SPOT,
        gpu=machine.gpu,
        gpu_count=machine.gpu_count,
        vcpus=machine.vcpus,
        ram_gib=machine.ram_gib,
        usd_per_hour=price.usd_per_hour,
        worst_usd_per_hour=price.usd_per_hour if most_usd is None else most_usd,
        seen_at=price.at,
        source=price.source,
        guarded=TRAITS.guarded,
        fees=FEES,
        billing=TRAITS.billing,
        boot_seconds=BOOT_SECONDS,
        architecture=machine.architecture,
    )
