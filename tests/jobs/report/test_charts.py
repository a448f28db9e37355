"""Charts: ticks that a person would choose, places in per cent, no point lost that matters."""

import math
import re

import pytest

from jobs.report import charts
from jobs.report.charts import Line


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.08, 1.9], (0.0, 0.5, 1.0, 1.5, 2.0)), ([13.1, 13.8], (13.0, 13.2, 13.4, 13.6, 13.8)),
        ([5.0, 5.0], (2.0, 4.0, 6.0, 8.0)), ([0.0, 0.0], (-0.5, -0.25, 0.0, 0.25, 0.5)),
        ([-0.3, 0.9], (-0.5, 0.0, 0.5, 1.0)), ([1e12, 3e12], (1e12, 1.5e12, 2e12, 2.5e12, 3e12)),
    ],
    ids=str,
)  # fmt: skip
def test_ticks_are_round_numbers_around_the_values(values: list[float], ticks: tuple[float, ...]) -> None:
    found = charts.scale(values)
    assert found.ticks == pytest.approx(ticks)
    assert found.low <= min(values)
    assert max(values) <= found.high


def test_a_tight_scale_ends_with_the_values_and_its_ticks_lie_inside() -> None:
    found = charts.scale([0, 702], zero=True, tight=True)
    assert (found.low, found.high, found.ticks) == (0, 702, (0, 200, 400, 600))


def test_what_lies_outside_a_scale_stands_at_its_edge() -> None:
    by = charts.scale([0.0, 10.0])
    assert [by.at(value) for value in (-5.0, 0.0, 2.5, 10.0, 1e300)] == [0, 0, 25, 100, 100]


@pytest.mark.parametrize(
    ("values", "labels"),
    [([0.0, 1.0], ["0", "0.25", "0.50", "0.75", "1.00"]), ([0.0, 2e-4], ["0", "5e−5", "1e−4", "1.5e−4", "2e−4"]),
     ([0, 4000], ["0", "1,000", "2,000", "3,000", "4,000"])],
    ids=str,
)  # fmt: skip
def test_labels_tell_the_ticks_apart(values: list[float], labels: list[str]) -> None:
    by = charts.scale(values)
    assert [by.label(tick) for tick in by.ticks] == labels


def test_a_loss_that_falls_far_is_drawn_by_powers_and_another_one_is_not() -> None:
    by = charts.powers([0.08, 2.0])
    assert by is not None
    assert by.ticks == pytest.approx((0.1, 0.2, 0.5, 1.0, 2.0))
    assert by.at(math.sqrt(0.08 * 2.0)) == pytest.approx(50)
    assert charts.powers([0.5, 2.0]) is None
    assert charts.powers([0.0, 2.0]) is None


def test_thinning_keeps_every_spike_and_few_points() -> None:
    points = [(float(step), 1.0) for step in range(10_000)]
    points[5_137] = (5_137.0, 99.0)
    thin = charts.thinned(points)
    assert len(thin) <= charts.MOST_POINTS
    assert (5_137.0, 99.0) in thin
    assert thin == sorted(thin)


def test_curves_of_less_than_two_points_are_not_drawn() -> None:
    assert charts.lines("Loss", "", [Line(name="loss", points=[(1, 2.0)])]) == ""


def test_a_chart_says_in_words_what_it_shows_and_draws_no_value_twice_as_large() -> None:
    made = charts.lines("Loss", "per token", [Line(name="training", points=[(0, 2.0), (10, 1.0), (20, 0.0)])])
    assert 'aria-label="Loss by step: training from 2 to 0"' in made
    (points,) = re.findall(r'points="([^"]+)"', made)
    assert points == "0,0 500,500 1000,1000"


def test_a_dot_stands_at_its_value_with_its_interval() -> None:
    made = charts.dot(0.6, 0.5, 0.75, charts.SHARES, "tuned")
    assert '<line class="spread tuned" x1="50.0%" x2="75.0%"' in made
    assert 'cx="60.0%"' in made
    assert "spread" not in charts.dot(0.6, None, None, charts.SHARES, "tuned")


def test_the_parts_of_a_stack_fill_it() -> None:
    made = charts.stack([(5, "win", "wins"), (3, "tie", "ties"), (2, "loss", "losses")])
    assert re.findall(r'x="([\d.]+)%" width="([\d.]+)%"', made) == [
        ("0.00", "50.00"),
        ("50.00", "30.00"),
        ("80.00", "20.00"),
    ]
