"""SIGKILL at every single point of a launch and of its recovery, and at every pair, on every kind of cloud.

Pairs are all played that differ: of points at which a death leaves the same behind (`tests.soak.remains`, the virtual
time included) the first stands for all of them, since nothing that lives on could tell them apart. A launch has about
270 points to die at, 110 of which differ; who comes back after the first death meets about as many again.

The day is short: it boots, ships, works four steps, brings checkpoints and results home and ends its machine.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from tests.soak.play import Played, play
from tests.soak.remains import remains
from tests.soak.schedule import Fault, Kind, Schedule
from tests.soak.storm import Storm

SETTLE_SECONDS = 20.0
CLOUDS = tuple(
    Schedule(
        seed=-1, guarded=guarded, idempotent=idempotent, steps=4, step_seconds=5, save_every=2, budget_usd="0.60",
        settle_seconds=SETTLE_SECONDS,
    )
    for guarded, idempotent in product((True, False), repeat=2)
)  # fmt: skip
LATE = (Fault(kind=Kind.LATE_LISTED, seconds=14), Fault(kind=Kind.EARLY_NOT_FOUND, seconds=10))
STORES = tuple(replace(cloud, store=True) for cloud in CLOUDS)
"""Of somebody who has a durable store; who comes back an hour later finds there what the machine left."""
RETURNS = ("attach", "reap", "settle")
GAP_SECONDS, LONG_SECONDS = 5.0, 3600.0


@dataclass(frozen=True, kw_only=True)
class Alike:
    """Points of a day at which a death leaves the same behind; the first of them stands for all."""

    points: tuple[int, ...]

    @property
    def point(self) -> int:
        """That first one."""
        return self.points[0]


@dataclass(frozen=True, kw_only=True)
class Once:
    """A day with its first death, which stands for so many that leave the same behind."""

    day: Schedule
    point: int
    how: str
    size: int


def clouds() -> Iterator[Schedule]:
    """With tokens and without, guarded and not; honest, and listing late."""
    for cloud in CLOUDS:
        yield cloud
        yield replace(cloud, faults=LATE)


def alike(day: Schedule, after: int = 0) -> list[Alike]:
    """The points of a day after that one, grouped by what a death there leaves behind."""
    found: dict[bytes, list[int]] = {}

    def look(storm: Storm) -> None:
        if storm.count > after:
            found.setdefault(remains(storm), []).append(storm.count)

    play(day, at_point=look)
    return [Alike(points=tuple(points)) for points in found.values()]


def kills(stride: int = 1) -> Iterator[Schedule]:
    """One death at every point, those that leave the same behind as well, and each of the ways to come back.

    With a durable store, too.
    """
    for cloud in clouds():
        for point in range(1, play(cloud).points + 1, stride):
            for how in RETURNS:
                yield killed(cloud, how, point)
    for cloud in STORES:
        for point in range(1, play(cloud).points + 1, stride):
            for how in (*RETURNS, "pull"):
                yield replace(killed(cloud, how, point), gaps_seconds=(LONG_SECONDS,))


def firsts(stride: int = 1) -> Iterator[Once]:
    """Every first death that differs, and each of the ways to come back."""
    for cloud in clouds():
        for group in alike(cloud)[::stride]:
            for how in RETURNS:
                yield Once(day=cloud, point=group.point, how=how, size=len(group.points))


def seconds(once: Once, stride: int = 1) -> Iterator[tuple[Played, int]]:
    """Each second death that differs after that first one, as it was played, and how many pairs it stands for."""
    day = killed(once.day, once.how, once.point)
    for group in alike(day, once.point)[::stride]:
        yield play(killed(once.day, once.how, once.point, group.point)), once.size * len(group.points)


def sampled(count: int, seed: int) -> Iterator[Schedule]:
    """Some of all pairs."""
    dice, days = random.Random(seed), list(clouds())
    for _ in range(count):
        cloud, how = dice.choice(days), dice.choice(RETURNS)
        point = dice.randint(1, play(cloud).points)
        last = play(killed(cloud, how, point)).points
        yield killed(cloud, how, point, dice.randint(min(point + 1, last), last))


def killed(cloud: Schedule, how: str, *points: int) -> Schedule:
    """That day with deaths at these points, each followed by the same way to come back."""
    deaths = tuple(Fault(kind=Kind.KILL, nth=point) for point in points)
    return replace(cloud, gaps_seconds=(GAP_SECONDS,), returns=(how,), faults=(*cloud.faults, *deaths))
