"""Learning from the user's own finished runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.calibration import Correction, Finished, corrections
from pricing.interval import around


def runs(*ratios: float, gpu: str = "A10G", phase: str = "train") -> list[Finished]:
    return [Finished(gpu=gpu, phase=phase, estimated_seconds=100.0, actual_seconds=100.0 * one) for one in ratios]


def test_two_runs_teach_nothing_and_three_do() -> None:
    assert corrections(runs(1.5, 1.5)) == {}
    assert corrections(runs(1.5, 1.5, 1.5))["A10G", "train"].factor == pytest.approx(1.5)


def test_cards_and_phases_are_learned_apart() -> None:
    learned = corrections(runs(2, 2, 2) + runs(1, 1, 1, phase="boot") + runs(0.5, 0.5, 0.5, gpu="L4"))
    assert {key: round(one.factor, 6) for key, one in learned.items()} == {
        ("A10G", "train"): 2.0,
        ("A10G", "boot"): 1.0,
        ("L4", "train"): 0.5,
    }


def test_one_odd_run_widens_the_interval_and_does_not_move_the_middle() -> None:
    steady, odd = corrections(runs(1, 1, 1, 1, 1)), corrections(runs(1, 1, 1, 1, 6))
    assert odd["A10G", "train"].factor == pytest.approx(1.0)
    assert odd["A10G", "train"].spread > steady["A10G", "train"].spread == pytest.approx(1.1)


def test_a_correction_moves_and_narrows_a_forecast() -> None:
    corrected = corrections(runs(1.2, 1.25, 1.3))["A10G", "train"].apply(around(100.0, 1.6))
    assert corrected.expected == pytest.approx(125.0)
    assert 62.5 < corrected.low < corrected.high < 200


def test_phases_that_took_no_time_are_left_out() -> None:
    assert corrections(runs(0, 0, 0)) == {}


@given(st.lists(st.floats(0.01, 100), min_size=3, max_size=50))
def test_a_factor_lies_between_the_ratios_that_were_seen(ratios: list[float]) -> None:
    one = corrections(runs(*ratios))["A10G", "train"]
    assert min(ratios) * 0.999 <= one.factor <= max(ratios) * 1.001
    assert one.runs == len(ratios)


def test_a_factor_of_zero_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="positive"):
        Correction(factor=0, spread=1.1, runs=3)
