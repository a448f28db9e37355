"""Precision and recall of a way to find repeats: of the rows that it dropped, and of those that it should have."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.qlora.dataset.duplicates import Sifted, without_exact, without_near
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
