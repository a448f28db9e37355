"""Arms compared item by item: signs, intervals, what can be told apart, and what the test set could have shown."""

import math
import random

import pytest

from jobs.results.compare import Comparison, family, of_figures, value
from jobs.results.resample import smallest_change
from jobs.results.summary import Value
from tests.jobs.results.home import arm, measured, pitted, right


def exact(one: list[str], other: list[str], clusters: list[int] | None = None, resamples: int = 10_000) -> Comparison:
    new, old = (
        arm(name, said, ["yes"] * len(said), clusters=clusters or ())
        for name, said in (("tuned", one), ("base", other))
    )
    return pitted("exact", new, old, resamples)


def test_a_large_gain_is_told_with_its_sign_its_n_and_mcnemars_p() -> None:
    found = exact(right(90, 100), right(60, 100)).difference
    assert (found.arm, found.against, found.n) == ("tuned", "base", 100)
    assert found.value == pytest.approx(0.3)
    assert 0.2 < found.low < 0.3 < found.high < 0.4
    assert found.p == pytest.approx(2 * 0.5**30)
    assert found.distinguishable


def test_the_same_figures_from_other_items_are_no_gain() -> None:
    found = exact(right(50, 100, start=50), right(50, 100)).difference
    assert (found.value, found.distinguishable) == (0.0, False)
    assert found.low < -0.15
    assert found.high > 0.15


def test_arms_that_answer_alike_may_still_differ_by_what_no_item_showed() -> None:
    found = exact(right(100, 100), right(100, 100))
    assert (found.difference.low, found.difference.high) == (-0.03, 0.03)  # 3/n
    assert not found.difference.distinguishable
    assert 0 < found.shown < 0.1


def test_five_of_five_is_not_enough() -> None:
    found = exact(right(5, 5), right(0, 5)).difference
    assert found.value == 1.0
    assert not found.distinguishable
    assert found.low < 0


def test_an_interval_alone_is_not_believed_where_the_exact_test_is_not_convinced() -> None:
    found = exact(right(55, 100), right(50, 100)).difference  # 5 gained, none lost: p = 0.0625
    assert found.low > 0
    assert not found.distinguishable


def test_what_the_test_set_could_show_follows_from_the_items_that_differ() -> None:
    few, many = exact(right(50, 100, start=5), right(50, 100)), exact(right(50, 100, start=40), right(50, 100))
    assert few.shown == pytest.approx(0.1, abs=0.02)  # 2.80 x sqrt(0.10 / 100), and the difference itself
    assert many.shown == pytest.approx(0.25, abs=0.02)  # 2.80 x sqrt(0.80 / 100)


def test_the_effect_itself_does_not_blur_what_a_smaller_one_would_have_shown() -> None:
    # 188 of 200 items differ, all in the same way: taken for noise they would hide anything below 0.19.
    assert exact(right(188, 200), right(0, 200)).shown == pytest.approx(0.045, abs=0.005)


def test_no_test_set_shows_fewer_changes_than_the_exact_test_needs() -> None:
    assert 0.06 < exact(right(50, 100), right(50, 100)).shown < 0.1
    assert exact(right(4, 4), right(3, 4)).shown == 1.0


def test_items_of_one_group_are_not_counted_one_by_one() -> None:
    apart = exact(right(60, 100), right(40, 100))
    together = exact(right(60, 100), right(40, 100), clusters=[at // 20 for at in range(100)])
    assert apart.difference.distinguishable
    assert together.difference.p is None
    assert not together.difference.distinguishable
    assert together.shown > apart.shown


def test_no_effect_is_called_so_about_95_times_in_100() -> None:
    told = 0
    for draw in range(300):
        lot = random.Random(draw)
        one, other = ([lot.choice(("yes", "no")) for _ in range(80)] for _ in range(2))
        told += exact(one, other, resamples=600).difference.distinguishable
    # McNemar's exact test is a little shy: never more than 5 in 100, seldom less than 2.
    assert 3 <= told <= 17


def test_four_in_five_differences_of_the_stated_size_are_shown() -> None:
    shown = 0
    gap = 0.15 + smallest_change((35, 15, 15, 35)) / 2
    for draw in range(300):
        lot = random.Random(draw)
        # An old arm with half of 100 items right, and a new one that differs on 30 % of them.
        moves = [1 if (u := lot.random()) < gap else -1 if u < 0.30 else 0 for _ in range(100)]
        new = ["yes" if move > 0 or (not move and at % 2) else "no" for at, move in enumerate(moves)]
        old = ["yes" if move < 0 or (not move and at % 2) else "no" for at, move in enumerate(moves)]
        shown += exact(new, old, resamples=600).difference.distinguishable
    assert 0.75 <= shown / 300 <= 0.90


@pytest.mark.parametrize("groups", [1, 2, 3, 5, 8])
def test_a_few_groups_prove_nothing_that_chance_brings_about(groups: int) -> None:
    """By the draws alone 3 groups without any effect would be called different 28 times in 100, one group always."""
    told = 0
    for draw in range(200):
        lot = random.Random(draw)
        shift = [lot.gauss(0, 0.3) for _ in range(groups)]
        clusters = [at // 10 for at in range(10 * groups)]
        losses = [3 + shift[group] + lot.gauss(0, 0.1) for group in clusters]
        new = arm("tuned", ["a"] * len(losses), ["a"] * len(losses), clusters=clusters, losses=losses)
        old = arm("base", ["a"] * len(losses), ["a"] * len(losses), clusters=clusters, losses=[3.0] * len(losses))
        told += pitted("loss", new, old, resamples=400).difference.distinguishable
    assert told <= 20


def test_one_item_has_no_interval_of_its_loss_and_shows_nothing() -> None:
    new, old = (arm(name, ["a"], ["a"], losses=[loss]) for name, loss in (("tuned", 0.5), ("base", 2.0)))
    found = pitted("loss", new, old)
    assert (found.difference.value, found.difference.distinguishable) == (-1.5, False)
    assert (found.difference.low, found.difference.high) == (-2.0, 0.5)
    assert value(measured("loss", new)).low is None
    assert found.shown == math.inf


def test_loss_is_weighed_by_tokens_and_compared_in_pairs() -> None:
    wanted = ["a"] * 50
    low = arm("tuned", wanted, wanted, losses=[0.4 + at / 100 for at in range(50)])
    found = pitted("loss", low, arm("base", wanted, wanted, losses=[0.9 + at / 100 for at in range(50)]))
    assert found.difference.value == pytest.approx(-0.5)
    assert found.difference.p is None
    assert found.difference.distinguishable


def test_a_family_of_tests_is_corrected_for_being_read_together() -> None:
    weak = exact(right(56, 100, start=0), right(50, 100))  # 6 gained, none lost: p = 0.03
    assert weak.difference.distinguishable
    alone, together = family([weak]), family([weak, weak, weak])
    assert [one.distinguishable for one in alone] == [True]
    assert [one.distinguishable for one in together] == [False] * 3


def test_only_the_items_that_both_arms_have_are_compared_and_that_is_said() -> None:
    wanted = ["yes"] * 10
    whole, part = arm("tuned", right(10, 10), wanted), arm("base", right(0, 6), wanted[:6])
    found = pitted("exact", whole, part)
    assert found.difference.n == 6
    assert "over the 6 in common" in found.note


def test_a_share_has_wilsons_interval_and_a_mean_the_bootstraps() -> None:
    found = value(measured("exact", arm("tuned", right(20, 20), ["yes"] * 20)))
    assert (found.value, found.high, found.n) == (1.0, 1.0, 20)
    assert found.low == pytest.approx(0.8389, abs=1e-4)


def test_two_figures_of_a_harness_are_compared_as_two_samples() -> None:
    before, after = Value(value=0.60, n=400), Value(value=0.50, n=400)
    found = of_figures(after, before, (0.025, 0.0245), ("tuned", "base"))
    assert found.difference.value == pytest.approx(-0.1)
    assert found.difference.low == pytest.approx(-0.1 - 1.96 * 0.035, abs=1e-3)
    assert found.difference.distinguishable
    assert not of_figures(after, before, (0.0, 0.0), ("tuned", "base")).difference.distinguishable
