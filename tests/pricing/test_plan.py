"""What is chosen, what is left out, and what is said about it."""

import dataclasses
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.gpus import all_gpus, by_name
from pricing.offer import Market, Offer, Stock
from pricing.plan import Plan, make_plan, nearest, smallest_budget_usd
from pricing.workload import Method
from tests.pricing.samples import MISTRAL, cpu, offer, spot, terms, workload

BIG = offer("1.212", instance_type="g5.2xlarge", ram_gib=32.0)


def codes(plan: Plan) -> dict[str, str]:
    return {one.offer.id: one.code for one in plan.rejected}


def rejected(one: Offer, **changes: Any) -> str:
    plan = make_plan([one], workload(), terms(**changes))
    return plan.rejected[0].code if plan.rejected else ""


def test_the_cheapest_way_to_finish_goes_first_not_the_cheapest_hour() -> None:
    l4 = offer("0.95", instance_type="g6.xlarge", gpu=by_name("L4"))
    a10g = offer("1.006")
    plan = make_plan([l4, BIG, a10g], workload(), terms())
    assert [choice.offer.instance_type for choice in plan.choices] == ["g5.xlarge", "g6.xlarge", "g5.2xlarge"]
    assert l4.usd_per_hour < a10g.usd_per_hour


def test_the_same_offers_in_any_order_give_the_same_plan() -> None:
    many = [offer(), spot(), BIG, spot("0.4", zone="us-east-1b"), spot("0.4", zone="us-east-1c")]
    assert make_plan(many, workload(), terms()) == make_plan(reversed(many), workload(), terms())


def test_of_equal_offers_the_one_of_which_there_is_more_goes_first() -> None:
    levels = [Stock.LOW, Stock.SOME, Stock.HIGH, Stock.UNKNOWN, Stock.MEDIUM]
    alike = [offer(zone=f"z{number}", stock=level) for number, level in enumerate(levels)]
    ranked = [choice.offer.stock for choice in make_plan(alike, workload(), terms()).choices]
    assert ranked == [Stock.HIGH, Stock.MEDIUM, Stock.SOME, Stock.UNKNOWN, Stock.LOW]


def test_a_model_that_needs_more_host_memory_takes_the_larger_machine() -> None:
    card = by_name("L40S")
    small = offer("1", instance_type="small", gpu=card, ram_gib=16.0)
    large = offer("1.5", instance_type="large", gpu=card, ram_gib=32.0)
    job = workload(shape=dataclasses.replace(MISTRAL, parameters=34_000_000_000), download_gib=63.0)
    plan = make_plan([small, large], job, terms("20"))
    assert [choice.offer.instance_type for choice in plan.choices] == ["large"]
    assert codes(plan) == {small.id: "ram"}


def test_a_model_that_does_not_fit_is_left_out_with_how_much_is_missing() -> None:
    job = workload(method=Method.LORA, shape=dataclasses.replace(MISTRAL, parameters=13_000_000_000))
    plan = make_plan([BIG], job, terms())
    assert codes(plan) == {BIG.id: "does-not-fit"}
    assert "short" in plan.rejected[0].reason


@pytest.mark.parametrize(
    ("one", "code"),
    [
        (offer(gpu=by_name("T4")), "no-bf16"),
        (offer(gpu=by_name("MI300X")), "architecture"),
        (offer(gpu=by_name("GH200"), architecture="arm64"), "architecture"),
        (offer(guarded=False), "unguarded"),
        (offer("9"), "over-budget"),
        (offer(), ""),
    ],
)
def test_what_cannot_be_used_is_left_out_with_its_code(one: Offer, code: str) -> None:
    assert rejected(one) == code


def test_an_unguarded_machine_is_a_choice_where_somebody_is_asked_or_has_agreed() -> None:
    assert rejected(offer(guarded=False), interactive=True) == ""
    assert rejected(offer(guarded=False), accept_unguarded=True) == ""
    plan = make_plan([offer(guarded=False)], workload(), terms(accept_unguarded=True))
    assert "does not end itself" in plan.choices[0].notes


def test_a_deadline_that_is_too_near_is_told_apart_from_a_budget_that_is_too_small() -> None:
    assert rejected(offer(), deadline_seconds=1800) == "over-deadline"
    assert rejected(offer("9"), deadline_seconds=1800) == "over-budget"


def test_work_that_would_take_a_free_machine_longer_than_any_lives_is_not_a_matter_of_money() -> None:
    (one,) = make_plan([cpu(ram_gib=256.0)], workload(epochs=1000.0), terms(None)).rejected
    assert one.code == "over-deadline"
    assert one.reason.endswith("h, no machine lives so long")


def test_the_cpu_and_providers_by_name_are_no_automatic_choice() -> None:
    job = workload(shape=dataclasses.replace(MISTRAL, parameters=1_000_000, layers=2, hidden=128, vocabulary=512))
    assert codes(make_plan([cpu(ram_gib=32.0)], job, terms(None, asked_for=frozenset()))) == {cpu().id: "not-automatic"}
    assert make_plan([cpu(ram_gib=32.0)], job, terms(None, asked_for=frozenset({"local"}))).choices
    assert make_plan([cpu(ram_gib=32.0)], job, terms(None)).choices
    assert rejected(offer(), asked_for=frozenset(), by_name_only=frozenset({"aws"})) == "not-automatic"


def test_one_spot_zone_far_below_all_others_is_not_believed() -> None:
    zones = [spot(price, zone=f"z-{price}") for price in ("0.162", "0.359", "0.507", "0.51", "0.6")]
    plan = make_plan(zones, workload(), terms())
    assert codes(plan) == {zones[0].id: "price-outlier"}
    assert make_plan(zones[:3], workload(), terms()).rejected == ()


def test_a_spot_offer_as_dear_as_on_demand_in_its_region_is_left_out() -> None:
    dear = spot("1.006", zone="us-east-1f")
    assert codes(make_plan([dear, offer()], workload(), terms())) == {dear.id: "price-outlier"}
    elsewhere = offer(region="eu-west-1", zone="eu-west-1a")
    assert codes(make_plan([dear, elsewhere], workload(), terms())) == {}


def test_a_choice_is_leased_for_the_worst_rate_and_says_when_the_slow_end_does_not_fit() -> None:
    least_usd = smallest_budget_usd(make_plan([spot()], workload(), terms("0.10")))
    rich = make_plan([spot()], workload(), terms("5")).choices[0]
    tight = make_plan([spot()], workload(), terms(str(least_usd))).choices[0]
    assert rich.high_fits
    assert not tight.high_fits
    assert rich.odds is not None
    assert tight.odds is not None
    assert 0.5 <= tight.odds < 0.6 < 0.99 < rich.odds
    assert f"may be stopped and saved before it is done: finishes in {tight.odds:.0%} of cases" in tight.notes
    assert rich.worst_usd_per_hour > rich.expected_usd_per_hour
    assert rich.lease_seconds * rich.worst_usd_per_hour / 3600 <= 5
    assert rich.disk_gib == 100


def test_no_run_is_ever_said_to_be_certain_to_finish() -> None:
    for one, budget in ((offer(), "100000"), (cpu(ram_gib=64.0), None)):
        (choice,) = make_plan([one], workload(evaluated_examples=0, epochs=0.1), terms(budget)).choices
        assert choice.odds == 0.999


def test_without_a_budget_there_is_a_plan_but_no_lease_for_what_is_billed() -> None:
    assert make_plan([offer()], workload(), terms(None)).choices[0].lease_seconds == 0


@given(cents=st.integers(10, 200))
def test_the_smallest_budget_is_refused_two_cents_below_and_enough_at_itself(cents: int) -> None:
    offers = [offer(), spot(), BIG]
    poor = make_plan(offers, workload(), terms(str(Decimal(cents) / 100)))
    smallest = smallest_budget_usd(poor)
    assert smallest is not None
    assert make_plan(offers, workload(), terms(str(smallest))).choices
    assert not make_plan(offers, workload(), terms(str(smallest - Decimal("0.02")))).choices


def test_a_budget_that_is_too_small_is_told_what_it_would_buy() -> None:
    plan = make_plan([offer(), BIG], workload(), terms("0.55"))
    close = nearest(plan)
    assert close is not None
    assert close.offer == offer()
    assert close.needed_usd == smallest_budget_usd(plan)
    assert 0 < close.training_share < 1
    assert nearest(make_plan([offer()], workload(), terms("5"))) is None


def test_money_is_not_named_where_money_is_not_what_lacks() -> None:
    assert smallest_budget_usd(make_plan([offer(gpu=by_name("T4"))], workload(), terms())) is None


PRICES = st.decimals("0.05", 3, places=4)


@given(price=PRICES, card=st.sampled_from([gpu for gpu in all_gpus() if gpu.bf16 and gpu.cuda]), factor=st.floats(1, 9))
def test_a_faster_card_at_the_same_price_is_never_ranked_below(price: Decimal, card: object, factor: float) -> None:
    assert isinstance(card, type(by_name("A10G")))
    faster = dataclasses.replace(
        card, bf16_tflops=card.bf16_tflops * factor, bandwidth_gb_s=card.bandwidth_gb_s * factor, usable_mib=200_000
    )
    slower = dataclasses.replace(card, usable_mib=200_000)
    one = offer(str(price), gpu=slower, instance_type="slower")
    two = offer(str(price), gpu=faster, instance_type="faster")
    plan = make_plan([one, two], workload(), terms("100"))
    assert plan.choices[0].estimate.usd.expected_usd == min(c.estimate.usd.expected_usd for c in plan.choices)
    by_name_of = {choice.offer.instance_type: choice.estimate.usd.expected_usd for choice in plan.choices}
    assert by_name_of["faster"] <= by_name_of["slower"]


@given(
    prices=st.lists(PRICES, min_size=1, max_size=12),
    budget=st.decimals(0, 8, places=2),
    tax=st.decimals(0, "0.3", places=2),
)
def test_every_choice_keeps_the_promise_of_the_cap_and_every_offer_is_accounted_for(
    prices: list[Decimal], budget: Decimal, tax: Decimal
) -> None:
    markets = [Market.SPOT, Market.ON_DEMAND]
    offers = [
        offer(str(price), zone=f"z{number}", market=markets[number % 2], worst_usd_per_hour=price * 2)
        for number, price in enumerate(prices)
    ]
    plan = make_plan(offers, workload(), terms(str(budget), tax_fraction=tax))
    assert len(plan.choices) + len(plan.rejected) == len(offers)
    for choice in plan.choices:
        assert choice.lease_seconds >= choice.estimate.seconds.expected
        assert choice.worst_usd_per_hour * (choice.lease_seconds + 120) / 3600 <= budget
        assert choice.worst_usd_per_hour >= choice.expected_usd_per_hour
