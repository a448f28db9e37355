"""Offers as rows of the ledger, read back without pydantic: what was seen last must be on the screen at once."""

import json
from datetime import datetime
from decimal import Decimal, InvalidOperation
from functools import cache

from pricing import gpus
from pricing.offer import Billing, Fees, Market, Offer, Stock


def dumped(offer: Offer) -> str:
    """One offer as a line of JSON."""
    return json.dumps(
        {
            "provider": offer.provider,
            "instance_type": offer.instance_type,
            "region": offer.region,
            "zone": offer.zone,
            "market": str(offer.market),
            "gpu": None if offer.gpu is None else offer.gpu.name,
            "gpu_count": offer.gpu_count,
            "vcpus": offer.vcpus,
            "ram_gib": offer.ram_gib,
            "usd_per_hour": str(offer.usd_per_hour),
            "worst_usd_per_hour": str(offer.worst_usd_per_hour),
            "seen_at": offer.seen_at.isoformat(),
            "source": offer.source,
            "guarded": offer.guarded,
            "fees_usd": [
                str(offer.fees.disk_usd_per_gib_month), str(offer.fees.ip_usd_per_hour),
                str(offer.fees.egress_usd_per_gib),
            ],
            "billing_seconds": [offer.billing.granularity_seconds, offer.billing.minimum_seconds],
            "boot_seconds": offer.boot_seconds,
            "architecture": offer.architecture,
            "reclaims_per_hour": offer.reclaims_per_hour,
            "stock": str(offer.stock),
            "vetted": offer.vetted,
        }
    )  # fmt: skip


def loaded(text: str) -> Offer | None:
    """The offer of such a line; None for one of another version."""
    try:
        row = json.loads(text)
        plain = {name: row[name] for name in PLAIN}
        return Offer(
            **plain,
            market=Market(row["market"]),
            gpu=None if row["gpu"] is None else _gpu(row["gpu"]),
            usd_per_hour=Decimal(row["usd_per_hour"]),
            worst_usd_per_hour=Decimal(row["worst_usd_per_hour"]),
            seen_at=_instant(row["seen_at"]),
            fees=_fees(*row["fees_usd"]),
            billing=_billing(*row["billing_seconds"]),
            stock=Stock(row["stock"]),
        )
    except (ValueError, KeyError, TypeError, InvalidOperation, gpus.UnknownGpu):
        return None


# What many offers have in common is one value for all of them, as with a provider: less to hold, and less to weigh.


@cache
def _gpu(name: str) -> gpus.Gpu:
    return gpus.by_name(name)


@cache
def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


@cache
def _fees(disk_usd: str, ip_usd: str, egress_usd: str) -> Fees:
    return Fees(
        disk_usd_per_gib_month=Decimal(disk_usd),
        ip_usd_per_hour=Decimal(ip_usd),
        egress_usd_per_gib=Decimal(egress_usd),
    )


@cache
def _billing(granularity_seconds: int, minimum_seconds: int) -> Billing:
    return Billing(granularity_seconds=granularity_seconds, minimum_seconds=minimum_seconds)


PLAIN = (
    "provider", "instance_type", "region", "zone", "gpu_count", "vcpus", "ram_gib", "source", "guarded",
    "boot_seconds", "architecture", "reclaims_per_hour", "vetted",
)  # fmt: skip
"""Fields that JSON holds as they are."""
