"""D4, ending: rows 42 to 52 of the failure catalogue (tests/cloud/README.md has the table)."""

import json
from typing import Any

import pytest

from launcher import flow, recover
from launcher.errors import Exit, LaunchError
from launcher.run import Outcome, State
from providers.base import Busy
from tests.failures.stage import ALL, AWS, LAMBDA, RUNPOD, Stage, at
from tests.failures.test_running import LONG, die_in
from tests.fake_guest import Work

LINGER: dict[str, dict[str, float]] = {
    AWS: {"ending_seconds": 200}, LAMBDA: {"ending_seconds": 200}, RUNPOD: {"lingers_seconds": 200},
}  # fmt: skip


@at(*ALL)
def test_row_42_a_machine_that_lingers_is_not_called_terminated(stage: Stage) -> None:
    stage.control.knobs(cloud=stage.name, **LINGER[stage.name])
    receipt = stage.launch()
    machine = stage.machines()[0]
    assert machine.metered.ended is not None
    assert receipt.terminated.confirmed
    assert receipt.terminated.at is not None
    assert receipt.terminated.looks == 3
    over = stage.world.clock.at(machine.metered.ended + 200)
    assert receipt.terminated.at >= over
    stage.all_quiet()


@at(RUNPOD)
def test_row_42_a_pod_that_only_the_other_door_shows_is_not_called_terminated(stage: Stage) -> None:
    stage.second_look = True
    stage.control.knobs(cloud=RUNPOD, billed_on_seconds=60)
    receipt = stage.launch()
    (pod,) = stage.machines()
    assert receipt.terminated.at is not None
    assert pod.metered.ended is not None
    assert receipt.terminated.at >= stage.world.clock.at(pod.metered.ended)
    assert "teardown" in stage.warnings()
    assert stage.billed_usd() <= receipt.spent_usd


@at(*ALL)
def test_row_43_a_terminate_that_is_ignored_is_asked_for_again(stage: Stage) -> None:
    stage.control.knobs(cloud=stage.name, terminate_ignored=2)
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert stage.knobs.terminate_ignored == 0
    stage.all_quiet()


@at(*ALL)
@pytest.mark.parametrize("when", ["before", "after", "reset", "html"])
def test_row_43_a_terminate_without_a_clear_answer_is_asked_for_again(stage: Stage, when: str) -> None:
    fault = stage.fault("terminate", when, times=3)
    receipt = stage.launch()
    assert fault.fired >= 1
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert "teardown" in stage.warnings()
    stage.all_quiet()


@at(*ALL)
def test_row_43_a_cloud_that_never_lets_go_is_told_loudly_with_exit_7(stage: Stage) -> None:
    stage.control.knobs(cloud=stage.name, terminate_ignored=10_000)
    with pytest.raises(LaunchError) as caught:
        stage.launch()
    assert caught.value.exit_code is Exit.MAY_BE_RUNNING
    machine = stage.machines()[0]
    assert machine.id in caught.value.message
    stage.control.knobs(cloud=stage.name, terminate_ignored=0)
    found = recover.reap(stage.laptop())
    assert not found.still_there
    stage.all_quiet()


@at(*ALL)
def test_row_44_not_found_early_in_life_is_no_proof_of_an_end(stage: Stage) -> None:
    stage.control.knobs(cloud=stage.name, early_not_found_seconds=90, list_lag_seconds=90)
    world = stage.laptop()
    run = stage.open_run(world)
    stage.at_verb("after create", world.interrupt.ask)
    receipt = flow.carry(run, world)
    assert receipt.outcome is Outcome.CANCELLED
    assert receipt.terminated.looks == 3
    assert receipt.terminated.at is not None
    (machine,) = stage.machines()
    assert receipt.terminated.at >= stage.world.clock.at(machine.created + 90)  # nobody showed it before
    stage.all_quiet()


@at(*ALL)
def test_row_45_a_gap_in_a_list_ends_no_tracking(stage: Stage) -> None:
    stage.work = LONG
    stage.later(300, lambda: stage.world.set_knobs(stage.name, {"list_gap": 3}))
    receipt = stage.launch()
    assert stage.happened("gap") == 3
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert receipt.attempts == 1
    stage.all_quiet()


@at(*ALL)
def test_row_45_a_gap_in_a_list_ends_no_teardown(stage: Stage) -> None:
    stage.control.knobs(cloud=stage.name, terminate_ignored=1)
    stage.at_verb("before terminate", lambda: stage.world.set_knobs(stage.name, {"list_gap": 4}))
    receipt = stage.launch()
    assert stage.happened("gap") >= 1
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    stage.all_quiet()


@at(AWS)
def test_row_46_a_machine_that_is_still_pending_can_be_ended(stage: Stage) -> None:
    stage.control.knobs(cloud=AWS, pending_seconds=300)
    world = stage.laptop()
    run = stage.open_run(world)
    stage.at_verb("after create", world.interrupt.ask)
    receipt = flow.carry(run, world)
    (machine,) = stage.machines()
    assert machine.metered.started is None
    assert receipt.outcome is Outcome.CANCELLED
    stage.all_quiet()


@at(AWS, RUNPOD)
def test_row_47_a_machine_whose_boot_fails_and_whose_laptop_is_gone_ends_itself(stage: Stage) -> None:
    stage.control.knobs(cloud=stage.name, ssh_refuse=True)
    die_in(stage, State.BOOTING)
    (machine,) = stage.machines()
    assert machine.alive
    stage.clock.sleep(24 * 3600)
    assert not machine.alive
    assert stage.billed_usd() <= 5


@at(AWS, LAMBDA)
def test_row_47_the_dead_man_is_the_first_thing_that_user_data_starts(stage: Stage) -> None:
    stage.launch()
    config = json.loads(stage.machines()[0].user_data.decode().partition("\n")[2])
    assert next(iter(config)) == "bootcmd"
    first = config["bootcmd"][0]
    assert first[:2] == ["sh", "-c"]
    assert "deadman" in first[2]
    assert "runcmd" not in config


@at(LAMBDA)
def test_row_47_a_key_on_the_machine_lets_it_end_itself(stage: Stage) -> None:
    stage.settings[LAMBDA]["deadman"] = "api-key"
    stage.environ["LAMBDA_DEADMAN_API_KEY"] = "secret_guard_0123456789abcdef.x"
    assert stage.laptop().provider(LAMBDA).traits.guarded
    stage.work = Work(steps=10_000, step_seconds=30)
    die_in(stage, State.RUNNING)
    stage.clock.sleep(24 * 3600)
    assert not stage.world.meter.alive()
    assert stage.billed_usd() <= 5


@at(LAMBDA)
def test_row_48_nothing_of_ours_switches_a_machine_off_that_is_billed_on_then(stage: Stage) -> None:
    stage.launch()
    argv = json.loads(stage.machines()[0].user_data.decode().partition("\n")[2])["bootcmd"][0]
    end = argv[argv.index("arm") + 4 :]
    assert "shutdown" not in end[0]
    assert not any(word in ("poweroff", "shutdown", "halt") for word in end)


@at(LAMBDA)
def test_row_48_a_machine_that_was_switched_off_from_inside_is_ended_and_replaced(stage: Stage) -> None:
    stage.work = LONG
    life: Any = stage.world.landlords[LAMBDA]

    def power_off() -> None:
        machine = stage.machines()[0]
        life.falls_ill(machine, stage.world.clock.seconds(), "it switched itself off; billed on")
        stage.world.over(machine)

    stage.later(600, power_off)
    receipt = stage.launch()
    first = stage.machines()[0]
    assert stage.happened("unhealthy") == 1
    assert first.metered.ended is not None
    assert first.metered.ended - first.created < 600 + 300
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert receipt.attempts == 2
    stage.all_quiet()


@at(AWS)
def test_row_49_a_firewall_that_a_machine_still_holds_is_left_until_it_can_go(stage: Stage) -> None:
    die_in(stage, State.BOOTING)
    stage.revive()
    provider = stage.laptop().provider(AWS)
    (group,) = [one for one in provider.leftovers() if one.kind == "security group"]
    with pytest.raises(Busy):
        provider.remove(group)
    recover.reap(stage.laptop())
    recover.reap(stage.laptop())
    assert provider.leftovers() == ()
    stage.all_quiet()


@at(*ALL)
def test_row_50_nothing_that_is_billed_or_lies_about_is_left_after_a_run(stage: Stage) -> None:
    receipt = stage.launch()
    assert receipt.leftovers == ()
    left = [one for one in stage.laptop().provider(stage.name).leftovers() if one.run_id == receipt.run]
    assert left == []
    if stage.name == LAMBDA:
        assert len(stage.calls("lambda.addkey")) == 1
        assert stage.world.landlords[LAMBDA].keys == {}  # type: ignore[attr-defined]  # what only that cloud has
    stage.all_quiet()


@at(*ALL)
def test_row_51_two_processes_that_end_the_same_machine_do_no_harm(stage: Stage) -> None:
    other = stage.laptop()

    def reap_too() -> None:
        (machine,) = [one for one in other.provider(stage.name).list() if one.run_id == "brave-otter-0001"]
        other.provider(stage.name).terminate(machine)
        stage.clock.sleep(1)

    if stage.name != RUNPOD:  # where an ended pod is never known any more
        stage.control.knobs(cloud=stage.name, ending_seconds=0, listed_seconds=0)
    stage.at_verb("before terminate", reap_too)
    receipt = stage.launch()
    assert stage.points.count("before terminate") >= 2
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert len(stage.machines()) == 1
    stage.all_quiet()


@at(*ALL)
def test_row_52_a_pull_that_breaks_off_is_taken_up_before_the_machine_ends(stage: Stage) -> None:
    stage.guests.lost_pulls = 3
    stage.work = Work(weights_bytes=400_000)
    receipt = stage.launch()
    assert stage.guests.lost_pulls == 0
    assert (receipt.outcome, receipt.results.verified) == (Outcome.SUCCEEDED, True)
    stage.all_quiet()


@at(*ALL)
def test_row_52_results_that_will_not_come_home_do_not_keep_a_machine_for_ever(stage: Stage) -> None:
    stage.guests.unsendable = "adapter/adapter_model.safetensors"
    stage.work = Work(weights_bytes=400_000)
    receipt = stage.launch()
    assert receipt.outcome is Outcome.LOST
    assert "could not be pulled" in receipt.why
    stage.all_quiet()
