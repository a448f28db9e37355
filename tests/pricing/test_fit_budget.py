"""`--fit-budget`: how much training a budget is sure to pay for."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.fit_budget import SURE, fitted_plan, least_steps, with_steps
from pricing.gpus import by_name
from pricing.offer import Market, Stock
from pricing.plan import Fitted, make_plan, smallest_budget_usd
from tests.pricing.samples import offer, spot, terms, workload

FAST = offer("6.88", gpu=by_name("H100-SXM"), instance_type="p5.4xlarge", ram_gib=256.0)
OFFERS = [offer(), spot(), FAST]
LONG = workload(epochs=20.0)


def test_what_fits_as_a_whole_is_left_as_it_is() -> None:
    plan = fitted_plan(OFFERS, workload(), terms("5"))
    assert plan.workload == workload()
    assert plan.fitted is not None
    assert not plan.fitted.is_less
    assert {choice.offer.market for choice in plan.choices} == {Market.SPOT, Market.ON_DEMAND}


def test_what_does_not_fit_becomes_fewer_steps_that_are_finished_with_95_percent() -> None:
    plan = fitted_plan(OFFERS, LONG, terms("2.50"))
    assert plan.fitted is not None
    assert plan.fitted.is_less
    assert plan.workload.steps == plan.fitted.steps < plan.fitted.asked_steps == LONG.steps
    assert plan.fitted.epochs == pytest.approx(20 * plan.fitted.steps / LONG.steps)
    assert all(choice.odds is not None and choice.odds >= SURE for choice in plan.choices)
    assert plan.choices[0].estimate.usd.expected_usd < Decimal("2.50")


def test_the_budget_that_is_named_for_all_of_it_is_enough_and_two_cents_less_are_not() -> None:
    plan = fitted_plan(OFFERS, LONG, terms("2.50"))
    assert plan.fitted is not None
    whole = plan.fitted.whole_usd
    assert whole is not None
    enough, short = (fitted_plan(OFFERS, LONG, terms(str(usd))).fitted for usd in (whole, whole - Decimal("0.02")))
    assert enough is not None
    assert short is not None
    assert (enough.is_less, short.is_less) == (False, True)


def test_where_not_a_tenth_of_an_epoch_fits_there_is_no_choice_and_a_budget_that_would_do() -> None:
    plan = fitted_plan(OFFERS, LONG, terms("0.30"))
    assert plan.choices == ()
    assert plan.workload.steps == least_steps(LONG) == 3
    enough = smallest_budget_usd(plan)
    assert enough is not None
    assert fitted_plan(OFFERS, LONG, terms(str(enough))).choices
    assert not fitted_plan(OFFERS, LONG, terms(str(enough - Decimal("0.02")))).choices


def test_a_deadline_shortens_as_a_budget_does() -> None:
    hurried = fitted_plan([offer()], LONG, terms("100", deadline_seconds=2.5 * 3600))
    assert hurried.fitted is not None
    assert hurried.fitted.is_less
    assert hurried.fitted.whole_usd is None


def test_a_job_of_one_step_is_asked_for_as_it_is() -> None:
    one = workload(examples=3, tokens_per_epoch=900, epochs=1.0)
    assert (one.steps, least_steps(one)) == (1, 1)
    plan = fitted_plan(OFFERS, one, terms("5"))
    assert plan.fitted == Fitted(
        asked_epochs=1.0, asked_steps=1, epochs=1.0, steps=1, whole_usd=plan.fitted.whole_usd if plan.fitted else None
    )


def test_fewer_steps_are_not_tried_on_what_is_sold_out_or_too_small() -> None:
    gone = replace(offer(), stock=Stock.NONE)
    plan = fitted_plan([gone, offer("0.6", gpu=by_name("T4"))], LONG, terms("2.50"))
    assert plan.choices == ()
    assert {one.code for one in plan.rejected} == {"sold-out", "no-bf16"}


def test_so_many_steps_are_so_many_steps() -> None:
    for steps in (1, 2, 13, 77, 78, 500):
        assert with_steps(LONG, steps).steps == steps


def test_of_a_fitted_schedule_nothing_is_zero_or_more_than_was_asked_for() -> None:
    for steps in (0, 79):
        with pytest.raises(ValueError, match="never more than was asked for"):
            Fitted(asked_epochs=3.0, asked_steps=78, epochs=1.0, steps=steps, whole_usd=None)


def test_without_the_option_an_even_chance_is_enough() -> None:
    even = make_plan([offer()], LONG, terms(str(smallest_budget_usd(make_plan([offer()], LONG, terms("0.10"))))))
    assert even.choices[0].odds is not None
    assert 0.5 <= even.choices[0].odds < 0.6


@pytest.mark.parametrize(("epochs", "steps"), [(3.0, 9), (2.1, 7), (0.01, 1), (1 / 3, 1), (0.34, 2)])
def test_steps_are_rounded_up_as_the_trainer_rounds_them(epochs: float, steps: int) -> None:
    """Three an epoch. transformers takes the ceiling of epochs times the steps of one."""
    assert workload(examples=48, micro_batch=4, accumulation=4, epochs=epochs).steps == steps


@given(steps=st.integers(1, 5000), rows=st.integers(1, 5000))
def test_a_number_of_steps_survives_being_told_in_epochs(steps: int, rows: int) -> None:
    assert with_steps(workload(examples=rows), steps).steps == steps
