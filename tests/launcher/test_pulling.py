"""Results that a line or a disk keeps away are waited for, as long as they are worth it and the budget pays."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from launcher import flow, recover
from launcher.events import Warned
from launcher.remote import RemoteUnreachable
from launcher.run import Outcome, State
from launcher.world import World
from tests.fake_world import Stage, Work
from tests.launcher.moments import in_state


def _line_is_down_from_the_pull_on(stage: Stage, seconds: float) -> Callable[[], float]:
    """How long it has been down, so far."""
    pulls = in_state(stage, State.PULLING)
    since: list[datetime] = []

    def before(verb: str) -> None:
        if not since and pulls(verb):
            since.append(stage.clock())
        if since and verb == "remote" and (stage.clock() - since[0]).total_seconds() < seconds:
            raise RemoteUnreachable("no route to host")

    stage.cloud.before_call = before

    def down() -> float:
        return (stage.clock() - since[0]).total_seconds()

    return down


def _carried(stage: Stage, budget: str = "5") -> tuple[World, Outcome]:
    world = stage.laptop()
    return world, flow.carry(stage.open_run(world, budget=budget), world).outcome


def test_an_hour_of_a_dead_line_does_not_cost_results_that_the_budget_can_wait_for(stage: Stage) -> None:
    _line_is_down_from_the_pull_on(stage, 3000)
    _, outcome = _carried(stage)
    assert outcome is Outcome.SUCCEEDED
    told = [one.text for one in stage.heard.of(Warned) if one.code == "pull"]
    assert len(told) == 1
    assert "not home yet" in told[0]
    stage.all_quiet()


def test_a_line_that_stays_dead_is_not_waited_for_beyond_patience(stage: Stage) -> None:
    down = _line_is_down_from_the_pull_on(stage, 1e9)
    _, outcome = _carried(stage)
    assert outcome is Outcome.LOST
    assert 3600 < down() < 3800
    stage.all_quiet()


def test_the_budget_ends_the_wait(stage: Stage) -> None:
    down = _line_is_down_from_the_pull_on(stage, 1e9)
    _, outcome = _carried(stage, budget="0.50")
    assert outcome is Outcome.LOST
    assert 300 < down() < 3000
    assert stage.cloud.billed_usd() <= Decimal("0.50")
    stage.all_quiet()


def test_stop_now_gives_the_results_up(stage: Stage) -> None:
    down = _line_is_down_from_the_pull_on(stage, 1e9)
    before = stage.cloud.before_call

    def at(verb: str) -> None:
        try:
            before(verb)
        except RemoteUnreachable:
            if down() > 300:
                recover.stop("brave-otter-0001", stage.laptop(), now=True)
            raise

    stage.cloud.before_call = at
    _carried(stage)
    assert down() < 450
    stage.all_quiet()


def test_what_a_failed_job_left_is_not_worth_an_hour(stage: Stage) -> None:
    stage.site.work = Work(outcome="failed")
    down = _line_is_down_from_the_pull_on(stage, 1e9)
    _, outcome = _carried(stage)
    assert outcome is Outcome.FAILED
    assert down() < 200
    stage.all_quiet()
