"""How long, and how much: an offer and a workload to low / expected / high for each phase of a run."""

from dataclasses import dataclass

from pricing.interval import Dollars, Interval
from pricing.memory import Fit
from pricing.offer import Offer

__all__ = ["PHASES", "Dollars", "Estimate", "Interval", "Phase"]

PHASES = ("boot", "ship", "install", "model", "train", "evaluate", "pull", "teardown")
"""The phases of a run in order: `boot` starts at the create call, `model` is download and preparation."""


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
