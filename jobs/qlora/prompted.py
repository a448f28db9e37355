"""What tuning has to beat: the base with a written prompt and examples, the best of them by validation rows alone."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from .rouge import words
from .score import FIGURES, LOWER_IS_BETTER, misfit
from .template import Pair, Turn, folded

VALIDATION_ROWS = 50
"""So many validation rows, at most, are asked with each prompt: 95 % of the time a share is right to 0.14 there, which
tells a good prompt from a bad one; two good ones may as well be mistaken for each other."""
DRAWS = 2
"""Of examples, for each system text: one draw may be lucky or not."""
POOL = 400
"""Training pairs, drawn by their hash, among which examples are looked for."""
LONG = 2
"""Examples are no longer than so many times the median training pair: they are read again with every request."""


@dataclass(frozen=True)
class Way:
    """A way to put a question: a system text, and examples as turns before it."""

    system: str = ""
    examples: tuple[Pair, ...] = ()
    number: int = 0
    """Which of the system texts."""
    draw: int = 0

    @property
    def shots(self) -> list[Turn]:
        """The examples' turns."""
        return [turn for example in self.examples for turn in example["prompt"] + example["completion"]]

    def put(self, prompt: Sequence[Turn]) -> list[Turn]:
        """The turns that are asked; the system text opens the first user turn, as in training."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return folded([*system, *self.shots, *prompt])


BARE = Way()


@dataclass(frozen=True)
class Tried:
    """What one way reached on the validation rows, and how many tokens its prompts had there."""

    way: Way
    metric: str
    """The figure that decides."""
    metrics: Mapping[str, float]
    tokens: int

    def line(self) -> dict[str, object]:
        """As eval/prompted.json has it."""
        shots, draw = len(self.way.examples), self.way.draw
        named = {"system": self.way.number, "shots": shots, "draw": draw}
        return {**named, "metric": self.metric, "value": self.metrics[self.metric], "prompt_tokens": self.tokens}


def ways_count(texts: int, shots: int) -> int:
    """How many ways are tried: each system text without examples, and with each draw of them."""
    return texts * (1 + (DRAWS if shots else 0))


def ways_of(texts: Sequence[str], train: Sequence[Pair], shots: int, seed: int) -> list[Way]:
    """All of them; those without examples first."""
    draws = [examples(train, shots, seed, draw) for draw in range(1, DRAWS + 1)] if shots and train else []
    plain = [Way(system=text.strip(), number=number) for number, text in enumerate(texts)]
    more = [replace(way, examples=tuple(some), draw=at) for at, some in enumerate(draws, 1) for way in plain]
    return [*plain, *more]


def examples(train: Sequence[Pair], shots: int, seed: int, draw: int) -> list[Pair]:
    """So many training pairs, short and as different from each other as they can be; the same for the same seed.

    Of the pairs (those of a single question where there are any), those of more than LONG times the median length are
    left out; POOL of the rest are drawn by their hash. The first is taken, then always one whose answer was taken least
    often, of these the one that is farthest from those taken: half by the words of the question, half by those of the
    answer. So of few labels each comes once before one comes twice.
    """
    single = [pair for pair in train if len(pair["prompt"]) == 1] or list(train)
    longest = LONG * median(map(length, single))
    short = [pair for pair in single if length(pair) <= longest]
    pool = sorted(short, key=lambda pair: lot(pair, seed, draw))[:POOL]
    bags, answers = [bag(pair) for pair in pool], [pair["completion"][0]["content"] for pair in pool]
    taken: list[int] = []
    given = Counter[str]()
    away = [1.0] * len(pool)
    while len(taken) < min(shots, len(pool)):
        left = (at for at in range(len(pool)) if at not in taken)
        at = max(left, key=lambda at: (-given[answers[at]], away[at], -at))
        taken.append(at)
        given[answers[at]] += 1
        away = [min(known, distance(bags[at], other)) for known, other in zip(away, bags, strict=True)]
    return [pool[at] for at in taken]


def length(pair: Pair) -> int:
    """Characters of question and answer."""
    return sum(len(turn["content"]) for turn in pair["prompt"] + pair["completion"])


def lot(pair: Pair, seed: int, draw: int) -> str:
    """A pair's place in a draw."""
    return hashlib.sha256(f"{seed}\n{draw}\n{json.dumps(pair, sort_keys=True)}".encode()).hexdigest()


def bag(pair: Pair) -> tuple[frozenset[str], frozenset[str]]:
    """The words of the question, and those of the answer."""
    asked, answered = (" ".join(turn["content"] for turn in pair[part]) for part in ("prompt", "completion"))
    return frozenset(words(asked)), frozenset(words(answered))


def distance(one: tuple[frozenset[str], ...], other: tuple[frozenset[str], ...]) -> float:
    """0 for the same words to 1 for none in common (the mean of two Jaccard distances)."""
    return sum(1 - len(a & b) / max(len(a | b), 1) if a or b else 0.0 for a, b in zip(one, other, strict=True)) / 2


def tuning_rows(validation: Sequence[Pair], seed: int) -> list[Pair]:
    """The validation pairs that choose the prompt: all, or VALIDATION_ROWS of them, drawn by their hash."""
    chosen = set(sorted(range(len(validation)), key=lambda at: lot(validation[at], seed, 0))[:VALIDATION_ROWS])
    return [pair for at, pair in enumerate(validation) if at in chosen]


def deciding(metrics: Sequence[str], targets: Sequence[str]) -> str:
    """The figure by which a prompt is chosen: the first metric's first; exact match where it does not fit the rows."""
    return "exact" if misfit(metrics[0], targets) else FIGURES[metrics[0]][0]


def best(tried: Sequence[Tried]) -> int:
    """The place of the best by the figure that decides.

    Of equal ones (on a hard task none may have an exact match) by the other figures, in the order in which the job asks
    for them; then that with fewer tokens, then the earlier one.
    """

    def rank(at: int) -> tuple[list[float], int, int]:
        one = tried[at]
        figures = {one.metric: one.metrics[one.metric], **one.metrics}
        return [value if name in LOWER_IS_BETTER else -value for name, value in figures.items()], one.tokens, at

    return min(range(len(tried)), key=rank)


def shortened(ways: Sequence[Way], fits: Callable[[Way], bool]) -> Iterator[Way]:
    """The ways with as many of their examples as the model's context holds; none twice, and none that never fits."""
    seen: list[Way] = []
    for way in ways:
        left = next((some for some in fewer(way) if fits(some)), None)
        if left is not None and left not in seen:
            seen.append(left)
            yield left


def fewer(way: Way) -> Iterator[Way]:
    """A way with all of its examples, then with one less each time."""
    for many in range(len(way.examples), -1, -1):
        yield replace(way, examples=way.examples[:many], draw=way.draw if many else 0)
