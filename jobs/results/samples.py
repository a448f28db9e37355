"""Answers side by side: the best, the worst, and those that tuning changed; few, always the same, unlike each other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from jobs.qlora.rouge import words
from jobs.results.items import ArmItems, Item
from jobs.results.kinds import Kind, of_item
from jobs.results.summary import Sample

MOST = 6
"""Of each kind: what a person reads before the next page."""
MOST_CANDIDATES = 200
"""Among which the unlike ones are sought; the rest is only more of the same score."""
MOST_SIGNS = 2000
"""Of a text that is shown."""
MOST_WORDS = 400
"""Of a prompt, that tell it from others."""

Which = Literal["best", "worst", "won", "lost"]


@dataclass(frozen=True, kw_only=True)
class _Pick:
    """One item that may be shown: `rank` sorts, the smallest first; `score` is that of the tuned answer."""

    item: Item
    rank: float
    score: float


def samples(kind: Kind, arms: Mapping[str, ArmItems], against: str) -> tuple[Sample, ...]:
    """At most six of each: by the tuned arm's score, and by what changed from `against` to tuned."""
    tuned = arms.get("tuned")
    if tuned is None:
        return ()
    finer = "partial" if kind.name == "exact" else kind.name
    scored = [(item, own) for item in tuned.items if (own := of_item(finer, item)) is not None]
    found: list[Sample] = []
    seen: set[int] = set()
    for which, picks in (
        *_changed(kind, arms, against, tuned),
        ("best", [_Pick(item=item, rank=-score, score=score) for item, score in scored]),
        ("worst", [_Pick(item=item, rank=score, score=score) for item, score in scored]),
    ):
        chosen = _unlike([pick for pick in picks if pick.item.number not in seen])
        seen |= {pick.item.number for pick in chosen}
        found += [_sample(which, pick, arms) for pick in chosen]
    return tuple(sorted(found, key=lambda one: ("best", "worst", "won", "lost").index(one.kind)))


def _changed(
    kind: Kind, arms: Mapping[str, ArmItems], against: str, tuned: ArmItems
) -> list[tuple[Which, list[_Pick]]]:
    other = arms.get(against)
    before = {} if other is None else other.by_number
    won: list[_Pick] = []
    lost: list[_Pick] = []
    for item in tuned.items:
        new, old = of_item(kind.name, item), before.get(item.number)
        earlier = None if old is None else of_item(kind.name, old)
        if new is None or earlier is None or new == earlier:
            continue
        pick = _Pick(item=item, rank=-abs(new - earlier), score=new)
        (won if new > earlier else lost).append(pick)
    return [("won", won), ("lost", lost)]


def _unlike(picks: Sequence[_Pick]) -> list[_Pick]:
    """The first of the highest rank, then each time the one whose prompt shares the fewest words with those chosen.

    Farthest-first by Jaccard's distance, within equal ranks; a lower rank is only taken when a higher one is used up.
    """
    ranked = sorted(picks, key=lambda pick: (pick.rank, pick.item.number))[:MOST_CANDIDATES]
    bags = {pick.item.number: frozenset(words(pick.item.prompt[:MOST_SIGNS])[:MOST_WORDS]) for pick in ranked}
    chosen: list[_Pick] = []
    near = dict.fromkeys(bags, 0.0)
    while ranked and len(chosen) < MOST:
        best = min(ranked, key=lambda pick: (pick.rank, near[pick.item.number], pick.item.number))
        ranked.remove(best)
        chosen.append(best)
        for number, bag in bags.items():
            near[number] = max(near[number], _shared(bag, bags[best.item.number]))
    return chosen


def _shared(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, len(one | other))


def _sample(which: Which, pick: _Pick, arms: Mapping[str, ArmItems]) -> Sample:
    number = pick.item.number
    said = {name: arm.by_number for name, arm in arms.items()}
    return Sample(
        kind=which,
        item=number,
        prompt=_short(pick.item.prompt),
        wanted=_short(pick.item.wanted),
        answers={name: _short(items[number].answer) for name, items in said.items() if number in items},
        score=round(pick.score, 4),
    )


def _short(text: str) -> str:
    return text if len(text) <= MOST_SIGNS else text[: MOST_SIGNS - 1] + "…"
