"""What to do about a training that is too slow: for its budget or deadline, or for the card that was rented. Pure."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from launcher.display import interval, money
from launcher.forecast import Ahead
from launcher.request import IfSlow
from launcher.run import Ending, Outcome
from pricing.estimate import Dollars, Interval

SLOW_HOST, TOO_SLOW = "slow-host", "too-slow"
"""The codes of endings: the machine is slower than sold, and left; the budget does not last at this speed."""
SHORTEST_SHARE = 0.25
"""A training that would have to end before this share of its steps is not the one that was asked for: what the rest of
the budget would buy is worth less than the budget (assumed)."""
LEASE_LAG_SECONDS = 120.0
"""What is kept free when a schedule is shortened: the machine's own lease may lie so far behind what we know."""


@dataclass(frozen=True, kw_only=True)
class SlowHost:
    """A machine far below its card: `share` of the speed that was expected, `step_seconds` against `planned_step`."""

    card: str
    share: float
    step_seconds: float
    planned_step: Interval

    @property
    def words(self) -> str:
        """The machine by name."""
        planned = self.planned_step
        figures = f"{self.step_seconds:.2f} s a step; {planned.expected:.2f} expected, {planned.high:.2f} at most"
        return f"this {self.card} trains at {self.share:.2f} of what it should ({figures})"


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """The best other machine for the rest: what the run will have cost if it goes there, and whether P90 fits."""

    words: str
    usd: Dollars
    fits: bool


@dataclass(frozen=True, kw_only=True)
class Situation:
    """All that the decision needs to know, at one moment of a training."""

    if_slow: IfSlow
    ahead: Ahead
    reach_seconds: float
    """How long the job can work before it must save."""
    binds: str
    """"budget" or "deadline": which of them that is."""
    budget_usd: Decimal | None
    needed_usd: Decimal
    step: int
    of: int
    planned_steps: int
    """`of`, before anything was shortened."""
    last_step_within: int
    """Where the training would have to end to fit; 0: nowhere."""
    can_be_shortened: bool = True
    slow_host: SlowHost | None = None
    may_leave: bool = False
    """Another machine may be tried at all, within the bounds of a run."""
    has_looked: bool = False
    elsewhere: Elsewhere | None = None

    @property
    def fits(self) -> bool:
        """Nine times in ten it is done in time."""
        return self.ahead.work.high <= self.reach_seconds


class Turn(StrEnum):
    """What comes next."""

    GO_ON = "go on"
    LOOK = "look elsewhere"
    LEAVE = "leave"
    SHORTEN = "shorten"
    STOP = "stop"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A turn, why, and what goes with it: the new last step, or the ending."""

    turn: Turn
    why: str = ""
    last_step: int = 0
    ending: Ending | None = None


def judge(now: Situation) -> Verdict:
    """A better machine first, where one may be taken; else what the person's policy says, and only if it must be."""
    if _wants_to_leave(now):
        if not now.has_looked:
            return Verdict(turn=Turn.LOOK)
        if now.elsewhere is not None and _pays(now, now.elsewhere):
            return _leave(now, now.elsewhere)
    if now.fits or now.if_slow is IfSlow.GO_ON or now.step >= now.of:
        return Verdict(turn=Turn.GO_ON)
    if now.if_slow is IfSlow.STOP:
        return _stop(now, "as --if-slow stop says")
    return _shorten(now)


def _wants_to_leave(now: Situation) -> bool:
    """Who said to go on stays; a slow host is left for a better one under every other policy."""
    if not now.may_leave or now.if_slow is IfSlow.GO_ON:
        return False
    return now.slow_host is not None or (now.if_slow is IfSlow.MOVE and not now.fits)


def _pays(now: Situation, there: Elsewhere) -> bool:
    """Whether to go there is expected to be cheaper than to stay.

    Of a slow host we know the speed, of the next one only the estimate: even its high end must be below what staying is
    expected to cost. Where the budget does not last here, an expected saving does, if nine in ten finish there.
    """
    stay_usd = now.ahead.usd.expected_usd
    if now.slow_host is not None and there.usd.high_usd <= stay_usd:
        return True
    return not now.fits and now.if_slow is IfSlow.MOVE and there.fits and there.usd.expected_usd < stay_usd


def _leave(now: Situation, there: Elsewhere) -> Verdict:
    gain = f"{there.words} is expected to finish for {interval(there.usd)}, this one for {interval(now.ahead.usd)}"
    if now.slow_host is not None:
        why, code = f"{now.slow_host.words}; {gain}", SLOW_HOST
    else:
        why, code = f"{_short_of(now)}; {gain}", TOO_SLOW
    return Verdict(turn=Turn.LEAVE, why=why, ending=Ending(outcome=Outcome.LOST, why=why, code=code, again=True))


def _shorten(now: Situation) -> Verdict:
    if not now.can_be_shortened:
        return Verdict(turn=Turn.GO_ON)
    last, begun = now.last_step_within, now.of < now.planned_steps
    if last >= now.of:  # the high end is over by less than what a shorter schedule keeps free
        return Verdict(turn=Turn.GO_ON)
    if last < now.planned_steps * SHORTEST_SHARE and not begun:
        share = last / now.planned_steps
        return _stop(now, f"only {share:.0%} of the training would fit, which is not worth the rest of the money")
    if last <= now.step:  # shortened once, and slower still: what is evaluated now is better than what is cut off
        last = now.step + 1
    if last >= now.of:
        return Verdict(turn=Turn.GO_ON)
    share = last / now.planned_steps
    ends = f"the training ends at step {last} of {now.planned_steps} ({share:.0%}), with its learning rate at 0"
    why = f"{_short_of(now)}; {ends}"
    return Verdict(turn=Turn.SHORTEN, why=why, last_step=last)


def _stop(now: Situation, because: str) -> Verdict:
    done = f"stopped at step {now.step} of {now.of}, {because}"
    why = f"{_short_of(now)}; {done}"
    if now.binds == "budget":
        why += f"; a budget of {money(now.needed_usd)} would do"
    return Verdict(turn=Turn.STOP, why=why, ending=Ending(outcome=Outcome.OUT_OF_BUDGET, why=why, code=TOO_SLOW))


def _short_of(now: Situation) -> str:
    """What is needed, and what there is."""
    if now.binds == "budget" and now.budget_usd is not None:
        return f"at the measured speed it needs {interval(now.ahead.usd)}, the budget is {money(now.budget_usd)}"
    hours, left = now.ahead.work.high / 3600, now.reach_seconds / 3600
    return f"at the measured speed it may need {hours:.2f} h more, the deadline leaves {left:.2f} h"
