"""What a run is: where its machine is (`State`), how the work ended (`Outcome`), and which steps may follow which."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

from launcher.measured import Measured
from pricing.interval import Interval
from pricing.offer import Offer
from pricing.plan import Choice
from providers.base import Instance

MOST_ATTEMPTS = 12
"""Machines that one run may try: a bound for a market gone mad; the budget usually ends it first."""


class State(StrEnum):
    """Where a run's machine is."""

    PLANNED = "PLANNED"
    PROVISIONING = "PROVISIONING"
    BOOTING = "BOOTING"
    SHIPPING = "SHIPPING"
    RUNNING = "RUNNING"
    PULLING = "PULLING"
    TERMINATING = "TERMINATING"
    TERMINATED = "TERMINATED"


NEXT: dict[State, frozenset[State]] = {
    State.PLANNED: frozenset({State.PROVISIONING, State.TERMINATING}),
    State.PROVISIONING: frozenset({State.BOOTING, State.TERMINATING}),
    State.BOOTING: frozenset({State.SHIPPING, State.TERMINATING}),
    State.SHIPPING: frozenset({State.RUNNING, State.TERMINATING}),
    State.RUNNING: frozenset({State.PULLING, State.TERMINATING}),
    State.PULLING: frozenset({State.TERMINATING}),
    State.TERMINATING: frozenset({State.TERMINATED, State.PROVISIONING}),
    State.TERMINATED: frozenset({State.PROVISIONING}),
}
"""Every path leaves through TERMINATING. A new attempt starts from there, once the last machine is proven gone;
from TERMINATED only by `launch resume`, with a new budget."""


class Outcome(StrEnum):
    """How the work ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    PREEMPTED = "preempted"
    OUT_OF_BUDGET = "out of budget"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How one machine's work ended; `again` when another machine may go on from the last checkpoint."""

    outcome: Outcome
    why: str = ""
    code: str = ""
    again: bool = False
    hint: str = ""
    exit_code: int | None = None
    """Where the outcome alone does not say it."""
    pull: bool = True
    """False: the machine has nothing more to give, or is not to be asked."""


@dataclass(frozen=True, kw_only=True)
class Shortened:
    """The training ends at `last_step` instead of `of`, so that it fits into the budget or the deadline."""

    last_step: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.last_step <= self.of:
            raise ValueError(f"a training is shortened to a step between 1 and its last one: {self}")


@dataclass(kw_only=True)
class Attempt:
    """One machine of a run, from the intent to the proof of its end."""

    number: int
    choice: Choice
    nonce: str
    started_at: datetime
    """When the create call was about to be made: money counts from here."""
    deadline: datetime
    lease_seconds: int
    rate_usd_per_hour: Decimal
    """The all-in rate that was last seen."""
    metered_usd: Decimal = Decimal(0)
    """What it has cost up to `metered_at`, at the rates that were seen."""
    metered_at: datetime | None = None
    """None until the provider was first asked for the rate: then it counts from `started_at`."""
    asked_at: datetime | None = None
    """When create was last called: from then on a machine may still turn up; None: at `started_at`."""
    instance: Instance | None = None
    ended_at: datetime | None = None
    """When the provider first said that it ends, or proved that it was never there."""
    gone_at: datetime | None = None
    never_was: bool = False
    """The create call was refused, or nothing ever came of it."""
    looks: int = 0
    job_at: datetime | None = None
    """When its job was about to be started: from then on it may work, also where the state does not say so yet."""
    seen_at: datetime | None = None
    """When a look first showed the machine: from then on not to see it any more means something."""
    account: str = ""
    """Whose account rented it, as the provider told then: with another one's key not to see it means nothing."""
    host_key: str = ""
    """The key that was accepted instead of the one that we gave it; "" where it shows ours."""
    is_fenced: bool = False
    """The machine keeps who carries the run (`launcher.fence`); one that an older version booted does not."""
    end_code: str = ""
    """Why its work ended, by the code of its ending."""
    egress_usd: Decimal = Decimal(0)
    slices_by_hand: int = 0
    """Of that, the slices that `launch pull` brought home (`launcher.egress`)."""
    twin_seconds: dict[str, float] = field(default_factory=dict)
    """By id, for how long other machines of the same create call are in `metered_usd` (`launcher.twins`)."""
    phases: dict[str, float] = field(default_factory=dict)
    measured: Measured | None = None
    """What its training steps came to; None where none was seen."""
    whole_training: Interval | None = None
    """Seconds of the whole training by the estimate, where this machine's own is for the rest of it; else None."""
    shortened: Shortened | None = None
    """What was decided while it worked; the machines after it are told the same."""

    @property
    def offer(self) -> Offer:
        """What was rented."""
        return self.choice.offer

    def unanswered_seconds(self, now: datetime) -> float:
        """How long ago a machine was last asked for."""
        return (now - (self.asked_at or self.started_at)).total_seconds()

    def seconds(self, now: datetime) -> float:
        """How long it has been billed, counted from our side: never too short."""
        return max(0.0, ((self.ended_at or now) - self.started_at).total_seconds())


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a run came to under one budget, before `launch resume` gave it another one.

    `spent_usd` and `attempts` count from the first create call of the run: both are of all parts up to this one.
    """

    resumed_at: datetime
    """When the next part began."""
    budget_usd: Decimal | None
    spent_usd: Decimal
    attempts: int
    """Numbers up to this one are of this part, or of one before it."""
    outcome: Outcome
    why: str


@dataclass(kw_only=True)
class Run:
    """One launch, with all its attempts; the ledger holds the same, and is written first."""

    id: str
    name: str
    created_at: datetime
    budget_usd: Decimal | None
    deadline_at: datetime | None
    out_dir: Path
    state: State
    ending: Ending | None = None
    attempts: list[Attempt] = field(default_factory=list)
    parts: tuple[Part, ...] = ()
    """What it came to before it was resumed, once for each time; empty for a run that never was."""
    granted: dict[int, str] = field(default_factory=dict, compare=False)
    """By attempt: under which name this process carries it, by its machine's word; of this process alone."""
    beats: dict[str, datetime] = field(default_factory=dict, compare=False)
    """When this process last said that it carries the run, by where it said so; of this process alone."""

    @property
    def began_at(self) -> datetime:
        """When the budget that it works under began to count: deadlines are counted from here."""
        return self.parts[-1].resumed_at if self.parts else self.created_at

    @property
    def since_resumed(self) -> list[Attempt]:
        """The attempts under the present budget: all of a run that was never resumed."""
        return self.attempts[self.parts[-1].attempts :] if self.parts else self.attempts

    @property
    def attempt(self) -> Attempt:
        """The latest attempt."""
        return self.attempts[-1]

    @property
    def may_work(self) -> bool:
        """Whether its machine may hold work of its job: that is written down before the job is started."""
        is_begun = self.state is State.SHIPPING and self.attempt.job_at is not None
        return is_begun or self.state in (State.RUNNING, State.PULLING)

    @property
    def shortened(self) -> Shortened | None:
        """The schedule as it was last shortened; None where it is as the job's settings say.

        What an earlier budget had cut, the present one may pay for.
        """
        return next((one.shortened for one in reversed(self.since_resumed) if one.shortened is not None), None)
