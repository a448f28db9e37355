"""A forecast with its honest width: of a number, and of money."""

from dataclasses import dataclass
from decimal import Decimal
from math import exp, hypot, log


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A forecast: about 80 % of outcomes lie between `low` and `high`; `expected` is the middle."""

    low: float
    expected: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.expected <= self.high:
            raise ValueError(
                f"an interval needs 0 <= low <= expected <= high, not {self.low}, {self.expected}, {self.high}"
            )

    def times(self, factor: float) -> "Interval":
        """Every end multiplied by `factor` (at least 0)."""
        return Interval(low=self.low * factor, expected=self.expected * factor, high=self.high * factor)

    def blurred(self, factor: float) -> "Interval":
        """The same where it is multiplied by something that is known up to `factor` only, independently of it."""
        if factor == 1.0 or self.low <= 0:
            return self
        below = exp(hypot(log(self.expected / self.low), log(factor)))
        above = exp(hypot(log(self.high / self.expected), log(factor)))
        return Interval(low=self.expected / below, expected=self.expected, high=self.expected * above)

    def plus(self, other: "Interval") -> "Interval":
        """The sum of two things that go wrong together: ends are added."""
        return Interval(low=self.low + other.low, expected=self.expected + other.expected, high=self.high + other.high)


@dataclass(frozen=True, kw_only=True)
class Dollars:
    """A forecast of money, as `Interval`."""

    low_usd: Decimal
    expected_usd: Decimal
    high_usd: Decimal


def around(expected: float, spread: float) -> Interval:
    """`expected`, from `expected / spread` to `expected * spread`."""
    return Interval(low=expected / spread, expected=expected, high=expected * spread)


def total(parts: tuple[Interval, ...]) -> Interval:
    """The sum of things that go wrong independently: deviations are added as squares."""
    expected = sum(part.expected for part in parts)
    below = sum((part.expected - part.low) ** 2 for part in parts) ** 0.5
    above = sum((part.high - part.expected) ** 2 for part in parts) ** 0.5
    return Interval(low=expected - below, expected=expected, high=expected + above)
