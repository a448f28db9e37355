"""The other machine of a call that was delivered twice is paid for in the books, and once."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from launcher import twins
from launcher.creating import create_for
from launcher.run import Attempt, Run
from launcher.world import World
from providers.base import Instance, InstanceState
from tests.fake_machine import fake_traits
from tests.fake_world import FIRST_RUN, Stage
from tests.launcher.test_creating import opened

AGE_SECONDS = 600.0


@pytest.fixture
def stage(folder: Path) -> Stage:
    """A cloud without tokens, and a machine of ten minutes."""
    stage = Stage(folder, traits=fake_traits(idempotent_create=False))
    world = stage.laptop()
    run, choice = opened(stage, world)
    assert create_for(run, choice, 3600, world) is None
    stage.clock.sleep(AGE_SECONDS)
    return stage


def taken_up(stage: Stage) -> tuple[World, Run, Attempt]:
    """By another process."""
    world = stage.laptop()
    run = world.ledger.load(FIRST_RUN)
    return world, run, run.attempt


def twin(attempt: Attempt, state: InstanceState) -> Instance:
    """It came of the same call."""
    assert attempt.instance is not None
    return replace(attempt.instance, id="m-0002", state=state)


def most_usd(attempt: Attempt, seconds: float) -> Decimal:
    """What so long a life costs at worst."""
    return attempt.choice.worst_usd_per_hour * int(seconds) / 3600


@pytest.mark.parametrize("state", [InstanceState.RUNNING, InstanceState.ENDING])
def test_its_whole_life_counts_also_where_it_is_first_seen_while_it_ends(stage: Stage, state: InstanceState) -> None:
    world, run, attempt = taken_up(stage)
    twins.count(run, attempt, twin(attempt, state), world)
    assert attempt.metered_usd == most_usd(attempt, AGE_SECONDS + twins.ENDING_SECONDS)


def test_one_that_was_counted_when_it_was_told_to_end_is_not_counted_again_by_the_next_process(stage: Stage) -> None:
    world, run, attempt = taken_up(stage)
    twins.count(run, attempt, twin(attempt, InstanceState.RUNNING), world)
    world, run, attempt = taken_up(stage)
    counted_usd = attempt.metered_usd
    assert counted_usd > 0
    stage.clock.sleep(30)
    twins.count(run, attempt, twin(attempt, InstanceState.ENDING), world)
    assert attempt.metered_usd == counted_usd


def test_what_it_lives_on_is_added_and_nothing_else(stage: Stage) -> None:
    world, run, attempt = taken_up(stage)
    for _ in range(3):
        twins.count(run, attempt, twin(attempt, InstanceState.RUNNING), world)
        stage.clock.sleep(100)
    assert attempt.metered_usd == pytest.approx(most_usd(attempt, AGE_SECONDS + 200 + twins.ENDING_SECONDS))


def test_one_that_is_gone_is_not_billed_any_more(stage: Stage) -> None:
    world, run, attempt = taken_up(stage)
    twins.count(run, attempt, twin(attempt, InstanceState.GONE), world)
    assert attempt.metered_usd == 0
