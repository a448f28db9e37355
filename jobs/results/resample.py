"""Intervals and tests: Wilson, the paired bootstrap over items or their groups, McNemar's exact test, Holm."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES = 10_000
"""The 2.5 % tail then rests on 250 of them: an end of an interval moves by about 2 % of its width with the seed."""
SEED = 17
ALPHA = 0.05
POWER = 0.8
"""How often a difference of the stated size would have been shown: 4 times in 5, the custom since Cohen 1988."""
MOST_DRAWS = 50_000_000
"""Over all resamples: 50 MB, a second or two. Of more than 5,000 items fewer resamples are drawn, never below 1,000."""
LEAST_RESAMPLES = 1_000
_CHUNK_DRAWS = 4_000_000
"""At a time: 32 MB of numbers."""
_NORMAL = NormalDist()


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of an arm as a function of sums over its items.

    `parts`: items x k; `of`: sums (... x k) to the figure (...). A mean is sum / count, loss is summed loss / tokens.
    """

    parts: Floats
    of: Callable[[Floats], Floats]

    def over(self, chosen: Sequence[int]) -> "Figure":
        """The same over some of the items."""
        return Figure(parts=self.parts[np.asarray(chosen, dtype=np.intp)], of=self.of)

    @property
    def value(self) -> float:
        """Over all its items."""
        return float(self.of(self.parts.sum(axis=0)))


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A figure with what its resamples came to. `units`: items, or groups of items, that were drawn."""

    value: float
    draws: Floats
    units: int

    def interval(self) -> tuple[float, float]:
        """The 95 % percentile interval, its tails widened for few units.

        Plain percentiles are too narrow by sqrt((n-1)/n) and know no t: Hesterberg 2015 ("What Teachers Should Know
        about the Bootstrap", 3.3) takes the tails that make the interval of a mean the t interval. BCa is not taken:
        its acceleration is unstable where few items differ, and undefined where none does.
        """
        tail = tail_of(self.units)
        low, high = np.quantile(self.draws, [tail, 1 - tail])
        return float(low), float(high)

    def p(self) -> float:
        """Two-sided: how often a resample falls on the other side of zero; never below what the draws can show."""
        below, above = int((self.draws <= 0).sum()), int((self.draws >= 0).sum())
        return min(1.0, 2 * (min(below, above) + 1) / (len(self.draws) + 1))

    @property
    def error(self) -> float:
        """The standard error."""
        return float(self.draws.std() * math.sqrt(self.units / max(1, self.units - 1)))


def tail_of(units: int) -> float:
    """The share that is cut off at each end, for so many units; 0 where one unit says nothing about the spread."""
    if units < 2:
        return 0.0
    return _NORMAL.cdf(-math.sqrt(units / (units - 1)) * t_quantile(1 - ALPHA / 2, units - 1))


def t_quantile(share: float, freedom: int) -> float:
    """Student's t; exact for 1 and 2 degrees of freedom, else Abramowitz & Stegun 26.7.5 (3 to 4: off by 2 %)."""
    if freedom == 1:
        return math.tan(math.pi * (share - 0.5))
    if freedom == 2:
        return (2 * share - 1) / math.sqrt(2 * share * (1 - share))
    z, v = _NORMAL.inv_cdf(share), float(freedom)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    fourth = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + first / v + second / v**2 + third / v**3 + fourth / v**4


def spread(figure: Figure, groups: Sequence[int], resamples: int = RESAMPLES) -> Spread:
    """One arm's figure, its groups drawn with replacement. `groups`: which group each item is of, one number each."""
    return _spread((figure,), groups, resamples, lambda values: values[0])


def paired(one: Figure, other: Figure, groups: Sequence[int], resamples: int = RESAMPLES) -> Spread:
    """`one` minus `other`, over the same items: each draw takes both arms' answers to an item together."""
    return _spread((one, other), groups, resamples, lambda values: values[0] - values[1])


def _spread(
    figures: Sequence[Figure],
    groups: Sequence[int],
    resamples: int,
    of: Callable[[list[Floats]], Floats],
) -> Spread:
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    units, widths = int(member.max()) + 1, [figure.parts.shape[1] for figure in figures]
    sums = np.zeros((units, sum(widths)))
    np.add.at(sums, member, np.concatenate([figure.parts for figure in figures], axis=1))
    ends = np.cumsum(widths)[:-1]

    def values(totals: Floats) -> Floats:
        split = np.split(totals, ends, axis=-1)
        return of([figure.of(part) for figure, part in zip(figures, split, strict=True)])

    return Spread(value=float(values(sums.sum(axis=0))), draws=values(_drawn(sums, resamples)), units=units)


def _drawn(sums: Floats, resamples: int) -> Floats:
    """The sums of `resamples` draws with replacement of as many rows as there are, always the same draws."""
    counts = _counts(len(sums), max(min(resamples, LEAST_RESAMPLES), min(resamples, MOST_DRAWS // len(sums))))
    rows = max(1, _CHUNK_DRAWS // len(sums))
    return np.concatenate([counts[at : at + rows].astype(np.float64) @ sums for at in range(0, len(counts), rows)])


@lru_cache(maxsize=2)
def _counts(units: int, resamples: int) -> NDArray[np.uint8]:
    """How often each unit is in each resample. Kept: all figures of a run are over the same items."""
    generator, found = np.random.default_rng(SEED), np.empty((resamples, units), dtype=np.uint8)
    rows = max(1, _CHUNK_DRAWS // units)
    for start in range(0, resamples, rows):
        some = min(rows, resamples - start)
        drawn = generator.integers(0, units, (some, units)) + np.arange(some)[:, None] * units
        found[start : start + some] = np.bincount(drawn.ravel(), minlength=some * units).reshape(some, units)
    return found


def wilson(hits: float, n: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927); stays inside 0 and 1, and is honest at both ends."""
    z = _NORMAL.inv_cdf(1 - ALPHA / 2)
    share, around = hits / n, 1 + z * z / n
    middle = (share + z * z / (2 * n)) / around
    half = z / around * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 and n of n the formula's own ends are exact, and rounding must not lift them.
    return (0.0 if hits <= 0 else max(0.0, middle - half)), (1.0 if hits >= n else min(1.0, middle + half))


def mcnemar(gained: int, lost: int) -> float:
    """The exact two-sided p: of the items where two arms differ, are as many gained as lost (McNemar 1947)?"""
    n, term, total = gained + lost, 1, 0
    for k in range(min(gained, lost) + 1):
        total += term
        term = term * (n - k) // (k + 1)
    return min(1.0, float(Fraction(2 * total, 2**n)))


def holm(ps: Sequence[float]) -> list[float]:
    """The p values of a family of tests, corrected for reading them together (Holm 1979), in their order."""
    order, highest, found = sorted(range(len(ps)), key=lambda at: ps[at]), 0.0, [0.0] * len(ps)
    for rank, at in enumerate(order):
        highest = max(highest, min(1.0, (len(ps) - rank) * ps[at]))
        found[at] = highest
    return found


def smallest_shown(error: float) -> float:
    """The smallest difference that a two-sided 5 % test with this standard error shows with 80 % power.

    The normal approximation (z for the test + z for the power) x standard error, as for any mean of paired
    differences; of shares the error is sqrt(share of items where the arms differ / n) (Connor 1987, its small term left
    out: 15 % of 100 items give 0.108).
    """
    return (_NORMAL.inv_cdf(1 - ALPHA / 2) + _NORMAL.inv_cdf(POWER)) * error


def tail_p(z: float) -> float:
    """The two-sided p of a standard normal figure."""
    return 2 * _NORMAL.cdf(-abs(z))


def middle(hits: float, n: int) -> float:
    """A share that is never 0 or 1: the middle of Wilson's interval, for guessing a spread where none was seen."""
    z = _NORMAL.inv_cdf(1 - ALPHA / 2)
    return (hits + z * z / 2) / (n + z * z)
