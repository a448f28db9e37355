"""Intervals and tests against published values, and in simulation: they cover what they promise to cover."""

import math

import numpy as np
import pytest

from jobs.results.resample import (
    Figure,
    Floats,
    holm,
    mcnemar,
    paired,
    smallest_shown,
    spread,
    t_p,
    t_quantile,
    tail_of,
    wilson,
)


def mean_of(values: Floats) -> Figure:
    parts = np.stack([values, np.ones_like(values)], axis=1)
    return Figure(parts=parts, of=lambda sums: sums[..., 0] / sums[..., 1])


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718), (81, 263, 0.2553, 0.3662)],
    ids=["newcombe 1998 b", "newcombe 1998 c", "newcombe 1998 d", "newcombe 1998 a"],
)
def test_wilsons_interval_is_the_published_one(hits: int, n: int, low: float, high: float) -> None:
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    assert wilson(hits, n) == pytest.approx((low, high), abs=6e-5)


@pytest.mark.parametrize(
    ("t", "freedom", "p"), [(12.706, 1, 0.05), (2.920, 2, 0.10), (2.776, 4, 0.05), (3.169, 10, 0.01), (-2.571, 5, 0.05)]
)
def test_students_p_is_the_tables(t: float, freedom: int, p: float) -> None:
    assert t_p(t, freedom) == pytest.approx(p, rel=2e-3)


def test_a_perfect_score_ends_at_one() -> None:
    assert wilson(20, 20)[1] == 1.0


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [(0, 0, 1.0), (5, 0, 0.0625), (10, 2, 0.03857421875), (7, 7, 1.0), (6, 16, 0.05248)],
)
def test_mcnemars_p_is_the_two_sided_binomial_one(gained: int, lost: int, p: float) -> None:
    assert mcnemar(gained, lost) == pytest.approx(p, rel=1e-3)
    assert mcnemar(lost, gained) == mcnemar(gained, lost)


def test_mcnemar_of_thousands_of_items_is_a_number() -> None:
    assert 0 < mcnemar(900, 1100) < 1e-4


def test_holm_multiplies_the_smallest_most_and_keeps_the_order() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(("freedom", "t"), [(1, 12.706), (2, 4.303), (3, 3.182), (9, 2.262), (30, 2.042), (199, 1.972)])
def test_students_t_is_the_tables(freedom: int, t: float) -> None:
    assert t_quantile(0.975, freedom) == pytest.approx(t, rel=2e-3)


def test_few_units_have_wider_tails_and_many_have_the_usual_ones() -> None:
    assert tail_of(10) < tail_of(50) < 0.025
    assert tail_of(10_000) == pytest.approx(0.025, abs=1e-4)


@pytest.mark.parametrize(("n", "gap"), [(100, 0.108), (200, 0.077), (500, 0.049), (1000, 0.034)])
def test_the_smallest_difference_that_is_shown_shrinks_with_the_root_of_the_items(n: int, gap: float) -> None:
    # 15 % of the items answered differently: (1.960 + 0.842) x sqrt(0.15 / n).
    assert smallest_shown(math.sqrt(0.15 / n)) == pytest.approx(gap, abs=6e-4)


def test_the_same_data_give_the_same_interval() -> None:
    values = np.random.default_rng(3).random(40)
    groups = list(range(40))
    assert spread(mean_of(values), groups).interval() == spread(mean_of(values), groups).interval()


def test_a_means_interval_is_the_t_interval() -> None:
    values = np.random.default_rng(5).normal(size=25)
    low, high = spread(mean_of(values), list(range(25))).interval()
    half = t_quantile(0.975, 24) * values.std(ddof=1) / 5
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)


def test_pairs_stay_together_so_that_what_both_arms_share_cancels() -> None:
    generator = np.random.default_rng(7)
    hard = generator.random(100)
    one, other = mean_of(hard + 0.1), mean_of(hard)
    low, high = paired(one, other, list(range(100))).interval()
    assert (low, high) == pytest.approx((0.1, 0.1), abs=1e-9)


def test_items_of_a_group_are_drawn_together() -> None:
    generator = np.random.default_rng(9)
    values = np.repeat(generator.normal(size=20), 10)
    apart = spread(mean_of(values), list(range(200)))
    together = spread(mean_of(values), list(np.repeat(np.arange(20), 10)))
    assert together.units == 20
    assert together.error > 2.5 * apart.error


def coverage(draw: int, n: int, gap: float) -> bool:
    """Whether the interval of one simulated test set holds the true gap of two arms that share the items' hardness."""
    generator = np.random.default_rng(draw)
    hardness = generator.random(n)
    one = (generator.random(n) < np.clip(0.6 + gap - 0.4 * hardness, 0, 1)).astype(float)
    other = (generator.random(n) < 0.6 - 0.4 * hardness).astype(float)
    low, high = paired(mean_of(one), mean_of(other), list(range(n)), 800).interval()
    return low <= gap <= high


@pytest.mark.parametrize("gap", [0.0, 0.2])
def test_the_interval_covers_the_truth_about_95_times_in_100(gap: float) -> None:
    held = sum(coverage(draw, 60, gap) for draw in range(600))
    # 600 trials of 95 % lie between 559 and 581 19 times in 20; the draws are seeded, so this is no lottery.
    assert 555 <= held <= 585


def test_ignoring_groups_would_cover_far_too_little() -> None:
    def covers(draw: int, *, grouped: bool) -> bool:
        generator = np.random.default_rng(draw)
        values = np.repeat(generator.normal(size=20), 5) + 0.3 * generator.normal(size=100)
        groups = np.repeat(np.arange(20), 5) if grouped else np.arange(100)
        low, high = spread(mean_of(values), list(groups), 600).interval()
        return low <= 0 <= high

    assert sum(covers(draw, grouped=True) for draw in range(200)) >= 182
    assert sum(covers(draw, grouped=False) for draw in range(200)) <= 130


def test_twenty_thousand_items_are_compared_within_bounds() -> None:
    values = np.random.default_rng(1).random(20_000)
    found = spread(mean_of(values), list(range(20_000)))
    assert len(found.draws) == 2_500
    assert found.error == pytest.approx(values.std() / math.sqrt(20_000), rel=0.05)
