"""What the same run costs elsewhere: list prices with a day and a source, and only where the model is taken."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from pricing import gpus
from pricing.elsewhere_prices import HOUR, TOKENS, Listed, Quote, by_the_hour, by_the_token, prices, quotes
from pricing.estimate import estimate
from pricing.offer import Billing, Fees
from tests.pricing.samples import MISTRAL, NOW, offer, terms, workload


def managed(**changes: Any) -> tuple[Quote, ...]:
    return by_the_token(quotes(workload(**changes), terms()))


def test_a_service_by_the_token_costs_its_price_for_all_tokens_of_all_epochs() -> None:
    (cheapest, *_) = managed(tokens_per_epoch=5_000_000, epochs=3.0)
    assert cheapest.listed.service == "Together"
    assert cheapest.usd.expected_usd == Decimal("7.2")  # 15 M tokens at 0.48
    assert cheapest.usd.low_usd == cheapest.usd.high_usd == cheapest.usd.expected_usd  # they were counted


def test_tokens_that_were_guessed_make_an_interval() -> None:
    (cheapest, *_) = managed(tokens_per_epoch=5_000_000, epochs=3.0, token_spread=1.25)
    assert (cheapest.usd.low_usd, cheapest.usd.high_usd) == (Decimal("5.76"), Decimal(9))


@pytest.mark.parametrize(
    ("billions", "usd"), [(16.0, {"0.48", "0.50"}), (16.1, {"1.50"}), (70.6, {"2.90"}), (101.0, set())]
)
def test_the_size_of_the_model_decides_the_price(billions: float, usd: set[str]) -> None:
    shape = replace(MISTRAL, parameters=round(billions * 1e9))
    assert {str(one.listed.usd) for one in managed(shape=shape)} == usd


def test_a_model_of_ones_own_folder_and_a_mixture_of_experts_are_in_no_catalogue() -> None:
    assert managed(download_gib=0.0) == ()
    assert managed(shape=replace(MISTRAL, active_parameters=2_000_000_000)) == ()


def test_a_job_by_the_hour_is_the_same_job_on_that_card_by_the_minute_without_tax() -> None:
    found = by_the_hour(quotes(workload(), terms(tax_fraction=Decimal("0.19"))))
    (on_l4,) = (one for one in found if one.listed.gpu == gpus.by_name("L4"))
    same = offer(
        "0.80", gpu=gpus.by_name("L4"), provider="x", fees=Fees(),
        billing=Billing(granularity_seconds=60, minimum_seconds=60),
    )  # fmt: skip
    assert on_l4.usd == estimate(same, workload(), terms()).usd


def test_a_card_that_cannot_do_the_job_is_not_quoted() -> None:
    cards = {one.listed.gpu.name for one in by_the_hour(quotes(workload(), terms())) if one.listed.gpu}
    assert "A10G" in cards
    assert "T4" not in cards  # no bf16
    large = workload(shape=replace(MISTRAL, parameters=70_000_000_000))
    assert "A10G" not in {one.listed.gpu.name for one in by_the_hour(quotes(large, terms())) if one.listed.gpu}


def test_the_cheapest_comes_first_and_a_price_from_the_future_not_at_all() -> None:
    found = quotes(workload(), terms())
    assert list(found) == sorted(found, key=lambda one: one.usd.expected_usd)
    before = datetime(2026, 6, 1, tzinfo=UTC)
    assert {one.listed.service for one in quotes(workload(), terms(now=before))} == {"Together"}
    assert quotes(workload(), terms(now=before - timedelta(days=365))) == ()


def test_every_price_has_a_day_and_a_source() -> None:
    assert len(prices()) >= 9
    for one in prices():
        assert date(2025, 1, 1) < one.seen <= NOW.date()
        assert str(one.seen) in one.source


@pytest.mark.parametrize(
    "wrong",
    [{"usd": Decimal(0)}, {"source": ""}, {"unit": HOUR}, {"unit": "month"}, {"above_billion": 16.0}],
)
def test_a_price_that_says_too_little_is_refused(wrong: dict[str, Any]) -> None:
    values: dict[str, Any] = {
        "service": "x", "unit": TOKENS, "usd": Decimal("0.5"), "seen": date(2026, 5, 8), "source": "y",
        "above_billion": 0.0, "up_to_billion": 16.0,
    }  # fmt: skip
    assert Listed(**values).usd
    with pytest.raises(ValueError, match="list price"):
        Listed(**values | wrong)
