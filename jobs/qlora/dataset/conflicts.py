"""List rows that ask the same and are answered differently; a person decides which one is right, nothing is removed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from .agreement import Reader, Said, canonical, reader_of, same_words
from .duplicates import question_key
from .embed import Embedder
from .report import TEXT_CAP, Conflict, Place
from .rows import Row


def conflicts(
    rows: Sequence[Row], embedder: Embedder | None = None, reader: Reader | None = None
) -> tuple[Conflict, ...]:
    """Groups of rows with the same question (normalised; with an embedder also nearly so) and differing targets.

    Nearly: the same words but for small ones, slips and order, the same numbers and names. A row joins the group whose
    first row it asks the same as. Targets are compared as JSON or normalised; each distinct one is shown once.
    """
    groups = _groups(rows, None if embedder is None else reader or reader_of(rows))
    return tuple(
        _told([rows[at] for at in members])
        for members in groups
        if len({canonical(rows[at].target) for at in members}) > 1
    )


def _groups(rows: Sequence[Row], reader: Reader | None) -> list[list[int]]:
    """Rows by the first row that asks the same, in the order of those."""
    first: dict[object, int] = {}
    leader = [first.setdefault(question_key(row), at) for at, row in enumerate(rows)]
    if reader is not None:
        near = _same(rows, sorted(first.values()), reader)
        leader = [near.get(at, at) for at in leader]
    groups: dict[int, list[int]] = defaultdict(list)
    for at, head in enumerate(leader):
        groups[head].append(at)
    return [groups[head] for head in sorted(groups)]


def _same(rows: Sequence[Row], heads: Sequence[int], reader: Reader) -> dict[int, int]:
    """Heads that ask in the same words as an earlier head."""
    places: dict[Any, list[tuple[int, Said]]] = defaultdict(list)
    same: dict[int, int] = {}
    for at in heads:
        asked = reader.said(rows[at].asked)
        match = next((early for early, said in places[asked.key] if same_words(said, asked)), None)
        if match is None:
            places[asked.key].append((at, asked))
        else:
            same[at] = match
    return same


def _told(rows: Sequence[Row]) -> Conflict:
    """One group, each distinct target once."""
    targets: dict[str, str] = {}
    for row in rows:
        targets.setdefault(canonical(row.target), row.target[:TEXT_CAP])
    return Conflict(
        places=tuple(Place(row.file, row.line) for row in rows),
        prompt=rows[0].asked[:TEXT_CAP],
        targets=tuple(targets.values()),
    )
