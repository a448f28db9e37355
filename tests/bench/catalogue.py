"""Made-up offers of three clouds, any number of them and always the same, as our values and as gpuhunt's catalogue."""

import csv
import json
import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from pricing import gpus
from pricing.gpus import Gpu
from pricing.offer import Billing, Fees, Market, Offer, Stock

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SEED = 4
CLOUDS = {"aws": "aws", "lambda": "lambdalabs", "runpod": "runpod"}
"""Our name of each, and gpuhunt's."""
SPOT_AT = "aws"
"""The only one of the three that sells what may be reclaimed."""
FEES = {
    "aws": Fees(disk_usd_per_gib_month=Decimal("0.08"), ip_usd_per_hour=Decimal("0.005"),
                egress_usd_per_gib=Decimal("0.09")),
    "lambda": Fees(),
    "runpod": Fees(disk_usd_per_gib_month=Decimal("0.10")),
}  # fmt: skip
BILLING = {"aws": Billing(minimum_seconds=60), "lambda": Billing(granularity_seconds=60), "runpod": Billing()}
SIZES = ((4, 16.0), (8, 32.0), (16, 64.0), (32, 128.0))
COUNTS = (1, 1, 1, 1, 2, 4, 8)
PLACES = 120
FIELDS = (
    "instance_name", "location", "price", "cpu", "memory", "gpu_count", "gpu_name", "gpu_memory", "spot", "disk_size",
    "gpu_vendor", "flags", "cpu_arch", "provider_data",
)  # fmt: skip
"""The columns of a file of gpuhunt's catalogue, as its 0.1.34 writes them."""


def offers(count: int) -> Iterator[Offer]:
    """So many machines with GPUs, in many places, at many prices, spot and on demand; no two of one name."""
    chance = random.Random(SEED)
    cards = [gpu for gpu in gpus.all_gpus() if gpu.cuda]
    had: set[tuple[str, str, str, str]] = set()
    while len(had) < count:
        one = _offer(chance, cards)
        if one.pool not in had:
            had.add(one.pool)
            yield one


def _offer(chance: random.Random, cards: Sequence[Gpu]) -> Offer:
    provider, gpu, cards_each = chance.choice(tuple(CLOUDS)), chance.choice(cards), chance.choice(COUNTS)
    vcpus, ram_gib = chance.choice(SIZES)
    is_spot, place = provider == SPOT_AT and chance.random() < 0.7, chance.randrange(PLACES)
    # A card's price follows its memory and its rate, a place asks up to a third more, and what is spare is sold for
    # less: so that few prices are odd, and what is out of reach is so for its size.
    base_usd = (0.15 + gpu.usable_gib * 0.01 + gpu.bf16_tflops * 0.002) * cards_each + vcpus * 0.02
    on_demand = Decimal(round(base_usd * (1 + (place // 3) % 7 / 18) * 1000)).scaleb(-3)
    price = (on_demand * Decimal(chance.randrange(30, 80)) / 100).quantize(Decimal("0.0001"))
    return Offer(
        provider=provider,
        instance_type=f"{gpu.name.lower()}.{cards_each}x{vcpus}",
        region=f"region-{place // 3}",
        zone=f"region-{place // 3}{'abc'[place % 3]}",
        market=Market.SPOT if is_spot else Market.ON_DEMAND,
        gpu=gpu,
        gpu_count=cards_each,
        vcpus=vcpus,
        ram_gib=ram_gib,
        usd_per_hour=price if is_spot else on_demand,
        worst_usd_per_hour=on_demand,
        seen_at=NOW - timedelta(minutes=chance.randrange(600)),
        source="made up",
        guarded=provider == "aws",
        fees=FEES[provider],
        billing=BILLING[provider],
        reclaims_per_hour=chance.choice((None, 0.02, 0.1)) if is_spot else None,
        stock=Stock.UNKNOWN,
    )


def write_gpuhunt(found: Sequence[Offer], folder: Path) -> None:
    """The same offers as a folder that `GPUHUNT_CATALOG_DIR` may name: one file of each cloud."""
    folder.mkdir(parents=True, exist_ok=True)
    for ours, theirs in CLOUDS.items():
        with (folder / f"{theirs}.csv").open("w", newline="") as file:
            rows = csv.DictWriter(file, fieldnames=FIELDS)
            rows.writeheader()
            rows.writerows(_row(one) for one in found if one.provider == ours)


def _row(offer: Offer) -> dict[str, object]:
    assert offer.gpu is not None, "all of them have a card"
    return {
        "instance_name": offer.instance_type,
        "location": offer.zone,
        "price": float(offer.usd_per_hour),
        "cpu": offer.vcpus,
        "memory": offer.ram_gib,
        "gpu_count": offer.gpu_count,
        "gpu_name": offer.gpu.name,
        "gpu_memory": float(round(offer.gpu.usable_gib)),
        "spot": offer.market is Market.SPOT,
        "disk_size": "",
        "gpu_vendor": "nvidia",
        "flags": "",
        "cpu_arch": "x86",
        "provider_data": json.dumps({}),
    }
