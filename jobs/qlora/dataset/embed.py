"""Turn texts into unit vectors whose cosine says how close two texts are; on a laptop's CPU, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """Whatever makes vectors of texts."""

    @property
    def name(self) -> str:
        """As `data.deduplicate.embedder` names it, and as the data report tells it."""

    @property
    def threshold(self) -> float:
        """The cosine from which two inputs are close, as measured for this embedder (docs/data.md)."""

    def fitted(self, texts: Sequence[str]) -> Embedder:
        """The same embedder, knowing which words these texts have in common and so tell little; may be itself."""

    def vectors(self, texts: Sequence[str]) -> Vectors:
        """float32, one row a text, each of length 1 (all zeros for a text with nothing in it)."""


def embedder(name: str) -> Embedder:
    """The embedder of this name: "static" ships with us, else a folder or a Hub name of a sentence-transformers model.

    Call `.fitted(asked of every row of every part)` on it once, then hand it to all stages: it remembers what it has
    embedded.

    Raises:
        DataError: wordllama (or transformers and torch) is not installed, or no model is there.
    """
    raise NotImplementedError
