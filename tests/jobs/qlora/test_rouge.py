"""ROUGE-L against values worked out by hand, in the paper, and by the slow way."""

from __future__ import annotations

import random

import pytest

from jobs.qlora.rouge import rouge_l, shared


@pytest.mark.parametrize(
    ("answer", "wanted", "score"),
    [
        # Lin 2004, section 3.1: "police killed the gunman" against "police kill the gunman" (3 of 4 words in order),
        # and "the gunman kill police" (2 of 4).
        ("police kill the gunman", "police killed the gunman", 0.75),
        ("the gunman kill police", "police killed the gunman", 0.5),
        ("The cat sat.", "the cat sat on the mat", 2 * 3 / (3 + 6)),
        ("", "", 1.0),
        ("", "word", 0.0),
        ("...", "word", 0.0),
        ("snake_case", "snake case", 1.0),
        ("東京は大きい", "東京は小さい", 2 * 4 / 12),
    ],
)
def test_known_values(answer: str, wanted: str, score: float) -> None:
    assert rouge_l(answer, wanted) == pytest.approx(score)


def by_table(one: list[str], other: list[str]) -> int:
    row = [0] * (len(other) + 1)
    for word in one:
        above, row = row, [0]
        for at, also in enumerate(other):
            row.append(above[at] + 1 if word == also else max(above[at + 1], row[at]))
    return row[-1]


def test_the_bits_find_what_the_table_finds() -> None:
    draw = random.Random(7)
    for _ in range(200):
        one, other = (draw.choices("abcde", k=draw.randrange(90)) for _ in range(2))
        assert shared(one, other) == by_table(one, other)
