"""D2, becoming ready: rows 16 to 27 of the failure catalogue (tests/cloud/README.md has the table)."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from launcher import flow
from launcher.events import Forecast, Warned
from launcher.run import Outcome, Run
from launcher.world import World
from tests.failures.stage import ALL, AWS, LAMBDA, RUNPOD, Stage, at
from tests.fake_guest import Work


def shipped(stage: Stage) -> int:
    """How many files were sent to machines."""
    return sum(argv[2] == "receive" and "bundle" in " ".join(argv) for argv in stage.guests.argv_seen if len(argv) > 2)


@at(*ALL)
def test_row_16_a_machine_that_never_becomes_ready_goes_back_at_its_deadline(stage: Stage) -> None:
    stage.for_one_machine(never_ready=True)
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert receipt.attempts == 2
    assert "never-ready" in stage.warnings()
    first = stage.machines()[0]
    assert first.metered.ended is not None
    most = stage.laptop().provider(stage.name).traits.boot_deadline_seconds
    assert first.metered.ended - first.created <= most + 60
    stage.all_quiet()


@at(RUNPOD)
def test_row_17_a_pod_that_runs_without_ports_is_given_five_minutes(stage: Stage) -> None:
    stage.for_one_machine(no_ports=True)
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert receipt.attempts == 2
    first = stage.machines()[0]
    assert first.metered.ended is not None
    assert 300 <= first.metered.ended - first.created <= 400
    stage.all_quiet()


@at(*ALL)
def test_row_17_a_machine_whose_ssh_server_refuses_goes_back_at_its_deadline(stage: Stage) -> None:
    stage.for_one_machine(ssh_refuse=True)
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert receipt.attempts == 2
    assert any("no login" in event.text for event in stage.heard.of(Warned) if event.code == "never-ready")
    first = stage.machines()[0]
    assert first.metered.ended is not None
    assert first.metered.ended - first.created <= stage.laptop().provider(stage.name).traits.boot_deadline_seconds + 60
    stage.all_quiet()


SLOW_BOOT: dict[str, dict[str, float]] = {LAMBDA: {"pending_seconds": 900}, RUNPOD: {"pull_seconds": 900}}


@at(LAMBDA, RUNPOD)
def test_row_18_an_image_that_comes_slowly_is_waited_for_and_paid_from_the_budget(stage: Stage) -> None:
    stage.control.knobs(cloud=stage.name, **SLOW_BOOT[stage.name])
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert receipt.attempts == 1
    boot = next(phase for phase in receipt.phases if phase.name == "boot")
    assert boot.seconds > 890
    assert stage.billed_usd() <= receipt.spent_usd
    stage.all_quiet()


@at(RUNPOD)
def test_row_18_what_a_pod_that_boots_slowly_says_of_itself_is_told(stage: Stage) -> None:
    stage.control.knobs(cloud=RUNPOD, pull_seconds=900)
    stage.launch()
    told = [event.text for event in stage.heard.of(Warned) if event.code == "booting"]
    assert told
    assert "pulling" in told[0]


@at(LAMBDA)
def test_row_19_ssh_is_tried_whatever_the_status_says(stage: Stage) -> None:
    stage.control.knobs(cloud=LAMBDA, active_seconds=600)
    receipt = stage.launch()
    boot = next(phase for phase in receipt.phases if phase.name == "boot")
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert boot.seconds < 60
    assert stage.happened("active") == 0
    stage.all_quiet()


@at(LAMBDA)
def test_row_19_a_machine_that_is_active_before_its_ssh_server_is_waited_for(stage: Stage) -> None:
    stage.control.knobs(cloud=LAMBDA, ssh_delay_seconds=200)
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert receipt.attempts == 1
    assert next(phase.seconds for phase in receipt.phases if phase.name == "boot") > 200
    stage.all_quiet()


@at(LAMBDA)
def test_row_20_a_machine_that_is_unhealthy_on_arrival_ends_at_once_and_its_minute_is_counted(stage: Stage) -> None:
    stage.control.knobs(cloud=LAMBDA, unhealthy=1)
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert receipt.attempts == 2
    assert stage.happened("unhealthy") == 1
    first, second = stage.machines()
    assert first.metered.ended is not None
    assert first.metered.ended - first.created < 60
    assert (first.region, first.instance_type) != (second.region, second.instance_type)
    assert Decimal(0) < stage.billed_usd() <= receipt.spent_usd
    stage.all_quiet()


@at(*ALL)
def test_row_21_a_gpu_that_does_not_compute_is_found_before_anything_is_shipped(stage: Stage) -> None:
    stage.guests.trial = {"proved": [], "failed": "RuntimeError: CUDA error: system not yet initialized (802)"}
    shipped_before: list[int] = []

    def mended() -> None:
        shipped_before.append(shipped(stage))
        stage.guests.trial = {}

    stage.once(("ending", "terminated"), mended)
    receipt = stage.launch()
    assert shipped_before == [0]
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert receipt.attempts == 2
    assert any("802" in event.text for event in stage.heard.of(Warned))
    stage.all_quiet()


LESS: list[tuple[str, dict[str, Any]]] = [
    ("no GPU", {"gpus": []}),
    ("less VRAM", {"gpus": [{"name": "NVIDIA", "memory_mib": 8000, "driver": "580.1"}]}),
    ("tiny host memory", {"ram_gib": 1.5}),
]


@at(*ALL)
@pytest.mark.parametrize(("what", "probe"), LESS, ids=[what for what, _ in LESS])
def test_row_22_a_machine_with_less_than_was_sold_goes_back(stage: Stage, what: str, probe: dict[str, Any]) -> None:
    stage.guests.probe = dict(probe)
    stage.once(("ending", "terminated"), stage.guests.probe.clear)
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert receipt.attempts == 2, what
    assert "not-as-rented" in stage.warnings()
    stage.all_quiet()


@at(*ALL)
def test_row_23_a_machine_at_half_the_speed_changes_the_forecast_and_never_the_budget(stage: Stage) -> None:
    stage.work = Work(steps=400, step_seconds=60, save_every=20)
    receipt = stage.launch(budget="1")
    assert receipt.planned_usd is not None
    assert receipt.planned_usd.expected_usd < 1
    soon = stage.world.clock.at(stage.machines()[0].created) + timedelta(seconds=900)
    forecasts = [event.usd.expected_usd for event in stage.heard.of(Forecast) if event.at < soon]
    assert forecasts[-1] > 1, forecasts  # said long before the budget is spent
    assert receipt.outcome is Outcome.OUT_OF_BUDGET
    assert receipt.results.files > 0
    stage.all_quiet(budget="1")


@at(AWS, RUNPOD)
def test_row_24_somebody_else_at_the_machine_s_address_is_a_security_stop(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    strangers_key(stage, world, run)
    receipt = flow.carry(run, world)
    assert (receipt.outcome, receipt.attempts) == (Outcome.FAILED, 1)
    assert "somebody else answers" in receipt.why
    assert stage.guests.argv_seen == []
    stage.all_quiet()


@at(LAMBDA)
def test_row_24_where_nobody_vouches_for_a_key_no_secret_is_sent(stage: Stage) -> None:
    stage.environ["HF_TOKEN"] = "hf_secret"
    world = stage.laptop()
    run = stage.open_run(world, secrets=("HF_TOKEN",))
    strangers_key(stage, world, run)
    receipt = flow.carry(run, world)
    assert receipt.outcome is Outcome.FAILED
    assert "secrets are not sent" in receipt.why
    assert stage.guests.secrets_seen == []
    stage.all_quiet()


@at(LAMBDA)
def test_row_24_an_image_s_own_key_is_pinned_at_first_use_and_said(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world)
    pinned = strangers_key(stage, world, run)
    receipt = flow.carry(run, world)
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert pinned == [stage.guests.shown_key]
    assert "host-key-first-use" in stage.warnings()
    stage.all_quiet()


def strangers_key(stage: Stage, world: World, run: Run) -> list[str]:
    """Machines show a key that we did not give them, and let in whoever accepts it; the keys that were accepted."""
    stage.guests.shown_key = "ssh-ed25519 " + "AAAAC3NzaC1lZDI1NTE5AAAAIEQ5cRZ0b1vJ0v0Y5wq8p2Ue3o6k1yqkq6lJm1bq8s7H"
    stage.guests.wrong_host_key = True
    pinned: list[str] = []

    def accepted() -> None:
        pinned.append(world.ledger.load(run.id).attempt.host_key)
        stage.guests.wrong_host_key = False

    once_saved(stage, accepted, lambda: bool(world.ledger.load(run.id).attempts[-1].host_key))
    return pinned


def once_saved(stage: Stage, do: Callable[[], None], when: Callable[[], bool]) -> None:
    """Do something after the write to the ledger that makes `when` true."""
    done: list[str] = []

    def on_point(name: str) -> None:
        if name == "after save_attempt" and not done and when():
            done.append(name)
            do()

    stage.at_point = on_point


@at(*ALL)
def test_row_24_a_machine_that_shows_another_key_in_the_middle_of_a_run_is_a_security_stop(stage: Stage) -> None:
    stage.work = Work(steps=100)
    stage.later(600, lambda: setattr(stage.guests, "wrong_host_key", True))
    receipt = stage.launch()
    assert (receipt.outcome, receipt.attempts) == (Outcome.FAILED, 1)
    assert "somebody else answers" in receipt.why
    stage.all_quiet()


@at(RUNPOD)
def test_row_25_a_pod_that_moves_is_followed_to_its_new_address(stage: Stage) -> None:
    stage.work = Work(steps=100)
    life: Any = stage.world.landlords[RUNPOD]
    stage.later(400, lambda: life.move(stage.machines()[0]))
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert stage.happened("moved") == 1
    assert (receipt.attempts, "moved" in stage.warnings()) == (1, True)
    stage.all_quiet()


@at(*ALL)
def test_row_26_nothing_that_we_start_on_a_machine_waits_for_apt(stage: Stage) -> None:
    stage.launch()
    machine = stage.machines()[0]
    sent = machine.user_data.decode() if stage.name != RUNPOD else str(stage.calls("runpod.create"))
    assert "shutdown" in sent or "deadman" in sent.lower()
    for word in ("apt-get", "apt ", "dpkg", "pip install", 'package_update": true'):
        assert word not in sent


@at(LAMBDA)
def test_row_27_an_arm_machine_is_left_out_unless_its_card_is_named(stage: Stage) -> None:
    world = stage.laptop()
    left = {one.offer.instance_type: one.code for one in stage.plan(world, stage.request()).rejected}
    named = [one.offer.instance_type for one in stage.plan(world, stage.request(gpu="gh200")).choices]
    assert left["gpu_1x_gh200"] == "architecture"
    assert "gpu_1x_gh200" in named


@at(*ALL)
def test_row_27_a_machine_with_another_processor_than_was_rented_goes_back(stage: Stage) -> None:
    stage.guests.probe = {"architecture": "aarch64"}
    stage.once(("ending", "terminated"), stage.guests.probe.clear)
    receipt = stage.launch()
    assert receipt.outcome is Outcome.SUCCEEDED, receipt.why
    assert receipt.attempts == 2
    assert any("processor" in event.text for event in stage.heard.of(Warned))
    stage.all_quiet()
