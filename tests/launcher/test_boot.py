"""From a machine that exists to one that works: what sends it back, what is waited for, what is told meanwhile."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from launcher import codec, flow
from launcher.boot import NO_ADDRESS_SECONDS, SLOW_SECONDS
from launcher.events import Happened, Warned
from launcher.price import current_plan
from launcher.remote import CommandTimeout, Keys, Remote, RemoteUnreachable
from launcher.run import Outcome, State
from pricing.memory import free_disk_gib, ram_gib
from pricing.offer import Billing
from providers.base import Access, EndReason, Instance, InstanceState, Ssh, Unavailable
from tests.fake_machine import Machine, fake_offer, fake_traits
from tests.fake_world import Stage
from tests.launcher.moments import in_state, raising, when

CARD = {"name": "NVIDIA A10G", "memory_mib": 22_515, "driver": "580.1"}


def told(stage: Stage, code: str) -> list[str]:
    return [event.text for event in stage.heard.of(Warned) if event.code == code]


def first_only(stage: Stage) -> None:
    """The second machine is as it should be."""
    when(stage, lambda verb: verb == "create" and bool(stage.cloud.truth), lambda: setattr(stage.site, "probe", {}))


# As it was rented


WRONG: Mapping[str, tuple[dict[str, object], str]] = {
    "no card": ({"gpus": []}, "GPUs shown: none; rented: 1 A10G"),
    "a smaller card": (
        {"gpus": [{**CARD, "memory_mib": 15_000}]}, "GPUs shown: NVIDIA A10G 15000 MiB; rented: 1 A10G"
    ),
    "little memory": ({"ram_gib": 7.5}, "host memory: 7.5 GiB, loading the model needs"),
    "a small disk": ({"disk_free_gib": 20.0}, "disk: 20.0 GiB free, the job needs"),
    "another processor": ({"architecture": "aarch64"}, "its processor is aarch64, rented was x86_64"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_machine_that_is_not_what_was_rented_goes_back_and_another_one_is_tried(stage: Stage, what: str) -> None:
    stage.site.probe, words = WRONG[what]
    first_only(stage)
    receipt = stage.launch()
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    (text,) = told(stage, "not-as-rented")
    assert words in text
    assert list(stage.site.started) == ["m-0002"]
    stage.all_quiet()


def test_everything_that_is_wrong_is_told_at_once(stage: Stage) -> None:
    stage.site.probe = {"gpus": [], "ram_gib": 4.0, "disk_free_gib": 1.0, "architecture": "riscv64"}
    why = stage.launch().why
    assert [words in why for words in ("GPUs shown", "host memory", "disk:", "its processor is riscv64")] == [True] * 4


def _needs(stage: Stage) -> tuple[float, float]:
    return ram_gib(stage.workload) / 0.95, free_disk_gib(stage.workload)


@pytest.mark.parametrize(("more", "attempts"), [(0.01, 1), (-0.01, 2)])
def test_memory_and_disk_are_weighed_against_what_this_job_needs(stage: Stage, more: float, attempts: int) -> None:
    ram, disk = _needs(stage)
    stage.site.probe = {"ram_gib": ram + more, "disk_free_gib": disk + more}
    first_only(stage)
    assert stage.launch().attempts == attempts


def test_a_card_that_shows_a_little_less_than_the_table_is_the_card(stage: Stage) -> None:
    stage.site.probe = {"gpus": [{**CARD, "memory_mib": int(22_515 * 0.94)}]}
    assert stage.launch().attempts == 1


@pytest.mark.parametrize(("cards", "attempts"), [(2, 1), (3, 1), (1, 2)])
def test_every_card_that_was_paid_for_must_be_there(folder: Path, cards: int, attempts: int) -> None:
    stage = Stage(folder, offers=(replace(fake_offer(), gpu_count=2), fake_offer("f1.large", usd="0.80")))
    stage.site.probe = {"gpus": [CARD] * cards}
    first_only(stage)
    assert stage.launch().attempts == attempts


@pytest.mark.parametrize(
    ("rented", "shown", "is_fine"),
    [("x86_64", "x86_64", True), ("x86_64", "AMD64", True), ("aarch64", "aarch64", True), ("aarch64", "arm64", True),
     ("aarch64", "x86_64", False), ("x86_64", "arm64", False)],
)  # fmt: skip
def test_the_processor_may_be_called_by_either_of_its_names(
    stage: Stage, rented: str, shown: str, is_fine: bool
) -> None:
    stage.site.probe = {"architecture": shown}
    world = stage.laptop()
    run = stage.open_run(world)
    _with_architecture(stage, rented)
    assert (flow.carry(run, world).attempts == 1) is is_fine
    assert (told(stage, "not-as-rented") == []) is is_fine


def _with_architecture(stage: Stage, name: str) -> None:
    """The plan of the run that was opened, with machines of that kind."""
    world = stage.laptop()
    run = world.ledger.load("brave-otter-0001")
    plan = current_plan(run, world)
    choices = tuple(replace(one, offer=replace(one.offer, architecture=name)) for one in plan.choices)
    world.ledger.note_plan(run, codec.dump(replace(plan, choices=choices)))


def test_an_unguarded_machine_without_a_clock_of_its_own_works_and_that_is_said(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(guarded=False))
    stage.provider.catalogue = tuple(replace(one, guarded=False) for one in stage.provider.catalogue)
    stage.site.unarmed = True
    assert stage.launch().outcome is Outcome.SUCCEEDED
    assert "nothing there stops the work when the time is over" in told(stage, "unarmed")[0]


# The card computes


def test_a_card_that_does_not_compute_goes_back_before_anything_is_sent(stage: Stage) -> None:
    stage.site.trial = {"proved": [], "failed": "RuntimeError: CUDA error 802"}
    when(stage, lambda verb: verb == "create" and bool(stage.cloud.truth), stage.site.trial.clear)
    receipt = stage.launch()
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    assert "its GPU does not compute: RuntimeError: CUDA error 802" in told(stage, "not-as-rented")[0]
    assert list(stage.site.started) == ["m-0002"]


def test_an_image_that_cannot_try_it_is_no_reason_to_go_back(stage: Stage) -> None:
    stage.site.trial = {"proved": [], "why": "no torch on this image yet", "failed": ""}
    assert stage.launch().attempts == 1


def test_an_answer_that_makes_no_sense_is_a_card_that_does_not_compute(stage: Stage) -> None:
    stage.site.trial = {"failed": 7}
    assert "its GPU does not compute" in stage.launch().why


def test_a_machine_without_a_card_is_not_asked_to_compute(folder: Path) -> None:
    cpu = replace(fake_offer(), gpu=None, gpu_count=0, ram_gib=64)
    stage = Stage(folder, offers=(cpu,))
    stage.site.trial = {"failed": "there is none"}
    tiny = replace(stage.workload.shape, parameters=1_000_000, layers=2, hidden=128, vocabulary=512)
    stage.workload = replace(stage.workload, shape=tiny)
    assert stage.launch(budget="50").outcome is Outcome.SUCCEEDED


def proving(stage: Stage, do: Callable[[], object]) -> None:
    """At the moment at which the machine is asked to prove its card."""

    def at(verb: str) -> None:
        if verb == "remote" and sum(argv[2] == "carry" for argv in stage.site.argv_seen) == 1:
            stage.cloud.before_call = before
            do()
        before(verb)

    before = stage.cloud.before_call
    stage.cloud.before_call = at


@pytest.mark.parametrize("error", [RemoteUnreachable("connection reset"), CommandTimeout("no end within 400 s")])
def test_a_line_that_breaks_while_the_card_is_tried_costs_that_machine_and_not_the_run(
    stage: Stage, error: Exception
) -> None:
    proving(stage, raising(error))
    receipt = stage.launch()
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    assert f"the line broke while its GPU was tried: {error}" in told(stage, "never-ready")[0]
    stage.all_quiet()


def test_a_machine_that_is_taken_back_while_its_card_is_tried_is_told_as_that(stage: Stage) -> None:
    proving(stage, lambda: stage.cloud.preempt("m-0001"))
    receipt = stage.launch()
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    assert told(stage, "never-ready") == []
    assert "preempted" in told(stage, "died-booting")[0]


# On the way there


def without_address(stage: Stage, until_seconds: float, state: InstanceState = InstanceState.RUNNING) -> None:
    """The first machine has none for so long."""

    def shown(instance: Instance) -> Instance:
        age = (stage.clock() - instance.created_at).total_seconds()
        hides = instance.id == "m-0001" and age < until_seconds and instance.state is InstanceState.RUNNING
        return replace(instance, access=None, state=state) if hides else instance

    stage.provider.lies.shown_as = shown


def test_a_machine_that_runs_without_an_address_is_waited_for(stage: Stage) -> None:
    without_address(stage, NO_ADDRESS_SECONDS - 10)
    assert stage.launch().attempts == 1


def test_a_machine_that_runs_and_never_gets_an_address_goes_back_early(stage: Stage) -> None:
    without_address(stage, 10**6)
    receipt = stage.launch()
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    (text,) = told(stage, "never-ready")
    assert "it runs without an address to be reached at after 30" in text
    first, _ = stage.cloud.machines()
    assert first.ended_at is not None
    assert (first.ended_at - first.born_at).total_seconds() < NO_ADDRESS_SECONDS + 30


def test_a_machine_that_is_still_pending_may_take_as_long_as_its_provider_needs(stage: Stage) -> None:
    without_address(stage, NO_ADDRESS_SECONDS + 60, InstanceState.PENDING)
    assert stage.launch().attempts == 1


def test_a_machine_that_never_gets_ready_goes_back_at_its_provider_s_limit(stage: Stage) -> None:
    without_address(stage, 10**6, InstanceState.PENDING)
    receipt = stage.launch()
    assert receipt.attempts == 2
    assert "no address after 48" in told(stage, "never-ready")[0]


def test_a_person_who_waits_hears_once_a_minute_what_the_machine_says(stage: Stage) -> None:
    without_address(stage, 200)
    stage.provider.console = lambda instance: ("starting", f"pulling layer {stage.clock():%M:%S}")
    stage.launch()
    texts = told(stage, "booting")
    assert len(texts) == int(200 / SLOW_SECONDS)
    assert texts[0] == "m-0001 boots, for 60 s: pulling layer 01:00"
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("console", [lambda instance: (), raising(Unavailable("no console"))])
def test_a_machine_that_says_nothing_is_not_quoted(
    stage: Stage, console: Callable[[Instance], tuple[str, ...]]
) -> None:
    without_address(stage, 200)
    stage.provider.console = console
    assert stage.launch().outcome is Outcome.SUCCEEDED
    assert told(stage, "booting") == []


def test_a_fast_boot_is_not_talked_about(stage: Stage) -> None:
    stage.provider.console = lambda instance: ("starting",)
    stage.launch()
    assert told(stage, "booting") == []


@pytest.mark.parametrize("late", [False, True], ids=["at arrival", "while the login is waited for"])
def test_a_machine_that_its_provider_calls_unhealthy_goes_back_at_once(stage: Stage, late: bool) -> None:
    def shown(instance: Instance) -> Instance:
        age = (stage.clock() - instance.created_at).total_seconds()
        is_sick = instance.id == "m-0001" and instance.state is InstanceState.RUNNING and (age > 30 or not late)
        return replace(instance, state=InstanceState.UNHEALTHY) if is_sick else instance

    stage.provider.lies.shown_as = shown
    if late:
        stage.site.unreachable.add("m-0001")
    receipt = stage.launch()
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    assert "m-0001 is unhealthy: no reason given" in told(stage, "died-booting")[0]
    first, _ = stage.cloud.machines()
    assert first.ended_at is not None
    assert (first.ended_at - first.born_at).total_seconds() < 60


def test_a_machine_that_ends_while_it_boots_is_told_with_the_provider_s_reason(stage: Stage) -> None:
    stage.provider.lies.die_in_pending = EndReason.NO_CAPACITY
    stage.provider.lies.shown_as = lambda one: replace(one, end_text="Server.InsufficientInstanceCapacity")
    stage.launch()
    (text,) = told(stage, "died-booting")
    assert "m-0001 ended before it was ready: no capacity Server.InsufficientInstanceCapacity" in text


def test_a_machine_that_is_billed_above_what_was_agreed_goes_back_before_it_works(stage: Stage) -> None:
    stage.provider.catalogue = tuple(
        replace(one, billing=Billing(granularity_seconds=1, minimum_seconds=60)) for one in stage.provider.catalogue
    )
    stage.provider.lies.rate_factor = Decimal(3)
    when(
        stage, lambda verb: verb == "create" and bool(stage.cloud.truth),
        lambda: setattr(stage.provider.lies, "rate_factor", Decimal(1)),
    )  # fmt: skip
    receipt = stage.launch()
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    assert "billed at 1.50/h, above the 1.00 agreed" in told(stage, "price")[0]
    assert list(stage.site.started) == ["m-0002"]
    assert receipt.spent_usd >= stage.cloud.billed_usd()


def test_a_machine_that_moves_while_it_boots_is_logged_into_where_it_is(stage: Stage) -> None:
    stage.site.unreachable.add("m-0001")
    home = stage.cloud.access
    ports: list[int] = []

    def elsewhere(machine: Machine) -> Access:
        there = home(machine)
        assert isinstance(there, Ssh)
        return replace(there, port=2222)

    def move() -> None:
        stage.site.unreachable.clear()
        stage.cloud.access = elsewhere

    def remote(access: Access, keys: Keys) -> Remote:
        assert isinstance(access, Ssh)
        ports.append(access.port)
        return stage.site.remote(access, keys)

    world = replace(stage.laptop(), remote=remote)
    run = stage.open_run(world)
    when(stage, lambda verb: verb == "list" and len(ports) > 5, move)
    receipt = flow.carry(run, world)
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 1)
    assert set(ports[:5]) == {22}
    assert ports[-1] == 2222


def test_how_long_it_took_is_in_the_receipt(stage: Stage) -> None:
    without_address(stage, 100)
    receipt = stage.launch()
    (boot,) = (phase for phase in receipt.phases if phase.name == "boot")
    assert 100 <= boot.seconds < 115


def test_a_stop_while_a_machine_boots_is_obeyed(stage: Stage) -> None:
    without_address(stage, 10**6, InstanceState.PENDING)
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, in_state(stage, State.BOOTING), lambda: stage.laptop().ledger.ask_stop(run.id, "save"))
    receipt = flow.carry(run, world)
    assert receipt.outcome is Outcome.CANCELLED
    assert isinstance(stage.heard.events[0], Happened)
    stage.all_quiet()
