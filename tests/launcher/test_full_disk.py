"""A disk that is full here for a while costs neither the job nor its results, as long as the budget pays for both."""

import sqlite3
from contextlib import closing
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from launcher import flow, recover
from launcher.events import Warned
from launcher.run import Outcome, State
from tests.fake_world import Stage, Work
from tests.launcher.moments import after, in_state, started_by_who_died, when


def _full(stage: Stage, state: State, seconds: float) -> None:
    """No write goes through for so long, from that state on."""
    reached = in_state(stage, state)
    since: list[datetime] = []

    def at(name: str) -> None:
        if not since and name == "before remote" and reached("remote"):
            since.append(stage.clock())
        if since and stage.clock() - since[0] < timedelta(seconds=seconds):
            _refuse(name)

    stage.at_point = at


def _refuse(name: str) -> None:
    if name in ("before save_attempt", "before advance", "before end", "before note_ending"):
        raise sqlite3.OperationalError("database or disk is full")


def _ended_early(stage: Stage) -> str:
    (said,) = [one.text for one in stage.heard.of(Warned) if one.code == "ended-early"]
    return said


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
    said = f"{run.id}: its machine is ended (database or disk is full); not all of it came home"
    assert _ended_early(stage) == said
    assert not stage.cloud.alive()


def test_a_job_that_was_started_by_who_died_is_waited_for_and_comes_home(stage: Stage) -> None:
    stage.site.work = Work(steps=60)
    run_id = started_by_who_died(stage)
    _full(stage, State.SHIPPING, 300)
    assert flow.attach(run_id, stage.laptop()).outcome is Outcome.SUCCEEDED
    assert len(stage.cloud.machines()) == 1
    stage.all_quiet()


def test_what_a_job_did_that_was_started_by_who_died_is_brought_home_or_its_loss_is_said(stage: Stage) -> None:
    run_id = started_by_who_died(stage)
    _full(stage, State.SHIPPING, 1e9)
    stage.clock.sleep(400)
    with pytest.raises(sqlite3.OperationalError):
        flow.attach(run_id, stage.laptop())
    assert "not all of it came home" in _ended_early(stage)
    assert not stage.cloud.alive()


def test_a_job_that_could_not_be_written_down_is_not_started_and_not_waited_for(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    _full(stage, State.SHIPPING, 1e9)
    with pytest.raises(sqlite3.OperationalError):
        flow.carry(run, world, is_new=True)
    assert stage.site.started == {}
    assert not [one for one in stage.heard.of(Warned) if one.code in ("ledger", "ended-early")]
    assert not stage.cloud.alive()


def test_books_that_were_put_back_and_cannot_be_written_do_not_end_a_machine_without_a_word(stage: Stage) -> None:
    run_id = started_by_who_died(stage)
    books = stage.folder / "home" / "ledger.sqlite"
    with closing(sqlite3.connect(books)) as db:
        db.execute("UPDATE runs SET state='BOOTING' WHERE id=?", (run_id,))
        db.commit()
    stage.at_point = _refuse
    with pytest.raises(sqlite3.OperationalError):
        recover.settle_open(stage.laptop())
    assert _ended_early(stage).endswith("(database or disk is full); these books know of no work of its job")
    assert not stage.cloud.alive()


@pytest.mark.parametrize(("is_stranger", "said"), [(True, ["another key"]), (False, [])])
def test_how_it_had_ended_is_said_where_the_books_of_it_cannot_be_closed(
    stage: Stage, is_stranger: bool, said: list[str]
) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    ends = in_state(stage, State.TERMINATING)
    when(stage, after(stage, 60), lambda: setattr(stage.site, "wrong_host_key", is_stranger))
    stage.at_point = lambda name: _refuse(name) if ends(name) else None
    with pytest.raises(sqlite3.OperationalError):
        flow.carry(run, world)
    told = [one.text for one in stage.heard.of(Warned) if one.code == "ended-early"]
    assert [text.rpartition(": ")[2] for text in told] == said
    assert not stage.cloud.alive()
