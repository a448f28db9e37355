"""Tasks that were not trained: what counts as a drop, and what may only be bad luck."""

from pathlib import Path
from typing import Any

import pytest

from jobs.results.adjacent import adjacent
from jobs.results.summary import Adjacent
from tests.jobs.results.home import Home, right

N = 100
TASK: dict[str, Any] = {"name": "sums", "data": "sums.jsonl", "metric": "exact", "allow_drop": 0.02}
HARNESS: dict[str, Any] = {"name": "trivia", "harness": "trivia", "metric": "acc", "allow_drop": 0.02}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.sent(["yes"] * N, part="adjacent/sums")
    return made


def judged(home: Home, *tasks: dict[str, Any]) -> tuple[tuple[Adjacent, ...], list[str]]:
    warnings: list[str] = []
    return adjacent(home.out / "eval", tasks, home.data, warnings), warnings


@pytest.mark.parametrize(
    ("before", "after", "state"),
    [(90, 60, "dropped"), (90, 87, "may have dropped"), (90, 89, "held"), (90, 90, "held"), (60, 90, "improved")],
)
def test_a_drop_counts_where_it_is_beyond_what_is_allowed_and_can_be_told(
    home: Home, before: int, after: int, state: str
) -> None:
    home.brought("adjacent/sums.base", right(before, N), ["yes"] * N)
    home.brought("adjacent/sums.tuned", right(after, N), ["yes"] * N)
    (found,), warnings = judged(home, TASK)
    assert (found.state, found.difference.n) == (state, N)
    assert found.difference.value == pytest.approx((after - before) / N)
    assert warnings == []


def test_a_loss_that_rises_is_a_drop(home: Home) -> None:
    home.brought("adjacent/sums.base", right(9, N), ["yes"] * N)
    worse = [{"item": at, "prompt": [{"role": "user", "content": f"question {at}"}], "wanted": "yes", "answer": "no",
              "loss": 0.8 + at / 1000, "tokens": 10} for at in range(N)]  # fmt: skip
    home.lines("adjacent/sums.tuned", worse)
    home.figures("adjacent/sums.tuned", {"n": N})
    (found,), _ = judged(home, {**TASK, "metric": "loss"})
    assert (found.better, found.state) == ("lower", "dropped")
    assert found.difference.value > 0


def test_many_tasks_are_read_together_so_that_one_bad_draw_among_them_is_no_drop(home: Home) -> None:
    tasks = []
    for at in range(10):
        name = f"task-{at}"
        home.sent(["yes"] * N, part=f"adjacent/{name}")
        home.brought(f"adjacent/{name}.base", right(90, N), ["yes"] * N)
        home.brought(f"adjacent/{name}.tuned", right(84 if at == 0 else 90, N), ["yes"] * N)
        tasks.append({**TASK, "name": name})
    (alone,), _ = judged(home, tasks[0])
    together, _ = judged(home, *tasks)
    assert alone.state == "dropped"  # 6 of 6 the same way: p = 0.03
    assert together[0].state == "may have dropped"


def test_a_task_that_did_not_come_home_is_told(home: Home) -> None:
    home.brought("adjacent/sums.base", right(90, N), ["yes"] * N)
    found, warnings = judged(home, TASK)
    assert found == ()
    assert warnings == ["adjacent task sums was not measured before and after"]


def test_only_the_asked_share_of_the_rows_is_expected(home: Home) -> None:
    for arm in ("base", "tuned"):
        home.brought(f"adjacent/sums.{arm}", right(20, 20), ["yes"] * 20)
    assert judged(home, {**TASK, "limit": 20})[1] == []
    assert "of 100 items that we sent 20 came home" in judged(home, TASK)[1][0]


@pytest.mark.parametrize(("after", "state"), [(0.50, "dropped"), (0.56, "may have dropped"), (0.60, "held")])
def test_a_harness_is_judged_by_its_figures_and_their_errors(home: Home, after: float, state: str) -> None:
    home.figures("adjacent/trivia.base", {"n": 400, "metrics": {"acc": 0.60}, "stderr": {"acc": 0.0245}})
    home.figures("adjacent/trivia.tuned", {"n": 400, "metrics": {"acc": after}, "stderr": {"acc": 0.0245}})
    (found,), warnings = judged(home, HARNESS)
    assert (found.state, found.metric, found.difference.p) == (state, "acc", None)
    assert warnings == []


def test_a_harness_without_errors_has_those_of_a_share(home: Home) -> None:
    for arm, value in (("base", 0.6), ("tuned", 0.5)):
        home.figures(f"adjacent/trivia.{arm}", {"n": 400, "metrics": {"acc": value}})
    (found,), _ = judged(home, HARNESS)
    assert found.difference.low == pytest.approx(-0.1 - 1.96 * 0.035, abs=1e-3)


def test_a_figure_that_the_harness_did_not_tell_is_named_with_those_that_it_did(home: Home) -> None:
    for arm in ("base", "tuned"):
        home.figures(f"adjacent/trivia.{arm}", {"n": 400, "metrics": {"f1": 0.5, "em": 0.4}})
    found, warnings = judged(home, HARNESS)
    assert found == ()
    assert warnings == ["adjacent task trivia: the harness told no acc (it told: em, f1)"]
