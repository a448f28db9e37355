"""The test items with what each arm answered, in an order that is the same every time; what judge and people see."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.qlora.score import exact
from jobs.results.items import ArmItems

Turns = tuple[tuple[str, str], ...]
"""(role, content) of a conversation."""
AGAINST = ("prompted", "base", "larger")
"""The arms that the tuned one is compared with, the one that matters most first."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One item: what was asked, what was wanted, and the answers by arm. `cluster`: items that belong together."""

    number: int
    turns: Turns
    wanted: str
    answers: Mapping[str, str]
    cluster: int

    @property
    def place(self) -> str:
        """By which items are ordered: the same for the same item, and without any order of its own.

        So the first 50 of 100 are a fair sample of them, and asking for more goes on with the same ones.
        """
        return hashlib.sha256(f"{self.number}\n{self.turns}\n{self.wanted}".encode("utf-8", "replace")).hexdigest()

    def same(self, arm: str, other: str) -> bool:
        """Whether both answered the same, as exact match sees it: there is nothing to choose."""
        mine, theirs = self.answers[arm], self.answers[other]
        return mine.strip() == theirs.strip() or (exact(mine, theirs) and exact(theirs, mine))


def asked_turns(file: Path) -> tuple[Turns, ...] | None:
    """The prompts of our own rows as conversations, each assistant turn's, numbered as items are; None without them."""
    try:
        rows = [json.loads(line)["messages"] for line in file.read_bytes().split(b"\n") if line.strip()]
        turns = [tuple((str(turn["role"]), str(turn["content"])) for turn in row) for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return tuple(row[:at] for row in turns for at, (role, _) in enumerate(row) if role == "assistant")


def exchanges(arms: Iterable[ArmItems], asked: Sequence[Turns] | None) -> list[Exchange]:
    """The items that the tuned arm has, in their order. `asked`: our own prompts by item number, where they are kept.

    An answer of another arm counts where the question and the wanted answer are the same.
    """
    by_arm = {one.arm: one.by_number for one in arms}
    found = [
        Exchange(
            number=number,
            turns=asked[number] if asked is not None and number < len(asked) else (("user", item.prompt),),
            wanted=item.wanted,
            answers={
                arm: items[number].answer
                for arm, items in by_arm.items()
                if number in items and (items[number].prompt, items[number].wanted) == (item.prompt, item.wanted)
            },
            cluster=item.cluster,
        )
        for number, item in by_arm.get("tuned", {}).items()
    ]
    return sorted(found, key=lambda one: one.place)
