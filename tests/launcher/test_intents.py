"""An intent is on disk before the call that it is about, and is closed only by an answer or by enough looks in vain."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from launcher import books
from launcher.awake import TURN_SECONDS, Awake
from launcher.creating import create, create_for
from launcher.intents import LEAST_LOOKS, find_machine, look_for_machine
from launcher.price import current_plan
from launcher.run import Attempt, Outcome, Run
from launcher.steps import Ended
from launcher.teardown import LOOKS, PATIENCE_SECONDS, tear_down
from pricing.offer import Market
from providers.base import AuthFailed, ContractBroken, EndReason, ProviderError, Throttled, Unavailable
from tests.fake_machine import fake_offer, fake_traits
from tests.fake_world import Killed, Stage
from tests.launcher.moments import after, when
from tests.launcher.test_creating import codes, opened


def test_a_choice_that_the_rest_of_the_budget_does_not_carry_is_not_even_written_down(stage: Stage) -> None:
    world = stage.laptop()
    run, choice = opened(stage, world)
    run.budget_usd = choice.estimate.usd.low_usd / 10
    error = create(run, choice, current_plan(run, world), world)
    assert error is not None
    assert error.code == "over-budget"
    assert codes(stage) == ["over-budget"]
    assert run.attempts == []
    assert "create" not in stage.cloud.calls


def test_a_lost_answer_means_nothing_there_only_after_enough_looks_over_the_settle_window(stage: Stage) -> None:
    stage.provider.traits = replace(fake_traits(idempotent_create=False), settle_seconds=100)
    world = stage.laptop()
    run, choice = opened(stage, world)
    stage.cloud.before_call = lambda verb: stage.kill() if verb == "create" else None
    with pytest.raises(Killed):
        create_for(run, choice, 3600, world)
    stage.revive()
    for _ in range(LEAST_LOOKS + 3):  # often enough, too early
        assert not look_for_machine(run, run.attempt, world)
    assert run.attempt.gone_at is None
    assert len(world.ledger.open_intents(run.id)) == 1
    stage.clock.sleep(100)
    for _ in range(LOOKS - 1):  # a list may have a gap just then
        assert not look_for_machine(run, run.attempt, world)
        assert run.attempt.gone_at is None
    look_for_machine(run, run.attempt, world)
    assert run.attempt.never_was
    assert run.attempt.gone_at == stage.clock()
    assert world.ledger.open_intents(run.id) == ()


def test_the_settle_window_alone_does_not_prove_that_there_is_nothing(stage: Stage) -> None:
    stage.provider.traits = fake_traits(idempotent_create=False)
    world = stage.laptop()
    run, choice = opened(stage, world)
    stage.cloud.before_call = lambda verb: stage.kill() if verb == "create" else None
    with pytest.raises(Killed):
        create_for(run, choice, 3600, world)
    stage.revive()
    stage.clock.sleep(1000)
    for _ in range(4):  # literally: fewer looks prove less
        look_for_machine(run, run.attempt, world)
        assert run.attempt.gone_at is None
    look_for_machine(run, run.attempt, world)
    assert run.attempt.gone_at is not None


def test_a_cloud_that_does_not_say_is_asked_for_as_long_as_patience_lasts(stage: Stage) -> None:
    """To its last second: a look that is due just then is made."""
    world = stage.laptop()
    run, choice = opened(stage, world)
    assert create_for(run, choice, 3600, world) is None
    run.attempt.instance = None
    stage.provider.lies.reads_down = 10**6
    stage.cloud.calls.clear()
    with pytest.raises(Ended) as caught:
        find_machine(run, replace(world, sleep=lambda seconds: stage.clock.sleep(50)))
    assert caught.value.ending.code == "create-unclear"
    assert stage.cloud.calls.count("list") == PATIENCE_SECONDS / 50 + 2


@pytest.mark.parametrize("error", [Unavailable("no usable answer"), Throttled("slow down")])
def test_a_list_that_got_no_answer_is_no_look_in_vain(stage: Stage, error: ProviderError) -> None:
    world = stage.laptop()
    run, choice = opened(stage, world)
    assert create_for(run, choice, 3600, world) is None
    run.attempt.instance = None

    def down(verb: str) -> None:
        raise error

    stage.cloud.before_call = down
    assert not look_for_machine(run, run.attempt, world)
    assert run.attempt.looks == 0


def test_a_machine_that_is_found_by_its_nonce_has_been_seen(stage: Stage) -> None:
    world = stage.laptop()
    run, choice = opened(stage, world)
    assert create_for(run, choice, 3600, world) is None
    run.attempt.instance = None
    assert look_for_machine(run, run.attempt, world)
    assert world.ledger.load(run.id).attempt.seen_at == stage.clock()
    assert run.attempt.instance is not None


@pytest.mark.parametrize("error", [AuthFailed("no such key"), ContractBroken("no such field")])
def test_a_list_that_is_refused_says_nothing_about_the_machine_of_a_lost_answer(
    stage: Stage, error: ProviderError
) -> None:
    stage.provider.traits = fake_traits(idempotent_create=False)
    stage.provider.lies.create_lost_after = 1
    refused: list[str] = []

    def once(verb: str) -> None:
        if verb == "list" and not refused:
            refused.append(verb)
            raise error

    stage.cloud.before_call = once
    assert stage.launch().outcome is Outcome.SUCCEEDED
    assert refused
    assert len(stage.cloud.machines()) == 1
    stage.all_quiet()


@pytest.mark.parametrize("moment", ["before close_intent", "after close_intent"])
def test_a_death_between_the_note_that_nothing_came_and_the_end_of_the_intent_leaves_neither(
    stage: Stage, moment: str
) -> None:
    stage.provider.lies.refuse(Unavailable("try again later"), times=99)

    def die(name: str) -> None:
        if name == moment:
            stage.kill()

    stage.at_point = die
    world = stage.laptop()
    run, choice = opened(stage, world)
    with pytest.raises(Killed):
        create_for(run, choice, 3600, world)
    stage.revive()
    books = stage.laptop().ledger
    assert books.load(run.id).attempt.gone_at is None
    assert len(books.open_intents(run.id)) == 1


def _leaps_by_a_day(stage: Stage, *, after_seconds: float) -> None:
    """From then on the clock that our processes see shows tomorrow; the provider's goes on."""
    at = stage.clock() + timedelta(seconds=after_seconds)
    stage.now = lambda: stage.clock() + timedelta(days=stage.clock() >= at)


def _died_before_the_answer(stage: Stage) -> Run:
    """A run whose machine was made, and whose process died over the answer."""
    world = stage.laptop()
    run, choice = opened(stage, world)
    stage.at_point = lambda name: stage.kill() if name == "after create" else None
    with pytest.raises(Killed):
        create_for(run, choice, 3600, world)
    stage.at_point = lambda name: None
    stage.revive()
    return run


def _listed_late(stage: Stage) -> None:
    stage.provider.traits = replace(fake_traits(idempotent_create=False), settle_seconds=180)
    stage.provider.lies.visible_after_seconds = stage.provider.lies.early_not_found_seconds = 160


def test_a_clock_that_is_put_forward_while_we_look_has_not_waited_for_the_settle_window(stage: Stage) -> None:
    _listed_late(stage)
    stage.provider.lies.create_lost_after = 1
    _leaps_by_a_day(stage, after_seconds=45)
    world = stage.laptop()
    run, choice = opened(stage, world)
    assert create_for(run, choice, 3600, world) is None  # not "there is none"
    assert run.attempt.instance is not None
    assert run.attempt.gone_at is None


def test_nor_has_it_while_an_end_is_proven(stage: Stage) -> None:
    _listed_late(stage)
    run = _died_before_the_answer(stage)
    _leaps_by_a_day(stage, after_seconds=15)
    world = stage.laptop()
    tear_down(world.ledger.load(run.id), world)
    assert stage.cloud.machines()
    assert stage.cloud.alive() == ()


def test_a_machine_that_may_have_lived_while_this_computer_slept_is_not_held_to_have_never_been(stage: Stage) -> None:
    _listed_late(stage)
    run = _died_before_the_answer(stage)

    def sleep_for_days() -> None:
        stage.clock.sleep(3 * 86400)
        assert not stage.cloud.alive()  # by its own deadline
        stage.cloud.truth.clear()  # what ended is not listed for long

    when(stage, after(stage, 45), sleep_for_days)
    world = stage.laptop()
    run = world.ledger.load(run.id)
    assert not find_machine(run, world)
    assert not run.attempt.never_was
    assert run.attempt.seconds(stage.clock()) >= 3600


def test_turns_that_are_all_slow_use_up_patience_and_prove_nothing(stage: Stage) -> None:
    world = stage.laptop()
    run, choice = opened(stage, world)
    assert create_for(run, choice, 3600, world) is None
    attempt: Attempt = run.attempt
    awake, began = Awake(attempt, world), stage.clock()
    for turn in range(1, 4):
        stage.clock.sleep(TURN_SECONDS + 1)
        assert awake.now() - began - awake.leapt == timedelta(seconds=TURN_SECONDS * turn)
    assert attempt.unanswered_seconds(stage.clock()) <= TURN_SECONDS


def test_the_twin_of_a_call_without_an_answer_is_in_the_books_as_soon_as_both_are_seen(folder: Path) -> None:
    stage = Stage(folder, (fake_offer(market=Market.ON_DEMAND),), traits=fake_traits(idempotent_create=False))
    run, world = _died_before_the_answer(stage), stage.laptop()
    stage.cloud.truth["m-0002"] = replace(stage.cloud.truth["m-0001"], id="m-0002")
    stage.clock.sleep(600)
    assert find_machine(run, world)
    for machine in stage.cloud.machines():
        machine.end(stage.clock(), EndReason.FAILED)
    assert books.spent_usd(run, stage.clock()) >= stage.cloud.billed_usd()
