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
FEW_UNITS = 12
"""Units below which Student's t stands in for the draws. Simulated without any effect: the draws' percentiles call 28 %
of differences real with 3 groups, 14 % with 4, 7 % with 8, 5 % from about 12 on."""
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
        its acceleration is unstable where few items differ, and undefined where none does. Of fewer than `FEW_UNITS`
        the draws hold no tails: there it is the t interval itself, and of one unit nothing at all is known.
        """
        if self.units < 2:
            return -math.inf, math.inf
        if self.units < FEW_UNITS:
            half = t_quantile(1 - ALPHA / 2, self.units - 1) * self.error
            return self.value - half, self.value + half
        tail = tail_of(self.units)
        low, high = np.quantile(self.draws, [tail, 1 - tail])
        return float(low), float(high)

    def p(self) -> float:
        """Two-sided: how often a resample falls on the other side of zero; never below what the draws can show.

        Of fewer than `FEW_UNITS` Student's: three groups that all gained would else prove a gain, and by chance every
        fourth three do.
        """
        if self.units < 2:
            return 1.0
        if self.units < FEW_UNITS:
            return t_p(self.value / self.error, self.units - 1) if self.error > 0 else float(self.value == 0)
        below, above = int((self.draws <= 0).sum()), int((self.draws >= 0).sum())
        return min(1.0, 2 * (min(below, above) + 1) / (len(self.draws) + 1))

    @property
    def error(self) -> float:
        """The standard error."""
        return float(self.draws.std() * math.sqrt(self.units / max(1, self.units - 1)))


def tail_of(units: int) -> float:
    """The share that is cut off at each end, for so many units; two of them at least."""
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


def t_p(t: float, freedom: int) -> float:
    """The two-sided p of Student's t with whole degrees of freedom (Abramowitz & Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan(abs(t) / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for at in range(2 + odd, freedom + 1, 2):
        total += term
        term *= cosine * cosine * (at - 1) / at
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return min(1.0, max(0.0, 1 - inside))


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


def smallest_shown(error: float, units: int | None = None) -> float:
    """The smallest difference that a two-sided 5 % test with this standard error shows with 80 % power.

    The normal approximation (z for the test + z for the power) x standard error, as for any mean of paired
    differences; of few `units` with t in place of z. Infinite where one unit shows nothing.
    """
    if units is not None and units < 2:
        return math.inf
    if units is not None and units < FEW_UNITS:
        return (t_quantile(1 - ALPHA / 2, units - 1) + t_quantile(POWER, units - 1)) * error
    return (_NORMAL.inv_cdf(1 - ALPHA / 2) + _NORMAL.inv_cdf(POWER)) * error


def smallest_change(right_in: tuple[int, int, int, int]) -> float:
    """The smallest difference from the old arm that so many right-or-wrong items show with 80 % power.

    `right_in`: items that are right in both arms, in the new one only, in the old one only, in none.

    The error of a small difference is sqrt(share of items on which the arms differ / n) (Connor 1987, its small term
    left out: 15 % of 100 items give 0.108). The share that was *seen* holds the effect itself: of arms with 0.95 and
    0.01 right 94 % of the items differ, and none of that would blur a smaller gain. So it is taken as it would be
    between the old arm and one that is better or worse by just that difference, and whose errors are as alike to its
    own as they were seen to be: with the same odds ratio (each count and a half, after Haldane). Where the arms are
    about equally good that is the share that was seen. Never below (z + z)^2 / n: about 8 items that change the same
    way, of which McNemar's exact test sees the 6 that it needs in 4 of 5 cases.
    """
    both, gained, lost, none = right_in
    n = both + gained + lost + none
    z = _NORMAL.inv_cdf(1 - ALPHA / 2) + _NORMAL.inv_cdf(POWER)
    old = (both + lost + 0.5) / (n + 1)
    odds = (both + 0.5) * (none + 0.5) / ((gained + 0.5) * (lost + 0.5))
    found = z * z / n
    for _ in range(FIXED_POINT):
        new = min(1.0, old + found) if old < 0.5 else max(0.0, old - found)
        found = max(z * z / n, z * math.sqrt(differing(old, new, odds) / n))
    return min(1.0, found)


FIXED_POINT = 40
"""Rounds after which a share that depends on itself by its root stands still in all digits that are shown."""


def differing(one: float, other: float, odds: float) -> float:
    """The share of items on which two arms differ that have these shares right, and this odds ratio (Plackett 1965)."""
    if abs(odds - 1) < 1e-9:
        both = one * other
    else:
        whole = 1 + (one + other) * (odds - 1)
        both = (whole - math.sqrt(max(0.0, whole * whole - 4 * odds * (odds - 1) * one * other))) / (2 * (odds - 1))
    return max(0.0, one + other - 2 * both)


def tail_p(z: float) -> float:
    """The two-sided p of a standard normal figure."""
    return 2 * _NORMAL.cdf(-abs(z))
