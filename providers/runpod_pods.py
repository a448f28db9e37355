"""Runpod's picture of pods and GPU types as ours: states, marks, addresses, prices, stock."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

from pricing import gpus
from pricing.gpus import MIB_PER_GIB
from pricing.offer import Fees, Market, Offer, Stock
from providers import marks, reading
from providers.base import Access, EndReason, Instance, InstanceState, OfferQuery, Ssh, Traits
from providers.reading import Odd, Row, maybe_instant, maybe_number, maybe_text, maybe_usd, row, rows, text, whole
from providers.runpod_boot import GUARD_DIR
from providers.runpod_settings import NAME

STATES: Mapping[str, InstanceState] = MappingProxyType(
    {
        "PROVISIONING": InstanceState.PENDING,
        "STARTING": InstanceState.PENDING,
        "RUNNING": InstanceState.RUNNING,
        "EXITED": InstanceState.STOPPED,
        "ERROR": InstanceState.STOPPED,
        "TERMINATED": InstanceState.GONE,
    }
)
"""Any other word is UNKNOWN."""
SSH_PORT, LAST_PORT = 22, 65535
ANYWHERE = "any"
COMMUNITY = "community"
"""The place of machines of private hosts: which one it will be, nobody can choose."""
TOLERANCE = Decimal("1.01")
"""A pod may cost so much more by the hour than the catalogue said (list price; the bill is `pod.cost`); the budget
counts on it, and a pod above it goes back."""
FEES = Fees(disk_usd_per_gib_month=Decimal("0.10"))
"""Container disk, while it runs; traffic costs nothing (docs, 2026-08-20)."""
BOOT_SECONDS = 240.0
"""The image is pulled: a minute where the host has it, 10-20 on a cold one (facts: runpod.md, section 3)."""
TRIAL_VCPUS = 2
ASSUMED_RAM_GIB, ASSUMED_VCPUS = 24.0, 8
"""The catalogue tells neither; the machine is looked at before it is used."""


def shown(found: Row, now: datetime) -> Instance:
    """One pod of the API. Raises `Odd` where it has no id."""
    env = found.get("env")
    told = {str(key): str(value) for key, value in env.items()} if isinstance(env, Mapping) else {}
    mark = marks.parse(maybe_text(found, "name"))
    said = maybe_text(found, "status")
    gpu = found.get("gpu")
    return Instance(
        provider=NAME,
        id=text(found, "id"),
        region=COMMUNITY if found.get("cloud") == "COMMUNITY" else maybe_text(found, "dataCenterId"),
        zone="",
        instance_type=maybe_text(gpu, "id") if isinstance(gpu, Mapping) else "cpu",
        market=Market.ON_DEMAND,
        state=STATES.get(said, InstanceState.UNKNOWN),
        run_id=mark.run_id if mark else told.get("LAUNCH_RUN", ""),
        attempt=mark.attempt if mark else (maybe_number(told.get("LAUNCH_ATTEMPT", "")) or 0),
        nonce=mark.nonce if mark else told.get("LAUNCH_NONCE", ""),
        created_at=maybe_instant(found.get("createdAt")) or now,
        deadline=maybe_instant(told.get("LAUNCH_DEADLINE")) or (mark.deadline if mark else None),
        access=_access(found),
        end_reason=EndReason.FAILED if said == "ERROR" else EndReason.NONE,
        end_text=f"Runpod calls it {said}" if said in ("ERROR", "EXITED") else "",
        billed_usd_per_hour=maybe_usd(found.get("cost")),
    )


def is_ours(found: Row, owner_id: str) -> bool:
    """By what it was started with; by its name where that is not shown."""
    env = found.get("env")
    owner = env.get("LAUNCH_OWNER") if isinstance(env, Mapping) else None
    return owner == owner_id if owner else marks.is_ours(maybe_text(found, "name"), owner_id)


def is_anothers(found: Row, owner_id: str) -> bool:
    """Whether it shows another owner's mark. Without any it may be ours all the same: a person can rename a pod."""
    env = found.get("env")
    owner = env.get("LAUNCH_OWNER") if isinstance(env, Mapping) else None
    return owner != owner_id if owner else marks.is_anothers(maybe_text(found, "name"), owner_id)


def _access(found: Row) -> Access | None:
    """`ssh.direct`, else the mapping of port 22; never an http port, whose address is a private one."""
    ssh = found.get("ssh")
    direct = ssh.get("direct") if isinstance(ssh, Mapping) else None
    if isinstance(direct, Mapping):
        return _ssh(direct.get("host"), direct.get("port"))
    runtime = found.get("runtime")
    ports = runtime.get("ports") if isinstance(runtime, Mapping) else None
    for one in ports if isinstance(ports, list) else []:
        if isinstance(one, Mapping) and one.get("private") == SSH_PORT and one.get("type") == "tcp":
            return _ssh(one.get("ip"), one.get("public"))
    return None


def _ssh(host: object, port: object) -> Access | None:
    if not isinstance(host, str) or not host or isinstance(port, bool) or not isinstance(port, int):
        return None
    return Ssh(host=host, port=port, user="root", guard_dir=GUARD_DIR) if 0 < port <= LAST_PORT else None


def offers(
    listed: Row, query: OfferQuery, traits: Traits, now: datetime, regions: tuple[str, ...]
) -> Iterator[Offer | Odd]:
    """What the catalogue says can be rented, secure cloud: a row for each GPU and data centre, or an `Odd`."""
    for entry in rows(listed, "gpus"):
        try:
            yield from (one for one in _secure(entry, traits, now, regions) if query.allows(one))
        except Odd as odd:
            yield odd


def community_offers(listed: Row, query: OfferQuery, traits: Traits, now: datetime) -> Iterator[Offer | Odd]:
    """The same of private hosts: a row for each GPU, since nobody can choose the place."""
    for entry in rows(listed, "gpus"):
        try:
            price = maybe_usd(row(entry.get("price"), "price").get("community"))
            stock = _stock(maybe_text(entry, "availability"))
            offer = _offer(entry, price, (COMMUNITY, stock), traits, now)
        except Odd as odd:
            yield odd
            continue
        if offer is not None and query.allows(offer):
            yield offer


def _secure(entry: Row, traits: Traits, now: datetime, regions: tuple[str, ...]) -> Iterator[Offer]:
    price = maybe_usd(row(entry.get("price"), "price").get("secure"))
    centres = rows(entry, "dataCenters") if entry.get("dataCenters") is not None else []
    places = {text(one, "id"): _stock(maybe_text(one, "availability")) for one in centres}
    wanted = [
        (place, stock) for place, stock in places.items() if stock != Stock.NONE and (not regions or place in regions)
    ]
    nowhere: list[tuple[str, Stock]] = [(ANYWHERE, Stock.NONE)]
    for place, stock in wanted or nowhere:
        offer = _offer(entry, price, (place, stock), traits, now)
        if offer is not None:
            yield offer


def _offer(
    entry: Row, price_usd: Decimal | None, where: tuple[str, Stock], traits: Traits, now: datetime
) -> Offer | None:
    """One card of that type; None for what we do not know, and for what has no price there."""
    name, memory, (place, stock) = text(entry, "id"), whole(entry, "memory"), where
    gpu = gpus.canonical(name, memory * MIB_PER_GIB)
    if gpu is None or price_usd is None:
        return None
    return Offer(
        provider=NAME,
        instance_type=name,
        region=place,
        zone="",
        market=Market.ON_DEMAND,
        gpu=gpu,
        gpu_count=1,
        vcpus=ASSUMED_VCPUS,
        ram_gib=max(ASSUMED_RAM_GIB, float(memory)),
        usd_per_hour=price_usd,
        worst_usd_per_hour=price_usd * TOLERANCE,
        seen_at=now,
        source="Runpod's catalogue; host memory assumed",
        guarded=traits.guarded,
        fees=FEES,
        billing=traits.billing,
        boot_seconds=BOOT_SECONDS,
        stock=stock,
        vetted=place != COMMUNITY,
    )


def is_small_cpu(entry: Row) -> bool:
    """Whether the catalogue has some of that processor, and sells so few of its cores; what it does not tell is so."""
    cores = entry.get("vcpu")
    told = cores if isinstance(cores, Mapping) else {}
    least, most = (reading.maybe_whole(told.get(key)) for key in ("min", "max"))
    is_sold = (least is None or least <= TRIAL_VCPUS) and (most is None or most >= TRIAL_VCPUS)
    return is_sold and _stock(maybe_text(entry, "availability")) is not Stock.NONE


def _stock(word: str) -> Stock:
    try:
        return Stock(word.lower())
    except ValueError:
        return Stock.SOME
