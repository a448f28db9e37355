"""List rows that ask the same and are answered differently; a person decides which one is right, nothing is removed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from .agreement import Said, canonical, known_names, same_words
from .blocks import close_pairs
from .duplicates import hash_of, question_key
from .embed import Embedder
from .leaks import SAME_QUESTION
from .report import TEXT_CAP, Conflict, Place
from .rows import Row


def conflicts(rows: Sequence[Row], embedder: Embedder | None = None) -> tuple[Conflict, ...]:
    """Groups of rows with the same question (normalised; with an embedder also nearly so) and differing targets.

    Nearly: the same words but for small ones, slips and order, the same numbers and names. A row joins the group whose
    first row it asks the same as. Targets are compared as JSON or normalised; each distinct one is shown once.
    """
    groups = _groups(rows, embedder)
    return tuple(
        _told([rows[at] for at in members])
        for members in groups
        if len({canonical(rows[at].target) for at in members}) > 1
    )


def _groups(rows: Sequence[Row], embedder: Embedder | None) -> list[list[int]]:
    """Rows by the first row that asks the same, in the order of those."""
    first: dict[object, int] = {}
    leader = [first.setdefault(question_key(row), at) for at, row in enumerate(rows)]
    if embedder is not None:
        heads = sorted(first.values())
        near = _near(rows, heads, embedder)
        leader = [near.get(at, at) for at in leader]
    groups: dict[int, list[int]] = defaultdict(list)
    for at, head in enumerate(leader):
        groups[head].append(at)
    return [groups[head] for head in sorted(groups)]


def _near(rows: Sequence[Row], heads: Sequence[int], embedder: Embedder) -> dict[int, int]:
    """Heads that ask the same as an earlier head that is none such itself."""
    known = known_names(rows[at].asked for at in heads)
    said = {at: Said(rows[at].asked, known) for at in heads}
    vectors = embedder.vectors([rows[at].asked for at in heads])
    marks = [hash_of(said[at].numbers) for at in heads]
    near: dict[int, int] = {}
    for one, two in sorted(close_pairs([(vectors, SAME_QUESTION)], marks)):
        early, late = heads[one], heads[two]
        if early not in near and late not in near and same_words(said[early], said[late]):
            near[late] = early
    return near


def _told(rows: Sequence[Row]) -> Conflict:
    """One group, each distinct target once."""
    targets = {canonical(row.target): row.target[:TEXT_CAP] for row in reversed(rows)}
    return Conflict(
        places=tuple(Place(row.file, row.line) for row in rows),
        prompt=rows[0].asked[:TEXT_CAP],
        targets=tuple(reversed(targets.values())),
    )
