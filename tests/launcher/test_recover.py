"""`launch reap`: whom it asks, what it ends, and what a timer on another machine may end."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from launcher import flow, reaping, recover
from launcher.books import spent_usd
from launcher.errors import Exit
from launcher.events import Warned
from launcher.recover import OVERDUE_SECONDS, OVERDUE_SHARE, Reaped
from launcher.run import Outcome, Run, State
from launcher.world import World
from pricing.offer import Market
from providers.base import (
    AuthFailed,
    Instance,
    InstanceState,
    NoCredentials,
    NotSetUp,
    Provider,
    ProviderError,
    Unavailable,
)
from tests.fake_machine import fake_offer, fake_traits
from tests.fake_world import Killed, Stage, Work
from tests.launcher.moments import in_state, started_by_who_died, when


def killed_in(stage: Stage, state: State) -> Run:
    """A run whose process died there."""
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, in_state(stage, state, "remote"), stage.kill)
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    return run


def where(world: World, errors: Mapping[str, ProviderError]) -> World:
    """The same world, in which some providers cannot be connected."""

    def provider(name: str) -> Provider:
        if name in errors:
            raise errors[name]
        return world.provider(name)

    return replace(world, provider_names=(*errors, *world.provider_names), provider=provider)


KEYLESS = {"keyless": NoCredentials("no key in KEYLESS_KEY", fix="export KEYLESS_KEY=...")}


# Whom it asks


def test_a_provider_without_credentials_where_nothing_can_be_is_no_failure(stage: Stage) -> None:
    found = recover.reap(where(stage.laptop(), KEYLESS))
    assert (found.asked, found.not_used, found.unknown) == (("fake",), ("keyless",), ())
    assert reaping.failure(found) is None
    assert "not asked    keyless: no credentials" in reaping.text(found)


def test_a_provider_without_credentials_that_was_named_is_a_failure(stage: Stage) -> None:
    found = recover.reap(where(stage.laptop(), KEYLESS), ("keyless",))
    assert found.unknown == ("keyless: no key in KEYLESS_KEY",)
    failure = reaping.failure(found)
    assert failure is not None
    assert (failure.exit_code, failure.code) == (Exit.PROVIDER, "provider-unavailable")
    assert "no key in KEYLESS_KEY" in failure.message


def test_a_provider_without_credentials_where_a_run_may_have_a_machine_is_a_failure(stage: Stage) -> None:
    stage.site.work = Work(steps=400)
    killed_in(stage, State.RUNNING)
    gone = {"fake": NoCredentials("the key is not set any more")}
    world = stage.laptop()
    found = recover.reap(replace(where(world, gone), provider_names=("fake",)))
    assert found.unknown == ("fake: the key is not set any more",)
    failure = reaping.failure(found)
    assert failure is not None
    assert failure.exit_code is Exit.PROVIDER


def test_a_provider_where_all_runs_have_ended_is_not_in_use_any_more(stage: Stage) -> None:
    stage.launch()
    gone = {"fake": NoCredentials("the key is not set any more")}
    found = recover.reap(replace(where(stage.laptop(), gone), provider_names=("fake",)))
    assert found.not_used == ("fake",)


def test_where_nobody_at_all_could_be_asked_it_is_a_failure(stage: Stage) -> None:
    found = Reaped(not_used=("a", "b"))
    failure = reaping.failure(found)
    assert failure is not None
    assert failure.exit_code is Exit.PROVIDER
    assert "nobody was asked" in reaping.text(found)


@pytest.mark.parametrize(
    "error", [AuthFailed("expired"), Unavailable("no usable answer"), NotSetUp("providers.odd.x is no setting")]
)
def test_a_provider_that_does_not_answer_is_a_failure_although_the_others_did(
    stage: Stage, error: ProviderError
) -> None:
    found = recover.reap(where(stage.laptop(), {"odd": error}))
    assert found.asked == ("fake",)
    assert found.unknown == (f"odd: {error.text}",)
    failure = reaping.failure(found)
    assert failure is not None
    assert failure.exit_code is Exit.PROVIDER


def test_only_the_providers_that_are_named_are_asked(stage: Stage) -> None:
    other = stage.also("other", fake_offer())
    killed_in(stage, State.SHIPPING)
    other.lies.reads_down = 10**6
    found = recover.reap(stage.laptop(), ("fake",))
    assert found.asked == ("fake",)
    assert [one.id for one in found.ended] == ["m-0001"]
    assert other.fired == []
    stage.all_quiet()


def test_a_run_at_a_provider_that_is_not_named_is_left_as_it_is(stage: Stage) -> None:
    stage.also("other", fake_offer())
    killed_in(stage, State.SHIPPING)
    found = recover.reap(stage.laptop(), ("other",))
    assert (found.asked, found.ended) == (("other",), ())
    assert len(stage.cloud.alive()) == 1
    assert stage.laptop().ledger.find(None).state is State.SHIPPING


# What it ends


def test_reap_believes_an_end_only_once_the_other_door_does_not_show_the_machine_any_more(stage: Stage) -> None:
    killed_in(stage, State.SHIPPING)
    for file in (stage.folder / "home").glob("ledger.sqlite*"):
        file.unlink()
    asked_before: list[int] = []

    def door(instance: Instance) -> bool:
        asked_before.append(stage.cloud.calls.count("terminate"))
        return len(asked_before) == 1

    stage.provider.still_there = door
    found = recover.reap(stage.laptop())
    assert [one.id for one in found.ended] == ["m-0001"]
    assert len(asked_before) == 2
    assert asked_before[1] > asked_before[0]  # and it was told to end once more


def test_a_machine_that_stays_is_told_as_still_there_with_exit_7(stage: Stage) -> None:
    killed_in(stage, State.SHIPPING)
    for file in (stage.folder / "home").glob("ledger.sqlite*"):
        file.unlink()
    stage.provider.lies.deaf_terminates = 10**6
    found = recover.reap(stage.laptop())
    assert [one.id for one in found.still_there] == ["m-0001"]
    failure = reaping.failure(found)
    assert failure is not None
    assert (failure.exit_code, failure.code) == (Exit.MAY_BE_RUNNING, "may-be-running")
    assert "STILL THERE  m-0001 (fake north-1a, f1.small, run brave-otter-0001)" in reaping.text(found)


def test_a_create_whose_answer_got_lost_is_closed_by_the_machine_that_reap_finds(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(idempotent_create=False))
    world = stage.laptop()
    run = stage.open_run(world)
    stage.cloud.after_call = lambda verb: stage.kill() if verb == "create" else None
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    stage.cloud.after_call = lambda verb: None
    assert len(stage.laptop().ledger.open_intents(run.id)) == 1
    began = stage.clock()
    found = recover.reap(stage.laptop())
    assert [one.id for one in found.ended] == ["m-0001"]
    assert (stage.clock() - began).total_seconds() < stage.provider.traits.settle_seconds
    stage.all_quiet()


# A run whose machine is gone


def test_reap_names_a_run_that_may_go_on_and_has_no_machine_and_rents_none_for_it(stage: Stage) -> None:
    run = killed_in(stage, State.RUNNING)
    stage.cloud.preempt("m-0001")
    stage.clock.sleep(300)
    found = recover.reap(stage.laptop())
    words = "fake lists no machine of it (launch attach goes on, launch stop ends it)"
    assert found.left_alone == (f"{run.id}: {words}",)
    assert (found.taken_back, len(stage.cloud.machines())) == ((), 1)


def test_reap_says_of_a_run_that_it_takes_back_only_that(stage: Stage) -> None:
    run = killed_in(stage, State.RUNNING)
    found = recover.reap(stage.laptop())
    assert (found.taken_back, found.left_alone) == ((run.id,), ())


# The guard on another machine

DAY = 24 * 3600.0


def elsewhere(folder: Path, stage: Stage) -> World:
    """Another computer, which has neither the ledger nor the runs."""
    home = folder / "elsewhere"
    away = Stage(folder / "other-computer")
    return replace(away.laptop(), home=home, provider_names=("fake",), provider=lambda name: stage.provider,
                   now=stage.clock, sleep=stage.clock.sleep)  # fmt: skip


def left_alone(folder: Path, **traits: bool) -> Stage:
    """A computer that died while its machine worked."""
    stage = Stage(folder / "first", traits=fake_traits(**traits))
    stage.site.work = Work(steps=10_000, step_seconds=30)
    stage.provider.catalogue = tuple(
        replace(one, guarded=stage.provider.traits.guarded) for one in stage.provider.catalogue
    )
    killed_in(stage, State.RUNNING)
    return stage


def deadline_in(stage: Stage) -> float:
    """Seconds from now to the deadline that the machine carries."""
    (machine,) = stage.cloud.alive()
    return (machine.request.deadline - stage.clock()).total_seconds()


def life_seconds(stage: Stage) -> float:
    (machine,) = stage.cloud.alive()
    return (machine.request.deadline - machine.born_at).total_seconds()


def test_a_machine_past_the_deadline_that_it_carries_is_ended_from_elsewhere(folder: Path) -> None:
    stage = left_alone(folder, guarded=False)
    stage.clock.sleep(deadline_in(stage) + 2 * DAY)
    found = recover.reap_overdue(elsewhere(folder, stage))
    assert [one.id for one in found.ended] == ["m-0001"]
    assert found.asked == ("fake",)
    assert not stage.cloud.alive()


def test_a_machine_may_stay_some_time_longer_because_its_deadline_may_have_been_moved(folder: Path) -> None:
    stage = left_alone(folder, guarded=False)
    margin = max(OVERDUE_SECONDS, OVERDUE_SHARE * life_seconds(stage))
    stage.clock.sleep(deadline_in(stage) + margin - 1)
    found = recover.reap_overdue(elsewhere(folder, stage))
    assert found.ended == ()
    assert found.left_alone[0].startswith("brave-otter-0001: m-0001 may run until ")
    assert reaping.failure(found) is None
    stage.clock.sleep(2)
    assert [one.id for one in recover.reap_overdue(elsewhere(folder, stage)).ended] == ["m-0001"]


def test_the_margin_is_a_quarter_of_an_hour_or_a_twentieth_of_a_long_life(stage: Stage) -> None:
    world = stage.laptop()

    def machine(hours: float, late_seconds: float) -> Instance:
        offer = fake_offer()
        deadline = stage.clock() - timedelta(seconds=late_seconds)
        return Instance(
            provider="fake", id="m", region=offer.region, zone=offer.zone, instance_type=offer.instance_type,
            market=offer.market, state=InstanceState.RUNNING, run_id="r", attempt=1, nonce="n",
            created_at=deadline - timedelta(hours=hours), deadline=deadline,
        )  # fmt: skip

    for hours, margin in ((1, 900), (5, 900), (20, 3600)):
        assert recover._why_not_overdue(machine(hours, margin), world)
        assert not recover._why_not_overdue(machine(hours, margin + 1), world)


def test_a_machine_that_does_not_say_when_it_should_end_is_an_alarm_and_not_ended(folder: Path) -> None:
    stage = left_alone(folder, guarded=False)
    stage.provider.lies.shown_as = lambda instance: replace(instance, deadline=None)
    stage.clock.sleep(30 * DAY)
    found = recover.reap_overdue(elsewhere(folder, stage))
    assert found.ended == ()
    assert "does not say when it should end" in found.unknown[0]
    assert reaping.failure(found) is not None  # the timer must raise its voice: nobody else will
    assert len(stage.cloud.alive()) == 1


def test_where_machines_end_themselves_nobody_is_even_asked(folder: Path) -> None:
    stage = left_alone(folder, guarded=True)
    stage.cloud.calls.clear()
    found = recover.reap_overdue(elsewhere(folder, stage))
    assert stage.cloud.calls == []
    assert found == Reaped()
    named = recover.reap_overdue(elsewhere(folder, stage), ("fake",))
    assert named.left_alone == ("fake: its machines end themselves",)
    assert reaping.failure(named) is None


def test_a_timer_where_there_is_only_a_guarded_provider_does_not_fail_every_ten_minutes(folder: Path) -> None:
    stage = left_alone(folder, guarded=True)
    found = recover.reap_overdue(elsewhere(folder, stage))
    assert reaping.failure(found) is None


def test_machines_that_cost_nothing_are_nobody_s_business(folder: Path) -> None:
    stage = left_alone(folder, guarded=False)
    stage.provider.traits = replace(stage.provider.traits, bills=False)
    stage.clock.sleep(30 * DAY)
    assert recover.reap_overdue(elsewhere(folder, stage)).ended == ()


def test_a_timer_that_has_the_keys_of_one_provider_alone_is_content(folder: Path) -> None:
    stage = left_alone(folder, guarded=False)
    world = where(elsewhere(folder, stage), KEYLESS)
    found = recover.reap_overdue(world)
    assert (found.asked, found.not_used) == (("fake",), ("keyless",))
    assert reaping.failure(found) is None
    assert recover.reap_overdue(world, ("keyless",)).unknown == ("keyless: no key in KEYLESS_KEY",)


def test_a_timer_ends_no_machine_of_somebody_else(folder: Path) -> None:
    stage = left_alone(folder, guarded=False)
    stage.clock.sleep(30 * DAY)
    stage.provider.owner = "somebody else"
    assert recover.reap_overdue(elsewhere(folder, stage)).ended == ()
    assert len(stage.cloud.alive()) == 1


def test_a_machine_that_does_not_end_is_told_by_the_timer_with_exit_7(folder: Path) -> None:
    stage = left_alone(folder, guarded=False)
    stage.clock.sleep(30 * DAY)
    stage.provider.lies.deaf_terminates = 10**6
    found = recover.reap_overdue(elsewhere(folder, stage))
    failure = reaping.failure(found)
    assert failure is not None
    assert failure.exit_code is Exit.MAY_BE_RUNNING


def test_a_provider_that_does_not_answer_the_timer_is_told_with_exit_4(folder: Path) -> None:
    stage = left_alone(folder, guarded=False)
    stage.provider.lies.reads_down = 1
    found = recover.reap_overdue(elsewhere(folder, stage))
    assert found.unknown == ("fake: no usable answer",)
    failure = reaping.failure(found)
    assert failure is not None
    assert failure.exit_code is Exit.PROVIDER


def test_a_stop_that_is_asked_of_a_job_that_who_died_had_started_saves_and_pulls_first(stage: Stage) -> None:
    stage.site.work = Work(steps=60)
    run_id = started_by_who_died(stage)
    stage.clock.sleep(100)
    world = stage.laptop()
    world.ledger.ask_stop(run_id, "save")
    assert flow.attach(run_id, world).outcome is Outcome.CANCELLED
    step = stage.site.started["m-0001"].steps_done(stage.clock())
    assert 0 < step < 60
    assert world.ledger.checkpoint(run_id) == f"step-{step}"
    stage.all_quiet()


def test_a_job_that_was_only_about_to_be_started_is_not_started_for_a_run_that_is_to_stop(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    books = stage.laptop().ledger

    def die(name: str) -> None:
        if name == "after save_attempt" and books.load(run.id).attempt.job_at is not None:
            stage.kill()

    stage.at_point = die
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.at_point = lambda name: None
    stage.revive()
    world = stage.laptop()
    world.ledger.ask_stop(run.id, "save")
    assert flow.attach(run.id, world).outcome is Outcome.CANCELLED
    assert stage.site.started == {}
    stage.all_quiet()


def test_reap_names_a_machine_of_which_no_books_know_before_it_is_told_to_end(stage: Stage) -> None:
    killed_in(stage, State.RUNNING)
    for path in (stage.folder / "home").glob("ledger.sqlite*"):
        path.unlink()
    when(stage, lambda verb: not stage.cloud.alive(), stage.kill)
    with pytest.raises(Killed):
        recover.reap(stage.laptop())
    (said,) = [one.text for one in stage.heard.of(Warned) if one.code == "unknown-machine"]
    assert said == "m-0001 (fake) is of brave-otter-0001, which is not in these books: ending it"


def _put_back(stage: Stage, run: Run) -> None:
    """The ledger as it was before anything was rented, from a backup; the machine that followed works on."""
    books = stage.folder / "home" / "ledger.sqlite"
    with closing(sqlite3.connect(books)) as db:
        for table in ("attempts", "intents"):
            db.execute(f"DELETE FROM {table}")
        db.execute("UPDATE runs SET state='PLANNED' WHERE id=?", (run.id,))
        db.commit()


def test_attach_with_a_ledger_that_was_put_back_takes_its_own_machine_in_and_rents_no_second_one(stage: Stage) -> None:
    run = killed_in(stage, State.RUNNING)
    _put_back(stage, run)
    assert flow.attach(run.id, stage.laptop()).outcome is Outcome.SUCCEEDED
    assert [one.code for one in stage.heard.of(Warned)].count("unknown-machine") == 1
    assert len(stage.cloud.machines()) == 1
    stage.all_quiet()


def test_a_ledger_that_was_put_back_does_not_say_terminated_while_the_machine_runs(stage: Stage) -> None:
    run = killed_in(stage, State.RUNNING)
    _put_back(stage, run)
    stage.clock.sleep(flow.BEGIN_SECONDS + 1)
    recover.settle_open(stage.laptop())
    assert not stage.cloud.alive()
    stage.all_quiet()


def test_books_without_a_machine_are_not_closed_while_the_cloud_cannot_be_asked(stage: Stage) -> None:
    run = killed_in(stage, State.RUNNING)
    _put_back(stage, run)
    stage.clock.sleep(flow.BEGIN_SECONDS + 1)
    stage.provider.lies.reads_down = 1 + flow.ASKS
    recover.reap(stage.laptop())
    assert stage.laptop().ledger.load(run.id).state is not State.TERMINATED
    recover.reap(stage.laptop())
    assert not stage.cloud.alive()
    stage.all_quiet()


def test_a_twin_that_reap_ends_is_paid_for_in_the_books_of_its_run(folder: Path) -> None:
    steady = fake_offer(market=Market.ON_DEMAND)  # an hour of it costs no more at worst
    stage = Stage(folder, (steady,), traits=fake_traits(idempotent_create=False))
    run = killed_in(stage, State.BOOTING)
    stage.cloud.truth["m-0002"] = replace(stage.cloud.truth["m-0001"], id="m-0002")
    stage.clock.sleep(600)
    recover.reap(stage.laptop())
    assert stage.cloud.alive() == ()
    bill = stage.cloud.billed_usd()
    assert bill <= spent_usd(stage.laptop().ledger.load(run.id), stage.clock()) <= bill * 5 / 4


def test_a_job_that_was_started_by_who_died_works_on_while_its_cloud_does_not_answer(stage: Stage) -> None:
    run_id = started_by_who_died(stage)
    stage.provider.lies.reads_down = 10**6
    found = recover.reap(stage.laptop())
    assert found.unknown
    assert stage.laptop().ledger.load(run_id).state is State.RUNNING
    assert len(stage.cloud.alive()) == 1
    stage.provider.lies.reads_down = 0
    recover.reap(stage.laptop())
    assert stage.spawned == [run_id]
