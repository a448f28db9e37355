"""What a run costs on a card that one owns: electricity, and after how many runs its price is earned back."""

import csv
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_UP, Decimal
from functools import cache
from math import ceil
from pathlib import Path

from pricing.budget import SMALLEST_USD
from pricing.estimate import outlook
from pricing.gpus import Gpu
from pricing.interval import Dollars, Interval
from pricing.memory import Fit
from pricing.offer import Market, Offer
from pricing.terms import Terms
from pricing.workload import Workload

COMPUTER_WATTS = 100.0
"""Processor, memory, disks, fans and the power supply's loss beside the card, while it trains (assumed)."""
WATT_SECONDS_PER_KWH = 3.6e6


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """A card that one has, or thinks of buying. None: that figure is not known, and nothing is made up for it.

    `watts` is the whole computer's draw under load where its owner says it; else the card's own limit and
    `COMPUTER_WATTS`.
    """

    gpu: Gpu
    price_usd: Decimal | None = None
    usd_per_kwh: Decimal | None = None
    watts: float | None = None

    def __post_init__(self) -> None:
        figures = (self.price_usd, self.usd_per_kwh, self.watts)
        if any(one is not None and not one >= 0 for one in figures) or self.watts == 0:
            raise ValueError(f"prices are at least 0, watts above 0: {self}")

    @property
    def load_watts(self) -> float | None:
        """What the wall sees during a run, an upper figure; None for a card whose limit we do not know."""
        if self.watts is not None:
            return self.watts
        limit = tdp_watts(self.gpu)
        return None if limit is None else limit + COMPUTER_WATTS


@dataclass(frozen=True, kw_only=True)
class PaysAfter:
    """So many runs until what rent is saved equals the card's price; None: at that end of the interval, never."""

    low: int
    expected: int | None
    high: int | None


@dataclass(frozen=True, kw_only=True)
class OwnRun:
    """One run on `hardware`: how long, how much electricity, and whether it fits at all."""

    hardware: Hardware
    seconds: Interval
    fit: Fit
    kwh: Interval | None
    electricity_usd: Dollars | None

    def pays_after(self, rented: Dollars) -> PaysAfter | None:
        """Against renting at `rented` a run; None where the card's price or its electricity is not known.

        `low` takes the dearest rent and the least electricity, `high` the other ends. It counts runs of this very
        kind, and nothing for the rest of the computer, repairs, or what the card can be sold for.
        """
        price_usd, used = self.hardware.price_usd, self.electricity_usd
        if price_usd is None or used is None:
            return None
        low = _runs(price_usd, rented.high_usd - used.low_usd)
        if low is None:
            return None
        return PaysAfter(
            low=low,
            expected=_runs(price_usd, rented.expected_usd - used.expected_usd),
            high=_runs(price_usd, rented.low_usd - used.high_usd),
        )


def own_run(workload: Workload, hardware: Hardware, terms: Terms) -> OwnRun:
    """The run at home: the card's own speed interval, corrected by own runs as any other, no boot, no rent.

    Every phase is taken at the full draw: preparing and evaluating take less, so this is an upper figure.
    """
    times = outlook(_at_home(hardware.gpu), workload, terms).times
    watts = hardware.load_watts
    kwh = None if watts is None else times.seconds.times(watts / WATT_SECONDS_PER_KWH)
    price_usd = hardware.usd_per_kwh
    return OwnRun(
        hardware=hardware,
        seconds=times.seconds,
        fit=times.fit,
        kwh=kwh,
        electricity_usd=None if kwh is None or price_usd is None else _dollars(kwh, price_usd),
    )


def tdp_watts(gpu: Gpu) -> float | None:
    """The board's power limit as its maker states it, from `own_hardware.csv`; None where we have no source for it."""
    return _limits().get(gpu.name)


def rows() -> tuple[dict[str, str], ...]:
    """`own_hardware.csv`: card, watts, source."""
    text = Path(__file__).with_name("own_hardware.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


@cache
def _limits() -> dict[str, float]:
    return {row["gpu"]: float(row["tdp_watts"]) for row in rows()}


def _at_home(gpu: Gpu) -> Offer:
    """The card as an offer that costs nothing."""
    return Offer(
        provider="own", instance_type=gpu.name, region="", zone="", market=Market.OWNED, gpu=gpu, gpu_count=1, vcpus=0,
        ram_gib=0.0, usd_per_hour=Decimal(0), worst_usd_per_hour=Decimal(0), seen_at=datetime.min.replace(tzinfo=UTC),
        source="your own", guarded=True,
    )  # fmt: skip


def _dollars(kwh: Interval, usd_per_kwh: Decimal) -> Dollars:
    low, expected, high = (
        (Decimal(str(one)) * usd_per_kwh).quantize(SMALLEST_USD, rounding=ROUND_UP)
        for one in (kwh.low, kwh.expected, kwh.high)
    )
    return Dollars(low_usd=low, expected_usd=expected, high_usd=high)


def _runs(price_usd: Decimal, saved_usd: Decimal) -> int | None:
    return None if saved_usd <= 0 else max(1, ceil(price_usd / saved_usd))
