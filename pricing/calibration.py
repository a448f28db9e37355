"""Estimate against actual, from the user's own finished runs: makes the next estimate better, and says by how much."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import exp, log
from statistics import fmean, median

from pricing.interval import Interval

LEAST_RUNS = 3
"""Fewer say nothing about how much runs differ."""
LEAST_SPREAD = 1.1
"""However well a few runs agree, the next one may be so far off."""
Z_80 = 1.28
"""80 % of a normal distribution lie within so many standard deviations."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """One phase of one finished run. `gpu` is the canonical name, "" for the CPU."""

    gpu: str
    phase: str
    estimated_seconds: float
    actual_seconds: float


@dataclass(frozen=True, kw_only=True)
class Correction:
    """What estimates of a phase on a card are multiplied by, and the factor around it that holds about 80 % of runs."""

    factor: float
    spread: float
    runs: int

    def __post_init__(self) -> None:
        if self.factor <= 0 or self.spread < 1:
            raise ValueError(f"a factor is positive, a spread at least 1: {self}")

    def apply(self, estimate: Interval) -> Interval:
        """The corrected forecast."""
        middle = estimate.expected * self.factor
        return Interval(low=middle / self.spread, expected=middle, high=middle * self.spread)


def corrections(runs: Iterable[Finished]) -> Mapping[tuple[str, str], Correction]:
    """By (gpu, phase), where at least `LEAST_RUNS` finished; phases that took or were given no time are left out."""
    ratios: dict[tuple[str, str], list[float]] = defaultdict(list)
    for run in runs:
        if run.estimated_seconds > 0 and run.actual_seconds > 0:
            ratios[run.gpu, run.phase].append(log(run.actual_seconds / run.estimated_seconds))
    return {key: _correction(logs) for key, logs in ratios.items() if len(logs) >= LEAST_RUNS}


def _correction(logs: list[float]) -> Correction:
    """The median ratio (one odd run does not move it); the width grows as runs are few and differ."""
    few = 1 + 2 / len(logs)
    deviation = fmean((one - fmean(logs)) ** 2 for one in logs) ** 0.5 * few
    return Correction(factor=exp(median(logs)), spread=max(LEAST_SPREAD, exp(Z_80 * deviation)), runs=len(logs))
