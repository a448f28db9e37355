"""How long a command takes to start, against a Python that does nothing, measured by turns in the same minutes."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
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


def _seconds(command: Sequence[str], environ: Mapping[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, env={**os.environ, **environ}, check=True, timeout=60)
    return time.perf_counter() - began
