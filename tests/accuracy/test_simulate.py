"""10,000 drawn runs against what was promised of them."""

from functools import cache

import pytest

from tests.accuracy.simulate import Run, simulate, table

RUNS = 10_000
DRAWN = 0.015
"""Three standard errors of a share of 95 % in 2,000 runs."""


@cache
def simulated() -> tuple[Run, ...]:
    return tuple(simulate())


def share(runs: list[Run]) -> float:
    return sum(one.done for one in runs) / len(runs)


def test_no_run_of_ten_thousand_costs_a_cent_more_than_its_budget() -> None:
    assert len(simulated()) == RUNS
    assert [one for one in simulated() if one.cost_usd > one.budget_usd] == []
    assert any(not one.in_time and one.cost_usd > one.budget_usd * 9 / 10 for one in simulated())


@pytest.mark.parametrize("is_spot", [False, True], ids=["on demand", "spot"])
def test_what_fit_budget_chose_finishes_within_the_budget_in_95_of_100_cases(is_spot: bool) -> None:
    fit = [one for one in simulated() if one.fit_budget and one.is_spot is is_spot]
    shortened = [one for one in fit if one.shortened]
    assert len(shortened) > 500
    assert share(fit) >= 0.95
    assert share(shortened) >= 0.95


def test_the_odds_that_are_told_are_kept_and_tell_good_plans_from_poor_ones() -> None:
    plain = [one for one in simulated() if not one.fit_budget]
    poor, good = ([one for one in plain if (one.odds > 0.9) is wanted] for wanted in (False, True))
    assert len(poor) > 1000
    for runs in (poor, good):
        told = sum(one.odds for one in runs) / len(runs)
        assert told - DRAWN <= share(runs) <= told + 0.1
    assert share(good) > share(poor) + 0.05


def test_the_table_tells_promise_and_outcome_of_each_kind_of_plan() -> None:
    head, _, fit, *rest = table(simulated()).splitlines()
    assert head.startswith("| plans | promised | runs |")
    assert fit.startswith("| `--fit-budget` | 95 % at least | 5,000 |")
    assert all(line.endswith("| 100.0% |") for line in (fit, *rest))
