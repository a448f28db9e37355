"""The end of a machine: asked for, looked for, read, proven, also where the provider shows it by another door."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from launcher import flow
from launcher.errors import Exit, LaunchError
from launcher.events import Warned
from launcher.interrupt import Interrupted
from launcher.run import Outcome, State
from launcher.teardown import ASK_AGAIN_SECONDS, LOOKS, NOT_SEEN_SECONDS, PATIENCE_SECONDS
from providers.base import Busy, EndReason, Instance, InstanceState, Leftover, Unavailable
from tests.fake_machine import fake_traits
from tests.fake_world import Killed, Stage, Work
from tests.launcher.moments import after, in_state, raising, when

SETTLE_SECONDS = 600.0


def teardown_warnings(stage: Stage) -> list[str]:
    return [event.text for event in stage.heard.of(Warned) if event.code == "teardown"]


def ending_began(stage: Stage) -> list[datetime]:
    """When the run began to end its machine; to be called before it does."""
    times: list[datetime] = []
    when(stage, in_state(stage, State.TERMINATING), lambda: times.append(stage.clock()))
    return times


def answers(*told: bool | None) -> Callable[[Instance], bool | None]:
    """One after the other; the last one for ever."""
    left = list(told)
    return lambda instance: left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize("verb", ["list", "get", "terminate"])
def test_an_answer_that_nobody_foresaw_keeps_no_machine(stage: Stage, verb: str) -> None:
    before, odd = stage.cloud.before_call, [ArithmeticError("1e999")] * 3

    def at(name: str) -> None:
        before(name)
        if name == verb and ending and odd:
            raise odd.pop()

    ending = ending_began(stage)
    before = stage.cloud.before_call
    stage.cloud.before_call = at
    receipt = stage.launch()
    assert odd == []
    assert receipt.terminated.confirmed
    stage.all_quiet()


# Another door


def test_a_machine_that_another_door_still_shows_is_asked_again_and_that_is_said(stage: Stage) -> None:
    stage.provider.still_there = answers(True, True, False)
    receipt = stage.launch()
    assert receipt.terminated.confirmed
    assert len(teardown_warnings(stage)) == 2
    assert "m-0001 is not listed any more, and still shown" in teardown_warnings(stage)[0]
    assert stage.cloud.calls.count("terminate") == 3
    assert receipt.terminated.looks == LOOKS
    stage.all_quiet()


def test_a_machine_that_another_door_shows_for_ever_is_a_loud_end(stage: Stage) -> None:
    stage.provider.still_there = lambda instance: True
    with pytest.raises(LaunchError) as caught:
        stage.launch()
    assert caught.value.exit_code is Exit.MAY_BE_RUNNING
    assert "m-0001" in caught.value.message
    assert stage.laptop().ledger.find(None).state is State.TERMINATING


@pytest.mark.parametrize(
    "door", [lambda instance: None, lambda instance: False, raising(Unavailable("no answer"))],
    ids=["there is none", "it shows nothing", "it does not answer"],
)  # fmt: skip
def test_a_machine_that_no_other_door_shows_is_gone(stage: Stage, door: Callable[[Instance], bool | None]) -> None:
    stage.provider.still_there = door
    receipt = stage.launch()
    assert receipt.terminated.confirmed
    assert teardown_warnings(stage) == []
    assert stage.cloud.calls.count("terminate") == 1


def test_the_other_door_is_asked_only_once_the_first_two_agree(stage: Stage) -> None:
    asked: list[str] = []

    def door(instance: Instance) -> bool:
        asked.append(instance.id)
        return False

    stage.provider.still_there = door
    stage.launch()
    assert asked == ["m-0001"]


# What is asked, and when it was over


@pytest.mark.parametrize("state", [InstanceState.STOPPED, InstanceState.UNHEALTHY, InstanceState.UNKNOWN])
def test_a_machine_that_does_not_run_any_more_is_ended_like_one_that_does(stage: Stage, state: InstanceState) -> None:
    def shown(instance: Instance) -> Instance:
        return replace(instance, state=state) if instance.state is InstanceState.RUNNING else instance

    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, in_state(stage, State.TERMINATING), lambda: setattr(stage.provider.lies, "shown_as", shown))
    receipt = flow.carry(run, world)
    assert receipt.terminated.confirmed
    assert stage.cloud.machines()[0].reason is EndReason.ASKED
    stage.all_quiet()


def test_billing_is_over_when_the_provider_first_says_that_the_machine_is_ending(stage: Stage) -> None:
    stage.provider.lies.linger_seconds = 120
    began = ending_began(stage)
    stage.launch()
    attempt = stage.laptop().ledger.load("brave-otter-0001").attempt
    assert attempt.ended_at is not None
    assert attempt.gone_at is not None
    assert (attempt.ended_at - began[0]).total_seconds() < 5
    assert (attempt.gone_at - attempt.ended_at).total_seconds() > 100


def test_a_machine_that_was_ending_and_runs_again_is_billed_on(stage: Stage) -> None:
    """A terminate that is accepted and ignored, by a provider that shows its end for a while all the same."""
    stage.provider.lies.deaf_terminates = 1
    lied: list[datetime] = []

    def shown(instance: Instance) -> Instance:
        lied.append(stage.clock())
        is_lie = stage.cloud.calls.count("terminate") == 1 and (lied[-1] - lied[0]).total_seconds() < 30
        return replace(instance, state=InstanceState.ENDING) if is_lie else instance

    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, in_state(stage, State.TERMINATING), lambda: setattr(stage.provider.lies, "shown_as", shown))
    receipt = flow.carry(run, world)
    ended_at = stage.laptop().ledger.load(run.id).attempt.ended_at
    assert ended_at is not None
    assert (ended_at - lied[0]).total_seconds() >= 30
    assert stage.cloud.calls.count("terminate") == 2
    assert receipt.spent_usd >= stage.cloud.billed_usd()
    stage.all_quiet()


def test_a_machine_that_is_merely_not_seen_ended_at_the_first_of_the_looks_that_agree(stage: Stage) -> None:
    stage.provider.lies.linger_seconds = stage.provider.lies.forgotten_seconds = 0
    began = ending_began(stage)
    stage.launch()
    attempt = stage.laptop().ledger.load("brave-otter-0001").attempt
    assert attempt.ended_at is not None
    assert attempt.gone_at is not None
    assert (attempt.gone_at - attempt.ended_at).total_seconds() == (LOOKS - 1) * NOT_SEEN_SECONDS
    assert (attempt.ended_at - began[0]).total_seconds() < 2


def test_a_look_that_shows_it_again_begins_the_series_anew(stage: Stage) -> None:
    stage.provider.lies.linger_seconds = stage.provider.lies.forgotten_seconds = 0
    stage.provider.lies.deaf_terminates = 1
    hidden: list[datetime] = []

    def hide_for_one_look(verb: str) -> None:
        if verb == "terminate":
            hidden.append(stage.clock())
            stage.provider.lies.list_gaps = 1
            stage.provider.lies.early_not_found_seconds = 10**6

    stage.cloud.after_call = hide_for_one_look
    stage.launch()
    attempt = stage.laptop().ledger.load("brave-otter-0001").attempt
    assert attempt.ended_at is not None
    assert (attempt.ended_at - hidden[0]).total_seconds() >= NOT_SEEN_SECONDS
    assert not stage.cloud.alive()


@pytest.mark.parametrize("lies", [{"lost_terminates": 2}, {"deaf_terminates": 3}])
def test_a_terminate_that_did_nothing_for_sure_is_repeated_but_not_in_a_tight_loop(
    stage: Stage, lies: dict[str, int]
) -> None:
    times: list[datetime] = []
    for knob, count in lies.items():
        setattr(stage.provider.lies, knob, count)
    stage.cloud.after_call = lambda verb: times.append(stage.clock()) if verb == "terminate" else None
    stage.launch()
    gaps = [(later - earlier).total_seconds() for earlier, later in pairwise(times)]
    assert all(gap >= ASK_AGAIN_SECONDS / 2 for gap in gaps)
    stage.all_quiet()


# How long not to see it proves nothing


def _seen_then_forgotten(folder: Path) -> Stage:
    """At a provider where a lost create answer settles slowly, and an ended machine is forgotten at once."""
    stage = Stage(folder, traits=replace(fake_traits(idempotent_create=False), settle_seconds=SETTLE_SECONDS))
    stage.provider.lies.linger_seconds = stage.provider.lies.forgotten_seconds = 0
    return stage


def test_a_machine_that_was_seen_once_needs_no_settle_window(folder: Path) -> None:
    stage = _seen_then_forgotten(folder)
    stage.site.work = Work(steps=1, step_seconds=1, install_seconds=1, model_seconds=1, evaluate_seconds=1)
    began = stage.clock()
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED
    assert (stage.clock() - began).total_seconds() < SETTLE_SECONDS / 4


def test_a_machine_that_nothing_shows_any_more_is_still_told_to_end_by_its_id(stage: Stage) -> None:
    """It was seen, so that not being shown counts as its end; no proof that it went, and one call costs nothing."""

    def hidden() -> None:
        stage.provider.lies.visible_after_seconds = stage.provider.lies.early_not_found_seconds = 10.0**7

    when(stage, in_state(stage, State.TERMINATING), hidden)
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED
    assert stage.cloud.calls.count("terminate") == 1
    stage.all_quiet()


def test_a_machine_that_was_never_seen_is_looked_for_over_the_whole_settle_window(folder: Path) -> None:
    stage = _seen_then_forgotten(folder)
    stage.provider.lies.visible_after_seconds = SETTLE_SECONDS - 30
    stage.provider.lies.early_not_found_seconds = SETTLE_SECONDS - 30
    world = stage.laptop()
    run = stage.open_run(world)
    stage.cloud.after_call = lambda verb: stage.kill() if verb == "create" else None
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    stage.cloud.after_call = lambda verb: None
    world = stage.laptop()
    world.ledger.ask_stop(run.id, "now")
    receipt = flow.carry(run, world)  # not "nothing was rented"
    assert receipt.outcome is Outcome.CANCELLED
    assert receipt.spent_usd >= stage.cloud.billed_usd()
    stage.all_quiet()


def test_a_provider_that_does_not_answer_proves_nothing_however_long(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    down = in_state(stage, State.TERMINATING)
    when(stage, down, lambda: setattr(stage.provider.lies, "reads_down", 10**6))
    began = ending_began(stage)
    with pytest.raises(LaunchError) as caught:
        flow.carry(run, world)
    assert caught.value.exit_code is Exit.MAY_BE_RUNNING
    assert PATIENCE_SECONDS < (stage.clock() - began[0]).total_seconds() < 1.5 * PATIENCE_SECONDS  # and once is enough


def test_an_unguarded_machine_that_stays_is_said_to_end_by_nobody_but_us(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(guarded=False))
    stage.provider.catalogue = tuple(replace(one, guarded=False) for one in stage.provider.catalogue)
    stage.provider.lies.deaf_terminates = 10**6
    with pytest.raises(LaunchError) as caught:
        stage.launch()
    assert "nothing ends it but us" in caught.value.message
    assert "at most" in caught.value.message


# What lies about beside it


def test_what_could_not_be_removed_stands_on_the_receipt(stage: Stage) -> None:
    left = Leftover(provider="fake", kind="group", id="sg-1", region="north-1", run_id="brave-otter-0001", billed=False)
    stage.cloud.volumes[left.id] = left

    def busy(verb: str) -> None:
        if verb == "remove":
            raise Busy("a machine still holds it")

    stage.cloud.before_call = busy
    assert stage.launch().leftovers == ("group sg-1 in north-1 (a machine still holds it)",)


def test_a_provider_that_does_not_say_what_is_left_is_unknown_and_not_clean(stage: Stage) -> None:
    def down(verb: str) -> None:
        if verb == "leftovers":
            raise Unavailable("no usable answer")

    stage.cloud.before_call = down
    assert stage.launch().leftovers == ("unknown: fake did not say what is left (no usable answer)",)


@pytest.mark.parametrize(("is_new", "told"), [(True, []), (False, ["these books know of no work of its job"])])
def test_a_bug_before_any_work_loses_nothing_that_these_books_could_know_of(
    stage: Stage, is_new: bool, told: list[str]
) -> None:
    """Who takes a run up may have older books than its machine; who begins it knows that there was no work."""
    when(stage, in_state(stage, State.BOOTING), raising(ZeroDivisionError("a bug")))
    world = stage.laptop()
    with pytest.raises(ZeroDivisionError):
        flow.carry(stage.open_run(world), world, is_new=is_new)
    texts = [event.text for event in stage.heard.of(Warned) if event.code == "ended-early"]
    assert [text.partition("; ")[2] for text in texts] == told
    stage.all_quiet()


def test_ctrl_c_while_the_machine_ends_is_told_and_changes_nothing(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    ends = in_state(stage, State.TERMINATING)
    pressed: list[float] = []

    def sleep(seconds: float) -> None:
        if ends("sleep") and not pressed:
            pressed.append(seconds)
            raise Interrupted
        world.sleep(seconds)

    receipt = flow.carry(run, replace(world, sleep=sleep), is_new=True)
    assert receipt.terminated.confirmed
    assert teardown_warnings(stage) == ["already ending the machine; Ctrl-C again leaves it to `launch reap`"]
    stage.all_quiet()


def test_a_twin_that_is_first_listed_while_the_machine_ends_goes_too_and_is_paid_for(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(idempotent_create=False))

    def delivered_twice() -> None:
        stage.cloud.truth["m-0002"] = replace(stage.cloud.truth["m-0001"], id="m-0002")

    when(stage, in_state(stage, State.TERMINATING), delivered_twice)
    receipt = stage.launch()
    bill = stage.cloud.billed_usd()
    assert len(stage.cloud.machines()) == 2
    assert bill <= receipt.spent_usd <= 2 * bill
    assert stage.cloud.alive() == ()


def test_a_machine_that_was_alone_is_paid_for_once(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(idempotent_create=False))
    receipt = stage.launch()
    bill = stage.cloud.billed_usd()
    assert bill <= receipt.spent_usd <= bill + Decimal("0.01")


def test_a_rate_that_is_first_seen_while_the_machine_ends_is_in_the_books(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    stage.provider.lies.reads_down = 0
    when(stage, after(stage, 60), lambda: setattr(stage.provider.lies, "reads_down", 10**6))
    when(stage, after(stage, 60), lambda: stage.cloud.reprice("m-0001", Decimal("0.99")))
    when(stage, in_state(stage, State.TERMINATING), lambda: setattr(stage.provider.lies, "reads_down", 0))
    receipt = flow.carry(run, world)
    assert receipt.spent_usd >= stage.cloud.billed_usd()
