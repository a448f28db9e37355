"""Exact cosines of all pairs, block by block: 50,000 rows need no index and no gigabytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 2048
"""Rows of a block: a block against a block is 16 MiB of float32, which caches and laptops like."""


def close_pairs(
    spaces: Sequence[tuple[NDArray[np.float32], float]], marks: Sequence[int] | None = None
) -> Iterator[tuple[int, int]]:
    """Pairs (early, late) whose cosine reaches the threshold in each space, and whose marks are equal.

    `spaces`: unit rows of (n, size) with a threshold each. By blocks of the upper triangle, so each pair comes once.
    """
    # Late: commands that touch no data must start without numpy.
    import numpy as np

    count = len(spaces[0][0])
    signs = np.asarray(marks if marks is not None else [0] * count, np.int64)
    for top in range(0, count, BLOCK):
        for left in range(top, count, BLOCK):
            rows, columns = slice(top, top + BLOCK), slice(left, left + BLOCK)
            near = signs[rows, None] == signs[None, columns]
            for vectors, threshold in spaces:
                if near.any():
                    near &= vectors[rows] @ vectors[columns].T >= threshold
            for one, two in zip(*np.nonzero(near), strict=True):
                early, late = top + int(one), left + int(two)
                if early < late:
                    yield early, late
