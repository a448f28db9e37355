"""Forecasts with a width."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.interval import Interval, around, total

SPREADS = st.floats(1.0, 4.0)


@given(expected=st.floats(0.1, 1e6), spread=SPREADS, factor=SPREADS)
def test_what_is_known_up_to_a_factor_only_is_never_narrower_for_it(
    expected: float, spread: float, factor: float
) -> None:
    before = around(expected, spread)
    after = before.blurred(factor)
    assert after.low <= before.low * (1 + 1e-9)
    assert after.expected == before.expected
    assert after.high >= before.high * (1 - 1e-9)
    assert after.high <= before.high * factor * (1 + 1e-9)


def test_two_unknown_factors_add_as_independent_ones_do() -> None:
    assert around(100, 1.5).blurred(1.5).high == pytest.approx(100 * 1.5**2**0.5)


def test_what_is_counted_blurs_nothing_and_nothing_cannot_be_blurred() -> None:
    assert around(100, 1.5).blurred(1.0) == around(100, 1.5)
    nothing = Interval(low=0.0, expected=0.0, high=0.0)
    assert nothing.blurred(2.0) == nothing


def test_what_goes_wrong_independently_is_surer_together_than_each_alone() -> None:
    assert total((around(100, 1.5), around(100, 1.5))).high < 2 * around(100, 1.5).high
