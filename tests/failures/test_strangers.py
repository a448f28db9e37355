"""What is looked at with other eyes than before: another key, a state with a new name, marks that are not shown."""

import pytest

from launcher import flow, recover
from launcher.errors import Exit, LaunchError
from launcher.run import Outcome, State
from tests.cloud.client import OTHER_LAMBDA_KEY, OTHER_RUNPOD_KEY
from tests.failures.stage import ALL, LAMBDA, OPERATIONS, RUNPOD, Stage, at
from tests.failures.test_running import die_in

OTHER = {LAMBDA: ("LAMBDA_API_KEY", OTHER_LAMBDA_KEY), RUNPOD: ("RUNPOD_API_KEY", OTHER_RUNPOD_KEY)}


def with_another_key(stage: Stage) -> None:
    """The same person in a shell with another account's key, which shows an empty account."""
    variable, key = OTHER[stage.name]
    stage.environ = {**stage.environ, variable: key}


@at(LAMBDA, RUNPOD)
def test_with_the_key_of_another_account_nothing_is_called_terminated(stage: Stage) -> None:
    die_in(stage, State.RUNNING)
    stage.revive()
    before = stage.environ
    with_another_key(stage)
    world = stage.laptop()
    (record,) = world.ledger.runs()
    with pytest.raises(LaunchError) as caught:
        recover.stop(record.id, world, now=True)
    assert (caught.value.code, caught.value.exit_code) == ("another-account", Exit.MAY_BE_RUNNING)
    assert stage.world.meter.alive()
    stage.environ = before
    flow.attach(record.id, stage.laptop())
    assert not stage.world.meter.alive()


@at(LAMBDA, RUNPOD)
def test_a_person_who_saw_that_a_machine_is_gone_can_say_so_where_its_key_is_no_more(stage: Stage) -> None:
    die_in(stage, State.BOOTING)
    stage.revive()
    (machine,) = stage.machines()
    stage.control.call("end", machine=machine.id, code="asked")
    with_another_key(stage)
    world = stage.laptop()
    (record,) = world.ledger.runs()
    recover.stop(record.id, world, now=True, gone=True)
    assert world.ledger.load(record.id).state is State.TERMINATED


@at(*ALL)
def test_a_machine_that_is_not_shown_is_asked_to_end_before_its_absence_counts(stage: Stage) -> None:
    die_in(stage, State.BOOTING)
    stage.revive()
    (machine,) = stage.machines()
    stage.control.call("end", machine=machine.id, code="asked")
    stage.clock.sleep(7200)  # long enough that no list and no id shows it any more
    world = stage.laptop()
    (record,) = world.ledger.runs()
    recover.stop(record.id, world, now=True)
    assert stage.calls(OPERATIONS[stage.name]["terminate"])


@at(LAMBDA, RUNPOD)
def test_a_state_with_a_new_name_does_not_cost_a_working_run_its_machine(stage: Stage) -> None:
    die_in(stage, State.RUNNING)
    stage.revive()
    stage.control.knobs(cloud=stage.name, odd_status="migrating")
    found = recover.reap(stage.laptop())
    assert (found.ended, len(found.taken_back)) == ((), 1)
    assert stage.world.meter.alive()
    stage.control.knobs(cloud=stage.name, odd_status="")
    receipt = flow.attach(found.taken_back[0], stage.laptop())
    assert receipt.outcome is Outcome.SUCCEEDED


@at(LAMBDA, RUNPOD)
def test_a_machine_that_never_gets_ready_is_given_up_within_a_small_budget(stage: Stage) -> None:
    world = stage.laptop()
    if stage.name == RUNPOD:
        stage.control.knobs(cloud=RUNPOD, pod_key_rights="none")
    stage.control.knobs(cloud=stage.name, never_ready=True)
    budgets = [f"{cents / 100:.2f}" for cents in range(5, 200, 5)]
    budget = next(one for one in budgets if stage.plan(world, stage.request(budget=one)).choices)
    receipt = stage.launch(budget=budget)
    assert receipt.outcome is Outcome.OUT_OF_BUDGET, receipt.why
    stage.all_quiet(budget=budget)


@at(LAMBDA)
def test_a_catalogue_that_shows_nothing_any_more_is_waited_for(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world, wait_capacity_seconds=240)
    for name in list(stage.world.landlords[LAMBDA].scenario.types):  # type: ignore[attr-defined]  # what that cloud has
        for region in ("us-east-1", "us-west-1", "us-west-2"):
            stage.control.capacity(f"lambda/{region}/{name}", 0)

        def unlist(name: str = name) -> None:
            stage.world.landlords[LAMBDA].set_places(name, [])  # type: ignore[attr-defined]  # as above

        stage.later(15, unlist)
    began = stage.clock()
    with pytest.raises(LaunchError) as caught:
        flow.carry(run, world)
    assert caught.value.code == "no-capacity"
    assert (stage.clock() - began).total_seconds() >= 240
    assert stage.creates() > 0
    assert not stage.calls("lambda.keys") or not stage.laptop().provider(LAMBDA).leftovers()


@at(LAMBDA, RUNPOD)
def test_a_machine_that_turns_up_after_its_create_call_was_given_up_is_ended_by_the_next_command(stage: Stage) -> None:
    fault = stage.fault("create", "after")
    stage.control.knobs(cloud=stage.name, list_lag_seconds=7200)
    receipt = stage.launch()
    assert fault.fired == 1
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert len(stage.world.meter.alive()) == 1
    stage.clock.sleep(7200)
    world = stage.laptop()
    recover.settle_open(world)
    assert "late-machine" in stage.warnings()
    assert stage.world.meter.alive() == []
    (record,) = world.ledger.runs()
    assert [one.never_was for one in world.ledger.load(record.id).attempts] == [False, False]


@at(LAMBDA, RUNPOD)
def test_a_machine_that_turns_up_before_its_run_ends_is_in_its_receipt(stage: Stage) -> None:
    fault = stage.fault("create", "after")
    stage.for_one_machine(list_lag_seconds=7200)
    receipt = stage.launch()
    assert fault.fired == 1
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert stage.world.meter.alive() == []
    assert receipt.attempts == 2
    assert receipt.spent_usd >= stage.billed_usd()
