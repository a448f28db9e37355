"""What must hold for every job, card and price: more work, a higher price or a slower card is never the better deal."""

import dataclasses
from decimal import Decimal
from math import isclose
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from pricing.estimate import estimate
from pricing.fit_budget import SURE, fitted_plan, with_steps
from pricing.gpus import Gpu, all_gpus, by_name
from pricing.offer import Market, Offer
from pricing.plan import Choice, make_plan
from pricing.workload import Method, Workload
from tests.pricing.samples import cpu, offer, terms, workload

ABLE = [gpu for gpu in all_gpus() if gpu.bf16 and gpu.cuda]
RICH = "100000"
PRICES = st.decimals("0.05", 30, places=4)
BUDGETS = st.decimals("0.20", 12, places=2)


def roomy(gpu: Gpu) -> Gpu:
    """The same card with all the memory that a job may ask for."""
    return dataclasses.replace(gpu, usable_mib=1 << 24)


def machine(price: Decimal, gpu: Gpu, market: Market, **changes: Any) -> Offer:
    worst = price * 2 if market is Market.SPOT else price
    values: dict[str, Any] = {"gpu": roomy(gpu), "market": market, "worst_usd_per_hour": worst, "ram_gib": 4096.0}
    return offer(str(price), **values | changes)


CARDS, MARKETS = st.sampled_from(ABLE), st.sampled_from([Market.SPOT, Market.ON_DEMAND])
MACHINES = st.builds(machine, PRICES, CARDS, MARKETS)


def job(method: Method, numbers: tuple[int, int, int, float], batch: int) -> Workload:
    """`numbers`: rows, tokens of a row, length that is allowed, epochs."""
    rows, tokens, longest, epochs = numbers
    return workload(
        method=method, examples=rows, tokens_per_epoch=rows * min(tokens, longest), longest_tokens=longest,
        max_length=longest, epochs=epochs, micro_batch=batch,
    )  # fmt: skip


NUMBERS = st.tuples(st.integers(1, 5000), st.integers(16, 4096), st.integers(64, 8192), st.floats(0.1, 10))
JOBS = st.builds(job, st.sampled_from(Method), NUMBERS, st.integers(1, 16))


def only(one: Offer, of: Workload, budget: str = RICH) -> Choice:
    (choice,) = make_plan([one], of, terms(budget)).choices
    return choice


def dearer(less: Choice, more: Choice) -> bool:
    """At every figure that is told, and in what ranks it."""
    figures = [(one.estimate.usd, one.finish_usd) for one in (less, more)]
    (low, finish), (high, finish_more) = figures
    return (
        low.low_usd <= high.low_usd
        and low.expected_usd <= high.expected_usd
        and low.high_usd <= high.high_usd
        and finish <= finish_more
    )


@given(one=MACHINES, of=JOBS, factor=st.floats(1, 10))
def test_more_tokens_in_the_same_rows_never_cost_less(one: Offer, of: Workload, factor: float) -> None:
    most = of.longest_tokens * of.examples
    more = dataclasses.replace(of, tokens_per_epoch=min(most, round(of.tokens_per_epoch * factor)))
    assert dearer(only(one, of), only(one, more))


@given(one=MACHINES, of=JOBS, factor=st.floats(1, 10))
def test_more_epochs_never_cost_less(one: Offer, of: Workload, factor: float) -> None:
    assert dearer(only(one, of), only(one, dataclasses.replace(of, epochs=of.epochs * factor)))


@given(price=PRICES, card=CARDS, of=JOBS, save_steps=st.integers(1, 60), factor=st.floats(1, 4))
@example(
    price=Decimal(1), card=by_name("L4"), of=job(Method.QLORA, (1000, 512, 2048, 1.0), 512), save_steps=1, factor=1.7
)
def test_more_epochs_never_cost_less_where_reclaims_are_many(
    price: Decimal, card: Gpu, of: Workload, save_steps: int, factor: float
) -> None:
    """Of few steps, rounded, one more makes what a reclaim can lose much smaller."""
    one = machine(price, card, Market.SPOT, reclaims_per_hour=5.0)
    of = dataclasses.replace(of, save_steps=save_steps, accumulation=16)
    assert dearer(only(one, of), only(one, dataclasses.replace(of, epochs=of.epochs * factor)))


@given(one=MACHINES, of=JOBS, factor=st.integers(1, 10))
def test_more_rows_of_the_same_length_never_cost_less(one: Offer, of: Workload, factor: int) -> None:
    more = dataclasses.replace(of, examples=of.examples * factor, tokens_per_epoch=of.tokens_per_epoch * factor)
    assert dearer(only(one, of), only(one, more))


@given(one=MACHINES, of=JOBS, factor=st.integers(1, 8))
def test_longer_rows_never_cost_less(one: Offer, of: Workload, factor: int) -> None:
    longer = of.longest_tokens * factor
    tokens = of.tokens_per_epoch * factor
    more = dataclasses.replace(of, longest_tokens=longer, max_length=longer, tokens_per_epoch=tokens)
    assert dearer(only(one, of), only(one, more))


@given(one=MACHINES, of=JOBS, more=st.integers(0, 5000))
def test_more_evaluation_never_costs_less(one: Offer, of: Workload, more: int) -> None:
    assert dearer(only(one, of), only(one, dataclasses.replace(of, evaluated_examples=of.evaluated_examples + more)))


@given(of=JOBS, factor=st.floats(1, 10))
def test_more_work_on_one_s_own_processor_never_takes_less_time(of: Workload, factor: float) -> None:
    more = dataclasses.replace(of, epochs=of.epochs * factor)
    short, long = (estimate(cpu(ram_gib=1e6), one, terms(None)).seconds for one in (of, more))
    # A factor of one and a bit of a float is no more work: sums of phases round either way.
    assert short.low <= long.low * (1 + 1e-12)
    assert short.expected <= long.expected * (1 + 1e-12)
    assert short.high <= long.high * (1 + 1e-12)


@given(price=PRICES, card=CARDS, market=MARKETS, of=JOBS, factors=st.tuples(st.floats(1, 9), st.floats(1, 9)))
def test_a_faster_card_at_the_same_price_is_never_ranked_below(
    price: Decimal, card: Gpu, market: Market, of: Workload, factors: tuple[float, float]
) -> None:
    fast = dataclasses.replace(
        card, bf16_tflops=card.bf16_tflops * factors[0], bandwidth_gb_s=card.bandwidth_gb_s * factors[1]
    )
    slower, faster = machine(price, card, market, zone="a"), machine(price, fast, market, zone="z")
    first, second = make_plan([slower, faster], of, terms(RICH)).choices
    # Faster by the last bit of a float is as good as equal: sums of phases round either way.
    seconds = [one.estimate.seconds.expected for one in (first, second)]
    tie = first.finish_usd == second.finish_usd and isclose(*seconds, rel_tol=1e-9)
    assert first.offer == faster or tie


@given(of=JOBS, card=CARDS, market=MARKETS, prices=st.tuples(PRICES, PRICES), budget=BUDGETS)
def test_a_higher_price_never_lowers_the_cost_nor_raises_the_odds(
    of: Workload, card: Gpu, market: Market, prices: tuple[Decimal, Decimal], budget: Decimal
) -> None:
    low, high = (machine(price, card, market) for price in sorted(prices))
    assert dearer(only(low, of), only(high, of))
    tight = {budgeted: make_plan([one], of, terms(str(budget))).choices for budgeted, one in (("l", low), ("h", high))}
    if tight["h"]:
        (cheap,), (dear,) = tight["l"], tight["h"]
        assert cheap.odds is not None
        assert dear.odds is not None
        assert cheap.odds >= dear.odds
        assert cheap.finish_usd <= dear.finish_usd


@given(of=JOBS, one=MACHINES, budgets=st.tuples(BUDGETS, BUDGETS))
def test_a_larger_budget_never_lowers_the_odds_and_never_loses_a_choice(
    of: Workload, one: Offer, budgets: tuple[Decimal, Decimal]
) -> None:
    poor, rich = (make_plan([one], of, terms(str(budget))).choices for budget in sorted(budgets))
    if poor:
        assert rich
        assert (poor[0].odds or 0) <= (rich[0].odds or 0)
        assert poor[0].lease_seconds <= rich[0].lease_seconds


@given(of=JOBS, offers=st.lists(MACHINES, min_size=1, max_size=4), budgets=st.tuples(BUDGETS, BUDGETS))
def test_fit_budget_buys_no_less_for_more_money_and_never_more_than_was_asked_for(
    of: Workload, offers: list[Offer], budgets: tuple[Decimal, Decimal]
) -> None:
    poor, rich = (fitted_plan(offers, of, terms(str(budget))) for budget in sorted(budgets))
    assert poor.fitted is not None
    assert rich.fitted is not None
    assert poor.fitted.steps <= rich.fitted.steps <= of.steps
    assert rich.choices or not poor.choices
    for choice in (*poor.choices, *rich.choices):
        assert choice.odds is not None
        assert choice.odds >= SURE - 1e-9


@given(of=JOBS, offers=st.lists(MACHINES, min_size=1, max_size=4), budget=BUDGETS)
def test_one_step_more_than_fits_the_budget_is_not_sure(of: Workload, offers: list[Offer], budget: Decimal) -> None:
    plan = fitted_plan(offers, of, terms(str(budget)))
    assert plan.fitted is not None
    if plan.choices and plan.fitted.is_less:
        more = with_steps(of, plan.fitted.steps + 1)
        assert not make_plan(offers, more, dataclasses.replace(plan.terms, least_odds=SURE)).choices
