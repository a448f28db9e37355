"""ROUGE-L: how much of a text's word order another text keeps (C.-Y. Lin, ROUGE, ACL workshop 2004, section 3)."""

from __future__ import annotations

import re

from .fields import composed

# Chinese and Japanese write no spaces between words: there each sign counts as one.
WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")


def words(text: str) -> list[str]:
    """Runs of letters and digits, in lower case; no stemming."""
    return WORD.findall(composed(text).lower())


def rouge_l(answer: str, wanted: str) -> float:
    """F1 of precision and recall of the longest common subsequence of words; 1 where neither has any."""
    said, target = words(answer), words(wanted)
    if not said and not target:
        return 1.0
    return 2 * shared(said, target) / (len(said) + len(target))


def shared(one: list[str], other: list[str]) -> int:
    """The length of the longest common subsequence, by the bits of one whole number (H. Hyyro, 2004)."""
    places: dict[str, int] = {}
    for at, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << at
    every = (1 << len(one)) - 1
    row = every
    for word in other:
        match = row & places.get(word, 0)
        row = ((row + match) | (row - match)) & every
    return len(one) - row.bit_count()
