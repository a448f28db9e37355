"""D3, running: rows 28 to 41 of the failure catalogue (tests/cloud/README.md has the table)."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from launcher import flow, recover
from launcher.events import Warned
from launcher.run import Outcome, State
from providers.base import Level
from tests.failures.stage import ALL, AWS, LAMBDA, RUNPOD, Stage, at
from tests.failures.test_becoming_ready import shipped
from tests.fake_guest import Work
from tests.fake_world import Killed

LONG = Work(steps=100)
"""About twenty minutes, with a checkpoint at every fifth step."""


@at(*ALL)
def test_row_28_a_job_goes_on_while_no_line_to_its_machine_holds(stage: Stage) -> None:
    stage.work = LONG
    stage.later(200, lambda: stage.guests.unreachable.add(stage.machines()[0].id))
    stage.later(700, stage.guests.unreachable.clear)
    in_vain: list[str] = []
    stage.at_point = lambda name: in_vain.append(name) if name == "before remote" and stage.guests.unreachable else None
    receipt = stage.launch()
    assert len(in_vain) > 10
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert (receipt.attempts, len(stage.guests.started)) == (1, 1)
    stage.all_quiet()


@at(AWS)
def test_row_29_a_notice_lets_the_job_save_and_another_machine_goes_on(stage: Stage) -> None:
    stage.work = LONG
    aws: Any = stage.world.landlords[AWS]

    def notice() -> None:
        (job,) = stage.guests.started.values()
        job.notice_at = job.stop_at = stage.clock()
        aws.preempt(stage.machines()[0].id, 120)

    stage.later(400, notice)
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert stage.happened("notice") == 1
    assert {"notice", "resumed"} <= set(stage.warnings())
    assert receipt.attempts == 2
    stage.all_quiet()


TAKEN: dict[str, str] = {AWS: "Server.SpotInstanceTermination", LAMBDA: "preempted", RUNPOD: "taken back"}


@at(*ALL)
def test_row_29_a_machine_that_is_taken_without_a_word_is_followed_by_one_that_goes_on(stage: Stage) -> None:
    stage.work = LONG
    landlord: Any = stage.world.landlords[stage.name]
    stage.later(900, lambda: landlord.end(stage.machines()[0].id, TAKEN[stage.name], "taken back"))
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert receipt.attempts == 2
    assert stage.machines()[0].reason[0] == TAKEN[stage.name]
    assert "resumed" in stage.warnings()
    first_step = max(job.first_step for job in stage.guests.started.values())
    assert first_step > 0
    stage.all_quiet()


@at(AWS)
def test_row_30_a_rebalance_hint_ends_nothing(stage: Stage) -> None:
    stage.work = LONG

    def hint() -> None:
        (job,) = stage.guests.started.values()
        job.notice_at, job.notice_action = stage.clock(), "rebalance"

    stage.later(400, hint)
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert (receipt.attempts, "notice" in stage.warnings()) == (1, True)
    stage.all_quiet()


@at(AWS)
def test_row_30_a_job_that_stops_after_a_rebalance_hint_was_not_taken_back(stage: Stage) -> None:
    stage.work = LONG

    def hint() -> None:
        (job,) = stage.guests.started.values()
        job.notice_at, job.notice_action = stage.clock(), "rebalance"

    def runs_short() -> None:
        (job,) = stage.guests.started.values()
        job.stop_at = stage.clock()

    stage.later(400, hint)
    stage.later(500, runs_short)
    receipt = stage.launch()
    assert "notice" in stage.warnings()
    assert (receipt.outcome, receipt.attempts) == (Outcome.OUT_OF_BUDGET, 1), receipt.why
    stage.all_quiet()


@at(*ALL)
def test_row_31_a_laptop_without_any_network_for_twenty_minutes_ends_no_job(stage: Stage) -> None:
    stage.work = LONG
    faults: list[Any] = []

    def away() -> None:
        faults.extend(stage.fault(verb, "reset", times=10_000) for verb in ("list", "get"))
        stage.guests.unreachable.add(stage.machines()[0].id)

    def back() -> None:
        stage.world.faults.clear()
        stage.guests.unreachable.clear()

    stage.later(300, away)
    stage.later(1500, back)
    receipt = stage.launch()
    assert sum(fault.fired for fault in faults) > 3
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert (receipt.attempts, len(stage.guests.started)) == (1, 1)
    stage.all_quiet()


@at(*ALL)
@pytest.mark.parametrize("when", ["before", "reset", "html"])
def test_row_31_an_api_that_is_down_for_ten_minutes_ends_no_job(stage: Stage, when: str) -> None:
    stage.work = LONG
    faults: list[Any] = []
    stage.later(300, lambda: faults.extend(stage.fault(verb, when, times=10_000) for verb in ("list", "get")))
    stage.later(900, stage.world.faults.clear)
    receipt = stage.launch()
    assert sum(fault.fired for fault in faults) > 3
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert receipt.attempts == 1
    stage.all_quiet()


def hide_the_price(stage: Stage) -> None:
    """What a machine costs is not told any more."""
    if stage.name == RUNPOD:
        stage.control.knobs(cloud=RUNPOD, no_cost=True)
    elif stage.name == LAMBDA:
        stage.drifts = True
        stage.control.knobs(cloud=LAMBDA, no_own_price=True)
    else:
        stage.world.set_knobs(AWS, {"no_spot_history": True})


@at(*ALL)
def test_row_32_a_price_that_nobody_tells_counts_as_the_worst_and_never_as_nothing(stage: Stage) -> None:
    stage.work = LONG
    world = stage.laptop()
    run = stage.open_run(world)
    hide_the_price(stage)
    receipt = flow.carry(run, world)
    (attempt,) = world.ledger.load(run.id).attempts
    assert attempt.rate_usd_per_hour >= attempt.choice.worst_usd_per_hour
    assert receipt.spent_usd >= stage.billed_usd()
    stage.all_quiet()


@at(RUNPOD)
def test_row_33_no_end_is_left_to_a_timer_of_the_service_that_does_nothing(stage: Stage) -> None:
    stage.launch()
    (body,) = stage.calls("runpod.create")
    assert not {"terminateAfter", "stopAfter"} & set(body)
    assert float(body["env"]["LAUNCH_LEASE"]) > 0


@at(LAMBDA, RUNPOD)
def test_row_33_a_machine_that_cannot_end_itself_is_ended_by_reap_once_its_results_are_home(stage: Stage) -> None:
    if stage.name == RUNPOD:
        stage.control.knobs(cloud=RUNPOD, pod_key_rights="none")
    die_in(stage, State.RUNNING)
    stage.clock.sleep(12 * 3600)
    assert stage.world.meter.alive()
    stage.revive()
    world = stage.laptop()
    recover.reap(world)
    assert not stage.world.meter.alive()
    (record,) = world.ledger.runs()
    assert record.state is State.TERMINATED
    receipt = json.loads(record.receipt_json or "{}")
    assert (receipt["outcome"], receipt["results"]["verified"]) == ("succeeded", True)


def die_in(stage: Stage, state: State) -> None:
    """Launch, and die for good while the run is in that state."""

    def on_point(name: str) -> None:
        runs = [] if name.startswith("before open") else stage.states()
        if name == "before remote" and state in runs:
            stage.dead = True
            raise Killed

    stage.at_point = on_point
    with pytest.raises(Killed):
        stage.launch()
    stage.at_point = lambda name: None


@at(*ALL)
def test_row_34_the_machine_lives_until_its_results_are_home(stage: Stage) -> None:
    stage.work = Work(steps=10_000, step_seconds=30, log_bytes=300_000)
    stage.guests.trickle_seconds = 0.5
    world = stage.laptop()
    run = stage.open_run(world, budget="1")
    receipt = flow.carry(run, world)
    assert receipt.outcome is Outcome.OUT_OF_BUDGET
    assert receipt.results.verified
    assert next(phase.seconds for phase in receipt.phases if phase.name == "pull") >= 50
    assert receipt.terminated.at is not None
    assert receipt.terminated.at <= world.ledger.load(run.id).attempts[-1].deadline
    assert not [one for one in stage.world.events[stage.since :] if "own deadline" in one.text]
    stage.all_quiet(budget="1")


@at(RUNPOD)
def test_row_35_a_balance_that_runs_out_loses_no_more_than_the_work_since_the_last_checkpoint(stage: Stage) -> None:
    stage.work = Work(steps=1000, step_seconds=20)
    world = stage.laptop()
    run = stage.open_run(world)
    stage.later(1500, lambda: stage.world.set_knobs(RUNPOD, {"balance_usd": "0.0"}))
    receipt = flow.carry(run, world)
    assert stage.machines()[0].reason[0] == "balance"
    assert receipt.outcome in (Outcome.LOST, Outcome.PREEMPTED)
    assert world.ledger.checkpoint(run.id)
    stage.all_quiet()


@at(RUNPOD)
def test_row_35_a_balance_below_the_worst_case_is_refused_before_anything_is_rented(stage: Stage) -> None:
    stage.control.knobs(cloud=RUNPOD, balance_usd="3")
    world = stage.laptop()
    rejected = {one.code for one in stage.plan(world, stage.request(budget="5")).rejected}
    assert "balance" in rejected
    assert not stage.plan(world, stage.request(budget="5")).choices


@at(*ALL)
def test_row_36_a_machine_without_room_for_the_model_goes_back_before_anything_is_shipped(stage: Stage) -> None:
    stage.guests.probe = {"disk_free_gib": 3.0}
    shipped_before: list[int] = []

    def cleared() -> None:
        shipped_before.append(shipped(stage))
        stage.guests.probe.clear()

    stage.once(("ending", "terminated"), cleared)
    receipt = stage.launch()
    assert shipped_before == [0]
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert receipt.attempts == 2
    assert any("disk: 3.0 GiB free" in event.text for event in stage.heard.of(Warned))
    stage.all_quiet()


@at(*ALL)
def test_row_37_over_a_slow_line_the_adapter_comes_first(stage: Stage) -> None:
    stage.work = Work(weights_bytes=300_000)
    stage.guests.trickle_seconds = 1.0
    receipt = stage.launch()
    assert receipt.results.verified
    assert next(phase.seconds for phase in receipt.phases if phase.name == "pull") > 100
    results = [paths for paths in stage.guests.sent_paths if paths[0].startswith(("adapter/", "eval/", "logs/"))]
    alone = [path for path, *more in results if not more]  # small files travel together
    assert alone[0] == "adapter/adapter_model.safetensors"
    stage.all_quiet()


@at(RUNPOD)
def test_row_38_a_container_that_begins_anew_is_noticed_and_the_work_goes_on(stage: Stage) -> None:
    stage.work = LONG
    life: Any = stage.world.landlords[RUNPOD]

    def restart() -> None:
        life.restart(stage.machines()[0])
        stage.guests.wiped.add(stage.machines()[0].id)
        stage.guests.started.clear()

    stage.later(600, restart)
    receipt = stage.launch()
    assert stage.happened("restarted") == 1
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    first = stage.machines()[0]
    assert first.metered.ended is not None
    assert first.metered.ended - first.created < 600 + 180
    assert "resumed" in stage.warnings()
    stage.all_quiet()


@at(*ALL)
@pytest.mark.parametrize("skew_seconds", [-600, 600])
def test_row_39_clocks_that_differ_shorten_no_lease_and_are_told_by_doctor(stage: Stage, skew_seconds: int) -> None:
    stage.control.knobs(cloud=stage.name, clock_skew_seconds=skew_seconds)
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    found = {one.subject: one for one in stage.laptop().provider(stage.name).check()}
    assert found["clock"].level is Level.WARNING
    if stage.name == RUNPOD:
        body = stage.calls("runpod.create")[0]  # after it comes the one by which doctor finds the key's rights
        born = int(body["env"]["LAUNCH_BORN"])
        created = stage.world.clock.at(stage.machines()[0].created).timestamp()
        assert abs(born - (created + skew_seconds)) < 5
    stage.all_quiet()


def dearer(stage: Stage) -> Callable[[], None]:
    """The price of the machine that runs goes up by half."""

    def raise_price() -> None:
        machine = stage.machines()[0]
        landlord: Any = stage.world.landlords[stage.name]
        price = (machine.metered.prices[-1][1] * Decimal("1.5")).quantize(Decimal("0.01"))
        if stage.name == AWS:
            landlord.set_spot_price(machine.zone, machine.instance_type, price)
        else:
            landlord.set_price(machine.instance_type, str(price))

    return raise_price


@at(*ALL)
def test_row_41_a_price_that_changes_during_the_run_is_metered_as_it_was(stage: Stage) -> None:
    stage.work = Work(steps=300)
    world = stage.laptop()
    run = stage.open_run(world)
    stage.later(900, dearer(stage))
    receipt = flow.carry(run, world)
    billed = stage.billed_usd()
    assert len(stage.machines()[0].metered.prices) == 2
    assert billed <= receipt.spent_usd <= billed * Decimal("1.05") + Decimal("0.02")
    stage.all_quiet()
