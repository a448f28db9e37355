"""Machines that no run in hand accounts for end whatever the person at the keyboard does meanwhile."""

from dataclasses import replace

import pytest

from launcher import flow
from launcher.strays import end_machine
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
