"""Drop rows that say again what a row before them says: the same after normalising, then close with equal answers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .agreement import (
    UNSPACED,
    Reader,
    Said,
    canonical,
    differ_harmlessly,
    is_json,
    normalised,
    reader_of,
    same_facts,
    same_sense,
    same_words,
)
from .blocks import close_pairs
from .embed import Embedder
from .report import TEXT_CAP, Dropped, Place
from .rows import Row

LABEL_ROWS, LABEL_SHARE, FEWEST = 20, 0.01, 5
"""A target in 20 rows, in a small part in 1 % of them but at least 5, is a label: to share it tells little."""
LABELLED_PART = 0.5
"""Where so much of a part carries labels, the part is a classification, and a rare target is a rare label."""
SHORT_STATEMENT = 12
"""Words of an answer that is hardly more than the facts that it states (assumed)."""
STATEMENTS_CLOSE, ANSWERS_CLOSE = 0.3, 0.9
"""The cosine from which two free answers agree: short ones that state the same new facts, and all others (assumed)."""
SMALL_NUMBER, SMALL_ADDS = 3, 0.1
"""An answer that states one number of so few digits and nothing else is right for many questions: closer by this,
found on the benchmark (without: precision .976 on the judged domains, .952 on the unseen ones)."""
STOCK_ADDS = 0.5
"""An answer that states nothing new may be a stock phrase ("Could you give me your order number?") (assumed; on the
benchmark it costs no row)."""
FEW_WORDS, WEAK_ADDS = 3, 0.25
"""An answer of so few words, without number or name, is right for many questions, and two long answers that are merely
close may be about two things: there the questions have to be closer by this (trivia in tests/dedup)."""

UNSPACED_CLOSE = 0.9
"""The questions' cosine in Thai, Chinese and Japanese, where no name and no number word can be read off (assumed)."""


@dataclass(frozen=True)
class Sifted:
    """The rows that stay, in their order, and each that does not with the one it was dropped for."""

    kept: tuple[Row, ...]
    dropped: tuple[Dropped, ...] = ()


def without_exact(rows: Sequence[Row], part: str) -> Sifted:
    """Rows whose question and target are those of an earlier row, but for case, whitespace and punctuation, go."""
    first: dict[tuple[Any, ...], Row] = {}
    dropped = []
    for row in rows:
        kept = first.setdefault((question_key(row), canonical(row.target)), row)
        if kept is not row:
            dropped.append(told("exact", row, part, (kept, part), 1.0))
    gone = {id(row) for row in rows} - {id(row) for row in first.values()}
    return Sifted(tuple(row for row in rows if id(row) not in gone), tuple(dropped))


def question_key(row: Row) -> tuple[tuple[str, str], ...]:
    """The question as it is hashed: each turn's role and its normalised text."""
    return tuple((role, normalised(text)) for role, text in row.question)


def without_near(
    rows: Sequence[Row], part: str, embedder: Embedder, threshold: float | None = None, reader: Reader | None = None
) -> Sifted:
    """Rows that ask nearly what an earlier kept row asks AND are answered the same go; `threshold` None: its own.

    A row is compared with kept rows only, so that of A ~ B ~ C the third stays unless it is close to the first. The
    rule is `Same.verdict`; docs/data.md explains it.
    """
    same = Same.of(rows, embedder, embedder.threshold if threshold is None else threshold, reader)
    gone: dict[int, tuple[int, float]] = {}
    for late, earlier in sorted(same.candidates().items()):
        for early in sorted(earlier):
            if early not in gone and (similarity := same.verdict(early, late)) is not None:
                gone[late] = (early, similarity)
                break
    dropped = (
        told("near", rows[late], part, (rows[early], part), similarity) for late, (early, similarity) in gone.items()
    )
    return Sifted(tuple(row for at, row in enumerate(rows) if at not in gone), tuple(dropped))


def told(stage: str, row: Row, part: str, kept: tuple[Row, str], similarity: float) -> Dropped:
    """One dropped row as the report tells it; `kept` with its part."""
    return Dropped(
        stage=stage,
        part=part,
        dropped=Place(row.file, row.line),
        kept=Place(kept[0].file, kept[0].line),
        kept_part=kept[1],
        similarity=round(min(1.0, max(-1.0, similarity)), 4),
        dropped_text=row.asked[:TEXT_CAP],
        kept_text=kept[0].asked[:TEXT_CAP],
    )


@dataclass
class Same:
    """Rows with their vectors and what is read off their texts, and the rule by which two of them are the same."""

    rows: Sequence[Row]
    embedder: Embedder
    threshold: float
    targets: list[str]
    """Canonical."""
    vectors: Any
    """float32 of (rows, size): of the questions."""
    labels: frozenset[str]
    """Targets that tell little."""
    asked: list[Said] = field(default_factory=list)
    answers: list[Said] = field(default_factory=list)

    @classmethod
    def of(cls, rows: Sequence[Row], embedder: Embedder, threshold: float, reader: Reader | None = None) -> Same:
        """Embed the questions of all rows; `reader` None: these rows decide which words are names."""
        targets = [canonical(row.target) for row in rows]
        reader = reader or reader_of(rows)
        return cls(
            rows=rows,
            embedder=embedder,
            threshold=threshold,
            targets=targets,
            vectors=embedder.vectors([row.asked for row in rows]),
            labels=label_like(targets),
            asked=[reader.said(row.asked) for row in rows],
            answers=[reader.said(row.target) for row in rows],
        )

    def candidates(self, border: int | None = None) -> dict[int, set[int]]:
        """For each row the earlier rows that are worth a look: equal targets, or free answers that may agree.

        `border`: only for rows from there on, and only rows before it.
        """
        found: dict[int, set[int]] = defaultdict(set)
        groups: dict[Any, list[int]] = defaultdict(list)
        for at in range(len(self.rows)):
            for key in self._keys(at):
                groups[key].append(at)
        for members in groups.values():
            for place, late in enumerate(members[1:], 1):
                if border is None:
                    found[late].update(members[:place])
                elif late >= border:
                    found[late].update(at for at in members if at < border)
        for early, late in self._close_answers(border):
            found[late].add(early)
        return found

    def _keys(self, at: int) -> Iterator[Any]:
        """What two rows have in common that may be the same, but for free answers that are only close."""
        target, said = self.targets[at], self.asked[at]
        if target in self.labels:
            # Rows of one label are many; only the same words count.
            yield target, said.key
            return
        yield target
        if not is_json(target) and (facts := self._stated(at)):
            yield facts

    def _stated(self, at: int) -> tuple[frozenset[str], ...]:
        """The facts of a short answer that its question does not hold, beside the question's numbers; () if none."""
        answer, asked = self.answers[at], self.asked[at]
        numbers, names = self.news(at), frozenset(answer.names) - set(asked.words)
        short = len(answer.words) <= SHORT_STATEMENT
        return (asked.numbers, numbers, names) if short and (numbers or names) else ()

    def _close_answers(self, border: int | None) -> list[tuple[int, int]]:
        """Pairs of rows whose free answers are very close, and their questions too, with the same numbers."""
        free = [at for at, target in enumerate(self.targets) if target not in self.labels and not is_json(target)]
        if not free:
            return []
        answers = self.embedder.vectors([self.rows[at].target for at in free])
        marks = [hash_of(self.asked[at].numbers, self.news(at)) for at in free]
        questions = self.vectors[free], self.threshold + WEAK_ADDS
        first_late = None if border is None else sum(at < border for at in free)
        close = close_pairs([(answers, ANSWERS_CLOSE), questions], marks, first_late)
        return [(free[one], free[two]) for one, two in close]

    def news(self, at: int) -> frozenset[str]:
        """Numbers of an answer that its question does not hold."""
        return self.answers[at].numbers - self.asked[at].numbers

    def verdict(self, early: int, late: int) -> float | None:
        """The cosine of the two questions if the rows are the same, else None."""
        similarity = float(self.vectors[early] @ self.vectors[late])
        one, two = self.asked[early], self.asked[late]
        if similarity < self.threshold or self._system(early) != self._system(late):
            return None
        if {self.targets[early], self.targets[late]} & self.labels:
            same = self.targets[early] == self.targets[late] and same_words(one, two)
            return similarity if same else None
        agreement = self._agreement(early, late)
        if agreement is None or similarity < self.threshold + agreement:
            return None
        if similarity < UNSPACED_CLOSE and UNSPACED.search(one.text):
            return None
        return similarity if same_facts(one, two) and self._rest_close(one, two) else None

    def _system(self, at: int) -> str:
        role, text = self.rows[at].messages[0]
        return normalised(text) if role == "system" else ""

    def _agreement(self, early: int, late: int) -> float | None:
        """None if the targets differ; else by how much more than the threshold the questions have to be close."""
        if self.targets[early] == self.targets[late]:
            return self._of_equals(early)
        one, two = self.answers[early], self.answers[late]
        if is_json(self.targets[early]) or is_json(self.targets[late]) or self.news(early) != self.news(late):
            return None
        both = self.asked[early], self.asked[late]
        people = one.full_names - {name for said in both for name in said.full_names}
        proven = self.news(early) or (people and one.full_names == two.full_names)
        if not (same_sense(one, two) if proven else differ_harmlessly((one, two), both)):
            return None
        asked = {*both[0].words, *both[1].words}
        if not ({*one.names} - asked <= {*two.words} and {*two.names} - asked <= {*one.words}):
            return None
        first, second = self.embedder.vectors([one.text, two.text])
        stated = self._stated(early) and self._stated(late)
        if float(first @ second) < (STATEMENTS_CLOSE if stated else ANSWERS_CLOSE):
            return None
        return self._lone_number(early) if stated else WEAK_ADDS

    def _of_equals(self, at: int) -> float:
        """What is added where the answers are equal: nothing for a record, and for a text that states something new."""
        if is_json(self.targets[at]):
            return 0.0
        said = self.answers[at]
        new = self.news(at) or set(said.names) - set(self.asked[at].words)
        empty = len(said.words) <= FEW_WORDS and not said.numbers and not said.names
        if not new:
            return WEAK_ADDS if empty else STOCK_ADDS
        return WEAK_ADDS if empty else self._lone_number(at)

    def _lone_number(self, at: int) -> float:
        """What is added where a short answer states one small number and nothing else: many questions have it."""
        _, numbers, names = self._stated(at) or ((), (), ("more",))
        return SMALL_ADDS if not names and len(numbers) == 1 and len(*numbers) <= SMALL_NUMBER else 0.0

    def _rest_close(self, one: Said, two: Said) -> bool:
        """Where most of both is a passage that they share: whether what each asks about it is close too."""
        left = " ".join(part for part in one.sentences if part not in two.sentences)
        right = " ".join(part for part in two.sentences if part not in one.sentences)
        if not (left and right) or 2 * max(len(left), len(right)) > min(len(one.text), len(two.text)):
            return True
        first, second = self.embedder.vectors([left, right])
        return float(first @ second) >= self.threshold + WEAK_ADDS


def label_like(targets: Sequence[str]) -> frozenset[str]:
    """The targets that so many rows share that agreeing in them tells little of two rows."""
    counts = Counter(targets)
    many = max(FEWEST, min(LABEL_ROWS, LABEL_SHARE * len(targets)))
    labels = frozenset(target for target, count in counts.items() if count >= many)
    share = sum(counts[target] for target in labels) / max(1, len(targets))
    return frozenset(counts) if share > LABELLED_PART else labels


def hash_of(*facts: frozenset[str]) -> int:
    """A number that is the same for the same facts, in every process."""
    # zlib is in the standard library; Python's own hash of text differs from process to process.
    import zlib

    return zlib.crc32(repr([sorted(part) for part in facts]).encode())
