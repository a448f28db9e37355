"""What the training steps of one machine came to, kept with its attempt: later estimates learn from it. Pure."""

from dataclasses import dataclass, replace
from datetime import datetime

from jobs.progress import MemoryHalved, Step


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Steps `first_step` to `last_step` were seen on this machine; `of` so many before anybody shortened the schedule.

    `paced_steps` of them followed one another, and took `paced_seconds` by the machine's own clock.
    `tokens_per_second` is over all steps that told it, `vram_gib` the peak; None where no step did. `micro_batch` and
    `accumulation` are those that the machine went on with after its memory did not hold the planned ones, and both
    figures are then of the steps since; None where the planned ones ran.
    """

    first_step: int
    last_step: int
    of: int
    last_at: datetime
    paced_steps: int = 0
    paced_seconds: float = 0.0
    told_steps: int = 0
    tokens_per_second: float | None = None
    vram_gib: float | None = None
    micro_batch: int | None = None
    accumulation: int | None = None

    @property
    def step_seconds(self) -> float | None:
        """Seconds a step; None before two steps followed one another."""
        return self.paced_seconds / self.paced_steps if self.paced_steps else None

    @property
    def skipped_steps(self) -> int:
        """Steps that were done before, on another machine."""
        return self.first_step - 1

    @property
    def missing_steps(self) -> int:
        """Steps of the whole training that did not run here: before, or not at all."""
        return self.skipped_steps + max(0, self.of - self.last_step)

    @property
    def share(self) -> float:
        """The part of the whole training that ran here."""
        return 1 - self.missing_steps / self.of


def after(before: Measured | None, step: Step, at: datetime) -> Measured:
    """With one more step; one that comes again (a restart from a checkpoint) adds nothing to the pace."""
    if before is None:
        before = Measured(first_step=step.step, last_step=step.step, of=step.of, last_at=at)
        follows = False
    else:
        follows = step.step == before.last_step + 1 and at > before.last_at
    told = step.tokens_per_second or 0.0
    rate, steps = before.tokens_per_second, before.told_steps
    if told > 0:
        # Steps hold about as many tokens each: the mean of their rates is the harmonic one.
        rate = told if rate is None else (steps + 1) / (steps / rate + 1 / told)
    return Measured(
        first_step=min(before.first_step, step.step),
        last_step=step.step,
        of=max(before.of, step.of),
        last_at=at,
        paced_steps=before.paced_steps + follows,
        paced_seconds=before.paced_seconds + ((at - before.last_at).total_seconds() if follows else 0.0),
        told_steps=steps + (told > 0),
        tokens_per_second=rate,
        vram_gib=max((one for one in (before.vram_gib, step.vram_gib) if one is not None), default=None),
        micro_batch=before.micro_batch,
        accumulation=before.accumulation,
    )


def halved(before: Measured, event: MemoryHalved) -> Measured:
    """With a smaller micro-batch from here on: speed and memory of the larger one are no longer of interest."""
    same = (before.micro_batch, before.accumulation) == (event.micro_batch, event.accumulation)
    if same:
        return before
    return replace(
        before,
        told_steps=0,
        tokens_per_second=None,
        vram_gib=None,
        micro_batch=event.micro_batch,
        accumulation=event.accumulation,
    )
