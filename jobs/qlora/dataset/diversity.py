"""Measure how rows spread: clusters in the embedding space, their sizes, what most rows are like and what is rare."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from typing import TYPE_CHECKING

from .embed import Embedder
from .report import TEXT_CAP, Cluster, Diversity, Place
from .rows import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

ALIKE_ADDS = 0.3
"""Above the embedder's threshold: the cosine from which two rows are of one kind. With the static embedder .60, the
median of the benchmark's paraphrases; rows of one template with other facts mostly reach it too."""
SHOWN = 5
"""Clusters of each end that are told."""
BLOCK = 512


def diversity(rows: Sequence[Row], embedder: Embedder) -> Diversity:
    """Clusters of the rows' questions, the same for the same rows in the same order; any number of rows, none too.

    A row that is close to no leader becomes one (leader clustering at a fixed cosine, so that rows that are all alike
    are one cluster, and no number of clusters is presumed); then each row goes to its closest leader. The effective
    number is exp of the entropy of the sizes (Hill number of order 1). A cluster is told by its leader.
    """
    if not rows:
        return Diversity(rows=0, clusters=0, effective=0.0, largest_share=0.0, largest=(), rare=())
    vectors = embedder.vectors([row.asked for row in rows])
    leaders = leading(vectors, embedder.threshold + ALIKE_ADDS)
    sizes = [0] * len(leaders)
    for start in range(0, len(rows), BLOCK):
        for home in (vectors[start : start + BLOCK] @ vectors[leaders].T).argmax(1):
            sizes[home] += 1
    found = [
        Cluster(size, Place(rows[at].file, rows[at].line), rows[at].asked[:TEXT_CAP])
        for at, size in zip(leaders, sizes, strict=True)
        if size
    ]
    found.sort(key=lambda cluster: -cluster.size)
    shares = [cluster.size / len(rows) for cluster in found]
    rare = min(SHOWN, len(found) // 2)
    return Diversity(
        rows=len(rows),
        clusters=len(found),
        effective=round(exp(-sum(share * log(share) for share in shares)), 2),
        largest_share=round(shares[0], 4),
        largest=tuple(found[: min(SHOWN, len(found) - rare)]),
        rare=tuple(found[len(found) - rare :][::-1]),
    )


def leading(vectors: Vectors, alike: float) -> list[int]:
    """Places of the rows whose cosine with every earlier leader is below `alike`."""
    leaders: list[int] = []
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK]
        free = [at for at in range(len(block)) if not leaders]
        if leaders:
            free = [int(at) for at in ((block @ vectors[leaders].T).max(1) < alike).nonzero()[0]]
        among = block[free] @ block[free].T
        chosen: list[int] = []
        for place in range(len(free)):
            if not chosen or among[place, chosen].max() < alike:
                chosen.append(place)
        leaders += [start + free[place] for place in chosen]
    return leaders
