"""The fit that made the constants of `pricing.throughput`: robust least squares on logarithms of measured times.

    python -m tests.accuracy.fit

prints the constants, and the factor and spread of each card for `pricing/gpus.csv`; a test holds both against them.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np

from pricing.throughput import SpeedConstants, micro_step_seconds
from tests.accuracy.points import Point, derived_points, time_points

FITTED = ("traffic", "layer_seconds", "dequant_bytes", "quantised_layer_seconds", "int4_factor")
START = SpeedConstants(
    traffic=50.0, layer_seconds=0.005, dequant_bytes=2.5, quantised_layer_seconds=0.001, int4_factor=1.0
)
"""Where the fit begins, and where what few rows decide is drawn to: unpacking at full bandwidth; seven matrices of a
layer launched three times at 50 microseconds each; GPTQ as fast as NF4."""
DRAWN = {"dequant_bytes": 0.02, "quantised_layer_seconds": 0.02, "int4_factor": 0.02}
"""How strongly, beside a source of one row, whose weight is 1: enough to hold a constant that no row tells."""
HUBER = 0.2
"""Residuals beyond 20 % count linearly: one odd run does not move the fit."""
STEPS = 60
SHRINK = 1.0
"""A card's own factor is drawn to 1 as by so many further sources that say 1: one source says as much about its
software as about its card."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Constants, and by card's name the factor on its rate where sources measured it."""

    constants: SpeedConstants
    cards: dict[str, float]

    def seconds(self, point: Point) -> float:
        """Of the point's micro-step, as these constants predict it."""
        factor = self.cards.get(point.gpu_name, 1.0)
        return _seconds(point, self.constants, factor)


def _seconds(point: Point, constants: SpeedConstants, factor: float = 1.0) -> float:
    assert point.gpu is not None
    card = dataclasses.replace(point.gpu, efficiency=factor)
    return micro_step_seconds(point.workload, card, point.tokens, constants)


def error(point: Point, fitted: Fitted) -> float:
    """The logarithm of predicted over measured seconds."""
    assert point.micro_step_seconds is not None
    return log(fitted.seconds(point) / point.micro_step_seconds)


def fit(rows: Sequence[Point]) -> Fitted:
    """Constants by these rows, then the cards' factors."""
    constants = _constants(rows)
    return Fitted(constants=constants, cards=_cards(rows, constants))


def _constants(rows: Sequence[Point]) -> SpeedConstants:
    # A source weighs as the root of its rows: they share software and habits.
    many = Counter(row.source for row in rows)
    share = np.array([many[row.source] ** -0.25 for row in rows])
    measured = [log(row.micro_step_seconds or 1.0) for row in rows]

    def misses(at: np.ndarray) -> np.ndarray:
        constants = _as_constants(at)
        return np.array([log(_seconds(row, constants)) - true for row, true in zip(rows, measured, strict=True)])

    begin = np.array([log(getattr(START, name)) for name in FITTED])
    pull = np.array([DRAWN.get(name, 1e-6) ** 0.5 for name in FITTED])
    return _as_constants(_least(misses, begin, share, pull))


def _as_constants(at: np.ndarray) -> SpeedConstants:
    return SpeedConstants(**{name: float(exp(value)) for name, value in zip(FITTED, at, strict=True)})


def _least(
    misses: Callable[[np.ndarray], np.ndarray], begin: np.ndarray, share: np.ndarray, pull: np.ndarray
) -> np.ndarray:
    """Levenberg-Marquardt with Huber weights; `share` weighs rows, `pull` draws each constant to its beginning."""

    def cost(at: np.ndarray, off: np.ndarray) -> float:
        size = np.abs(off)
        huber = np.where(size <= HUBER, size**2, HUBER * (2 * size - HUBER))
        return float(np.sum(share**2 * huber) + np.sum((pull * (at - begin)) ** 2))

    at, damping = begin.copy(), 1e-2
    off = misses(at)
    best = cost(at, off)
    for _ in range(STEPS):
        slope = np.stack([(misses(at + 1e-4 * unit) - off) / 1e-4 for unit in np.eye(len(at))], axis=1)
        weight = share**2 * np.minimum(1.0, HUBER / np.maximum(np.abs(off), 1e-12))
        normal = slope.T @ (weight[:, None] * slope) + np.diag(pull**2)
        down = slope.T @ (weight * off) + pull**2 * (at - begin)
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), -down)
        new_off = misses(at + step)
        new = cost(at + step, new_off)
        if new < best:
            at, off, best, damping = at + step, new_off, new, max(damping / 3, 1e-9)
        else:
            damping *= 4
    return at


def _cards(rows: Sequence[Point], constants: SpeedConstants) -> dict[str, float]:
    """How much faster than predicted each card was: the mean over its sources, drawn to 1."""
    seen = {row.gpu_name for row in rows}
    rows = [*rows, *(row for row in derived_points() if row.gpu_name in seen)]
    by_card: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        off = log(_seconds(row, constants) / (row.micro_step_seconds or 1.0))
        by_card.setdefault(row.gpu_name, {}).setdefault(row.source, []).append(off)
    return {name: exp(_drawn([float(np.mean(one)) for one in of.values()])) for name, of in by_card.items()}


def _drawn(means: Sequence[float]) -> float:
    return sum(means) / (len(means) + SHRINK)


def held_out(rows: Sequence[Point], key: Callable[[Point], str]) -> list[tuple[Point, float]]:
    """Each row's error by a fit that has seen nothing of its group."""
    found = []
    for group in sorted({key(row) for row in rows}):
        fitted = fit([row for row in rows if key(row) != group])
        found += [(row, error(row, fitted)) for row in rows if key(row) == group]
    return found


def spread(errors: Sequence[tuple[Point, float]], share: float = 0.8) -> float:
    """The factor up and down that holds so large a share of rows, each source weighing alike."""
    many = Counter(row.source for row, _ in errors)
    sizes = sorted((abs(off), 1.0 / many[row.source]) for row, off in errors)
    left = share * sum(weight for _, weight in sizes)
    for size, weight in sizes:
        left -= weight
        if left <= 0:
            return exp(size)
    return exp(sizes[-1][0])


def main() -> None:
    """Print the fit of all sources."""
    rows = time_points()
    fitted = fit(rows)
    for name in FITTED:
        print(f"{name:26} {getattr(fitted.constants, name):.4g}")
    print()
    for name, factor in sorted(fitted.cards.items()):
        of_it = [row for row in (*rows, *derived_points()) if row.gpu_name == name]
        sources = ", ".join(sorted({row.source for row in of_it}))
        print(f"{name:10} efficiency {factor:.2f}   {len(of_it)} runs of {sources}")
    print()
    print(f"spread of a card that was measured     {spread(held_out(rows, lambda row: row.source)):.2f}")
    print(f"spread of a card that nobody measured  {spread(held_out(rows, lambda row: row.gpu_name)):.2f}")


if __name__ == "__main__":
    main()
