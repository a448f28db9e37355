"""The published accuracy: targets hold, constants are those of the fit, files are what the scripts write."""

import dataclasses

import pytest

from pricing.gpus import by_name
from pricing.memory import sure_gib
from pricing.throughput import PUBLISHED, micro_step_seconds
from tests.accuracy.__main__ import RESIDUALS, residuals
from tests.accuracy.fit import FITTED, fit, held_out, spread
from tests.accuracy.judge import covered, fits, memory_ratios, mixture_ratios, score, time_ratios
from tests.accuracy.points import memory_points, points, time_points


@pytest.mark.parametrize("by", ["source", "gpu_name"])
def test_time_is_within_a_fifth_at_the_median_on_sources_and_cards_that_were_not_fitted_on(by: str) -> None:
    found = score(time_ratios(by))
    assert found.n == len(time_points()) == 73
    assert found.median <= 0.20
    assert found.p90 <= 0.50


def test_memory_is_within_a_tenth_at_the_median_on_sources_that_were_not_fitted_on() -> None:
    found = score(memory_ratios())
    assert found.n == len(memory_points()) == 117
    assert found.median <= 0.10


def test_no_run_is_said_to_fit_that_did_not_and_few_are_refused_that_did() -> None:
    found = fits(memory_points(), lambda row: sure_gib(row.workload))
    assert found.false_fits == 0
    assert found.refused <= 0.20 * found.fitted


def test_the_band_holds_what_it_says_that_it_holds() -> None:
    inside = covered()
    assert 0.75 <= sum(held for _, held in inside) / len(inside) <= 0.90


def test_a_mixture_of_experts_is_within_its_wider_band() -> None:
    inside = [1 / 3.0 <= ratio <= 3.0 for _, ratio in mixture_ratios()]
    assert sum(inside) / len(inside) >= 0.8


def test_the_constants_are_those_of_the_fit() -> None:
    fitted = fit(time_points())
    for name in FITTED:
        assert getattr(PUBLISHED, name) == pytest.approx(getattr(fitted.constants, name), rel=0.01), name
    for name, factor in fitted.cards.items():
        assert by_name(name).efficiency == pytest.approx(factor, abs=0.006), name


def test_the_width_of_a_card_is_at_least_what_its_runs_missed_by() -> None:
    measured = spread(held_out(time_points(), lambda row: row.source))
    assert by_name("A10G").efficiency_spread == pytest.approx(measured, abs=0.03)
    never = [by_name(name) for name in ("H100-SXM", "L40S", "B200", "RTX5090")]
    assert min(card.efficiency_spread for card in never) > measured


def test_the_fit_moves_little_without_any_one_row() -> None:
    rows = [row for row in time_points() if row.source != "Qwen README"]  # the smaller half, where one row weighs more
    whole = fit(rows).constants
    for left_out in rows[::6]:
        other = fit([row for row in rows if row is not left_out]).constants
        assert other.traffic == pytest.approx(whole.traffic, rel=0.15)
        assert other.layer_seconds == pytest.approx(whole.layer_seconds, rel=0.15)


def test_the_residuals_are_what_the_script_writes() -> None:
    assert RESIDUALS.read_text() == residuals()


def test_every_row_of_the_file_is_read_and_says_why_it_does_not_count() -> None:
    assert len(points()) == 171
    assert all(point.memory_says or point.memory_gib for point in points())
    assert all(point.time_says or point.micro_step_seconds for point in points())
    sizes = {point.model: point.workload.shape.parameters / 1e9 for point in points()}
    assert sizes["Mixtral-8x7B"] == pytest.approx(46.7, abs=0.05)
    assert sizes["Llama-3.1-8B"] == pytest.approx(8.03, abs=0.005)


def test_a_fit_of_made_up_runs_finds_the_constants_that_made_them() -> None:
    truth = dataclasses.replace(PUBLISHED, traffic=30.0, layer_seconds=0.003, dequant_bytes=5.0)
    made = []
    for row in time_points():
        assert row.gpu is not None
        card = dataclasses.replace(row.gpu, efficiency=1.0)
        made.append(
            dataclasses.replace(row, micro_step_seconds=micro_step_seconds(row.workload, card, row.tokens, truth))
        )
    found = fit(made).constants
    assert found.traffic == pytest.approx(30.0, rel=0.05)
    assert found.layer_seconds == pytest.approx(0.003, rel=0.05)
    assert found.dequant_bytes == pytest.approx(5.0, rel=0.15)
