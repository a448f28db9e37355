"""What tuning has to beat: which ways of asking the base are tried, with which examples, and how one is chosen."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from jobs.qlora.prompted import (
    DRAWS,
    VALIDATION_ROWS,
    Tried,
    Way,
    best,
    deciding,
    examples,
    length,
    shortened,
    tuning_rows,
    ways_count,
    ways_of,
)

ORDERS = ("tent", "lamp", "sofa", "bicycle", "camera")


def pair(asked: str, wanted: str) -> Any:
    return {"prompt": [{"role": "user", "content": asked}], "completion": [{"role": "assistant", "content": wanted}]}


def train(many: int = 60) -> list[Any]:
    return [pair(f"Order {at}: the {ORDERS[at % 5]} is broken", f"order {at}") for at in range(many)]


@pytest.mark.parametrize(("texts", "shots"), [(1, 0), (1, 3), (4, 3)])
def test_each_text_is_tried_without_examples_and_with_each_draw_of_them(texts: int, shots: int) -> None:
    ways = ways_of([f"text {at}" for at in range(texts)], train(), shots, 17)
    assert len(ways) == ways_count(texts, shots) == texts * (3 if shots else 1)
    assert [len(way.examples) for way in ways[:texts]] == [0] * texts
    assert all(len(way.examples) == shots for way in ways[texts:])
    assert {way.draw for way in ways} == (set(range(DRAWS + 1)) if shots else {0})


def test_two_draws_of_examples_differ_and_each_is_the_same_again() -> None:
    first, second = examples(train(), 4, 17, 1), examples(train(), 4, 17, 2)
    assert first != second
    assert first == examples(train()[::-1], 4, 17, 1), "the order of the file says nothing"
    assert first != examples(train(), 4, 18, 1)


def test_examples_are_as_different_as_they_can_be() -> None:
    same = [pair(f"Where is parcel {at}?", "status") for at in range(50)]
    rare = [pair("Cancel it please", "cancel"), pair("I want my money back", "refund")]
    for draw in (1, 2):
        found = examples([*same, *rare], 3, 17, draw)
        assert {one["completion"][0]["content"] for one in found} == {"status", "cancel", "refund"}


def test_of_few_labels_each_comes_once_before_one_comes_twice() -> None:
    rows = [pair(f"review {at} of a thing", ("good", "bad", "fair", "odd")[at % 4]) for at in range(80)]
    for draw in (1, 2):
        counts = Counter(one["completion"][0]["content"] for one in examples(rows, 8, 17, draw))
        assert set(counts.values()) == {2}


def test_examples_are_short_and_of_one_question_where_there_are_such() -> None:
    long = [pair("long " * 300 + str(at), "x") for at in range(10)]
    turns = [{**pair("again", "x"), "prompt": [{"role": "user", "content": "a"}] * 3} for _ in range(20)]
    rows = [*train(), *long, *turns]
    found = examples(rows, 30, 17, 1)
    assert all(len(one["prompt"]) == 1 and length(one) < 100 for one in found)
    assert len(found) == 30
    assert len(examples(turns, 3, 17, 1)) == 3


@pytest.mark.parametrize(("many", "shots", "found"), [(60, 5, 5), (4, 8, 4), (1, 3, 1), (0, 3, 0)])
def test_there_are_no_more_examples_than_rows(many: int, shots: int, found: int) -> None:
    ways = ways_of(["text"], train(many), shots, 17)
    assert max(len(way.examples) for way in ways) == found


def test_a_question_is_put_after_the_examples_and_the_text_opens_the_first_turn() -> None:
    way = Way(system="Be brief.", examples=(pair("one?", "1"), pair("two?", "2")))
    asked = way.put([{"role": "user", "content": "three?"}])
    assert [turn["role"] for turn in asked] == ["user", "assistant", "user", "assistant", "user"]
    assert [turn["content"] for turn in asked] == ["Be brief.\n\none?", "1", "two?", "2", "three?"]
    assert Way(system="Be brief.").put([{"role": "user", "content": "x"}])[0]["content"] == "Be brief.\n\nx"
    assert Way().put([{"role": "user", "content": "x"}]) == [{"role": "user", "content": "x"}]


def tried(figures: dict[str, float], tokens: int, metric: str = "exact") -> Tried:
    return Tried(way=Way(), metric=metric, metrics=figures, tokens=tokens)


@pytest.mark.parametrize(
    ("some", "chosen"),
    [
        ([tried({"exact": 0.2}, 5), tried({"exact": 0.4}, 900), tried({"exact": 0.3}, 5)], 1),
        ([tried({"exact": 0.4}, 9), tried({"exact": 0.4}, 5), tried({"exact": 0.4}, 5)], 1),
        ([tried({"exact": 0.0, "partial": 0.1}, 5), tried({"exact": 0.0, "partial": 0.3}, 900)], 1),
        ([tried({"exact": 0.9, "loss": 2.0}, 5, "loss"), tried({"exact": 0.1, "loss": 1.0}, 9, "loss")], 1),
        ([tried({"exact": 0.5, "loss": 2.0}, 5), tried({"exact": 0.5, "loss": 1.0}, 9)], 1),
    ],
)
def test_the_best_is_that_of_the_deciding_figure_then_of_the_others_then_the_shortest(
    some: list[Tried], chosen: int
) -> None:
    assert best(some) == chosen


def test_the_first_metric_decides_unless_it_does_not_fit_the_rows() -> None:
    assert deciding(("json_fields", "exact"), ['{"a": 1}'] * 20) == "field_f1"
    assert deciding(("json_fields", "exact"), ["text"] * 20) == "exact"
    assert deciding(("loss",), ["text"]) == "loss"
    assert deciding(("classification",), ["yes", "no"] * 10) == "accuracy"


def test_a_bounded_number_of_validation_rows_is_asked_in_their_order() -> None:
    rows = train(200)
    found = tuning_rows(rows, 17)
    assert len(found) == VALIDATION_ROWS
    assert [rows.index(one) for one in found] == sorted(rows.index(one) for one in found)
    assert found != rows[:VALIDATION_ROWS]
    assert tuning_rows(rows[:3], 17) == rows[:3]


def test_a_way_that_does_not_fit_loses_examples_and_never_becomes_one_that_is_tried_already() -> None:
    ways = ways_of(["text"], train(), 4, 17)
    assert [len(way.examples) for way in shortened(ways, lambda way: len(way.examples) <= 2)] == [0, 2, 2]
    assert [len(way.examples) for way in shortened(ways, lambda way: not way.examples)] == [0]
    assert list(shortened(ways, lambda _way: False)) == []
