"""Lambda's picture of machines and machine types as ours: states, marks, addresses, prices, places."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from types import MappingProxyType

from pricing import gpus
from pricing.offer import Market, Offer, Stock
from providers import marks
from providers.base import EndReason, Instance, InstanceState, OfferQuery, Ssh, Traits
from providers.cloud_init import GUARD_DIR
from providers.lambda_settings import NAME
from providers.reading import Odd, Row, maybe_instant, maybe_number, maybe_text, maybe_usd, row, rows, text, whole

USER = "ubuntu"
STATES: Mapping[str, InstanceState] = MappingProxyType(
    {
        "booting": InstanceState.PENDING,
        "active": InstanceState.RUNNING,
        "unhealthy": InstanceState.UNHEALTHY,
        "preempted": InstanceState.STOPPED,
        "terminating": InstanceState.ENDING,
        "terminated": InstanceState.GONE,
    }
)
"""Any other word is UNKNOWN."""
TAGS = ("launch:owner", "launch:run", "launch:attempt", "launch:nonce", "launch:deadline", "launch:created")
ANYWHERE = "any"
CENTS = 100
TOLERANCE = Decimal("1.01")
"""What is billed after create may be so much above the price that was shown (prices are whole cents); the budget counts
on it, and a machine above it goes back."""
ARM = ("gh200", "gb200", "gb300")
BOOT_SECONDS = 180.0
"""Launch to usable: 113-180 s as a rule, once 857 s (facts: lambda.md, section 6)."""


def shown(found: Row, ssh_port: int, now: datetime) -> Instance:
    """One machine of GET /instances. Raises `Odd` where it has no id."""
    tags = tags_of(found)
    mark = marks.parse(maybe_text(found, "name"))
    said = maybe_text(found, "status")
    state = STATES.get(said, InstanceState.UNKNOWN)
    address = maybe_text(found, "ip")
    kind = found.get("instance_type")
    place = found.get("region")
    cents = maybe_usd(kind.get("price_cents_per_hour")) if isinstance(kind, Mapping) else None
    return Instance(
        provider=NAME,
        id=text(found, "id"),
        region=maybe_text(place, "name") if isinstance(place, Mapping) else "",
        zone="",
        instance_type=maybe_text(kind, "name") if isinstance(kind, Mapping) else "",
        market=Market.ON_DEMAND,
        state=state,
        run_id=tags.get("launch:run") or (mark.run_id if mark else ""),
        attempt=maybe_number(tags.get("launch:attempt", "")) or (mark.attempt if mark else 0),
        nonce=tags.get("launch:nonce") or (mark.nonce if mark else ""),
        created_at=maybe_instant(tags.get("launch:created")) or now,
        deadline=maybe_instant(tags.get("launch:deadline")) or (mark.deadline if mark else None),
        access=Ssh(host=address, port=ssh_port, user=USER, guard_dir=GUARD_DIR) if address else None,
        end_reason=EndReason.PREEMPTED if said == "preempted" else EndReason.NONE,
        end_text=f"Lambda calls it {said}" if state in (InstanceState.UNHEALTHY, InstanceState.STOPPED) else "",
        billed_usd_per_hour=None if cents is None else cents / CENTS,
    )


def is_ours(found: Row, owner_id: str) -> bool:
    """By its tag; by its name where the tag is missing (tags are optional in answers)."""
    owner = tags_of(found).get("launch:owner")
    return owner == owner_id if owner else marks.is_ours(maybe_text(found, "name"), owner_id)


def is_anothers(found: Row, owner_id: str) -> bool:
    """Whether it shows another owner's mark. Without any it may be ours all the same: answers need not show marks."""
    owner = tags_of(found).get("launch:owner")
    return owner != owner_id if owner else marks.is_anothers(maybe_text(found, "name"), owner_id)


def tags_of(found: Row) -> dict[str, str]:
    """Its tags, as far as they are texts."""
    listed = found.get("tags")
    pairs = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    return {maybe_text(one, "key"): maybe_text(one, "value") for one in pairs}


def offers(
    types: Row, query: OfferQuery, traits: Traits, now: datetime, regions: tuple[str, ...]
) -> Iterator[Offer | Odd]:
    """What GET /instance-types says can be rented: a row for each type and region, or an `Odd` for an odd entry."""
    for entry in types.values():
        try:
            found = row(entry, "a machine type")
            for offer in _of_type(found, traits, now, regions):
                if query.allows(offer):
                    yield offer
        except Odd as odd:
            yield odd


def _of_type(found: Row, traits: Traits, now: datetime, regions: tuple[str, ...]) -> Iterator[Offer]:
    kind = row(found.get("instance_type"), "instance_type")
    specs = row(kind.get("specs"), "specs")
    type_name, count = text(kind, "name"), whole(specs, "gpus")
    gpu = gpus.canonical(maybe_text(kind, "gpu_description"), None) or gpus.canonical(_label(type_name), None)
    cents = maybe_usd(kind.get("price_cents_per_hour"))
    if not count:
        return  # a machine without a GPU is no offer of ours, and no surprise
    if gpu is None:
        raise Odd(f"{type_name} has a {maybe_text(kind, 'gpu_description') or 'GPU without a name'}, unknown to launch")
    if cents is None:
        raise Odd(f"{type_name} has no price")
    places = [text(one, "name") for one in rows(found, "regions_with_capacity_available")]
    price = cents / CENTS
    for place in [one for one in places if not regions or one in regions] or [ANYWHERE]:
        yield Offer(
            provider=NAME,
            instance_type=type_name,
            region=place,
            zone="",
            market=Market.ON_DEMAND,
            gpu=gpu,
            gpu_count=count,
            vcpus=whole(specs, "vcpus"),
            ram_gib=float(whole(specs, "memory_gib")),
            usd_per_hour=price,
            worst_usd_per_hour=price * TOLERANCE,
            seen_at=now,
            source="Lambda's API",
            guarded=traits.guarded,
            billing=traits.billing,
            boot_seconds=BOOT_SECONDS,
            architecture="aarch64" if any(part in type_name for part in ARM) else "x86_64",
            stock=Stock.NONE if place == ANYWHERE else Stock.SOME,
        )


def _label(type_name: str) -> str:
    """gpu_1x_a100_sxm4 as people write it: a100 sxm4."""
    return " ".join(type_name.split("_")[2:])
