"""Take out of a part what another part, that judges it, asks too: by the question only, whatever the answer."""

from __future__ import annotations

from collections.abc import Sequence

from .duplicates import Sifted
from .embed import Embedder
from .rows import Row


def without_leaks(
    rows: Sequence[Row], part: str, held_out: Sequence[Row], held_out_part: str, embedder: Embedder | None = None
) -> Sifted:
    """Rows of `part` whose question stands in `held_out`, exactly or (with an embedder) nearly, go; stage "leak".

    Call it for train against test, train against validation, validation against test.
    """
    raise NotImplementedError
