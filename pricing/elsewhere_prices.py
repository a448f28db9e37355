"""What the same run would cost where it cannot be launched from here: managed services by the token, jobs by the hour.

List prices with their day and source, from `elsewhere.csv`; a price without both is not in it. Without tax, and for
training alone where tokens are what is paid.
"""

import csv
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import ROUND_UP, Decimal
from functools import cache
from pathlib import Path

from pricing import gpus
from pricing.budget import SMALLEST_USD
from pricing.estimate import estimate
from pricing.gpus import Gpu
from pricing.interval import Dollars
from pricing.offer import Billing, Market, Offer
from pricing.terms import Terms
from pricing.workload import Workload

BILLION, MILLION = 1e9, 1_000_000
BY_THE_MINUTE = Billing(granularity_seconds=60, minimum_seconds=60)
TOKENS, HOUR = "million tokens", "hour"
"""What a price is for, as `elsewhere.csv` says it."""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One list price: `usd` for a million tokens of a model within the sizes, or for an hour of one card."""

    service: str
    unit: str
    usd: Decimal
    seen: date
    source: str
    gpu: Gpu | None = None
    above_billion: float = 0.0
    up_to_billion: float = 0.0

    def __post_init__(self) -> None:
        if self.usd <= 0 or not self.source or (self.unit == HOUR) != (self.gpu is not None):
            raise ValueError(f"a list price is above 0, has a source, and a card where it is by the hour: {self}")
        if self.unit not in {TOKENS, HOUR} or (self.unit == TOKENS and not self.above_billion < self.up_to_billion):
            raise ValueError(f"a list price is for {TOKENS} of models within two sizes, or for an {HOUR}: {self}")


@dataclass(frozen=True, kw_only=True)
class Quote:
    """What the run would cost at a list price: of training alone (by the token), or of the whole job (by the hour)."""

    listed: Listed
    usd: Dollars


def quotes(workload: Workload, terms: Terms) -> tuple[Quote, ...]:
    """What it would cost elsewhere, cheapest first; only where the model is taken there, and fits.

    A service by the token has a catalogue of models: one that is shipped from a folder here is not in it, and mixtures
    of experts have prices of their own there, which we do not know.
    """
    found = [_quote(listed, workload, terms) for listed in prices() if listed.seen <= terms.now.date()]
    return tuple(sorted((one for one in found if one is not None), key=lambda one: one.usd.expected_usd))


def by_the_token(found: tuple[Quote, ...]) -> tuple[Quote, ...]:
    """Those of managed services."""
    return tuple(one for one in found if one.listed.unit == TOKENS)


def by_the_hour(found: tuple[Quote, ...]) -> tuple[Quote, ...]:
    """Those of machines that run the very same job."""
    return tuple(one for one in found if one.listed.unit == HOUR)


@cache
def prices() -> tuple[Listed, ...]:
    """All rows of `elsewhere.csv`."""
    text = Path(__file__).with_name("elsewhere.csv").read_text(encoding="utf-8")
    return tuple(_listed(row) for row in csv.DictReader(text.splitlines()))


def _listed(row: dict[str, str]) -> Listed:
    return Listed(
        service=row["service"],
        unit=row["unit"],
        usd=Decimal(row["usd"]),
        seen=date.fromisoformat(row["seen"]),
        source=row["source"],
        gpu=gpus.by_name(row["gpu"]) if row["gpu"] else None,
        above_billion=float(row["above_billion"] or 0),
        up_to_billion=float(row["up_to_billion"] or 0),
    )


def _quote(listed: Listed, workload: Workload, terms: Terms) -> Quote | None:
    return _for_tokens(listed, workload) if listed.gpu is None else _for_hours(listed, workload, terms)


def _for_tokens(listed: Listed, workload: Workload) -> Quote | None:
    shape = workload.shape
    in_catalogue = workload.download_gib > 0 and shape.active_parameters is None
    if not in_catalogue or not listed.above_billion < shape.parameters / BILLION <= listed.up_to_billion:
        return None
    expected, spread = Decimal(workload.training_tokens), Decimal(str(workload.token_spread))
    low, middle, high = (
        (tokens * listed.usd / MILLION).quantize(SMALLEST_USD, rounding=ROUND_UP)
        for tokens in (expected / spread, expected, expected * spread)
    )
    return Quote(listed=listed, usd=Dollars(low_usd=low, expected_usd=middle, high_usd=high))


def _for_hours(listed: Listed, workload: Workload, terms: Terms) -> Quote | None:
    assert listed.gpu is not None, "a price by the hour has a card"
    if not (listed.gpu.bf16 and listed.gpu.cuda):
        return None
    offer = Offer(
        provider="elsewhere", instance_type=listed.service, region="", zone="", market=Market.ON_DEMAND,
        gpu=listed.gpu, gpu_count=1, vcpus=0, ram_gib=0.0, usd_per_hour=listed.usd, worst_usd_per_hour=listed.usd,
        seen_at=datetime.combine(listed.seen, time(), UTC), source=listed.source, guarded=True, billing=BY_THE_MINUTE,
    )  # fmt: skip
    forecast = estimate(offer, workload, replace(terms, tax_fraction=Decimal(0), tax_fractions={}))
    return Quote(listed=listed, usd=forecast.usd) if forecast.fit.fits else None
