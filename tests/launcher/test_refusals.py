"""When nothing is left to choose from: what stood in the way, by how much, and the command that would do."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from launcher import display
from launcher.errors import Exit, LaunchError
from launcher.market import Answer, Market
from launcher.price import price
from launcher.refusals import nothing_fits
from launcher.request import Request
from pricing.gpus import by_name
from pricing.offer import Market as Kind
from pricing.offer import Offer, Stock
from pricing.plan import Plan, make_plan
from pricing.workload import Method
from providers.base import Unavailable
from providers.funds import Funds
from tests.fake_machine import fake_offer, fake_traits
from tests.fake_world import Stage
from tests.launcher.moments import when
from tests.pricing.samples import MISTRAL, offer, spot, terms, workload

JOB = Path(__file__).parents[2] / "examples" / "support-json"
LARGE = workload(method=Method.LORA, shape=replace(MISTRAL, name="llama-13b", parameters=13_000_000_000))
HUGE_RAM = workload(shape=replace(MISTRAL, name="yi-34b", parameters=34_000_000_000), download_gib=63.0)
WIDE = offer("1", gpu=by_name("H200"), instance_type="h200", ram_gib=16.0)


def refused(stage: Stage, plan: Plan, request: Request | None = None) -> LaunchError:
    assert plan.choices == ()
    answer = Answer(provider="aws", offers=tuple(one.offer for one in plan.rejected))
    return nothing_fits(plan, Market(answers=(answer,)), request or Request(), stage.laptop())


def plan(*offers: Offer, job: Any = None, **limits: Any) -> Plan:
    return make_plan(offers, job or workload(), terms(**limits))


def read(error: LaunchError) -> str:
    """All that reaches a person or a program."""
    return f"{display.error(error)}\n({error.code}, exit {int(error.exit_code)})"


REASONS: dict[str, Plan] = {
    "sold-out": plan(offer(stock=Stock.NONE), spot(stock=Stock.NONE)),
    "balance": plan(
        offer(), offer("2", provider="other"),
        balance_usd={"aws": Decimal("3.217"), "other": Decimal("0.5")}, budget="5",
    ),
    "an empty balance": plan(offer(), balance_usd={"aws": Decimal("0.004")}),
    "spending-limit": plan(offer(), spare_usd_per_hour={"aws": Decimal("0.25")}),
    "over-budget": plan(offer(), offer("1.212", instance_type="g5.2xlarge"), budget="0.30"),
    "over-deadline": plan(offer(), deadline_seconds=600.0),
    "unguarded": plan(offer(guarded=False)),
    "community-secrets": plan(offer(vetted=False), has_secrets=True),
    "does-not-fit": plan(offer(), offer("0.8", gpu=by_name("L4"), instance_type="g6.xlarge"), job=LARGE),
    "ram": plan(WIDE, job=HUGE_RAM),
    "architecture": plan(offer(architecture="aarch64", gpu=by_name("GH200"))),
    "no-bf16": plan(offer(gpu=by_name("T4"))),
    "not-automatic": plan(offer(), asked_for=frozenset(), by_name_only=frozenset({"aws"})),
}  # fmt: skip


@pytest.mark.parametrize("reason", REASONS)
def test_each_reason_has_its_words_its_hint_and_its_exit_code(
    stage: Stage, reason: str, snapshot: SnapshotAssertion
) -> None:
    error = refused(stage, REASONS[reason])
    assert error.exit_code is Exit.REFUSED
    assert read(error) == snapshot


TOLD_AS = {"sold-out": "no-capacity", "an empty balance": "balance", "ram": "does-not-fit"}


@pytest.mark.parametrize("reason", REASONS)
def test_the_code_for_programs_is_that_of_the_reason(stage: Stage, reason: str) -> None:
    assert refused(stage, REASONS[reason]).code == TOLD_AS.get(reason, reason)


DOCUMENTED = (Path(__file__).parents[2] / "docs" / "errors.md").read_text().partition("## Offers left out")[0]


@pytest.mark.parametrize(
    "reason",
    [
        *REASONS,
    ],
)
def test_every_code_of_a_refusal_is_documented(stage: Stage, reason: str) -> None:
    assert f"`{refused(stage, REASONS[reason]).code}`" in DOCUMENTED


def test_where_only_host_memory_lacks_no_setting_of_the_card_s_memory_is_proposed(stage: Stage) -> None:
    error = refused(stage, REASONS["ram"])
    assert "host memory" in error.message
    assert "per_device_train_batch_size" not in error.hint


def test_what_waiting_mends_is_told_before_what_money_mends(stage: Stage) -> None:
    mixed = plan(offer("9"), offer(stock=Stock.NONE, zone="us-east-1b"), budget="2")
    assert {one.code for one in mixed.rejected} == {"over-budget", "sold-out"}
    error = refused(stage, mixed)
    assert error.code == "no-capacity"
    assert "us-east-1b" in error.message


def test_a_card_that_was_named_is_named_in_what_does_not_fit(stage: Stage) -> None:
    error = refused(stage, plan(offer(), job=LARGE), Request(gpu="a10g"))
    assert "on an a10g" in error.message
    assert "--gpu" in error.hint


# What is not offered at all


def nothing(stage: Stage, request: Request, *names: str) -> LaunchError:
    """These providers answered, and had nothing of what was asked for."""
    found = Market(answers=tuple(Answer(provider=name) for name in names))
    return nothing_fits(plan(), found, request, stage.laptop())


def selling(stage: Stage) -> None:
    """What two providers sell."""

    def card(name: str, **changes: Any) -> Offer:
        return replace(fake_offer(f"f1.{name.lower()}"), gpu=by_name(name), **changes)

    stage.provider.catalogue = (
        card("A10G"), card("L40S"), card("A100-40", stock=Stock.NONE), card("T4"), card("MI300X"), card("H100-SXM"),
        card("RTX-A5000", vetted=False),
    )  # fmt: skip
    stage.also("other", card("L4"), card("A10G"))


def test_a_card_that_a_provider_does_not_sell_is_told_with_the_nearest_that_it_does(
    stage: Stage, snapshot: SnapshotAssertion
) -> None:
    selling(stage)
    error = nothing(stage, Request(gpu="a10"), "fake")
    assert error.message.startswith("there is no A10 on fake; nearest by speed and memory: A10G, ")
    assert read(error) == snapshot


def test_of_several_providers_each_near_card_says_who_sells_it(stage: Stage, snapshot: SnapshotAssertion) -> None:
    selling(stage)
    error = nothing(stage, Request(gpu="a10"), "fake", "other")
    assert "there is no A10 on any of fake, other" in error.message
    assert "A10G (fake, other)" in error.message
    assert read(error) == snapshot


@pytest.mark.parametrize("card", ["A100-40", "T4", "MI300X", "RTX-A5000"])
def test_what_is_sold_out_or_cannot_run_the_job_is_not_near(stage: Stage, card: str) -> None:
    selling(stage)
    stage.provider.catalogue = tuple(
        one for one in stage.provider.catalogue if one.gpu in (by_name(card), by_name("H100-SXM"))
    )
    error = nothing(stage, Request(gpu="a10"), "fake")
    assert "nearest by speed and memory: H100-SXM" in error.message
    assert card not in error.message


def test_a_machine_of_a_private_host_is_near_for_who_takes_such(stage: Stage) -> None:
    selling(stage)
    error = nothing(stage, Request(gpu="a10", community=True), "fake")
    assert "nearest by speed and memory: RTX-A5000" in error.message


def test_one_name_for_several_sizes_is_told_as_all_of_them(stage: Stage) -> None:
    selling(stage)
    assert "there is no A100-40 or A100-80 on other" in nothing(stage, Request(gpu="a100"), "other").message


def test_what_narrowed_the_search_is_said(stage: Stage, snapshot: SnapshotAssertion) -> None:
    selling(stage)
    request = Request(
        gpu="a10g", regions=("south-1", "west-2"), markets=(Kind.SPOT,), max_price_usd_per_hour=Decimal("0.2")
    )
    assert read(nothing(stage, request, "fake")) == snapshot


def test_the_hint_names_nothing_that_the_same_limits_leave_out(stage: Stage) -> None:
    selling(stage)
    request = Request(gpu="a10g", regions=("south-1",))
    error = nothing(stage, request, "fake")
    assert "l40s" not in error.hint  # it is not sold in south-1 either


def test_where_nothing_is_near_the_market_itself_is_shown(stage: Stage) -> None:
    stage.provider.catalogue = ()
    error = nothing(stage, Request(), "fake")
    assert error.message == "there is no such machine on fake"
    assert error.hint == "`launch offers` shows what there is"


def test_the_hint_names_a_card_in_a_way_that_the_option_takes(stage: Stage) -> None:
    selling(stage)
    hint = nothing(stage, Request(gpu="h200"), "fake", "other").hint
    assert hint == "launch --gpu h100-sxm ..."


def test_a_provider_that_did_not_answer_is_not_said_to_sell_none(stage: Stage) -> None:
    selling(stage)
    found = Market(answers=(Answer(provider="fake"), Answer(provider="other", error=Unavailable("down"))))
    error = nothing_fits(plan(), found, Request(gpu="a10"), stage.laptop())
    assert "there is no A10 on fake;" in error.message


# The same, from the request on


def test_a_card_that_nobody_sells_is_refused_before_anything_is_spent(stage: Stage) -> None:
    request = Request(budget_usd=Decimal(5), gpu="l40s", job=JOB)
    with pytest.raises(LaunchError) as caught:
        price(request, stage.laptop())
    assert (caught.value.code, caught.value.exit_code) == ("not-offered", Exit.REFUSED)
    assert "there is no L40S on fake; nearest by speed and memory: A10G" in caught.value.message


def test_where_all_is_sold_out_the_market_is_asked_again_for_as_long_as_the_person_waits(stage: Stage) -> None:
    full, stage.provider.catalogue = stage.provider.catalogue, sold_out(stage)
    began = stage.clock()

    def some_free(verb: str) -> bool:
        return verb == "offers" and stage.cloud.calls.count("offers") == 4

    when(stage, some_free, lambda: setattr(stage.provider, "catalogue", full))
    priced = price(Request(budget_usd=Decimal(5), job=JOB, wait_capacity_seconds=600.0), stage.laptop())
    assert priced.plan.choices
    assert (stage.clock() - began).total_seconds() == 90


def sold_out(stage: Stage) -> tuple[Offer, ...]:
    return tuple(replace(one, stock=Stock.NONE) for one in stage.provider.catalogue)


@pytest.mark.parametrize(("wait_seconds", "asked"), [(0.0, 1), (60.0, 3)])
def test_what_stays_sold_out_is_refused_once_the_person_has_waited_long_enough(
    stage: Stage, wait_seconds: float, asked: int
) -> None:
    stage.provider.catalogue = sold_out(stage)
    with pytest.raises(LaunchError) as caught:
        price(Request(budget_usd=Decimal(5), job=JOB, wait_capacity_seconds=wait_seconds), stage.laptop())
    assert caught.value.code == "no-capacity"
    assert "--wait-capacity" in caught.value.hint
    assert stage.cloud.calls.count("offers") == asked


def test_an_account_that_holds_less_than_the_budget_is_refused_with_the_budget_that_it_pays_for(stage: Stage) -> None:
    stage.provider.traits = replace(fake_traits(), prepaid=True)
    stage.provider.funds = lambda: Funds(balance_usd=Decimal("3.999"))
    with pytest.raises(LaunchError) as caught:
        price(Request(budget_usd=Decimal(5), job=JOB), stage.laptop())
    assert (caught.value.code, caught.value.exit_code) == ("balance", Exit.REFUSED)
    assert caught.value.hint.startswith("launch --budget 3.99 ...")
    priced = price(Request(budget_usd=Decimal("3.99"), job=JOB), stage.laptop())
    assert priced.plan.choices


def test_a_limit_by_the_hour_is_counted_with_what_runs_already(stage: Stage) -> None:
    stage.provider.traits = replace(fake_traits(), prepaid=True)
    stage.provider.funds = lambda: Funds(
        balance_usd=Decimal(100), spending_usd_per_hour=Decimal("0.30"), limit_usd_per_hour=Decimal("0.95")
    )
    priced = price(Request(budget_usd=Decimal(5), job=JOB), stage.laptop())
    assert [one.offer.instance_type for one in priced.plan.choices] == ["f1.small"]
    assert [(one.offer.instance_type, one.code) for one in priced.plan.rejected] == [("f1.large", "spending-limit")]
