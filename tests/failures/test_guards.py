"""What ends a machine when its laptop is gone: proven by a trial, put on it by its owner, or run elsewhere."""

from datetime import timedelta

import pytest

from launcher import recover, trial
from launcher.run import State
from providers.base import Finding, Level
from tests.failures.stage import ALL, AWS, LAMBDA, RUNPOD, Stage, at
from tests.failures.test_running import die_in
from tests.fake_guest import Work


def proved(stage: Stage) -> Finding:
    """`launch doctor --live --yes` at the only provider that has something to prove."""
    world = stage.laptop()
    ((one,), failed) = trial.trials((RUNPOD,), world)
    assert failed == []
    return trial.prove(one, world)


@at(RUNPOD)
def test_a_pod_that_ends_itself_in_a_trial_makes_all_pods_of_the_account_guarded(stage: Stage) -> None:
    assert not stage.laptop().provider(RUNPOD).traits.guarded
    finding = proved(stage)
    assert finding.level is Level.OK, finding
    assert stage.laptop().provider(RUNPOD).traits.guarded
    (pod,) = stage.machines()
    assert pod.reason[0] == "own deadline"
    stage.all_quiet(budget="0.1")


@at(RUNPOD)
def test_a_trial_costs_no_more_than_was_said_before(stage: Stage) -> None:
    world = stage.laptop()
    ((one,), _) = trial.trials((RUNPOD,), world)
    stage.control.knobs(cloud=RUNPOD, pod_key_rights="none")
    trial.prove(one, world)
    assert 0 < stage.billed_usd() <= one.most_usd


@at(RUNPOD)
@pytest.mark.parametrize("rights", ["none", "stop"])
def test_a_pod_whose_key_may_not_end_it_proves_nothing_and_is_ended(stage: Stage, rights: str) -> None:
    stage.control.knobs(cloud=RUNPOD, pod_key_rights=rights)
    finding = proved(stage)
    assert finding.level is Level.ERROR
    assert not stage.laptop().provider(RUNPOD).traits.guarded
    stage.all_quiet(budget="0.2")


@at(RUNPOD)
def test_a_proof_is_forgotten_after_a_month_and_with_another_key(stage: Stage) -> None:
    proved(stage)
    stage.environ["RUNPOD_API_KEY"] = "rpa_ANOTHERKEY"
    assert not stage.laptop().provider(RUNPOD).traits.guarded
    del stage.environ["RUNPOD_API_KEY"]
    stage.environ.update(stage.control.environ(RUNPOD))
    assert stage.laptop().provider(RUNPOD).traits.guarded
    stage.clock.sleep(timedelta(days=31).total_seconds())
    assert not stage.laptop().provider(RUNPOD).traits.guarded


@at(LAMBDA, RUNPOD)
def test_a_timer_elsewhere_ends_what_is_past_its_deadline_and_nothing_before(stage: Stage) -> None:
    stage.control.knobs(cloud=RUNPOD, pod_key_rights="none")
    stage.work = Work(steps=10_000, step_seconds=30)
    die_in(stage, State.RUNNING)
    stage.revive()
    elsewhere = stage.laptop()
    (machine,) = elsewhere.provider(stage.name).list()
    assert machine.deadline is not None
    first = recover.reap_overdue(elsewhere)
    assert (first.ended, len(first.left_alone)) == ((), 1)
    stage.clock.sleep((machine.deadline - stage.clock()).total_seconds() + 6 * 3600)
    found = recover.reap_overdue(elsewhere)
    assert [one.id for one in found.ended] == [machine.id], found
    assert stage.world.meter.alive() == []


@at(*ALL)
def test_without_consent_a_machine_that_does_not_end_itself_is_never_taken(stage: Stage) -> None:
    world = stage.laptop(*ALL)
    request = stage.request(budget="20")
    plan = stage.plan(world, type(request)(**{**vars(request), "accept_unguarded": False}))
    assert plan.choices
    assert {choice.offer.provider for choice in plan.choices} == {AWS}
    assert {one.offer.provider for one in plan.rejected if one.code == "unguarded"} == {LAMBDA, RUNPOD}


@at(RUNPOD)
def test_once_proven_a_pod_is_taken_without_further_consent(stage: Stage) -> None:
    proved(stage)
    world = stage.laptop()
    request = stage.request(budget="20")
    plan = stage.plan(world, type(request)(**{**vars(request), "accept_unguarded": False}))
    assert {choice.offer.provider for choice in plan.choices} == {RUNPOD}
    assert plan.choices[0].offer.guarded


@at(RUNPOD)
def test_a_second_trial_is_no_second_machine_at_once(stage: Stage) -> None:
    proved(stage)
    proved(stage)
    assert len(stage.machines()) == 2
    assert stage.world.meter.peak(stage.world.clock.seconds()) == 1
