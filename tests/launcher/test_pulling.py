"""Results that a line or a disk keeps away are waited for, as long as they are worth it and the budget pays."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from launcher import books, flow, recover
from launcher.creating import create_for
from launcher.events import Pulled, Warned
from launcher.price import current_plan
from launcher.pulling import GONE_SECONDS, RETRY_SECONDS, Absence, Trouble
from launcher.receipt import Receipt
from launcher.remote import RemoteUnreachable
from launcher.run import Ending, Outcome, Shortened, State
from launcher.world import World
from providers.base import InstanceState
from tests.fake_guest import checkpoint_bytes
from tests.fake_machine import fake_traits
from tests.fake_world import FIRST_RUN, Stage, Work
from tests.launcher.moments import after, in_state, when
from tests.launcher.test_recover import killed_in


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


def test_while_results_are_waited_for_the_price_that_is_seen_counts(stage: Stage) -> None:
    down = _line_is_down_from_the_pull_on(stage, 1500)
    world, outcome = _carried(stage)
    assert outcome is Outcome.SUCCEEDED
    (attempt,) = world.ledger.load(FIRST_RUN).attempts
    unseen_usd = (attempt.choice.worst_usd_per_hour - attempt.rate_usd_per_hour) * int(down()) / 3600
    assert unseen_usd > Decimal("0.1")
    assert books.attempt_usd(attempt, stage.clock()) - stage.cloud.billed_usd() < unseen_usd / 5


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


def test_a_deadline_leaves_time_to_end_the_machine_after_its_results_came(stage: Stage) -> None:
    world = stage.laptop()
    run = stage.open_run(world, budget="100", deadline_seconds=7200)
    plan = current_plan(run, world)
    assert create_for(run, plan.choices[0], 7200, world) is None
    reserve = books.cap(run, run.attempt.choice, plan, world).reserve
    _, seconds = books.pull_limits(run, plan, world)
    assert seconds == 7200 - reserve.teardown_seconds - reserve.guard_seconds


def test_results_on_a_machine_that_its_provider_has_forgotten_are_made_again_and_not_waited_for(stage: Stage) -> None:
    stage.provider.lies.forgotten_seconds = stage.provider.lies.linger_seconds = 0
    when(stage, in_state(stage, State.PULLING), lambda: stage.cloud.preempt("m-0001"))
    world, outcome = _carried(stage)
    first, second = world.ledger.load(FIRST_RUN).attempts
    assert outcome is Outcome.SUCCEEDED
    assert GONE_SECONDS < (second.started_at - first.started_at).total_seconds() < 4 * GONE_SECONDS
    stage.all_quiet()


def test_a_machine_that_answers_or_is_shown_is_not_taken_for_gone(stage: Stage) -> None:
    _carried(stage)
    machine = stage.laptop().ledger.load(FIRST_RUN).attempt.instance
    assert machine is not None
    shown, hidden = (replace(machine, state=state) for state in (InstanceState.RUNNING, InstanceState.ABSENT))
    silence, full = Trouble(text="no route", is_silence=True), Trouble(text="no room")
    absence, now = Absence(), stage.clock()

    def later(seconds: float) -> datetime:
        return now + timedelta(seconds=seconds)

    assert absence.seconds(hidden, silence, later(0)) == 0
    assert absence.seconds(None, silence, later(100)) == 100
    assert absence.seconds(hidden, silence, later(200)) == 200
    assert absence.seconds(hidden, full, later(300)) == 0
    assert absence.seconds(hidden, silence, later(400)) == 0
    assert absence.seconds(shown, silence, later(500)) == 0
    assert absence.seconds(None, silence, later(600)) == 0


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


DOWN_SECONDS = 160
"""Longer than a job has for its last save (150 s), shorter than the tries for its results."""


TRAINING = Work(steps=90, step_seconds=10, save_every=90)
EVALUATING = Work(steps=2, step_seconds=1, save_every=2, evaluate_seconds=DOWN_SECONDS)


def _stopped_while_the_line_is_down(
    stage: Stage, at_status: Callable[[], object] = lambda: None, *, asked_after_seconds: float = 80,
    budget: str = "5", work: Work = TRAINING,
) -> tuple[World, Outcome]:  # fmt: skip
    """Asked to save while it trains; from the next moment on the line is down, for so long.

    `at_status` happens whenever the machine was asked how it stands.
    """
    stage.site.work = work
    world = stage.laptop()
    run = stage.open_run(world, budget=budget)
    asked_at = stage.clock() + timedelta(seconds=asked_after_seconds)

    def before(verb: str) -> None:
        if stage.clock() >= asked_at and not world.ledger.stop_asked(run.id):
            world.ledger.ask_stop(run.id, "save")
        job = stage.site.started.get("m-0001")
        if verb != "remote" or job is None or job.stop_at is None:
            return
        if (stage.clock() - job.stop_at).total_seconds() < DOWN_SECONDS:
            raise RemoteUnreachable("no route to host")

    def after(verb: str) -> None:
        if verb == "remote" and stage.site.argv_seen[-1][2:3] == ("status",):
            at_status()

    stage.cloud.before_call, stage.cloud.after_call = before, after
    return world, flow.carry(run, world).outcome


def _saved_is_home(stage: Stage, world: World) -> bool:
    step = stage.site.started["m-0001"].steps_done(stage.clock())
    manifest = world.run_folder(FIRST_RUN) / "checkpoints" / f"step-{step}" / "manifest.json"
    is_whole = manifest.is_file() and manifest.read_bytes() == checkpoint_bytes(step)
    return 0 < step < 90 and is_whole and world.ledger.checkpoint(FIRST_RUN) == f"step-{step}"


def test_a_checkpoint_that_was_saved_while_the_line_was_down_comes_home_after_the_results(stage: Stage) -> None:
    world, outcome = _stopped_while_the_line_is_down(stage)
    assert outcome is Outcome.CANCELLED
    assert [one.what.partition("-")[0] for one in stage.heard.of(Pulled)] == ["results", "step"]
    assert _saved_is_home(stage, world)
    stage.all_quiet()


def test_a_job_that_came_to_its_end_while_nobody_heard_it_has_succeeded_although_it_was_to_stop(stage: Stage) -> None:
    world, outcome = _stopped_while_the_line_is_down(stage, work=EVALUATING)
    assert stage.site.started["m-0001"].stop_at is not None
    assert outcome is Outcome.SUCCEEDED
    pulled = [one.what for one in stage.heard.of(Pulled)]
    assert pulled.count("results") == 2, "what came before it had ended may be less"
    assert world.ledger.find(FIRST_RUN).outcome is Outcome.SUCCEEDED
    stage.all_quiet()


def test_how_far_a_shortened_job_came_that_nobody_heard_is_asked_once_more(stage: Stage) -> None:
    stage.site.work = EVALUATING
    world, run = stage.laptop(), killed_in(stage, State.PULLING)
    run = world.ledger.load(run.id)
    run.attempt.shortened = Shortened(last_step=1, of=90)
    world.ledger.save_attempt(run, run.attempt)
    world.ledger.note_ending(run, Ending(outcome=Outcome.CANCELLED, why="stopped, as asked"))
    receipt = flow.attach(run.id, stage.laptop())
    assert receipt.outcome is Outcome.SUCCEEDED
    assert receipt.why == "trained for 2 of 90 steps, to stay within its limits"


def test_a_checkpoint_that_nobody_heard_of_is_tried_again_where_the_line_breaks_once_more(stage: Stage) -> None:
    asked: list[bool] = []

    def at_status() -> None:
        asked.append(True)
        if len(asked) == 1:
            raise RemoteUnreachable("connection reset")
        stage.site.lost_pulls = 1 if len(asked) == 2 else 0

    world, outcome = _stopped_while_the_line_is_down(stage, at_status)
    assert (outcome, len(asked)) == (Outcome.CANCELLED, 3)
    assert _saved_is_home(stage, world)


def test_a_checkpoint_that_never_comes_is_given_up_soon_and_that_is_said(stage: Stage) -> None:
    asked: list[datetime] = []

    def at_status() -> None:
        asked.append(stage.clock())
        stage.site.unsendable = "manifest.json"

    _, outcome = _stopped_while_the_line_is_down(stage, at_status)
    assert outcome is Outcome.CANCELLED
    assert len(asked) == 1 + len(RETRY_SECONDS)
    assert (asked[-1] - asked[0]).total_seconds() < 45
    assert "did not come home before its machine had to go" in stage.heard.of(Warned)[-1].text
    stage.all_quiet()


def test_a_checkpoint_that_nobody_heard_of_costs_no_more_than_what_is_set_aside(stage: Stage) -> None:
    asked: list[datetime] = []

    def at_status() -> None:
        asked.append(stage.clock())
        stage.clock.sleep(60)  # until the line counts as dead
        raise RemoteUnreachable("nothing came")

    _, outcome = _stopped_while_the_line_is_down(stage, at_status, asked_after_seconds=500, budget="0.30")
    assert outcome is Outcome.CANCELLED
    assert 1 <= len(asked) < 1 + len(RETRY_SECONDS)
    assert stage.cloud.billed_usd() <= Decimal("0.30")
    stage.all_quiet()


def test_a_job_that_succeeded_is_not_asked_for_checkpoints(stage: Stage) -> None:
    assert stage.launch().outcome is Outcome.SUCCEEDED
    assert "status" not in {argv[2] for argv in stage.site.argv_seen if len(argv) > 2}


def test_what_is_here_already_is_not_fetched_again(stage: Stage) -> None:
    stage.site.work = Work(steps=40, step_seconds=10, save_every=5, outcome="failed")
    assert stage.launch().outcome is Outcome.FAILED
    asked = [argv[argv.index("--under") + 1] for argv in stage.site.argv_seen if argv[2:3] == ("manifest",)]
    assert asked == [*(f"checkpoints/step-{step}" for step in range(5, 45, 5)), "out"]


def _unwatched_beyond_its_budget(folder: Path) -> tuple[Stage, Receipt]:
    """This computer slept for three days beside a machine that nothing else ends; its job was over soon."""
    stage = Stage(folder, traits=fake_traits(guarded=False))
    stage.provider.catalogue = tuple(replace(one, guarded=False) for one in stage.provider.catalogue)
    stage.site.work = Work(steps=20, save_every=8, outcome="vanished")
    when(stage, after(stage, 60), lambda: stage.clock.sleep(3 * 86400))
    return stage, stage.launch(budget="1")


def test_what_the_budget_does_not_pay_for_any_more_is_not_waited_for(folder: Path) -> None:
    stage, receipt = _unwatched_beyond_its_budget(folder)
    woken = stage.heard.of(Warned)[0]
    told = [one.text for one in stage.heard.of(Warned) if one.code == "checkpoint"]
    assert set(told) == {
        "step-16 is not fetched: the budget does not pay any more for what leaves the provider's network"
    }
    assert stage.site.sent_bytes == 0
    assert receipt.outcome is Outcome.OUT_OF_BUDGET
    ended_at = stage.cloud.machines()[0].ended_at
    assert ended_at is not None
    assert (ended_at - woken.at).total_seconds() < 20
