"""`launch resume`: the same run under a new total budget, from its last whole checkpoint, and never a cent over."""

import json
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from random import Random
from threading import current_thread, main_thread

import pytest
from syrupy.assertion import SnapshotAssertion

from launcher import codec, display, flow, history, kept, look, recover, resuming, wire
from launcher.errors import Exit, LaunchError
from launcher.events import PlanMade, Settled, Warned
from launcher.lock import sole_writer
from launcher.receipt import Receipt
from launcher.request import IfSlow, Request
from launcher.run import Outcome, State
from pricing.offer import Market
from providers.base import NoCapacity, Unavailable
from tests.fake_machine import fake_offer, fake_traits
from tests.fake_world import FIRST_RUN, Killed, Stage, Work
from tests.launcher.moments import after, when

LONG = Work(steps=100, step_seconds=40)
"""More than sixty cents pay for."""


SHORT = Work(steps=10, step_seconds=40)


@pytest.fixture
def stage(folder: Path) -> Stage:
    """As everywhere, but quick."""
    return quick(folder)


def quick(folder: Path) -> Stage:
    """A stage on which hours pass in few turns of the loop."""
    stage = Stage(folder)
    stage.site.tick_seconds = 20.0
    return stage


def stopped(stage: Stage, *, budget: str = "0.60", work: Work = LONG) -> Receipt:
    """A run that its budget stopped, at a checkpoint that came home."""
    stage.site.work = work
    receipt = stage.launch(budget=budget)
    assert receipt.outcome is Outcome.OUT_OF_BUDGET
    return receipt


def cancelled(stage: Stage, *, budget: str = "0.60", seconds: float = 240, work: Work | None = None) -> Receipt:
    """The same, sooner: a person stopped it."""
    stage.site.work = work or Work(steps=40, step_seconds=20)
    world = stage.laptop()
    run = stage.open_run(world, budget=budget)
    when(stage, after(stage, seconds), lambda: world.ledger.ask_stop(run.id, "save"))
    receipt = flow.carry(run, world, is_new=True)
    assert receipt.outcome is Outcome.CANCELLED
    return receipt


def take_all_back(stage: Stage) -> None:
    for machine in stage.cloud.alive():
        stage.cloud.preempt(machine.id)


def notes(stage: Stage, code: str = "note") -> list[str]:
    return [event.text for event in stage.heard.of(Warned) if event.code == code]


def standing(stage: Stage) -> tuple[object, ...]:
    """All that the ledger says of the run, but for its machines."""
    one = stage.laptop().ledger.find(FIRST_RUN)
    return one.state, one.outcome, one.budget_usd, one.spent_usd, one.receipt_json, one.resumed, one.open_intents


def refused(stage: Stage, budget: str, **said: object) -> LaunchError:
    """Why a resumption is refused; nothing is rented, and nothing of the run changes."""
    before, machines = standing(stage), len(stage.cloud.machines())
    with pytest.raises(LaunchError) as caught:
        stage.resume(FIRST_RUN, budget, **said)
    assert standing(stage) == before
    assert len(stage.cloud.machines()) == machines
    return caught.value


# The story


def test_it_goes_on_as_the_same_run_from_its_checkpoint_and_the_books_hold_both_parts(stage: Stage) -> None:
    first = stopped(stage)
    assert first.resume_usd is not None
    second = stage.resume(first.run, first.resume_usd)
    assert (second.run, second.outcome, second.attempts) == (first.run, Outcome.SUCCEEDED, 2)
    assert stage.site.restored["m-0002"] >= 80
    assert second.spent_usd >= stage.cloud.billed_usd()
    assert second.spent_usd <= first.resume_usd
    old, new = second.parts
    assert (old.outcome, old.attempts, old.allowed_usd, old.spent_usd) == (
        first.outcome, 1, Decimal("0.60"), first.spent_usd,
    )  # fmt: skip
    assert (new.outcome, new.attempts) == (Outcome.SUCCEEDED, 1)
    assert new.allowed_usd == first.resume_usd - first.spent_usd
    assert abs(old.spent_usd + new.spent_usd - second.spent_usd) < Decimal("0.0002")
    assert {phase.name for phase in new.phases} > {"boot", "train", "evaluate"}
    assert (second.results.folder, second.results.verified) == (first.results.folder, True)
    stage.all_quiet()


def test_the_three_amounts_stand_in_question_plan_and_receipt(stage: Stage, snapshot: SnapshotAssertion) -> None:
    first = stopped(stage)
    asked: list[str] = []
    world = stage.laptop()

    class Console:
        tell, fail = world.console.tell, world.console.fail

        def ask(self, question: str, *, default: bool) -> bool | None:
            asked.append(question)
            return True

    receipt = resuming.resume(first.run, Request(budget_usd=Decimal(2)), replace(world, console=Console()))
    assert receipt is not None
    made = stage.heard.of(PlanMade)[-1]
    assert made.plan.terms.budget_usd == 2 - first.spent_usd
    told = [*asked, made.title, made.data, *notes(stage, "new-budget"), display.receipt(first, width=100)]
    shown = display.receipt(receipt, width=100).replace(str(stage.folder), "")
    assert "\n".join([*told, shown]).replace(str(stage.folder), "") == snapshot


def test_the_budget_that_the_receipt_names_is_what_finishes_it(folder: Path) -> None:
    for at, (steps, seconds, budget) in enumerate([(100, 40, "0.60"), (60, 80, "0.70"), (400, 5, "0.35")]):
        stage = quick(folder / str(at))
        first = stopped(stage, budget=budget, work=Work(steps=steps, step_seconds=seconds))
        assert first.resume_usd is not None
        second = stage.resume(first.run, first.resume_usd)
        assert (second.outcome, second.attempts, second.why) == (Outcome.SUCCEEDED, 2, ""), at
        assert second.spent_usd <= first.resume_usd


def test_twice_resumed_it_has_three_parts_and_is_one_run(stage: Stage) -> None:
    first = stopped(stage, work=replace(LONG, steps=220))
    second = stage.resume(first.run, "1.10")
    assert second.outcome is Outcome.OUT_OF_BUDGET
    third = stage.resume(first.run, "3")
    assert (third.outcome, third.attempts) == (Outcome.SUCCEEDED, 3)
    assert [one.outcome for one in third.parts] == [Outcome.OUT_OF_BUDGET, Outcome.OUT_OF_BUDGET, Outcome.SUCCEEDED]
    assert [one.budget_usd for one in third.parts] == [Decimal("0.60"), Decimal("1.10"), Decimal(3)]
    assert all(one.allowed_usd is not None and one.spent_usd <= one.allowed_usd for one in third.parts)
    assert sum(one.spent_usd for one in third.parts) <= 3
    (record,) = stage.laptop().ledger.runs()
    assert (record.resumed, record.spent_usd, record.budget_usd) == (2, third.spent_usd, Decimal(3))
    found = kept.receipt(record.receipt_json or "").parts
    assert [(one.outcome, one.spent_usd, one.allowed_usd) for one in found] == [
        (one.outcome, one.spent_usd, one.allowed_usd) for one in third.parts
    ]
    stage.all_quiet()


def test_sums_over_parts_never_exceed_their_budgets_whatever_is_said(folder: Path) -> None:
    for seed in range(6):
        dice, stage = Random(seed), quick(folder / str(seed))
        stage.site.work = Work(steps=dice.randint(20, 150), step_seconds=dice.choice([5, 20, 60]),
                               save_every=dice.choice([3, 10]))  # fmt: skip
        budget = Decimal(dice.randint(25, 80)) / 100
        receipt = stage.launch(budget=str(budget))
        for _ in range(3):
            budget = receipt.spent_usd + Decimal(dice.randint(5, 120)) / 100
            if receipt.outcome is Outcome.SUCCEEDED:
                break
            if dice.random() < 0.4:
                when(stage, after(stage, dice.uniform(30, 900)), partial(take_all_back, stage))
            with suppress(LaunchError):  # a budget that is too small for the rest
                receipt = stage.resume(receipt.run, budget)
            assert stage.cloud.billed_usd() <= receipt.spent_usd <= (receipt.budget_usd or 0), seed
            for part in receipt.parts:
                assert part.allowed_usd is not None
                assert part.spent_usd <= part.allowed_usd + Decimal("0.0001"), seed
        stage.all_quiet()


def test_what_the_first_budget_had_shortened_is_trained_whole(stage: Stage) -> None:
    stage.site.work = Work(steps=600, step_seconds=6, save_every=50, probe_steps=20, evaluate_seconds=300)
    world = stage.laptop()
    run = stage.open_run(world, budget="0.57")
    when(stage, lambda verb: bool(stage.site.told_to_end), lambda: world.ledger.ask_stop(run.id, "save"))
    assert flow.carry(run, world).outcome is Outcome.CANCELLED
    assert world.ledger.load(run.id).shortened is not None
    assert stage.resume(run.id, "1.50").outcome is Outcome.SUCCEEDED
    again = stage.laptop().ledger.load(run.id)
    assert again.shortened is None
    assert again.attempts[0].shortened is not None, "what was, stays in the books"


def test_a_new_part_has_all_its_machines_again(folder: Path) -> None:
    stage = Stage(folder, offers=tuple(fake_offer(zone=f"north-{number}a") for number in range(8)))
    cancelled(stage, budget="5")
    stage.site.trial = {"failed": "RuntimeError: CUDA error 804"}
    assert stage.resume(FIRST_RUN, "50").attempts == 1 + flow.MOST_ALIKE
    stage.clock.sleep(3600)
    assert stage.resume(FIRST_RUN, "60").attempts == 1 + 2 * flow.MOST_ALIKE
    stage.all_quiet()


def test_the_deadline_is_said_anew_or_there_is_none(stage: Stage) -> None:
    stage.site.work = Work(steps=200, step_seconds=20)
    first = stage.launch(budget="5", deadline_seconds=1800)
    assert first.outcome is Outcome.OUT_OF_BUDGET
    stage.clock.sleep(86_400)
    second = stage.resume(first.run, "5", deadline_seconds=1800)
    assert second.outcome is Outcome.OUT_OF_BUDGET
    run = stage.laptop().ledger.load(first.run)
    assert run.deadline_at is not None
    assert (run.deadline_at - run.began_at).total_seconds() == 1800
    third = stage.resume(first.run, "5")
    assert third.outcome is Outcome.SUCCEEDED
    assert stage.laptop().ledger.load(first.run).deadline_at is None


# What is said anew, and what stays


def test_what_is_not_said_stays_and_consent_is_asked_for_again(stage: Stage) -> None:
    stage.site.work = LONG
    world = stage.laptop()
    flow.carry(stage.open_run(world, budget="0.60", markets=(Market.SPOT,), if_slow=IfSlow.GO_ON,
                              accept_unguarded=True), world)  # fmt: skip
    stage.resume(FIRST_RUN, "3")
    request = codec.load(Request, stage.laptop().ledger.request(FIRST_RUN))
    assert (request.markets, request.if_slow, request.accept_unguarded) == ((Market.SPOT,), IfSlow.GO_ON, False)
    assert request.budget_usd == 3


def test_another_market_may_be_said(stage: Stage) -> None:
    cancelled(stage)
    receipt = stage.resume(FIRST_RUN, "5", markets=(Market.ON_DEMAND,))
    assert (receipt.outcome, receipt.market) == (Outcome.SUCCEEDED, Market.ON_DEMAND)


def test_a_no_leaves_the_run_as_it_was(stage: Stage) -> None:
    cancelled(stage)
    stage.heard.answer = False
    before = standing(stage)
    with pytest.raises(LaunchError) as caught:
        resuming.resume(FIRST_RUN, Request(budget_usd=Decimal(5)), stage.laptop())
    assert caught.value.code == "declined"
    assert standing(stage) == before


def test_in_the_background_the_run_is_reopened_and_carried_by_another_process(stage: Stage) -> None:
    cancelled(stage)
    world = stage.laptop()

    def spawn(run_id: str) -> None:
        flow.attach(run_id, stage.laptop())

    asked = Request(budget_usd=Decimal(5), yes=True, detach=True)
    assert resuming.resume(FIRST_RUN, asked, replace(world, spawn=spawn)) is None
    assert stage.laptop().ledger.find(FIRST_RUN).outcome is Outcome.SUCCEEDED


# Refused before anything is rented


def test_a_budget_that_is_spent_already_is_refused_with_one_that_would_do(stage: Stage) -> None:
    first = stopped(stage)
    error = refused(stage, "0.40")
    assert (error.code, error.exit_code) == ("not-resumable", Exit.USAGE)
    assert "has spent 0.50 already, and its --budget is all that it may cost, that included" in error.message
    assert error.hint.startswith(f"launch resume {first.run} --budget {first.resume_usd:.2f} ")


def test_a_budget_that_does_not_finish_it_is_refused_with_one_that_does(stage: Stage) -> None:
    first = stopped(stage, work=replace(LONG, steps=300))
    error = refused(stage, str(first.spent_usd + Decimal("0.02")))
    assert (error.code, error.exit_code) == ("over-budget", Exit.REFUSED)
    assert "0.0200 more does not finish" in error.message
    named = error.hint.partition("--budget ")[2].partition(" ")[0]
    assert stage.resume(first.run, named).outcome is Outcome.SUCCEEDED


def test_a_run_that_succeeded_or_has_not_ended_is_refused(stage: Stage) -> None:
    stage.launch()
    assert refused(stage, "9").code == "not-resumable"
    stage.next_run = "calm-heron-0002"
    stage.open_run(stage.laptop())
    with pytest.raises(LaunchError) as caught:
        stage.resume("calm-heron-0002", "9")
    assert (caught.value.code, caught.value.hint) == ("not-resumable", "launch attach calm-heron-0002")


def test_without_a_checkpoint_there_is_nothing_to_go_on_from(stage: Stage) -> None:
    stage.site.work = Work(steps=40, step_seconds=20, save_every=1000)
    world = stage.laptop()
    run = stage.open_run(world)
    when(stage, after(stage, 120), lambda: world.ledger.ask_stop(run.id, "now"))
    flow.carry(run, world)
    error = refused(stage, "5")
    assert (error.code, error.exit_code) == ("no-checkpoint", Exit.USAGE)


def test_a_checkpoint_that_is_damaged_here_is_passed_over_for_the_one_before(stage: Stage) -> None:
    cancelled(stage)
    folder = stage.laptop().run_folder(FIRST_RUN) / "checkpoints"
    known = stage.laptop().ledger.checkpoint(FIRST_RUN)
    assert known is not None
    (folder / known / "manifest.json").write_text('{"files": [{"path": "model.safetensors", "sha256": "00"}]}')
    others = sorted(int(one.name[5:]) for one in folder.iterdir() if one.name != known)
    stage.resume(FIRST_RUN, "5")
    assert stage.site.restored["m-0002"] == others[-1]
    assert f"{known} is not whole on this disk: it goes on from step-{others[-1]}" in notes(stage)


def test_where_every_checkpoint_is_damaged_it_is_refused(stage: Stage) -> None:
    cancelled(stage)
    for one in (stage.laptop().run_folder(FIRST_RUN) / "checkpoints").iterdir():
        (one / "manifest.json").write_text("{")
    assert refused(stage, "5").code == "no-checkpoint"


def test_a_bundle_that_changed_on_this_disk_is_not_shipped(stage: Stage) -> None:
    cancelled(stage)
    (stage.laptop().run_folder(FIRST_RUN) / "bundle.tar.gz").write_bytes(b"another job")
    assert refused(stage, "5").code == "bundle-damaged"


def test_a_launch_yaml_that_changed_since_is_not_what_goes_on_and_that_is_said(stage: Stage) -> None:
    cancelled(stage)
    file = stage.folder / "launch.yaml"
    file.write_text("name: now another\n")
    (stage.laptop().run_folder(FIRST_RUN) / flow.JOB_FILE).write_text(f"{'0' * 64}  {file}\n")
    stage.resume(FIRST_RUN, "5")
    assert any(f"{file} has changed since" in text for text in notes(stage))


def test_a_secret_that_is_gone_is_missed_before_a_machine_is_rented(stage: Stage) -> None:
    stage.site.work = LONG
    world = replace(stage.laptop(), environ={"HF_TOKEN": "x" * 30})
    flow.carry(stage.open_run(world, budget="0.60", secrets=("HF_TOKEN",)), world)
    assert refused(stage, "5").code == "no-secret"


def test_a_run_that_another_process_holds_is_left_to_it(stage: Stage) -> None:
    cancelled(stage)
    with sole_writer(stage.laptop().run_folder(FIRST_RUN), stage.clock.sleep):
        assert refused(stage, "5").code == "held"


def test_where_no_machine_is_to_be_had_the_run_stands_as_it_stood(stage: Stage) -> None:
    cancelled(stage)
    stage.provider.lies.refuse(NoCapacity("none left"))
    error = refused(stage, "5")
    assert (error.code, error.exit_code) == ("no-capacity", Exit.REFUSED)
    assert "nothing was spent" in error.message
    assert stage.laptop().ledger.load(FIRST_RUN).parts == ()
    stage.all_quiet()


def test_where_it_cannot_be_asked_whether_it_runs_nothing_is_rented(stage: Stage) -> None:
    cancelled(stage)
    before = stage.cloud.before_call

    def at(verb: str) -> None:
        if verb == "list":
            raise Unavailable("no usable answer", code="500")
        before(verb)

    stage.cloud.before_call = at
    assert refused(stage, "5").code == "provider-unavailable"


def test_a_job_that_failed_by_itself_may_go_on_and_it_is_said_that_it_may_fail_again(stage: Stage) -> None:
    stage.site.work = Work(steps=10, outcome="failed")
    assert stage.launch().outcome is Outcome.FAILED
    stage.site.work = Work(steps=10)
    assert stage.resume(FIRST_RUN, "9").outcome is Outcome.SUCCEEDED
    assert any("its job failed by itself" in text for text in notes(stage))


# What only the cloud knows


def test_a_machine_of_the_run_that_only_the_cloud_knows_ends_first_and_counts(stage: Stage) -> None:
    cancelled(stage, budget="5")
    first = next(iter(stage.cloud.truth.values()))
    stage.provider.create(replace(first.request, nonce="f" * 24, attempt=2))
    stage.clock.sleep(1200)
    receipt = stage.resume(FIRST_RUN, "5")
    assert receipt.outcome is Outcome.SUCCEEDED
    assert receipt.attempts == 3
    assert receipt.spent_usd >= stage.cloud.billed_usd()
    stage.all_quiet()


# Deaths


def _resumed_points(folder: Path) -> tuple[int, list[int]]:
    """How many points there are before, and those of the main thread: a market's own thread dies by itself."""
    stage, ours = quick(folder), list[int]()
    cancelled(stage, budget="5", work=SHORT)
    first = len(stage.points)

    def at(_: str) -> None:
        if current_thread() is main_thread():
            ours.append(len(stage.points) - 1)

    stage.at_point = at
    stage.resume(FIRST_RUN, "5")
    return first, ours


def test_a_kill_at_any_write_or_call_of_it_leaves_nothing_and_the_next_one_finishes(folder: Path) -> None:
    first, points = _resumed_points(folder / "whole")
    for point in [*points[:9], *points[9::13]]:
        stage = quick(folder / str(point))
        cancelled(stage, budget="5", work=SHORT)
        assert len(stage.points) == first
        stage.die_at = point
        with pytest.raises(Killed):
            stage.resume(FIRST_RUN, "5")
        stage.recover()
        stage.all_quiet()
        record = stage.laptop().ledger.find(FIRST_RUN)
        if record.outcome is not Outcome.SUCCEEDED:
            assert stage.resume(FIRST_RUN, "5").outcome is Outcome.SUCCEEDED, stage.points[point]
        stage.all_quiet()
        record = stage.laptop().ledger.find(FIRST_RUN)
        assert stage.cloud.billed_usd() <= record.spent_usd <= 5, stage.points[point]


def test_a_process_that_dies_before_it_rents_leaves_the_run_as_it_was(stage: Stage) -> None:
    cancelled(stage)
    before = standing(stage)
    when(stage, lambda verb: verb == "create", stage.kill)
    with pytest.raises(Killed):
        stage.resume(FIRST_RUN, "5")
    stage.recover()
    stage.clock.sleep(fake_traits().settle_seconds + 60)
    recover.settle_open(stage.laptop())
    assert standing(stage) == before


# How it is told


def test_who_attaches_hears_the_part_that_runs_and_not_the_receipt_before_it(stage: Stage) -> None:
    cancelled(stage)
    stage.resume(FIRST_RUN, "5")
    told = [one.event for one in look.story(FIRST_RUN, stage.laptop())]
    assert told.count("receipt") == 1
    assert told[-1] == "receipt"


def test_the_history_learns_no_wrong_speed_and_does_not_count_it_as_a_forecast(stage: Stage) -> None:
    cancelled(stage)
    stage.resume(FIRST_RUN, "5")
    found = history.history(stage.laptop())
    (run,) = found.runs
    assert (run.left_out, run.attempts) == ("resumed", 2)
    assert (found.usd, found.seconds) == (None, None)
    last = run.machines[-1]
    train = next(phase for phase in last.phases if phase.name == "train")
    assert (last.first_step or 0) > 1
    assert train.whole_seconds == pytest.approx(40 * 20, rel=0.1)


def test_the_documents_name_the_parts_and_the_budget_that_finishes_it(stage: Stage) -> None:
    first = stopped(stage)
    document = json.loads(wire.text(wire.document(Settled(run=first.run, at=first.at, receipt=first))))
    assert document["resume_budget_usd"] == wire.usd(first.resume_usd or Decimal(0))
    assert document["parts"] == []
    second = stage.resume(first.run, "5")
    document = json.loads(stage.laptop().ledger.find(first.run).receipt_json or "")
    assert [one["outcome"] for one in document["parts"]] == ["out of budget", "succeeded"]
    assert document["resume_budget_usd"] is None
    assert [len(one.phases) for one in kept.receipt(wire.text(document)).parts] == [
        len(one.phases) for one in second.parts
    ]


def test_a_state_only_a_resumption_leads_to(stage: Stage) -> None:
    cancelled(stage)
    states: list[State] = []
    when(stage, lambda verb: verb == "create", lambda: states.append(stage.laptop().ledger.find(FIRST_RUN).state))
    stage.resume(FIRST_RUN, "5")
    assert states == [State.PROVISIONING]
