"""How long it takes to rank very many offers for one workload, beside gpuhunt's query of the same rows, by turns."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cloud.client import REPOSITORY

SIDES = ("ranked", "read", "queried")
BOUND_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """One side's figures, the median of all rounds; `answers` is how many rows it found good."""

    cpu_seconds: float
    seconds: float
    peak_mib: float
    rows: int
    answers: int


def rankings(count: int, rounds: int, folder: Path) -> Mapping[str, Ranking]:
    """Each of `SIDES` so many times, each time in a process of its own, by turns."""
    folder.mkdir(parents=True, exist_ok=True)
    # In a process of its own as well: what is started by a large process counts as large from its beginning on.
    _one("prepared", count, folder, os.environ)
    environ = {**os.environ, "GPUHUNT_CATALOG_DIR": str(folder / "gpuhunt")}
    had: dict[str, list[Mapping[str, float]]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side in SIDES:
            had[side].append(_one(side, count, folder, environ))
    return {side: _middle(found) for side, found in had.items()}


def _one(side: str, count: int, folder: Path, environ: Mapping[str, str]) -> Mapping[str, float]:
    argv = (sys.executable, "-m", "tests.bench.one_ranking", side, str(count), str(folder))
    done = subprocess.run(
        argv, cwd=REPOSITORY, env=dict(environ), capture_output=True, text=True, check=False, timeout=BOUND_SECONDS
    )
    assert done.returncode == 0, done.stderr
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def _middle(had: list[Mapping[str, float]]) -> Ranking:
    def middle(name: str) -> float:
        return statistics.median(one[name] for one in had)

    return Ranking(
        cpu_seconds=middle("cpu_seconds"),
        seconds=middle("seconds"),
        peak_mib=middle("peak_mib"),
        rows=int(had[0]["rows"]),
        answers=int(had[0]["answers"]),
    )
