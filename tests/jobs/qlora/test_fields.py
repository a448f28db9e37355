"""JSON compared field by field: nested objects and lists, what is missing and what is invented."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from jobs.qlora.fields import DEEPEST, as_json, counted, invented, missing, same_shape


def totals(answer: Any, wanted: Any) -> tuple[int, int, int]:
    counts = counted(json.dumps(answer), json.dumps(wanted))
    assert counts is not None
    return counts.tp.total(), counts.fp.total(), counts.fn.total()


ITEMS = [{"name": "tent", "price": 5}, {"name": "lamp", "price": 7}]


@pytest.mark.parametrize(
    ("answer", "wanted", "found"),
    [
        ({"items": ITEMS}, {"items": ITEMS}, (4, 0, 0)),
        ({"items": ITEMS[::-1]}, {"items": ITEMS}, (4, 0, 0)),
        ({"items": [{"name": "tent", "price": 7}, {"name": "lamp", "price": 5}]}, {"items": ITEMS}, (2, 2, 2)),
        ({"items": ITEMS[1:]}, {"items": ITEMS}, (2, 0, 2)),
        ({"items": [*ITEMS, {"name": "rope", "price": 7}]}, {"items": ITEMS}, (4, 2, 0)),
        ({"items": [{"name": "lamp", "price": 8}]}, {"items": ITEMS}, (1, 1, 3)),
        ({"tags": ["a", "a", "b"]}, {"tags": ["b", "a"]}, (2, 1, 0)),
        ([[1, 2], [3]], [[3], [2, 1]], (3, 0, 0)),
        ({"a": {"b": 1, "c": 2}}, {"a": 5}, (0, 2, 1)),
        ({"a": []}, {"a": []}, (1, 0, 0)),
        ({"a": {}}, {"a": [1]}, (0, 1, 1)),
        ({"a": None}, {"a": None}, (1, 0, 0)),
        ({"a": True}, {"a": 1}, (0, 1, 1)),
        ({"a": "1"}, {"a": 1}, (0, 1, 1)),
        ({"a": 1.0}, {"a": 1}, (1, 0, 0)),
        ({"a": "Yes"}, {"a": "yes"}, (0, 1, 1)),
        ({"a": "x "}, {"a": "x"}, (0, 1, 1)),
    ],
)
def test_leaves_are_right_wrong_or_missing(answer: Any, wanted: Any, found: tuple[int, int, int]) -> None:
    assert totals(answer, wanted) == found


def test_a_field_has_a_name_that_cannot_be_another_ones() -> None:
    counts = counted("{}", '{"a":{"b":[{"c":1}]},"a/b":2,"~":3}')
    assert counts
    assert not counts.tp
    assert set(counts.fn) == {"a/b[]/c", "a~1b", "~0"}


def test_what_is_no_record_has_no_fields_and_an_answer_that_is_no_json_misses_all() -> None:
    assert counted("5", "5") is None
    assert counted("yes", "yes") is None
    broken = counted("sorry", '{"a":1,"b":2}')
    assert broken
    assert (broken.tp.total(), broken.fp.total(), broken.fn.total()) == (0, 0, 2)


def test_missing_and_invented_fields_are_named_whatever_their_values() -> None:
    wanted = '{"a":1,"items":[{"n":1},{"n":2}]}'
    answer = '{"a":9,"items":[{"n":1,"m":1}]}'
    assert missing(answer, wanted) == ("items[]/n",)
    assert invented(answer, wanted) == ("items[]/m",)
    assert missing("no", '{"a":1}') == ("a",)
    assert invented("no", '{"a":1}') == ()


@pytest.mark.parametrize(
    ("answer", "same"),
    [
        ('{"a":7,"b":["y"]}', True),
        ('{"a":7.5,"b":[]}', True),
        ('{"a":null,"b":["y"]}', True),
        ('{"a":"7","b":["y"]}', False),
        ('{"a":7,"b":[1]}', False),
        ('{"a":7}', False),
        ('{"a":7,"b":["y"],"c":1}', False),
        ("[]", False),
        ("seven", False),
    ],
)
def test_the_same_shape_is_the_same_keys_and_types(answer: str, same: bool) -> None:
    assert same_shape(answer, '{"a":1,"b":["x","z"]}') is same


@pytest.mark.parametrize(
    "text", ["NaN", '{"a":Infinity}', '{"a":1,"a":1}', "[1", "1" * 5000, '{"a":1e99999999999999999999}']
)
def test_what_is_not_json_is_not_taken_for_it(text: str) -> None:
    assert as_json(text) == (False, None)


@pytest.mark.parametrize("levels", [DEEPEST + 1, 900, 200_000])
def test_no_nesting_overflows_a_stack(levels: int) -> None:
    assert not as_json("[" * levels + "]" * levels)[0]
    assert as_json("[" * DEEPEST + "]" * DEEPEST)[0]


def test_two_long_lists_without_an_equal_element_are_compared_in_time() -> None:
    began = time.monotonic()
    one, other = ([{"n": at, "m": {"k": at}} for at in range(start, start + 4000)] for start in (0, 10_000))
    assert totals(one, other) == (0, 8000, 8000)
    assert time.monotonic() - began < 5
