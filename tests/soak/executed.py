"""Which lines of some modules the simulation runs: a mutant in any other line says nothing about it."""

import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from tests.soak.play import play
from tests.soak.schedule import drawn
from tests.source import REPOSITORY

SCHEDULES = 60
"""What a pass of half a minute plays (assumed to be enough): a line that none of them runs is only not drawn from."""


def executed(modules: tuple[str, ...], schedules: int = SCHEDULES) -> dict[str, set[int]]:
    """By module: the lines that were run."""
    found: dict[str, set[int]] = {module: set() for module in modules}
    by_path = {str(REPOSITORY / module): lines for module, lines in found.items()}

    def trace(frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:
        lines = by_path.get(frame.f_code.co_filename)
        return None if lines is None else _lines(lines)

    before = sys.gettrace()
    sys.settrace(trace)
    threading.settrace(trace)
    try:
        for seed in range(schedules):
            play(drawn(seed))
    finally:
        sys.settrace(before)
        threading.settrace(None)
    return found


def _lines(lines: set[int]) -> Callable[..., Any]:
    def local(frame: FrameType, event: str, _argument: Any) -> Callable[..., Any]:
        if event == "line":
            lines.add(frame.f_lineno)
        return local

    return local
