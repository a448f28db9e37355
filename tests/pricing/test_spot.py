"""What is rented after a reclaim."""

from decimal import Decimal
from typing import Any

import pytest

from pricing.plan import Plan, make_plan
from pricing.spot import Standing, Step, next_move
from tests.pricing.samples import offer, spot, terms, workload

HERE, THERE = spot("0.40"), spot("0.45", zone="us-east-1b")


def plan(*offers: Any, budget: str = "5") -> Plan:
    return make_plan(offers, workload(), terms(budget))


def standing(**changes: Any) -> Standing:
    values: dict[str, Any] = {
        "budget_usd": Decimal(5),
        "spent_usd": Decimal("0.50"),
        "done_share": 0.3,
        "restart_seconds": 400.0,
        "deadline_seconds": None,
        "elapsed_seconds": 3600.0,
    }
    return Standing(**values | changes)


def test_a_run_that_is_on_course_takes_spot_again_in_another_zone() -> None:
    move = next_move(standing(lost_pools=frozenset({HERE.pool})), plan(HERE, THERE, offer()))
    assert move.step is Step.SPOT
    assert move.choice is not None
    assert move.choice.offer == THERE


def test_where_every_zone_reclaimed_one_the_cheapest_is_tried_again() -> None:
    move = next_move(standing(lost_pools=frozenset({HERE.pool, THERE.pool})), plan(HERE, THERE, offer()))
    assert move.choice is not None
    assert move.choice.offer == HERE


def test_a_run_that_used_more_money_than_it_has_work_done_goes_on_demand() -> None:
    move = next_move(standing(spent_usd=Decimal("2.50"), done_share=0.1), plan(HERE, offer()))
    assert move.step is Step.ON_DEMAND
    assert "behind" in move.reason


def test_time_can_be_what_is_scarce() -> None:
    late = standing(deadline_seconds=5000.0, elapsed_seconds=4000.0)
    assert next_move(late, plan(HERE, offer())).step is Step.ON_DEMAND


def test_the_last_moment_at_which_the_certain_way_still_fits_is_used() -> None:
    close = standing(budget_usd=Decimal(3), spent_usd=Decimal("2.20"), done_share=0.9)
    move = next_move(close, plan(HERE, offer()))
    assert move.step is Step.ON_DEMAND
    assert "too little" in move.reason


def test_only_what_the_plan_holds_is_ever_taken() -> None:
    assert next_move(standing(), plan(HERE)).step is Step.SPOT
    assert next_move(standing(), plan(offer())).step is Step.ON_DEMAND
    assert next_move(standing(), plan(HERE, offer(), budget="0.10")).step is Step.STOP
    assert next_move(standing(), plan(HERE, offer(), budget="0.10")).choice is None


def test_a_share_above_one_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="share"):
        standing(done_share=1.2)
