"""Learning from the user's own finished runs."""

import random
from collections.abc import Iterable
from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricing.calibration import (
    HUBER,
    LEAST_SPREAD,
    NOISE_SHARE,
    Z_80,
    Correction,
    Corrections,
    Finished,
    Path,
    learn,
    path,
    t_80,
)
from pricing.gpus import by_name
from pricing.interval import Interval, around
from pricing.offer import Market
from tests.pricing.samples import offer, workload

NO_TIME = Interval(low=0.0, expected=0.0, high=0.0)
A10G: Path = ("train gpu", "A10G", "4096x32", "qlora")
SPREAD = 1.6


def runs(ratios: Iterable[float], where: Path = A10G, spread: float = SPREAD) -> list[Finished]:
    """Runs that took so many times what was estimated."""
    return [
        Finished(run=f"{where}-{at}", path=where, estimate=around(100.0, spread), actual_seconds=100.0 * one)
        for at, one in enumerate(ratios)
    ]


def learned(ratios: Iterable[float], where: Path = A10G) -> Correction:
    found = learn(runs(ratios)).of(where)
    assert found is not None
    return found


def test_without_history_nothing_is_corrected() -> None:
    seconds = {"train": around(100.0, SPREAD), "boot": around(10.0, 2.0)}
    assert Corrections().applied(seconds, offer(), workload()) == (seconds, {})
    assert learn([]) == Corrections()


def test_phases_that_took_no_time_or_were_given_none_teach_nothing() -> None:
    none = Finished(run="r", path=A10G, estimate=NO_TIME, actual_seconds=5.0)
    assert learn([*runs([0, 0, 0]), none]) == Corrections()


def test_few_runs_move_the_estimate_little_and_many_move_it_to_the_truth() -> None:
    factors = [learned([1.3] * count).factor for count in (1, 2, 3, 5, 10, 30)]
    assert factors == sorted(factors)
    assert 1.05 < factors[0] < 1.15
    assert factors[2] == pytest.approx(1.2, abs=0.03)
    assert factors[-1] == pytest.approx(1.3, abs=0.01)


@given(st.floats(0.2, 5.0), st.integers(0, 2**32))
def test_the_factor_converges_to_the_truth_as_runs_grow(truth: float, seed: int) -> None:
    dice = random.Random(seed)
    found = learned([truth * exp(dice.gauss(0, 0.2)) for _ in range(200)])
    assert found.factor == pytest.approx(truth, rel=0.1)


@given(
    st.lists(st.floats(0.7, 1.4), min_size=3, max_size=40), st.floats(1e-3, 1e3), st.sampled_from([1.3, 1.6, 2.0, 2.5])
)
def test_one_absurd_run_does_not_move_the_factor_more_than_its_share(
    ratios: list[float], absurd: float, spread: float
) -> None:
    sane = learn(runs(ratios, spread=spread)).of(A10G)
    odd = learn(runs([*ratios, absurd], spread=spread)).of(A10G)
    assert sane is not None
    assert odd is not None
    # Whatever it says, it pulls as one run that is `HUBER` standard deviations off; three times that, since by such a
    # run the deviation itself is taken to be larger (of 6,000 made-up histories the worst came to 2.3).
    most = 3 * HUBER * max(log(spread) / Z_80, 0.3) / (len(ratios) + 1)
    assert abs(log(odd.factor / sane.factor)) <= most


def test_an_absurd_run_widens_the_interval() -> None:
    assert learned([1, 1, 1, 1, 60]).width > learned([1, 1, 1, 1, 1]).width


def test_runs_that_agree_narrow_the_interval_but_never_below_what_is_honest() -> None:
    widths = [learned([1.0] * count).width for count in (1, 3, 10, 100)]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] < 1
    corrected = learned([1.0] * 100).apply(around(100.0, SPREAD))
    assert corrected == around(corrected.expected, LEAST_SPREAD)


def test_runs_that_differ_widely_widen_it() -> None:
    assert learned([0.3, 3.0, 0.4, 2.5, 0.3, 3.0]).width > 1.2


def test_a_skewed_forecast_stays_skewed() -> None:
    corrected = learned([1.2] * 4).apply(Interval(low=90.0, expected=100.0, high=300.0))
    assert corrected.expected == pytest.approx(100 * learned([1.2] * 4).factor)
    assert corrected.expected / corrected.low < corrected.high / corrected.expected


def test_what_is_known_of_the_specific_comes_first_and_the_general_stands_in() -> None:
    found = learn(runs([1.5] * 6) + runs([0.8] * 6, where=("train gpu", "L4", "4096x32", "qlora")))
    on_a10g, on_l4 = found.of(A10G), found.of(("train gpu", "L4", "4096x32", "qlora"))
    another_model = found.of(("train gpu", "A10G", "8192x80", "lora"))
    another_card = found.of(("train gpu", "H100", "4096x32", "qlora"))
    assert on_a10g is not None
    assert on_l4 is not None
    assert another_model is not None
    assert another_card is not None
    assert 1 < another_card.factor < another_model.factor < on_a10g.factor < 1.5
    assert 0.8 < on_l4.factor < 1
    assert on_a10g.width < another_model.width < another_card.width
    assert (on_a10g.runs, another_model.runs, another_card.runs) == (6, 6, 12)
    assert found.runs == 12


def test_the_processor_says_nothing_about_cards_nor_the_own_machine_about_rented_ones() -> None:
    cpu = runs([3.0] * 6, where=("train cpu", "local", "64x2", "lora"))
    assert learn(cpu).of(A10G) is None
    here = path("boot", offer(market=Market.OWNED), workload())
    assert learn(runs([3.0] * 6, where=here)).of(path("boot", offer(), workload())) is None


def test_training_belongs_to_the_card_and_the_model_and_the_rest_to_the_provider() -> None:
    here, there = offer(provider="here"), offer(provider="there")
    other_card = offer(provider="here", gpu=by_name("L4"))
    for phase in ("train", "evaluate"):
        assert path(phase, here, workload()) == path(phase, there, workload()) != path(phase, other_card, workload())
    for phase in ("boot", "ship", "install", "model", "pull", "teardown"):
        assert path(phase, here, workload()) == path(phase, other_card, workload()) != path(phase, there, workload())


def test_each_phase_is_corrected_by_its_own_runs() -> None:
    seconds = {"boot": around(60.0, 1.8), "train": around(100.0, SPREAD), "evaluate": NO_TIME}
    found = learn(
        runs([2.0] * 8, where=path("train", offer(), workload()))
        + runs([0.5] * 8, where=path("boot", offer(), workload()))
        + runs([2.0] * 8, where=path("evaluate", offer(), workload()))
    )
    corrected, factors = found.applied(seconds, offer(), workload())
    assert factors == {"boot": pytest.approx(0.5, abs=0.03), "train": pytest.approx(2.0, abs=0.1)}
    assert corrected["train"].expected == pytest.approx(200, abs=10)
    assert corrected["evaluate"] == NO_TIME


@pytest.mark.parametrize("count", [1, 4, 12])
@pytest.mark.parametrize("spread", [1.4, 2.5])
def test_about_80_in_100_runs_of_simulated_users_lie_inside_the_corrected_interval(count: int, spread: float) -> None:
    """Users differ by what stays with them, their runs by the rest, and both are as wide as the estimate says."""
    dice = random.Random(count)
    scale = log(spread) / Z_80
    users, inside = 1000, 0
    for _ in range(users):
        lasting = dice.gauss(0, scale * (1 - NOISE_SHARE) ** 0.5)
        ratios = [exp(lasting + dice.gauss(0, scale * NOISE_SHARE**0.5)) for _ in range(count + 1)]
        found = learn(runs(ratios[:-1], spread=spread)).of(A10G)
        assert found is not None
        forecast = found.apply(around(100.0, spread))
        inside += forecast.low <= 100 * ratios[-1] <= forecast.high
    assert 0.75 <= inside / users <= 0.9


def test_a_corrected_forecast_is_closer_than_an_uncorrected_one() -> None:
    dice, better = random.Random(1), 0
    for _ in range(300):
        lasting = dice.gauss(0, 0.3)
        ratios = [exp(lasting + dice.gauss(0, 0.15)) for _ in range(6)]
        factor = learned(ratios[:-1]).factor
        better += abs(log(ratios[-1] / factor)) < abs(log(ratios[-1]))
    assert better > 200


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30), st.floats(1.0, 5.0))
def test_whatever_was_measured_the_correction_can_be_applied(ratios: list[float], spread: float) -> None:
    found = learn(runs(ratios, spread=spread)).of(A10G)
    assert found is not None
    corrected = found.apply(around(100.0, spread))
    assert 0 < corrected.low <= corrected.expected <= corrected.high < float("inf")
    assert min(1.0, *ratios) * 0.99 <= found.factor <= max(1.0, *ratios) * 1.01


@pytest.mark.parametrize(("degrees", "known"), [(4, 1.533), (5, 1.476), (10, 1.372), (30, 1.310)])
def test_quantiles_of_students_t_are_those_of_the_tables(degrees: int, known: float) -> None:
    assert t_80(degrees) == pytest.approx(known, abs=0.005)


@pytest.mark.parametrize("wrong", [{"factor": 0.0}, {"width": 0.0}, {"runs": 0}, {"factor": float("nan")}])
def test_a_correction_that_is_none_cannot_be_built(wrong: dict[str, float]) -> None:
    values = {"factor": 1.1, "width": 0.9, "runs": 3, **wrong}
    with pytest.raises(ValueError, match="positive"):
        Correction(**values)  # type: ignore[arg-type]  # wrong on purpose
