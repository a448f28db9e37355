"""Why an offer is left out where it could do the work: stock, balance, limits, private hosts, strange processors."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from pricing.gpus import by_name
from pricing.offer import Offer, Stock
from pricing.plan import Plan, make_plan, smallest_budget_usd
from tests.pricing.samples import cpu, offer, spot, terms, workload

GH200: dict[str, Any] = {"gpu": by_name("GH200"), "architecture": "aarch64"}


def weighed(*offers: Offer, budget: str | None = "5", **limits: Any) -> Plan:
    return make_plan(offers, workload(), terms(budget, **limits))


def code(one: Offer, budget: str | None = "5", **limits: Any) -> str:
    plan = weighed(one, budget=budget, **limits)
    return plan.rejected[0].code if plan.rejected else ""


# Stock


@pytest.mark.parametrize("stock", [one for one in Stock if one is not Stock.NONE])
def test_a_stock_is_a_hint_and_only_none_is_none(stock: Stock) -> None:
    assert code(offer(stock=stock)) == ""


def test_what_is_sold_out_is_left_out_and_said_to_be_so() -> None:
    plan = weighed(offer(stock=Stock.NONE), spot())
    assert [one.offer.market for one in plan.choices] == [spot().market]
    assert (plan.rejected[0].code, plan.rejected[0].reason) == ("sold-out", "the provider shows none free now")


def test_what_is_sold_out_and_could_not_do_it_anyway_is_told_for_what_it_is() -> None:
    assert code(offer(stock=Stock.NONE, gpu=by_name("T4"))) == "no-bf16"
    assert code(offer("9", stock=Stock.NONE)) == "over-budget"


# Accounts


@pytest.mark.parametrize(("balance", "expected"), [("4.99", "balance"), ("5.00", ""), ("0", "balance"), ("80", "")])
def test_an_account_must_hold_the_whole_budget(balance: str, expected: str) -> None:
    assert code(offer(), balance_usd={"aws": Decimal(balance)}) == expected


def test_an_account_of_which_nothing_is_known_or_that_is_another_one_s_is_no_reason() -> None:
    assert code(offer(), balance_usd={}) == ""
    assert code(offer(), balance_usd={"other": Decimal(0)}) == ""


def test_without_a_budget_no_account_is_too_small() -> None:
    assert code(offer(), budget=None, balance_usd={"aws": Decimal("0.01")}) == ""


def test_what_an_account_lacks_is_told_with_both_figures() -> None:
    (one,) = weighed(offer(), balance_usd={"aws": Decimal("3.217")}).rejected
    assert one.reason == "the run may cost 5.00, the account there holds 3.22"


@pytest.mark.parametrize(
    ("spare", "expected"), [("1.005", "spending-limit"), ("1.006", ""), ("-0.50", "spending-limit")]
)
def test_a_limit_by_the_hour_must_leave_room_for_the_machine(spare: str, expected: str) -> None:
    assert code(offer("1.006"), spare_usd_per_hour={"aws": Decimal(spare)}) == expected
    assert code(offer("1.006"), spare_usd_per_hour={"other": Decimal(spare)}) == ""


def test_money_that_an_account_lacks_is_no_budget_that_is_too_small() -> None:
    assert smallest_budget_usd(weighed(offer(), balance_usd={"aws": Decimal(1)})) is None


# Whose host it is


def test_secrets_are_not_handed_to_a_private_host() -> None:
    assert code(offer(vetted=False), has_secrets=True) == "community-secrets"
    assert code(offer(vetted=False)) == ""
    assert code(offer(vetted=True), has_secrets=True) == ""


def test_secrets_on_a_private_host_are_refused_before_anything_else_is_weighed() -> None:
    assert code(offer("90", vetted=False, gpu=by_name("T4")), has_secrets=True) == "community-secrets"


# Processors


def test_another_processor_is_tried_only_by_who_names_its_card() -> None:
    assert code(offer(**GH200)) == "architecture"
    assert code(offer(**GH200), gpus_by_name=frozenset({"H100-SXM"})) == "architecture"
    plan = weighed(offer(**GH200), gpus_by_name=frozenset({"GH200"}))
    assert [choice.offer.architecture for choice in plan.choices] == ["aarch64"]
    assert "aarch64: the job's packages are not proven there" in plan.choices[0].notes


def test_the_processor_of_one_s_own_machine_is_one_s_own_business() -> None:
    tiny = replace(workload().shape, parameters=10**6, layers=2, hidden=128, vocabulary=512)
    mine = cpu(ram_gib=32.0, architecture="aarch64")
    plan = make_plan([mine], workload(shape=tiny), terms(None))
    assert len(plan.choices) == 1
    assert not [note for note in plan.choices[0].notes if "aarch64" in note]


def test_a_usual_machine_has_no_note_on_its_processor() -> None:
    (choice,) = weighed(offer()).choices
    assert not [note for note in choice.notes if "x86_64" in note]
