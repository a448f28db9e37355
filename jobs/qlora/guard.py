"""Stops a training that cannot lead anywhere while it is cheap: not a number, no gradient, a loss that came apart."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

DEAD_STEPS = 5
"""So many steps in a row without a gradient are no accident: the adapter is not connected to the loss."""
WINDOW = 20
"""Steps of which the median speaks: some odd batches do not move it far. Where losses differ by 40 % from batch to
batch (log-normal) the median of 20 stays inside the limit below for hundreds of steps; that of 10 does not."""
TIMES, NATS = 2.0, 1.0
"""The median of the last steps may be twice the best one so far plus 1 nat (assumed).

A loss that is nearly 0 doubles by chance, so there is a term of its own: by 1 nat each token got 2.7 times less likely.
A training whose rate is too high climbs past both within some tens of steps, to the level of guessing and beyond.
"""


@dataclass
class Guard:
    """Looks at the figures of each step, in order."""

    dead: int = 0
    best: float = math.inf
    """The lowest median of `WINDOW` steps in a row."""
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=WINDOW))

    def why(self, step: int, loss: float, gradient: float) -> str | None:
        """A sentence why the training must end here; None where it may go on."""
        if not math.isfinite(loss) or not math.isfinite(gradient):
            return (
                f"step {step}: loss {loss}, gradient norm {gradient}: training has diverged; lower train.learning_rate"
            )
        self.dead = self.dead + 1 if gradient == 0.0 else 0
        if self.dead >= DEAD_STEPS:
            return f"step {step}: the gradient was exactly 0 for {self.dead} steps: nothing is being learned"
        return self._apart(step, loss)

    def _apart(self, step: int, loss: float) -> str | None:
        self.recent.append(loss)
        if len(self.recent) < WINDOW:
            return None
        now = median(self.recent)
        if now > TIMES * self.best + NATS:
            return (
                f"step {step}: the loss of the last {WINDOW} steps is {now:.3f} (median), after {self.best:.3f}: "
                "training has diverged; lower train.learning_rate"
            )
        self.best = min(self.best, now)
        return None

    def remember(self, log: Iterable[Mapping[str, Any]]) -> None:
        """Take up what a training had seen before it was interrupted, from its log."""
        for line in log:
            if "loss" in line:
                self.why(int(line.get("step", 0)), float(line["loss"]), float(line.get("grad_norm", math.nan)))
