"""The machine's events, added up: where the work stands, and when it will be done and for how much. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from jobs import progress
from launcher.events import Snapshot
from launcher.measured import Measured, after
from pricing.estimate import Dollars, Estimate, Interval

SMOOTHING = 0.9
"""How slowly the shown loss follows the last one, to tell falling from noise."""
UNSEEN_SPREAD = (0.8, 1.5)
"""How far phases that have not been measured yet may stray from the plan, low and high."""
SEEN_SPREAD = (0.93, 1.1)
"""The same for what is measured: steps of one run differ little."""
SPAN_STEPS = 3
"""Steps before the speed is believed: the first ones warm up."""


@dataclass(kw_only=True)
class Tracker:
    """Takes events in order; knows the state of the work."""

    phases: dict[str, float] = field(default_factory=dict)
    phase: str = ""
    phase_since: datetime | None = None
    last_step: progress.Step | None = None
    first_step: tuple[int, datetime] | None = None
    last_step_at: datetime | None = None
    smooth_loss: float | None = None
    loss_falls: bool = False
    evaluated: progress.Evaluated | None = None
    heard_at: datetime | None = None
    done: progress.Done | None = None
    notice: progress.Notice | None = None
    checkpoints: list[progress.Checkpoint] = field(default_factory=list)
    measured: Measured | None = None

    def take(self, event: progress.Event, now: datetime) -> None:
        """Add one event; `now` is our own clock, the machine's is not trusted."""
        self.heard_at = now
        match event:
            case progress.PhaseChange():
                self._phase(event, now)
            case progress.Step():
                self._step(event, now)
            case progress.Evaluated():
                self.evaluated = event
            case progress.Checkpoint():
                self.checkpoints.append(event)
            case progress.Notice():
                self.notice = event
            case progress.Done():
                self.done = event

    def _phase(self, event: progress.PhaseChange, now: datetime) -> None:
        if event.began:
            self.phase, self.phase_since = event.phase, now
            self.phases.setdefault(event.phase, 0.0)
            return
        self.phases[event.phase] = self.phases.get(event.phase, 0.0) + (event.seconds or 0.0)
        self.phase_since = None

    def _step(self, event: progress.Step, now: datetime) -> None:
        at = event.at or now  # the machine's clock is good enough for differences, and right when events are read again
        if self.first_step is None or event.step < self.first_step[0]:
            self.first_step = (event.step, at)
        if event.loss is not None:
            before = event.loss if self.smooth_loss is None else self.smooth_loss
            self.smooth_loss = SMOOTHING * before + (1 - SMOOTHING) * event.loss
            self.loss_falls = self.smooth_loss < before
        self.last_step, self.last_step_at = event, at
        self.measured = after(self.measured, event, at)

    def seconds_by_phase(self, now: datetime) -> dict[str, float]:
        """What each phase of the machine's has taken so far."""
        seconds = dict(self.phases)
        if self.phase_since is not None:
            seconds[self.phase] = seconds.get(self.phase, 0.0) + (now - self.phase_since).total_seconds()
        return seconds

    def snapshot(self, earlier: dict[str, float], spent_usd: Decimal, now: datetime) -> Snapshot:
        """For the display; `earlier` are the phases before the job (boot, ship)."""
        step, evaluated = self.last_step, self.evaluated
        return Snapshot(
            phases=tuple({**earlier, **self.seconds_by_phase(now)}.items()),
            step=step.step if step else 0,
            of=step.of if step else 0,
            loss=step.loss if step else None,
            loss_falls=self.loss_falls,
            tokens_per_second=step.tokens_per_second if step else None,
            vram_gib=step.vram_gib if step else None,
            evaluated=evaluated.done if evaluated else 0,
            evaluate_of=evaluated.of if evaluated else 0,
            arm=evaluated.arm if evaluated else "",
            spent_usd=spent_usd,
        )

    def step_seconds(self) -> float | None:
        """Measured seconds a step, once there are enough of them."""
        if self.first_step is None or self.last_step is None or self.last_step_at is None:
            return None
        steps = self.last_step.step - self.first_step[0]
        if steps < SPAN_STEPS:
            return None
        return (self.last_step_at - self.first_step[1]).total_seconds() / steps


GUEST_PHASES = ("install", "model", "train", "evaluate")


def seconds_left(tracker: Tracker, estimate: Estimate, now: datetime) -> Interval:
    """From now to TERMINATED: measured speed where there is one, the plan for the rest."""
    low = expected = high = 0.0
    taken = tracker.seconds_by_phase(now)
    for phase in estimate.phases:
        if phase.name in ("boot", "ship"):
            continue
        spread = SEEN_SPREAD if phase.name == "train" and tracker.step_seconds() else UNSEEN_SPREAD
        left = _phase_left(tracker, phase.name, phase.seconds.expected, taken.get(phase.name, 0.0))
        low, expected, high = low + left * spread[0], expected + left, high + left * spread[1]
    return Interval(low=low, expected=expected, high=high)


def _phase_left(tracker: Tracker, name: str, planned: float, taken: float) -> float:
    speed, step = tracker.step_seconds(), tracker.last_step
    if name == "train" and speed is not None and step is not None:
        return max(0, step.of - step.step) * speed
    if name in GUEST_PHASES and _is_over(tracker, name):
        return 0.0
    return max(0.0, planned - taken)


def _is_over(tracker: Tracker, name: str) -> bool:
    """A phase is over when a later one has begun (evaluation comes on both sides of training and counts to the end)."""
    if tracker.done is not None:
        return True
    order = {phase: place for place, phase in enumerate(GUEST_PHASES)}
    return order.get(name, 0) < order.get(tracker.phase, 0) and not (name == "train" and tracker.last_step is None)


def dollars(seconds: Interval, spent_usd: Decimal, usd_per_hour: Decimal) -> Dollars:
    """What it will have cost at the end, at the rate that is billed now."""

    def total(left: float) -> Decimal:
        return spent_usd + usd_per_hour * Decimal(left) / 3600

    return Dollars(low_usd=total(seconds.low), expected_usd=total(seconds.expected), high_usd=total(seconds.high))
