"""The distribution of a run's length from the P10 / P50 / P90 of its phases, and with it the odds of a limit.

Each phase is a split log-normal through its three figures. Training and evaluation err together, since both are as fast
as the card is: their quantiles are added. All else errs independently: its mean and variance are matched by one
log-normal (Fenton-Wilkinson). Reclaims of a spot machine are a compound Poisson sum on top. The result is a fixed set
of weighted points, about 1 % of probability apart: the same question always has the same answer, and more of anything
never makes it less. A test checks it against Monte Carlo.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from math import erf, exp, log, sqrt
from statistics import NormalDist

from pricing.interval import Interval

Z_90 = NormalDist().inv_cdf(0.9)
"""P10 and P90 lie so many standard deviations from the middle."""
POINTS, POINTS_OF_RECLAIMED = 105, 45
"""Of equal probability; numbers of the form 10 n + 5 have points exactly at P10, P50 and P90. Fewer do where numbers of
reclaims make many of each."""
NODES = (
    (-2.8569700138728056, 0.011257411327720691),
    (-1.3556261799742659, 0.22207592200561266),
    (0.0, 0.5333333333333333),
    (1.3556261799742659, 0.22207592200561266),
    (2.8569700138728056, 0.011257411327720691),
)
"""Gauss-Hermite nodes and weights of a standard normal: five of them keep its first nine moments."""
FEW_NODES = ((-1.7320508075688772, 1 / 6), (0.0, 2 / 3), (1.7320508075688772, 1 / 6))
"""Three of them keep the first five: enough for what seldom comes about."""
KEPT = 128
"""Distributions that are remembered (60 kB each): one plan has about two a card, and asks again for other budgets."""
RATE_WEIGHTS = (0.3, 0.4, 0.3)
"""Of the P10, P50 and P90 of a rate that is itself uncertain (Swanson's rule)."""
LEAST_CHANCE = 1e-4
"""Numbers of reclaims beyond which less than this remains are not told apart."""
MOST_RECLAIMS = 40
MOST_AGAIN = 0.5
"""Reclaims during a restart add restarts (a geometric series); beyond this share nobody would go on with spot."""


def _scores(points: int) -> tuple[float, ...]:
    return tuple(NormalDist().inv_cdf((number + 0.5) / points) for number in range(points))


_SCORES, _SCORES_OF_RECLAIMED = _scores(POINTS), _scores(POINTS_OF_RECLAIMED)


@dataclass(frozen=True, kw_only=True)
class Reclaims:
    """How often a machine is taken away in an hour of work, and what each time costs.

    That is `restarts`, and anything from nothing to `lost_seconds` of work since the last checkpoint, equally likely.
    """

    per_hour: Interval
    restarts: tuple[Interval, ...]
    lost_seconds: float

    @cached_property
    def moments(self) -> tuple[float, float]:
        """Mean and variance of the seconds that one reclaim costs."""
        mean, variance = _moments(self.restarts)
        return mean + self.lost_seconds / 2, variance + self.lost_seconds**2 / 12

    def expected(self, work_seconds: float) -> tuple[float, ...]:
        """How many there are in so much work, at the low, middle and high rate; those during a restart included."""
        again_hours = self.moments[0] / 3600
        rates = (self.per_hour.low, self.per_hour.expected, self.per_hour.high)
        return tuple(rate * work_seconds / 3600 / (1 - min(rate * again_hours, MOST_AGAIN)) for rate in rates)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Spread:
    """A distribution as points: `below[i]` is the probability of at most `seconds[i]`; both ascend."""

    seconds: tuple[float, ...]
    below: tuple[float, ...]

    def quantile(self, probability: float) -> float:
        """The smallest point that is not exceeded with `probability`."""
        return self.seconds[bisect_left(self.below, probability - 1e-9, hi=len(self.below) - 1)]

    def chance(self, limit_seconds: float) -> float:
        """P(at most `limit_seconds`)."""
        at = bisect_right(self.seconds, limit_seconds)
        return self.below[at - 1] if at else 0.0

    @property
    def interval(self) -> Interval:
        """P10, P50 and P90."""
        return Interval(low=self.quantile(0.1), expected=self.quantile(0.5), high=self.quantile(0.9))

    @property
    def weights(self) -> tuple[float, ...]:
        """The probability of each point."""
        return tuple(one - before for one, before in zip(self.below, (0.0, *self.below), strict=False))

    @property
    def mean(self) -> float:
        """The average over many runs."""
        return sum(weight * one for weight, one in zip(self.weights, self.seconds, strict=True))


@lru_cache(maxsize=KEPT)
def spread(together: tuple[Interval, ...], apart: tuple[Interval, ...], reclaims: Reclaims | None = None) -> Spread:
    """The sum of phases that err `together` and phases that err each on their own, and of what reclaims add to it."""
    mean, variance = _moments(apart)
    if reclaims is None:
        moved = [sum(_at(one, score) for one in together) for score in _SCORES]
        rests = _nodes(mean, variance, NODES)
        return _sorted([(one + rest, weight / POINTS) for one in moved for rest, weight in rests])

    moved = [sum(_at(one, score) for one in together) for score in _SCORES_OF_RECLAIMED]
    again, again_variance = reclaims.moments
    most = _most(reclaims, moved[-1] + mean)
    rests_after = [
        _nodes(mean + n * again, variance + n * again_variance, FEW_NODES if n else NODES) for n in range(most + 1)
    ]
    points = []
    for one in moved:
        for chance, rests in zip(_chances(reclaims, one + mean, most), rests_after, strict=True):
            points += [(one + rest, chance * weight / POINTS_OF_RECLAIMED) for rest, weight in rests]
    return _sorted(points)


def _sorted(points: list[tuple[float, float]]) -> Spread:
    points.sort()
    below = list(accumulate(weight for _, weight in points))
    below[-1] = 1.0
    return Spread(seconds=tuple(one for one, _ in points), below=tuple(below))


def _chances(reclaims: Reclaims, work_seconds: float, most: int) -> list[float]:
    """P(0), P(1), ... P(most or more) of a Poisson number whose rate is one of three."""
    found = [0.0] * (most + 1)
    for weight, expected in zip(RATE_WEIGHTS, reclaims.expected(work_seconds), strict=True):
        chance = weight * exp(-expected)
        for number in range(most):
            found[number] += chance
            chance *= expected / (number + 1)
    found[most] = max(0.0, 1.0 - sum(found))
    return found


def _most(reclaims: Reclaims, work_seconds: float) -> int:
    """The number of reclaims beyond which hardly anything is left, at the highest rate and the longest work."""
    expected = reclaims.expected(work_seconds)[-1]
    chance = left = exp(-expected)
    for number in range(1, MOST_RECLAIMS):
        if 1 - left < LEAST_CHANCE:
            return number
        chance *= expected / number
        left += chance
    return MOST_RECLAIMS


def _at(one: Interval, score: float) -> float:
    """The value of the split log-normal at so many standard deviations."""
    below, above = _deviations(one)
    return _middle(one) * exp(score * (above if score > 0 else below))


def _middle(one: Interval) -> float:
    """A forecast whose middle is nothing is no log-normal: it counts as its high end."""
    return one.expected or one.high


def _deviations(one: Interval) -> tuple[float, float]:
    """Of the logarithm, below and above the middle; a low end of nothing is taken as far away as the high end."""
    if one.expected == 0:
        return 0.0, 0.0
    above = log(one.high / one.expected) / Z_90
    return (log(one.expected / one.low) / Z_90 if one.low > 0 else above), above


def _moments(parts: Sequence[Interval]) -> tuple[float, float]:
    """Mean and variance of a sum of independent split log-normals."""
    mean = variance = 0.0
    for one in parts:
        first, second = _raw_moment(one, 1), _raw_moment(one, 2)
        mean += first
        variance += max(0.0, second - first * first)
    return mean, variance


def _raw_moment(one: Interval, order: int) -> float:
    """E[X^order]: each half of the split log-normal has its own closed form."""
    below, above = (order * deviation for deviation in _deviations(one))
    lower = exp(below**2 / 2) * (1 - erf(below / sqrt(2))) / 2
    upper = exp(above**2 / 2) * (1 + erf(above / sqrt(2))) / 2
    return float(_middle(one) ** order) * (lower + upper)


def _nodes(mean: float, variance: float, nodes: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The log-normal of this mean and variance, as (value, weight)."""
    if mean == 0 or variance == 0:
        return [(mean, 1.0)]
    deviation = sqrt(log(1 + variance / mean**2))
    middle = mean / exp(deviation**2 / 2)
    return [(middle * exp(deviation * score), weight) for score, weight in nodes]
