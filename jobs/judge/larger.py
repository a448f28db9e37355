"""A larger general model as a fourth arm: the same test items, greedily, scored like the others, priced by request."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from jobs.judge.asking import Asker, Streak, each, key_for
from jobs.judge.cache import Answer
from jobs.judge.endpoint import Request
from jobs.judge.exchanges import Exchange
from jobs.judge.failures import EndpointError
from jobs.qlora.score import metrics_of
from jobs.spec_evaluate import Larger

SPARE_TOKENS, TOKENS_A_BYTE = 64, 0.5
"""An answer may take half a token for each byte of the longest wanted one (text takes a quarter, JSON and other scripts
up to a half) and some to spare (assumed)."""
MOST_REFUSED = 8
"""Questions in a row that get no answer: then it is the model, not the question (assumed)."""
_THOUGHT = re.compile(r"\s*<think>.*?</think>\s*", re.DOTALL)
"""What some servers leave of a model's thinking in front of its answer."""


@dataclass(frozen=True, kw_only=True)
class FourthArm:
    """Which model, under which system text ("" for none), is asked what."""

    model: Larger
    system: str
    items: Sequence[Exchange]
    max_new_tokens: int | None = None

    def request(self, item: Exchange) -> Request:
        """One test item as it is sent: a system text of its own stands in place of the row's."""
        turns = tuple(turn for turn in item.turns if not (self.system and turn[0] == "system"))
        first = (("system", self.system),) if self.system else ()
        return Request(messages=(*first, *turns), max_tokens=self.longest)

    @property
    def longest(self) -> int:
        """Tokens that an answer may have."""
        if self.max_new_tokens is not None:
            return self.max_new_tokens
        return int(max(len(one.wanted.encode()) for one in self.items) * TOKENS_A_BYTE) + SPARE_TOKENS

    def key(self, item: Exchange) -> str:
        """Under which its answer is kept."""
        return key_for(self.model, self.request(item))

    def worst_usd(self, asker: Asker) -> Decimal:
        """What asking all that is not answered yet may cost at most; never more than is left of the cap."""
        requests = (self.request(item) for item in self.items if asker.book.find(self.key(item)) is None)
        all_usd = sum((request.worst_usd(self.model) for request in requests), Decimal(0))
        return min(all_usd, max(Decimal(0), asker.purse.cap_usd - asker.purse.spent_usd))


def ask_all(arm: FourthArm, asker: Asker, tick: Callable[[int, int], None]) -> int:
    """Ask whatever is not answered yet; how many got no answer of their own. Raises `EndpointError`, `OSError`.

    Every answer is on disk when it raises, and another call goes on from there.
    """
    streak = Streak(MOST_REFUSED)

    def ask(item: Exchange) -> bool:
        try:
            asker.ask(arm.request(item), arm.key(item))
        except EndpointError as error:
            if not error.is_of_the_question:
                raise
            streak.note(error)
            return False
        streak.note(None)
        return True

    def told(done: int) -> None:
        tick(done, len(arm.items))

    return sum(not answered for _, answered in each(arm.items, ask, stopping=asker.stopping, tick=told))


def results(arm: FourthArm, asker: Asker, metrics: Sequence[str], unfinished: str = "") -> tuple[Any, list[Any]]:
    """`eval/larger.json` and the lines of `eval/larger.jsonl`, from all answers so far. Asks nothing.

    `seconds` is the sum over requests, so seconds / n is how long one took (with a few on their way together). Loss is
    None: an endpoint does not tell it. An item without an answer is left out, and `unfinished` says so.
    """
    kept = [(item, asker.book.find(arm.key(item))) for item in sorted(arm.items, key=lambda one: one.number)]
    answered = [(item, answer) for item, answer in kept if answer is not None]
    lines = [_line(item, answer) for item, answer in answered]
    costs_usd = [answer.cost_usd for _, answer in answered]
    figures = {
        "arm": "larger",
        "n": len(lines),
        "metrics": metrics_of(lines, [one for one in metrics if one != "loss"]) if lines else {},
        "seconds": round(sum(answer.seconds for _, answer in answered), 3),
        "new_tokens": sum(answer.new_tokens for _, answer in answered),
        "model": arm.model.model,
        "endpoint": arm.model.endpoint,
        "prompt": {"system": arm.system, "shots": []},
        "cost_usd": f"{asker.purse.spent_usd:f}",
        "cap_usd": f"{arm.model.cap_usd:f}",
        "usd_per_request": f"{sum(costs_usd, Decimal(0)) / len(costs_usd):f}" if costs_usd else None,
        "counted_by_us": sum(answer.counted_by == "us" for _, answer in answered),
        "unfinished": unfinished or _missing(len(kept) - len(lines), len(kept)),
    }
    return figures, lines


def _missing(missing: int, of: int) -> str:
    return f"{missing} of {of} items got no answer" if missing else ""


def _line(item: Exchange, answer: Answer) -> dict[str, Any]:
    return {
        "item": item.number,
        "prompt": [{"role": role, "content": text} for role, text in item.turns],
        "wanted": item.wanted,
        "answer": _THOUGHT.sub("", answer.text, count=1) if answer.text.lstrip().startswith("<think>") else answer.text,
        "loss": None,
        "tokens": 0,
        "prompt_tokens": answer.prompt_tokens,
        "new_tokens": answer.new_tokens,
        "ended": answer.ended,
    }
