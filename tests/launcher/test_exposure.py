"""The exposure cap: what all live runs may still cost, counted with open intents, and reserved in the ledger."""

from dataclasses import replace
from datetime import timedelta
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from threading import Barrier, Thread

import pytest
from syrupy.assertion import SnapshotAssertion

from launcher import exposure_page, fence, flow, recover, resuming, tables
from launcher.config import Config
from launcher.errors import Exit, LaunchError
from launcher.exposure import Exposed, Exposure, Reservation, note
from launcher.ledger import Ledger
from launcher.request import Request
from launcher.run import Run, State
from launcher.sightings import Listing
from launcher.world import World
from providers.base import Ambiguous
from tests.fake_world import Killed, Stage, Work
from tests.launcher.moments import in_state, when

CAP = Decimal(8)
ROOT = Path(__file__).parents[2]


def capped(stage: Stage, cap: Decimal | None = CAP) -> World:
    return replace(stage.laptop(), config=Config(exposure_cap_usd=cap))


def opened(stage: Stage, name: str, budget: str) -> Run:
    """A live run of that budget, that has spent nothing yet."""
    stage.next_run = name
    return stage.open_run(stage.laptop(), budget=budget)


def reserve(ledger: Ledger, like: Run, name: str, usd: str, *, command: str = "launch") -> None:
    """Open a run under the cap, as `flow.open_run` does."""
    run = replace(like, id=name, budget_usd=Decimal(usd))
    asked = Reservation(usd=run.budget_usd, cap_usd=CAP, now=like.created_at, command=command)
    ledger.open_run(run, request=ledger.request(like.id), plan=ledger.plan(like.id), reservation=asked)


def at_risk(stage: Stage) -> Exposure:
    return stage.laptop().ledger.exposure(CAP, stage.clock())


def test_what_every_live_run_may_still_cost_is_summed_up_and_no_more_is_allowed(stage: Stage) -> None:
    first = opened(stage, "brave-otter-0001", "5")
    reserve(stage.laptop().ledger, first, "calm-heron-0002", "3")
    assert at_risk(stage).usd == 8
    with pytest.raises(LaunchError) as caught:
        reserve(stage.laptop().ledger, first, "keen-lynx-0003", "0.01")
    assert (caught.value.code, caught.value.exit_code) == ("exposure-cap", Exit.REFUSED)
    assert [one.id for one in stage.laptop().ledger.runs()] == ["calm-heron-0002", "brave-otter-0001"]


def test_the_refusal_names_what_lives_and_a_budget_that_fits(stage: Stage, snapshot: SnapshotAssertion) -> None:
    first = opened(stage, "brave-otter-0001", "5")
    told = []
    for name, usd in (("calm-heron-0002", "4"), ("keen-lynx-0003", "3"), ("wise-raven-0004", "2")):
        try:
            reserve(stage.laptop().ledger, first, name, usd)
        except LaunchError as error:
            told += [error.message, error.hint]
    assert "\n".join(told) == snapshot


def test_the_budget_that_the_hint_names_passes(stage: Stage) -> None:
    first = opened(stage, "brave-otter-0001", "5")
    with pytest.raises(LaunchError) as caught:
        reserve(stage.laptop().ledger, first, "calm-heron-0002", "4")
    named = caught.value.hint.partition("--budget ")[2].partition(" ")[0]
    reserve(stage.laptop().ledger, first, "calm-heron-0002", named)
    assert at_risk(stage).room_usd == 0


def test_money_that_was_spent_is_no_risk_any_more_and_a_run_that_ended_is_none(stage: Stage) -> None:
    run = opened(stage, "brave-otter-0001", "5")
    stage.laptop().ledger.note_spent(run, Decimal("1.25"))
    assert at_risk(stage).usd == Decimal("3.75")
    stage.site.work = Work(steps=5)
    flow.carry(run, stage.laptop(), is_new=True)
    assert at_risk(stage) == Exposure(parts=(), cap_usd=CAP)


def test_a_run_whose_create_call_has_no_answer_counts_with_all_its_budget(stage: Stage) -> None:
    run = opened(stage, "brave-otter-0001", "5")
    stage.provider.lies.refuse(Ambiguous("its answer got lost", code="timeout"))
    when(stage, lambda verb: verb == "list", stage.kill)
    with pytest.raises(Killed):
        flow.carry(run, stage.laptop(), is_new=True)
    stage.revive()
    (part,) = at_risk(stage).parts
    assert (part.what, part.is_maybe, part.usd) == ("maybe running", True, Decimal(5))


def test_of_two_launches_at_the_same_moment_one_passes(stage: Stage) -> None:
    first = opened(stage, "brave-otter-0001", "1")
    path, barrier, told = stage.folder / "home" / "ledger.sqlite", Barrier(2), list[str]()

    def launch(name: str) -> None:
        ledger = Ledger(path)
        barrier.wait()
        try:
            reserve(ledger, first, name, "4")
            told.append("passed")
        except LaunchError as error:
            told.append(error.code)

    threads = [Thread(target=launch, args=(name,)) for name in ("calm-heron-0002", "keen-lynx-0003")]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(told) == ["exposure-cap", "passed"]
    assert at_risk(stage).usd == 5


def test_a_second_machine_of_a_run_is_inside_what_was_reserved(stage: Stage) -> None:
    stage.site.work = Work(steps=30)
    run = opened(stage, "brave-otter-0001", "8")
    when(stage, in_state(stage, State.RUNNING, "remote"), lambda: stage.cloud.preempt(stage.cloud.alive()[0].id))
    receipt = flow.carry(run, capped(stage, Decimal("0.01")), is_new=True)
    assert (receipt.outcome, receipt.attempts) == ("succeeded", 2), "a cap below what runs refuses new money only"


def test_without_a_cap_nothing_is_refused(stage: Stage) -> None:
    first = opened(stage, "brave-otter-0001", "500")
    run = replace(first, id="calm-heron-0002")
    ledger = stage.laptop().ledger
    asked = Reservation(usd=Decimal(500), cap_usd=None, now=stage.clock())
    ledger.open_run(run, request=ledger.request(first.id), plan=ledger.plan(first.id), reservation=asked)
    assert ledger.exposure(None, stage.clock()).usd == 1000


def test_a_resumed_run_reserves_what_it_may_spend_from_now_on(stage: Stage) -> None:
    stage.site.work = Work(steps=400, step_seconds=10)
    stage.site.tick_seconds = 30
    first = stage.launch(budget="0.60")
    with pytest.raises(LaunchError) as caught:
        resumed(stage, first.run, "9")
    assert caught.value.code == "exposure-cap"
    fits = (first.spent_usd + CAP).quantize(Decimal("0.01"), rounding=ROUND_DOWN)
    assert caught.value.hint.startswith(f"launch resume {first.run} --budget {fits} ")
    assert stage.laptop().ledger.load(first.run).parts == ()
    resumed(stage, first.run, caught.value.hint.partition("--budget ")[2].partition(" ")[0])
    assert stage.laptop().ledger.find(first.run).outcome == "succeeded"


def resumed(stage: Stage, run_id: str, budget: str) -> None:
    resuming.resume(run_id, Request(budget_usd=Decimal(budget), yes=True), capped(stage))


def test_a_machine_of_ours_that_no_run_here_knows_counts_once_it_was_listed(stage: Stage) -> None:
    run = opened(stage, "brave-otter-0001", "2")
    when(stage, in_state(stage, State.RUNNING, "remote"), stage.kill)
    with pytest.raises(Killed):
        flow.carry(run, stage.laptop(), is_new=True)
    stage.revive()
    (machine,) = stage.provider.list()
    ledger = stage.laptop().ledger
    ledger.sightings.claim("fake", "north-1", stage.clock(), 1.0)
    stranger = replace(machine, id="m-9999", run_id="far-away-0009", deadline=stage.clock() + timedelta(hours=2))
    ledger.sightings.keep_listing("fake", "north-1", Listing(at=stage.clock(), machines=(machine, stranger)))
    run_part, other = sorted(at_risk(stage).parts, key=lambda one: not one.is_run)
    assert (run_part.name, other.name, other.what, other.is_run) == (run.id, "fake m-9999", "unknown here", False)
    assert other.usd == 2 * (machine.billed_usd_per_hour or 0)
    stage.clock.sleep(7200)
    assert [one.name for one in at_risk(stage).parts] == [run.id], "nobody has seen it for hours"


def test_a_machine_that_reap_ended_counts_no_more_for_whoever_launches_next(stage: Stage) -> None:
    """The refusal says `launch reap`; who does as it says must not be refused again."""
    run = opened(stage, "brave-otter-0001", "2")
    when(stage, in_state(stage, State.RUNNING, "remote"), stage.kill)
    with pytest.raises(Killed):
        flow.carry(run, stage.laptop(), is_new=True)
    stage.revive()
    (machine,) = stage.provider.list()
    empty = replace(stage.laptop(), ledger=Ledger(stage.folder / "empty.sqlite"))
    empty.ledger.sightings.claim("fake", "north-1", stage.clock(), 1.0)
    empty.ledger.sightings.keep_listing("fake", "north-1", Listing(at=stage.clock(), machines=(machine,)))
    assert len(empty.ledger.exposure(Decimal(3), stage.clock()).parts) == 1
    reaped = recover.reap(replace(empty, taken_over=fence.All()))
    assert [one.id for one in reaped.ended] == [machine.id]
    assert empty.ledger.exposure(Decimal(3), stage.clock()).parts == ()


def test_an_estimate_says_where_it_would_be_refused() -> None:
    risk = Exposure(parts=(Exposed(name="brave-otter-0001", what="running", usd=Decimal(5)),), cap_usd=CAP)
    assert note(risk, Decimal(3)) == ""
    assert note(risk, Decimal(4)) == (
        "the exposure cap of 8.00 leaves 3.00 beside what runs (brave-otter-0001): "
        "a launch that may cost 4.00 would be refused"
    )


@pytest.mark.parametrize("cap", [None, CAP])
def test_ps_tells_it(stage: Stage, cap: Decimal | None, snapshot: SnapshotAssertion) -> None:
    opened(stage, "brave-otter-0001", "5")
    world = stage.laptop()
    risk = world.ledger.exposure(cap, stage.clock())
    page = tables.runs_table(world.ledger.runs(), stage.clock(), risk=exposure_page.line(risk))
    assert page == snapshot
    assert exposure_page.document(risk)["usd"] == "5.00"


def test_a_launch_is_refused_before_anybody_is_asked(stage: Stage) -> None:
    opened(stage, "brave-otter-0001", "5")
    stage.heard.answer = None
    world = replace(capped(stage), job_folder=ROOT / "jobs" / "qlora")
    wanted = Request(budget_usd=Decimal(4), job=ROOT / "examples" / "support-json", out=stage.folder / "out")
    with pytest.raises(LaunchError) as caught:
        flow.launch(wanted, world)
    assert caught.value.code == "exposure-cap", "and not no-terminal"
    with pytest.raises(LaunchError) as caught:
        flow.launch(replace(wanted, budget_usd=Decimal(3)), world)
    assert caught.value.code == "no-terminal"
