"""A finished run in memory whose machine answered the test rows: what judges and people are asked about."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fake_world import FIRST_RUN, Stage
from tests.judge_server import Model

Answer = Callable[[int], str]
ROWS = 12
PRICES = {"input_usd_per_million": "2", "output_usd_per_million": "8"}


def wanted(number: int) -> str:
    return f"label {number}"


def wrong(number: int) -> str:
    return f"no label {number}"


def endpoint(model: Model, **said: Any) -> dict[str, Any]:
    """As settings.json has it."""
    return {"endpoint": model.url, "model": model.name, "cap_usd": "1", **PRICES, **said}


def prepared(stage: Stage, *, settings: dict[str, Any] | None = None, **arms: Answer) -> Path:
    """The run's folder of results with these arms' answers, and what we keep of the run; settings are the job's."""
    arms = arms or {"base": wrong, "prompted": wrong, "tuned": wanted}
    own, results = stage.folder / "home" / "runs" / FIRST_RUN, stage.folder / "runs" / FIRST_RUN
    rows, evaluated = own / "rows", results / "eval"
    rows.mkdir(parents=True, exist_ok=True)
    evaluated.mkdir(parents=True, exist_ok=True)
    (own / "settings.json").write_text(json.dumps({"model": "someone/model", "revision": "abc", **(settings or {})}))
    asked = [[{"role": "user", "content": f"which label has {number}?"}] for number in range(ROWS)]
    lines(rows / "test.jsonl", [{"messages": [*turns, turn(wanted(at))]} for at, turns in enumerate(asked)])
    for arm, answer in arms.items():
        items = [
            {"item": at, "prompt": turns, "wanted": wanted(at), "answer": answer(at), "loss": 0.1, "tokens": 3}
            for at, turns in enumerate(asked)
        ]
        lines(evaluated / f"{arm}.jsonl", items)
        (evaluated / f"{arm}.json").write_text(json.dumps({"arm": arm, "n": ROWS, "metrics": {"loss": 0.1}}))
    return results


def turn(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}


def lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
