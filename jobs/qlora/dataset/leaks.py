"""Take out of a part what another part, that judges it, asks too: by the question only, and by a paraphrase of it."""

from __future__ import annotations

from collections.abc import Sequence

from .agreement import Said, known_names, same_words
from .blocks import close_across
from .duplicates import Same, Sifted, question_key, told
from .embed import Embedder
from .report import Dropped
from .rows import Row

SAME_QUESTION = 0.9
"""The cosine from which two questions may be the same one whatever is answered; the words decide (tests/dedup)."""


def without_leaks(
    rows: Sequence[Row], part: str, held_out: Sequence[Row], held_out_part: str, embedder: Embedder | None = None
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
        leaks = {**_same_questions(rows, held_out, embedder), **_paraphrases(rows, held_out, embedder), **leaks}
    dropped: list[Dropped] = [
        told("leak", rows[at], part, (row, held_out_part), similarity)
        for at, (row, similarity) in sorted(leaks.items())
    ]
    return Sifted(tuple(row for at, row in enumerate(rows) if at not in leaks), tuple(dropped))


def _same_questions(rows: Sequence[Row], held_out: Sequence[Row], embedder: Embedder) -> dict[int, tuple[Row, float]]:
    """Rows that ask a held-out question in the same words, whatever is answered."""
    known = known_names(row.asked for row in (*rows, *held_out))
    ours, theirs = (embedder.vectors([row.asked for row in part]) for part in (rows, held_out))
    said = [Said(row.asked, known) for row in held_out]
    found: dict[int, tuple[Row, float]] = {}
    for at, others in close_across(ours, theirs, SAME_QUESTION):
        asked = Said(rows[at].asked, known)
        other = next((other for other in others if same_words(asked, said[other])), None)
        if other is not None:
            found[at] = (held_out[other], float(ours[at] @ theirs[other]))
    return found


def _paraphrases(rows: Sequence[Row], held_out: Sequence[Row], embedder: Embedder) -> dict[int, tuple[Row, float]]:
    """Rows that ask a held-out question in other words, told by the answer that they share."""
    same = Same.of([*held_out, *rows], embedder, embedder.threshold)
    border = len(held_out)
    found: dict[int, tuple[Row, float]] = {}
    for late, earlier in same.candidates().items():
        for early in sorted(at for at in earlier if at < border <= late):
            if (similarity := same.verdict(early, late)) is not None:
                found[late - border] = (held_out[early], similarity)
                break
    return found
