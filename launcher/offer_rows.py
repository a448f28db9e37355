"""Offers as rows of the ledger, read back without pydantic: what was seen last must be on the screen at once."""

import json
from datetime import datetime
from decimal import Decimal, InvalidOperation

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
        disk_usd, ip_usd, egress_usd = (Decimal(one) for one in row["fees_usd"])
        granularity, minimum = row["billing_seconds"]
        plain = {name: row[name] for name in PLAIN}
        return Offer(
            **plain,
            market=Market(row["market"]),
            gpu=None if row["gpu"] is None else gpus.by_name(row["gpu"]),
            usd_per_hour=Decimal(row["usd_per_hour"]),
            worst_usd_per_hour=Decimal(row["worst_usd_per_hour"]),
            seen_at=datetime.fromisoformat(row["seen_at"]),
            fees=Fees(disk_usd_per_gib_month=disk_usd, ip_usd_per_hour=ip_usd, egress_usd_per_gib=egress_usd),
            billing=Billing(granularity_seconds=granularity, minimum_seconds=minimum),
            stock=Stock(row["stock"]),
        )
    except (ValueError, KeyError, TypeError, InvalidOperation, gpus.UnknownGpu):
        return None


PLAIN = (
    "provider", "instance_type", "region", "zone", "gpu_count", "vcpus", "ram_gib", "source", "guarded",
    "boot_seconds", "architecture", "reclaims_per_hour", "vetted",
)  # fmt: skip
"""Fields that JSON holds as they are."""
