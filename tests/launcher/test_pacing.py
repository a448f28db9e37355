"""A training that is slower than its budget, or than its card: stories over the cloud that lies, in virtual time."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from jobs import progress
from launcher import flow
from launcher.events import Forecast, Warned
from launcher.forecast import SAME_PACE
from launcher.pacing import MOST_LEFT, shortened_to
from launcher.receipt import Receipt
from launcher.request import IfSlow
from launcher.run import Attempt, Outcome, State
from launcher.tracker import Tracker
from pricing.gpus import by_name
from pricing.offer import Market, Offer
from tests.fake_machine import fake_offer
from tests.fake_world import Killed, Stage, Work
from tests.launcher.moments import after, when

BUDGET = "4.5"
TOO_LONG = Work(steps=600, step_seconds=6, save_every=50, probe_steps=20, evaluate_seconds=300)
"""An hour and more at 4 dollars: more than the budget, at a speed that the estimate did not exclude."""
FINE = Work(steps=120, step_seconds=6, save_every=50, probe_steps=20, evaluate_seconds=300)
SLOW = 8.0
"""48 s a step instead of 6: no estimate explains that."""


@pytest.fixture
def stage(folder: Path) -> Stage:
    """A dear machine, so that the budget is over within the hour, and one that is dearer still."""
    dear = fake_offer("f1.large", usd="6.40", market=Market.ON_DEMAND)
    return Stage(folder, offers=(fake_offer(usd="4.00"), dear))


@pytest.fixture
def wide(folder: Path) -> Stage:
    """The same machine in many places."""
    return Stage(folder, offers=tuple(fake_offer(zone=f"north-{number}a") for number in range(6)))


def said(stage: Stage, code: str) -> list[str]:
    return [event.text for event in stage.heard.of(Warned) if event.code == code]


def launched(stage: Stage, work: Work, **more: Any) -> Receipt:
    stage.site.work = work
    receipt = stage.launch(**{"budget": BUDGET, **more})
    stage.all_quiet()
    assert stage.cloud.billed_usd() <= receipt.spent_usd <= Decimal(more.get("budget", BUDGET))
    return receipt


def steps_told(stage: Stage, machine: str) -> list[tuple[int, int]]:
    job = stage.site.started[machine]
    lines = [event for _, event in job.lines(stage.clock()) if event["event"] == "step"]
    return [(int(str(event["step"])), int(str(event["of"]))) for event in lines]


def attempts(stage: Stage, receipt: Receipt) -> list[Attempt]:
    return stage.laptop().ledger.load(receipt.run).attempts


def cheap_and_fast() -> Offer:
    return replace(fake_offer("f9.fast", usd="2.50", market=Market.ON_DEMAND), gpu=by_name("H100-PCIe"))


# The forecast


def test_after_the_probe_the_forecast_rests_on_it_and_holds(stage: Stage) -> None:
    receipt = launched(stage, FINE, budget="12")
    assert receipt.outcome is Outcome.SUCCEEDED
    forecasts = stage.heard.of(Forecast)
    assert list(dict.fromkeys(event.basis for event in forecasts)) == ["plan", "steps", "probe"]
    assert forecasts[-1].basis == "steps", "what is measured since is worth more than the probe"
    first = next(event for event in forecasts if event.basis == "probe")
    assert first.usd.low_usd <= receipt.spent_usd <= first.usd.high_usd
    end_at = attempts(stage, receipt)[0].gone_at
    assert end_at is not None
    actual_seconds = (end_at - first.at).total_seconds()
    assert first.seconds.expected == pytest.approx(actual_seconds, rel=0.15)


def test_a_job_that_tells_no_probe_is_forecast_and_left_alone(stage: Stage) -> None:
    receipt = launched(stage, replace(TOO_LONG, probe_steps=0))
    assert receipt.outcome is Outcome.OUT_OF_BUDGET
    assert {event.basis for event in stage.heard.of(Forecast)} == {"plan", "steps"}
    assert stage.site.told_to_end == {}


# Too slow for the budget


def test_as_a_rule_the_training_is_shortened_so_that_it_ends_inside_the_budget(stage: Stage) -> None:
    receipt = launched(stage, TOO_LONG)
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 1)
    assert receipt.results.verified
    last = stage.site.told_to_end["m-0001"]
    assert steps_told(stage, "m-0001")[-1] == (last, last)
    assert receipt.why == f"trained for {last} of 600 steps, to stay within its limits"
    (text,) = said(stage, "shortened")
    assert f"the training ends at step {last} of 600" in text
    assert "the budget is 4.50" in text
    assert receipt.spent_usd > Decimal("3.2"), "what the budget pays for is trained"


def test_a_job_that_was_further_when_it_was_told_to_end_is_told_with_the_steps_that_it_did(stage: Stage) -> None:
    run = stage.laptop().ledger.load(launched(stage, TOO_LONG).run)
    assert run.shortened is not None
    last, line = run.shortened.last_step, '{"schema":1,"event":"step","at":"2026-11-24T12:00:00Z","step":%d,"of":600}'
    tracker = Tracker()
    for told, said_steps in ((last - 1, last), (last + 7, last + 7)):
        tracker.take(progress.parse((line % told).encode()), stage.clock())
        assert shortened_to(run, tracker) == f"trained for {said_steps} of 600 steps, to stay within its limits"


def test_who_wants_to_stop_is_stopped_while_it_is_cents(stage: Stage) -> None:
    receipt = launched(stage, TOO_LONG, if_slow=IfSlow.STOP)
    assert (receipt.outcome, receipt.exit_code, receipt.attempts) == (Outcome.OUT_OF_BUDGET, 5, 1)
    assert receipt.spent_usd < Decimal("0.8")
    assert "at the measured speed it needs" in receipt.why
    assert "stopped at step 2" in receipt.why
    assert "would do" in receipt.why
    assert receipt.results.files > 0
    assert stage.laptop().ledger.checkpoint(receipt.run) is not None


def test_the_budget_that_is_named_would_really_do(stage: Stage) -> None:
    stopped = launched(stage, TOO_LONG, if_slow=IfSlow.STOP)
    would_do = stopped.why.rpartition("a budget of ")[2].removesuffix(" would do")
    receipt = stage.resume(stopped.run, would_do)
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    assert receipt.why == ""
    assert receipt.spent_usd <= Decimal(would_do)


def test_who_wants_to_go_on_goes_on_to_the_last_cent_that_may_be_spent(stage: Stage) -> None:
    receipt = launched(stage, TOO_LONG, if_slow=IfSlow.GO_ON)
    assert (receipt.outcome, receipt.attempts) == (Outcome.OUT_OF_BUDGET, 1)
    assert stage.site.told_to_end == {}
    assert receipt.spent_usd > Decimal("3.2")


def test_what_would_leave_too_little_of_the_training_is_stopped_at_once(stage: Stage) -> None:
    receipt = launched(stage, replace(TOO_LONG, steps=5_000))
    assert receipt.outcome is Outcome.OUT_OF_BUDGET
    assert receipt.spent_usd < Decimal("0.8")
    assert "of the training would fit, which is not worth the rest of the money" in receipt.why


def test_who_wants_to_move_goes_where_it_is_cheaper_to_finish(stage: Stage) -> None:
    when(stage, after(stage, 60), lambda: setattr(stage.provider, "catalogue", (*stage.offers, cheap_and_fast())))
    receipt = launched(stage, TOO_LONG, if_slow=IfSlow.MOVE)
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    assert receipt.instance_type == "f9.fast"
    (text,) = said(stage, "too-slow")
    assert "f9.fast on demand north-1a is expected to finish for" in text
    assert steps_told(stage, "m-0002")[0][0] > 23, "from the checkpoint that was saved when it left"


def test_who_wants_to_move_and_finds_nothing_better_is_served_like_the_others(stage: Stage) -> None:
    receipt = launched(stage, TOO_LONG, if_slow=IfSlow.MOVE)
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 1)
    assert said(stage, "shortened")


def test_under_a_deadline_the_training_is_shortened_too(stage: Stage) -> None:
    receipt = launched(stage, TOO_LONG, budget="50", deadline_seconds=3500)
    assert receipt.outcome is Outcome.SUCCEEDED
    (text,) = said(stage, "shortened")
    assert "the deadline leaves" in text
    assert (receipt.at - receipt.started_at).total_seconds() <= 3500


def test_a_training_that_was_shortened_stays_so_on_the_next_machine(stage: Stage) -> None:
    when(stage, after(stage, 1500), lambda: stage.cloud.preempt("m-0001"))
    receipt = launched(stage, TOO_LONG)
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    last = stage.site.told_to_end["m-0001"]
    assert steps_told(stage, "m-0002")[0][1] == last, "before its first step"
    assert steps_told(stage, "m-0002")[-1][0] <= last


def test_a_process_that_dies_right_after_it_decided_leaves_a_shortened_run(stage: Stage) -> None:
    stage.site.work = TOO_LONG
    world = stage.laptop()
    run = stage.open_run(world, budget=BUDGET)
    stage.at_point = lambda name: stage.kill() if stage.site.told_to_end else None
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.at_point = lambda name: None
    stage.revive()
    receipt = flow.attach(run.id, stage.laptop())
    assert receipt.outcome is Outcome.SUCCEEDED
    assert "of 600 steps" in receipt.why
    stage.all_quiet()


def test_a_machine_that_cannot_shorten_goes_on_and_it_is_said_once(stage: Stage) -> None:
    stage.site.cannot_be_shortened = True
    receipt = launched(stage, TOO_LONG)
    assert receipt.outcome is Outcome.OUT_OF_BUDGET
    (text,) = said(stage, "shorten")
    assert "no such verb" in text
    assert attempts(stage, receipt)[0].shortened is None


def test_a_new_budget_pays_for_the_steps_that_the_old_one_had_cut(stage: Stage) -> None:
    stage.site.work = TOO_LONG
    world = stage.laptop()
    run = stage.open_run(world, budget=BUDGET)
    when(stage, lambda verb: bool(stage.site.told_to_end), lambda: world.ledger.ask_stop(run.id, "save"))
    assert flow.carry(run, world).outcome is Outcome.CANCELLED
    receipt = stage.resume(run.id, "12")
    assert receipt.outcome is Outcome.SUCCEEDED
    assert steps_told(stage, "m-0002")[-1] == (600, 600)


# Slower than its card


def test_a_host_that_is_much_slower_than_its_card_is_named_and_left(wide: Stage) -> None:
    wide.site.slowness["m-0001"] = SLOW
    receipt = launched(wide, FINE, budget="5")
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    (text,) = said(wide, "slow-host")
    assert "this A10G trains at 0.0" in text
    assert "of what it should (48.00 s a step;" in text
    first, second = attempts(wide, receipt)
    assert first.end_code == "slow-host"
    assert first.offer.pool != second.offer.pool
    until = wide.laptop().ledger.refused_until(first.offer.pool, first.gone_at or wide.clock())
    assert until is not None
    assert steps_told(wide, "m-0002")[0][0] > 23
    rest, whole = (
        next(phase.seconds.expected for phase in one.choice.estimate.phases if phase.name == "train")
        for one in (second, first)
    )
    assert rest < whole
    assert first.whole_training is None
    assert second.whole_training is not None
    assert second.whole_training.expected == pytest.approx(whole)


def test_a_slow_host_is_kept_where_no_other_is_sure_to_be_cheaper(folder: Path) -> None:
    stage = Stage(folder, offers=(fake_offer(),))
    stage.site.slowness["m-0001"] = SLOW
    receipt = launched(stage, FINE, budget="5")
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 1)
    (text,) = said(stage, "slow-host")
    assert text.endswith("it is kept: no other that can be had is sure to finish for less")


def test_a_slow_host_is_kept_by_who_wants_to_go_on(wide: Stage) -> None:
    wide.site.slowness["m-0001"] = SLOW
    receipt = launched(wide, FINE, budget="5", if_slow=IfSlow.GO_ON)
    assert receipt.attempts == 1
    assert said(wide, "slow-host")[0].endswith("it is kept, as --if-slow go-on says")


def test_two_slow_machines_alike_mean_that_the_estimate_is_wrong(wide: Stage) -> None:
    wide.site.slowness.update({f"m-{number:04d}": SLOW for number in range(1, 7)})
    receipt = launched(wide, FINE, budget="5")
    assert (receipt.outcome, receipt.attempts) == (Outcome.SUCCEEDED, 2)
    assert len(said(wide, "slow-host")) == 1


def test_so_many_slow_hosts_are_left_and_no_more(wide: Stage) -> None:
    factor = SAME_PACE * 1.2
    wide.site.slowness.update({f"m-{number:04d}": 8 * factor**number for number in range(1, 7)})
    receipt = launched(wide, FINE, budget="20")
    assert receipt.outcome is Outcome.SUCCEEDED
    assert receipt.attempts == MOST_LEFT + 1
    assert len(said(wide, "slow-host")) == MOST_LEFT + 1
    assert said(wide, "slow-host")[-1].endswith("; it is kept")


def test_a_slow_host_that_would_not_finish_inside_the_budget_is_left_for_one_that_does(wide: Stage) -> None:
    wide.site.slowness["m-0001"] = SLOW
    receipt = launched(wide, FINE, budget="0.70")
    assert (receipt.outcome, receipt.attempts, receipt.why) == (Outcome.SUCCEEDED, 2, "")


def test_where_the_next_machine_cannot_be_had_the_run_ends_with_what_it_has(wide: Stage) -> None:
    from providers.base import NoCapacity

    wide.site.slowness["m-0001"] = SLOW
    when(
        wide,
        lambda verb: wide.laptop().ledger.find(None).state is State.TERMINATING,
        lambda: wide.provider.lies.refuse(NoCapacity("none left"), times=50),
    )
    receipt = launched(wide, FINE, budget="5")
    assert (receipt.outcome, receipt.exit_code, receipt.attempts) == (Outcome.LOST, 5, 1)
    assert "no other machine was to be had" in receipt.why
    assert wide.laptop().ledger.checkpoint(receipt.run) is not None


def test_who_attaches_after_the_training_judges_nothing_any_more(stage: Stage) -> None:
    stage.site.work = replace(FINE, evaluate_seconds=600)
    world = stage.laptop()
    run = stage.open_run(world, budget="12")
    trained = (FINE.install_seconds + FINE.model_seconds + FINE.steps * FINE.step_seconds) + 200
    when(stage, after(stage, trained), stage.kill)
    with pytest.raises(Killed):
        flow.carry(run, world)
    stage.revive()
    began, told = stage.clock(), len(stage.heard.of(Forecast))
    receipt = flow.attach(run.id, stage.laptop())
    assert receipt.outcome is Outcome.SUCCEEDED
    seconds = (stage.clock() - began).total_seconds()
    assert len(stage.heard.of(Forecast)) - told <= seconds / 10 + 2, "once in ten seconds, and not at every look"
