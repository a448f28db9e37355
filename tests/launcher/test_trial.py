"""`doctor --live`: a machine proves that it ends itself, or does not; none is left, and every cent is in the books."""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

import pytest

from launcher import kept, trial
from launcher.errors import Exit, LaunchError
from launcher.run import Outcome, State
from launcher.trial import LATE_SECONDS, LEASE_SECONDS, Trial
from launcher.world import World
from pricing.offer import Billing, Market
from providers.base import (
    Finding,
    Instance,
    InstanceState,
    Level,
    NoCapacity,
    NoCredentials,
    ProviderError,
    Throttled,
    Unavailable,
)
from tests.fake_machine import FEES, fake_offer, fake_traits
from tests.fake_world import Heard, Stage
from tests.launcher.moments import after, raising, when

SMALL = replace(
    fake_offer("t1.nano", usd="0.006", market=Market.ON_DEMAND),
    gpu=None,
    gpu_count=0,
    billing=Billing(granularity_seconds=1, minimum_seconds=60),
)
PROVEN = Finding(level=Level.OK, subject="trial", text="it ended itself")


@dataclass
class Noted:
    """What a provider wrote down of a trial."""

    lines: list[tuple[str, ...]] = field(default_factory=list)

    def __call__(self, instance: Instance, lines: tuple[str, ...]) -> Finding:
        self.lines.append(lines)
        return PROVEN


def trying(stage: Stage) -> Noted:
    """A provider at which there is something to prove."""
    noted = Noted()
    stage.provider.trial = lambda: SMALL
    stage.provider.note_trial = noted
    return noted


def proved(stage: Stage, world: World | None = None) -> Finding:
    world = world or stage.laptop()
    found, failed = trial.trials(("fake",), world)
    assert failed == []
    return trial.prove(found[0], world)


def all_over(stage: Stage, outcome: Outcome) -> None:
    """No machine, and books that say so."""
    assert stage.cloud.alive() == ()
    record = stage.laptop().ledger.find(None)
    assert (record.state, record.outcome) == (State.TERMINATED, outcome)
    assert record.open_intents == 0
    assert record.receipt_json is not None
    paper = kept.receipt(record.receipt_json)
    assert paper.terminated.confirmed
    assert stage.cloud.billed_usd() <= paper.spent_usd <= stage.cloud.billed_usd() + Decimal("0.01")


# What there is to prove, and for how much


def test_where_nothing_is_to_be_proven_there_is_no_trial(stage: Stage) -> None:
    assert trial.trials(("fake",), stage.laptop()) == ([], [])


def test_a_provider_without_credentials_is_passed_over(stage: Stage) -> None:
    stage.provider.trial = raising(NoCredentials("no key"))
    assert trial.trials(("fake",), stage.laptop()) == ([], [])


def test_a_provider_that_cannot_say_is_a_finding_and_keeps_no_other_from_its_trial(stage: Stage) -> None:
    stage.provider.trial = raising(Unavailable("no usable answer", fix="later"))
    stage.also("other").trial = lambda: replace(SMALL, provider="other")
    found, failed = trial.trials(("fake", "other"), stage.laptop())
    assert [one.offer.provider for one in found] == ["other"]
    assert failed == [
        ("fake", Finding(level=Level.ERROR, subject="trial", text="no usable answer", fix="later"))
    ]  # fmt: skip


def test_the_most_that_it_may_cost_holds_everything(stage: Stage) -> None:
    trying(stage)
    config = replace(stage.laptop().config, tax_fraction={"fake": Decimal("0.25")})
    (found,), _ = trial.trials(("fake",), replace(stage.laptop(), config=config))
    per_hour = Decimal("0.006") + FEES.ip_usd_per_hour + FEES.disk_usd_per_gib_month * trial.DISK_GIB / 730
    hours = Decimal(LEASE_SECONDS + LATE_SECONDS + trial.LAST_SECONDS) / 3600
    exact = per_hour * Decimal("1.25") * hours
    assert exact <= found.most_usd <= exact + Decimal("0.0002")


def test_the_question_names_machine_price_time_and_the_most_that_it_costs(stage: Stage) -> None:
    trying(stage)
    (found,), _ = trial.trials(("fake",), stage.laptop())
    assert trial.question(found) == (
        "fake: rent t1.nano (4 vCPUs, 0.0060/h) to see that it ends itself after 2 minutes? It costs 0.0049 at most."
    )


@pytest.mark.parametrize("answer", [True, False])
def test_a_person_is_asked_and_the_default_is_no(stage: Stage, answer: bool) -> None:
    asked: list[tuple[str, bool]] = []

    class Person(Heard):
        def ask(self, question: str, *, default: bool) -> bool | None:
            asked.append((question, default))
            return answer

    one = Trial(offer=SMALL, most_usd=Decimal("0.01"))
    assert trial.agreed(one, replace(stage.laptop(), console=Person()), yes=False) is answer
    assert asked == [(trial.question(one), False)]


def test_yes_asks_nobody(stage: Stage) -> None:
    world = replace(stage.laptop(), console=Heard(answer=False))
    assert trial.agreed(Trial(offer=SMALL, most_usd=Decimal("0.01")), world, yes=True)


def test_where_nobody_can_be_asked_nothing_is_rented(stage: Stage) -> None:
    world = replace(stage.laptop(), console=Heard(answer=None))
    with pytest.raises(LaunchError) as caught:
        trial.agreed(Trial(offer=SMALL, most_usd=Decimal("0.01")), world, yes=False)
    assert (caught.value.code, caught.value.exit_code) == ("no-terminal", Exit.USAGE)
    assert caught.value.hint == "launch doctor --live --yes"


# What it comes to


def test_a_machine_that_ends_itself_after_its_lease_is_the_proof(stage: Stage) -> None:
    noted = trying(stage)
    finding = proved(stage)
    assert finding.level is Level.OK
    record = stage.laptop().ledger.find(None)
    assert finding.text.startswith("it ended itself; it cost 0.00")
    assert finding.text.endswith(f"(launch receipt {record.id})")
    assert len(noted.lines) == 1
    assert "terminate" not in stage.cloud.calls
    all_over(stage, Outcome.SUCCEEDED)


def test_what_its_console_showed_last_goes_with_the_proof(stage: Stage) -> None:
    noted = trying(stage)
    said: list[str] = []

    def console(instance: Instance) -> tuple[str, ...]:
        said.append(f"line {len(said)}")
        return tuple(said)

    stage.provider.console = console
    proved(stage)
    assert noted.lines == [tuple(said)]
    assert len(said) > 10


def test_a_console_that_falls_silent_takes_nothing_back(stage: Stage) -> None:
    noted = trying(stage)
    stage.provider.console = lambda instance: ("the dead-man is armed",)
    when(stage, after(stage, 60), lambda: setattr(stage.provider, "console", raising(Unavailable("no console"))))
    proved(stage)
    assert noted.lines == [("the dead-man is armed",)]


def test_a_machine_that_never_ends_itself_is_ended_by_us_and_that_is_said(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(guarded=False))
    noted = trying(stage)
    (found,), _ = trial.trials(("fake",), stage.laptop())
    finding = trial.prove(found, stage.laptop())
    assert finding.level is Level.ERROR
    assert "m-0001 did not end itself within 15:0" in finding.text
    assert "we end it" in finding.text
    assert "--accept-unguarded" in finding.fix
    assert noted.lines == []
    assert stage.cloud.billed_usd() <= found.most_usd
    all_over(stage, Outcome.FAILED)


def test_a_machine_that_stops_itself_and_stays_is_no_proof(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(guarded=False))
    noted = trying(stage)

    def shown(instance: Instance) -> Instance:
        is_over = (stage.clock() - instance.created_at).total_seconds() > LEASE_SECONDS
        stopped = is_over and instance.state is InstanceState.RUNNING
        return replace(instance, state=InstanceState.STOPPED) if stopped else instance

    stage.provider.lies.shown_as = shown
    finding = proved(stage)
    assert finding.level is Level.ERROR
    assert "stopped itself, and did not end itself" in finding.text
    assert noted.lines == []
    all_over(stage, Outcome.FAILED)


def test_a_machine_that_is_gone_before_its_lease_is_over_proves_nothing(stage: Stage) -> None:
    noted = trying(stage)
    when(stage, after(stage, LEASE_SECONDS / 2), lambda: stage.cloud.preempt("m-0001"))
    finding = proved(stage)
    assert finding.level is Level.ERROR
    assert "that proves nothing" in finding.text
    assert noted.lines == []
    all_over(stage, Outcome.LOST)


def _hidden_for(stage: Stage, seconds: float) -> None:
    """After its lease both doors show nothing of a machine that runs, for so long."""
    lies = stage.provider.lies
    over = stage.clock().timestamp() + LEASE_SECONDS + 10

    def hide(verb: str) -> None:
        hidden = over <= stage.clock().timestamp() < over + seconds
        lies.visible_after_seconds = lies.early_not_found_seconds = 10**6 if hidden else 0

    stage.cloud.before_call = hide


def test_a_look_or_two_that_show_nothing_are_no_end(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(guarded=False))
    noted = trying(stage)
    _hidden_for(stage, 1.5)
    assert proved(stage).level is Level.ERROR
    assert noted.lines == []
    all_over(stage, Outcome.FAILED)


def test_a_machine_that_both_doors_hide_for_some_seconds_has_not_ended_itself(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(guarded=False))
    noted = trying(stage)
    _hidden_for(stage, 8)
    finding = proved(stage)
    assert not stage.cloud.alive()
    assert noted.lines == []
    assert finding.level is Level.ERROR


def test_a_machine_that_another_door_still_shows_has_not_ended_itself(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(guarded=False))
    noted = trying(stage)
    _hidden_for(stage, 60)
    stage.provider.still_there = lambda instance: bool(stage.cloud.alive())
    assert proved(stage).level is Level.ERROR
    assert noted.lines == []
    all_over(stage, Outcome.FAILED)


def test_another_door_that_does_not_answer_does_not_break_the_trial_off(stage: Stage) -> None:
    trying(stage)
    stage.provider.still_there = raising(Unavailable("no answer"))
    try:
        finding = proved(stage)
    except ProviderError as error:
        pytest.fail(f"the trial died of: {error.text}")
    assert "it cost" in finding.text
    all_over(stage, Outcome.SUCCEEDED)


@pytest.mark.parametrize("error", [NoCapacity("none left", fix="another region"), Throttled("no", wait_seconds=600.0)])
def test_where_no_machine_is_to_be_had_that_is_the_finding_and_it_cost_nothing(
    stage: Stage, error: ProviderError
) -> None:
    trying(stage)
    stage.provider.lies.refuse(error)
    finding = proved(stage)
    assert finding.level is Level.ERROR
    assert f"no machine was to be had: {error.text}" in finding.text
    assert finding.fix == error.fix
    assert "it cost 0.00" in finding.text
    stage.all_quiet()


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_lost_answer_leads_to_the_one_machine_that_is_watched(folder: Path, idempotent: bool) -> None:
    stage = Stage(folder, traits=fake_traits(idempotent_create=idempotent))
    trying(stage)
    stage.provider.lies.create_lost_after = 1
    stage.provider.lies.visible_after_seconds = 30
    assert proved(stage).level is Level.OK
    assert len(stage.cloud.machines()) == 1
    all_over(stage, Outcome.SUCCEEDED)


@pytest.mark.parametrize("seconds", [0, 60, 400])
def test_ctrl_c_ends_the_machine_and_the_trial(folder: Path, seconds: float) -> None:
    stage = Stage(folder, traits=fake_traits(guarded=False))
    noted = trying(stage)
    world = stage.laptop()

    def sleep(length: float) -> None:
        stage.clock.sleep(length)
        world.interrupt.check()

    when(stage, after(stage, seconds), world.interrupt.ask)
    finding = proved(stage, replace(world, sleep=sleep))
    assert (finding.level, finding.fix) == (Level.ERROR, "launch doctor --live")
    assert finding.text.startswith("stopped, as asked; it cost ")
    assert noted.lines == []
    all_over(stage, Outcome.CANCELLED)


def test_a_machine_that_does_not_let_go_is_a_loud_end(folder: Path) -> None:
    stage = Stage(folder, traits=fake_traits(guarded=False))
    trying(stage)
    stage.provider.lies.deaf_terminates = 10**6
    with pytest.raises(LaunchError) as caught:
        proved(stage)
    assert caught.value.exit_code is Exit.MAY_BE_RUNNING
    assert stage.laptop().ledger.find(None).state is State.TERMINATING


def test_a_trial_is_quiet_and_stands_in_the_list_of_runs_by_its_name(stage: Stage) -> None:
    trying(stage)
    proved(stage)
    assert stage.heard.events == []
    assert stage.laptop().ledger.find(None).name == "guard trial"
