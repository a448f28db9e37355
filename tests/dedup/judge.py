"""Precision and recall of a way to find repeats: of the rows that it dropped, and of those that it should have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.qlora.dataset.duplicates import without_exact, without_near
from jobs.qlora.dataset.embed import Embedder
from jobs.qlora.dataset.rows import Row
from tests.dedup.made import Made


def rows_of(made: Sequence[Made]) -> list[Row]:
    """As the product takes them; the line is the place in the list."""
    return [
        Row(messages=(("user", one.question), ("assistant", one.target)), line=at, file="bench")
        for at, one in enumerate(made)
    ]


@dataclass(frozen=True)
class Score:
    """How many rows were dropped, how many of them rightly, and how many rows repeat a fact that stands before."""

    dropped: int
    right: int
    repeats: int

    @property
    def precision(self) -> float:
        """Of the dropped, the share that says the same fact as the row it was dropped for."""
        return self.right / self.dropped if self.dropped else 1.0

    @property
    def recall(self) -> float:
        """Of the repeats, the share that is gone."""
        return self.right / self.repeats if self.repeats else 1.0


def score(made: Sequence[Made], pairs: Sequence[tuple[int, int]]) -> Score:
    """`pairs`: the dropped row and the one it was dropped for, by their places."""
    right = sum(made[gone].fact == made[kept].fact for gone, kept in pairs)
    return Score(len(pairs), right, len(made) - len({one.fact for one in made}))


def ours(made: Sequence[Made], embedder: Embedder, threshold: float | None = None) -> list[tuple[int, int]]:
    """What the product drops: exactly, then nearly."""
    exact = without_exact(rows_of(made), "train")
    near = without_near(exact.kept, "train", embedder, threshold)
    return [(one.dropped.line, one.kept.line) for one in (*exact.dropped, *near.dropped)]


def planted(made: Sequence[Made]) -> tuple[list[Row], list[Row], set[int]]:
    """Train, test, and the lines of the train rows that say a fact of the test: each fifth fact's first row is one."""
    train: list[Row] = []
    test: list[Row] = []
    seen: set[int] = set()
    for row, one in zip(rows_of(made), made, strict=True):
        held_out = one.fact % 5 == 0 and one.fact not in seen
        (test if held_out else train).append(row)
        seen.add(one.fact)
    return train, test, {row.line for row in train if made[row.line].fact % 5 == 0}


def overlap(made: Sequence[Made]) -> tuple[list[float], list[float]]:
    """Shares of words in common: of repeats with the fact's first row; of rows with the closest row of another fact."""
    words = [frozenset(re.findall(r"\w+", one.question.lower())) for one in made]
    first: dict[int, int] = {}
    same, other = [], []
    for at, one in enumerate(made):
        kept = first.setdefault(one.fact, at)
        if kept != at:
            same.append(jaccard(words[at], words[kept]))
    for at in range(0, len(made), 10):
        rivals = (place for place, one in enumerate(made) if one.frame == made[at].frame and one.fact != made[at].fact)
        other.append(max(jaccard(words[at], words[place]) for place in rivals))
    return same, other


def jaccard(one: frozenset[str], two: frozenset[str]) -> float:
    """The share of their words that both have."""
    return len(one & two) / len(one | two)
