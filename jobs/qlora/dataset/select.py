"""Choose a small subset that covers all: k-centre greedy over the embeddings."""

from __future__ import annotations

from collections.abc import Sequence

from .duplicates import Sifted
from .embed import Embedder
from .rows import Row


def selected(rows: Sequence[Row], part: str, count: int, embedder: Embedder) -> Sifted:
    """`count` rows that differ from each other as much as they can, in their order; all where there are no more.

    Each row that is not chosen is told with the chosen one that stands closest to it (stage "select").
    """
    raise NotImplementedError
