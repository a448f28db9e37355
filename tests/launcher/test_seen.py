"""A machine that was ended while this disk was full is not held to have never been: its money is in the books."""

import sqlite3

import pytest

from launcher import flow
from launcher.books import SURELY_SEEN_SECONDS, spent_usd
from launcher.run import Outcome
from tests.fake_world import FIRST_RUN, Killed, Stage

AWAY_SECONDS = 300.0
WRITES = ("before save_attempt", "before save_answered", "before advance", "before end")


def full(name: str) -> None:
    """Nothing can be written to the ledger."""
    if name in WRITES:
        raise sqlite3.OperationalError("database or disk is full")


def created_and_killed(stage: Stage) -> None:
    """A process that dies before it has noted the answer of its create call, and is not missed for some minutes."""
    stage.at_point = lambda name: stage.kill() if name == "after create" else None
    with pytest.raises(Killed):
        stage.launch()
    stage.at_point = lambda name: None
    stage.revive()
    assert stage.laptop().ledger.load(FIRST_RUN).attempt.instance is None
    stage.clock.sleep(AWAY_SECONDS)


def test_a_machine_that_was_ended_while_nothing_could_be_written_is_in_the_books(stage: Stage) -> None:
    created_and_killed(stage)
    stage.at_point = full
    with pytest.raises(sqlite3.OperationalError):
        flow.attach(FIRST_RUN, stage.laptop())
    stage.at_point = lambda name: None
    assert not stage.cloud.alive()
    stage.cloud.truth.clear()  # what ended is not listed for long
    assert stage.provider.traits.settle_seconds + SURELY_SEEN_SECONDS > AWAY_SECONDS + 120

    assert flow.attach(FIRST_RUN, stage.laptop()).outcome is Outcome.SUCCEEDED
    run = stage.laptop().ledger.load(FIRST_RUN)
    first, _ = run.attempts
    assert not first.never_was
    assert first.seconds(stage.clock()) >= AWAY_SECONDS
    assert spent_usd(run, stage.clock()) >= stage.cloud.billed_usd()


def test_a_call_that_came_to_nothing_costs_nothing_where_nobody_saw_a_machine(stage: Stage) -> None:
    created_and_killed(stage)
    stage.cloud.truth.clear()
    assert flow.attach(FIRST_RUN, stage.laptop()).outcome is Outcome.SUCCEEDED
    first, _ = stage.laptop().ledger.load(FIRST_RUN).attempts
    assert first.never_was
