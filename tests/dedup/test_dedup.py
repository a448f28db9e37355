"""The benchmark's bars, on a part of it; and what docs/data.md shows is what is measured."""

from collections import Counter

import pytest

from jobs.qlora.dataset.embed import STATIC_THRESHOLD
from jobs.qlora.dataset.leaks import without_leaks
from tests.dedup.__main__ import GRID, RESULT, chosen_threshold, judged_line
from tests.dedup.judge import Score, jaccard, ours, planted, rows_of, score
from tests.dedup.made import Made, made
from tests.jobs.qlora.dataset.asked import static

PRECISION, RECALL = 0.95, 0.90


@pytest.mark.parametrize("half", ["chosen", "judged", "unseen"])
def test_repeats_are_found_and_other_facts_are_kept(half: str) -> None:
    rows = made(half, 1500)
    found = score(rows, ours(rows, static()))
    assert found.precision >= PRECISION
    assert found.recall >= RECALL


def test_no_row_of_a_classification_is_lost_to_another_fact() -> None:
    rows = made("judged", 300, labels=True)
    assert score(rows, ours(rows, static())).precision == 1


def test_paraphrases_of_test_questions_are_found_in_train() -> None:
    rows = made("judged", 1000)
    train, test, leaked = planted(rows)
    gone = {one.dropped.line for one in without_leaks(train, "train", test, "test", static()).dropped}
    assert len(leaked) > 50
    assert len(gone & leaked) / len(leaked) >= RECALL
    assert len(gone & leaked) / len(gone) >= PRECISION


def test_the_page_shows_what_is_measured() -> None:
    assert judged_line(static()) in RESULT.read_text()


def test_the_threshold_that_ships_is_the_one_that_the_rule_chooses() -> None:
    rows = made("chosen", 1500)
    near = [threshold for threshold in GRID if 0.2 <= threshold <= 0.4]
    found = {threshold: score(rows, ours(rows, static(), threshold)) for threshold in near}
    assert abs(chosen_threshold(found) - STATIC_THRESHOLD) <= 0.05, "on a smaller draw within a step of the grid"


def test_the_rows_are_what_they_claim_to_be() -> None:
    rows = made("judged", 1000)
    assert rows == made("judged", 1000), "seeded"
    facts: dict[int, list[Made]] = {}
    for row in rows:
        facts.setdefault(row.fact, []).append(row)
    repeats = len(rows) - len(facts)
    assert 0.4 < repeats / len(rows) < 0.7
    assert sum(row.neighbour for row in rows) > 300, "hard negatives"
    assert len({row.question for row in rows}) == len(rows), "no repeat is found by a hash"
    pairs = [(one[0].question.split(), one[1].question.split()) for one in facts.values() if len(one) > 1]
    shared = sorted(jaccard(frozenset(a), frozenset(b)) for a, b in pairs)
    assert shared[len(shared) // 2] < 0.4, "paraphrases share few words"
    assert min(Counter(row.style for row in rows).values()) > 50, "every style"
    assert len(rows_of(rows)) == 1000


def test_a_score_counts_a_row_that_was_dropped_for_another_fact_as_wrong() -> None:
    rows = [Made("q", "t", fact, "f", "text", "plain", False) for fact in (1, 1, 2, 2)]
    assert score(rows, [(1, 0), (3, 0)]) == Score(dropped=2, right=1, repeats=2)
    assert (score(rows, [(1, 0), (3, 0)]).precision, score(rows, []).precision) == (0.5, 1.0)
