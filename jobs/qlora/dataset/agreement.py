"""Say when two texts agree: the same after normalising, as JSON, or in the facts that they state."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass
from functools import cached_property, lru_cache

from .rows import Row

WORD = re.compile(r"\w+(?:['’]\w+)*")
SENTENCE = re.compile(r"\n+|(?<=[.!?。！？])\s+")
NUMBER = re.compile(r"(?<![\w.,])(\d+(?:[.,]\d+)*)(?:[a-zA-Z]{1,2})?(?!\w)")
CODE = re.compile(r"(?<!\w)(?=\w*\d)[^\W\d]\w{2,}(?!\w)|(?<!\w)\d\w*[^\W\d]\w*\d\w*(?!\w)")
"""A word with a digit in it, as an article number, a serial number or `call_7`; not `b4`."""
MOSTLY = 0.8
"""A text whose words more than so often begin with a capital is a headline, or shouts: capitals mark no names there."""
SMALL = frozenset(
    [
        "a",
        "an",
        "the",
        "to",
        "of",
        "in",
        "on",
        "at",
        "for",
        "from",
        "by",
        "with",
        "and",
        "or",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "has",
        "have",
        "had",
        "i",
        "my",
        "me",
        "we",
        "our",
        "us",
        "you",
        "your",
        "it",
        "its",
        "this",
        "that",
        "these",
        "those",
        "do",
        "does",
        "did",
        "can",
        "could",
        "would",
        "will",
        "should",
        "shall",
        "may",
        "please",
        "pls",
        "kindly",
        "hi",
        "hello",
        "hey",
        "there",
        "dear",
        "team",
        "thanks",
        "thank",
        "cheers",
        "regards",
        "kind",
        "many",
        "good",
        "morning",
        "so",
        "just",
        "really",
        "very",
        "then",
        "here",
        "now",
    ]
)
"""English words that change no question's meaning; `not`, `no` and every word that names a thing are not among them."""


KEPT_TEXTS = 1 << 16
"""Texts whose normalised form is remembered: each stage asks for it again."""


@lru_cache(KEPT_TEXTS)
def normalised(text: str) -> str:
    """NFKC, case folded, without punctuation, single spaces; the text itself where it is nothing but punctuation.

    Signs that carry a value stay: 1.5 is not 15, -3 is not 3, C++ is not C; 1,200 is 1200.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = re.sub(r"[^\w\s+<>=*/^%$€£#.,-]", " ", re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", folded))
    kept = re.sub(r"[.,](?!\d)|-(?!\d)|(?<=\w)-", " ", kept)
    return " ".join(kept.split()) or " ".join(folded.split())


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


SIGNS = re.compile(r"[<>=+]+|!=")
"""Signs that turn the meaning of code, of a formula, of a query."""
FULL_NAME = re.compile(r"(?<=[a-z,] )[A-Z][a-z]+(?: [A-Z][a-z]+)+")
"""A first and a last name inside a sentence: two nouns of German or two words of SQL hardly ever stand so."""
STEM = 4
"""Letters that forms of a word share (assumed)."""
OPERATORS = re.compile(r"[-<>=+*/%^|&~]")
ARROW = re.compile(r"-+>|=+>|<-+")
NEGATIONS = frozenset(
    ["not", "no", "never", "none", "nothing", "nobody", "neither", "nor", "without", "cannot", "unless"]
)
PRONOUNS = frozenset(["i", "my", "me", "we", "our", "us", "you", "your"])
"""Small words in a question; in an answer they are a part of what it says: "we are tired" is no "they are tired"."""
UNSPACED = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
"""Thai, Kana and Han, which write no spaces: there words, and so names and slips, cannot be told apart."""
_SPELLED = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
DIGITS = {word: str(number) for number, word in enumerate(_SPELLED, 2)}
"""Numbers that are mostly written as words; "one" is mostly none."""
PRICED = re.compile(r"(\d[\d.,]*)\s?[A-Z]{2,4}\b")
"""A number and a unit in capitals, as in 935 EUR or 16 GB: that is no name either."""
UNITS = frozenset(["celsius", "fahrenheit", "kelvin", "euro", "euros", "dollar", "dollars"])
"""Written with a capital, and no names: 20 °C is 20 degrees Celsius."""


@dataclass(frozen=True)
class Said:
    """A text with what is read off it, once."""

    text: str
    known: frozenset[str] = frozenset()
    """Names, by `known_names`: they are names in lower case and at a sentence's beginning too."""

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Its words, folded."""
        found = WORD.findall(unicodedata.normalize("NFKC", self.text))
        # Interned, since a word stands in thousands of rows: of 50,000 rows this is 400 MB.
        bare = (word.casefold().removesuffix("'s").removesuffix("’s") for word in found)
        return tuple(sys.intern(DIGITS.get(word, word)) for word in bare)

    @property
    def content(self) -> frozenset[str]:
        """Its words without the small ones."""
        return frozenset(self.words) - SMALL or frozenset(self.words)

    @cached_property
    def numbers(self) -> frozenset[str]:
        """Numbers and codes in it: 1,200 as 1200, 3rd and three as 3, XJ-40 by its parts."""
        text = unicodedata.normalize("NFKC", self.text)
        plain = {re.sub(r",(?=\d{3}(?:\D|$))", "", found).lstrip("0") or "0" for found in NUMBER.findall(text)}
        spelled = {DIGITS[word] for word in map(str.casefold, WORD.findall(text)) if word in DIGITS}
        return frozenset(plain | spelled | {code.casefold() for code in CODE.findall(text)})

    @cached_property
    def signs(self) -> tuple[str, ...]:
        """Its signs that carry a value, in order."""
        return tuple(SIGNS.findall(ARROW.sub(" ", self.text)))

    @property
    def full_names(self) -> frozenset[str]:
        """Names of people and places in two words and more."""
        return frozenset(FULL_NAME.findall(self.text))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Its words that are known names, in order."""
        return self.ordered(self.known)

    @cached_property
    def key(self) -> tuple[frozenset[str], str]:
        """What texts of the `same_words` have in common for certain: numbers, and the words' first letters."""
        return self.numbers, "".join(sorted(word[0] for word in self.content))

    def ordered(self, marks: Set[str]) -> tuple[str, ...]:
        """Those of its words that are marks, as they come."""
        return tuple(word for word in self.words if word in marks)

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """Its lines and sentences."""
        return tuple(part.strip() for part in SENTENCE.split(self.text) if part.strip())


class Reader:
    """What is read off each text, once, where all texts of a job decide which words are names."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._known = known_names(texts)
        self._said: dict[str, Said] = {}

    def said(self, text: str) -> Said:
        """The text as it is compared."""
        found = self._said.get(text)
        if found is None:
            found = self._said[text] = Said(text, self._known)
        return found


def reader_of(rows: Iterable[Row]) -> Reader:
    """The reader of these rows' questions and answers."""
    return Reader(text for row in rows for text in (row.asked, row.target))


def known_names(texts: Iterable[str]) -> frozenset[str]:
    """Words that these texts write with a capital inside a sentence more often than in lower case, folded."""
    inside: Counter[str] = Counter()
    lower: Counter[str] = Counter()
    for text in texts:
        inside.update(capitals(text))
        lower.update(word for word in WORD.findall(text) if word.islower())
    return frozenset(word for word, count in inside.items() if count > lower[word]) - UNITS - SMALL


def capitals(text: str) -> list[str]:
    """Words of two letters and more with a capital inside a sentence; none in a headline, where it marks nothing."""
    words = WORD.findall(text)
    if len(words) > 3 and sum(word[0].isupper() for word in words) > MOSTLY * len(words):
        return []
    text = PRICED.sub(r"\1", text)
    inside = (word for sentence in SENTENCE.split(text) for word in WORD.findall(sentence)[1:])
    return [
        word.casefold().removesuffix("'s").removesuffix("’s") for word in inside if len(word) > 1 and word[0].isupper()
    ]


def same_facts(one: Said, two: Said) -> bool:
    """The same numbers, codes and signs in both, and each name of the one said in the other too, but for a slip.

    Where the words are the same, their names and numbers also have to come in the same order.
    """
    if one.numbers != two.numbers or one.signs != two.signs or not (named_in(one, two) and named_in(two, one)):
        return False
    marks = {*one.names, *two.names, *one.numbers}
    return one.content != two.content or one.ordered(marks) == two.ordered(marks)


def differ_harmlessly(answers: tuple[Said, Said], asked: tuple[Said, Said]) -> bool:
    """Whether one of two answers holds all that the other says, but for words of the questions, with the same signs.

    Never where they write no spaces, or one says no and the other does not, or the same words come in another order,
    or each holds what its own question alone asks about: SELECT price for the price, SELECT total for the total.
    """
    one, two = answers
    if not same_sense(one, two) or UNSPACED.search(one.text + two.text):
        return False
    first, second = ([word for word in said.words if word in PRONOUNS or word not in SMALL] for said in answers)
    left, right = {*first} - {*second}, {*second} - {*first}
    if not left and not right:
        return first == second and OPERATORS.findall(one.text) == OPERATORS.findall(two.text)
    own, other = {*asked[0].words}, {*asked[1].words}
    if not _same_stems(left & own - other, right & other - own):
        return False
    return not left - own - other or not right - own - other


def _same_stems(one: Set[str], two: Set[str]) -> bool:
    """Whether either is empty, or they are forms of the same words: founded, founder."""
    return not one or not two or {word[:STEM] for word in one} == {word[:STEM] for word in two}


def same_sense(one: Said, two: Said) -> bool:
    """The same signs, and no as often."""
    return one.signs == two.signs and negations(one) == negations(two)


def negations(said: Said) -> int:
    """How often it says no."""
    return sum(word in NEGATIONS or word.endswith(("n't", "n’t")) for word in said.words)


def named_in(one: Said, two: Said) -> bool:
    """Whether each name of the one is a word of the other."""
    return all(name in two.words or any(slip(name, word) for word in two.words) for name in one.names)


def same_words(one: Said, two: Said) -> bool:
    """The same words but for small ones, slips and order; names and numbers in the same order.

    The order of names keeps "Ann pays Bob" and "Bob pays Ann" apart.
    """
    marks = {*one.names, *two.names, *one.numbers, *two.numbers}
    if one.numbers != two.numbers or one.ordered(marks) != two.ordered(marks):
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


def slip(one: str, two: str) -> bool:
    """One letter lost or doubled, or two that changed places, after the first, in a word of five letters and more."""
    short, long = sorted((one, two), key=len)
    if one == two or len(long) < 5 or any(sign.isdigit() for sign in one + two):
        return one == two
    at = next((at for at, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    lost = len(long) == len(short) + 1 and short[at:] == long[at + 1 :]
    turned = (
        len(long) == len(short) and short[at : at + 2] == long[at : at + 2][::-1] and short[at + 2 :] == long[at + 2 :]
    )
    return at > 0 and (lost or turned)
