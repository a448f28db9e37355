"""Exact cosines of all pairs, block by block: 50,000 rows need no index and no gigabytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

BLOCK = 2048
"""Rows of a block: a block against a block is 16 MiB of float32, which caches and laptops like."""


def close_pairs(
    spaces: Sequence[tuple[Vectors, float]], marks: Sequence[int] | None = None, border: int | None = None
) -> Iterator[tuple[int, int]]:
    """Pairs (early, late) whose cosine reaches the threshold in each space, and whose marks are equal.

    `spaces`: unit rows of (n, size) with a threshold each; the one that fewest pairs pass comes first, since only what
    passes it is looked at in the others. `border`: only pairs with early < border <= late. Each pair comes once.
    """
    count = len(spaces[0][0])
    alike: dict[int, list[int]] = defaultdict(list)
    for at in range(count):
        alike[0 if marks is None else marks[at]].append(at)
    for members in alike.values():
        if border is None:
            yield from _within(spaces, members)
        else:
            yield from _between(spaces, [at for at in members if at < border], [at for at in members if at >= border])


def _within(spaces: Sequence[tuple[Vectors, float]], members: Sequence[int]) -> Iterator[tuple[int, int]]:
    """By blocks of the upper triangle."""
    blocks = [members[start : start + BLOCK] for start in range(0, len(members), BLOCK)] if len(members) > 1 else []
    for top, rows in enumerate(blocks):
        for columns in blocks[top:]:
            yield from (pair for pair in _close(spaces, rows, columns) if pair[0] < pair[1])


def _between(
    spaces: Sequence[tuple[Vectors, float]], early: Sequence[int], late: Sequence[int]
) -> Iterator[tuple[int, int]]:
    for top in range(0, len(early), BLOCK):
        for left in range(0, len(late), BLOCK):
            yield from _close(spaces, early[top : top + BLOCK], late[left : left + BLOCK])


def _close(
    spaces: Sequence[tuple[Vectors, float]], rows: Sequence[int], columns: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """The pairs of two blocks: one product of all with all, the other spaces for what is left of it."""
    # Late: commands that touch no data must start without numpy.
    import numpy as np

    (vectors, threshold), *others = spaces
    one, two = np.asarray(rows), np.asarray(columns)
    places = np.flatnonzero(vectors[one] @ vectors[two].T >= threshold)
    early, late = one[places // len(two)], two[places % len(two)]
    for vectors, threshold in others:
        near = np.concatenate(
            [
                np.einsum("ij,ij->i", vectors[early[at : at + BLOCK]], vectors[late[at : at + BLOCK]]) >= threshold
                for at in range(0, max(1, len(early)), BLOCK)
            ]
        )
        early, late = early[near], late[near]
    yield from zip(early.tolist(), late.tolist(), strict=True)
