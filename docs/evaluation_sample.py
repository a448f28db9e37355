"""What `docs/evaluation.md` shows: results of a made-up run, scored by the program; the same draws every time.

The answers are drawn, each item with a hardness of its own: arms that share items fail on the same ones, as models do.
"""

import json
import math
import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from jobs.results.serving import Paid
from jobs.results.summarise import summarise
from jobs.results.summary import Summary
from launcher import display, scoring
from launcher.errors import Exit
from launcher.gate import wanting
from launcher.receipt import Receipt, Results, Terminated
from launcher.run import Outcome
from pricing.offer import Market

GATE: dict[str, Any] = {"exact": {"at_least": 0.8, "better_than": "prompted"}}
SETTINGS: dict[str, Any] = {
    "model": "a/model",
    "evaluate": {"metrics": ["exact"], "adjacent": [{"name": "sums", "metric": "exact", "allow_drop": 0.02}]},
}
PAID = Paid(training_usd=Decimal("0.79"), usd_per_hour=Decimal("0.4912"), machine="g5.xlarge")
DAY = datetime(2026, 11, 24, 20, 57, tzinfo=UTC)


def headline(n: int, **shares: float) -> str:
    """The verdict's one sentence about a test set of `n`, with each arm right on about that share of it."""
    return scored(n, shares, sums={}).verdict.headline


def gained(n: int, **shares: float) -> Summary:
    """All that is said where a task was unlearned besides."""
    return scored(n, shares, sums={"base": 0.95, "tuned": 0.55})


def gate(found: Summary) -> str:
    """What the gate of the document finds wanting."""
    evaluate = SETTINGS["evaluate"] if found.adjacent else {}
    return "\n".join(wanting({"evaluate": evaluate, "gate": GATE}, found)) or "nothing"


def receipt(found: Summary) -> str:
    """The first lines of its receipt."""
    paper = Receipt(
        run="brave-otter-7f3a", name="support-json", at=DAY, started_at=DAY, outcome=Outcome.SUCCEEDED,
        exit_code=Exit.SUCCEEDED, why="", provider="", region="", zone="", instance_type="", market=Market.SPOT,
        attempts=1, budget_usd=None, planned_usd=None, spent_usd=Decimal(0), spent_is="", price_source="",
        price_seen_at=None, phases=(), terminated=Terminated(confirmed=True, at=DAY, looks=3), leftovers=(),
        results=Results(folder=Path("runs"), files=0, bytes=0, verified=True), scores=scoring.scores_of(found),
        gains=scoring.gains_of(found), adjacent=scoring.tasks_of(found), verdict=found.verdict.headline,
    )  # fmt: skip
    return display.receipt(paper, width=90).split("machine  ")[0].rstrip()


def scored(n: int, shares: Mapping[str, float], sums: Mapping[str, float]) -> Summary:
    """Draw, write as a machine would, score."""
    with _folder() as (out, rows):
        _sent(rows / "test.jsonl", n)
        for arm, share in shares.items():
            _brought(out / "eval" / arm, n, share)
        for arm, share in sums.items():
            _sent(rows / "adjacent" / "sums.jsonl", 100)
            _brought(out / "eval" / "adjacent" / f"sums.{arm}", 100, share)
        found = summarise(out, SETTINGS, data=rows, paid=PAID)
    assert found is not None
    return found


@contextmanager
def _folder() -> Iterator[tuple[Path, Path]]:
    with tempfile.TemporaryDirectory() as folder:
        out, rows = Path(folder) / "out", Path(folder) / "rows"
        (out / "eval" / "adjacent").mkdir(parents=True)
        (rows / "adjacent").mkdir(parents=True)
        yield out, rows


def _sent(path: Path, n: int) -> None:
    turns = [[{"role": "user", "content": f"{at}"}, {"role": "assistant", "content": "yes"}] for at in range(n)]
    path.write_text("".join(json.dumps({"messages": both}) + "\n" for both in turns))


def _brought(stem: Path, n: int, share: float) -> None:
    own = random.Random(f"{stem.name} {n}")  # noqa: S311 - a made-up run, no secret
    items = random.Random(n)  # noqa: S311 - a made-up run, no secret
    lines = []
    for at in range(n):
        # Half of what decides is the item's own hardness, half is this arm's luck.
        luck = (items.random() + own.random()) / 2
        right = luck < _cut(share)
        lines.append(
            {"item": at, "prompt": [{"role": "user", "content": f"{at}"}], "wanted": "yes",
             "answer": "yes" if right else "no", "loss": 0.1 if right else 1.5, "tokens": 20}
        )  # fmt: skip
    stem.with_name(f"{stem.name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    seconds = n * (0.21 if stem.name == "prompted" else 0.12)
    stem.with_name(f"{stem.name}.json").write_text(json.dumps({"n": n, "seconds": seconds, "batch": 50}))


def _cut(share: float) -> float:
    """Below which the mean of two uniform draws lies so often."""
    return math.sqrt(share / 2) if share <= 0.5 else 1 - math.sqrt((1 - share) / 2)
