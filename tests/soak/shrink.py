"""Makes a failing day smaller: faults are taken away one by one while the same promise is still broken."""

from dataclasses import replace

from tests.soak.play import play
from tests.soak.schedule import Schedule


def rules(day: Schedule) -> frozenset[str]:
    """The promises that this day breaks."""
    return frozenset(breach.rule for breach in play(day).breaches)


def shrunk(day: Schedule) -> Schedule:
    """The same day with as few faults as still break one of the promises that it broke."""
    broken = rules(day)
    for fault in day.faults:
        smaller = day.without(fault)
        if rules(smaller) & broken:
            return shrunk(smaller)
    return _simpler(day, broken)


def _simpler(day: Schedule, broken: frozenset[str]) -> Schedule:
    """What somebody does after a death is left out, too, where it does not matter."""
    for simple in (replace(day, gaps_seconds=(), returns=()), replace(day, deadline_seconds=None)):
        if simple != day and rules(simple) & broken:
            return _simpler(simple, broken)
    return day
