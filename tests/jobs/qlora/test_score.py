"""An answer counts as right when it says the same, and nothing is repaired to make it so."""

from __future__ import annotations

import pytest

from jobs.qlora.score import canonical, exact, partial


@pytest.mark.parametrize(
    ("answer", "same"),
    [
        ('{"a":"1","b":"2"}', True),
        ('{ "b": "2", "a": "1" }', True),
        ('{"a":1,"b":"2"}', False),
        ('{"a":"1","b":"2"', False),
        ('{"a":"1","b":"2"} and more', False),
        ('{"a":"0","a":"1","b":"2"}', False),
        ("", False),
    ],
)
def test_exact_compares_the_json_and_not_its_spelling(answer: str, same: bool) -> None:
    assert exact(answer, '{"a":"1","b":"2"}') is same


def test_text_is_compared_without_the_spaces_around_it() -> None:
    assert exact(" yes \n", "yes")
    assert not exact("Yes", "yes")


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


def test_not_a_number_is_not_json() -> None:
    assert canonical('{"a": NaN}') == '{"a": NaN}'
