"""Classification: labels are compared as people mean them, and rare ones weigh as much as frequent ones."""

from __future__ import annotations

import pytest

from jobs.qlora.labels import confusion, label


@pytest.mark.parametrize(
    "text", ["Very Good", " very\n good ", '"very good"', "very good.", "`Very good.`", "“Very good.”"]
)
def test_a_label_is_the_same_however_it_is_dressed(text: str) -> None:
    assert label(text) == "very good"


def test_an_explanation_is_no_label() -> None:
    assert label("good, since it works") != "good"
    assert label("v1.0") == "v1.0"


def test_the_confusion_counts_rows_by_wanted_and_columns_by_answered_label() -> None:
    found = confusion([("a", "a"), ("A.", "a"), ("b", "a"), ("b", "b"), ("dog", "b"), ("a", "c")])
    assert found.labels == ("a", "b", "c")
    assert found.counts == ((2, 1, 0, 0), (0, 1, 0, 1), (1, 0, 0, 0))
    assert found.accuracy == pytest.approx(3 / 6)
    # By hand: a 2*2/(3+3), b 2*1/(2+2), c 0.
    assert found.macro_f1 == pytest.approx((4 / 6 + 2 / 4 + 0) / 3)


def test_always_saying_the_frequent_label_has_a_good_accuracy_and_a_bad_macro_f1() -> None:
    found = confusion([("no", "no")] * 9 + [("no", "yes")])
    assert found.accuracy == pytest.approx(0.9)
    assert found.macro_f1 == pytest.approx((18 / 19) / 2)
