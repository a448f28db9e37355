"""A workload, offers and terms for the tests of this room; every test says what it changes."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pricing import gpus
from pricing.offer import Billing, Fees, Market, Offer
from pricing.terms import Terms
from pricing.workload import Method, ModelShape, Workload

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
FEES = Fees(
    disk_usd_per_gib_month=Decimal("0.08"), ip_usd_per_hour=Decimal("0.005"), egress_usd_per_gib=Decimal("0.09")
)
MISTRAL = ModelShape(
    name="mistralai/Mistral-7B-Instruct-v0.3",
    parameters=7_248_023_552,
    hidden=4096,
    layers=32,
    heads=32,
    kv_heads=8,
    intermediate=14336,
    vocabulary=32768,
    tied_embeddings=False,
    source="test",
)


def workload(**changes: Any) -> Workload:
    values: dict[str, Any] = {
        "shape": MISTRAL,
        "method": Method.QLORA,
        "lora_rank": 16,
        "lora_parameters": 6_815_744,
        "examples": 412,
        "tokens_per_epoch": 310_000,
        "longest_tokens": 1500,
        "epochs": 3.0,
        "max_length": 2048,
        "micro_batch": 4,
        "accumulation": 4,
        "evaluated_examples": 100,
        "evaluated_new_tokens": 128,
        "arms": 2,
        "download_gib": 13.5,
        "shipped_gib": 0.001,
        "result_gib": 0.04,
        "tokens_are": "counted",
    }
    return Workload(**values | changes)


def offer(price: str = "1.006", **changes: Any) -> Offer:
    values: dict[str, Any] = {
        "provider": "aws",
        "instance_type": "g5.xlarge",
        "region": "us-east-1",
        "zone": "us-east-1a",
        "market": Market.ON_DEMAND,
        "gpu": gpus.by_name("A10G"),
        "gpu_count": 1,
        "vcpus": 4,
        "ram_gib": 16.0,
        "usd_per_hour": Decimal(price),
        "worst_usd_per_hour": max(Decimal(price), Decimal("1.006")) if "market" in changes else Decimal(price),
        "seen_at": NOW,
        "source": "test",
        "guarded": True,
        "fees": FEES,
        "billing": Billing(granularity_seconds=1, minimum_seconds=60),
    }
    return Offer(**values | changes)


def spot(price: str = "0.49", **changes: Any) -> Offer:
    return offer(price, market=Market.SPOT, **changes)


def cpu(**changes: Any) -> Offer:
    free = {"worst_usd_per_hour": Decimal(0), "fees": Fees(), "billing": Billing(), "zone": "", "region": "here"}
    machine = {"provider": "local", "instance_type": "cpu", "gpu": None, "gpu_count": 0, "market": Market.OWNED}
    return offer("0", **free | machine | changes)


def terms(budget: str | None = "5", **changes: Any) -> Terms:
    values: dict[str, Any] = {
        "budget_usd": None if budget is None else Decimal(budget),
        "tax_fraction": Decimal(0),
        "now": NOW,
        "deadline_seconds": None,
        "accept_unguarded": False,
        "interactive": False,
        "guard_delay_seconds": {"aws": 120.0},
        "minimum_disk_gib": {"aws": 100},
    }
    return Terms(**values | changes)
