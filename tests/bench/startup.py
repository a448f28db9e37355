"""How long a command takes to start, against a Python that does nothing, measured by turns in the same minutes."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

NOTHING = (sys.executable, "-c", "pass")


def launch(*words: str) -> tuple[str, ...]:
    """The installed program, as a person starts it."""
    return (str(Path(sys.executable).with_name("launch")), *words)


def medians(commands: Sequence[Sequence[str]], rounds: int, environ: Mapping[str, str]) -> list[float]:
    """Seconds of each command, the median of so many rounds; each round runs all, so that they share its noise.

    The first round only warms the file cache. Raises `CalledProcessError` where a command fails.
    """
    taken = [[_seconds(command, environ) for command in commands] for _ in range(rounds + 1)]
    return [statistics.median(column) for column in zip(*taken[1:], strict=True)]


@dataclass(frozen=True, kw_only=True)
class Took:
    """What one command took from its start to its end: by the clock, and of the processor."""

    seconds: float
    cpu_seconds: float


def median(command: Sequence[str], rounds: int, environ: Mapping[str, str]) -> Took:
    """The median of so many starts, after one that only warms the file cache; `environ` is all that it sees."""
    had = [_took(command, environ) for _ in range(rounds + 1)][1:]
    return Took(
        seconds=statistics.median(one.seconds for one in had),
        cpu_seconds=statistics.median(one.cpu_seconds for one in had),
    )


def _took(command: Sequence[str], environ: Mapping[str, str]) -> Took:
    """Raises `CalledProcessError` where the command fails."""
    before, began = os.times(), time.perf_counter()
    subprocess.run(command, capture_output=True, env=dict(environ), check=True, timeout=60)
    seconds, after = time.perf_counter() - began, os.times()
    of_children = after.children_user + after.children_system - before.children_user - before.children_system
    return Took(seconds=seconds, cpu_seconds=of_children)


def _seconds(command: Sequence[str], environ: Mapping[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, env={**os.environ, **environ}, check=True, timeout=60)
    return time.perf_counter() - began
