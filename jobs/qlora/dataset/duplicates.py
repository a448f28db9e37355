"""Drop rows that say again what a row before them says: the same after normalising, then close with equal answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .embed import Embedder
from .report import Dropped
from .rows import Row


@dataclass(frozen=True)
class Sifted:
    """The rows that stay, in their order, and each that does not with the one it was dropped for."""

    kept: tuple[Row, ...]
    dropped: tuple[Dropped, ...] = ()


def without_exact(rows: Sequence[Row], part: str) -> Sifted:
    """Rows whose question and target are those of an earlier row, but for case, whitespace and punctuation, go."""
    raise NotImplementedError


def without_near(rows: Sequence[Row], part: str, embedder: Embedder, threshold: float | None = None) -> Sifted:
    """Rows that ask nearly what an earlier kept row asks AND are answered the same go; `threshold` None: its own."""
    raise NotImplementedError
