"""Judges predictions by sources, and by cards, that no constant was fitted on; nothing is printed here."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import exp, log
from statistics import median

from pricing.memory import PUBLISHED, MemoryConstants, needed, sure_gib
from tests.accuracy.fit import error, fit, held_out, spread
from tests.accuracy.points import Point, memory_points, mixture_points, time_points

CARDS_GIB = (16, 24, 40, 48, 80)
WITHOUT_SWIFT = 1.5
"""What varying lengths cost where ms-swift, which decides it, is left out: GMLake's third of all memory."""
OUTSIDE_OF_CARD = ("allocator", "context")
GRID = [1.0 + 0.125 * step for step in range(25)]


@dataclass(frozen=True, kw_only=True)
class Score:
    """Absolute errors as shares of what was measured; `low`: the share of runs for which too little was predicted."""

    n: int
    sources: int
    median: float
    p90: float
    low: float


@dataclass(frozen=True, kw_only=True)
class Fits:
    """Pairs of a run and a card: `false_fits` did not fit and were said to, of `refused` of `fitted` the reverse."""

    false_fits: int
    refused: int
    fitted: int


def score(ratios: Sequence[tuple[Point, float]]) -> Score:
    """Of predicted over measured."""
    misses = sorted(abs(ratio - 1) for _, ratio in ratios)
    return Score(
        n=len(misses),
        sources=len({point.source for point, _ in ratios}),
        median=median(misses),
        p90=misses[min(len(misses) - 1, round(0.9 * (len(misses) - 1)))],
        low=sum(ratio < 1 for _, ratio in ratios) / len(ratios),
    )


def memory_gib(point: Point, constants: MemoryConstants = PUBLISHED) -> float:
    """The predicted peak, as its source measured it."""
    left_out = OUTSIDE_OF_CARD if point.allocated else ()
    return sum(gib for name, gib in needed(point.workload, constants) if name not in left_out)


def memory_without(source: str) -> MemoryConstants:
    """The constants without what that source alone decides."""
    if source == "ms-swift":
        return dataclasses.replace(PUBLISHED, varied=WITHOUT_SWIFT)
    if source.startswith("litgpt"):
        return dataclasses.replace(PUBLISHED, quantised_input_bytes=0.0)
    return PUBLISHED


@cache
def memory_ratios() -> tuple[tuple[Point, float], ...]:
    """Predicted over measured peak of all runs, each without its own source."""
    return tuple(
        (point, memory_gib(point, memory_without(point.source)) / (point.memory_gib or 1.0))
        for point in memory_points()
    )


def fits(rows: Sequence[Point], sure: Callable[[Point], float]) -> Fits:
    """How often `sure`, in GiB, was wrong about the cards of `CARDS_GIB`."""
    false_fits = refused = fitted = 0
    for row in rows:
        for card in CARDS_GIB:
            if (row.memory_gib or 0.0) > card:
                false_fits += sure(row) <= card
            else:
                fitted += 1
                refused += sure(row) > card
    return Fits(false_fits=false_fits, refused=refused, fitted=fitted)


def fits_on_own_card(rows: Sequence[Point]) -> Fits:
    """The same for the card on which each run really ran."""
    known = [row for row in rows if row.gpu is not None]
    refused = sum(sure_gib(row.workload) > row.gpu.usable_gib for row in known if row.gpu is not None)
    return Fits(false_fits=0, refused=refused, fitted=len(known))


def margin_without(source: str) -> MemoryConstants:
    """The margin that the other sources would have led to: the smallest without a false fit among them."""
    rows = [row for row in memory_points() if row.source != source]
    constants = memory_without(source)
    for margin in GRID:
        tried = dataclasses.replace(constants, margin=margin)
        if fits(rows, lambda row, tried=tried: sure_gib(row.workload, tried)).false_fits == 0:  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            return tried
    return tried


@cache
def time_ratios(by: str) -> tuple[tuple[Point, float], ...]:
    """Predicted over measured seconds, each without its own `by`: "source" or "gpu_name"."""
    rows = time_points()
    return tuple((row, exp(off)) for row, off in held_out(rows, lambda row: str(getattr(row, by))))


@cache
def mixture_ratios() -> tuple[tuple[Point, float], ...]:
    """Predicted over measured seconds of the mixtures, by the fit over all others."""
    fitted = fit(time_points())
    return tuple((row, exp(error(row, fitted))) for row in mixture_points())


@cache
def covered() -> tuple[tuple[Point, bool], ...]:
    """Whether the measured time lay in P10-P90, both fitted, and the width taken, without the row's source."""
    rows, found = time_points(), []
    for source in sorted({row.source for row in rows}):
        others = [row for row in rows if row.source != source]
        width = log(spread(held_out(others, lambda row: row.source)))
        fitted = fit(others)
        found += [(row, abs(error(row, fitted)) <= width) for row in rows if row.source == source]
    return tuple(found)
