"""A ledger that was put back from a copy does not know the last create call: the run's folder does, and is believed."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from launcher import called, flow, seen
from launcher.errors import Exit, LaunchError
from launcher.events import Warned
from launcher.intents import LONGEST_WAIT_SECONDS
from launcher.run import Outcome, Run, State
from launcher.teardown import LOOKS
from providers.base import EndReason
from tests.fake_world import FIRST_RUN, Killed, Stage
from tests.launcher.moments import in_state, when

LATE_SECONDS = 37.0
"""How long a new machine is not listed; the fake's settle window is 60 s."""


def died(stage: Stage, state: State = State.BOOTING) -> Run:
    """A run whose process died there."""
    when(stage, in_state(stage, state), stage.kill)
    with pytest.raises(Killed):
        stage.launch()
    stage.revive()
    return stage.laptop().ledger.load(FIRST_RUN)


def put_back(stage: Stage) -> None:
    """The ledger as it was before the first create call, from a backup."""
    with closing(sqlite3.connect(stage.folder / "home" / "ledger.sqlite")) as db:
        db.executescript(f"DELETE FROM attempts; DELETE FROM intents; UPDATE runs SET state='{State.PLANNED}';")


def test_a_machine_that_no_list_shows_yet_is_waited_for_where_the_ledger_was_put_back(stage: Stage) -> None:
    stage.provider.lies.visible_after_seconds = LATE_SECONDS
    run = died(stage)
    put_back(stage)
    assert flow.attach(run.id, stage.laptop()).outcome is Outcome.SUCCEEDED
    assert [one.code for one in stage.heard.of(Warned)].count("unknown-machine") == 1
    assert len(stage.cloud.machines()) == 1
    stage.all_quiet()


def test_where_the_call_came_to_nothing_another_machine_is_rented_after_the_settle_window(stage: Stage) -> None:
    run = died(stage)
    put_back(stage)
    stage.cloud.truth.clear()
    began = stage.clock()
    assert flow.attach(run.id, stage.laptop()).outcome is Outcome.SUCCEEDED
    (machine,) = stage.cloud.machines()
    waited_seconds = (machine.born_at - began).total_seconds()
    settle_seconds = stage.provider.traits.settle_seconds
    assert (
        settle_seconds + LONGEST_WAIT_SECONDS <= waited_seconds <= settle_seconds + (LOOKS + 1) * LONGEST_WAIT_SECONDS
    )


def test_gaps_in_the_lists_after_the_settle_window_hide_no_machine(stage: Stage) -> None:
    run = died(stage)
    put_back(stage)
    settle_seconds = stage.provider.traits.settle_seconds
    stage.provider.lies.visible_after_seconds = 10**6
    over = stage.clock() + timedelta(seconds=settle_seconds - 1)

    def be_listed_with_gaps() -> None:
        stage.provider.lies.visible_after_seconds, stage.provider.lies.list_gaps = 0, 1

    when(stage, lambda verb: verb == "list" and stage.clock() >= over, be_listed_with_gaps)
    assert flow.attach(run.id, stage.laptop()).outcome is Outcome.SUCCEEDED
    assert len(stage.cloud.machines()) == 1
    stage.all_quiet()


def test_nobody_waits_where_the_ledger_knows_all_calls(stage: Stage) -> None:
    run = died(stage)
    stage.cloud.machines()[0].end(stage.clock(), EndReason.PREEMPTED)
    began = stage.clock()
    assert flow.attach(run.id, stage.laptop()).outcome is Outcome.SUCCEEDED
    second = stage.cloud.machines()[-1]
    assert second.id != "m-0001"
    assert (second.born_at - began).total_seconds() < stage.provider.traits.settle_seconds


def test_while_the_cloud_does_not_say_what_came_of_the_call_nothing_is_rented(stage: Stage) -> None:
    run = died(stage)
    put_back(stage)
    began = stage.clock()

    def fall_silent() -> None:
        stage.provider.lies.reads_down = 20

    lists = iter(range(9))
    when(stage, lambda verb: verb == "list" and next(lists) == 1, fall_silent)
    stage.provider.lies.visible_after_seconds = (began - stage.cloud.machines()[0].born_at).total_seconds() + 5
    assert flow.attach(run.id, stage.laptop()).outcome is Outcome.SUCCEEDED
    assert len(stage.cloud.machines()) == 1
    stage.all_quiet()


def test_a_cloud_that_is_silent_for_too_long_ends_the_run_and_no_machine_is_made(stage: Stage) -> None:
    run = died(stage)
    put_back(stage)
    stage.cloud.truth.clear()

    def fall_silent() -> None:
        stage.provider.lies.reads_down = 1000

    lists = iter(range(9))
    when(stage, lambda verb: verb == "list" and next(lists) == 1, fall_silent)
    with pytest.raises(LaunchError) as told:
        flow.attach(run.id, stage.laptop())
    assert (told.value.code, told.value.exit_code) == ("create-unclear", Exit.MAY_BE_RUNNING)
    assert "nothing was rented" not in told.value.message
    assert stage.cloud.machines() == ()


def test_a_machine_that_no_plan_knows_is_ended_and_none_is_rented_beside_it(stage: Stage) -> None:
    run = died(stage)
    put_back(stage)
    machine = stage.cloud.machines()[0]
    machine.request = replace(machine.request, offer=replace(machine.request.offer, instance_type="f9.other"))
    with pytest.raises(LaunchError) as told:
        flow.attach(run.id, stage.laptop())
    assert told.value.code == "unknown-machine"
    assert "nothing was rented" not in told.value.message
    assert stage.cloud.machines() == (machine,)
    assert not stage.cloud.alive()  # TERMINATED is not said before
    assert [one.code for one in stage.heard.of(Warned)].count("unknown-machine") == 1


def test_a_run_is_not_said_to_be_over_while_a_machine_that_no_plan_knows_does_not_end(stage: Stage) -> None:
    run = died(stage)
    put_back(stage)
    machine = stage.cloud.machines()[0]
    machine.request = replace(machine.request, offer=replace(machine.request.offer, instance_type="f9.other"))
    stage.provider.lies.deaf_terminates = 10**6
    with pytest.raises(LaunchError) as told:
        flow.attach(run.id, stage.laptop())
    assert (told.value.code, told.value.exit_code) == ("unknown-machine", Exit.MAY_BE_RUNNING)
    assert stage.laptop().ledger.load(run.id).state is not State.TERMINATED
    assert stage.cloud.machines() == (machine,)


def test_a_disk_that_takes_no_note_stops_no_create_call(stage: Stage, folder: Path) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    (world.run_folder(run.id) / seen.CALLS).mkdir(parents=True)
    assert flow.carry(run, world, is_new=True).outcome is Outcome.SUCCEEDED
    assert called.unknown_calls(run, world) == set()
