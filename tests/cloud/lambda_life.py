"""Lambda's machines: booting without and with an address, active, unhealthy, terminating, gone; sold by the region."""

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from tests.cloud.boxes import Gpu
from tests.cloud.buckets import Bucket
from tests.cloud.http_cloud import Refused
from tests.cloud.machine import Machine
from tests.cloud.meter import LAMBDA, Metered
from tests.cloud.scenario import Knobs
from tests.cloud.sight import is_shown
from tests.cloud.world import SSH_PORT, World

INSUFFICIENT = "instance-operations/launch/insufficient-capacity"
MISSING = "global/object-does-not-exist"
INVALID = "global/invalid-parameters"
REGIONS = {
    "us-west-1": "California, USA",
    "us-west-2": "Arizona, USA",
    "us-east-1": "Virginia, USA",
    "us-south-1": "Texas, USA",
}
MOST_USER_DATA = 1_000_000
HOSTNAME = re.compile(r"[a-z0-9][0-9a-z-]{0,62}")
TAG_KEY = re.compile(r"[a-z][a-z0-9-:]+")
FAMILIES = ("lambda-stack-24-04", "lambda-stack-22-04", "gpu-base-24-04")


@dataclass(frozen=True, kw_only=True)
class LambdaType:
    """One machine type; the price is of the whole machine, in whole cents an hour."""

    name: str
    gpu: str
    smi: str
    mib: int
    cents: int
    count: int = 1
    vcpus: int = 30
    memory_gib: int = 200


A10 = LambdaType(name="gpu_1x_a10", gpu="A10 (24 GB PCIe)", smi="NVIDIA A10", mib=23028, cents=129)
TYPES = {
    one.name: one
    for one in (
        # prices seen 2026-09 (shared/facts/prices.md section 6)
        A10,
        replace(A10, name="gpu_1x_a6000", gpu="A6000 (48 GB)", smi="NVIDIA RTX A6000", mib=49140, cents=109),
        replace(A10, name="gpu_1x_a100_sxm4", gpu="A100 (40 GB SXM4)", smi="NVIDIA A100-SXM4-40GB", mib=40960,
                cents=199),
        replace(A10, name="gpu_1x_gh200", gpu="GH200 (96 GB)", smi="NVIDIA GH200 480GB", mib=97871, cents=229),
        replace(A10, name="gpu_1x_h100_pcie", gpu="H100 (80 GB PCIe)", smi="NVIDIA H100 PCIe", mib=81559, cents=329),
        LambdaType(
            name="gpu_8x_a100_80gb_sxm4", gpu="A100 (80 GB SXM4)", smi="NVIDIA A100-SXM4-80GB", mib=81920, cents=2232,
            count=8, vcpus=240, memory_gib=1800,
        ),
    )
}  # fmt: skip
LISTED = {
    "gpu_1x_a10": ["us-west-1", "us-east-1"],
    "gpu_1x_a6000": [],
    "gpu_1x_a100_sxm4": ["us-west-2", "us-east-1"],
    "gpu_8x_a100_80gb_sxm4": ["us-east-1"],
    "gpu_1x_gh200": ["us-east-1"],
    "gpu_1x_h100_pcie": ["us-west-1"],
}


@dataclass(kw_only=True)
class LambdaKnobs(Knobs):
    """Delays (sim seconds) and misbehaviour of this cloud alone."""

    active_seconds: float = 0.2
    """From the address to `active`: SSH may answer before or after that."""
    listed_seconds: float = 30.0
    """How long a terminated machine is still listed."""
    requests_every_seconds: float = 1.0
    launches_every_seconds: float = 12.0
    burst: int = 1
    unhealthy: int = 0
    """So many machines are unhealthy on arrival."""
    says_nothing_ended: int = 0
    """So many terminate answers leave the machine out."""
    no_address: bool = False
    """Active, and no address is told."""
    no_tags: bool = False
    no_names: bool = False
    odd_status: str = ""
    """What every machine's status is said to be."""
    more_fields: bool = False
    quota: int = 1000
    """Machines at once."""
    no_own_price: bool = False
    """Machines do not say what they cost."""
    own_price_factor: str = "1"
    """What a machine says that it costs, as a factor of the list price."""


@dataclass(kw_only=True)
class LambdaMachine(Machine):
    """What only Lambda knows of a machine."""

    name: str
    key_names: list[str]
    tags: list[dict[str, str]]
    has_address: bool = False
    image: str = ""


@dataclass(kw_only=True)
class LambdaScenario:
    """What is sold where, and how much of it there really is."""

    types: dict[str, LambdaType] = field(default_factory=lambda: dict(TYPES))
    listed: dict[str, list[str]] = field(default_factory=lambda: {name: list(where) for name, where in LISTED.items()})
    capacity: dict[str, int] = field(default_factory=dict)
    """"region/type" to how many more there are; a pool that is not named gives any number, whatever is listed."""
    images: set[str] = field(default_factory=lambda: set(FAMILIES))


class LambdaLife:
    """The landlord "lambda". Everything is called under the world's lock."""

    name = "lambda"

    def __init__(self, world: World) -> None:
        self._world = world
        self.knobs = LambdaKnobs()
        self.forget()
        world.add(self)

    def forget(self) -> None:
        """See `world.Landlord`."""
        self.scenario = LambdaScenario()
        self.keys: dict[str, dict[str, str]] = {}
        self.buckets: dict[tuple[str, str], Bucket] = {}

    @property
    def machines(self) -> dict[str, LambdaMachine]:
        """Its machines."""
        return {id: one for id, one in self._world.machines.items() if isinstance(one, LambdaMachine)}

    def turn(self, key: str, kind: str) -> float:
        """0 when this request may be answered, else the seconds until one may."""
        seconds = self.knobs.requests_every_seconds if kind == "any" else self.knobs.launches_every_seconds
        bucket = self.buckets.setdefault((key, kind), Bucket(seconds=seconds, burst=self.knobs.burst))
        bucket.seconds, bucket.burst = seconds, self.knobs.burst if kind == "any" else 1
        return bucket.take(self._world.clock.seconds())

    def launch(self, body: dict[str, object]) -> str:
        """A new machine's id. Raises `Refused`."""
        region, kind = str(body["region_name"]), str(body["instance_type_name"])
        self._check(body, region, kind)
        alive = [one for one in self.machines.values() if one.alive]
        if len(alive) >= self.knobs.quota:
            raise Refused("global/quota-exceeded", "Quota exceeded.")
        pool = f"{region}/{kind}"
        if self.scenario.capacity.get(pool, 1) <= 0:
            raise Refused(INSUFFICIENT, "Not enough capacity to fulfill launch request.")
        if pool in self.scenario.capacity:
            self.scenario.capacity[pool] -= 1
        return self._make(body, region, self.scenario.types[kind]).id

    def _check(self, body: dict[str, object], region: str, kind: str) -> None:
        if region not in REGIONS:
            raise Refused(MISSING, f"Region {region} was not found.")
        if kind not in self.scenario.types:
            raise Refused(MISSING, f"Instance type {kind} was not found.")
        names = body["ssh_key_names"]
        if not isinstance(names, list) or len(names) != 1:
            raise Refused(INVALID, "Exactly one SSH key must be specified.")
        if names[0] not in {key["name"] for key in self.keys.values()}:
            raise Refused(MISSING, f"SSH key {names[0]} was not found.")
        if len(str(body.get("name", ""))) > 64:
            raise Refused(INVALID, "name: at most 64 characters")
        if "hostname" in body and not HOSTNAME.fullmatch(str(body["hostname"])):
            raise Refused(INVALID, "hostname does not match")
        if "quantity" in body:
            raise Refused(INVALID, "quantity: Input should be less than or equal to 1")
        if len(str(body.get("user_data", "")).encode()) > MOST_USER_DATA:
            raise Refused(INVALID, "user_data: at most 1 MB")
        self._check_tags(body.get("tags", []))
        image = body.get("image")
        if isinstance(image, dict) and image.get("family") not in self.scenario.images:
            raise Refused(MISSING, f"Image {image} was not found.")

    def _check_tags(self, tags: object) -> None:
        for tag in tags if isinstance(tags, list) else []:
            key, value = str(tag.get("key", "")), str(tag.get("value", ""))
            if not TAG_KEY.fullmatch(key) or len(key) > 55 or key.startswith("lambda-ai-") or len(value) > 128:
                raise Refused(INVALID, f"tag {key!r} is not allowed")

    def _make(self, body: dict[str, object], region: str, kind: LambdaType) -> LambdaMachine:
        world, now = self._world, self._world.clock.seconds()
        id = secrets.token_hex(16)
        names = body["ssh_key_names"]
        assert isinstance(names, list)
        public = next(key["public_key"] for key in self.keys.values() if key["name"] == names[0])
        tags = body.get("tags") or []
        assert isinstance(tags, list)
        price = Decimal(kind.cents) / 100 * Decimal(self.knobs.own_price_factor)
        machine = LambdaMachine(
            cloud=self.name,
            id=id,
            region=region,
            zone="",
            instance_type=kind.name,
            address=world.next_address(),
            port=SSH_PORT,
            created=now,
            metered=Metered(
                id=id, tags={tag["key"]: tag["value"] for tag in tags}, created=now, disk_gib=0, rules=LAMBDA,
                prices=[(now, price)],
            ),
            gpu=Gpu(name=kind.smi, mib=kind.mib, count=kind.count),
            state="booting",
            user_data=str(body.get("user_data", "")).encode(),
            account_keys=(public,),
            name=str(body.get("name", "")),
            key_names=list(names),
            tags=list(tags),
            image=str(body.get("image", "")),
        )  # fmt: skip
        world.enter(machine)
        world.say("created", id, f"{kind.name} in {region}")
        if not self.knobs.never_ready:
            world.at(now + self.knobs.pending_seconds, lambda at: self._has_address(machine, at))
        return machine

    def _has_address(self, machine: LambdaMachine, at: float) -> None:
        if machine.state != "booting":
            return
        if self.knobs.die_in_pending:
            self.end(machine.id, self.knobs.die_in_pending, "it did not come up", at)
            return
        machine.has_address = True
        self._world.say("address", machine.id, machine.address)
        if self.knobs.unhealthy > 0:
            self.knobs.unhealthy -= 1
            self.falls_ill(machine, at, "unhealthy on arrival, and billed")
            return
        self._world.boot(machine, lambda peer: True, None)
        self._world.at(at + self.knobs.active_seconds, lambda at: self._is_active(machine, at))

    def _is_active(self, machine: LambdaMachine, at: float) -> None:
        if machine.state == "booting":
            machine.state, machine.metered.started = "active", at
            self._world.say("active", machine.id, "healthy, billed from now")

    def falls_ill(self, machine: LambdaMachine, at: float, text: str) -> None:
        """It is unhealthy from now on, and billed on."""
        machine.state = "unhealthy"
        if machine.metered.started is None:
            machine.metered.started = at
        self._world.say("unhealthy", machine.id, text)

    def end(self, id: str, code: str, text: str, at: float | None = None) -> None:
        """See `world.Landlord`. Billing ends with the terminate request."""
        machine = self.machines[id]
        if not machine.alive:
            return
        now = self._world.clock.seconds() if at is None else at
        machine.state, machine.reason, machine.metered.ended = "terminating", (code, text), now
        self._world.say("ending", id, code)
        self._world.at(now + self.knobs.ending_seconds, lambda at: self._gone(machine, at))
        self._world.over(machine)

    def _gone(self, machine: LambdaMachine, at: float) -> None:
        machine.state, machine.terminated, machine.metered.deleted = "terminated", at, at
        self._world.say("terminated", machine.id, machine.reason[0])

    def look_after(self, machine: Machine) -> None:
        """See `world.Landlord`: power-off ends nothing here, the bill least of all."""
        if machine.box is None or not isinstance(machine, LambdaMachine):
            return
        if machine.box.shutdown_note() is not None and machine.state in ("booting", "active"):
            self.falls_ill(machine, self._world.clock.seconds(), "it switched itself off; billed on")
            self._world.over(machine)

    def set_places(self, kind: str, regions: list[str]) -> None:
        """Where it is listed as to be had."""
        self.scenario.listed[kind] = list(regions)

    def set_price(self, kind: str, usd_per_hour: str) -> None:
        """A new list price, which machines that run pay from now on."""
        cents = int(Decimal(usd_per_hour) * 100)
        self.scenario.types[kind] = replace(self.scenario.types[kind], cents=cents)
        for machine in self.machines.values():
            if machine.instance_type == kind:
                machine.metered.price(self._world.clock.seconds(), Decimal(cents) / 100)

    def shown(self, machine: LambdaMachine, *, by_id: bool) -> bool:
        """Whether the API shows it now."""
        now, knobs = self._world.clock.seconds(), self.knobs
        return is_shown(
            now - machine.created,
            lag_seconds=knobs.early_not_found_seconds if by_id else knobs.list_lag_seconds,
            gone_seconds=None if machine.terminated is None else now - machine.terminated,
            kept_seconds=knobs.listed_seconds,
        )

    def listed(self) -> Iterable[LambdaMachine]:
        """What GET /instances lists."""
        if self.knobs.list_gap > 0 and self.machines:
            self.knobs.list_gap -= 1
            self._world.say("gap", "", "a listing left everything out")
            return ()
        return [one for one in self.machines.values() if self.shown(one, by_id=False)]
