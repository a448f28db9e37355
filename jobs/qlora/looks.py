"""The looks at the validation rows during training: which was the best, and when it is enough. No torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .job import Job, write_json

FILE = "looks.json"


@dataclass
class Looks:
    """Every look so far. It travels in each checkpoint, so that a restart on another machine decides the same."""

    every: int
    """Steps between two looks; there is one more at the last step."""
    patience: int | None = None
    """So many looks in a row without a better loss end the training."""
    best_step: int | None = None
    best_loss: float | None = None
    in_vain: int = 0
    """Looks since the best one."""
    owed: bool = False
    """A look was due when the training was told to stop; it is taken before training goes on."""
    losses: list[tuple[int, float]] = field(default_factory=list)
    """(step, loss per answer token) of every look."""

    def look(self, step: int, loss: float) -> bool:
        """Note the loss at this step; whether it is the best so far."""
        self.owed = False
        self.losses = [one for one in self.losses if one[0] < step] + [(step, loss)]
        is_best = self.best_loss is None or loss < self.best_loss
        if is_best:
            self.best_step, self.best_loss, self.in_vain = step, loss, 0
        else:
            self.in_vain += 1
        return is_best

    def is_due(self, step: int, last: int) -> bool:
        """Whether this step is one to look at."""
        return step % self.every == 0 or step >= last

    @property
    def is_enough(self) -> bool:
        """Whether there were so many looks in vain that the training ends here."""
        return self.patience is not None and self.in_vain >= self.patience

    def write(self, folder: Path) -> None:
        """Into a folder that becomes part of a checkpoint."""
        write_json(folder / FILE, asdict(self))


def looks_of(job: Job, checkpoint: Path | None) -> Looks:
    """What was seen up to a checkpoint; nothing where there is none. The settings are this run's."""
    fresh = Looks(every=job.train.eval_steps or job.train.save_steps, patience=job.train.early_stopping_patience)
    if checkpoint is None or not (checkpoint / "best" / FILE).exists():
        return fresh
    seen = json.loads((checkpoint / "best" / FILE).read_text(encoding="utf-8"))
    fresh.best_step, fresh.best_loss = seen["best_step"], seen["best_loss"]
    fresh.in_vain, fresh.owed = seen["in_vain"], seen["owed"]
    fresh.losses = [(int(step), float(loss)) for step, loss in seen["losses"]]
    return fresh
