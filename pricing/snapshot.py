"""Dated prices that ship with the package: for a look without an account, and where a cloud will not tell a price."""

import csv
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from pathlib import Path

from pricing import gpus
from pricing.offer import Billing, Fees, Market, Offer

ASSUMED_VCPUS, ASSUMED_RAM_GIB = 4, 24.0
"""For a machine with one card whose source tells no host memory; the offer's source says so."""


def offers(now: datetime) -> tuple[Offer, ...]:
    """All prices of the snapshot that existed at `now`; `seen_at` is the day of the source, so their age is told.

    There are no spot prices among them: no dated source names a place for one.
    """
    return tuple(offer for offer in _offers() if offer.seen_at <= now)


def on_demand_usd(provider: str, instance_type: str, region: str) -> tuple[Decimal, date] | None:
    """The on-demand price by the hour and its day, in that very region; None where the snapshot has none."""
    for offer in _offers():
        if (offer.provider, offer.instance_type, offer.region) == (provider, instance_type, region):
            return offer.usd_per_hour, offer.seen_at.date()
    return None


@cache
def _offers() -> tuple[Offer, ...]:
    terms = {row["provider"]: row for row in _table("snapshot_terms.csv")}
    return tuple(_offer(row, terms[row["provider"]]) for row in _table("snapshot.csv"))


def _table(name: str) -> list[dict[str, str]]:
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _offer(row: dict[str, str], terms: dict[str, str]) -> Offer:
    count, price = int(row["gpu_count"]), Decimal(row["usd_per_hour"])
    assumed = "" if row["ram_gib"] else "; host memory assumed"
    return Offer(
        provider=row["provider"],
        instance_type=row["instance_type"],
        region=row["region"],
        zone=row["zone"],
        market=Market(row["market"]),
        gpu=gpus.by_name(row["gpu"]),
        gpu_count=count,
        vcpus=int(row["vcpus"] or ASSUMED_VCPUS * count),
        ram_gib=float(row["ram_gib"] or ASSUMED_RAM_GIB * count),
        usd_per_hour=price,
        worst_usd_per_hour=price,
        seen_at=datetime.combine(date.fromisoformat(row["as_of"]), time(), UTC),
        source=f"snapshot {row['as_of']}: {row['source']}{assumed}",
        guarded=terms["guarded"] == "yes",
        fees=_fees(terms),
        billing=Billing(
            granularity_seconds=int(terms["granularity_seconds"]), minimum_seconds=int(terms["minimum_seconds"])
        ),
        architecture=row["architecture"],
        vetted=row["vetted"] == "yes",
    )


def _fees(terms: dict[str, str]) -> Fees:
    return Fees(
        disk_usd_per_gib_month=Decimal(terms["disk_usd_per_gib_month"]),
        ip_usd_per_hour=Decimal(terms["ip_usd_per_hour"]),
        egress_usd_per_gib=Decimal(terms["egress_usd_per_gib"]),
    )
