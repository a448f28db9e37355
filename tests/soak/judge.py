"""Judges a day by what truly was: the cloud's own bill, the machines as they lived, the files as they lie there.

R1 nothing is billed after quiescence; R2 one machine at a time; R3 the bill within the budget; R4 an acknowledged
checkpoint is there; R5 no end before the results are home, unless forced and said; R6 `reap` converges; R7 nothing
false is told. R0 is not in the issue's table: every way out is a receipt or an error for people, and there is one.
"""

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

from launcher.receipt import Receipt
from launcher.run import Outcome, State
from providers.base import EndReason
from tests.cloud.meter import peak
from tests.fake_guest import finished_files
from tests.fake_machine import Machine
from tests.fake_world import FIRST_RUN
from tests.soak.clouds import STRANGER
from tests.soak.excuses import Ends, shut_seconds
from tests.soak.leaks import PLANTED, SECRETS, leaks
from tests.soak.reading import rows
from tests.soak.schedule import BY_POINT, Kind
from tests.soak.storm import Storm
from tests.soak.work import Kept

MOST_REAP_CALLS, MOST_REAP_SECONDS = 60, 600.0
LEAST_TOLD_USD = Decimal("0.0001")
"""A receipt is rounded to this."""
LINE = frozenset({
    Kind.SPOILED_PULL, Kind.WRONG_KEY, Kind.HOST_VANISHED, Kind.SECOND_PROCESS, Kind.SUSPEND, Kind.CLOCK_FORWARD,
    Kind.LEDGER_DELETED, Kind.LEDGER_ROLLED_BACK, Kind.SSH_DOWN, Kind.SSH_HANG, Kind.HALF_OPEN, Kind.SSH_DROP,
    Kind.SSH_LOST_AFTER, Kind.TORN_PULL, Kind.DISK_FULL_HERE, *BY_POINT, Kind.CLOCK_BACK, Kind.DISK_FULL_THERE,
    Kind.HOST_FAILED, Kind.MOVED, Kind.WIPED, Kind.BAD_CHECKPOINT, Kind.FUNDS_GONE,
})  # fmt: skip
"""Where none of these fired, a reclaim may cost no more than one interval and one step. On all other days what was sure
to come home is asked for (`work`)."""
MINUTE_SECONDS, AWAY_SECONDS = 60, 120.0
"""A minute of a twin is paid for by every budget; nobody being there for so long is no looking away."""
TWINS_SECONDS = 600.0
"""So long two machines of one create call may be there, where the cloud knows no tokens and delivered it twice: until
one of them lets us in (its boot deadline is 480 s), and the end of the other."""


@dataclass(frozen=True, kw_only=True)
class Breach:
    """A promise that was broken."""

    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule} {self.text}"


@dataclass
class Judge:
    """Sees everything; listens to the storm at the moments that matter."""

    storm: Storm
    breaches: list[Breach] = field(default_factory=list)
    seen_ended: set[str] = field(default_factory=set)
    unlisted_ids: set[str] = field(default_factory=set)
    """Twins that no list had told of when their run was said to be over."""
    ends: Ends = field(init=False)
    kept: Kept = field(init=False)
    receipts: list[Receipt] = field(default_factory=list)
    has_reaped: bool = False

    def __post_init__(self) -> None:
        self.ends, self.kept = Ends(self.storm), Kept(self.storm)
        self.storm.on_checkpoint = self.kept.note
        if self.storm.schedule.canaries:
            self.storm.environ, self.storm.secrets = PLANTED, SECRETS
        self.storm.on_terminate = self.at_terminate
        self.storm.on_terminated = self.at_terminated
        self.storm.on_revived = lambda: self.breach("R2", "two processes carry the run: it was TERMINATED, and goes on")

    def breach(self, rule: str, text: str) -> None:
        """Note it, once."""
        found = Breach(rule=rule, text=text)
        if found not in self.breaches:
            self.breaches.append(found)

    # At the moments that matter

    def at_terminate(self) -> None:
        """A machine was just told to end: what it had worked out must be home, or there is a reason."""
        for machine in self.storm.of_the_run():
            asked = machine.reason is EndReason.ASKED or (machine.ends_at and machine.ends_for is EndReason.ASKED)
            if not asked or machine.id in self.seen_ended:
                continue
            self.seen_ended.add(machine.id)
            wrong = self.ends.judge(machine)
            if wrong:
                self.breach("R5", wrong)

    def _missing(self, machine: Machine) -> list[str]:
        folder = self.storm.folder / "runs" / FIRST_RUN
        files = _true_files(self.storm, machine)
        return [path for path, data in files.items() if not _same(folder / path, data)]

    def at_terminated(self) -> None:
        """The ledger is about to say that no machine of the run is there."""
        self.unlisted_ids |= {one.id for one in self.storm.unlisted_twins()}  # the next `reap` knows them
        alive = [
            one for one in self.storm.of_the_run(alive=True) if one.id not in self.unlisted_ids | self._forgotten()
        ]
        if alive:
            self.breach("R7", f"said TERMINATED while {alive[0].id} runs")

    def _forgotten(self) -> set[str]:
        """Machines of which a ledger that was put back does not know: they are taken in, or ended by `reap`."""
        if self.storm.lost_ledger_at is None:
            return set()
        known = self._known_nonces()
        return {one.id for one in self.storm.of_the_run() if one.request.nonce not in known}

    def at_death(self) -> None:
        """What was acknowledged must be there for the next process."""
        lost = self.kept.lost()
        if lost:
            self.breach("R4", lost)

    def told(self, receipt: object) -> None:
        """A receipt: what it says must be so."""
        if not isinstance(receipt, Receipt) or receipt in self.receipts:
            return
        self.receipts.append(receipt)
        self._books(receipt)
        if receipt.outcome is not Outcome.SUCCEEDED and not receipt.results.verified:
            return
        done = [one for one in self.storm.of_the_run() if _succeeded(self.storm, one)]
        if receipt.outcome is Outcome.SUCCEEDED:
            if not done:
                self.breach("R7", "said succeeded, and no job did")
            elif self._missing(done[-1]):
                self.breach("R7", f"said succeeded, and {self._missing(done[-1])[0]} is not home")

    def _books(self, receipt: Receipt) -> None:
        """What it says of money and of what is left must not be less than what is billed."""
        storm = self.storm
        least_usd = storm.truth_usd() - self._unseeable_usd() - LEAST_TOLD_USD
        is_lost = (
            storm.lost_ledger_at or storm.fired[Kind.CLOCK_BACK]
        )  # a process that began since then knows no better
        if not is_lost and receipt.spent_usd < least_usd:
            self.breach("R7", f"said {receipt.spent_usd} was spent, billed are {storm.truth_usd():.4f}")
        left = [one.id for one in storm.cloud.volumes.values() if one.run_id == receipt.run]
        if left and not receipt.leftovers:
            self.breach("R7", f"said that nothing is left, and {left[0]} is")

    def _unseeable_usd(self) -> Decimal:
        """What machines cost that died before they ran, or that nobody could know: no trace may be left of one."""
        mine = self.storm.of_the_run()
        died = (one for one in mine if one.dies_in_pending or one.id in self.unlisted_ids or self._was_never_shown(one))
        return sum((one.billed_usd(self.storm.clock()) for one in died), Decimal(0))

    def _was_never_shown(self, machine: Machine) -> bool:
        """Whether a death took the answer of its create call, and it was gone before a list could have told of it.

        Of the twin of a call that was delivered twice: whether it was gone before anybody asked.
        """
        if machine.id in self._twin_ids() and machine.ended_at is not None:
            return machine.id not in self.storm.cloud.shown_ids
        lies = self.storm.others.get(machine.provider, self.storm.provider).lies
        hidden = machine.born_at + timedelta(seconds=lies.visible_after_seconds)
        if machine.ended_at is None or machine.ended_at > hidden:
            return False
        answered = "SELECT 1 FROM attempts WHERE instance_id=?"
        return not rows(self.storm.ledger_path, answered, machine.id)

    def crashed(self, error: BaseException) -> None:
        """Something came out that is no error for people."""
        full = self.storm.fired[Kind.DISK_FULL_HERE] and isinstance(error, sqlite3.Error | OSError)
        if not full:
            self.breach("R0", f"{type(error).__name__}: {error}"[:200])

    # At the end

    def reaped(self, calls: int, seconds: float) -> None:
        """How `reap` went, after all faults were over."""
        if calls > MOST_REAP_CALLS or seconds > MOST_REAP_SECONDS:
            self.breach("R6", f"reap took {calls} calls and {seconds:.0f} s")

    def at_the_end(self) -> None:
        """Everything is quiet."""
        storm = self.storm
        for machine in storm.cloud.alive():
            if machine.owner != STRANGER:
                self.breach("R1", f"{machine.id} is still billed")
        if storm.cloud.volumes and self.has_reaped:
            self.breach("R1", f"{next(iter(storm.cloud.volumes))} is still there")
        for machine_id in storm.touched:
            self.breach("R6", f"{machine_id} is somebody else's, and was told to end")
        for found in leaks(storm) if storm.schedule.canaries else ():
            self.breach("R8", found)
        self._unanswered()
        self._twins()
        self._money()
        self.at_death()
        self._work_lost()
        for text in filter(None, (self.kept.unused(), self.kept.left_behind())):
            self.breach("R4", text)
        for rule, text in self.ends.stored.breaches(has_reaped=self.has_reaped):
            self.breach(rule, text)
        for text in filter(None, (self.ends.unsaid(), self.ends.lost_since())):
            self.breach("R5", text)
        for machine_id in storm.site.unarmed_ids & set(storm.site.started):
            self.breach("R3", f"a job was started on {machine_id}, which does not end itself")

    def _unanswered(self) -> None:
        """A run that is over has no create call whose answer nobody knows: nobody would look for it any more."""
        left_open = "SELECT i.attempt FROM intents i JOIN runs r ON r.id=i.run WHERE i.closed_at IS NULL AND r.state=?"
        for (attempt,) in rows(self.storm.ledger_path, left_open, State.TERMINATED):
            self.breach("R6", f"TERMINATED with an open intent: create call {attempt}")

    def _twins(self) -> None:
        """Never two machines; but for the twins of a call that was delivered twice, for a while.

        Where nobody is left who could know of them, their guards or the next `reap` end them.
        """
        storm = self.storm
        mine = [(one.born_at, one.ended_at or storm.clock()) for one in storm.of_the_run()]
        most = peak((begin.timestamp(), end.timestamp()) for begin, end in mine)
        if most <= 1:
            return
        seconds = together_seconds(mine)
        allowed = (TWINS_SECONDS + storm.absent_seconds + self._deaf_seconds()) * bool(storm.fired[Kind.DOUBLED])
        is_unknown = bool(self._twins_usd()) and self._nobody_knows()
        if most > 1 + storm.fired[Kind.DOUBLED] or (seconds > allowed and not is_unknown):
            self.breach("R2", f"{most} machines at once, for {seconds:.0f} s")

    def _nobody_knows(self) -> bool:
        return self.storm.is_gone or self.storm.lost_ledger_at is not None

    def _twins_usd(self) -> Decimal:
        """What the second machines of calls that were delivered twice cost."""
        storm = self.storm
        if not storm.fired[Kind.DOUBLED]:
            return Decimal(0)
        twins = self._twin_ids()
        return sum((one.billed_usd(storm.clock()) for one in storm.of_the_run() if one.id in twins), Decimal(0))

    def _twin_ids(self) -> set[str]:
        """The second machines of one call."""
        mine = self.storm.of_the_run()
        firsts = {one.request.nonce: one.id for one in reversed(mine)}
        return {one.id for one in mine if firsts[one.request.nonce] != one.id}

    def share(self) -> float:
        """Of the budget, what was billed."""
        return float(self.storm.truth_usd() / self.storm.budget_usd)

    def is_bound(self) -> bool:
        """Whether the budget is a bound of this day's bill without any condition."""
        return self.unbound_usd() == 0 and self._forgotten_usd() == 0

    def _money(self) -> None:
        storm = self.storm
        allowed = storm.budget_usd + self.unbound_usd() + self._forgotten_usd()
        if storm.truth_usd() > allowed:
            self.breach("R3", f"billed {storm.truth_usd():.4f} of {allowed:.4f} (budget {storm.budget_usd})")

    def _forgotten_usd(self) -> Decimal:
        """What machines cost of which a ledger that was lost can know nothing: they had ended when it was missed."""
        storm = self.storm
        if not storm.lost_ledger_at:
            return Decimal(0)
        known = self._known_nonces()
        machines = storm.of_the_run()
        return sum((one.billed_usd(storm.clock()) for one in machines if one.request.nonce not in known), Decimal(0))

    def _known_nonces(self) -> set[str]:
        known = "SELECT json_extract(value, '$.nonce') FROM attempts WHERE run=?"
        return {nonce for (nonce,) in rows(self.storm.ledger_path, known, FIRST_RUN)}

    def unbound_usd(self) -> Decimal:
        """What cannot be bound where nothing but us ends a machine: time without us, or with a cloud that is deaf.

        And the twin of a call that was delivered twice, where nobody is there to end it, or where the least that a
        machine costs is more than a minute.
        """
        storm = self.storm
        least_seconds = max(
            (
                max(one.request.offer.billing.granularity_seconds, one.request.offer.billing.minimum_seconds)
                for one in storm.of_the_run()
            ),
            default=0,
        )
        is_apart = self._nobody_knows() or least_seconds > MINUTE_SECONDS or storm.absent_seconds > AWAY_SECONDS
        return self._alone_usd() + (self._twins_usd() if is_apart else Decimal(0))

    def _alone_usd(self) -> Decimal:
        storm = self.storm
        if all(one.request.offer.guarded for one in storm.of_the_run()) and not storm.fired[Kind.UNARMED]:
            return Decimal(0)
        worst = max(one.worst_usd_per_hour for one in storm.all_offers()) + Decimal("0.05")
        return worst * Decimal(storm.absent_seconds + self._deaf_seconds()) / 3600

    def _deaf_seconds(self) -> float:
        """How long the cloud kept machines from ending: outages, ends that were asked for and took their time."""
        return shut_seconds(self.storm) + self.storm.deaf_seconds

    def _work_lost(self) -> None:
        """After a reclaim the next machine goes on where the last one was, but for one interval and one step."""
        storm = self.storm
        if any(storm.fired[kind] for kind in LINE):
            return
        jobs = [(one, storm.site.started[one.id]) for one in storm.of_the_run() if one.id in storm.site.started]
        for (before, job), (_, following) in pairwise(jobs):
            done = job.steps_done(before.ended_at or storm.clock())
            if following.first_step < done - job.work.save_every - 1 - _underway(job.work.step_seconds):
                self.breach("R4", f"{before.id} had done {done} steps, the next began at {following.first_step}")


def _underway(step_seconds: float) -> int:
    """Steps that pass while a checkpoint comes home: one look of five seconds."""
    return round(10 / step_seconds)


def together_seconds(lives: Sequence[tuple[datetime, datetime]]) -> float:
    """How long more than one of them lived at the same time."""
    edges = sorted({at for life in lives for at in life})
    pairs = pairwise(edges)
    return sum(
        (end - begin).total_seconds() for begin, end in pairs
        if sum(born <= begin and end <= died for born, died in lives) > 1
    )  # fmt: skip


def _succeeded(storm: Storm, machine: Machine) -> bool:
    job = storm.site.started.get(machine.id)
    if job is None:
        return False
    until = min(machine.ended_at or storm.clock(), storm.clock())
    return any(event.get("outcome") == "succeeded" for _, event in job.lines(until) if event["event"] == "done")


def _true_files(storm: Storm, machine: Machine) -> dict[str, bytes]:
    return finished_files(storm.site.started[machine.id])


def _same(path: Path, data: bytes) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(data).digest()
    except OSError:
        return False


def machines_of(storm: Storm) -> Iterator[str]:
    """All machines of a day in words, for a person who looks into it."""
    for one in storm.of_the_run():
        born, ended = one.born_at - storm.began, None if one.ended_at is None else one.ended_at - storm.began
        job = storm.site.started.get(one.id)
        steps = "" if job is None else f", steps {job.first_step}-{job.steps_done(one.ended_at or storm.clock())}"
        yield f"{one.id} {_at(born)} to {_at(ended)} {one.reason}{steps}"


def _at(span: timedelta | None) -> str:
    return "now" if span is None else f"{span.total_seconds():.0f} s"
