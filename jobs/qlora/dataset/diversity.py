"""Measure how rows spread: clusters in the embedding space, their sizes, what most rows are like and what is rare."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log, sqrt
from typing import TYPE_CHECKING

from .embed import Embedder, unit
from .report import TEXT_CAP, Cluster, Diversity, Place
from .rows import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_CLUSTERS = 100
"""Of 20,000 rows and more; of fewer, the square root of half of them (a rule of thumb): 12 of 300."""
ROUNDS = 25
"""Of k-means: it mostly stands still sooner."""
SHOWN = 5
"""Clusters of each end that are told."""


def diversity(rows: Sequence[Row], embedder: Embedder) -> Diversity:
    """Clusters of the rows' questions, the same for the same rows in the same order; any number of rows, none too.

    Spherical k-means with sqrt(n / 2) clusters, 100 at most, from a start that is no draw: k-centre greedy. The
    effective number is exp of the entropy of the sizes (Hill number of order 1), the row told of a cluster is the one
    that is closest to its middle.
    """
    if not rows:
        return Diversity(rows=0, clusters=0, effective=0.0, largest_share=0.0, largest=(), rare=())
    vectors = embedder.vectors([row.asked for row in rows])
    middles, home = k_means(vectors, min(MOST_CLUSTERS, max(1, round(sqrt(len(rows) / 2)))))
    found = []
    for number, middle in enumerate(middles):
        members = (home == number).nonzero()[0]
        if len(members):
            row = rows[int(members[(vectors[members] @ middle).argmax()])]
            found.append(Cluster(len(members), Place(row.file, row.line), row.asked[:TEXT_CAP]))
    found.sort(key=lambda cluster: -cluster.size)
    shares = [cluster.size / len(rows) for cluster in found]
    return Diversity(
        rows=len(rows),
        clusters=len(found),
        effective=round(exp(-sum(share * log(share) for share in shares)), 2),
        largest_share=round(shares[0], 4),
        largest=tuple(found[:SHOWN]),
        rare=tuple(found[: SHOWN - 1 : -1][:SHOWN]),
    )


def k_means(vectors: NDArray[np.float32], count: int) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Middles (unit rows of (count, size)) and the middle of each row, by cosine; ties go to the first."""
    # Late: `select` takes its start from the same space, and commands that touch no data start without numpy.
    import numpy as np

    from .select import spread

    middles = vectors[spread(vectors, count)].copy()
    home = (vectors @ middles.T).argmax(1)
    for _ in range(ROUNDS):
        sums = np.zeros_like(middles)
        np.add.at(sums, home, vectors)
        middles = unit(np.where(np.abs(sums).sum(1, keepdims=True) > 0, sums, middles))
        new = (vectors @ middles.T).argmax(1)
        if (new == home).all():
            break
        home = new
    return middles, home
