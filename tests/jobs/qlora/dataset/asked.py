"""Rows and an embedder for tests of what looks for closeness: a row a line, vectors that the test says."""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from jobs.qlora.dataset.embed import Embedder, embedder, unit
from jobs.qlora.dataset.rows import Row


def row(question: str, target: str, line: int = 1, *, system: str = "", file: str = "train.jsonl") -> Row:
    """One question and its answer."""
    head = (("system", system),) if system else ()
    return Row(messages=(*head, ("user", question), ("assistant", target)), line=line, file=file)


def rows(*pairs: tuple[str, str]) -> list[Row]:
    """Questions with their answers, from line 1 on."""
    return [row(question, target, line) for line, (question, target) in enumerate(pairs, 1)]


def lines(found: Sequence[Row]) -> list[int]:
    """Where the rows stood."""
    return [one.line for one in found]


@cache
def static() -> Embedder:
    """The one that ships, loaded once."""
    return embedder("static")


class Placed:
    """An embedder of which a test says where each text lies."""

    name = "placed"

    def __init__(self, places: Mapping[str, Sequence[float]], threshold: float = 0.9) -> None:
        self._places, self.threshold = places, threshold

    def fitted(self, texts: Sequence[str]) -> Embedder:
        """Itself."""
        return self

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Where they lie."""
        return unit(np.array([self._places[text] for text in texts], np.float32))
