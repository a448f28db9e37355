"""One plan and what stands beside it, in figures of its own: how an estimate looks does not hang on how it is made."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from launcher.beside import Beside, Own, Room
from pricing import gpus
from pricing.alternatives import Alternative, Kind
from pricing.elsewhere_prices import Quote, prices
from pricing.estimate import PHASES, Estimate, Times
from pricing.interval import Dollars, Interval, around
from pricing.memory import Fit
from pricing.offer import Market, Offer
from pricing.own_hardware import Hardware, OwnRun
from pricing.plan import Choice, Plan
from tests.launcher.values import NOW
from tests.pricing.samples import offer, spot, terms, workload

SECONDS = (80.0, 12.0, 150.0, 200.0, 2410.0, 520.0, 40.0, 45.0)
PARTS = (
    ("weights", 3.37), ("embeddings", 0.5), ("adapter and optimiser", 0.1), ("activations", 2.21), ("logits", 0.11),
    ("dequantised matrix", 0.002), ("allocator", 0.4), ("context", 0.5),
)  # fmt: skip


def seconds() -> Interval:
    return Interval(low=2600.0, expected=3457.0, high=5100.0)


def choice(of: Offer, *, usd_per_hour: str = "0.51", odds: float | None = 0.97, **changes: Any) -> Choice:
    needed = sum(size for _, size in PARTS)
    times = Times(
        by_phase=tuple((name, around(one, 1.5)) for name, one in zip(PHASES, SECONDS, strict=True)),
        seconds=seconds(),
        fit=Fit(needed_gib=needed, usable_gib=21.99, margin=1.3, parts=PARTS),
        tokens_per_second=Interval(low=740.0, expected=1180.0, high=1890.0),
        rework_seconds=180.0 if of.market is Market.SPOT else 0.0,
    )
    estimate = Estimate(
        offer=of, times=replace(times, **changes), usd_per_hour=Decimal(usd_per_hour), egress_usd=Decimal("0.0036")
    )
    return Choice(
        offer=of, estimate=estimate, worst_usd_per_hour=Decimal("1.05"), lease_seconds=12_000, disk_gib=100,
        finish_usd=Decimal("0.52"), odds=odds,
    )  # fmt: skip


def plan(budget: str | None = "5", odds: float | None = 0.97) -> Plan:
    fresh, old = NOW - timedelta(minutes=2), NOW - timedelta(days=3)
    choices = (
        choice(spot("0.4912", seen_at=fresh, zone="us-east-2a", region="us-east-2"), odds=odds),
        choice(spot("0.50", seen_at=fresh, zone="us-east-2b", region="us-east-2"), usd_per_hour="0.52", odds=odds),
        choice(offer("1.212", seen_at=old, instance_type="g5.2xlarge", ram_gib=32.0), usd_per_hour="1.23", odds=odds),
    )
    return Plan(choices=choices, rejected=(), workload=workload(), terms=terms(budget, now=NOW))


def dollars(low: str, expected: str, high: str) -> Dollars:
    return Dollars(low_usd=Decimal(low), expected_usd=Decimal(expected), high_usd=Decimal(high))


def own_run(**changes: Any) -> OwnRun:
    run = OwnRun(
        hardware=Hardware(gpu=gpus.by_name("RTX4090"), price_usd=Decimal(1800), usd_per_kwh=Decimal("0.32")),
        seconds=Interval(low=900.0, expected=1440.0, high=2300.0),
        fit=Fit(needed_gib=7.2, usable_gib=23.28, margin=1.3, parts=PARTS),
        kwh=Interval(low=0.14, expected=0.22, high=0.35),
        electricity_usd=dollars("0.044", "0.07", "0.112"),
    )
    return replace(run, **changes)


def own(run: OwnRun | None = None, *, is_here: bool = False, rented: Dollars | None = None) -> Own:
    had = run or own_run()
    against = plan().choices[0]
    usd = rented or against.estimate.usd
    return Own(run=had, is_here=is_here, rented=against, pays_after=had.pays_after(usd))


def quotes() -> tuple[Quote, ...]:
    together = next(one for one in prices() if one.service == "Together")
    job = next(one for one in prices() if one.gpu is not None and one.gpu.name == "A10G")
    return (
        Quote(listed=together, usd=dollars("0.4464", "0.4464", "0.4464")),
        Quote(listed=job, usd=dollars("0.70", "0.98", "1.44")),
    )


def alternatives() -> tuple[Alternative, ...]:
    return (
        Alternative(
            kind=Kind.EPOCHS, text="14 epochs", flag="--set train.epochs=14", offer=plan().choices[0].offer,
            usd=dollars("1.20", "1.71", "2.60"), odds=0.96,
        ),
        Alternative(
            kind=Kind.MODEL, text="mistralai/Mistral-Nemo-Instruct-2407",
            flag="--model mistralai/Mistral-Nemo-Instruct-2407", why="needs 23.1 GiB, the A10G has 22.0",
        ),
    )  # fmt: skip


def beside(**changes: Any) -> Beside:
    values: dict[str, Any] = {
        "quotes": quotes(), "own": own(), "ram_gib": 11.35, "disk_gib": 100,
        "room": Room(micro_batch=28, sequence_tokens=2881), "otherwise": alternatives(),
        "model_source": "built-in table", "tokens_are": "counted",
    }  # fmt: skip
    return Beside(**values | changes)
