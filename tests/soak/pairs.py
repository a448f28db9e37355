"""SIGKILL at every single point of a launch and of its recovery, and at every pair, on every kind of cloud."""

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from tests.soak.play import play
from tests.soak.schedule import Fault, Kind, Schedule

CLOUDS = tuple(
    Schedule(seed=-1, guarded=guarded, idempotent=idempotent, steps=8, save_every=3, budget_usd="0.60")
    for guarded, idempotent in product((True, False), repeat=2)
)
LATE = (Fault(kind=Kind.LATE_LISTED, seconds=40), Fault(kind=Kind.EARLY_NOT_FOUND, seconds=30))
RETURNS = ("attach", "reap", "settle")


def _clouds() -> Iterator[Schedule]:
    """With tokens and without, guarded and not; honest, and listing late."""
    for cloud in CLOUDS:
        yield cloud
        yield replace(cloud, faults=LATE)


def kills(stride: int = 1) -> Iterator[Schedule]:
    """One death at every point, and each of the ways to come back."""
    for cloud in _clouds():
        for point in range(1, play(cloud).points + 1, stride):
            for how in RETURNS:
                yield _killed(cloud, how, point)


def pairs(stride: int = 1) -> Iterator[Schedule]:
    """A second death at every point of what follows the first."""
    for cloud in _clouds():
        for point in range(1, play(cloud).points + 1, stride):
            for how in RETURNS:
                once = _killed(cloud, how, point)
                for second in range(point + 1, play(once).points + 1, stride):
                    yield _killed(cloud, how, point, second)


def sampled(count: int, seed: int) -> Iterator[Schedule]:
    """Some of those pairs."""
    dice, clouds = random.Random(seed), list(_clouds())
    for _ in range(count):
        cloud, how = dice.choice(clouds), dice.choice(RETURNS)
        point = dice.randint(1, play(cloud).points)
        last = play(_killed(cloud, how, point)).points
        yield _killed(cloud, how, point, dice.randint(min(point + 1, last), last))


def _killed(cloud: Schedule, how: str, *points: int) -> Schedule:
    deaths = tuple(Fault(kind=Kind.KILL, nth=point) for point in points)
    return replace(cloud, gaps_seconds=(5.0,), returns=(how,), faults=(*cloud.faults, *deaths))
