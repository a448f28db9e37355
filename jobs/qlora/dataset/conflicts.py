"""List rows that ask the same and are answered differently; a person decides which one is right, nothing is removed."""

from __future__ import annotations

from collections.abc import Sequence

from .embed import Embedder
from .report import Conflict
from .rows import Row


def conflicts(rows: Sequence[Row], embedder: Embedder | None = None) -> tuple[Conflict, ...]:
    """Groups of rows with the same question (normalised; with an embedder also nearly so) and differing targets."""
    raise NotImplementedError
