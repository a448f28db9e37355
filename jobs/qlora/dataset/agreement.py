"""Say when two texts agree: the same after normalising, as JSON, or in the facts that they state."""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

WORD = re.compile(r"\w+(?:['’]\w+)*")
SENTENCE = re.compile(r"\n+|(?<=[.!?。！？])\s+")
NUMBER = re.compile(r"(?<![\w.,])(\d+(?:[.,]\d+)*)(?:[a-zA-Z]{1,2})?(?!\w)")
CODE = re.compile(r"(?<!\w)(?=\w*\d)[^\W\d]\w{2,}(?!\w)|(?<!\w)\d\w*[^\W\d]\w*\d\w*(?!\w)")
"""A word with a digit in it, as an article number, a serial number or `call_7`; not `b4`."""
MOSTLY = 0.5
"""A text whose words more than so often begin with a capital is a headline, or shouts: capitals mark no names there."""
SMALL = frozenset(
    """a an the to of in on at for from by with and or is are was were be been has have had i my me we our us you your
    it its this that these those do does did can could would will should shall may please pls kindly hi hello hey there
    dear team thanks thank cheers regards kind many good morning so just really very then here now""".split()
)
"""English words that change no question's meaning; `not`, `no` and every word that names a thing are not among them."""


def normalised(text: str) -> str:
    """NFKC, case folded, punctuation and whitespace as single spaces; the text itself where nothing else is in it.

    A sign, decimal point or operator that touches a digit stays: 1.5 is not 15, -3 is not 3.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = re.sub(r"(?<!\d)[.,](?=\d)|(?<=\d)[.,](?!\d)|(?<=\d)[,](?=\d{3}\b)", " ", folded)
    words = re.sub(r"(?<!\w)-(?=\d)", "\0", kept)
    words = re.sub(r"[^\w\s\0+<>=*/^%$€£.,]|(?<!\d)[.,/](?!\d)|[.,](?!\d)", " ", words)
    return " ".join(words.replace("\0", "-").split()) or folded.strip()


def canonical(target: str) -> str:
    """A target as it is compared: JSON with sorted keys and no spaces, any other text normalised."""
    text = target.strip()
    if text[:1] in ("{", "["):
        try:
            return json.dumps(json.loads(text), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        except (ValueError, RecursionError):
            pass
    return normalised(text)


def is_json(target: str) -> bool:
    """Whether a canonical target is an object or a list: it is equal or not, there is no nearly."""
    return canonical(target)[:1] in ("{", "[")


@dataclass(frozen=True)
class Said:
    """A text with what is read off it, once."""

    text: str

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Its words, folded."""
        return tuple(word.casefold() for word in WORD.findall(unicodedata.normalize("NFKC", self.text)))

    @cached_property
    def content(self) -> frozenset[str]:
        """Its words without the small ones."""
        return frozenset(self.words) - SMALL or frozenset(self.words)

    @cached_property
    def numbers(self) -> frozenset[str]:
        """Numbers and codes in it: 1,200 as 1200, 3rd as 3, XJ-40 by its parts."""
        text = unicodedata.normalize("NFKC", self.text)
        plain = {re.sub(r",(?=\d{3}(?:\D|$))", "", found).lstrip("0") or "0" for found in NUMBER.findall(text)}
        return frozenset(plain | {code.casefold() for code in CODE.findall(text)})

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Words with a capital that no sentence begins with, in order, folded; none in a headline."""
        words = WORD.findall(self.text)
        capitals = [word for word in words if word[0].isupper()]
        if len(capitals) > MOSTLY * max(1, len(words)) and len(words) > 3:
            return ()
        names: list[str] = []
        for sentence in SENTENCE.split(self.text):
            found = WORD.findall(sentence)
            names += [word.casefold() for word in found[1:] if word[0].isupper() and word.casefold() not in SMALL]
        return tuple(names)

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """Its lines and sentences."""
        return tuple(part.strip() for part in SENTENCE.split(self.text) if part.strip())


def same_facts(one: Said, two: Said) -> bool:
    """The same numbers and codes in both, and each name of the one said in the other too, but for a slip."""
    return one.numbers == two.numbers and named_in(one, two) and named_in(two, one)


def named_in(one: Said, two: Said) -> bool:
    """Whether each name of the one is a word of the other."""
    return all(name in two.words or any(slip(name, word) for word in two.words) for name in one.names)


def same_words(one: Said, two: Said) -> bool:
    """The same words but for small ones, slips and order; names and numbers in the same order.

    The order of names keeps "Ann pays Bob" and "Bob pays Ann" apart.
    """
    if one.numbers != two.numbers or order(one) != order(two):
        return False
    left, right = one.content - two.content, two.content - one.content
    if len(left) != len(right):
        return False
    free = set(right)
    for word in sorted(left):
        match = next((other for other in sorted(free) if slip(word, other)), None)
        if match is None:
            return False
        free.discard(match)
    return True


def order(said: Said) -> tuple[str, ...]:
    """The content words of a text whose order tells who does what: its numbers and names as they come."""
    marks = set(said.names) | said.numbers
    return tuple(word for word in said.words if word in marks)


def slip(one: str, two: str) -> bool:
    """One letter lost, doubled or exchanged, or two that changed places, in a word of five letters and no digit."""
    if one == two:
        return True
    short, long = sorted((one, two), key=len)
    if len(short) < 4 or len(long) < 5 or len(long) - len(short) > 1 or any(sign.isdigit() for sign in one + two):
        return False
    start = next((at for at, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if start == 0:
        return False
    if len(short) < len(long):
        return short[start:] == long[start + 1 :]
    return short[start + 1 :] == long[start + 1 :] or (
        short[start : start + 2] == long[start : start + 2][::-1] and short[start + 2 :] == long[start + 2 :]
    )
