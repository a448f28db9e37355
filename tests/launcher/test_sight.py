"""One look at a machine: what it says, and when not to see it says nothing at all."""

from dataclasses import replace
from datetime import timedelta

import pytest

from launcher import sight
from launcher.run import Attempt
from launcher.sight import EARLY_SECONDS
from launcher.world import World
from providers.base import InstanceState
from tests.fake_world import Stage
from tests.launcher.rented import rented

FRESH = 1.0


def kept(world: World) -> Attempt:
    """The attempt as the ledger has it."""
    return world.ledger.load("brave-otter-0001").attempt


def hide(stage: Stage) -> None:
    """Neither the list nor the machine's id shows it, although it is there."""
    stage.provider.lies.visible_after_seconds = stage.provider.lies.early_not_found_seconds = 10**6


def writes(stage: Stage) -> int:
    return stage.points.count("before save_attempt")


def test_a_machine_that_is_listed_is_shown_as_it_is_and_written_down(stage: Stage) -> None:
    world = stage.laptop()
    run = rented(stage, world)
    stage.clock.sleep(10)
    found = sight.look(run, world, FRESH)
    assert found is not None
    assert found.state is InstanceState.RUNNING
    assert run.attempt.instance == kept(world).instance == found


def test_the_first_sight_of_a_machine_is_noted_and_stays_as_it_was(stage: Stage) -> None:
    world = stage.laptop()
    run = rented(stage, world)
    assert kept(world).seen_at is None
    stage.clock.sleep(10)
    first = stage.clock()
    sight.look(run, world, FRESH)
    stage.clock.sleep(100)
    sight.look(run, world, FRESH)
    assert run.attempt.seen_at == kept(world).seen_at == first


def test_a_machine_that_shows_nothing_new_is_not_written_down_again(stage: Stage) -> None:
    world = stage.laptop()
    run = rented(stage, world)
    stage.clock.sleep(10)
    sight.look(run, world, FRESH)
    before = writes(stage)
    stage.clock.sleep(10)
    assert sight.look(run, world, FRESH) is not None
    assert writes(stage) == before


def test_a_machine_that_a_list_leaves_out_is_asked_for_by_its_id(stage: Stage) -> None:
    world = stage.laptop()
    run = rented(stage, world)
    stage.clock.sleep(10)
    stage.cloud.calls.clear()
    stage.provider.lies.list_gaps = 1
    found = sight.look(run, world, FRESH)
    assert found is not None
    assert found.state is InstanceState.RUNNING
    assert stage.cloud.calls == ["list", "get"]


def test_a_fresh_machine_that_was_never_seen_and_is_not_found_says_nothing(stage: Stage) -> None:
    world = stage.laptop()
    run = rented(stage, world)
    hide(stage)
    stage.clock.sleep(EARLY_SECONDS - 1)
    assert sight.look(run, world, FRESH) is None
    assert run.attempt.instance is not None
    assert run.attempt.instance.state is InstanceState.PENDING


def test_a_machine_that_was_never_seen_is_absent_once_it_should_have_been_listed(stage: Stage) -> None:
    world = stage.laptop()
    run = rented(stage, world)
    hide(stage)
    stage.clock.sleep(EARLY_SECONDS)
    found = sight.look(run, world, FRESH)
    assert found is not None
    assert found.state is InstanceState.ABSENT
    assert kept(world).seen_at is None  # that is no sight of it


def test_a_machine_that_was_seen_before_is_absent_as_soon_as_both_doors_say_so(stage: Stage) -> None:
    world = stage.laptop()
    run = rented(stage, world)
    stage.clock.sleep(10)
    sight.look(run, world, FRESH)
    hide(stage)
    stage.clock.sleep(10)
    found = sight.look(run, world, FRESH)
    assert found is not None
    assert found.state is InstanceState.ABSENT


def test_early_is_counted_from_the_last_create_call(stage: Stage) -> None:
    world = stage.laptop()
    run = rented(stage, world)
    run.attempt.asked_at = run.attempt.started_at + timedelta(seconds=60)
    hide(stage)
    stage.clock.sleep(EARLY_SECONDS + 30)
    assert sight.look(run, world, FRESH) is None


@pytest.mark.parametrize("reads_down", [1, 2])
def test_a_provider_that_does_not_answer_says_nothing_of_the_machine(stage: Stage, reads_down: int) -> None:
    world = stage.laptop()
    run = rented(stage, world)
    stage.clock.sleep(10)
    sight.look(run, world, FRESH)
    stage.clock.sleep(10)
    stage.provider.lies.list_gaps = 1
    stage.provider.lies.reads_down = reads_down
    assert sight.look(run, world, FRESH) is None
    assert run.attempt.instance is not None
    assert run.attempt.instance.state is InstanceState.RUNNING


def test_where_only_the_id_cannot_be_asked_for_the_look_says_nothing(stage: Stage) -> None:
    world = stage.laptop()
    run = rented(stage, world)
    stage.clock.sleep(10)
    sight.look(run, world, FRESH)
    stage.clock.sleep(10)
    stage.provider.lies.list_gaps = 1
    stage.cloud.after_call = lambda verb: setattr(stage.provider.lies, "reads_down", 1)
    assert sight.look(run, world, FRESH) is None
    assert stage.provider.fired == ["list_gaps", "reads_down"]


def test_an_attempt_without_a_machine_has_nothing_to_show(stage: Stage) -> None:
    world = stage.laptop()
    run = rented(stage, world)
    stage.cloud.calls.clear()
    assert sight.shown(replace(run.attempt, instance=None), world, FRESH) is None
    assert stage.cloud.calls == []


def test_to_be_shown_a_machine_writes_nothing_into_its_books(stage: Stage) -> None:
    world = stage.laptop()
    run = rented(stage, world)
    stage.clock.sleep(10)
    before = writes(stage)
    found = sight.shown(run.attempt, world, FRESH)
    assert found is not None
    assert found.state is InstanceState.RUNNING
    assert writes(stage) == before
    assert kept(world).seen_at is None


def test_a_look_of_another_process_is_good_enough_while_it_is_fresh(stage: Stage) -> None:
    world, other = stage.laptop(), stage.laptop()
    run = rented(stage, world)
    stage.clock.sleep(10)
    sight.shown(run.attempt, other, 15.0)
    stage.cloud.calls.clear()
    stage.clock.sleep(14)
    found = sight.look(run, world, 15.0)
    assert found is not None
    assert found.state is InstanceState.RUNNING
    assert stage.cloud.calls == []
    stage.clock.sleep(1)
    sight.look(run, world, 15.0)
    assert stage.cloud.calls == ["list"]
