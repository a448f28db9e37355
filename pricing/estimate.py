"""How long, and how much: an offer and a workload to low / expected / high for each phase of a run."""

from dataclasses import dataclass
from decimal import ROUND_UP, Decimal

from pricing.budget import SMALLEST_USD, cost_usd, expected_usd_per_hour
from pricing.gpus import Gpu
from pricing.interval import Dollars, Interval, around, total
from pricing.memory import Fit, disk_gib, fit
from pricing.offer import Market, Offer
from pricing.terms import Terms
from pricing.throughput import generation_seconds, padded_tokens, tokens_per_second
from pricing.workload import Method, Workload

__all__ = ["PHASES", "Dollars", "Estimate", "Interval", "Phase", "estimate"]

PHASES = ("boot", "ship", "install", "model", "train", "evaluate", "pull", "teardown")
"""The phases of a run in order: `boot` starts at the create call, `model` is download and preparation."""


BOOT_SECONDS = 120.0
"""For a machine whose provider does not say (an EC2 GPU machine answers ssh after 1-3 minutes)."""
INSTALL_SECONDS = 150.0
"""About 3 GB of wheels, fetched and unpacked (assumed; the image may have them)."""
IMPORT_SECONDS = 20.0
"""Python, torch and transformers up, in each step of the job (assumed; 8-15 s on 2 CPU cores)."""
UPLINK_GIB_PER_SECOND = 2.5e6 / 1024**3
"""20 Mbit/s from a home (assumed)."""
DOWNLOAD_GIB_PER_SECOND = 80e6 / 1024**3
"""From the Hub to a cloud's disk; a gp3 volume writes 125 MB/s at most."""
LOAD_GIB_PER_SECOND = 0.4
"""Reading a checkpoint from disk and quantising it (assumed)."""
TEARDOWN_SECONDS = 45.0

DEFAULT_RECLAIMS_PER_HOUR = 0.1
DEFAULT_RECLAIMS_PER_HOUR_HIGH = 0.25
"""Where nobody knows how often a spot machine is reclaimed: a middle, and for the high end the rate at which public
traces were replayed (facts: reliability.md, section 2)."""
HIGH_RECLAIMS = 2.0
"""Reclaims bunch: a known rate is doubled for the high end (assumed)."""
SAVE_EVERY_SECONDS = 600.0
"""Between checkpoints: half of it is lost in a reclaim, on average."""

NOTHING = Interval(low=0.0, expected=0.0, high=0.0)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One phase of one run on one offer."""

    name: str
    seconds: Interval
    usd: Dollars


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one run would take on one offer, all in (fees, tax margin, minimum billing, spot rework)."""

    offer: Offer
    phases: tuple[Phase, ...]
    seconds: Interval
    usd: Dollars
    fit: Fit
    tokens_per_second: Interval
    rework_seconds: float


def estimate(offer: Offer, workload: Workload, terms: Terms) -> Estimate:
    """The run on this offer. `seconds` and `usd` hold the phases, the rework of a spot machine, and egress."""
    seconds = phase_seconds(offer, workload)
    rework = _rework(offer, seconds)
    whole = total((*seconds.values(), rework))
    disk = max(disk_gib(workload), terms.minimum_disk_gib.get(offer.provider, 0))
    rate = expected_usd_per_hour(offer, disk, terms.tax(offer.provider))
    egress_per_gib = offer.fees.egress_usd_per_gib * (1 + terms.tax(offer.provider))
    egress_usd = (egress_per_gib * Decimal(str(workload.result_gib))).quantize(SMALLEST_USD, rounding=ROUND_UP)
    return Estimate(
        offer=offer,
        phases=tuple(Phase(name=name, seconds=seconds[name], usd=_share(seconds[name], rate)) for name in PHASES),
        seconds=whole,
        usd=Dollars(
            low_usd=cost_usd(whole.low, rate, offer.billing) + egress_usd,
            expected_usd=cost_usd(whole.expected, rate, offer.billing) + egress_usd,
            high_usd=cost_usd(whole.high, rate, offer.billing) + egress_usd,
        ),
        fit=fit(workload, offer.gpu, offer.gpu_count, margin=terms.memory_margin, ram_gib=offer.ram_gib),
        tokens_per_second=tokens_per_second(workload, offer.gpu),
        rework_seconds=rework.expected,
    )


def phase_seconds(offer: Offer, workload: Workload) -> dict[str, Interval]:
    """Each of `PHASES` on this offer, uninterrupted."""
    owned = offer.market is Market.OWNED
    return {
        "boot": around(offer.boot_seconds or (1.0 if owned else BOOT_SECONDS), 1.8),
        "ship": around(2.0 if owned else 10.0 + workload.shipped_gib / UPLINK_GIB_PER_SECOND, 2.5),
        "install": around(5.0 if owned else INSTALL_SECONDS, 2.0),
        "model": _model_seconds(workload, owned=owned),
        "train": _train_seconds(workload, offer.gpu),
        "evaluate": _evaluate_seconds(workload, offer.gpu),
        "pull": around(1.0 if owned else 10.0 + workload.result_gib / UPLINK_GIB_PER_SECOND, 2.5),
        "teardown": around(1.0 if owned else TEARDOWN_SECONDS, 2.5),
    }


def _model_seconds(workload: Workload, *, owned: bool) -> Interval:
    check_seconds = IMPORT_SECONDS / 2 if owned else IMPORT_SECONDS
    return around(check_seconds + workload.download_gib / DOWNLOAD_GIB_PER_SECOND, 2.5)


def _train_seconds(workload: Workload, gpu: Gpu | None) -> Interval:
    rate = tokens_per_second(workload, gpu)
    tokens = padded_tokens(workload) * workload.epochs
    steps = Interval(low=tokens / rate.high, expected=tokens / rate.expected, high=tokens / rate.low)
    return steps.plus(_load_seconds(workload))


def _evaluate_seconds(workload: Workload, gpu: Gpu | None) -> Interval:
    if workload.evaluated_examples == 0:
        return NOTHING
    return generation_seconds(workload, gpu).plus(_load_seconds(workload)).times(workload.arms)


def _load_seconds(workload: Workload) -> Interval:
    checkpoint_gib = workload.shape.parameters * 2 / 1024**3
    read_again = 1.0 if workload.method is Method.LORA else 1.3
    return around(IMPORT_SECONDS + read_again * checkpoint_gib / LOAD_GIB_PER_SECOND, 2.0)


def _rework(offer: Offer, seconds: dict[str, Interval]) -> Interval:
    """What reclaims of a spot machine add: to start again, and the work since the last checkpoint."""
    if offer.market is not Market.SPOT:
        return NOTHING
    known = offer.reclaims_per_hour
    expected = DEFAULT_RECLAIMS_PER_HOUR if known is None else known
    high = DEFAULT_RECLAIMS_PER_HOUR_HIGH if known is None else known * HIGH_RECLAIMS
    again = sum(seconds[name].expected for name in ("boot", "ship", "install", "model")) + SAVE_EVERY_SECONDS / 2
    hours = sum(one.expected for one in seconds.values()) / 3600
    return Interval(low=0.0, expected=expected * hours * again, high=high * hours * again)


def _share(seconds: Interval, usd_per_hour: Decimal) -> Dollars:
    low, expected, high = (
        (Decimal(str(one)) * usd_per_hour / 3600).quantize(Decimal("0.0001"))
        for one in (seconds.low, seconds.expected, seconds.high)
    )
    return Dollars(low_usd=low, expected_usd=expected, high_usd=high)
