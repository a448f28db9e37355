"""Simpler ways to find repeats, on the same rows: equal targets alone, and questions alone by cosine."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jobs.qlora.dataset.agreement import canonical
from jobs.qlora.dataset.blocks import close_pairs
from jobs.qlora.dataset.duplicates import without_exact
from jobs.qlora.dataset.embed import Embedder, unit
from tests.dedup.judge import Score, rows_of, score
from tests.dedup.made import Made

Pairs = list[tuple[int, int]]
SIZE = 4096
"""Buckets of hashed character n-grams."""
GRID = tuple(at / 100 for at in range(40, 100, 5))


def by_hash(made: Sequence[Made]) -> Pairs:
    """Equal after normalising."""
    return [(one.dropped.line, one.kept.line) for one in without_exact(rows_of(made), "train").dropped]


def by_target(made: Sequence[Made]) -> Pairs:
    """Equal targets, whatever is asked."""
    first: dict[str, int] = {}
    return [(at, kept) for at, one in enumerate(made) if (kept := first.setdefault(canonical(one.target), at)) != at]


def by_question(vectors: NDArray[np.float32], threshold: float) -> Pairs:
    """Close questions, whatever is answered: what most tools do; against kept rows only, as ours."""
    gone: dict[int, int] = {}
    for early, late in sorted(close_pairs([(vectors, threshold)]), key=lambda pair: (pair[1], pair[0])):
        if late not in gone and early not in gone:
            gone[late] = early
    return sorted(gone.items())


def embedded(made: Sequence[Made], embedder: Embedder) -> NDArray[np.float32]:
    """Unit rows of the questions."""
    return embedder.vectors([one.question for one in made])


def n_grams(made: Sequence[Made]) -> NDArray[np.float32]:
    """TF-IDF of character 3- to 5-grams, hashed."""
    rows = np.zeros((len(made), SIZE), np.float32)
    for at, one in enumerate(made):
        text = f" {re.sub(r'[^a-z0-9]+', ' ', one.question.lower()).strip()} "
        grams = [text[start : start + size] for size in (3, 4, 5) for start in range(len(text) - size + 1)]
        buckets, counts = np.unique([zlib.crc32(gram.encode()) % SIZE for gram in grams], return_counts=True)
        rows[at, buckets] = np.sqrt(counts)
    return unit(rows * np.log((1 + len(made)) / (1 + (rows > 0).sum(0))).astype(np.float32))


def best_threshold(made: Sequence[Made], vectors: NDArray[np.float32]) -> float:
    """Of the grid, the one with the best F1."""

    def f1(found: Score) -> float:
        return 2 * found.precision * found.recall / max(1e-9, found.precision + found.recall)

    return max(GRID, key=lambda threshold: f1(score(made, by_question(vectors, threshold))))
