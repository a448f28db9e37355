"""Measure how rows spread: clusters in the embedding space, their sizes, what most rows are like and what is rare."""

from __future__ import annotations

from collections.abc import Sequence

from .embed import Embedder
from .report import Diversity
from .rows import Row


def diversity(rows: Sequence[Row], embedder: Embedder) -> Diversity:
    """Clusters of the rows' questions, the same for the same rows in the same order; any number of rows, none too."""
    raise NotImplementedError
