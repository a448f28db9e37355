"""The distribution of a run's length, against Monte Carlo and against itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pricing.interval import Interval, around
from pricing.odds import MOST_AGAIN, Z_90, Reclaims, Spread, spread

SETUP = (around(120.0, 1.8), around(10.0, 2.5), around(150.0, 2.0), around(200.0, 2.5))
CARD = (Interval(low=2000.0, expected=3000.0, high=5200.0), around(800.0, 2.0))
RECLAIMS = Reclaims(
    per_hour=Interval(low=0.04, expected=0.1, high=0.25), restarts=(*SETUP, around(40.0, 2.0)), lost_seconds=600.0
)
OFTEN = Reclaims(per_hour=Interval(low=0.5, expected=1.0, high=2.0), restarts=SETUP, lost_seconds=600.0)
RUNS = 200_000

Floats = NDArray[np.float64]


def drawn(one: Interval, scores: Floats) -> Floats:
    """The split log-normal through an interval, at these standard normal scores."""
    below, above = np.log(one.expected / one.low) / Z_90, np.log(one.high / one.expected) / Z_90
    return np.asarray(one.expected * np.exp(scores * np.where(scores > 0, above, below)))


def simulated(reclaims: Reclaims | None) -> Floats:
    """The same sum, drawn: cards err together, all else apart; a machine may be taken while it starts again, too."""
    generator = np.random.default_rng(4)
    speed = generator.standard_normal(RUNS)
    total: Floats = np.sum([drawn(one, speed) for one in CARD], axis=0)
    total += np.sum([drawn(one, generator.standard_normal(RUNS)) for one in SETUP], axis=0)
    if reclaims is None:
        return total
    most = MOST_AGAIN / (reclaims.moments[0] / 3600)  # beyond it a run might never end
    rate = np.minimum(drawn(reclaims.per_hour, generator.standard_normal(RUNS)), most)
    at_risk = total
    while (counts := generator.poisson(rate * at_risk / 3600)).any():
        at_risk = np.zeros(RUNS)
        for number in range(int(counts.max())):
            again = np.sum([drawn(one, generator.standard_normal(RUNS)) for one in reclaims.restarts], axis=0)
            lost = generator.uniform(0, reclaims.lost_seconds, RUNS)
            at_risk += np.where(counts > number, again + lost, 0.0)
        total = total + at_risk
    return total


@pytest.mark.parametrize(
    ("reclaims", "tolerance"),
    [(None, 0.01), (RECLAIMS, 0.02), (OFTEN, 0.06)],
    ids=["certain", "spot", "often reclaimed"],
)
def test_the_points_agree_with_monte_carlo(reclaims: Reclaims | None, tolerance: float) -> None:
    ours, drawn_runs = spread(CARD, SETUP, reclaims), simulated(reclaims)
    for probability in (0.1, 0.25, 0.5, 0.75, 0.9, 0.95):
        assert ours.quantile(probability) == pytest.approx(np.quantile(drawn_runs, probability), rel=tolerance)
        limit = float(np.quantile(drawn_runs, probability))
        assert ours.chance(limit) == pytest.approx(probability, abs=tolerance)
    assert ours.mean == pytest.approx(drawn_runs.mean(), rel=tolerance)


def test_one_phase_alone_keeps_its_three_figures() -> None:
    one = Interval(low=2000.0, expected=3000.0, high=5200.0)
    told = spread((one,), ()).interval
    assert (told.low, told.expected, told.high) == pytest.approx((2000, 3000, 5200))


def test_a_phase_of_no_width_is_a_constant_and_its_odds_are_a_step() -> None:
    fixed = spread((Interval(low=60.0, expected=60.0, high=60.0),), ())
    assert fixed.seconds[0] == fixed.seconds[-1] == 60
    assert (fixed.chance(59.9), fixed.chance(60)) == (0, 1)


def test_a_phase_that_may_take_nothing_still_has_a_distribution() -> None:
    told = spread((Interval(low=0.0, expected=100.0, high=300.0),), (Interval(low=0.0, expected=0.0, high=0.0),))
    assert 0 < told.quantile(0.1) < told.quantile(0.5) == pytest.approx(100)
    assert spread((Interval(low=0.0, expected=0.0, high=30.0),), ()).quantile(0.5) == 30


def test_training_and_evaluation_err_together_so_their_sum_is_wider_than_of_independent_parts() -> None:
    together, apart = spread(CARD, ()).interval, spread(CARD[:1], CARD[1:]).interval
    assert together.high == pytest.approx(CARD[0].high + CARD[1].high)
    assert apart.high < together.high * 0.98


def test_reclaims_never_make_a_run_shorter_and_a_higher_rate_makes_it_longer() -> None:
    none, some, often = (spread(CARD, SETUP, one) for one in (None, RECLAIMS, OFTEN))
    for probability in (0.05, 0.5, 0.9, 0.99):
        assert none.quantile(probability) < some.quantile(probability) * 1.005
        assert some.quantile(probability) < often.quantile(probability)
    added = simulated(RECLAIMS).mean() - simulated(None).mean()
    assert some.mean - none.mean == pytest.approx(added, rel=0.1)


PHASES = st.tuples(st.floats(1, 1e5), st.floats(1, 4), st.floats(1, 4)).map(
    lambda drawn: Interval(low=drawn[0] / drawn[1], expected=drawn[0], high=drawn[0] * drawn[2])
)


@given(card=PHASES, setup=PHASES, factor=st.floats(1, 5), reclaims=st.sampled_from([None, RECLAIMS, OFTEN]))
def test_more_work_is_never_done_sooner_at_any_probability(
    card: Interval, setup: Interval, factor: float, reclaims: Reclaims | None
) -> None:
    less, more = spread((card,), (setup,), reclaims), spread((card.times(factor),), (setup,), reclaims)
    for probability in (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99):
        assert less.quantile(probability) <= more.quantile(probability) * (1 + 1e-9)
    assert less.mean <= more.mean * (1 + 1e-9)


@given(card=PHASES, setup=PHASES, limits=st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)))
def test_odds_rise_with_the_limit_and_are_a_probability(
    card: Interval, setup: Interval, limits: tuple[float, float]
) -> None:
    told: Spread = spread((card,), (setup,), RECLAIMS)
    assert 0 <= told.chance(min(limits)) <= told.chance(max(limits)) <= 1
    assert told.chance(told.quantile(0.95)) >= 0.95 - 1e-9
    assert sum(told.weights) == pytest.approx(1)
