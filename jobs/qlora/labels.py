"""Answers that are one of a few labels: accuracy, macro-F1, and which label was taken for which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from .fields import composed

QUOTES = "\"'`\u201c\u201d\u2018\u2019"


def label(text: str) -> str:
    """A label without what does not tell it from others: case, runs of spaces, quotes around it, a full stop after."""
    bare = " ".join(composed(text).casefold().split())
    return bare.strip(QUOTES).removesuffix(".").strip(QUOTES).strip()


@dataclass(frozen=True)
class Confusion:
    """How often the label of a row was answered as the label of a column; the last column is "other".

    `labels` are those of the wanted answers, sorted; macro-F1 is their plain mean, so that a rare label weighs as much
    as a frequent one. An answer that is none of them counts against the recall of the wanted one.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @property
    def accuracy(self) -> float:
        """The share of right answers."""
        return sum(self.counts[at][at] for at in range(len(self.labels))) / sum(map(sum, self.counts))

    @property
    def macro_f1(self) -> float:
        """The mean over labels of 2 tp / (2 tp + fp + fn)."""
        wanted = [sum(row) for row in self.counts]
        said = [sum(row[at] for row in self.counts) for at in range(len(self.labels))]
        return fmean(2 * self.counts[at][at] / (wanted[at] + said[at]) for at in range(len(self.labels)))


def confusion(pairs: Iterable[tuple[str, str]]) -> Confusion:
    """Of (answer, wanted) texts, at least one."""
    seen = Counter((label(wanted), label(answer)) for answer, wanted in pairs)
    names = tuple(sorted({wanted for wanted, _ in seen}))
    rows = []
    for name in names:
        known = [seen[name, said] for said in names]
        everything = sum(count for (wanted, _), count in seen.items() if wanted == name)
        rows.append((*known, everything - sum(known)))
    return Confusion(labels=names, counts=tuple(rows))
