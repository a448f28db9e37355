"""The limits that a person sets, and the tax of each provider, which is in every price."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from pricing.estimate import estimate
from pricing.plan import make_plan
from tests.pricing.samples import offer, terms, workload

TAXED: dict[str, Any] = {"tax_fraction": Decimal("0.10"), "tax_fractions": {"aws": Decimal("0.25"), "free": Decimal(0)}}


@pytest.mark.parametrize(("provider", "fraction"), [("aws", "0.25"), ("free", "0"), ("another", "0.10")])
def test_a_provider_has_its_own_tax_and_all_others_the_default_one(provider: str, fraction: str) -> None:
    assert terms(**TAXED).tax(provider) == Decimal(fraction)


def test_each_provider_s_own_tax_is_in_rates_and_estimates() -> None:
    limits = terms("20", **TAXED)
    plan = make_plan([offer(), offer(provider="free"), offer(provider="another")], workload(), limits)
    rates = {choice.offer.provider: choice.expected_usd_per_hour for choice in plan.choices}
    assert float(rates["aws"]) == pytest.approx(float(rates["free"]) * 1.25, rel=0.03)  # the disk is larger there
    assert rates["another"] == pytest.approx(rates["free"] * Decimal("1.10"))
    assert [choice.offer.provider for choice in plan.choices] == ["free", "another", "aws"]


def test_the_tax_is_on_what_leaves_the_network_too() -> None:
    job = workload(result_gib=10.0)
    untaxed = estimate(offer(), job, terms())
    taxed = estimate(offer(), job, terms(tax_fractions={"aws": Decimal(1)}))
    assert taxed.usd.expected_usd == pytest.approx(untaxed.usd.expected_usd * 2, rel=Decimal("0.001"))


def test_the_tax_of_one_provider_shortens_the_lease_there_and_nowhere_else() -> None:
    plain, taxed = terms(), terms(tax_fractions={"aws": Decimal("0.25")})

    def lease(limits: object, name: str) -> int:
        assert isinstance(limits, type(plain))
        return make_plan([offer(provider=name)], workload(), limits).choices[0].lease_seconds

    assert lease(taxed, "aws") < lease(plain, "aws")
    assert lease(taxed, "other") == lease(plain, "other")


@pytest.mark.parametrize(
    "wrong",
    [
        {"tax_fraction": Decimal("-0.01")}, {"tax_fractions": {"aws": Decimal("-0.01")}}, {"memory_margin": 0.99},
        {"deadline_seconds": -1.0}, {"deadline_seconds": float("nan")}, {"budget_usd": Decimal(-1)},
        {"budget_usd": Decimal("NaN")}, {"now": datetime(2026, 11, 24)},  # noqa: DTZ001 - it is to be refused
    ],
)  # fmt: skip
def test_limits_that_make_no_sense_cannot_be_built(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        terms(**wrong)


def test_nothing_is_known_of_accounts_that_nobody_asked() -> None:
    plain = replace(terms(), budget_usd=None)
    assert (plain.balance_usd, plain.spare_usd_per_hour, plain.has_secrets) == ({}, {}, False)
