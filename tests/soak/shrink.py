"""Makes a failing day smaller: faults are taken away one by one while the same promise is still broken."""

from collections.abc import Callable
from dataclasses import replace

from tests.soak.play import Played, play
from tests.soak.schedule import Schedule


def rules(played: Played) -> frozenset[str]:
    """The promises that were broken."""
    return frozenset(breach.rule for breach in played.breaches)


def shrunk(day: Schedule, plays: Callable[[Schedule], Played] = play) -> Schedule:
    """The same day with as few faults as still break one of the promises that it broke."""
    broken = rules(plays(day))
    for smaller in _smaller(day):
        if smaller != day and rules(plays(smaller)) & broken:
            return shrunk(smaller, plays)
    return day


def _smaller(day: Schedule) -> list[Schedule]:
    """With a fault less; with nothing that somebody does after a death; without a deadline."""
    return [
        *(day.without(fault) for fault in day.faults),
        replace(day, gaps_seconds=(), returns=()),
        replace(day, deadline_seconds=None),
    ]
