"""Arms against each other over the same items: differences, whether they can be told apart, and what could be."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.results.items import in_both
from jobs.results.kinds import Kind, Measured
from jobs.results.resample import (
    ALPHA,
    RESAMPLES,
    Spread,
    holm,
    mcnemar,
    paired,
    smallest_change,
    smallest_shown,
    spread,
    tail_p,
    wilson,
)
from jobs.results.summary import Difference, Value

RULE_OF_THREE = 3.0
"""Of n items none behaved otherwise: up to 3/n of all may (95 %; Hanley and Lippman-Hand 1983)."""
NORMAL_95 = 1.959964
PLACES = 6
"""Decimals of a figure."""
ALIKE = 1e-12
"""A spread below it is rounding."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A difference before it was read together with others: `p` decides, with Holm."""

    difference: Difference
    p: float
    shown: float
    """The smallest difference that these items would have shown in 4 of 5 cases."""
    note: str = ""
    """Where the arms' items are not the same."""


def value(found: Measured) -> Value:
    """One arm's figure: Wilson's interval for a share of independent items, else the bootstrap's."""
    n = len(found.numbers)
    if found.kind.binary and not found.clustered:
        low, high = wilson(float(found.figure.parts[:, 0].sum()), n)
    else:
        low, high = _bounded(found.kind, *_widened(found.kind, spread(found.figure, found.clusters)))
    if not math.isfinite(high - low):
        return Value(value=rounded(found.figure.value), n=n)
    return Value(value=rounded(found.figure.value), low=rounded(low), high=rounded(high), n=n)


def compared(one: Measured, other: Measured, *, resamples: int = RESAMPLES) -> Comparison | None:
    """`one` minus `other` over their common items; None where there are none.

    McNemar's test and its p where items are right or wrong and independent; else the bootstrap decides alone.
    """
    numbers, note = in_both(one.arm, other.arm)
    mine, theirs = one.places, other.places
    both = [number for number in numbers if number in mine and number in theirs]
    if not both:
        return None
    here, there = [mine[number] for number in both], [theirs[number] for number in both]
    new, old, groups = one.figure.over(here), other.figure.over(there), [one.clusters[at] for at in here]
    found = paired(new, old, groups, resamples)
    independent = one.kind.binary and len(set(groups)) == len(groups)
    steps = new.parts[:, 0] - old.parts[:, 0]
    gained, lost = int((steps > 0).sum()), int((steps < 0).sum())
    p = mcnemar(gained, lost) if independent else found.p()
    low, high = _widened(one.kind, found)
    if not math.isfinite(high - low):
        # A loss of one unit: it is at least 0, so this is what would be left if either arm's were 0.
        low, high = -old.value, new.value
    difference = Difference(
        arm=one.arm.arm, against=other.arm.arm,
        value=rounded(found.value), low=rounded(low), high=rounded(high), n=len(both),
        p=p if independent else None, distinguishable=_is_shown(low, high, p),
    )  # fmt: skip
    if independent:
        right = int((new.parts[:, 0] * old.parts[:, 0]).sum())
        shown = smallest_change((right, gained, lost, len(both) - right - gained - lost))
    else:
        shown = smallest_shown(max(found.error, _least_error(one.kind, found)), found.units)
    return Comparison(difference=difference, p=p, shown=min(1.0, shown) if one.kind.is_share else shown, note=note)


def family(found: Sequence[Comparison]) -> tuple[Difference, ...]:
    """The differences of a family of tests: those that Holm's correction still leaves distinguishable are called so."""
    corrected = holm([one.p for one in found])
    return tuple(
        one.difference.model_copy(update={"distinguishable": one.difference.distinguishable and p < ALPHA})
        for one, p in zip(found, corrected, strict=True)
    )


def of_figures(one: Value, other: Value, errors: tuple[float, float], arms: tuple[str, str]) -> Comparison:
    """From two figures with their standard errors alone, as if of two samples: a harness tells no items to pair.

    Wider than a paired interval where the same items were asked, so it errs to "not distinguishable".
    """
    error = math.hypot(*errors)
    gap, half = one.value - other.value, NORMAL_95 * error
    p = tail_p(gap / error) if error > 0 else 1.0
    difference = Difference(
        arm=arms[0], against=arms[1], value=gap, low=gap - half, high=gap + half, n=min(one.n, other.n),
        distinguishable=p < ALPHA,
    )  # fmt: skip
    return Comparison(difference=difference, p=p, shown=smallest_shown(error))


def rounded(figure: float) -> float:
    """So that two computers, whose last digits differ, write the same document."""
    return round(figure, PLACES) + 0.0


def _is_shown(low: float, high: float, p: float) -> bool:
    """Both must say so: the interval leaves zero out, and the test rejects."""
    return (low > 0 or high < 0) and p < ALPHA


def _widened(kind: Kind, found: Spread) -> tuple[float, float]:
    """The bootstrap's interval; where all units are alike it knows no spread, and the rule of three stands in."""
    low, high = found.interval()
    if not kind.is_share:
        return low, high
    if found.units > 1 and float(found.draws.std()) > ALIKE:
        return max(-1.0, low), min(1.0, high)
    # From a difference of 0 an item can move by 1 either way, from 1 by 2 down.
    room = min(1.0, RULE_OF_THREE / found.units) * (1 + min(1.0, abs(found.value)))
    return max(-1.0, found.value - room), min(1.0, found.value + room)


def _bounded(kind: Kind, low: float, high: float) -> tuple[float, float]:
    return (max(0.0, low), min(1.0, high)) if kind.is_share else (low, high)


def _least_error(kind: Kind, found: Spread) -> float:
    """Of a share whose items are all alike: what the rule of three leaves possible."""
    return math.sqrt(min(1.0, RULE_OF_THREE / found.units) / found.units) if kind.is_share else 0.0
