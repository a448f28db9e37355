"""The story from the agreement to the receipt, over a cloud that lies; the cloud's own bill is the judge."""

import sqlite3
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from launcher import flow
from launcher.errors import Exit, LaunchError
from launcher.events import IntentWritten, OfferRefused, StateChanged, Warned
from launcher.feed import Feed
from launcher.guest import Guest
from launcher.run import Outcome, State
from launcher.teardown import PATIENCE_SECONDS
from pricing.offer import Market
from providers.base import EndReason, NoCapacity, PriceTooLow, QuotaExceeded
from tests.fake_machine import fake_offer, fake_traits
from tests.fake_world import Killed, Stage, Work


def test_a_run_ends_with_results_a_receipt_and_no_machine(stage: Stage) -> None:
    receipt = stage.launch()
    stage.all_quiet()
    assert (receipt.outcome, receipt.exit_code) == (Outcome.SUCCEEDED, Exit.SUCCEEDED)
    assert receipt.results.verified
    assert (receipt.results.folder / "adapter/adapter_model.safetensors").exists()
    assert dict(receipt.scores[-1].metrics)["exact"] == pytest.approx(0.93)
    assert receipt.terminated.confirmed
    assert receipt.terminated.looks == 3


def test_the_states_come_in_the_order_of_the_story(stage: Stage) -> None:
    stage.launch()
    assert [event.state for event in stage.heard.of(StateChanged)] == [
        State.PROVISIONING, State.BOOTING, State.SHIPPING, State.RUNNING, State.PULLING, State.TERMINATING,
        State.TERMINATED,
    ]  # fmt: skip


def test_our_own_books_are_never_below_the_bill(stage: Stage) -> None:
    receipt = stage.launch()
    bill = stage.cloud.billed_usd()
    assert bill <= receipt.spent_usd <= bill + Decimal("0.01")


def test_a_receipt_says_phase_by_phase_where_time_and_money_went(stage: Stage) -> None:
    receipt = stage.launch()
    assert [one.name for one in receipt.phases] == [
        "boot", "ship", "install", "model", "train", "evaluate", "pull", "teardown"
    ]  # fmt: skip
    (machine,) = stage.cloud.machines()
    assert machine.ended_at is not None
    life_seconds = (machine.ended_at - machine.born_at).total_seconds()
    assert sum(one.seconds for one in receipt.phases) == pytest.approx(life_seconds, abs=2)
    assert sum(one.usd for one in receipt.phases) == pytest.approx(receipt.spent_usd, abs=Decimal("0.001"))


def test_an_intent_is_on_disk_before_the_create_call(stage: Stage) -> None:
    stage.launch()
    assert stage.points.index("after open_attempt") < stage.points.index("before create")
    assert len(stage.heard.of(IntentWritten)) == 1


def test_the_next_choice_follows_a_refusal(stage: Stage) -> None:
    stage.provider.lies.refuse(NoCapacity("none left"), instance_type="f1.small")
    receipt = stage.launch()
    stage.all_quiet()
    assert receipt.instance_type == "f1.large"
    assert [event.code for event in stage.heard.of(OfferRefused)] == ["no-capacity"]


@pytest.mark.parametrize("error", [NoCapacity("none left"), PriceTooLow("too low")])
def test_no_machine_anywhere_is_a_refusal_that_cost_nothing(stage: Stage, error: Exception) -> None:
    stage.provider.lies.refuse(error)  # type: ignore[arg-type]  # parameters are errors of all kinds
    with pytest.raises(LaunchError) as caught:
        stage.launch()
    assert (caught.value.exit_code, caught.value.code) == (Exit.REFUSED, "no-capacity")
    assert caught.value.hint
    assert stage.cloud.billed_usd() == 0
    stage.all_quiet()


def test_a_quota_is_told_as_a_quota_and_its_family_is_not_asked_again(stage: Stage) -> None:
    stage.provider.lies.refuse(QuotaExceeded("All G spot: 0 vCPUs, 4 needed", code="L-3819A6DF"))
    with pytest.raises(LaunchError) as caught:
        stage.launch()
    assert caught.value.exit_code is Exit.PROVIDER
    assert "0 vCPUs" in caught.value.message
    assert stage.cloud.calls.count("create") == 2
    stage.all_quiet()


def test_waiting_for_capacity_asks_until_there_is_some(stage: Stage) -> None:
    stage.provider.lies.refuse(NoCapacity("none left"), times=4)
    receipt = stage.launch(wait_capacity_seconds=3600.0)
    assert receipt.outcome is Outcome.SUCCEEDED
    stage.all_quiet()


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_lost_create_answer_leads_to_one_machine_that_is_used(folder: Path, idempotent: bool) -> None:

    stage = Stage(folder, traits=fake_traits(idempotent_create=idempotent))
    stage.provider.lies.create_lost_after = 1
    stage.provider.lies.visible_after_seconds = 40
    receipt = stage.launch()
    assert stage.provider.fired == ["create_lost_after"]
    assert receipt.outcome is Outcome.SUCCEEDED
    assert len(stage.cloud.machines()) == 1
    stage.all_quiet()


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_create_that_never_happened_is_proven_absent_before_the_next(folder: Path, idempotent: bool) -> None:

    stage = Stage(folder, traits=fake_traits(idempotent_create=idempotent))
    stage.provider.lies.create_lost_before = 2 if idempotent else 1
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED
    assert len(stage.cloud.machines()) == 1
    assert stage.cloud.calls.count("list") >= 5
    stage.all_quiet()


def test_throttling_before_the_create_is_repeated(stage: Stage) -> None:
    stage.provider.lies.throttled = 3
    assert stage.launch().outcome is Outcome.SUCCEEDED
    assert len(stage.cloud.machines()) == 1


def test_a_deaf_terminate_is_asked_again_until_the_cloud_agrees(stage: Stage) -> None:
    stage.provider.lies.deaf_terminates = 4
    receipt = stage.launch()
    assert stage.provider.fired.count("deaf_terminates") == 4
    assert receipt.terminated.confirmed
    stage.all_quiet()


def test_a_terminate_that_never_works_is_loud_and_stays_open(stage: Stage) -> None:
    stage.provider.lies.deaf_terminates = 10_000
    began = stage.clock()
    with pytest.raises(LaunchError) as caught:
        stage.launch()
    assert caught.value.exit_code is Exit.MAY_BE_RUNNING
    assert "launch reap" in caught.value.hint
    assert "ends itself at" in caught.value.message
    assert (stage.clock() - began).total_seconds() > PATIENCE_SECONDS
    assert stage.laptop().ledger.find(None).state is State.TERMINATING
    stage.provider.lies.deaf_terminates = 0
    stage.recover()
    stage.all_quiet()


def test_an_end_is_believed_only_after_three_agreeing_looks(stage: Stage) -> None:
    stage.provider.lies.list_gaps = 1
    stage.provider.lies.odd_states = 1
    receipt = stage.launch()
    assert receipt.terminated.looks == 3
    stage.all_quiet()


def test_a_machine_that_dies_in_pending_is_replaced(stage: Stage) -> None:
    stage.provider.lies.die_in_pending = EndReason.NO_CAPACITY
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED
    assert receipt.attempts == 2
    stage.all_quiet()


def test_a_machine_that_never_answers_is_given_back_and_replaced(stage: Stage) -> None:
    stage.site.unreachable.add("m-0001")
    receipt = stage.launch()
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    stage.all_quiet()


@pytest.mark.parametrize(("field", "value"), [("gpus", []), ("architecture", "aarch64")])
def test_a_machine_that_is_not_what_was_rented_goes_back(stage: Stage, field: str, value: object) -> None:
    stage.site.probe = {field: value}
    receipt = stage.launch()
    assert receipt.outcome is Outcome.FAILED
    assert "rented" in receipt.why
    stage.all_quiet()


def test_a_machine_without_an_armed_deadline_gets_no_work(stage: Stage) -> None:
    stage.site.unarmed = True
    receipt = stage.launch()
    assert not stage.site.started
    assert "not armed" in receipt.why
    stage.all_quiet()


def test_a_wrong_host_key_is_a_security_stop_and_is_not_tried_again(stage: Stage) -> None:
    stage.site.wrong_host_key = True
    receipt = stage.launch()
    assert (receipt.outcome, receipt.attempts) == (Outcome.FAILED, 1)
    assert not stage.site.secrets_seen
    stage.all_quiet()


def test_a_rate_above_what_was_agreed_is_not_paid(stage: Stage) -> None:
    stage.provider.lies.rate_factor = Decimal(3)
    receipt = stage.launch()
    assert receipt.outcome is Outcome.FAILED
    assert "billed at" in receipt.why
    stage.all_quiet()


def test_a_preempted_run_goes_on_from_its_last_checkpoint_on_another_machine(stage: Stage) -> None:
    stage.site.work = Work(steps=40)
    world = stage.laptop()
    run = stage.open_run(world)
    _when(stage, seconds=250, do=lambda: stage.cloud.preempt("m-0001"))
    receipt = flow.carry(run, world)
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    assert stage.site.restored["m-0002"] >= 15
    stage.all_quiet()


def test_a_spot_notice_saves_and_moves(stage: Stage) -> None:
    stage.site.work = Work(steps=40)
    _when(stage, seconds=200, do=lambda: stage.site.preempt_with_notice("m-0001", 120))
    receipt = stage.launch()
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    assert stage.site.restored["m-0002"] >= 15
    stage.all_quiet()


def test_the_budget_stops_a_run_that_is_slower_than_planned_and_brings_home_what_there_is(stage: Stage) -> None:
    stage.site.work = Work(steps=10_000, step_seconds=30)
    receipt = stage.launch(budget="0.60")
    assert (receipt.outcome, receipt.exit_code) == (Outcome.OUT_OF_BUDGET, Exit.STOPPED)
    assert receipt.spent_usd <= Decimal("0.60")
    assert stage.cloud.billed_usd() <= Decimal("0.60")
    assert receipt.results.verified
    assert stage.laptop().ledger.checkpoint(receipt.run)
    stage.all_quiet()


def test_a_laptop_that_goes_away_for_good_costs_no_more_than_the_budget(stage: Stage) -> None:
    stage.site.work = Work(steps=10_000, step_seconds=30)
    world = stage.laptop()
    run = stage.open_run(world, budget="0.60")
    stage.die_at = 120
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    assert stage.cloud.alive()
    stage.clock.sleep(timedelta(days=3).total_seconds())
    assert not stage.cloud.alive()
    assert stage.cloud.billed_usd() <= Decimal("0.60")


def test_the_users_own_deadline_is_kept(stage: Stage) -> None:
    stage.site.work = Work(steps=10_000, step_seconds=30)
    began = stage.clock()
    receipt = stage.launch(deadline_seconds=3600.0)
    assert receipt.outcome is Outcome.OUT_OF_BUDGET
    assert (stage.clock() - began).total_seconds() <= 3600


def test_a_failed_job_is_told_and_its_logs_come_home(stage: Stage) -> None:
    stage.site.work = Work(outcome="failed")
    receipt = stage.launch()
    assert (receipt.outcome, receipt.exit_code) == (Outcome.FAILED, Exit.JOB_FAILED)
    assert "out of luck" in receipt.why
    assert receipt.results.files > 0
    stage.all_quiet()


def test_a_pull_that_breaks_off_goes_on_and_is_verified_before_the_end(stage: Stage) -> None:
    stage.site.lost_pulls = 3
    receipt = stage.launch()
    assert receipt.results.verified
    assert stage.points.index("before terminate") > stage.points.index("before note_ending")
    stage.all_quiet()


def test_the_first_interrupt_saves_pulls_and_ends(stage: Stage) -> None:
    stage.site.work = Work(steps=100)
    world = stage.laptop()
    run = stage.open_run(world)
    _when(stage, seconds=100, do=world.interrupt.ask)
    receipt = flow.carry(run, world)
    assert (receipt.outcome, receipt.exit_code) == (Outcome.CANCELLED, Exit.INTERRUPTED)
    assert receipt.results.files > 0
    assert any(event.code == "saving" for event in stage.heard.of(Warned))
    stage.all_quiet()


@pytest.mark.parametrize("call", ["create", "get", "list", "remote", "terminate"])
def test_an_interrupt_in_any_state_leaves_no_machine(stage: Stage, call: str) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    before = stage.cloud.before_call

    def interrupt(verb: str) -> None:
        if verb == call:
            world.interrupt.ask()
        before(verb)

    stage.cloud.before_call = interrupt
    flow.carry(run, world, is_new=True)
    stage.all_quiet()


def test_stop_from_another_process_is_obeyed(stage: Stage) -> None:
    stage.site.work = Work(steps=100)
    world = stage.laptop()
    run = stage.open_run(world)
    _when(stage, seconds=100, do=lambda: stage.laptop().ledger.ask_stop(run.id, "save"))
    receipt = flow.carry(run, world)
    assert receipt.outcome is Outcome.CANCELLED
    stage.all_quiet()


def test_a_bug_in_a_step_still_ends_the_machine(stage: Stage) -> None:
    def buggy(_guest: Guest, _offset: int) -> Feed:
        raise ZeroDivisionError("a bug")

    world = replace(stage.laptop(), feed=buggy)
    run = stage.open_run(world)
    with pytest.raises(ZeroDivisionError):
        flow.carry(run, world)
    stage.all_quiet()


def test_a_ledger_that_cannot_be_written_any_more_does_not_keep_a_machine(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    _when(stage, seconds=60, do=world.ledger.close)
    with pytest.raises(sqlite3.ProgrammingError):
        flow.carry(run, world)
    assert not stage.cloud.alive()


def test_a_gate_that_is_not_reached_makes_the_run_fail_with_its_results(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    (world.run_folder(run.id) / "settings.json").write_text('{"gate": {"exact": {"at_least": 0.99}}}')
    receipt = flow.carry(run, world)
    assert (receipt.outcome, receipt.exit_code) == (Outcome.SUCCEEDED, Exit.JOB_FAILED)
    assert "0.99" in receipt.gate[0]


def test_a_stopped_run_goes_on_with_a_new_budget(stage: Stage) -> None:
    stage.site.work = Work(steps=400, step_seconds=10)
    first = stage.launch(budget="0.60")
    assert first.outcome is Outcome.OUT_OF_BUDGET
    second = stage.resume(first.run, "10")
    assert second.outcome is Outcome.SUCCEEDED
    assert stage.site.restored["m-0002"] > 0
    assert second.spent_usd > first.spent_usd
    stage.all_quiet()


def test_a_spot_price_that_rises_is_followed_by_the_books(stage: Stage) -> None:
    stage.site.work = Work(steps=100)
    _when(stage, seconds=100, do=lambda: stage.cloud.reprice("m-0001", Decimal("0.90")))
    receipt = stage.launch()
    assert receipt.spent_usd >= stage.cloud.billed_usd()


def test_an_offer_that_costs_more_than_the_rest_of_the_budget_is_not_taken(folder: Path) -> None:

    offers = (fake_offer(), fake_offer("f1.huge", usd="90", market=Market.ON_DEMAND))
    stage = Stage(folder, offers=offers)
    stage.provider.lies.refuse(NoCapacity("none left"), instance_type="f1.small")
    with pytest.raises(LaunchError):
        stage.launch(budget="2")
    assert stage.cloud.billed_usd() == 0


def _when(stage: Stage, *, seconds: float, do: object) -> None:
    """Let something happen once, so many virtual seconds from now."""
    due = stage.clock() + timedelta(seconds=seconds)
    before = stage.cloud.before_call
    done: list[bool] = []

    def at(verb: str) -> None:
        if stage.clock() >= due and not done:
            done.append(True)
            do()  # type: ignore[operator]  # parameters are objects
        before(verb)

    stage.cloud.before_call = at
