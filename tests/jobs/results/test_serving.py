"""What answering costs, and from when on training has paid for itself."""

from dataclasses import replace
from decimal import Decimal

import pytest

from jobs.results.items import ArmItems, Told
from jobs.results.serving import Paid, break_even, serving
from jobs.results.summary import Serving
from tests.jobs.results.home import arm

PAID = Paid(training_usd=Decimal("0.79"), usd_per_hour=Decimal("0.72"), machine="g5.xlarge")


def timed(name: str, seconds: float | None, **more: object) -> ArmItems:
    told = Told.model_validate({"seconds": seconds, "batch": 50, **more})
    return replace(arm(name, ["a"] * 100, ["a"] * 100), told=told)


def of(paid: Paid, *arms: ArmItems) -> dict[str, Serving]:
    return {one.arm: one for one in serving(arms, paid)}


def test_a_longer_prompt_costs_more_by_the_seconds_that_it_takes() -> None:
    found = of(PAID, timed("prompted", 100.0), timed("tuned", 50.0))
    assert found["tuned"].seconds_per_request == 0.5
    assert found["tuned"].usd_per_1000 == "0.10000000"  # 500 s at 0.72 an hour
    assert found["prompted"].usd_per_1000 == "0.20000000"
    assert "in batches of 50" in found["tuned"].how
    assert "$0.7200/h" in found["tuned"].how


def test_a_machine_that_nobody_bills_has_no_price_but_a_speed() -> None:
    found = of(Paid(machine="this computer"), timed("tuned", 50.0))["tuned"]
    assert (found.seconds_per_request, found.usd_per_1000) == (0.5, None)
    assert "electricity is not counted" in found.how


def test_an_arm_that_was_not_timed_has_no_line() -> None:
    assert of(PAID, timed("tuned", None), timed("base", 0.0)) == {}


def test_an_endpoint_costs_what_its_tokens_do() -> None:
    assert of(PAID, timed("larger", 90.0, cost_usd="0.50"))["larger"].usd_per_1000 == "5.00000000"
    assert (
        of(PAID, timed("larger", 90.0, cost_usd="0.50", usd_per_request="0.004"))["larger"].usd_per_1000 == "4.00000000"
    )


@pytest.mark.parametrize("odd", ["much", "NaN", "-1", "1e99", None])
def test_a_price_that_is_none_is_unknown(odd: str | None) -> None:
    assert of(PAID, timed("larger", 90.0, cost_usd=odd))["larger"].usd_per_1000 is None


def test_training_has_paid_for_itself_when_what_it_saves_is_its_cost() -> None:
    found = of(PAID, timed("tuned", 50.0), timed("prompted", 100.0))
    assert break_even(PAID, found["tuned"], found["prompted"]) == 7900  # 0.79 / 0.0001
    assert break_even(PAID, found["prompted"], found["tuned"]) is None  # it costs more: never
    assert break_even(Paid(), found["tuned"], found["prompted"]) is None
    assert break_even(PAID, None, found["prompted"]) is None


def test_a_small_model_saves_hundredths_of_a_cent_and_they_are_not_rounded_away() -> None:
    found = of(PAID, timed("tuned", 0.020), timed("prompted", 0.023))  # $0.00004 and $0.000046 for 1,000
    assert break_even(PAID, found["tuned"], found["prompted"]) == pytest.approx(0.79 / 6e-9, rel=0.01)


def test_two_timings_of_the_same_work_save_nothing() -> None:
    found = of(PAID, timed("tuned", 50.0), timed("prompted", 51.0))
    assert break_even(PAID, found["tuned"], found["prompted"]) is None
