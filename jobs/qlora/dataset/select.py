"""Choose a small subset that covers all: k-centre greedy over the embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .duplicates import Sifted, told
from .embed import Embedder
from .rows import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

NEIGHBOURS = 2
"""A row whose second neighbour is already far stands alone: one neighbour may be its own slip of the pen."""
ODD_SHARE = 0.02
"""So many of the loneliest rows are chosen last: noise lies far from everything, and k-centre loves what does
(assumed). The few good rows among them are told as not chosen, as all others."""
BLOCK = 512
"""Rows that are compared with all others at once: 100 MB at 50,000 rows."""


def selected(rows: Sequence[Row], part: str, count: int, embedder: Embedder) -> Sifted:
    """`count` rows that differ from each other as much as they can, in their order; all where there are no more.

    k-centre greedy (Gonzalez 1985: at most twice the best covering radius): first the row closest to the middle of
    all, then always the row that is farthest from those chosen. The loneliest 2 % are left out while others remain.
    Each row that is not chosen is told with the chosen one that stands closest to it (stage "select").
    """
    if count >= len(rows):
        return Sifted(tuple(rows))
    vectors = embedder.vectors([row.asked for row in rows])
    usual = usual_rows(vectors, count)
    chosen = sorted(usual[at] for at in spread(vectors[usual], count))
    others = sorted(set(range(len(rows))) - set(chosen))
    dropped = []
    for start in range(0, len(others), BLOCK):
        block = others[start : start + BLOCK]
        cosines = vectors[block] @ vectors[chosen].T
        for at, closest, cosine in zip(block, cosines.argmax(1), cosines.max(1), strict=True):
            dropped.append(told("select", rows[at], part, (rows[chosen[int(closest)]], part), float(cosine)))
    return Sifted(tuple(rows[at] for at in chosen), tuple(dropped))


def spread(vectors: Vectors, count: int) -> list[int]:
    """Places of `count` rows, greedily far from each other; O(rows x count). Ties go to the first row."""
    # Late: commands that touch no data must start without numpy.
    import numpy as np

    chosen = [int((vectors @ vectors.mean(0)).argmax())]
    closest = vectors @ vectors[chosen[0]]
    closest[chosen[0]] = np.inf
    while len(chosen) < min(count, len(vectors)):
        farthest = int(closest.argmin())
        chosen.append(farthest)
        np.maximum(closest, vectors @ vectors[farthest], out=closest)
        closest[farthest] = np.inf
    return chosen


def usual_rows(vectors: Vectors, count: int) -> list[int]:
    """Places of the rows that do not stand alone: all but the loneliest 2 %, and never fewer than `count`."""
    # Late, as above.
    import numpy as np

    spare = min(int(ODD_SHARE * len(vectors)), len(vectors) - count)
    if spare <= 0 or len(vectors) <= NEIGHBOURS:
        return list(range(len(vectors)))
    company = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), BLOCK):
        cosines = vectors[start : start + BLOCK] @ vectors.T
        here = np.arange(len(cosines))
        cosines[here, start + here] = -np.inf
        for _ in range(NEIGHBOURS - 1):
            cosines[here, cosines.argmax(1)] = -np.inf
        company[start : start + BLOCK] = cosines.max(1)
    lonely = np.argsort(company, kind="stable")[:spare]
    return sorted(set(range(len(vectors))) - {int(at) for at in lonely})
