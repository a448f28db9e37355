"""D1, creating: rows 1 to 15 of the failure catalogue (tests/cloud/README.md has the table)."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from launcher import flow
from launcher.errors import Exit, LaunchError
from launcher.events import OfferRefused
from launcher.run import Outcome
from pricing.offer import Offer
from tests.cloud.scenario import QUOTA_NAMES
from tests.failures.stage import ALL, AWS, LAMBDA, OPERATIONS, REGION, RUNPOD, Stage, at
from tests.fake_world import Killed

LOST: list[tuple[str, dict[str, Any]]] = [
    ("after", {}), ("reset", {"applied": True}), ("html", {"applied": True}), ("empty", {"applied": True}),
]  # fmt: skip
"""How the answer of a create that was carried out may get lost."""


@at(*ALL)
@pytest.mark.parametrize(("when", "more"), LOST, ids=[when for when, _ in LOST])
def test_row_01_a_machine_whose_create_answer_got_lost_is_found_and_used(
    stage: Stage, when: str, more: dict[str, Any]
) -> None:
    fault = stage.fault("create", when, **more)
    receipt = stage.launch()
    assert fault.fired == 1
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert len(stage.machines()) == 1
    assert "create-unclear" in stage.warnings()
    stage.all_quiet()


@at(*ALL)
def test_row_02_a_create_that_may_have_worked_is_not_sent_again_without_a_token(stage: Stage) -> None:
    world = stage.laptop()
    fault = stage.fault("create", "after", times=3)
    stage.control.knobs(cloud=stage.name, list_lag_seconds=40)
    flow.carry(stage.open_run(world), world)
    assert fault.fired >= 1
    assert len(stage.machines()) == 1
    asked = stage.calls(OPERATIONS[stage.name]["create"])
    if world.provider(stage.name).traits.idempotent_create:
        assert len({one["ClientToken"] for one in asked}) == 1
    else:
        assert len(asked) == 1
    stage.all_quiet()


AROUND_A_CREATE = (
    "before open_attempt", "after open_attempt", "before create", "after create", "after close_intent",
)  # fmt: skip


@at(*ALL)
@pytest.mark.parametrize("point", AROUND_A_CREATE)
def test_row_03_a_death_around_the_create_call_leaves_no_machine_once_reap_has_run(stage: Stage, point: str) -> None:
    def die() -> None:
        stage.dead = True
        raise Killed

    stage.at_verb(point, die)
    with pytest.raises(Killed):
        stage.launch()
    stage.recover()
    assert point in stage.points
    stage.all_quiet()


@at(*ALL)
def test_row_03_a_ctrl_c_while_the_create_call_is_on_its_way_leaves_no_machine(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    stage.at_verb("before create", world.interrupt.ask)
    receipt = flow.carry(run, world)
    assert receipt.outcome is Outcome.CANCELLED
    assert len(stage.machines()) == 1
    stage.all_quiet()


@at(*ALL)
def test_row_04_a_machine_that_is_listed_late_is_waited_for(stage: Stage) -> None:
    stage.control.knobs(cloud=stage.name, list_lag_seconds=45, early_not_found_seconds=45)
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert len(stage.machines()) == 1
    assert next(phase.seconds for phase in receipt.phases if phase.name == "boot") >= 45  # nobody showed it before
    stage.all_quiet()


def pool_of(stage: Stage, number: int) -> str:
    """The pool of a choice of the plan, as the control API names it."""
    return pool(stage, stage.plan(stage.laptop(), stage.request()).choices[number].offer)


def pool(stage: Stage, offer: Offer) -> str:
    """The pool of an offer."""
    if stage.name == AWS:
        return f"{offer.zone}/{offer.instance_type}/{offer.market}"
    where = offer.region if stage.name == LAMBDA else f"SECURE/{offer.region}"
    return f"{stage.name}/{where}/{offer.instance_type}"


@at(*ALL)
def test_row_05_a_place_that_is_listed_and_has_nothing_is_left_alone_for_three_minutes(stage: Stage) -> None:
    stage.control.capacity(pool_of(stage, 0), 0)
    world = stage.laptop()
    run = stage.open_run(world)
    best = stage.plan(world, stage.request()).choices[0].offer
    if stage.name == RUNPOD:  # the machine from the next place dies at once: all are looked at again
        stage.control.knobs(cloud=RUNPOD, errors=1)
    else:
        stage.for_one_machine(die_in_pending="Server.InternalError")
    receipt = flow.carry(run, world)
    (refused,) = stage.heard.of(OfferRefused)  # and the place was not asked again
    assert (refused.code, refused.offer.pool) == ("no-capacity", best.pool)
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2), receipt.why
    assert stage.world.clock.at(stage.machines()[1].created) < refused.at + timedelta(seconds=180)
    until = world.ledger.refused_until(best.pool, refused.at)
    assert until is not None
    assert 170 <= (until - refused.at).total_seconds() <= 180
    stage.all_quiet()


def sell_out(stage: Stage) -> list[str]:
    """No pool of the plan has a machine, whatever the catalogue says; the pools."""
    pools = [pool(stage, choice.offer) for choice in stage.plan(stage.laptop(), stage.request()).choices]
    for one in pools:
        stage.control.capacity(one, 0)
    return pools


@at(*ALL)
def test_row_06_capacity_that_comes_back_is_had_without_a_tight_loop(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world, wait_capacity_seconds=1800)
    pools = sell_out(stage)
    scenario = stage.world.landlords[stage.name].scenario  # type: ignore[attr-defined]  # every cloud of ours has one
    stage.later(250, scenario.capacity.clear)
    receipt = flow.carry(run, world)
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    # Each pool is asked once in three minutes: before 250 s have passed, twice at most.
    asked = Counter(pool(stage, event.offer) for event in stage.heard.of(OfferRefused))
    assert asked
    assert set(asked) <= set(pools)
    assert max(asked.values()) <= 2, asked
    assert stage.creates() == asked.total() + 1
    stage.all_quiet()


def use_up_quotas(stage: Stage) -> None:
    """The account may not have one more machine."""
    if stage.name == LAMBDA:
        stage.control.knobs(cloud=LAMBDA, quota=0)
    else:
        for code in QUOTA_NAMES:
            stage.control.quota(REGION, code, 0)


@at(AWS, LAMBDA)
def test_row_07_a_quota_is_told_as_a_quota_and_not_as_a_lack_of_capacity(stage: Stage) -> None:
    world = stage.laptop()
    offers = [choice.offer for choice in stage.plan(world, stage.request()).choices]
    run = stage.open_run(world, wait_capacity_seconds=3600)
    use_up_quotas(stage)
    with pytest.raises(LaunchError) as caught:
        flow.carry(run, world)
    assert (caught.value.code, caught.value.exit_code) == ("quota", Exit.PROVIDER)
    assert {code for code, _ in stage.refusals()} == {"quota"}
    families = {(one.region, one.instance_type.split(".")[0], one.market) for one in offers}
    assert 0 < stage.creates() <= len(families), [(one, stage.refusals()) for one in offers]
    stage.all_quiet()


@at(*ALL)
def test_row_08_nobody_waits_for_capacity_who_did_not_ask_for_it(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    pools = sell_out(stage)
    began = stage.clock()
    with pytest.raises(LaunchError) as caught:
        flow.carry(run, world)
    assert (caught.value.code, caught.value.exit_code) == ("no-capacity", Exit.REFUSED)
    assert 0 < stage.creates() <= len(pools)
    assert (stage.clock() - began).total_seconds() < 12.5 * (stage.creates() + 1)
    stage.all_quiet()


@at(*ALL)
def test_row_08_who_waits_for_capacity_waits_no_longer_than_asked(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world, wait_capacity_seconds=240)
    sell_out(stage)
    began = stage.clock()
    with pytest.raises(LaunchError) as caught:
        flow.carry(run, world)
    assert caught.value.code == "no-capacity"
    assert 240 <= (stage.clock() - began).total_seconds() < 840
    stage.all_quiet()


@at(AWS)
def test_row_09_boto_does_not_repeat_a_create_for_lack_of_capacity(stage: Stage) -> None:
    fault = stage.fault("create", "before", code="InsufficientInstanceCapacity", status=500)
    stage.launch()
    assert fault.fired == 1
    assert stage.creates() == 2
    first, second = stage.calls("RunInstances")
    assert first["ClientToken"] != second["ClientToken"]
    stage.all_quiet()


@at(RUNPOD)
def test_row_10_a_balance_that_is_used_up_is_told_as_that(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world, wait_capacity_seconds=3600)
    stage.control.knobs(cloud=RUNPOD, balance_usd="0.01")
    with pytest.raises(LaunchError) as caught:
        flow.carry(run, world)
    assert (caught.value.code, caught.value.exit_code) == ("balance", Exit.PROVIDER)
    assert stage.creates() == 1
    stage.all_quiet()


@at(LAMBDA)
def test_row_10_an_account_that_may_not_spend_is_told_as_that(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world, wait_capacity_seconds=3600)
    fault = stage.fault("create", "before", times=99, code="global/account-inactive", status=403)
    with pytest.raises(LaunchError) as caught:
        flow.carry(run, world)
    assert fault.fired == 1
    assert caught.value.exit_code is Exit.PROVIDER
    assert caught.value.code != "no-capacity"
    stage.all_quiet()


@at(RUNPOD)
def test_row_11_high_stock_that_cannot_be_had_leads_to_the_next_place_and_every_refusal_is_told(stage: Stage) -> None:
    first, second = pool_of(stage, 0), pool_of(stage, 1)
    stage.control.capacity(first, 0)
    stage.control.capacity(second, 0)
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert [code for code, _ in stage.refusals()] == ["no-capacity", "no-capacity"]
    assert all(body["disk"] >= 20 and body["cloud"] == "SECURE" for body in stage.calls("runpod.create"))
    stage.all_quiet()


@at(LAMBDA)
def test_row_12_a_quantity_is_never_sent(stage: Stage) -> None:
    stage.launch()
    (body,) = stage.calls("lambda.launch")
    assert "quantity" not in body
    stage.all_quiet()


@at(AWS)
def test_row_13_a_spot_machine_is_one_time_and_ends_instead_of_stopping(stage: Stage) -> None:
    stage.launch()
    (form,) = stage.calls("RunInstances")
    options = "InstanceMarketOptions.SpotOptions"
    assert form[f"{options}.SpotInstanceType"] == "one-time"
    assert form[f"{options}.InstanceInterruptionBehavior"] == "terminate"
    assert form["InstanceInitiatedShutdownBehavior"] == "terminate"
    stage.all_quiet()


@at(AWS, LAMBDA)
def test_row_14_a_machine_that_dies_before_it_runs_is_followed_by_another(stage: Stage) -> None:
    stage.for_one_machine(die_in_pending="Server.InsufficientInstanceCapacity")
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert receipt.attempts == 2
    assert "died-booting" in stage.warnings()
    stage.all_quiet()


@at(RUNPOD)
def test_row_14_a_pod_in_error_is_ended_and_followed_by_another(stage: Stage) -> None:
    stage.control.knobs(cloud=RUNPOD, errors=1)
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert receipt.attempts == 2
    assert stage.happened("error") == 1
    assert "died-booting" in stage.warnings()
    stage.all_quiet()


@at(*ALL)
def test_row_15_a_create_that_is_refused_for_haste_is_repeated_after_the_pause_that_was_asked_for(stage: Stage) -> None:
    fault = stage.fault("create", "throttle", times=2, seconds=30)
    began = stage.clock()
    receipt = stage.launch()
    assert fault.fired == 2
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert len(stage.machines()) == 1
    waited = stage.world.clock.at(stage.machines()[0].created) - began
    assert waited.total_seconds() >= {AWS: 1 + 2, LAMBDA: 2 * 30, RUNPOD: 2 * 30}[stage.name]
    stage.all_quiet()
