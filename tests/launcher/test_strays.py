"""Machines that no run in hand accounts for end whatever the person at the keyboard does meanwhile."""

from dataclasses import replace

import pytest

from launcher import flow, reaping, recover
from launcher.strays import end_machine
from providers.base import Busy, Leftover
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

    def remove(one: Leftover) -> None:
        if one.kind == "group":
            raise Busy("a machine holds it")
        held(one)

    stage.provider.remove = remove  # type: ignore[method-assign]  # as a cloud that still needs it answers
    found = recover.reap(stage.laptop())
    assert found.leftovers_removed == ("volume vol-1 (fake north-1)",)
    assert found.leftovers_left == ("group sg-1 (fake north-1), costs nothing: a machine holds it",)
    assert "left over    group sg-1 (fake north-1), costs nothing: a machine holds it" in reaping.text(found)
