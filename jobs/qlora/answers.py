"""All rows of an arm put to a model and answered, as items that can be scored anywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from .asking import Said, Speaker, batches, losses
from .prompted import BARE, Way
from .template import Pair, answer_ids, prompt_ids

SPARE_TOKENS = 16
"""An answer may be a little longer than the longest wanted one before it is cut."""


@dataclass(frozen=True)
class Questions:
    """Rows, and the way in which they are put."""

    pairs: Sequence[Pair]
    longest: int
    """New tokens, at most."""
    way: Way = BARE
    answers: bool = True
    """Whether answers are made."""
    loss: bool = True
    """Whether the wanted answers' loss is measured."""


@dataclass(frozen=True)
class Question:
    """One row as tokens; the wanted answer's are the same however the question is put, so that losses compare."""

    at: int
    prompt: list[int]
    wanted: list[int]


@dataclass
class Answers:
    """What came of it, in the order of the rows. `seconds`: making answers only."""

    items: list[dict[str, Any]]
    seconds: float = 0.0
    new_tokens: int = 0
    prompt_tokens: int = 0
    batch: int = 0
    too_long: int = 0
    """Rows that, with their answers, may be longer than the model can see."""
    cut: int = field(default=0)
    """Answers that were cut at the most new tokens."""


def ask_all(speaker: Speaker, asked: Questions, told: Callable[[int], None]) -> Answers:
    """Every row's item; `told` hears how many are done. The longest come first: what does not fit is known at once."""
    questions = [question(speaker.tokenizer, asked.way, at, pair) for at, pair in enumerate(asked.pairs)]
    ordered = sorted(questions, key=lambda one: -len(one.prompt))
    found = Answers(items=[{} for _ in questions])
    found.too_long = too_long(ordered, asked.longest, speaker.context)
    found.prompt_tokens = sum(len(one.prompt) for one in questions)

    def ask(some: list[Question]) -> tuple[list[Said], list[tuple[float, int]]]:
        said: list[Said] = []
        if asked.answers:
            spoken = speaker.answer([one.prompt for one in some], asked.longest)
            said, found.seconds = spoken.said, found.seconds + spoken.seconds
        rows = [(len(one.prompt), one.prompt + one.wanted) for one in some]
        return said, losses(speaker.model, speaker.tokenizer.pad_token_id, rows) if asked.loss else []

    done, most = 0, max(len(one.prompt) + max(len(one.wanted), asked.longest) for one in questions)
    with torch.inference_mode():
        for some, (said, lost) in batches(ask, ordered, speaker.rows_at_once(most)):
            for place, one in enumerate(some):
                pair = asked.pairs[one.at]
                item = {"item": one.at, "prompt": pair["prompt"], "wanted": pair["completion"][0]["content"]}
                item["prompt_tokens"] = len(one.prompt)
                found.items[one.at] = item | answered(said[place : place + 1]) | measured(lost[place : place + 1])
            found.batch, done = max(found.batch, len(some)), done + len(some)
            told(done)
    found.new_tokens = sum(item.get("new_tokens", 0) for item in found.items)
    found.cut = sum(not item.get("ended", True) for item in found.items)
    return found


def question(tokenizer: Any, way: Way, at: int, pair: Pair) -> Question:
    """One row as tokens."""
    return Question(at=at, prompt=prompt_ids(tokenizer, way.put(pair["prompt"])), wanted=answer_ids(tokenizer, pair))


def too_long(questions: Sequence[Question], longest: int, context: int | None) -> int:
    """How many may be longer than the model can see."""
    return 0 if context is None else sum(len(one.prompt) + longest > context for one in questions)


def answered(said: Sequence[Said]) -> dict[str, Any]:
    """What an answer adds to an item."""
    return {name: value for one in said for name, value in
            (("answer", one.text), ("new_tokens", one.tokens), ("ended", one.ended))}  # fmt: skip


def measured(lost: Sequence[tuple[float, int]]) -> dict[str, Any]:
    """What the loss of the wanted answer adds to it: nats for each of its tokens."""
    return {name: value for loss, tokens in lost for name, value in
            (("loss", round(loss / max(tokens, 1), 6)), ("tokens", tokens))}  # fmt: skip


def longest_answer(tokenizer: Any, pairs: Sequence[Pair]) -> int:
    """Tokens of the longest wanted answer, and a few to spare."""
    wanted = tokenizer([pair["completion"][0]["content"] for pair in pairs], add_special_tokens=False)["input_ids"]
    return max(map(len, wanted)) + SPARE_TOKENS
