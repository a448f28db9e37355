"""The machine's events, added up: where the work stands. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from jobs import progress
from launcher.events import Snapshot
from launcher.measured import Measured, after, halved

SMOOTHING = 0.9
"""How slowly the shown loss follows the last one, to tell falling from noise."""
MOST_ARMS = 64
"""Of an evaluation, that are counted: no job has so many, and a machine may tell any number."""
MOST_PHASES = 64
"""By name: more than any job has; a machine may make up a name for each line."""
MOST_MOMENTS = 1024
"""Steps of which the time is remembered: the speed is that of the latter half of them."""


@dataclass(kw_only=True)
class Tracker:
    """Takes events in order; knows the state of the work."""

    phases: dict[str, float] = field(default_factory=dict)
    phase: str = ""
    phase_since: datetime | None = None
    last_step: progress.Step | None = None
    moments: list[tuple[int, datetime]] = field(default_factory=list)
    """The latest steps, and when each was over."""
    probe: progress.Probed | None = None
    validation: progress.Validated | None = None
    memory: progress.MemoryHalved | None = None
    """The micro-batch that the machine went on with after it ran out of memory."""
    arms: set[str] = field(default_factory=set)
    """Of the evaluation, of which the scores are told."""
    smooth_loss: float | None = None
    loss_falls: bool = False
    evaluated: progress.Evaluated | None = None
    heard_at: datetime | None = None
    done: progress.Done | None = None
    notice: progress.Notice | None = None
    measured: Measured | None = None

    def take(self, event: progress.Event, now: datetime) -> None:
        """Add one event; `now` is our own clock, the machine's is not trusted."""
        self.heard_at = now
        match event:
            case progress.PhaseChange():
                self._phase(event, now)
            case progress.Step():
                self._step(event, now)
            case progress.Probed():
                self.probe = event
            case progress.Validated():
                self.validation = event
            case progress.MemoryHalved():
                self.memory = event
            case progress.Evaluated():
                self.evaluated = event
            case progress.Result() if len(self.arms) < MOST_ARMS:
                self.arms.add(event.arm)
            case progress.Notice():
                self.notice = event
            case progress.Done():
                self.done = event

    def _phase(self, event: progress.PhaseChange, now: datetime) -> None:
        if event.began:
            self.phase, self.phase_since = event.phase, now
            if len(self.phases) < MOST_PHASES:
                self.phases.setdefault(event.phase, 0.0)
            return
        if event.phase not in self.phases and len(self.phases) >= MOST_PHASES:
            return
        self.phases[event.phase] = self.phases.get(event.phase, 0.0) + (event.seconds or 0.0)
        self.phase_since = None

    def _step(self, event: progress.Step, now: datetime) -> None:
        at = event.at or now  # the machine's clock is good enough for differences, and right when events are read again
        if self.moments and event.step <= self.moments[-1][0]:
            self.moments.clear()  # begun again from a checkpoint: time stood between
        self.moments.append((event.step, at))
        if len(self.moments) > 2 * MOST_MOMENTS:
            del self.moments[:MOST_MOMENTS]
        if event.loss is not None:
            before = event.loss if self.smooth_loss is None else self.smooth_loss
            self.smooth_loss = SMOOTHING * before + (1 - SMOOTHING) * event.loss
            self.loss_falls = self.smooth_loss < before
        self.last_step = event
        self.measured = after(self.measured, event, at)
        if self.memory is not None:
            self.measured = halved(self.measured, self.memory)

    def seconds_by_phase(self, now: datetime) -> dict[str, float]:
        """What each phase of the machine's has taken so far."""
        seconds = dict(self.phases)
        if self.phase_since is not None:
            seconds[self.phase] = seconds.get(self.phase, 0.0) + (now - self.phase_since).total_seconds()
        return seconds

    def snapshot(self, earlier: dict[str, float], spent_usd: Decimal, now: datetime) -> Snapshot:
        """For the display; `earlier` are the phases before the job (boot, ship)."""
        step, evaluated, looked = self.last_step, self.evaluated, self.validation
        return Snapshot(
            phases=tuple({**earlier, **self.seconds_by_phase(now)}.items()),
            step=step.step if step else 0,
            of=step.of if step else 0,
            loss=step.loss if step else None,
            loss_falls=self.loss_falls,
            tokens_per_second=step.tokens_per_second if step else None,
            vram_gib=step.vram_gib if step else None,
            validation=None if looked is None else (looked.step, looked.loss, looked.best),
            evaluated=evaluated.done if evaluated else 0,
            evaluate_of=evaluated.of if evaluated else 0,
            arm=evaluated.arm if evaluated else "",
            spent_usd=spent_usd,
        )

    def window(self) -> tuple[float, int] | None:
        """Seconds a step over the latter half of the steps that were told, by the machine's clock, and their number."""
        half = max(2, len(self.moments) // 2 + 1)
        if len(self.moments) < half:
            return None
        (first, since), (last, until) = self.moments[-half], self.moments[-1]
        steps = last - first
        return None if steps < 1 else (max(0.0, (until - since).total_seconds()) / steps, steps)

    def is_over(self, phase: str) -> bool:
        """A phase is over when a later one has begun; evaluation comes on both sides of training, and counts last."""
        if self.done is not None:
            return True
        order = {name: place for place, name in enumerate(GUEST_PHASES)}
        later = order.get(phase, 0) < order.get(self.phase, 0)
        return later and not (phase == "train" and self.last_step is None)


GUEST_PHASES = ("install", "model", "train", "evaluate")
