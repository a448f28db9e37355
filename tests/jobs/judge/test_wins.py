"""Wins, ties and losses as a share: how sure so many items can be."""

import pytest

from jobs.judge.wins import LOSS, TIE, WIN, counted, family


def of(wins: int, ties: int, losses: int) -> list[float]:
    return [WIN] * wins + [TIE] * ties + [LOSS] * losses


@pytest.mark.parametrize(
    ("outcomes", "distinguishable"),
    [
        (of(5, 0, 0), False), (of(6, 0, 0), True), (of(0, 0, 6), True), (of(5, 90, 0), False), (of(6, 90, 0), True),
        (of(30, 0, 20), False), (of(70, 0, 30), True), (of(0, 50, 0), False), (of(0, 0, 0), False),
    ],
)  # fmt: skip
def test_few_items_prove_nothing(outcomes: list[float], distinguishable: bool) -> None:
    assert counted(outcomes, list(range(len(outcomes)))).distinguishable is distinguishable


def test_where_all_came_out_alike_the_interval_is_what_could_have_been_missed() -> None:
    found = counted(of(20, 0, 0), list(range(20))).share
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(0.025 ** (1 / 20))
    ties = counted(of(0, 20, 0), list(range(20))).share
    assert ties.low == pytest.approx(1 - ties.high) if ties.high else False


def test_items_of_one_conversation_count_as_one_in_the_interval() -> None:
    outcomes = of(40, 0, 20)
    alone = counted(outcomes, list(range(60))).share
    together = counted(outcomes, [at // 10 for at in range(60)]).share
    assert alone.low is not None
    assert together.low is not None
    assert together.low < alone.low - 0.1


def test_nothing_judged_is_no_share() -> None:
    found = counted([], [])
    assert (found.share.n, found.share.low, found.share.high) == (0, None, None)


def test_several_pairs_of_arms_are_read_together() -> None:
    six = counted(of(6, 0, 0), list(range(6)))  # p = 0.03
    assert six.distinguishable
    assert family([six, six, six]) == [False] * 3
    many = counted(of(40, 0, 5), list(range(45)))
    assert family([many, six]) == [True, True]
    assert family([]) == []


def test_three_groups_of_items_prove_nothing_however_many_items_they_hold() -> None:
    outcomes = [*of(9, 0, 1), *of(10, 0, 0), *of(8, 2, 0)]
    assert counted(outcomes, list(range(30))).distinguishable
    share = counted([*of(6, 0, 4), *of(10, 0, 0), *of(8, 2, 0)], [at // 10 for at in range(30)]).share
    assert share.low is not None
    assert share.low < 0.5
