"""A disk that is full here for a while costs neither the job nor its results, as long as the budget pays for both."""

import sqlite3
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from launcher import flow
from launcher.events import Warned
from launcher.run import Outcome, State
from tests.fake_world import Stage, Work
from tests.launcher.moments import in_state


def _full(stage: Stage, state: State, seconds: float) -> None:
    """No write goes through for so long, from that state on."""
    reached = in_state(stage, state)
    since: list[datetime] = []

    def at(name: str) -> None:
        if not since and name == "before remote" and reached("remote"):
            since.append(stage.clock())
        is_write = name in ("before save_attempt", "before advance", "before end", "before note_ending")
        if since and is_write and stage.clock() - since[0] < timedelta(seconds=seconds):
            raise sqlite3.OperationalError("database or disk is full")

    stage.at_point = at


@pytest.mark.parametrize("state", [State.RUNNING, State.PULLING])
def test_a_ledger_that_cannot_be_written_for_some_minutes_ends_nothing(stage: Stage, state: State) -> None:
    stage.site.work = Work(steps=60)
    world = stage.laptop()
    run = stage.open_run(world)
    _full(stage, state, 300)
    assert flow.carry(run, world).outcome is Outcome.SUCCEEDED
    assert len(stage.cloud.machines()) == 1
    assert [one for one in stage.heard.of(Warned) if one.code == "ledger"]
    stage.all_quiet()


def test_it_is_not_waited_for_beyond_the_budget(stage: Stage) -> None:
    stage.site.work = Work(steps=60)
    world = stage.laptop()
    run = stage.open_run(world, budget="0.50")
    _full(stage, State.RUNNING, 1e9)
    with pytest.raises(sqlite3.OperationalError):
        flow.carry(run, world)
    assert not stage.cloud.alive()
    assert stage.cloud.billed_usd() <= Decimal("0.50")


def test_where_no_job_works_yet_nothing_is_waited_for(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    _full(stage, State.BOOTING, 1e9)
    with pytest.raises(sqlite3.OperationalError):
        flow.carry(run, world)
    assert not stage.cloud.alive()


def test_what_is_lost_with_the_machine_is_said_although_it_cannot_be_written_down(stage: Stage) -> None:
    stage.site.work = Work(steps=60)
    world = stage.laptop()
    run = stage.open_run(world)
    _full(stage, State.RUNNING, 1e9)
    lost = stage.clock() + timedelta(seconds=200)

    def lose(verb: str) -> None:
        stage.site.wrong_host_key = stage.clock() >= lost

    stage.cloud.after_call = lose
    with pytest.raises(sqlite3.OperationalError):
        flow.carry(run, world)
    (said,) = [one.text for one in stage.heard.of(Warned) if one.code == "ended-early"]
    assert said == f"{run.id}: its machine is ended (database or disk is full); not all of it came home"
    assert not stage.cloud.alive()
