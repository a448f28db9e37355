"""Take out of a part what another part, that judges it, asks too: by the question only, and by a paraphrase of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from .agreement import Reader, Said, reader_of, same_words
from .duplicates import Same, Sifted, question_key, told
from .embed import Embedder
from .report import Dropped
from .rows import Row


def without_leaks(
    rows: Sequence[Row],
    part: str,
    held_out: Sequence[Row],
    held_out_part: str,
    embedder: Embedder | None = None,
    *,
    reader: Reader | None = None,
) -> Sifted:
    """Rows of `part` whose question stands in `held_out`, exactly or (with an embedder) nearly, go; stage "leak".

    Exactly: the same after normalising. Nearly, whatever the answer: the same words but for small ones, slips and
    order. As a paraphrase: by the rule of near repeats (`duplicates.Same`), so with the answer that the test wants. A
    question with another number or name is another question: templated rows stay.
    Call it for train against test, train against validation, validation against test.
    """
    first: dict[object, Row] = {}
    for row in held_out:
        first.setdefault(question_key(row), row)
    leaks: dict[int, tuple[Row, float]] = {
        at: (first[key], 1.0) for at, row in enumerate(rows) if (key := question_key(row)) in first
    }
    if embedder is not None and rows and held_out:
        reader = reader or reader_of([*held_out, *rows])
        same = Same.of([*held_out, *rows], embedder, embedder.threshold, reader)
        leaks = {**_same_questions(rows, held_out, embedder, reader), **_paraphrases(same, len(held_out)), **leaks}
    dropped: list[Dropped] = [
        told("leak", rows[at], part, (row, held_out_part), similarity)
        for at, (row, similarity) in sorted(leaks.items())
    ]
    return Sifted(tuple(row for at, row in enumerate(rows) if at not in leaks), tuple(dropped))


def _same_questions(
    rows: Sequence[Row], held_out: Sequence[Row], embedder: Embedder, reader: Reader
) -> dict[int, tuple[Row, float]]:
    """Rows that ask a held-out question in the same words, whatever is answered."""
    places: dict[Any, list[tuple[int, Said]]] = defaultdict(list)
    for other, row in enumerate(held_out):
        said = reader.said(row.asked)
        places[said.key].append((other, said))
    pairs: dict[int, int] = {}
    for at, row in enumerate(rows):
        asked = reader.said(row.asked)
        match = next((other for other, said in places.get(asked.key, ()) if same_words(asked, said)), None)
        if match is not None:
            pairs[at] = match
    ours = embedder.vectors([rows[at].asked for at in pairs])
    theirs = embedder.vectors([held_out[other].asked for other in pairs.values()])
    cosines = (ours * theirs).sum(1)
    return {at: (held_out[other], float(cosine)) for (at, other), cosine in zip(pairs.items(), cosines, strict=True)}


def _paraphrases(same: Same, border: int) -> dict[int, tuple[Row, float]]:
    """Rows (from `border` on) that ask a held-out question in other words, told by the answer that they share."""
    found: dict[int, tuple[Row, float]] = {}
    for late, earlier in same.candidates(border).items():
        for early in sorted(earlier):
            if (similarity := same.verdict(early, late)) is not None:
                found[late - border] = (same.rows[early], similarity)
                break
    return found
