"""What is still to come of a run, from the plan, the probe and the steps since; pure arithmetic."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs import progress
from launcher.forecast import (
    MOST_SECONDS,
    PROBE_WORTH,
    SLOW_MARGIN,
    Known,
    Pace,
    forecast,
    last_step_within,
    needed_usd,
    pace,
    reach_seconds,
)
from launcher.tracker import Tracker
from pricing.budget import Cap, Reserve
from pricing.estimate import estimate
from pricing.interval import Interval
from pricing.offer import Billing, Market
from pricing.terms import Terms
from tests.fake_machine import fake_offer
from tests.fake_world import workload

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
TERMS = Terms(
    budget_usd=Decimal(5), tax_fraction=Decimal(0), now=NOON, deadline_seconds=None, accept_unguarded=True,
    interactive=False,
)  # fmt: skip
ON_DEMAND = fake_offer(market=Market.ON_DEMAND)
RESERVE = Reserve(save_seconds=100, pull_seconds=50, teardown_seconds=50, guard_seconds=40, egress_usd=Decimal("0.10"))


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def known(**changes: object) -> Known:
    base = Known(
        estimate=estimate(ON_DEMAND, workload(), TERMS), arms={"base": 0.5, "tuned": 0.5}, spent_usd=Decimal("0.20"),
        rate_usd_per_hour=Decimal("0.60"), planned_step=Interval(low=2.0, expected=4.0, high=6.0),
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]  # a test's own words for the fields


def phase(name: str, *, began: bool, seconds: float | None = None, now: float = 0) -> progress.PhaseChange:
    return progress.PhaseChange(at=at(now), phase=name, name=name, began=began, seconds=seconds)


def step(number: int, of: int, now: float) -> progress.Step:
    return progress.Step(
        at=at(now), step=number, of=of, loss=1.0, learning_rate=1e-4, grad_norm=1.0, tokens_per_second=500.0,
        vram_gib=13.0, epoch=0.5,
    )  # fmt: skip


def probe(number: int, of: int, **changes: object) -> progress.Probed:
    base = progress.Probed(
        at=NOON, step=number, of=of, steps=20, step_seconds=5.0, spread=0.1, tokens_per_second=500.0,
        tokens_per_step=2500.0, vram_gib=13.0, save_seconds=None, save_every=50,
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]  # as above


def trained(steps: int, of: int = 500, *, step_seconds: float = 5.0, probed: progress.Probed | None = None) -> Tracker:
    """A tracker at the end of that step: installed, base evaluated, training."""
    tracker = Tracker()
    for name, seconds in (("install", 100), ("model", 50), ("evaluate", 80)):
        tracker.take(phase(name, began=True), NOON)
        tracker.take(phase(name, began=False, seconds=seconds), NOON)
    tracker.take(progress.Result(at=NOON, arm="base", metrics={}, n=50), NOON)
    tracker.take(phase("train", began=True), NOON)
    for number in range(1, steps + 1):
        tracker.take(step(number, of, number * step_seconds), at(number * step_seconds))
    if probed is not None:
        tracker.take(probed, at(steps * step_seconds))
    return tracker


def middle(tracker: Tracker, now: float, **more: object) -> float:
    return forecast(tracker, known(**more), at(now)).work.expected


# The pace


def test_there_is_no_pace_before_there_are_steps() -> None:
    assert pace(Tracker()) is None
    assert pace(trained(2)) is None


def test_without_a_probe_a_few_steps_are_believed_a_little() -> None:
    found = pace(trained(10))
    assert found is not None
    assert found.step_seconds == pytest.approx(5.0)
    assert found.off > 0.1


def test_the_probe_is_believed_until_twice_as_many_steps_are_told_since() -> None:
    tracker = trained(23, step_seconds=7.0, probed=probe(23, 500))
    found = pace(tracker)
    assert found is not None
    assert found.step_seconds == 5.0
    for number in range(24, 3 * PROBE_WORTH):
        tracker.take(step(number, 500, 1000 + 9.0 * number), NOON)
    later = pace(tracker)
    assert later is not None
    assert later.step_seconds == pytest.approx(9.0, rel=0.05)
    assert later.off < found.off


def test_a_machine_that_becomes_slower_is_believed_by_its_latter_half() -> None:
    tracker = trained(200, of=2000, step_seconds=1.0)
    for number in range(201, 601):
        tracker.take(step(number, 2000, 200 + 3.0 * (number - 200)), NOON)
    found = pace(tracker)
    assert found is not None
    assert found.step_seconds == pytest.approx(3.0)


def test_steps_that_begin_again_do_not_count_the_time_between() -> None:
    tracker = trained(10, step_seconds=1.0)
    for number in range(5, 30):
        tracker.take(step(number, 500, 10_000 + number), NOON)
    found = pace(tracker)
    assert found is not None
    assert found.step_seconds == pytest.approx(1.0)


def test_the_memory_of_steps_is_bounded() -> None:
    tracker = trained(10_000, of=20_000)
    assert len(tracker.moments) < 3000


@pytest.mark.parametrize("moment", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_a_clock_out_of_its_mind_makes_no_forecast_that_cannot_be_shown(moment: datetime) -> None:
    tracker = trained(100, of=2**53)
    tracker.take(replace(step(101, 2**53, 0), at=moment), NOON)
    ahead = forecast(tracker, known(), NOON)
    assert ahead.seconds.high < 2 * MOST_SECONDS
    assert timedelta(seconds=ahead.seconds.high) + NOON > NOON


def test_what_steps_differ_by_counts_less_the_more_of_them_were_measured() -> None:
    few, many = (pace(trained(23, probed=probe(23, 500, steps=steps, spread=0.4))) for steps in (3, 20))
    assert few is not None
    assert many is not None
    assert few.off > 2 * many.off


def test_saves_that_are_still_to_come_are_counted() -> None:
    tracker = trained(23, of=223, probed=probe(23, 223, save_seconds=10.0))
    assert middle(tracker, 115) - middle(trained(23, of=223, probed=probe(23, 223)), 115) == pytest.approx(4 * 10.0)


# The parts


def test_at_the_beginning_the_forecast_is_the_plan() -> None:
    plan, tracker = known().estimate, Tracker()
    ahead = forecast(tracker, known(), NOON)
    rest = sum(one.seconds.expected for one in plan.phases if one.name not in ("boot", "ship"))
    assert ahead.basis == "plan"
    assert ahead.seconds.expected == pytest.approx(rest)


def test_after_the_probe_the_training_is_foretold_by_it() -> None:
    ahead = forecast(trained(23, of=523, probed=probe(23, 523)), known(), at(115))
    assert ahead.basis == "probe"
    evaluation_seconds = 80
    assert ahead.work.expected == pytest.approx(500 * 5.0 + evaluation_seconds)


def test_an_arm_that_was_measured_foretells_the_other_and_the_plan_nothing() -> None:
    with_base = forecast(trained(23, of=523, probed=probe(23, 523)), known(), at(115)).work
    assert with_base.high - with_base.expected < 0.15 * with_base.expected


def test_on_a_machine_that_trains_slowly_an_evaluation_that_nobody_saw_takes_longer_too() -> None:
    tracker = trained(23, of=523, probed=probe(23, 523, step_seconds=12.0))
    tracker.arms.clear()
    tracker.phases.pop("evaluate")
    planned = known().planned("evaluate").expected
    assert middle(tracker, 115) == pytest.approx(500 * 12.0 + planned * 12.0 / 4.0)
    fast = trained(23, of=523, probed=probe(23, 523, step_seconds=1.0))
    fast.arms.clear()
    assert middle(fast, 115) == pytest.approx(500 * 1.0 + planned)


def test_while_the_last_evaluation_runs_the_training_is_over() -> None:
    tracker = trained(500, of=500, probed=probe(23, 500))
    tracker.take(phase("train", began=False, seconds=2500), at(2500))
    tracker.take(phase("evaluate", began=True), at(2500))
    assert middle(tracker, 2500) == pytest.approx(80.0)
    assert middle(tracker, 2530) == pytest.approx(50.0)
    overdue = forecast(tracker, known(), at(2700)).work
    assert (overdue.low, overdue.expected) == (0.0, 0.0)
    assert overdue.high > 0


def test_when_all_is_done_the_ending_is_left() -> None:
    tracker = trained(500, of=500)
    tracker.take(progress.Done(at=NOON, outcome="succeeded", exit_code=0, step="", text=""), at(2600))
    ahead = forecast(tracker, known(), at(2600))
    assert ahead.work.high == 0.0
    ending = sum(one.seconds.expected for one in known().estimate.phases if one.name in ("pull", "teardown"))
    assert ahead.seconds.expected == pytest.approx(ending)


def test_money_is_what_was_spent_and_the_time_at_todays_rate() -> None:
    tracker = trained(23, of=523, probed=probe(23, 523))
    ahead = forecast(tracker, known(egress_usd=Decimal("0.03")), at(115))
    expected_usd = Decimal("0.23") + Decimal("0.60") * Decimal(ahead.seconds.expected) / 3600
    assert ahead.usd.expected_usd == pytest.approx(expected_usd)
    assert Decimal("0.20") < ahead.usd.low_usd < ahead.usd.expected_usd < ahead.usd.high_usd


def test_reclaims_make_a_spot_machine_dearer_than_its_clock() -> None:
    tracker = trained(23, of=2023, probed=probe(23, 2023))
    spot = known(estimate=estimate(fake_offer(), workload(), TERMS), restart_seconds=80.0)
    assert middle(tracker, 115) < forecast(tracker, spot, at(115)).work.expected
    often = estimate(replace(fake_offer(), reclaims_per_hour=1.0), workload(), TERMS)
    more = forecast(tracker, replace(spot, estimate=often), at(115)).work
    assert more.expected > 1.05 * middle(tracker, 115)


# What fits


def cap(**changes: object) -> Cap:
    base = Cap(
        budget_usd=Decimal(2), spent_usd=Decimal("0.50"), worst_usd_per_hour=Decimal("1.20"), reserve=RESERVE,
        billing=Billing(), deadline_left_seconds=None,
    )  # fmt: skip
    return replace(base, **changes)  # type: ignore[arg-type]  # as above


def test_at_the_worst_rate_the_job_reaches_as_far_as_the_cap_says() -> None:
    assert reach_seconds(cap(), Decimal("1.20")) == pytest.approx(cap().stop_seconds, abs=1.0)


def test_at_half_the_worst_rate_it_reaches_twice_as_far_and_the_ending_is_kept_at_the_worst() -> None:
    assert reach_seconds(cap(), Decimal("0.60")) == pytest.approx(2 * reach_seconds(cap(), Decimal("1.20")))


def test_what_is_still_to_come_home_is_not_there_for_the_machine() -> None:
    less = reach_seconds(cap(), Decimal("0.60"), Decimal("0.06"))
    assert reach_seconds(cap(), Decimal("0.60")) - less == pytest.approx(360.0)


def test_following_the_cap_to_its_end_leads_to_where_the_reach_says() -> None:
    rate, now, lived = Decimal("0.60"), cap(), 0.0
    while now.stop_seconds > 0:
        lived += 1.0
        now = replace(now, spent_usd=Decimal("0.50") + rate * Decimal(lived) / 3600)
    assert lived == pytest.approx(reach_seconds(cap(), rate), abs=3.0)


def test_a_deadline_may_be_nearer_than_the_money() -> None:
    assert reach_seconds(cap(deadline_left_seconds=1000.0), Decimal("0.60")) == pytest.approx(1000 - 240)
    assert reach_seconds(cap(deadline_left_seconds=100.0), Decimal("0.60")) == 0.0


def test_what_costs_nothing_has_only_a_deadline() -> None:
    free = cap(budget_usd=None, worst_usd_per_hour=Decimal(0), spent_usd=Decimal(0), deadline_left_seconds=900.0)
    assert reach_seconds(free, Decimal(0)) == pytest.approx(660.0)


@given(limit=st.floats(min_value=0, max_value=5000))
def test_the_last_step_is_the_last_one_that_fits(limit: float) -> None:
    tracker, facts = trained(23, of=523, probed=probe(23, 523)), known()
    last = last_step_within(tracker, facts, at(115), limit)

    def fits(step: int) -> bool:
        return forecast(tracker, facts, at(115), last_step=step).work.high <= limit

    assert last == 0 or fits(last)
    assert last == 523 or not fits(max(last, 23) + 1)


def test_a_budget_that_would_do_pays_for_another_start_and_is_never_below_what_is_spent() -> None:
    tracker = trained(23, of=523, probed=probe(23, 523))
    ahead, facts = forecast(tracker, known(restart_seconds=100.0), at(115)), known(restart_seconds=100.0)
    usd = needed_usd(tracker, ahead, facts, cap(), at(115))
    assert usd > ahead.usd.high_usd + Decimal("0.60") * (100 + 100 + 50 + 80) / 3600
    assert usd == usd.quantize(Decimal("0.01"))


# A slow host


@pytest.mark.parametrize(("factor", "is_slow"), [(0.9, False), (1.0, False), (1.1, True)])
def test_a_machine_is_slow_beyond_the_high_end_and_a_margin(factor: float, is_slow: bool) -> None:
    planned = Interval(low=2.0, expected=4.0, high=6.0)
    found = Pace(step_seconds=6.0 * SLOW_MARGIN * factor, off=0.0, steps=20)
    assert found.is_far_below(planned) is is_slow
    assert found.share_of(planned) == pytest.approx(4.0 / (6.0 * SLOW_MARGIN * factor))


def test_a_sample_that_says_little_accuses_nobody() -> None:
    planned = Interval(low=2.0, expected=4.0, high=6.0)
    assert not Pace(step_seconds=9.0, off=0.3, steps=3).is_far_below(planned)
