"""A run whose machine has no address any more: its provider took it when the machine ended."""

from dataclasses import replace

from launcher import flow, recover
from launcher.run import Outcome, Run, State
from tests.fake_world import Stage
from tests.launcher.test_recover import killed_in


def _without_an_address(stage: Stage) -> Run:
    """As a look wrote it down that saw the machine go, before its process died."""
    run = killed_in(stage, State.RUNNING)
    world = stage.laptop()
    run = world.ledger.load(run.id)
    assert run.attempt.instance is not None
    run.attempt.instance = replace(run.attempt.instance, access=None)
    world.ledger.save_attempt(run, run.attempt)
    return run


def test_a_run_whose_machine_was_seen_to_go_is_taken_up_on_another_one(stage: Stage) -> None:
    run = _without_an_address(stage)
    stage.cloud.preempt("m-0001")
    receipt = flow.attach(run.id, stage.laptop())
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    stage.all_quiet()


def test_a_machine_that_has_an_address_again_goes_on(stage: Stage) -> None:
    run = _without_an_address(stage)
    receipt = flow.attach(run.id, stage.laptop())
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 1)


def test_reap_does_not_stumble_over_it(stage: Stage) -> None:
    _without_an_address(stage)
    stage.cloud.preempt("m-0001")
    recover.reap(stage.laptop())
    assert not stage.cloud.alive()
