"""What to do about a slow training, case by case; what a person reads of it is a snapshot."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from launcher.forecast import Ahead
from launcher.pace_policy import SHORTEST_SHARE, Elsewhere, Situation, SlowHost, Turn, judge
from launcher.request import IfSlow
from launcher.run import Outcome
from pricing.estimate import Dollars, Interval

SLOW_HOST = SlowHost(card="A10G", share=0.31, step_seconds=12.9, planned_step=Interval(low=2.5, expected=4.0, high=6.4))


def usd(low: str, expected: str, high: str) -> Dollars:
    return Dollars(low_usd=Decimal(low), expected_usd=Decimal(expected), high_usd=Decimal(high))


def situation(**changes: Any) -> Situation:
    """At step 23 of 600 of a run that needs about six dollars, and has five."""
    work = Interval(low=9000.0, expected=9500.0, high=10_200.0)
    base = Situation(
        if_slow=IfSlow.SHORTEN,
        ahead=Ahead(work=work, seconds=work, usd=usd("5.60", "5.87", "6.40"), basis="probe"),
        reach_seconds=8000.0,
        binds="budget",
        budget_usd=Decimal(5),
        needed_usd=Decimal("6.92"),
        step=23,
        of=600,
        planned_steps=600,
        last_step_within=450,
    )
    return replace(base, **changes)


def elsewhere(expected: str, high: str, *, fits: bool = True) -> Elsewhere:
    return Elsewhere(words="fake f9 spot north-2b", usd=usd("2.00", expected, high), fits=fits)


FITS = {"reach_seconds": 10_300.0, "last_step_within": 600}
SLOW = {"slow_host": SLOW_HOST, "may_leave": True}
LOOKED = {"has_looked": True}
MOVE = {"if_slow": IfSlow.MOVE, "may_leave": True}

CASES: list[tuple[str, dict[str, Any], Turn]] = [
    ("what fits goes on", FITS, Turn.GO_ON),
    ("what fits goes on, whoever wants to stop", {**FITS, "if_slow": IfSlow.STOP}, Turn.GO_ON),
    ("what does not fit is shortened", {}, Turn.SHORTEN),
    ("or stopped", {"if_slow": IfSlow.STOP}, Turn.STOP),
    ("or goes on", {"if_slow": IfSlow.GO_ON}, Turn.GO_ON),
    ("too little is not worth the money", {"last_step_within": int(600 * SHORTEST_SHARE) - 1}, Turn.STOP),
    ("nothing at all fits", {"last_step_within": 0}, Turn.STOP),
    ("shortened before, it is shortened further", {"of": 450, "last_step_within": 120}, Turn.SHORTEN),
    ("shortened before, and at its end", {"of": 24, "last_step_within": 0}, Turn.GO_ON),
    ("over, by less than a shorter one keeps free", {"last_step_within": 600}, Turn.GO_ON),
    ("a job that cannot be shortened goes on", {"can_be_shortened": False}, Turn.GO_ON),
    ("a training that is over", {"step": 600}, Turn.GO_ON),
    ("to move one looks first", MOVE, Turn.LOOK),
    ("there is nothing", {**MOVE, **LOOKED}, Turn.SHORTEN),
    ("there is something dearer", {**MOVE, **LOOKED, "elsewhere": elsewhere("5.90", "6.50")}, Turn.SHORTEN),
    ("cheaper, and would not fit", {**MOVE, **LOOKED, "elsewhere": elsewhere("3", "6", fits=False)}, Turn.SHORTEN),
    ("cheaper, and fits", {**MOVE, **LOOKED, "elsewhere": elsewhere("3", "4.50")}, Turn.LEAVE),
    ("who may not leave", {**MOVE, "may_leave": False}, Turn.SHORTEN),
    ("what fits is not moved", {**MOVE, **FITS}, Turn.GO_ON),
    ("a slow host is looked at", {**FITS, **SLOW}, Turn.LOOK),
    ("a slow host is kept where nothing is better", {**FITS, **SLOW, **LOOKED}, Turn.GO_ON),
    ("sure to be cheaper", {**FITS, **SLOW, **LOOKED, "elsewhere": elsewhere("3", "5.80")}, Turn.LEAVE),
    ("only expected to be", {**FITS, **SLOW, **LOOKED, "elsewhere": elsewhere("3", "5.90")}, Turn.GO_ON),
    ("left also by who wants to stop", {**SLOW, **LOOKED, "if_slow": IfSlow.STOP, "elsewhere": elsewhere("2", "3")},
     Turn.LEAVE),
    ("not by who goes on", {**SLOW, **LOOKED, "if_slow": IfSlow.GO_ON, "elsewhere": elsewhere("2", "3")}, Turn.GO_ON),
    ("one's own is not left", {**FITS, "slow_host": SLOW_HOST, "may_leave": False}, Turn.GO_ON),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "turn"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_comes_next(changes: dict[str, Any], turn: Turn) -> None:
    assert judge(situation(**changes)).turn is turn


def test_the_new_last_step_is_the_last_one_that_fits() -> None:
    assert judge(situation()).last_step == 450


def test_a_run_that_is_slower_still_after_it_was_shortened_is_evaluated_now() -> None:
    assert judge(situation(of=450, last_step_within=0)).last_step == 24


def test_how_it_ends() -> None:
    stop = judge(situation(if_slow=IfSlow.STOP)).ending
    assert stop is not None
    assert (stop.outcome, stop.code, stop.again, stop.pull) == (Outcome.OUT_OF_BUDGET, "too-slow", False, True)
    move = judge(situation(**MOVE, **LOOKED, elsewhere=elsewhere("3", "4.50"))).ending
    assert move is not None
    assert (move.outcome, move.code, move.again, move.pull) == (Outcome.LOST, "too-slow", True, True)
    leave = judge(situation(**SLOW, **LOOKED, elsewhere=elsewhere("3", "4.50"))).ending
    assert leave is not None
    assert (leave.outcome, leave.code, leave.again) == (Outcome.LOST, "slow-host", True)


def test_what_a_person_reads(snapshot: SnapshotAssertion) -> None:
    found = {
        "shorten": situation(),
        "shorten for the deadline": situation(binds="deadline"),
        "stop": situation(if_slow=IfSlow.STOP),
        "too little": situation(last_step_within=90),
        "move": situation(**MOVE, **LOOKED, elsewhere=elsewhere("3", "4.50")),
        "leave": situation(**SLOW, **LOOKED, elsewhere=elsewhere("3", "4.50")),
    }
    assert {name: judge(now).why for name, now in found.items()} == snapshot
