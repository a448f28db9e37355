"""What the evaluation asks of the model: test rows by each arm, trials of prompts, adjacent tasks before and after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jobs.tokens import BYTES_PER_TOKEN, Tally
from pricing.workload import Asked

SPARE_TOKENS = 16
"""An answer may be so much longer than the longest wanted one (jobs/qlora/answers.py)."""
VALIDATION_ROWS, DRAWS = 50, 2
"""Rows that decide between prompts, and sets of examples that are tried with each text (jobs/qlora/prompted.py)."""
HARNESS_ROWS, HARNESS_ROW_TOKENS = 4000, 128
"""Of a task of the harness without a limit: requests (1,000 items with four choices each), and their length; each is
read once and answered with no more than a token (assumed)."""
ADJACENT = "adjacent/"


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """System texts, in tokens, and how many examples are tried with each of them."""

    texts: tuple[int, ...] = ()
    shots: int = 0

    @classmethod
    def of(cls, evaluate: Mapping[str, object], files: Sequence[Path]) -> "Prompts":
        """By the job's `evaluate` block and the texts' files; a text of which nothing is known is short."""
        prompted = evaluate.get("prompted")
        if not isinstance(prompted, Mapping):
            return cls()
        sizes = [path.stat().st_size for path in files] or [0]
        texts = tuple(round(size / BYTES_PER_TOKEN) for size in sizes)
        return cls(texts=texts, shots=int(str(prompted.get("shots") or 0)))


@dataclass(frozen=True, kw_only=True)
class Rows:
    """The rows that are asked, part by part, and the most new tokens where the job says them (0: it does not)."""

    parts: Mapping[str, Tally]
    test: Tally
    validation: Tally | None
    max_new_tokens: int = 0

    def new_tokens(self, rows: Tally) -> int:
        """At most, of an answer."""
        return self.max_new_tokens or max(rows.answers, default=0) + SPARE_TOKENS


def asked(evaluate: Mapping[str, object], prompts: Prompts, rows: Rows) -> tuple[Asked, ...]:
    """Arm by arm: base, prompted with its trials, tuned; adjacent tasks with base and tuned."""
    found = [*_arm("base", rows.test, rows), *_prompted(prompts, rows), *_arm("tuned", rows.test, rows)]
    for task in _tasks(evaluate):
        found += _adjacent(task, rows)
    return tuple(found)


def _arm(arm: str, asked: Tally, rows: Rows, *, more_tokens: float = 0.0, times: int = 1) -> list[Asked]:
    count = len(asked.lengths)
    if not count:
        return []
    tokens = sum(asked.lengths) / count + more_tokens
    return [Asked(arm=arm, rows=count * times, row_tokens=tokens, new_tokens=rows.new_tokens(asked))]


def _prompted(prompts: Prompts, rows: Rows) -> list[Asked]:
    """The test rows with the longest of the prompts, since nobody knows which one is best; the trials with each."""
    if not prompts.texts:
        return []
    train = rows.parts["train"]
    of_examples = prompts.shots * sum(train.lengths) / max(1, len(train.lengths))
    ways = [float(text) for text in prompts.texts]
    ways += [text + of_examples for text in prompts.texts for _ in range(DRAWS if prompts.shots else 0)]
    found = _arm("prompted", rows.test, rows, more_tokens=max(ways))
    if rows.validation is None or len(ways) < 2:
        return found
    tried = rows.validation.tested(min(VALIDATION_ROWS, len(rows.validation.lengths)))
    return [*found, *(one for way in ways for one in _arm("prompted", tried, rows, more_tokens=way))]


def _tasks(evaluate: Mapping[str, object]) -> list[Mapping[str, object]]:
    tasks = evaluate.get("adjacent")
    return [task for task in tasks if isinstance(task, Mapping)] if isinstance(tasks, list) else []


def _adjacent(task: Mapping[str, object], rows: Rows) -> list[Asked]:
    limit = int(str(task.get("limit") or 0))
    if task.get("harness"):
        count = 4 * limit or HARNESS_ROWS
        return [
            Asked(arm=arm, rows=count, row_tokens=HARNESS_ROW_TOKENS / 2, new_tokens=0) for arm in ("base", "tuned")
        ]
    own = rows.parts.get(f"{ADJACENT}{task.get('name')}")
    if own is None:
        return []
    some = own.tested(limit) if limit and limit < len(own.lengths) else own
    unbound = Rows(parts=rows.parts, test=some, validation=None)
    return [*_arm("base", some, unbound), *_arm("tuned", some, unbound)]
