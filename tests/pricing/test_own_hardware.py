"""A card of one's own: what a run draws from the wall, and after how many runs the card is earned back."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from pricing import gpus
from pricing.interval import Dollars
from pricing.own_hardware import COMPUTER_WATTS, Hardware, PaysAfter, own_run, rows, tdp_watts
from tests.pricing.samples import terms, workload


def hardware(**changes: Any) -> Hardware:
    values: dict[str, Any] = {
        "gpu": gpus.by_name("RTX4090"), "price_usd": Decimal(1800), "usd_per_kwh": Decimal("0.30"),
    }  # fmt: skip
    return Hardware(**values | changes)


def rent(low: str, expected: str, high: str) -> Dollars:
    return Dollars(low_usd=Decimal(low), expected_usd=Decimal(expected), high_usd=Decimal(high))


def test_electricity_is_the_draw_of_card_and_computer_over_the_time_of_the_run() -> None:
    run = own_run(workload(), hardware(), terms())
    watts = 450 + COMPUTER_WATTS
    assert run.kwh is not None
    assert run.electricity_usd is not None
    assert run.kwh.expected == pytest.approx(run.seconds.expected * watts / 3.6e6)
    assert float(run.electricity_usd.expected_usd) == pytest.approx(run.kwh.expected * 0.30, abs=2e-4)
    assert run.electricity_usd.low_usd < run.electricity_usd.expected_usd < run.electricity_usd.high_usd


def test_the_draw_that_the_owner_measured_wins_over_the_sheet() -> None:
    assert hardware(watts=380.0).load_watts == 380.0


def test_a_slower_card_takes_longer_for_the_same_run() -> None:
    fast, slow = (own_run(workload(), hardware(gpu=gpus.by_name(name)), terms()) for name in ("RTX5090", "RTX3090"))
    assert slow.seconds.expected > fast.seconds.expected


def test_what_does_not_fit_on_the_card_is_said() -> None:
    big = workload(shape=replace(workload().shape, parameters=70_000_000_000))
    assert not own_run(big, hardware(), terms()).fit.fits


def test_a_card_is_earned_back_by_what_rent_is_saved_after_electricity() -> None:
    run = replace(own_run(workload(), hardware(), terms()), electricity_usd=rent("0.08", "0.10", "0.14"))
    found = run.pays_after(rent("0.64", "0.90", "1.58"))
    assert found == PaysAfter(low=1200, expected=2250, high=3600)


def test_a_card_whose_electricity_costs_more_than_rent_is_never_earned_back() -> None:
    run = replace(own_run(workload(), hardware(), terms()), electricity_usd=rent("0.50", "0.60", "0.80"))
    assert run.pays_after(rent("0.10", "0.55", "0.70")) == PaysAfter(low=9000, expected=None, high=None)
    assert run.pays_after(rent("0.10", "0.20", "0.30")) is None


@pytest.mark.parametrize("missing", ["price_usd", "usd_per_kwh"])
def test_a_figure_that_nobody_gave_is_not_made_up(missing: str) -> None:
    run = own_run(workload(), hardware(**{missing: None}), terms())
    assert run.pays_after(rent("0.64", "0.90", "1.58")) is None


def test_a_card_without_a_known_limit_has_no_electricity_until_its_owner_says_what_it_draws() -> None:
    unknown = next(gpu for gpu in gpus.all_gpus() if tdp_watts(gpu) is None)
    assert own_run(workload(), hardware(gpu=unknown), terms()).electricity_usd is None
    assert own_run(workload(), hardware(gpu=unknown, watts=400.0), terms()).electricity_usd is not None


@pytest.mark.parametrize("wrong", [{"price_usd": Decimal(-1)}, {"usd_per_kwh": Decimal(-1)}, {"watts": 0.0}])
def test_hardware_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        hardware(**wrong)


def test_every_limit_is_of_a_card_that_we_know_and_has_a_source() -> None:
    known = {gpu.name for gpu in gpus.all_gpus()}
    assert {row["gpu"] for row in rows()} <= known
    assert all(row["source"] and 50 < float(row["tdp_watts"]) <= 1500 for row in rows())
