"""What a hostile reviewer tried: a second machine, a forgotten one, a lost result, a lie, a hang, a bigger bill."""

import fcntl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from launcher import flow, recover
from launcher.errors import Exit, LaunchError
from launcher.events import StateChanged, Warned
from launcher.interrupt import Interrupted
from launcher.lock import is_carried, sole_writer
from launcher.look import machine_of
from launcher.run import MOST_ATTEMPTS, Outcome, State
from launcher.world import SteadyClock, World
from pricing.offer import Fees
from providers.base import NoCapacity, NotSetUp
from tests.fake_machine import FEES, fake_offer, fake_traits
from tests.fake_provider import FakeProvider
from tests.fake_world import Killed, Stage, Work, workload
from tests.launcher.moments import after, in_state, when

BUDGET = Decimal("0.60")


def _killed_at(folder: Path, point: int) -> Stage:
    stage = Stage(folder)
    stage.die_at = point
    with pytest.raises(Killed):
        stage.launch()
    stage.revive()
    return stage


def _state(stage: Stage) -> State:
    return stage.laptop().ledger.find(None).state


# Two for one run, or one left behind


def test_attach_after_a_kill_at_any_point_never_makes_a_second_machine(folder: Path) -> None:
    whole = Stage(folder / "whole")
    whole.launch()
    provisioned = whole.points.index("after create") + 12
    for point in [*range(provisioned), *range(provisioned, len(whole.points), 9)]:
        stage = _killed_at(folder / str(point), point)
        if stage.laptop().ledger.runs():
            flow.attach("brave-otter-0001", stage.laptop())
        assert len(stage.cloud.machines()) <= 1, whole.points[point]
        stage.all_quiet()


def test_attach_after_a_kill_between_the_two_notes_of_a_refusal_looks_in_peace(stage: Stage) -> None:
    stage.provider.lies.refuse(NoCapacity("none left"), instance_type="f1.small")
    _kill_before(stage, "close_intent")
    world = stage.laptop()
    run = stage.open_run(world)
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    stage.die_at = len(stage.points) + 3000
    assert flow.attach(run.id, stage.laptop()).outcome is Outcome.SUCCEEDED
    stage.all_quiet()


def _kill_before(stage: Stage, write: str) -> None:
    def at(name: str) -> None:
        if name == f"before {write}" and stage.points.count(name) == 1:
            stage.kill()

    stage.at_point = at


def test_the_settle_window_is_counted_from_the_last_create_call(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(idempotent_create=False))
    stage.provider.lies.throttled = 5
    stage.provider.lies.create_lost_after = 1
    stage.provider.lies.visible_after_seconds = 55
    assert stage.launch().outcome is Outcome.SUCCEEDED
    assert len(stage.cloud.machines()) == 1
    stage.all_quiet()


def test_teardown_too_counts_the_settle_window_from_the_last_create_call(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(idempotent_create=False))
    stage.provider.lies.throttled = 5
    stage.provider.lies.create_lost_after = 1
    stage.provider.lies.visible_after_seconds = 55
    world = stage.laptop()
    run = stage.open_run(world)
    stage.cloud.after_call = lambda verb: world.interrupt.ask() if verb == "create" else None
    with suppress(LaunchError):
        flow.carry(run, world)
    assert not stage.cloud.alive()


def test_a_machine_that_turns_up_far_too_late_is_ended_and_paid_for_in_the_books(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(idempotent_create=False))
    stage.provider.lies.create_lost_after = 1
    stage.provider.lies.visible_after_seconds = 200
    receipt = stage.launch()
    assert not stage.cloud.alive()
    assert len(stage.cloud.machines()) == 2
    assert receipt.spent_usd >= stage.cloud.billed_usd()


def test_reap_ends_a_late_machine_although_its_run_is_carried_with_another(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(idempotent_create=False))
    stage.site.work = Work(steps=100)
    stage.provider.lies.create_lost_after = 1
    stage.provider.lies.visible_after_seconds = 200
    found: list[recover.Reaped] = []
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, after(stage, 400), lambda: found.append(recover.reap(stage.laptop())))
    assert flow.carry(run, world).outcome is Outcome.SUCCEEDED
    assert [one.id for one in found[0].ended] == ["m-0001"]
    assert found[0].left_alone


def test_reap_asks_for_the_end_of_a_machine_before_it_believes_that_it_is_gone(stage: Stage) -> None:
    stage.die_at = 60
    with pytest.raises(Killed):
        stage.launch()
    stage.revive()
    for file in (stage.folder / "home").glob("ledger.sqlite*"):
        file.unlink()
    stage.provider.lies.early_not_found_seconds = 10_000
    when(stage, lambda verb: verb == "get", lambda: setattr(stage.provider.lies, "list_gaps", 3))
    recover.reap(stage.laptop())
    assert not stage.cloud.alive()


def test_reap_spaces_its_looks_where_a_machine_is_merely_not_seen(stage: Stage) -> None:
    stage.die_at = 60
    with pytest.raises(Killed):
        stage.launch()
    stage.revive()
    for file in (stage.folder / "home").glob("ledger.sqlite*"):
        file.unlink()
    stage.provider.lies.forgotten_seconds = 0
    stage.provider.lies.linger_seconds = 0
    began = stage.clock()
    recover.reap(stage.laptop())
    assert (stage.clock() - began).total_seconds() >= 10


def test_one_provider_that_cannot_even_be_set_up_does_not_keep_reap_from_the_others(stage: Stage) -> None:
    stage.die_at = 120
    with pytest.raises(Killed):
        stage.launch()
    stage.revive()
    for file in (stage.folder / "home").glob("ledger.sqlite*"):
        file.unlink()

    def provider(name: str) -> FakeProvider:
        if name == "broken":
            raise NotSetUp("providers.broken.color is no setting")
        return stage.provider

    found = recover.reap(replace(stage.laptop(), provider_names=("broken", "fake"), provider=provider))
    assert not stage.cloud.alive()
    assert found.unknown == ("broken: providers.broken.color is no setting",)


def test_a_provider_that_cannot_be_set_up_any_more_is_a_loud_end(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    broken: list[bool] = []

    def provider(name: str) -> FakeProvider:
        if broken:
            raise NotSetUp("providers.fake.color is no setting")
        return stage.provider

    when(stage, lambda verb: verb == "remote", lambda: broken.append(True))
    with pytest.raises(LaunchError) as caught:
        flow.carry(run, replace(world, provider=provider))
    assert caught.value.exit_code is Exit.MAY_BE_RUNNING


def test_a_bug_in_what_is_shown_does_not_keep_a_machine(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)

    class Broken:
        def tell(self, event: object) -> None:
            if isinstance(event, StateChanged) and event.state in (State.RUNNING, State.TERMINATING):
                raise KeyError("a bug in the display")

        def fail(self, error: LaunchError, run: str) -> None: ...

        def ask(self, question: str, *, default: bool) -> bool | None: ...

    with pytest.raises(KeyError):
        flow.carry(run, replace(world, console=Broken()))
    assert not stage.cloud.alive()


# Nothing is rented that nobody asked for


def _died_while_ending_a_preempted_machine(stage: Stage) -> None:
    stage.site.work = Work(steps=40)
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, after(stage, 250), lambda: stage.cloud.preempt("m-0001"))
    when(stage, in_state(stage, State.TERMINATING), stage.kill)
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    assert _state(stage) is State.TERMINATING


@pytest.mark.parametrize("command", ["settle", "reap", "stop", "stop now"])
def test_no_command_but_attach_rents_again_for_a_run_whose_carrier_died(stage: Stage, command: str) -> None:
    _died_while_ending_a_preempted_machine(stage)
    world = stage.laptop()
    match command:
        case "settle":
            recover.settle_open(world)
        case "reap":
            recover.reap(world)
        case _:
            recover.stop("brave-otter-0001", world, now=command == "stop now")
    assert stage.cloud.calls.count("create") == 1
    stage.all_quiet()


def test_stop_while_a_preempted_machine_ends_is_not_answered_with_a_new_machine(stage: Stage) -> None:
    stage.site.work = Work(steps=40)
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, after(stage, 250), lambda: stage.cloud.preempt("m-0001"))
    when(stage, in_state(stage, State.TERMINATING), lambda: recover.stop(run.id, stage.laptop(), now=False))
    flow.carry(run, world)
    assert stage.cloud.calls.count("create") == 1
    stage.all_quiet()


def test_stop_while_capacity_is_waited_for_rents_nothing(stage: Stage) -> None:
    stage.provider.lies.refuse(NoCapacity("none left"), times=4)
    world = stage.laptop()
    run = stage.open_run(world, wait_capacity_seconds=36_000.0)
    when(stage, lambda verb: verb == "offers", lambda: recover.stop(run.id, stage.laptop(), now=False))
    with pytest.raises(LaunchError) as caught:
        flow.carry(run, world)
    assert caught.value.exit_code is Exit.INTERRUPTED
    assert not stage.cloud.machines()
    stage.all_quiet()


def test_stop_while_a_machine_boots_ends_it_before_any_work(stage: Stage) -> None:
    stage.site.unreachable.add("m-0001")
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, in_state(stage, State.BOOTING), lambda: recover.stop(run.id, stage.laptop(), now=False))
    began = stage.clock()
    receipt = flow.carry(run, world)
    assert receipt.outcome is Outcome.CANCELLED
    assert (stage.clock() - began).total_seconds() < 60
    stage.all_quiet()


# Two processes at once


def test_attach_goes_by_the_ledger_as_it_is_once_it_holds_the_run(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    stale = stage.laptop().ledger.load(run.id)
    assert flow.carry(run, world).outcome is Outcome.SUCCEEDED
    assert flow.carry(stale, stage.laptop()).outcome is Outcome.SUCCEEDED
    assert len(stage.cloud.machines()) == 1


def test_a_run_that_is_only_just_written_down_is_not_taken_for_a_dead_one(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    recover.settle_open(stage.laptop())
    recover.reap(stage.laptop())
    assert _state(stage) is State.PLANNED
    assert flow.carry(run, world).outcome is Outcome.SUCCEEDED


def test_a_run_that_was_never_begun_is_closed_in_the_end(stage: Stage) -> None:
    stage.open_run(stage.laptop())
    stage.clock.sleep(3600)
    recover.settle_open(stage.laptop())
    stage.all_quiet()


def test_to_ask_whether_a_run_is_carried_does_not_get_in_the_way_of_who_begins_to_carry_it(folder: Path) -> None:
    asking = (folder / "lock").open("w")
    fcntl.flock(asking, fcntl.LOCK_SH)
    assert not is_carried(folder)
    with sole_writer(folder, lambda seconds: asking.close()):
        assert is_carried(folder)
    assert not is_carried(folder)


def test_a_ctrl_c_while_the_lock_is_waited_for_is_heard_by_what_follows(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    asking = (world.run_folder(run.id) / "lock").open("w")
    fcntl.flock(asking, fcntl.LOCK_SH)
    world.interrupt.ask()

    def sleep(seconds: float) -> None:
        world.interrupt.check()
        stage.clock.sleep(seconds)
        asking.close()

    with flow.held(run.id, replace(world, sleep=sleep)), pytest.raises(Interrupted):
        world.interrupt.check()


def test_to_look_at_a_run_from_outside_never_writes_into_its_books(stage: Stage) -> None:
    stage.site.work = Work(steps=100)
    world = stage.laptop()
    run = stage.open_run(world)
    seen: list[bool] = []

    def outside() -> None:
        before = len([one for one in stage.points if one == "before save_attempt"])
        stage.cloud.reprice("m-0001", Decimal("0.70"))
        with machine_of(run.id, stage.laptop()):
            after = len([one for one in stage.points if one == "before save_attempt"])
            seen.append(before == after)

    when(stage, after(stage, 100), outside)
    flow.carry(run, world)
    assert seen == [True]


def test_a_background_process_that_dies_is_told_and_not_waited_for(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    stage.die_at = len(stage.points) + 2000
    with pytest.raises(LaunchError) as caught:
        flow.detach(run, world)
    assert (caught.value.code, caught.value.exit_code) == ("background-died", Exit.INTERRUPTED)
    assert run.id in caught.value.hint


def test_an_interrupt_while_a_run_goes_to_the_background_stops_the_run_and_not_only_the_wait(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)

    def sleep(seconds: float) -> None:
        stage.clock.sleep(seconds)
        world.interrupt.check()

    with pytest.raises(LaunchError):
        flow.detach(run, replace(world, spawn=lambda _: world.interrupt.ask(), sleep=sleep))
    assert stage.laptop().ledger.stop_asked(run.id) == "save"


def test_a_resume_that_is_refused_leaves_the_receipt_and_the_budget(stage: Stage) -> None:
    stage.site.work = Work(steps=10_000, step_seconds=30)
    first = stage.launch(budget="0.60")
    with pytest.raises(LaunchError):
        stage.resume(first.run, first.spent_usd + Decimal("0.01"))
    record = stage.laptop().ledger.find(None)
    assert record.receipt_json is not None
    assert record.budget_usd == Decimal("0.60")


def test_a_run_that_is_carried_cannot_be_resumed_by_a_second_process(stage: Stage) -> None:
    stage.site.work = Work(steps=10_000, step_seconds=30)
    first = stage.launch(budget="0.60")
    with sole_writer(stage.laptop().run_folder(first.run), stage.clock.sleep), pytest.raises(LaunchError) as caught:
        stage.resume(first.run, "10")
    assert caught.value.code == "held"
    assert _state(stage) is State.TERMINATED
    assert stage.laptop().ledger.find(None).budget_usd == Decimal("0.60")


# Results


def _ask_in_state(stage: Stage, world: World, state: State) -> None:
    when(stage, in_state(stage, state), world.interrupt.ask)


@pytest.mark.parametrize("lost_pulls", [0, 1])
def test_an_interrupt_while_results_come_home_does_not_lose_them(stage: Stage, lost_pulls: int) -> None:
    stage.site.lost_pulls = lost_pulls
    world = stage.laptop()
    run = stage.open_run(world)
    _ask_in_state(stage, world, State.PULLING)
    receipt = flow.carry(run, world)
    assert (receipt.results.folder / "adapter/adapter_model.safetensors").exists()
    assert receipt.results.verified
    stage.all_quiet()


@pytest.mark.parametrize("how", ["wiped", "taken back"])
def test_results_that_are_lost_with_their_machine_are_made_again_from_the_last_checkpoint(
    stage: Stage, how: str
) -> None:
    stage.site.work, stage.site.lost_pulls = Work(steps=40), 1
    world = stage.laptop()
    run = stage.open_run(world)
    lose = stage.site.wiped.add if how == "wiped" else stage.cloud.preempt
    when(stage, in_state(stage, State.PULLING), lambda: lose("m-0001"))
    receipt = flow.carry(run, world)
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    assert receipt.results.verified
    assert stage.site.restored["m-0002"] == 40
    stage.all_quiet()


def test_results_that_a_living_machine_does_not_give_are_not_made_again(stage: Stage) -> None:
    stage.site.unsendable = "adapter/adapter_model.safetensors"
    receipt = stage.launch()
    assert (receipt.outcome, receipt.attempts) == (Outcome.LOST, 1)
    stage.all_quiet()


@pytest.mark.parametrize("write", ["note_ending", "advance"])
def test_an_interrupt_on_the_way_to_the_results_does_not_lose_them(stage: Stage, write: str) -> None:
    world = stage.laptop()
    run = stage.open_run(world)

    def at(name: str) -> None:
        if name == f"after {write}" and "after note_ending" in stage.points:
            world.interrupt.ask()

    stage.at_point = at
    receipt = flow.carry(run, world)
    assert (receipt.results.folder / "adapter/adapter_model.safetensors").exists()
    stage.all_quiet()


def test_an_interrupt_before_the_first_look_at_a_running_job_saves_it(stage: Stage) -> None:
    stage.site.work = Work(steps=100)
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, after(stage, 200), stage.kill)
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    world = stage.laptop()
    world.interrupt.ask()
    receipt = flow.attach(run.id, world)
    assert receipt.outcome is Outcome.CANCELLED
    assert receipt.results.files > 0
    assert any(event.code == "saving" for event in stage.heard.of(Warned))


def test_a_bug_while_the_job_runs_still_brings_home_what_there_is(stage: Stage) -> None:
    stage.site.work = Work(steps=40)
    world = stage.laptop()
    run = stage.open_run(world)

    def bug() -> None:
        raise ZeroDivisionError("a bug")

    when(stage, after(stage, 200), bug)
    with pytest.raises(ZeroDivisionError):
        flow.carry(run, world)
    assert (run.out_dir / "logs/data.json").exists()
    stage.all_quiet()


def test_a_dead_supervisor_does_not_lose_what_lies_on_the_machine(stage: Stage) -> None:
    stage.site.work = Work(outcome="vanished")
    world = stage.laptop()
    run = stage.open_run(world)
    receipt = flow.carry(run, world)
    assert receipt.results.files > 0
    stage.all_quiet()


def test_a_success_without_a_single_file_is_none(stage: Stage) -> None:
    stage.site.work = Work(makes_nothing=True)
    receipt = stage.launch()
    assert receipt.outcome is not Outcome.SUCCEEDED
    assert receipt.exit_code is not Exit.SUCCEEDED
    assert not receipt.results.verified
    stage.all_quiet()


def test_results_of_which_only_a_part_came_home_are_not_called_verified(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    stage.site.unsendable = "adapter/adapter_config.json"
    receipt = flow.carry(run, world)
    assert receipt.outcome is Outcome.LOST
    assert receipt.results.files > 0
    assert not receipt.results.verified


def test_results_that_are_too_big_for_what_is_left_of_the_budget_do_not_come_home(folder: Path) -> None:
    fees = replace(FEES, egress_usd_per_gib=Decimal(1000))
    stage = Stage(folder, offers=(replace(fake_offer(), fees=fees),))
    stage.workload = replace(workload(), result_gib=1e-6, lora_parameters=10)
    stage.site.work = Work(weights_bytes=2_000_000)
    receipt = stage.launch(budget="1.00")
    assert stage.cloud.billed_usd() + _egress_usd(stage, fees) <= 1
    assert receipt.outcome is not Outcome.SUCCEEDED
    assert not receipt.results.verified
    stage.all_quiet()


def test_what_came_of_a_pull_that_broke_off_is_paid_for_in_the_books_too(folder: Path) -> None:
    fees = replace(FEES, egress_usd_per_gib=Decimal(1000))
    stage = Stage(folder, offers=(replace(fake_offer(), fees=fees),))
    stage.workload = replace(workload(), result_gib=1e-5, lora_parameters=10)
    stage.site.work = Work(weights_bytes=200_000)
    stage.site.lost_pulls = 4
    receipt = stage.launch(budget="5")
    assert receipt.spent_usd >= stage.cloud.billed_usd() + _egress_usd(stage, fees)


def _egress_usd(stage: Stage, fees: Fees) -> Decimal:
    return fees.egress_usd_per_gib * stage.site.sent_bytes / 2**30


def test_a_pull_that_trickles_ends_in_time_to_end_the_machine_within_the_budget(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(guarded=False))
    stage.site.trickle_seconds = 60
    stage.site.work = Work(weights_bytes=1_000_000)
    receipt = stage.launch(budget="0.60")
    assert stage.cloud.billed_usd() <= BUDGET
    assert receipt.outcome is not Outcome.SUCCEEDED
    stage.all_quiet()


@pytest.mark.parametrize("state", [State.SHIPPING, State.RUNNING, State.PULLING])
def test_a_strange_host_key_stops_the_run_wherever_it_shows(stage: Stage, state: State) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, in_state(stage, state, "remote"), lambda: setattr(stage.site, "wrong_host_key", True))
    receipt = flow.carry(run, world)
    assert (receipt.outcome, receipt.attempts) == (Outcome.FAILED, 1)
    assert "somebody else answers" in receipt.why
    assert not stage.site.secrets_seen or state is not State.SHIPPING
    stage.all_quiet()


# Money


def test_a_price_that_nobody_tells_counts_as_the_worst(stage: Stage) -> None:
    stage.provider.lies.tells_rate = False
    stage.site.work = Work(steps=10_000, step_seconds=30)
    world = stage.laptop()
    run = stage.open_run(world, budget=str(BUDGET))
    when(stage, after(stage, 30), lambda: stage.cloud.reprice("m-0001", Decimal("0.99")))
    receipt = flow.carry(run, world)
    assert stage.cloud.billed_usd() <= BUDGET
    assert receipt.spent_usd >= stage.cloud.billed_usd()


def test_a_rate_above_what_was_agreed_shortens_the_lease_and_the_run(stage: Stage) -> None:
    stage.site.work = Work(steps=10_000, step_seconds=30)
    world = stage.laptop()
    run = stage.open_run(world, budget=str(BUDGET))
    when(stage, after(stage, 200), lambda: stage.cloud.reprice("m-0001", Decimal("2.50")))
    flow.carry(run, world)
    assert stage.cloud.billed_usd() <= BUDGET


def test_a_rate_above_what_was_agreed_is_within_the_budget_although_we_vanish(stage: Stage) -> None:
    stage.site.work = Work(steps=10_000, step_seconds=30)
    world = stage.laptop()
    run = stage.open_run(world, budget=str(BUDGET))
    when(stage, after(stage, 200), lambda: stage.cloud.reprice("m-0001", Decimal("2.50")))
    when(stage, after(stage, 300), stage.kill)
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    stage.clock.sleep(timedelta(days=3).total_seconds())
    assert stage.cloud.billed_usd() <= BUDGET


def test_a_rise_of_the_price_is_paid_for_from_before_the_look_that_saw_it(stage: Stage) -> None:
    stage.site.work = Work(steps=100)
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, after(stage, 100), lambda: stage.cloud.reprice("m-0001", Decimal("0.95")))
    stage.provider.lies.rate_seen_late_seconds = 60
    receipt = flow.carry(run, world)
    assert receipt.spent_usd >= stage.cloud.billed_usd()


def test_a_clock_that_is_set_back_does_not_make_the_run_longer_than_its_budget(stage: Stage) -> None:
    stage.site.work = Work(steps=10_000, step_seconds=30)
    world = stage.laptop()
    run = stage.open_run(world, budget=str(BUDGET))
    wrong = [timedelta(0)]
    world = replace(world, now=lambda: stage.clock() - wrong[0])
    when(stage, after(stage, 200), lambda: wrong.__setitem__(0, timedelta(hours=3)))
    flow.carry(run, world)
    assert stage.cloud.billed_usd() <= BUDGET


def test_a_machine_that_nobody_ever_saw_is_not_said_to_have_cost_nothing(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world, budget=str(BUDGET))
    stage.cloud.after_call = lambda verb: stage.kill() if verb == "create" else None
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    stage.cloud.after_call = lambda verb: None
    stage.clock.sleep(timedelta(days=7).total_seconds())
    receipt = flow.attach(run.id, stage.laptop())
    assert stage.cloud.billed_usd() <= receipt.spent_usd <= BUDGET
    assert stage.cloud.calls.count("create") == 1
    assert "unknown" in receipt.spent_is
    stage.all_quiet()


# What is said, and how long it takes


def test_a_cloud_that_never_says_what_became_of_a_create_is_not_asked_for_ever(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(idempotent_create=False))
    stage.provider.lies.create_lost_after = 1
    world = stage.laptop()
    run = stage.open_run(world)
    stage.cloud.after_call = lambda verb: setattr(stage.provider.lies, "reads_down", 10**9)
    stage.die_at = 5000
    with pytest.raises(LaunchError) as caught:
        flow.carry(run, world)
    assert caught.value.exit_code is Exit.MAY_BE_RUNNING


def test_a_machine_that_the_cloud_forgot_is_not_waited_for_until_the_budget_is_gone(stage: Stage) -> None:
    stage.site.work = Work(steps=10_000, step_seconds=30)
    stage.provider.lies.forgotten_seconds = 0
    stage.provider.lies.linger_seconds = 0
    world = stage.laptop()
    run = stage.open_run(world, budget="50")
    is_time = after(stage, 300)
    stage.cloud.after_call = lambda verb: stage.cloud.preempt("m-0001") if verb == "remote" and is_time(verb) else None
    stage.provider.lies.refuse(NoCapacity("none left"), instance_type="f1.large")
    when(stage, after(stage, 600), lambda: stage.provider.lies.refuse(NoCapacity("none left")))
    began = stage.clock()
    receipt = flow.carry(run, world)
    assert receipt.outcome is Outcome.LOST
    assert (stage.clock() - began).total_seconds() < 2 * 3600


def test_a_stop_that_was_asked_for_is_not_told_as_a_lack_of_money_after_a_kill(stage: Stage) -> None:
    stage.site.work = Work(steps=100)
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, after(stage, 200), lambda: stage.laptop().ledger.ask_stop(run.id, "save"))
    had = stage.cloud.after_call

    def kill_once_saving(verb: str) -> None:
        had(verb)
        if stage.site.started and next(iter(stage.site.started.values())).stop_at and not stage.spawned:
            stage.spawned.append(run.id)
            stage.kill()

    stage.cloud.after_call = kill_once_saving
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    stage.clock.sleep(60)
    assert flow.attach(run.id, stage.laptop()).outcome is Outcome.CANCELLED


def test_one_run_that_cannot_be_ended_does_not_keep_reap_from_the_next(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, in_state(stage, State.BOOTING), stage.kill)
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    world = stage.laptop()
    later = replace(world.ledger.load(run.id), id="calm-newt-0002", state=State.PLANNED, attempts=[])
    world.ledger.open_run(later, request=world.ledger.request(run.id), plan=world.ledger.plan(run.id))
    stage.clock.sleep(3600)
    stage.provider.lies.deaf_terminates = 10**9
    with pytest.raises(LaunchError) as caught:
        recover.reap(world)
    assert caught.value.exit_code is Exit.MAY_BE_RUNNING
    assert world.ledger.find("calm-newt-0002").state is State.TERMINATED


def test_time_is_never_lost_when_this_computers_clock_is_set_back() -> None:
    began = datetime(2026, 11, 24, 12, tzinfo=UTC)
    wall, ticks = [began], [0.0]
    clock = SteadyClock(lambda: wall[0], lambda: ticks[0])
    wall[0], ticks[0] = began + timedelta(seconds=10), 10.0
    assert clock() == began + timedelta(seconds=10)
    wall[0], ticks[0] = began - timedelta(hours=3), 15.0
    assert clock() == began + timedelta(seconds=15)
    wall[0], ticks[0] = began + timedelta(hours=8), 16.0
    assert clock() == began + timedelta(hours=8)


def _carried_at_once(stage: Stage) -> Callable[[str], None]:
    def spawn(run_id: str) -> None:
        flow.attach(run_id, stage.laptop())

    return spawn


def test_a_background_run_that_was_over_before_anybody_looked_is_told_as_it_ended(stage: Stage) -> None:
    stage.site.unarmed = True
    world = stage.laptop()
    run = stage.open_run(world)
    with pytest.raises(LaunchError) as caught:
        flow.detach(run, replace(world, spawn=_carried_at_once(stage)))
    assert "not armed" in caught.value.message
    assert "nothing was spent" not in caught.value.message
    assert caught.value.exit_code is Exit.JOB_FAILED


def test_a_background_run_that_succeeded_before_anybody_looked_is_no_failure(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    flow.detach(run, replace(world, spawn=_carried_at_once(stage)))
    assert _state(stage) is State.TERMINATED


def test_a_run_whose_machine_has_outlived_its_lease_is_not_said_to_run(stage: Stage) -> None:
    stage.die_at = 120
    with pytest.raises(Killed):
        stage.launch()
    stage.revive()
    stage.clock.sleep(timedelta(days=3).total_seconds())
    recover.settle_open(stage.laptop())
    said = [event.text for event in stage.heard.of(Warned) if event.code == "unwatched"]
    assert len(said) == 1
    assert "runs without" not in said[0]
    assert "launch reap" in said[0]


def test_one_gap_in_a_list_long_after_a_lost_answer_does_not_prove_that_there_is_no_machine(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(idempotent_create=False))
    world = stage.laptop()
    run = stage.open_run(world)
    stage.cloud.after_call = lambda verb: stage.kill() if verb == "create" else None
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    stage.cloud.after_call = lambda verb: None
    stage.clock.sleep(300)
    stage.provider.lies.list_gaps = 1
    assert flow.attach(run.id, stage.laptop()).outcome is Outcome.SUCCEEDED
    assert len(stage.cloud.machines()) == 1
    stage.all_quiet()


def test_a_machine_that_only_the_list_shows_is_ended_all_the_same(stage: Stage) -> None:
    stage.provider.lies.early_not_found_seconds = 100_000
    assert stage.launch().outcome is Outcome.SUCCEEDED
    assert stage.provider.cloud.calls.count("terminate") >= 1
    stage.all_quiet()


def test_a_price_that_rose_and_fell_while_nobody_looked_is_in_the_books(stage: Stage) -> None:
    stage.site.work = Work(steps=40)
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, after(stage, 200), stage.kill)
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    stage.cloud.reprice("m-0001", Decimal("0.95"))
    stage.clock.sleep(1200)
    stage.cloud.reprice("m-0001", Decimal("0.50"))
    assert flow.attach(run.id, stage.laptop()).spent_usd >= stage.cloud.billed_usd()


def test_a_first_price_above_the_expected_one_is_paid_for_from_the_beginning(stage: Stage) -> None:
    stage.provider.lies.rate_factor = Decimal("1.9")
    stage.provider.lies.reads_down = 20
    assert stage.launch().spent_usd >= stage.cloud.billed_usd()


def test_a_machine_taken_back_while_it_saves_for_an_interrupt_is_not_replaced(stage: Stage) -> None:
    stage.site.work = Work(steps=100)
    stage.site.stop_is_ignored = True
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, after(stage, 100), world.interrupt.ask)
    when(stage, after(stage, 130), lambda: stage.cloud.preempt("m-0001"))
    flow.carry(run, world)
    assert stage.cloud.calls.count("create") == 1
    stage.all_quiet()


def test_the_next_machine_is_chosen_from_the_market_as_it_is_then(stage: Stage) -> None:
    stage.site.work = Work(steps=40)
    world = stage.laptop()
    run = stage.open_run(world)
    fresh = replace(fake_offer("f2.fresh", usd="0.60"), provider="fake")
    when(stage, after(stage, 240), lambda: setattr(stage.provider, "catalogue", (fresh,)))
    when(stage, after(stage, 250), lambda: stage.cloud.preempt("m-0001"))
    assert flow.carry(run, world).instance_type == "f2.fresh"


def test_a_place_without_capacity_is_not_asked_again_every_half_minute(stage: Stage) -> None:
    stage.provider.lies.refuse(NoCapacity("none left"))
    with pytest.raises(LaunchError):
        stage.launch(wait_capacity_seconds=600.0)
    assert stage.cloud.calls.count("create") <= 10


def test_a_market_gone_mad_ends_after_a_dozen_machines(folder: Path) -> None:
    stage = Stage(folder, offers=tuple(fake_offer(zone=f"north-{n}a") for n in range(14)))

    def take_all_back(verb: str) -> None:
        for one in stage.cloud.alive() if verb == "remote" else ():
            stage.cloud.preempt(one.id)

    stage.cloud.after_call = take_all_back
    stage.site.work = Work(steps=10_000, step_seconds=30)
    stage.launch(budget="100")
    assert len(stage.cloud.machines()) == MOST_ATTEMPTS
    stage.all_quiet()


def test_machines_that_fail_alike_again_and_again_are_not_the_machines_fault(folder: Path) -> None:
    stage = Stage(folder, offers=tuple(fake_offer(zone=f"north-{n}a") for n in range(14)))
    stage.site.unarmed = True
    stage.launch(budget="100")
    assert len(stage.cloud.machines()) == flow.MOST_ALIKE
    assert "alike" in [event.code for event in stage.heard.of(Warned)]
    stage.all_quiet()


def test_a_place_that_gave_a_bad_machine_is_left_alone_for_a_while(stage: Stage) -> None:
    stage.site.unreachable.add("m-0001")
    receipt = stage.launch()
    assert (receipt.attempts, receipt.instance_type) == (2, "f1.large")


# What reap must end, and what it must leave


def _killed_in(stage: Stage, state: State) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, in_state(stage, state, "remote"), stage.kill)
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    assert _state(stage) is state


def test_reap_takes_back_the_machine_of_the_run_and_ends_its_twin(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(idempotent_create=False))
    stage.site.work = Work(steps=100)
    stage.provider.lies.create_lost_after = 1
    stage.provider.lies.visible_after_seconds = 200
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, after(stage, 400), stage.kill)
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    found = recover.reap(stage.laptop())
    assert [one.id for one in found.ended] == ["m-0001"]
    assert found.taken_back == (run.id,)
    assert [one.id for one in stage.cloud.alive()] == ["m-0002"]


def test_reap_ends_a_machine_whose_time_is_over_although_its_run_was_running(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(guarded=False))
    _killed_in(stage, State.RUNNING)
    stage.clock.sleep(timedelta(days=3).total_seconds())
    assert recover.reap(stage.laptop()).taken_back == ()
    stage.all_quiet()


def test_reap_ends_a_machine_that_never_got_its_work(stage: Stage) -> None:
    _killed_in(stage, State.SHIPPING)
    assert recover.reap(stage.laptop()).taken_back == ()
    stage.all_quiet()


def test_reap_takes_no_machine_back_that_is_ending(stage: Stage) -> None:
    stage.provider.lies.linger_seconds = 60
    _killed_in(stage, State.RUNNING)
    stage.cloud.preempt("m-0001")
    assert recover.reap(stage.laptop()).taken_back == ()


@pytest.mark.parametrize("gaps", [0, 1])
def test_reap_goes_on_asking_where_one_door_or_one_look_shows_nothing(stage: Stage, gaps: int) -> None:
    _killed_in(stage, State.SHIPPING)
    for file in (stage.folder / "home").glob("ledger.sqlite*"):
        file.unlink()
    stage.provider.lies.early_not_found_seconds = 100_000
    stage.provider.lies.deaf_terminates = 1
    when(stage, lambda verb: verb == "get", lambda: setattr(stage.provider.lies, "list_gaps", gaps))
    recover.reap(stage.laptop())
    assert not stage.cloud.alive()


def test_reap_leaves_the_disk_of_a_run_that_it_takes_back(stage: Stage) -> None:
    stage.provider.lies.leaves_volume = True
    _killed_in(stage, State.RUNNING)
    found = recover.reap(stage.laptop())
    assert found.taken_back
    assert not found.leftovers_removed
    assert stage.cloud.volumes


def test_a_run_that_is_watched_is_not_called_unwatched(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, in_state(stage, State.RUNNING), lambda: recover.settle_open(stage.laptop()))
    flow.carry(run, world)
    assert not [event for event in stage.heard.of(Warned) if event.code == "unwatched"]


def test_a_card_with_less_memory_than_was_rented_goes_back(stage: Stage) -> None:
    stage.site.probe = {"gpus": [{"name": "A10G", "memory_mib": 12_000, "driver": "580.1"}]}
    receipt = stage.launch()
    assert receipt.outcome is Outcome.FAILED
    assert not stage.site.started
    stage.all_quiet()


def test_other_commands_leave_a_machine_that_works(stage: Stage) -> None:
    _killed_in(stage, State.RUNNING)
    recover.settle_open(stage.laptop())
    assert stage.cloud.alive()
    assert _state(stage) is State.RUNNING


def test_other_commands_do_not_stand_and_wait_for_a_create_whose_answer_is_open(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(idempotent_create=False))
    stage.provider.lies.visible_after_seconds = 50
    world = stage.laptop()
    run = stage.open_run(world)
    stage.cloud.after_call = lambda verb: stage.kill() if verb == "create" else None
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    began = stage.clock()
    recover.settle_open(stage.laptop())
    assert (stage.clock() - began).total_seconds() < 5
    assert [event.code for event in stage.heard.of(Warned)][-1] == "maybe-running"


# The line at home


def test_an_hour_without_a_network_at_home_does_not_give_up_the_machine(stage: Stage) -> None:
    stage.site.work = Work(steps=600)
    world = stage.laptop()
    run = stage.open_run(world)

    def cut() -> None:
        stage.site.unreachable.add("m-0001")
        stage.provider.lies.reads_down = 10**6

    def mend() -> None:
        stage.site.unreachable.clear()
        stage.provider.lies.reads_down = 0

    when(stage, after(stage, 100), cut)
    when(stage, after(stage, 3700), mend)
    receipt = flow.carry(run, world)
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 1)
    stage.all_quiet()


def test_a_laptop_that_slept_has_not_listened_in_vain(stage: Stage) -> None:
    stage.site.work = Work(steps=300)
    world = stage.laptop()
    run = stage.open_run(world)

    def sleep() -> None:
        stage.clock.sleep(1800)
        stage.site.unreachable.add("m-0001")

    when(stage, after(stage, 100), sleep)
    when(stage, after(stage, 1930), stage.site.unreachable.clear)
    receipt = flow.carry(run, world)
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 1)
    stage.all_quiet()


# The end


def test_a_job_that_will_not_save_is_not_waited_for(stage: Stage) -> None:
    stage.site.work = Work(steps=600)
    stage.site.stop_is_ignored = True
    world = stage.laptop()
    run = stage.open_run(world)
    asked_at = stage.clock() + timedelta(seconds=100)
    when(stage, after(stage, 100), world.interrupt.ask)
    receipt = flow.carry(run, world)
    assert receipt.outcome is Outcome.CANCELLED
    assert (receipt.at - asked_at).total_seconds() < 240
    stage.all_quiet()


def test_stop_now_neither_saves_nor_pulls(stage: Stage) -> None:
    stage.site.work = Work(steps=600)
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, after(stage, 100), lambda: stage.laptop().ledger.ask_stop(run.id, "now"))
    receipt = flow.carry(run, world)
    assert (receipt.outcome, receipt.results.files) == (Outcome.CANCELLED, 0)
    assert not [event for event in stage.heard.of(Warned) if event.code == "saving"]
    stage.all_quiet()


def test_a_checkpoint_that_came_home_spoiled_is_none(stage: Stage) -> None:
    stage.site.work = Work(steps=40)
    stage.site.spoiled = "manifest.json"
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, after(stage, 250), lambda: stage.cloud.preempt("m-0001"))
    assert flow.carry(run, world).attempts == 2
    assert stage.laptop().ledger.checkpoint(run.id) is None
    assert not stage.site.restored


def test_a_settled_run_leaves_no_private_key_and_no_billed_disk(stage: Stage) -> None:
    stage.provider.lies.leaves_volume = True
    receipt = stage.launch()
    assert receipt.leftovers == ()
    assert not stage.cloud.volumes
    keys = stage.laptop().run_folder(receipt.run) / "keys"
    assert keys.is_dir()
    assert not (keys / "client").exists()
    assert not (keys / "host").exists()
