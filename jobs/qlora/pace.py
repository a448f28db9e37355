"""How fast the training goes and where it ends: the probe of its first steps, and a last step that can be moved."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median, pstdev
from typing import Any

WARM_STEPS = 3
"""Steps before the clock counts: kernels are chosen and memory is taken in them."""
PROBE_STEPS = 20
LEAST_STEPS = 3
"""Fewer say nothing about how much steps differ: a run too short for them tells no probe."""
PART = 4
"""A short run is measured over a quarter of its steps at most, so that the probe still comes in time to matter."""
SAVE = "save"
"""The file by which the supervisor asks for a checkpoint; whoever has made one takes it away."""
PROBE_SECONDS = 120.0
"""Where steps are slow, as many as fit into this are enough: to wait for more would cost what the probe could save."""


@dataclass
class Probe:
    """Times whole steps, from one log to the next, and gives the figures once; a step with a save in it is left out."""

    left: int
    """Steps that this process has to train."""
    clock: Callable[[], float] = time.monotonic
    seconds: list[float] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)
    save_seconds: float | None = None
    _steps: int = 0
    _at: float = 0.0
    _began: float = 0.0
    _saved: bool = False
    _over: bool = False

    def __post_init__(self) -> None:
        self._wanted = min(PROBE_STEPS, max(LEAST_STEPS, (self.left - WARM_STEPS) // PART))
        self._over = self.left < WARM_STEPS + LEAST_STEPS
        self._at = self.clock()

    def saved(self) -> None:
        """A checkpoint was written since the last step; where the validation rows came before it, with their time."""
        self._saved, self.save_seconds = True, self.clock() - self._at

    def paused(self) -> None:
        """Something else than a step took its time since the last one."""
        self._saved = True

    def step(self, tokens: float) -> dict[str, Any] | None:
        """One more step is over, with so many tokens; the figures of the probe when there are enough of them."""
        now = self.clock()
        took, self._at, self._steps = now - self._at, now, self._steps + 1
        saved, self._saved = self._saved, False
        if self._over or self._steps <= WARM_STEPS:
            self._began = now
            return None
        if not saved:
            self.seconds.append(took)
            self.tokens.append(tokens)
        late = now - self._began >= PROBE_SECONDS and len(self.seconds) >= LEAST_STEPS
        if len(self.seconds) < self._wanted and not late:
            return None
        self._over = True
        return self._figures()

    def _figures(self) -> dict[str, Any]:
        mean = fmean(self.seconds)
        speeds = [tokens / max(seconds, 1e-9) for tokens, seconds in zip(self.tokens, self.seconds, strict=True)]
        return {
            "steps": len(self.seconds),
            "step_seconds": round(mean, 6),
            "spread": round(pstdev(self.seconds) / mean, 4) if mean > 0 else 0.0,
            "tokens_per_second": round(median(speeds), 1),
            "tokens_per_step": round(fmean(self.tokens), 1),
            "save_seconds": None if self.save_seconds is None else round(self.save_seconds, 4),
        }


def asked_last_step(run: Path) -> int | None:
    """The step at which somebody wants the training to end (`guest.pyz shorten`); None: where its settings say."""
    try:
        text = (run / "max_steps").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdecimal() and len(text) <= 12 and int(text) > 0 else None


def is_save_asked(run: Path) -> bool:
    """Whether a checkpoint is wanted now, the training to go on after it: this machine may be taken back soon."""
    return (run / SAVE).exists()


def bent(*, factor: float, step: int, last: int, warm: int, shape: str = "cosine") -> Callable[[int], float]:
    """A learning rate, as a share of its peak, that goes on from `factor` at `step` and is 0 at `last`.

    A constant one stays where it is: who asked for it does not want it to fall. A line falls as a line.

    A cosine is a point that moves evenly along half a circle. The point stays where it is and takes the rest of the way
    in fewer steps: nothing jumps, and whoever bends the same schedule again later, after a restart say, gets the same
    curve. A warm-up of `warm` steps that is under way is finished first, where there is room for it.
    """
    warms = step < warm < last
    anchor = warm if warms else step
    angle = 0.0 if warms else math.acos(max(-1.0, min(1.0, 2 * factor - 1)))

    def at(now: int) -> float:
        if now < anchor:
            return now / warm if warms else factor
        top = 1.0 if warms else factor
        if shape.startswith("constant"):
            return top
        share = min(1.0, (now - anchor) / max(1, last - anchor)) if last > anchor else 1.0
        if shape == "linear":
            return top * (1 - share)
        return 0.5 * (1 + math.cos(angle + (math.pi - angle) * share))

    return at


def bend(scheduler: Any, *, step: int, last: int, warm: int, shape: str = "cosine") -> None:
    """Let torch's LambdaLR end at `last`; the rate of the next step stays what it is."""
    base = scheduler.base_lrs[0]
    now = scheduler.get_last_lr()[0] / base if base else 0.0
    scheduler.lr_lambdas = [bent(factor=now, step=step, last=last, warm=warm, shape=shape)] * len(scheduler.base_lrs)
