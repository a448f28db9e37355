"""What runs of one's own are worth: each source of published runs taken as a user who estimates run after run.

The estimator is fitted without the source (`judge.time_ratios`); then so many runs of it, drawn at random, correct the
estimate of another one.
"""

import random
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from math import exp, log
from statistics import median

from pricing.calibration import Correction, Finished, Path, learn
from pricing.gpus import Gpu
from pricing.interval import Interval, around
from tests.accuracy.judge import time_ratios
from tests.accuracy.points import Point

DRAWS = 10
"""Of the own runs, for each run that is estimated."""
COUNTS = (0, 1, 3, 5, 10)
SECONDS = 100.0
"""What each run is estimated at: only ratios matter."""


@dataclass(frozen=True, kw_only=True)
class Worth:
    """With so many own runs: the median absolute error of the time, and how much of it lies in P10 to P90."""

    own_runs: int
    median_error: float
    inside: float


@cache
def worth(count: int) -> Worth:
    """Over all runs of sources that have more than `count`."""
    dice, errors, inside = random.Random(count), [], 0
    for users in _by_source().values():
        for at, one in enumerate(users):
            others = users[:at] + users[at + 1 :]
            for _ in range(DRAWS):
                forecast = _corrected(one, dice.sample(others, min(count, len(others))))
                errors.append(abs(log(one.actual_seconds / forecast.expected)))
                inside += forecast.low <= one.actual_seconds <= forecast.high
    return Worth(own_runs=count, median_error=exp(median(errors)) - 1, inside=inside / len(errors))


def _corrected(one: Finished, own: list[Finished]) -> Interval:
    found: Correction | None = learn(own).of(one.path)
    return one.estimate if found is None else found.apply(one.estimate)


def _by_source() -> dict[str, list[Finished]]:
    """Sources with one run only teach nobody."""
    found: dict[str, list[Finished]] = defaultdict(list)
    for point, ratio in time_ratios("source"):
        if point.gpu is not None:
            found[point.source].append(_finished(point, point.gpu, ratio))
    return {source: runs for source, runs in found.items() if len(runs) > 1}


def _finished(point: Point, gpu: Gpu, ratio: float) -> Finished:
    """`ratio` is predicted over measured; the width is the one that the card's estimates have."""
    shape = point.workload.shape
    where: Path = ("train gpu", gpu.name, f"{shape.hidden}x{shape.layers}", str(point.workload.method))
    estimate = around(SECONDS, gpu.efficiency_spread)
    return Finished(run=point.id, path=where, estimate=estimate, actual_seconds=SECONDS / ratio)


def table() -> str:
    """As it stands in docs/history.md."""
    lines = ["own runs   median error of the time   inside P10-P90"]
    for count in COUNTS:
        one = worth(count)
        lines.append(f"{count:8}   {one.median_error * 100:22.0f} %   {one.inside * 100:12.0f} %")
    return "\n".join(lines)
