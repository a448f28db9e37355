"""Keeps a training in step with its money and time: tells the forecast, and does what the policy decides."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from launcher import books
from launcher.codec import load
from launcher.display import where
from launcher.events import Forecast, Warned
from launcher.forecast import (
    SAME_PACE,
    Ahead,
    Known,
    Pace,
    forecast,
    last_step_within,
    needed_usd,
    pace,
    reach_seconds,
)
from launcher.guest import Guest, GuestError
from launcher.pace_policy import (
    LEASE_LAG_SECONDS,
    SLOW_HOST,
    TOO_SLOW,
    Elsewhere,
    Situation,
    SlowHost,
    Turn,
    Verdict,
    judge,
)
from launcher.price import plan_for_rest
from launcher.remote import RemoteError
from launcher.request import IfSlow, Request
from launcher.run import MOST_ATTEMPTS, Ending, Run, Shortened
from launcher.tracker import Tracker
from launcher.world import World
from pricing.estimate import Dollars, Estimate, egress_usd, estimate
from pricing.offer import Market
from pricing.plan import Choice, Plan
from pricing.throughput import arm_shares

MOST_LEFT = 2
"""Machines that one run leaves for being slow: each costs a boot, and a third one says more about the estimate."""
LOOK_AGAIN_SECONDS = 900.0
"""Between looks at the market for something better: prices move by the quarter of an hour, and each look takes some."""
SAVE_SECONDS = 30.0
"""What a save is expected to take when a machine is left (assumed); the budget keeps far more for it."""


class Pacer:
    """For one machine of a run, from the beginning of its job to its end."""

    def __init__(self, run: Run, world: World, plan: Plan) -> None:
        self._run, self._world, self._plan = run, world, plan
        self._if_slow = load(Request, world.ledger.request(run.id)).if_slow
        attempt = run.attempt
        train = next(one.seconds for one in _whole_estimate(run, plan).phases if one.name == "train")
        self._planned_step = train.times(1 / plan.workload.steps) if attempt.offer.gpu is not None else None
        self._arms = arm_shares(plan.workload, attempt.offer.gpu)
        self._judged = False
        self._can_be_shortened = True
        self._looked_at: datetime | None = None
        self._elsewhere: Elsewhere | None = None
        self._told: set[str] = set()
        self.ending: Ending | None = None
        """Why the machine is to save and end; None as long as it may go on."""

    def is_news(self, tracker: Tracker) -> bool:
        """The probe has come, and nothing was made of it yet."""
        return tracker.probe is not None and not self._judged

    def turn(self, tracker: Tracker, guest: Guest) -> None:
        """Tell the forecast as it is now; after the probe, see what is to be done."""
        now, known = self._world.now(), self._known()
        ahead = forecast(tracker, known, now, last_step=self._last_step(tracker))
        self._world.console.tell(
            Forecast(run=self._run.id, at=now, seconds=ahead.seconds, usd=ahead.usd, basis=ahead.basis)
        )
        if tracker.probe is None:
            return
        if self.is_news(tracker):
            self._judged, self._run.attempt.measured = True, tracker.measured
            self._world.ledger.save_attempt(self._run, self._run.attempt)
        if tracker.phase == "train" and tracker.last_step is not None and self.ending is None:
            self._act(tracker, guest, known, ahead)

    def _act(self, tracker: Tracker, guest: Guest, known: Known, ahead: Ahead) -> None:
        situation = self._situation(tracker, known, ahead)
        verdict = judge(situation)
        if verdict.turn is Turn.LOOK:
            self._elsewhere = self._look(tracker, known, situation)
            verdict = judge(replace(situation, has_looked=True, elsewhere=self._elsewhere))
        match verdict.turn:
            case Turn.SHORTEN:
                self._shorten(verdict, situation, guest)
            case Turn.LEAVE | Turn.STOP:
                self.ending = verdict.ending
            case _:
                self._tell_slow(situation)

    def _known(self) -> Known:
        attempt, plan = self._run.attempt, self._plan
        egress = egress_usd(attempt.offer, plan.workload, plan.terms)
        return Known(
            estimate=attempt.choice.estimate,
            arms=self._arms,
            spent_usd=books.spent_usd(self._run, self._world.now()),
            rate_usd_per_hour=attempt.rate_usd_per_hour,
            egress_usd=max(Decimal(0), egress - attempt.egress_usd),
            restart_seconds=sum(max(0.0, attempt.phases.get(name, 0.0)) for name in ("boot", "ship")),
            planned_step=self._planned_step,
        )

    def _situation(self, tracker: Tracker, known: Known, ahead: Ahead) -> Situation:
        run, world, step = self._run, self._world, tracker.last_step
        assert step is not None
        cap = books.cap(run, run.attempt.choice, self._plan, world)
        rate, egress = known.rate_usd_per_hour, known.egress_usd
        reach = reach_seconds(cap, rate, egress)
        by_money = reach_seconds(replace(cap, deadline_left_seconds=None), rate, egress)
        of = self._last_step(tracker) or step.of
        slow = self._slow_host(tracker)
        return Situation(
            if_slow=self._if_slow,
            ahead=ahead,
            reach_seconds=reach,
            binds="budget" if by_money <= reach else "deadline",
            budget_usd=run.budget_usd,
            needed_usd=needed_usd(tracker, ahead, known, cap, world.now()),
            step=step.step,
            of=of,
            planned_steps=max(of, 0 if run.shortened is None else run.shortened.of),
            last_step_within=min(of, last_step_within(tracker, known, world.now(), reach - LEASE_LAG_SECONDS)),
            can_be_shortened=self._can_be_shortened,
            slow_host=slow,
            may_leave=self._may_leave(),
            has_looked=self._has_looked(),
            elsewhere=self._elsewhere if self._has_looked() else None,
        )

    def _last_step(self, tracker: Tracker) -> int | None:
        """What the job was told, which it may not have read yet."""
        shortened, step = self._run.attempt.shortened, tracker.last_step
        return None if shortened is None or step is None else min(shortened.last_step, step.of)

    def _slow_host(self, tracker: Tracker) -> SlowHost | None:
        """A machine that no estimate explains; where an earlier one was as slow, it is the estimate that is wrong."""
        measured, planned, offer = pace(tracker), self._planned_step, self._run.attempt.offer
        if measured is None or planned is None or offer.gpu is None or not measured.is_far_below(planned):
            return None
        if any(_alike(measured, other) for other in self._earlier_paces(offer.gpu.name)):
            return None
        return SlowHost(
            card=offer.gpu.name,
            share=measured.share_of(planned),
            step_seconds=measured.step_seconds,
            planned_step=planned,
        )

    def _earlier_paces(self, card: str) -> list[float]:
        """Seconds a step on the machines before this one that had the same card."""
        same = [one for one in self._run.attempts[:-1] if one.offer.gpu is not None and one.offer.gpu.name == card]
        return [one.measured.step_seconds for one in same if one.measured and one.measured.step_seconds]

    def _may_leave(self) -> bool:
        run = self._run
        left = sum(one.end_code in (SLOW_HOST, TOO_SLOW) for one in run.since_resumed[:-1])
        had = sum(not one.never_was for one in run.since_resumed)
        return run.attempt.offer.market is not Market.OWNED and left < MOST_LEFT and had < MOST_ATTEMPTS

    def _has_looked(self) -> bool:
        if self._looked_at is None:
            return False
        return (self._world.now() - self._looked_at).total_seconds() < LOOK_AGAIN_SECONDS

    def _look(self, tracker: Tracker, known: Known, situation: Situation) -> Elsewhere | None:
        """The cheapest other place for the rest, after this machine was saved, emptied and ended."""
        step = tracker.last_step
        assert step is not None
        share = (situation.of - step.step) / situation.planned_steps
        leaving_usd, leaving_seconds = self._leaving(known)
        plan = plan_for_rest(self._run, self._world, share, less_usd=leaving_usd, less_seconds=leaving_seconds)
        self._looked_at = self._world.now()
        factor = 1.0 if situation.slow_host is not None else self._slower(tracker)
        factor *= situation.planned_steps / self._plan.workload.steps  # what is planned may be less than the job says
        found = [
            _elsewhere(choice, known.spent_usd + leaving_usd, factor, self._left_usd(known, leaving_usd))
            for choice in (() if plan is None else plan.choices)
            if choice.offer.pool != self._run.attempt.offer.pool
            and self._world.ledger.refused_until(choice.offer.pool, self._world.now()) is None
        ]
        return min(found, key=lambda one: one.usd.expected_usd, default=None)

    def _leaving(self, known: Known) -> tuple[Decimal, float]:
        """What it costs, and how long it takes, to leave: a save, the checkpoint's way home, the proof of the end."""
        seconds = SAVE_SECONDS + sum(known.planned(name).expected for name in ("pull", "teardown"))
        return known.rate_usd_per_hour * Decimal(str(seconds)) / 3600, seconds

    def _left_usd(self, known: Known, leaving_usd: Decimal) -> Decimal | None:
        budget = self._run.budget_usd
        return None if budget is None else budget - known.spent_usd - leaving_usd

    def _slower(self, tracker: Tracker) -> float:
        """Where the speed lies within what estimates miss by, the same miss is expected of them elsewhere."""
        measured, planned = pace(tracker), self._planned_step
        return 1.0 if measured is None or planned is None else max(1.0, 1 / measured.share_of(planned))

    def _shorten(self, verdict: Verdict, situation: Situation, guest: Guest) -> None:
        """On disk first: a machine after this one must hear of it even if we die now."""
        attempt, before = self._run.attempt, self._run.attempt.shortened
        attempt.shortened = Shortened(last_step=verdict.last_step, of=situation.planned_steps)
        self._world.ledger.save_attempt(self._run, attempt)
        try:
            guest.shorten(verdict.last_step)
        except (RemoteError, GuestError) as error:
            attempt.shortened = before
            self._world.ledger.save_attempt(self._run, attempt)
            self._can_be_shortened = not isinstance(error, GuestError)  # a line that is down is tried again
            self._warn_once("shorten", f"the training could not be shortened ({error}); the budget cuts it off in time")
            return
        self._warn("shortened", verdict.why)

    def _tell_slow(self, situation: Situation) -> None:
        """A slow machine is named also where it is kept."""
        if situation.slow_host is None:
            return
        if self._if_slow is IfSlow.GO_ON:
            kept = "it is kept, as --if-slow go-on says"
        elif self._may_leave():
            kept = "it is kept: no other that can be had is sure to finish for less"
        else:
            kept = "it is kept"
        self._warn_once(SLOW_HOST, f"{situation.slow_host.words}; {kept}")

    def _warn_once(self, code: str, text: str) -> None:
        if code not in self._told:
            self._told.add(code)
            self._warn(code, text)

    def _warn(self, code: str, text: str) -> None:
        self._world.console.tell(Warned(run=self._run.id, at=self._world.now(), code=code, text=text))


def _whole_estimate(run: Run, plan: Plan) -> Estimate:
    """Of the whole training, also where this machine has only the rest of it to do."""
    return estimate(run.attempt.offer, plan.workload, plan.terms)


def _alike(measured: Pace, other_step_seconds: float) -> bool:
    return max(measured.step_seconds, other_step_seconds) <= SAME_PACE * min(measured.step_seconds, other_step_seconds)


def _elsewhere(choice: Choice, before_usd: Decimal, factor: float, left_usd: Decimal | None) -> Elsewhere:
    """What the run will have cost there, with a training `factor` times as long as estimated."""
    seconds = next(one.seconds for one in choice.estimate.phases if one.name == "train")
    usd, rate = choice.estimate.usd, choice.expected_usd_per_hour
    low, expected, high = (
        rate * Decimal(str((factor - 1) * one)) / 3600 for one in (seconds.low, seconds.expected, seconds.high)
    )
    whole = Dollars(
        low_usd=before_usd + usd.low_usd + low,
        expected_usd=before_usd + usd.expected_usd + expected,
        high_usd=before_usd + usd.high_usd + high,
    )
    fits = left_usd is None or usd.high_usd + high <= left_usd
    return Elsewhere(words=where(choice.offer), usd=whole, fits=fits)


def shortened_to(run: Run, tracker: Tracker) -> str:
    """What is to be said of a training that ended earlier than asked for, or ""; it may have been further already."""
    short, told = run.shortened, tracker.last_step
    if short is None:
        return ""
    last = max(short.last_step, 0 if told is None else told.step)
    return f"trained for {last} of {short.of} steps, to stay within its limits"
