"""What a run will still take, and will have cost: the plan, corrected by the probe and all that is measured. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_UP, Decimal
from math import sqrt

from jobs.progress import Probed
from launcher.tracker import Tracker
from pricing.budget import Cap
from pricing.estimate import (
    DEFAULT_RECLAIMS_PER_HOUR,
    DEFAULT_RECLAIMS_PER_HOUR_HIGH,
    HIGH_RECLAIMS,
    Dollars,
    Estimate,
    Interval,
)
from pricing.interval import total
from pricing.offer import Market, Offer

SECONDS_PER_HOUR = 3600
Z_80 = 1.28
"""80 % of a normal distribution lie within so many standard deviations."""
DRIFT_SHARE = 0.03
"""How far the rest of a training may run from what was measured, beside the luck of the sample: heat, neighbours, rows
of other lengths (assumed; docs/probe.md shows what it was on a CPU)."""
UNTOLD_SPREAD = 0.25
"""Between steps, where no probe says how much they differ: rows of different lengths (assumed)."""
PROBE_WORTH = 40
"""Steps told one by one are believed over the probe from so many on: twice what it measures."""
BEGUN_STEPS = 3
"""Without a probe: steps before the speed is believed. The first ones warm up."""
ARM_SPREAD = (0.4, 1.2)
"""What the next arm of the evaluation may take, as shares of those before: a tuned model knows when to stop, and the
base writes to the limit (assumed)."""
UNTOLD_SAVE_SECONDS = 600.0
"""Between checkpoints, before a job says how often it saves and how fast it goes (assumed)."""
SLOWER_AT_MOST = 4.0
"""By how much a slow training makes an evaluation slower at most, of which nothing is measured yet."""
OVERDUE_SHARE = 0.1
"""A phase that takes longer than its high end takes so much of its time again, at the high end (assumed)."""
SLOW_MARGIN = 1.25
"""How far beyond the P90 of its step time a machine counts as slow. P90 alone would take one honest machine in ten for
slow; with the spread of 1.6 that estimates have as a rule this leaves one in thirty. Hosts sold under one name were
measured at up to 2.2 times each other's time."""
SAME_PACE = 1.25
"""Two machines with one kind of card whose step times lie within this factor are alike: then it is the estimate that
is wrong, and not the machine."""
MOST_SECONDS = 10 * 365 * 86_400.0
"""A training is not foretold to last longer than ten years, whatever a machine says of its steps."""
ENDING = ("pull", "teardown")
WHOLE = 1 - 1e-9
"""All shares together, but for what floating point loses."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a forecast rests on, beside the machine's own events.

    `planned_step` is the time of one step by the estimate, None where it says nothing; `restart_seconds` is what it
    took to get this machine to work; `arms` are the shares of the whole evaluation that each of its arms takes.
    """

    estimate: Estimate
    arms: Mapping[str, float]
    spent_usd: Decimal
    rate_usd_per_hour: Decimal
    egress_usd: Decimal = Decimal(0)
    restart_seconds: float = 0.0
    planned_step: Interval | None = None

    @property
    def offer(self) -> Offer:
        """Where it runs."""
        return self.estimate.offer

    def planned(self, phase: str) -> Interval:
        """The seconds of a phase by the estimate."""
        none = Interval(low=0.0, expected=0.0, high=0.0)
        return next((seconds for name, seconds in self.estimate.times.by_phase if name == phase), none)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds a step as measured over `steps` of them; in 80 % of cases the rest goes at that, give or take `off`."""

    step_seconds: float
    off: float
    steps: int
    save_seconds: float = 0.0
    save_every: int = 0

    def left(self, steps: int) -> Interval:
        """Seconds for so many more steps, with the saves that fall into them."""
        saves = self.save_seconds * (steps // self.save_every) if self.save_every else 0.0
        middle = min(MOST_SECONDS, steps * self.step_seconds + saves)
        return Interval(low=middle * max(0.0, 1 - self.off), expected=middle, high=middle * (1 + self.off))

    def share_of(self, planned_step: Interval) -> float:
        """The speed, as a share of what was expected."""
        return planned_step.expected / self.step_seconds

    def is_far_below(self, planned_step: Interval) -> bool:
        """Whether no estimate explains this: beyond the high end by `SLOW_MARGIN`, however the sample erred."""
        return self.step_seconds * (1 - self.off) > planned_step.high * SLOW_MARGIN


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """What is still to come, from now: `work` until the results are there, `seconds` until TERMINATED, in P10/P50/P90.

    `usd` is what it will have cost then. `basis` says what the training's part rests on: "plan", "probe" or "steps".
    """

    work: Interval
    seconds: Interval
    usd: Dollars
    basis: str


def pace(tracker: Tracker) -> Pace | None:
    """The measured speed, once there is one: the probe, and later the latter half of all steps since."""
    probe, window = tracker.probe, tracker.window()
    spread = UNTOLD_SPREAD if probe is None else probe.spread
    if window is not None and window[0] > 0 and window[1] >= (BEGUN_STEPS if probe is None else PROBE_WORTH):
        seconds, steps = window
        return Pace(step_seconds=seconds, off=_off(spread, steps), steps=steps)  # saves are in there
    return None if probe is None else _of_probe(probe)


def _of_probe(probe: Probed) -> Pace:
    return Pace(
        step_seconds=probe.step_seconds,
        off=_off(probe.spread, probe.steps),
        steps=probe.steps,
        save_seconds=max(0.0, probe.save_seconds or 0.0),
        save_every=probe.save_every,
    )


def _off(spread: float, steps: int) -> float:
    """The error of a mean of so many steps, and what may change after them."""
    return sqrt((Z_80 * spread / sqrt(steps)) ** 2 + DRIFT_SHARE**2)


def forecast(tracker: Tracker, known: Known, now: datetime, *, last_step: int | None = None) -> Ahead:
    """From now to the end; with `last_step` as if the training ended there."""
    parts = [_phase_left(tracker, known, name, now) for name in ("install", "model")]
    training, basis = _training_left(tracker, known, now, last_step)
    parts += [training, _evaluation_left(tracker, known, now)]
    work = total((*parts, _rework(tracker, known, total(tuple(parts)), now)))
    seconds = total((work, *(known.planned(name) for name in ENDING)))
    return Ahead(work=work, seconds=seconds, usd=_dollars(seconds, known), basis=basis)


def reach_seconds(cap: Cap, rate_usd_per_hour: Decimal, egress_usd: Decimal = Decimal(0)) -> float:
    """How long the job can work at today's rate before the cap asks for a save.

    The cap counts on the worst rate from now on and is renewed as time shows that less is billed; this is where that
    leads. What the ending needs, the cap keeps at the worst rate; `egress_usd` is what checkpoints and results still
    cost on their way home.
    """
    reserve = cap.reserve
    ending_seconds = reserve.ending_seconds + reserve.guard_seconds
    by_deadline = float("inf") if cap.deadline_left_seconds is None else cap.deadline_left_seconds - ending_seconds
    if cap.worst_usd_per_hour == 0 or rate_usd_per_hour == 0:
        return min(cap.stop_seconds, max(0.0, by_deadline))
    kept_usd = cap.worst_usd_per_hour * Decimal(str(ending_seconds)) / SECONDS_PER_HOUR
    by_money = float((cap.left_usd - kept_usd - egress_usd) * SECONDS_PER_HOUR / rate_usd_per_hour)
    return max(0.0, min(by_money, by_deadline))


def needed_usd(tracker: Tracker, ahead: Ahead, known: Known, cap: Cap, now: datetime) -> Decimal:
    """The total budget under which the rest could be done later, from the checkpoint that is saved when it stops now.

    This machine has to be ended, and another one has to get to work. What there is of money must last for the high end
    at today's rate, and for what is expected at the worst rate: nothing is rented under less.
    """
    reserve, rate, worst = cap.reserve, known.rate_usd_per_hour, cap.worst_usd_per_hour
    ending_seconds = reserve.ending_seconds + reserve.guard_seconds
    again_seconds = _again_seconds(tracker, known, now)
    at_today = _usd(again_seconds + ahead.work.high, rate) + _usd(ending_seconds, worst)
    at_worst = _usd(again_seconds + ahead.work.expected + ending_seconds, worst)
    usd = known.spent_usd + _usd(reserve.ending_seconds, rate) + max(at_today, at_worst) + reserve.egress_usd
    return usd.quantize(Decimal("0.01"), rounding=ROUND_UP)


def _again_seconds(tracker: Tracker, known: Known, now: datetime) -> float:
    """What it took this machine to get to its first step, the evaluations before training included."""
    taken = tracker.seconds_by_phase(now)
    measured, step = pace(tracker), tracker.last_step
    trained = 0.0
    if measured is not None and step is not None and tracker.measured is not None:
        trained = measured.step_seconds * (step.step - tracker.measured.skipped_steps)
    loading = max(0.0, taken.get("train", 0.0) - trained)
    return known.restart_seconds + sum(taken.get(name, 0.0) for name in ("install", "model", "evaluate")) + loading


def last_step_within(tracker: Tracker, known: Known, now: datetime, limit_seconds: float) -> int:
    """The last step at which the training could end so that the high end of all work fits; 0 where none does."""
    step = tracker.last_step
    if step is None:
        return 0
    fits, beyond = 0, step.of + 1
    low = step.step + 1
    while low < beyond:
        middle = (low + beyond) // 2
        if forecast(tracker, known, now, last_step=middle).work.high <= limit_seconds:
            fits, low = middle, middle + 1
        else:
            beyond = middle
    return fits


def _training_left(tracker: Tracker, known: Known, now: datetime, last_step: int | None) -> tuple[Interval, str]:
    measured, step = pace(tracker), tracker.last_step
    if tracker.is_over("train"):
        return Interval(low=0.0, expected=0.0, high=0.0), "steps"
    if measured is None or step is None:
        return _phase_left(tracker, known, "train", now), "plan"
    steps = max(0, (last_step or step.of) - step.step)
    basis = "probe" if tracker.probe is not None and measured.steps == tracker.probe.steps else "steps"
    return measured.left(steps), basis


def _phase_left(tracker: Tracker, known: Known, name: str, now: datetime) -> Interval:
    """The plan, less what it has taken."""
    if tracker.is_over(name):
        return Interval(low=0.0, expected=0.0, high=0.0)
    taken = tracker.seconds_by_phase(now).get(name, 0.0)
    return _less(known.planned(name), taken, runs=tracker.phase == name)


def _less(planned: Interval, taken: float, *, runs: bool) -> Interval:
    high = max(0.0, planned.high - taken, taken * OVERDUE_SHARE if runs else 0.0)
    expected = min(high, max(0.0, planned.expected - taken))
    return Interval(low=min(expected, max(0.0, planned.low - taken)), expected=expected, high=high)


def _evaluation_left(tracker: Tracker, known: Known, now: datetime) -> Interval:
    """Each arm as those before it, by their shares; before the first one, the plan at the speed that training shows."""
    done, nothing = sum(known.arms.get(arm, 0.0) for arm in tracker.arms), Interval(low=0.0, expected=0.0, high=0.0)
    if tracker.is_over("evaluate") or done >= WHOLE:
        return nothing
    before, running = tracker.phases.get("evaluate", 0.0), 0.0
    if tracker.phase == "evaluate" and tracker.phase_since is not None:
        running = max(0.0, (now - tracker.phase_since).total_seconds())
    if done and before > 0:
        all_arms = before / done
        whole = Interval(
            low=all_arms * ARM_SPREAD[0], expected=all_arms, high=all_arms * ARM_SPREAD[1]
        ).times(1 - done)  # fmt: skip
    else:
        whole = _slowed(known.planned("evaluate"), tracker, known)
    return _less(whole, running, runs=tracker.phase == "evaluate")


def _slowed(planned: Interval, tracker: Tracker, known: Known) -> Interval:
    """A machine that trains slowly probably writes slowly too; one that trains fast need not write fast."""
    measured = pace(tracker)
    if measured is None or known.planned_step is None:
        return planned
    slower = min(SLOWER_AT_MOST, max(1.0, measured.step_seconds / max(known.planned_step.expected, 1e-9)))
    return Interval(low=planned.low, expected=planned.expected * slower, high=planned.high * slower)


def _rework(tracker: Tracker, known: Known, work: Interval, now: datetime) -> Interval:
    """What reclaims of a spot machine may still add: to get to work again, and the steps since the last checkpoint."""
    offer = known.offer
    if offer.market is not Market.SPOT:
        return Interval(low=0.0, expected=0.0, high=0.0)
    rate = offer.reclaims_per_hour
    expected = DEFAULT_RECLAIMS_PER_HOUR if rate is None else rate
    high = DEFAULT_RECLAIMS_PER_HOUR_HIGH if rate is None else rate * HIGH_RECLAIMS
    taken = tracker.seconds_by_phase(now)
    again = known.restart_seconds + sum(taken.get(name, 0.0) for name in ("install", "model"))
    again += _save_interval(tracker) / 2
    hours = work.expected / SECONDS_PER_HOUR
    return Interval(low=0.0, expected=expected * hours * again, high=high * hours * again)


def _save_interval(tracker: Tracker) -> float:
    """Seconds between checkpoints, where they can be told."""
    measured = pace(tracker)
    every = 0 if tracker.probe is None else tracker.probe.save_every
    return UNTOLD_SAVE_SECONDS if measured is None or every == 0 else every * measured.step_seconds


def _dollars(seconds: Interval, known: Known) -> Dollars:
    fixed_usd = known.spent_usd + known.egress_usd
    return Dollars(
        low_usd=fixed_usd + _usd(seconds.low, known.rate_usd_per_hour),
        expected_usd=fixed_usd + _usd(seconds.expected, known.rate_usd_per_hour),
        high_usd=fixed_usd + _usd(seconds.high, known.rate_usd_per_hour),
    )


def _usd(seconds: float, usd_per_hour: Decimal) -> Decimal:
    return usd_per_hour * Decimal(seconds) / SECONDS_PER_HOUR
