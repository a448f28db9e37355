"""Kill -9 of our process at every point: around every ledger write, cloud call and remote call, and before sleeps."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from launcher import flow, recover
from launcher.run import Outcome, State
from launcher.world import World
from providers.base import EndReason
from tests.fake_machine import fake_traits
from tests.fake_world import FIRST_RUN, Killed, Stage, Work
from tests.launcher.moments import in_state, when

PARTS = 4
BUDGET = "0.60"


def _points(folder: Path) -> int:
    stage = Stage(folder)
    stage.launch()
    return len(stage.points)


@pytest.mark.parametrize("part", range(PARTS))
def test_after_a_kill_at_any_point_reap_leaves_nothing_and_the_budget_holds(folder: Path, part: int) -> None:
    total = _points(folder / "whole")
    assert total > 100
    for point in range(part, total, PARTS):
        stage = Stage(folder / str(point))
        stage.die_at = point
        with pytest.raises(Killed):
            stage.launch(budget=BUDGET)
        stage.recover()
        stage.all_quiet()
        assert stage.cloud.billed_usd() <= Decimal(BUDGET), stage.points[point]


@pytest.mark.parametrize("part", range(PARTS))
def test_the_same_on_a_cloud_without_tokens_that_lists_late(folder: Path, part: int) -> None:
    total = _points(folder / "whole")
    for point in range(part, total, PARTS * 3):
        stage = Stage(folder / str(point), traits=fake_traits(idempotent_create=False))
        stage.provider.lies.visible_after_seconds = 30
        stage.provider.lies.early_not_found_seconds = 30
        stage.die_at = point
        with pytest.raises(Killed):
            stage.launch(budget=BUDGET)
        stage.recover()
        stage.all_quiet()
        assert stage.cloud.billed_usd() <= Decimal(BUDGET), stage.points[point]


def test_a_second_kill_during_recovery_is_mended_by_the_next(folder: Path) -> None:
    for point in range(0, _points(folder / "whole"), 17):
        stage = Stage(folder / str(point))
        stage.die_at = point
        with pytest.raises(Killed):
            stage.launch(budget=BUDGET)
        stage.revive()
        stage.die_at = len(stage.points) + 5
        with suppress(Killed):
            stage.recover(revived=False)
        stage.recover()
        stage.all_quiet()


def test_the_next_command_that_talks_to_a_cloud_ends_a_machine_that_was_never_used(folder: Path) -> None:
    stage = Stage(folder)
    world = stage.laptop()
    run = stage.open_run(world)
    stage.cloud.after_call = lambda verb: stage.kill() if verb == "create" else None
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    stage.clock.sleep(120)
    recover.settle_open(stage.laptop())
    stage.all_quiet()


def test_a_job_that_works_is_taken_back_and_finishes(folder: Path) -> None:
    stage = Stage(folder)
    stage.site.work = Work(steps=40)
    stage.die_at = 120
    with pytest.raises(Killed):
        stage.launch()
    assert stage.cloud.alive()
    receipt = stage.recover()
    assert stage.spawned
    assert getattr(receipt, "outcome", None) == "succeeded"
    stage.all_quiet()


def test_reap_needs_no_ledger(folder: Path) -> None:
    stage = Stage(folder)
    stage.die_at = 120
    with pytest.raises(Killed):
        stage.launch()
    assert stage.cloud.alive()
    for file in (folder / "home").glob("ledger.sqlite*"):
        file.unlink()
    stage.recover()
    assert not stage.cloud.alive()


def test_a_machine_that_ended_itself_while_nobody_watched_is_settled(folder: Path) -> None:
    stage = Stage(folder)
    stage.die_at = 120
    with pytest.raises(Killed):
        stage.launch()
    stage.revive()
    stage.clock.sleep(7 * 24 * 3600)
    stage.recover()
    stage.all_quiet()
    assert stage.cloud.machines()[0].reason is EndReason.OWN_DEADLINE


@pytest.mark.parametrize("command", [recover.reap, recover.settle_open])
def test_a_job_that_was_started_a_moment_before_we_died_is_not_ended_as_idle(
    stage: Stage, command: Callable[[World], object]
) -> None:
    def after(verb: str) -> None:
        if verb == "remote" and stage.site.argv_seen[-1][2] == "start" and not stage.spawned:
            stage.kill()

    stage.cloud.after_call = after
    with pytest.raises(Killed):
        stage.launch()
    assert stage.site.started
    stage.cloud.after_call = lambda verb: None
    stage.revive()
    stage.clock.sleep(3600)
    command(stage.laptop())
    assert stage.cloud.alive()
    assert flow.attach(FIRST_RUN, stage.laptop()).outcome is Outcome.SUCCEEDED
    assert len(stage.cloud.machines()) == 1
    stage.all_quiet()


def test_a_clock_that_was_set_back_by_a_day_before_we_came_back_costs_nothing(stage: Stage) -> None:
    stage.site.work = Work(steps=30)
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, in_state(stage, State.BOOTING, "remote"), stage.kill)
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    stage.now = lambda: stage.clock() - timedelta(days=1)
    assert flow.attach(run.id, stage.laptop()).outcome is Outcome.SUCCEEDED
    assert len(stage.cloud.machines()) == 1
    stage.all_quiet()
