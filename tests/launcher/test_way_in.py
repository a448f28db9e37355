"""A laptop that moves to another network is let in again, and its job is neither given up nor made twice."""

from launcher.events import Warned
from launcher.run import Outcome
from providers.base import Instance, Unavailable
from tests.fake_guest import Work
from tests.fake_world import Stage

AN_HOUR_OF_STEPS = Work(steps=100, step_seconds=30, save_every=1000)


def _moves_after(stage: Stage, seconds: float) -> None:
    """From then on the machine's firewall keeps us out, until the provider is told where we are now."""
    away_at = stage.clock().timestamp() + seconds
    let_in: list[Instance] = []

    def firewall(name: str) -> None:
        if name == "before remote" and stage.clock().timestamp() > away_at and not let_in:
            stage.site.unreachable.update(one.id for one in stage.cloud.machines())

    def opened(instance: Instance) -> str:
        if stage.clock().timestamp() <= away_at or let_in:
            return ""
        let_in.append(instance)
        stage.site.unreachable.clear()
        return "203.0.113.9/32"

    stage.at_point, stage.provider.let_in = firewall, opened


def test_a_laptop_that_moves_while_the_job_runs_goes_on_with_the_same_machine(stage: Stage) -> None:
    stage.site.work = AN_HOUR_OF_STEPS
    _moves_after(stage, 600)
    receipt = stage.launch()
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 1)
    assert receipt.results.verified
    (told,) = [event for event in stage.heard.of(Warned) if event.code == "way-in"]
    assert "203.0.113.9/32" in told.text
    stage.all_quiet()


def test_a_laptop_that_moves_before_the_results_are_home_still_gets_them(stage: Stage) -> None:
    stage.site.work = Work(steps=4, step_seconds=5)
    pulling = False

    def firewall(name: str) -> None:
        nonlocal pulling
        if name == "after note_ending" and not pulling:
            pulling = True
            stage.site.unreachable.update(one.id for one in stage.cloud.machines())

    def opened(_instance: Instance) -> str:
        stage.site.unreachable.clear()
        return ""

    stage.at_point, stage.provider.let_in = firewall, opened
    receipt = stage.launch()
    assert pulling
    assert (receipt.outcome, receipt.results.verified) == (Outcome.SUCCEEDED, True)


def test_a_provider_that_cannot_say_now_costs_nothing_but_the_try(stage: Stage) -> None:
    def down(_instance: Instance) -> str:
        raise Unavailable("not now")

    stage.provider.let_in = down
    stage.site.lost_pulls = 2
    assert stage.launch().outcome is Outcome.SUCCEEDED
