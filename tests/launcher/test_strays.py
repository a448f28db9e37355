"""Machines that no run in hand accounts for end whatever the person at the keyboard does meanwhile."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from launcher import flow, reaping, recover
from launcher.errors import Exit, LaunchError
from launcher.run import Outcome
from launcher.strays import end_late, end_machine
from providers.base import AuthFailed, Busy, Instance, Leftover, Unavailable
from tests.fake_world import Killed, Stage


def test_a_ctrl_c_while_a_stray_machine_ends_changes_nothing(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    stage.cloud.after_call = lambda verb: stage.kill() if verb == "create" else None
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    (machine,) = stage.provider.list()
    stage.provider.lies.linger_seconds = 30
    world = stage.laptop()
    world.interrupt.ask()

    def sleep(seconds: float) -> None:
        stage.clock.sleep(seconds)
        world.interrupt.check()

    world = replace(world, sleep=sleep)
    assert end_machine(stage.provider, machine, world)
    assert stage.cloud.alive() == ()


def test_reap_says_what_of_ours_lies_about_and_what_it_could_not_remove(stage: Stage) -> None:
    def left(id: str, kind: str, run_id: str, *, billed: bool) -> Leftover:
        return Leftover(provider="fake", kind=kind, id=id, region="north-1", run_id=run_id, billed=billed)

    for one in (left("vol-1", "volume", "old-run-0001", billed=True), left("sg-1", "group", "", billed=False)):
        stage.cloud.volumes[one.id] = one
    held = stage.provider.remove

    def remove(leftover: Leftover) -> None:
        if leftover.kind == "group":
            raise Busy("a machine holds it")
        held(leftover)

    stage.provider.remove = remove  # type: ignore[method-assign]  # as a cloud that still needs it answers
    found = recover.reap(stage.laptop())
    assert found.leftovers_removed == ("volume vol-1 (fake north-1)",)
    assert found.leftovers_left == ("group sg-1 (fake north-1), costs nothing: a machine holds it",)
    assert "left over    group sg-1 (fake north-1), costs nothing: a machine holds it" in reaping.text(found)


def _books(stage: Stage) -> Path:
    return stage.folder / "home" / "ledger.sqlite"


def _over_with_an_open_call(stage: Stage) -> str:
    """What an older launcher left, that died between its note that a machine was gone and the end of the intent."""
    world = stage.laptop()
    run = stage.open_run(world)
    flow.carry(run, world)
    with sqlite3.connect(_books(stage)) as books:
        books.execute("UPDATE intents SET closed_at=NULL, answer=NULL WHERE run=?", (run.id,))
    return run.id


def test_an_intent_that_was_left_open_by_a_run_that_is_over_is_closed_by_the_next_reap(stage: Stage) -> None:
    run_id = _over_with_an_open_call(stage)
    assert len(stage.laptop().ledger.left_open()) == 1
    recover.reap(stage.laptop())
    assert stage.laptop().ledger.left_open() == ()
    assert stage.laptop().ledger.open_intents(run_id) == ()


def test_an_intent_that_was_left_open_stays_so_while_the_cloud_does_not_answer_or_is_not_settled(stage: Stage) -> None:
    _over_with_an_open_call(stage)
    world = stage.laptop()
    held = stage.provider.list
    stage.provider.list = _refuse  # type: ignore[method-assign]  # as a cloud that is down answers
    end_late(world)
    assert len(world.ledger.left_open()) == 1
    stage.provider.list = held  # type: ignore[method-assign]  # it is up again
    with sqlite3.connect(_books(stage)) as books:
        books.execute("UPDATE intents SET opened_at=?", (world.now().isoformat(),))
    end_late(world)
    assert len(world.ledger.left_open()) == 1


def _refuse(region: str | None = None) -> tuple[Instance, ...]:
    raise Unavailable("down")


def test_the_machine_of_an_intent_that_was_left_open_is_ended(stage: Stage) -> None:
    _over_with_an_open_call(stage)
    (machine,) = stage.cloud.machines()
    machine.ended_at = None
    assert len(stage.cloud.alive()) == 1
    end_late(stage.laptop())
    assert stage.cloud.alive() == ()
    assert len(stage.laptop().ledger.left_open()) == 1  # what was seen a moment ago is not yet "nothing there"
    end_late(stage.laptop())
    assert stage.laptop().ledger.left_open() == ()


def test_no_machine_is_made_while_a_cloud_does_not_say_whether_one_of_the_run_is_there(folder: Path) -> None:
    stage = Stage(folder)
    world = stage.laptop()
    run = stage.open_run(world)
    stage.provider.lies.reads_down = flow.ASKS
    with pytest.raises(LaunchError) as refused:
        flow.attach(run.id, world)
    assert refused.value.exit_code is Exit.PROVIDER
    assert stage.cloud.machines() == ()
    assert flow.attach(run.id, world).outcome is Outcome.SUCCEEDED


def test_one_broken_answer_does_not_end_a_run_that_a_background_process_only_begins_with(folder: Path) -> None:
    stage = Stage(folder)
    world = stage.laptop()
    run = stage.open_run(world)
    stage.provider.lies.reads_down = 1
    assert flow.attach(run.id, world).outcome is Outcome.SUCCEEDED


def test_an_account_that_is_refused_is_not_asked_again(folder: Path) -> None:
    stage = Stage(folder)
    world = stage.laptop()
    run = stage.open_run(world)
    asked: list[str] = []

    def refuse(region: str | None = None) -> tuple[Instance, ...]:
        asked.append(str(region))
        raise AuthFailed("expired")

    stage.provider.list = refuse  # type: ignore[method-assign]  # as a cloud answers that knows the key no more
    with pytest.raises(LaunchError):
        flow.attach(run.id, world)
    assert len(asked) == 1
