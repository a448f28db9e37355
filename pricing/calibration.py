"""Estimate against actual, from the user's own finished runs: makes the next estimate better, and says by how much."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log
from statistics import fmean, median

from pricing.interval import Interval
from pricing.offer import Market, Offer
from pricing.workload import Workload

WORK = ("train", "evaluate")
"""Phases that belong to a card and a model; the others belong to a provider (its network, disks and images)."""

Z_80 = 1.2816
"""80 % of a normal distribution lie within so many standard deviations of its middle."""
NOISE_SHARE = 2 / 3
"""The part of a forecast's variance that is new with each run; the rest stays with its card or provider, and can be
learned. One run alone counts for a third, Buehlmann's n / (n + 2), until the runs themselves say more. Cautious: in
published runs half of the variance lies within one source, a quarter within one card, model and method there; shares
from a third on serve about as well (`tests/accuracy/own_runs.py`)."""
SURE_RUNS = 4
"""How many runs of one's own weigh as much as what is assumed here, in saying how much runs differ (assumed)."""
HUBER = 1.345
"""Deviations beyond so many standard deviations count as if they were no larger: 95 % efficient where nothing is odd
(P. J. Huber, Robust Estimation of a Location Parameter, 1964)."""
LARGEST_DEVIATION = 3.0
"""In standard deviations: more does not widen the next forecast further (assumed)."""
ROUNDS = 12
"""Of fitting variances and weighing odd runs less; factors then no longer move in the third digit."""
LEAST_SPREAD = 1.1
"""However well runs agree, the next one may be so far off (assumed)."""

Path = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """One phase that one machine of one run took to its end.

    `path`: what the phase depends on, from the general to the specific (`path`). `estimate`: what today's estimator,
    uncorrected, says of it. `actual_seconds`: what the whole of it took.
    """

    run: str
    path: Path
    estimate: Interval
    actual_seconds: float


@dataclass(frozen=True, kw_only=True)
class Correction:
    """What own runs say about a phase: the factor on its estimate, and what becomes of the estimate's width.

    `width` multiplies the distance of both ends from the middle on a logarithmic scale; `runs` is how many runs at this
    very place (a card, a provider) are behind it.
    """

    factor: float
    width: float
    runs: int

    def __post_init__(self) -> None:
        if not (self.factor > 0 and self.width > 0 and self.runs > 0):
            raise ValueError(f"a factor, a width and a number of runs are positive: {self}")

    def apply(self, estimate: Interval) -> Interval:
        """The corrected forecast; never narrower than `LEAST_SPREAD`."""
        if estimate.low <= 0:
            return estimate.times(self.factor)
        middle = estimate.expected * self.factor
        below = max((estimate.expected / estimate.low) ** self.width, LEAST_SPREAD)
        above = max((estimate.high / estimate.expected) ** self.width, LEAST_SPREAD)
        return Interval(low=middle / below, expected=middle, high=middle * above)


@dataclass(frozen=True, kw_only=True)
class Corrections:
    """All that was learned, by the places of `path` joined with `/`; nothing known corrects nothing."""

    by_place: Mapping[str, Correction] = field(default_factory=dict)
    runs: int = 0
    """Runs that anything was learned from."""

    def of(self, path: Path) -> Correction | None:
        """The most specific that is known: of the card, model and method, else of the card, else of all cards."""
        for end in range(len(path), 0, -1):
            found = self.by_place.get("/".join(path[:end]))
            if found is not None:
                return found
        return None

    def applied(
        self, seconds: Mapping[str, Interval], offer: Offer, workload: Workload
    ) -> tuple[dict[str, Interval], dict[str, float]]:
        """Phases as corrected, and the factor of each one that was."""
        corrected, factors = dict(seconds), {}
        if self.by_place:
            for name, one in seconds.items():
                found = self.of(path(name, offer, workload)) if one.expected > 0 else None
                if found is not None:
                    corrected[name], factors[name] = found.apply(one), found.factor
        return corrected, factors


def path(phase: str, offer: Offer, workload: Workload) -> Path:
    """What the time of a phase depends on, from the general to the specific.

    Models of one width and depth are one family, whatever they are called: so much work is a token to a card.
    """
    kind = "owned" if offer.market is Market.OWNED else "rented"
    if phase not in WORK:
        return (f"{phase} {kind}", offer.provider)
    family = f"{workload.shape.hidden}x{workload.shape.layers}"
    if offer.gpu is None:
        return (f"{phase} cpu", offer.provider, family, str(workload.method))
    return (f"{phase} gpu", offer.gpu.name, family, str(workload.method))


def learn(finished: Iterable[Finished]) -> Corrections:
    """What to correct estimates by, from phases that ran to their end.

    The logarithm of actual over estimate is taken as a sum of effects, one for each place of the path (all cards; this
    card; this family on it; ...), and of what is new with each run: the partially pooled ("hierarchical") model of
    A. Gelman and J. Hill, Data Analysis Using Regression and Multilevel Models, 2007, chapter 12; with one place alone
    it is H. Buehlmann's credibility, Experience Rating and Credibility, 1967: factor = exp(n / (n + k) * mean log),
    k = noise / effects. The variances begin with the estimate's own width, `NOISE_SHARE` of it noise and the rest
    shared evenly by the places, and are fitted by expectation maximisation, each with a prior worth `SURE_RUNS` runs:
    forecasts narrow as runs agree, and widen as they do not. Odd runs are bounded after Huber.
    """
    by_root: dict[str, list[Finished]] = defaultdict(list)
    for one in finished:
        if one.estimate.low > 0 and one.actual_seconds > 0:
            by_root[one.path[0]].append(one)
    by_place: dict[str, Correction] = {}
    for found in by_root.values():
        by_place |= _Phase(found).corrections()
    return Corrections(by_place=by_place, runs=len({one.run for found in by_root.values() for one in found}))


@dataclass(frozen=True, kw_only=True)
class _Belief:
    """A normal distribution."""

    mean: float
    variance: float

    def times(self, other: "_Belief | None") -> "_Belief":
        """Both at once."""
        if other is None:
            return self
        precision = 1 / self.variance + 1 / other.variance
        mean = (self.mean / self.variance + other.mean / other.variance) / precision
        return _Belief(mean=mean, variance=1 / precision)

    def without(self, other: "_Belief") -> "_Belief":
        """The one that, times `other`, is this."""
        precision = 1 / self.variance - 1 / other.variance
        mean = (self.mean / self.variance - other.mean / other.variance) / precision
        return _Belief(mean=mean, variance=1 / precision)

    def wider(self, variance: float) -> "_Belief":
        """The same, known less well."""
        return _Belief(mean=self.mean, variance=self.variance + variance)


class _Phase:
    """One phase's runs, and the posterior of its tree of places: messages up to the root, then down."""

    def __init__(self, finished: Sequence[Finished]) -> None:
        self.logs: dict[Path, list[float]] = defaultdict(list)
        for one in finished:
            self.logs[one.path].append(log(one.actual_seconds / one.estimate.expected))
        self.runs = len(finished)
        self.depth = max(len(place) for place in self.logs)
        ends = [max(one.estimate.high / one.estimate.low, LEAST_SPREAD) for one in finished]
        # The prior forecast, its scale unknown, is a t distribution; its 80 % are to be the estimate's own interval.
        self.prior = (log(median(ends)) / 2 / t_80(SURE_RUNS)) ** 2
        self.noise = self.prior * NOISE_SHARE
        """The variance of what is new with each run."""
        self.step = self.prior * (1 - NOISE_SHARE) / self.depth
        """The variance of each place's effect."""

    def corrections(self) -> dict[str, Correction]:
        """By place, joined."""
        believed = self._fitted()
        narrower = t_80(SURE_RUNS + self.runs) / t_80(SURE_RUNS)
        found = {}
        for place, belief in believed.items():
            unknown = self.step * (self.depth - len(place)) + self.noise
            width = narrower * ((belief.variance + unknown) / self.prior) ** 0.5
            runs = sum(len(logs) for where, logs in self.logs.items() if where[: len(place)] == place)
            found["/".join(place)] = Correction(factor=exp(belief.mean), width=width, runs=runs)
        return found

    def _fitted(self) -> dict[Path, _Belief]:
        """What is believed of each place, once the variances are fitted and odd runs have their weight."""
        believed = self._posterior({place: fmean(logs) for place, logs in self.logs.items()})
        for _ in range(ROUNDS):
            self._fit_variances(believed)
            most = HUBER * self.noise**0.5
            pulled = {}
            for place, logs in self.logs.items():
                middle = believed[place].mean
                pulled[place] = middle + fmean(max(-most, min(most, one - middle)) for one in logs)
            believed = self._posterior(pulled)
        return believed

    def _fit_variances(self, believed: Mapping[Path, _Belief]) -> None:
        """As assumed and as seen, each with its weight: a step of expectation maximisation."""
        noise, step = self.prior * NOISE_SHARE, self.prior * (1 - NOISE_SHARE) / self.depth
        most = LARGEST_DEVIATION**2 * noise
        seen = sum(
            min((one - believed[place].mean) ** 2 + believed[place].variance, most)
            for place, logs in self.logs.items()
            for one in logs
        )
        self.noise = (SURE_RUNS * noise + seen) / (SURE_RUNS + self.runs)
        places = [believed[place] for place in self.logs]
        effects = sum(one.mean**2 + one.variance for one in places) / self.depth
        self.step = (SURE_RUNS * step + effects) / (SURE_RUNS + len(places))

    def _posterior(self, means: Mapping[Path, float]) -> dict[Path, _Belief]:
        """What is believed of each place's whole effect, its parents' in it."""
        upward = self._upward(means)
        believed: dict[Path, _Belief] = {}
        for place in sorted(upward, key=len):
            above = _Belief(mean=0.0, variance=self.step)
            if len(place) > 1:
                above = believed[place[:-1]].without(upward[place].wider(self.step)).wider(self.step)
            believed[place] = above.times(upward[place])
        return believed

    def _upward(self, means: Mapping[Path, float]) -> dict[Path, _Belief]:
        """What the runs at and below each place say about it, by themselves."""
        upward = {place: _Belief(mean=one, variance=self.noise / len(self.logs[place])) for place, one in means.items()}
        places = {one[:end] for one in means for end in range(2, len(one) + 1)}
        for place in sorted(places, key=len, reverse=True):
            parent = place[:-1]
            upward[parent] = upward[place].wider(self.step).times(upward.get(parent))
        return upward


def t_80(degrees_of_freedom: int) -> float:
    """Within so many scales of its middle lie 80 % of Student's t (Abramowitz and Stegun 26.7.5, to the third term)."""
    z, n = Z_80, degrees_of_freedom
    return z + (z**3 + z) / (4 * n) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
