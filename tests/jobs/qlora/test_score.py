"""The figures of an arm: an answer counts as right when it says the same, and nothing is repaired to make it so."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from jobs.qlora.score import FIGURES, NORMALISED, exact, field_counts, metrics_of, misfit, partial, perplexity, value_of


def item(answer: str, wanted: str, loss: float = 1.0, tokens: int = 1) -> dict[str, Any]:
    return {"answer": answer, "wanted": wanted, "loss": loss, "tokens": tokens}


@pytest.mark.parametrize(
    ("answer", "same"),
    [
        ('{"a":"1","b":[1,2]}', True),
        ('{ "b": [1.0, 2], "a": "1" }', True),
        ('{"a":"1","b":[2,1]}', False),
        ('{"a":"1","b":[true,2]}', False),
        ('{"a":1,"b":[1,2]}', False),
        ('{"a":"1 ","b":[1,2]}', False),
        ('{"a":"1","b":[1,2]', False),
        ('{"a":"1","b":[1,2]} and more', False),
        ('{"a":"0","a":"1","b":[1,2]}', False),
        ("", False),
    ],
)
def test_exact_compares_the_json_and_not_its_spelling(answer: str, same: bool) -> None:
    assert exact(answer, '{"a":"1","b":[1,2]}') is same


def test_text_is_compared_without_the_spaces_around_it_and_an_accent_is_the_same_however_it_is_typed() -> None:
    assert exact(" yes \n", "yes")
    assert not exact("Yes", "yes")
    assert not exact('"yes"', "yes")
    assert exact("Ame\u0301lie", "Am\u00e9lie")
    assert exact('{"name":"Ame\u0301lie"}', '{"name":"Am\u00e9lie"}')


@pytest.mark.parametrize(
    ("answer", "f1"),
    [
        ('{"a":"1","b":{"c":"2"}}', 1.0),
        ('{"a":"1","b":{"c":"3"}}', 0.5),
        ('{"a":"1"}', 2 / 3),
        ('{"a":"1","b":{"c":"2"},"x":"1","y":"1"}', 2 / 3),
        ("not json", 0.0),
        ("[1]", 0.0),
    ],
)
def test_partial_is_the_f1_of_the_fields(answer: str, f1: float) -> None:
    assert partial(answer, '{"a":"1","b":{"c":"2"}}') == pytest.approx(f1)


@pytest.mark.parametrize(
    ("answer", "wanted", "points"), [("yes", "yes", 1.0), ("no", "yes", 0.0), ("{}", "{}", 1.0), ("[1]", "{}", 0.0)]
)
def test_partial_without_fields_is_all_or_nothing(answer: str, wanted: str, points: float) -> None:
    assert partial(answer, wanted) == points


def test_field_f1_weighs_each_field_and_partial_each_item() -> None:
    items = [item('{"a":1}', '{"a":1}'), item('{"a":0,"b":0,"c":0}', '{"a":1,"b":1,"c":1}')]
    found = metrics_of(items, ["json_fields"])
    assert found["field_f1"] == pytest.approx(1 / 4)
    assert found["partial"] == pytest.approx(1 / 2)
    assert found["json_valid"] == 1.0


def test_the_loss_of_a_long_answer_weighs_more_and_is_always_there() -> None:
    found = metrics_of([item("", "x", loss=2.0, tokens=3), item("", "y", loss=6.0, tokens=1)], ["exact"])
    assert found == {"exact": 0.0, "loss": 3.0}
    assert perplexity(3.0) == pytest.approx(math.e**3)
    assert perplexity(1e6) == math.inf


def test_a_figure_that_nothing_can_be_measured_by_is_left_out() -> None:
    assert metrics_of([item("good", "good")], ["exact", "json_fields"]) == {"exact": 1.0, "partial": 1.0, "loss": 1.0}
    assert metrics_of([], ["exact"]) == {}


def test_each_metric_has_its_figures_and_each_figure_says_what_is_normalised() -> None:
    items = [item("yes", "yes"), item("No.", "no"), item("maybe so", "no")]
    found = metrics_of(items, list(FIGURES))
    assert {name for names in FIGURES.values() for name in names} == NORMALISED.keys()
    assert found["accuracy"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["rouge_l"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["exact"] == pytest.approx(1 / 3, abs=1e-6)


@pytest.mark.parametrize("figure", ["exact", "partial", "json_valid", "accuracy", "rouge_l"])
def test_a_figure_that_is_a_mean_is_the_mean_of_its_items(figure: str) -> None:
    items = [item('{"a":1,"b":2}', '{"a":1,"b":3}'), item("{", '{"a":1}'), item('{"a":5}', '{"a":5}')]
    values = [value_of(one, figure) for one in items]
    assert None not in values
    assert metrics_of(items, list(FIGURES))[figure] == pytest.approx(sum(filter(None, values)) / 3, abs=1e-6)


def test_counts_of_all_items_add_up_by_field() -> None:
    counts = field_counts([item('{"a":1,"b":1}', '{"a":1,"b":2}'), item('{"a":1,"x":1}', '{"a":1,"b":2}')])
    assert counts.of("a").f1 == 1.0
    assert counts.of("b").precision == 0.0
    assert counts.of("b").recall == 0.0
    assert counts.of("x").recall is None
    assert counts.recall == pytest.approx(2 / 4)


@pytest.mark.parametrize(
    ("metric", "targets", "fits"),
    [
        ("json_fields", ['{"a":1}', "text"], True),
        ("json_fields", ['{"a":1}', "text", "more text"], False),
        ("json_fields", ["1", "2"], False),
        ("classification", ["yes", "No", "no."] * 5, True),
        ("classification", [f"answer {at}" for at in range(10)], False),
        ("classification", [f"answer {at}" for at in range(51)] * 3, False),
        ("classification", ["a", "b", "c"], True),
        ("rouge_l", ["...", "?!"], False),
        ("rouge_l", ["a word"], True),
        ("exact", ["anything"], True),
        ("loss", ["anything"], True),
        ("json_fields", [], True),
    ],
)
def test_a_metric_that_says_nothing_about_the_wanted_answers_is_found(
    metric: str, targets: list[str], fits: bool
) -> None:
    why = misfit(metric, targets)
    assert (why == "") is fits
    assert fits or metric in why


def test_the_figures_are_numbers_that_json_can_hold() -> None:
    found = metrics_of([item('{"a":1.10}', '{"a":1.1}')], list(FIGURES))
    assert json.loads(json.dumps(found)) == found
    assert found["exact"] == 1.0
