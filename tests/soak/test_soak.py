"""Two thousand bad days break no promise, every fault fires, and the same day is the same twice.

A day that fails is told by its seed: `python -m tests.soak --seed N` plays it again, shrunk.
"""

from dataclasses import replace

import pytest

from tests.soak import pairs
from tests.soak.copies import IN_THE_SUITE
from tests.soak.judge import Breach
from tests.soak.play import Played, play
from tests.soak.schedule import (
    AT_WORK,
    BY_CALL,
    BY_TIME,
    DOORWAY,
    DOORWAY_EVERY,
    DOORWAYS,
    MACHINE_KINDS,
    OF_A_STORE,
    ONLY_CREATE,
    SOMETIMES,
    Fault,
    Kind,
    Schedule,
    drawn,
)
from tests.soak.shrink import shrunk
from tests.soak.table import Tally, tally

PARTS = 8
QUIET = Schedule(seed=-2, steps=8, save_every=3)


def _text(found: Tally) -> str:
    replays = "\n".join(f"replay: python -m tests.soak --seed {seed}" for seed in found.seeds)
    return f"{found.text()}\n{replays}"


@pytest.mark.parametrize("part", range(PARTS))
def test_bad_days_break_no_promise(part: int) -> None:
    found = tally(map(play, map(drawn, range(part, IN_THE_SUITE, PARTS))), first=part)
    assert found.breaches == 0, _text(found)
    assert max(found.shares) <= 1
    assert found.with_machine > found.schedules / 2


def test_a_death_anywhere_is_mended_by_the_next_command() -> None:
    found = tally(map(play, pairs.kills(stride=61)))
    assert found.breaches == 0, _text(found)
    assert found.fired[Kind.KILL] == found.schedules


def test_a_second_death_anywhere_is_mended_too() -> None:
    found = tally(map(play, pairs.sampled(40, seed=6)))
    assert found.breaches == 0, _text(found)


def test_every_kind_of_fault_is_drawn() -> None:
    kinds = {fault.kind for seed in range(3000) for fault in drawn(seed).faults}
    assert kinds == set(Kind) - set(OF_A_STORE)


@pytest.mark.parametrize("seed", [7, 70, 700, 7000])
def test_the_same_seed_is_the_same_day(seed: int) -> None:
    first, second = play(drawn(seed)), play(drawn(seed))
    assert first == second


@pytest.mark.parametrize("verb", DOORWAYS)
def test_who_dies_in_a_doorway_dies_at_the_nth_of_its_name(verb: str) -> None:
    """The first one differs from the second where there are two; who comes back mends both."""
    stories = []
    for nth in (0, 1):
        played = play(replace(QUIET, faults=(Fault(kind=Kind.KILL, verb=verb, nth=nth),)), tell=True)
        assert played.breaches == ()
        stories.append((played.fired[Kind.KILL], played.story))
    assert stories[0][0] == 1
    assert stories[0] != stories[1]


def test_deaths_in_doorways_are_drawn_on_their_days_and_change_no_other() -> None:
    days = [drawn(seed) for seed in range(60)]
    with_doorway = [day.seed for day in days if any(fault.verb in (*DOORWAYS, AT_WORK) for fault in day.faults)]
    assert with_doorway == [seed for seed in range(60) if seed % DOORWAY_EVERY == DOORWAY]


def test_a_day_without_faults_uses_its_budget_and_ends() -> None:
    played = play(QUIET)
    assert played.breaches == ()
    assert len(played.machines) == 1
    assert 0 < played.share < 1


@pytest.mark.parametrize("kind", [kind for kind in BY_TIME if kind is not Kind.CTRL_C])
def test_what_happens_at_a_time_happens(kind: Kind) -> None:
    seconds = 60.0 if kind is not Kind.CREDENTIALS_EXPIRED else 30.0
    how = {Kind.PRICE: "high", Kind.SECOND_PROCESS: "reap", Kind.STOP: "save"}.get(kind, "")
    day = replace(QUIET, faults=(Fault(kind=kind, at_seconds=40, seconds=seconds, how=how),))
    played = play(day)
    assert played.fired[kind] == 1
    assert played.breaches == ()


@pytest.mark.parametrize("kind", [*BY_CALL, *ONLY_CREATE])
def test_what_happens_to_a_call_happens(kind: Kind) -> None:
    knows_tokens = kind is not Kind.DOUBLED
    played = play(replace(QUIET, idempotent=knows_tokens, faults=(Fault(kind=kind, verb="create", seconds=5),)))
    assert played.fired[kind] == 1
    assert played.breaches == ()


@pytest.mark.parametrize("kind", [*SOMETIMES, *MACHINE_KINDS, Kind.TORN_PULL, Kind.SPOILED_PULL])
def test_what_concerns_a_machine_happens(kind: Kind) -> None:
    played = play(replace(QUIET, faults=(Fault(kind=kind, seconds=5),)))
    assert played.fired[kind] >= 1
    assert played.breaches == ()


def test_a_failing_day_is_shrunk_to_the_faults_that_matter() -> None:
    needed = Fault(kind=Kind.KILL, nth=12)
    others = (Fault(kind=Kind.VOLUME_LEFT, seconds=1), Fault(kind=Kind.SSH_DROP, verb="remote", nth=3))

    played = play(QUIET)

    def plays(day: Schedule) -> Played:
        broken = (Breach(rule="R2", text="two"),) if needed in day.faults else ()
        return replace(played, breaches=broken)

    assert shrunk(replace(QUIET, faults=(others[0], needed, others[1])), plays).faults == (needed,)
