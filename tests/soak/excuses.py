"""R5: an end that we asked for, before the work was home, needs a reason that held for that machine at that moment.

What it had worked out: its results, once the job is over; else the newest checkpoint that it told of. A reason is a
fact about this machine now (its line, its disk, the file itself, this laptop's books or clock), a person's own word, or
that the money or the time was truly at its end. And what was lost must have been said.
"""

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from launcher.events import Happened, Settled, Warned
from launcher.ledger import Ledger
from launcher.run import Outcome
from tests.fake_guest import Started, checkpoint_bytes, finished_files, first_files
from tests.fake_machine import Machine
from tests.fake_world import FIRST_RUN
from tests.soak.line import Contact, failing
from tests.soak.reading import rows
from tests.soak.schedule import BY_POINT, OF_A_CLOUD, Kind
from tests.soak.stored import Stored
from tests.soak.storm import WRONG_CLOCK_SECONDS, Storm

TRIES = 6
"""Of a pull, in half a minute: so many the short patience is (`launcher.pulling`, RETRY_SECONDS, and the first)."""
SILENT = timedelta(seconds=900)
"""So long a line that is down is waited for at least (docs: a silent machine)."""
PULL_SECONDS, TEARDOWN_SECONDS, LOOK_SECONDS = 51.0, 60.0, 60.0
"""What is set aside for a pull and for an end (docs/estimate.md), and the longest wait between two reckonings."""
EGRESS_USD = Decimal("0.03") * Decimal("0.09") * 8
"""Set aside for what leaves the network: eight times a result of 0.03 GiB (docs/estimate.md)."""
DURABLE = "its results lie in the durable store"
LAST_EVENTS = 10
"""What was told so shortly before an end may be about it ("saving ...")."""
LOSS_CODES = frozenset({
    "checkpoint", "pull", "saving", "silent", "teardown", "late-machine", "unknown-machine", "bug", "ship", "market",
    "died-booting", "never-ready", "machine-ended", "not-pulled", "preempted", "lost", "failed", "not-as-rented",
    "unwatched", "fenced", "ended-early", "slow-host",
})  # fmt: skip
"""Warnings that say that a machine went before its time, or that something of it did not come home."""


@dataclass(frozen=True, kw_only=True)
class Forced:
    """An end with a reason, and what it cost."""

    machine_id: str
    at: datetime
    missing: tuple[str, ...]
    why: str
    heard: int
    """How many events had been told by then."""


class Ends:
    """All ends of a day that we asked for."""

    def __init__(self, storm: Storm) -> None:
        self.storm, self.stored = storm, Stored(storm)
        self.forced: list[Forced] = []
        self.safe: list[tuple[Machine, datetime]] = []
        """Those of which everything was home when they were told to end."""

    def judge(self, machine: Machine) -> str:
        """The machine was just told to end: what is wrong with that, or ""."""
        job = self.storm.site.started.get(machine.id)
        if job is None:
            return ""
        missing, works = missing_of(self.storm, machine, job, self._until(machine)), self._works_unasked(machine, job)
        if not missing and not works:
            self.safe.append((machine, self._until(machine)))
            return ""
        why = self._why(machine, missing, is_over=self._is_known_to_succeed(machine, job))
        if why:
            now, heard = self.storm.clock(), len(self.storm.heard.events)
            self.forced.append(Forced(machine_id=machine.id, at=now, missing=missing, why=why, heard=heard))
            return ""
        if missing:
            return f"{machine.id} was ended and {missing[0]} is not home"
        return f"{machine.id} was ended while its job worked, and that was not asked to save"

    def lost_since(self) -> str:
        """What was home when its machine was ended, and is not any more, or ""."""
        for machine, at in self.safe:
            missing = missing_of(self.storm, machine, self.storm.site.started[machine.id], at)
            if missing:
                return f"{machine.id} was ended when {missing[0]} was home, and it is not any more"
        return ""

    def unsaid(self) -> str:
        """A loss that nobody was told of, or ""."""
        storm, lost_at = self.storm, self.storm.lost_ledger_at
        for one in self.forced if not storm.is_gone else ():
            if lost_at is not None and one.at <= lost_at:
                continue  # who would have told it knew it from the ledger
            if self._is_kept_for_later() or (one.why == DURABLE and self._has_come_home(one)):
                continue
            told = storm.heard.events[max(0, one.heard - LAST_EVENTS) :]
            if not (any(map(_tells_loss, told)) or storm.errors or one.machine_id in storm.reaped_ids):
                return f"{one.machine_id} was ended without {', '.join(one.missing)} ({one.why}), and nobody was told"
        return ""

    def _has_come_home(self, forced: Forced) -> bool:
        machine = self.storm.cloud.truth[forced.machine_id]
        return not missing_of(self.storm, machine, self.storm.site.started[machine.id], forced.at)

    def _is_kept_for_later(self) -> bool:
        """We died before it could be told, and the ledger says it to whoever asks (`launch show`, `launch attach`)."""
        if not any(self.storm.fired[kind] for kind in BY_POINT):
            return False
        with closing(Ledger(self.storm.ledger_path)) as books:
            ending = next((books.load(one.id).ending for one in books.runs() if one.id == FIRST_RUN), None)
        return ending is not None and ending.outcome is not Outcome.SUCCEEDED

    def _until(self, machine: Machine) -> datetime:
        return min(self.storm.clock(), self.storm.wiped_at.get(machine.id, self.storm.clock()))

    def _works_unasked(self, machine: Machine, job: Started) -> bool:
        now = self._until(machine)
        return not job.is_over(now) and job.stop_at is None and job.steps_done(now) > job.first_step

    def _why(self, machine: Machine, missing: tuple[str, ...], *, is_over: bool) -> str:
        """The reason that held, or ""."""
        storm = self.storm
        reasons = (
            (DURABLE, self._are_durable(machine, missing)),
            ("its container was restarted", machine.id in storm.wiped_at),
            ("that file comes spoiled", bool(missing) and set(missing) == {storm.site.spoiled}),
            ("that file came spoiled whenever it was fetched", self._always_came_spoiled(machine, missing)),
            ("a person said --now", storm.said_now),
            ("its line is down", self._is_cut_off(machine, missing, is_over=is_over)),
            ("somebody else had answered there, and that ends a run", self._was_a_stranger(machine)),
            ("its line was down when it was to save", not is_over and self._could_not_be_asked(machine)),
            ("this disk is full", Kind.DISK_FULL_HERE in storm.until),
            ("the ledger was lost", storm.lost_ledger_at is not None and machine.born_at <= storm.lost_ledger_at),
            ("this clock is wrong", abs((storm.now() - storm.clock()).total_seconds()) > WRONG_CLOCK_SECONDS),
            ("no money is left", self._left_usd() <= self._last_usd(machine)),
            ("the deadline is there", self._deadline_seconds() <= self._last_seconds(machine)),
        )
        return next((text for text, holds in reasons if holds), "")

    def _are_durable(self, machine: Machine, missing: tuple[str, ...]) -> bool:
        """Then it may end without them: they are fetched when nothing is billed any more, or lie there at the end."""
        return bool(missing) and self.stored.has_results(machine)

    def _is_cut_off(self, machine: Machine, missing: tuple[str, ...], *, is_over: bool) -> bool:
        contacts = self.storm.contacts[machine.id]
        row = failing(contacts)
        is_stranger = any(one.trouble == "HostKeyMismatch" for one in row)
        if row and (is_stranger or self.storm.clock() - row[0].at >= SILENT):
            return True
        verbs = {
            f"send {name.replace('checkpoint ', 'checkpoints/')}" for name in missing if name[:11] == "checkpoint "
        }
        verbs |= {"send out"} if len(missing) > len(verbs) else set()
        sends = [failing([one for one in contacts if _is_try(one, verb)]) for verb in verbs]
        return not is_over and (len(row) >= TRIES or (all(len(one) >= TRIES for one in sends) and bool(sends)))

    def _was_a_stranger(self, machine: Machine) -> bool:
        """Whether the run ends for another host key: a security stop for good, however long its cloud refuses the end.

        Whoever ends it later may be let in again by the right key; what once answered there is not believed for that.
        """
        has_met = any(one.trouble == "HostKeyMismatch" for one in self.storm.contacts[machine.id])
        code = "SELECT json_extract(ending, '$.code') FROM runs WHERE id=?"
        return has_met and rows(self.storm.ledger_path, code, FIRST_RUN) == [("host-key-mismatch",)]

    def _always_came_spoiled(self, machine: Machine, missing: tuple[str, ...]) -> bool:
        """Whether it was given up after all tries of a pull; the end that follows may be refused for long."""
        return len(missing) == 1 and self.storm.site.spoiled_by[machine.id, missing[0]] >= TRIES

    def _could_not_be_asked(self, machine: Machine) -> bool:
        """Whether the wish to save did not reach it, and nothing was heard of its work since."""
        talk = [one for one in self.storm.contacts[machine.id] if one.verb in ("stop", "follow")]
        return any(one.verb == "stop" for one in failing(talk))

    def _is_known_to_succeed(self, machine: Machine, job: Started) -> bool:
        """Whether anybody of us can have heard that its results are there: then they are waited for much longer."""
        over = [at for at, event in job.lines(self._until(machine)) if event.get("outcome") == "succeeded"]
        heard = (one.at for one in self.storm.contacts[machine.id] if one.verb == "follow" and not one.trouble)
        return bool(over) and any(at >= over[0] for at in heard)

    def _left_usd(self) -> Decimal:
        """By the clouds' own bill, and as somebody must reckon who did not see the rates for a while."""
        storm, now = self.storm, self.storm.clock()
        rise = max(one.worst_usd_per_hour - one.usd_per_hour for one in storm.all_offers())
        unseen = storm.absent_seconds + shut_seconds(storm)
        if storm.fired[Kind.RATE_UNTOLD]:
            unseen += sum(((one.ended_at or now) - one.born_at).total_seconds() for one in storm.of_the_run())
        return storm.budget_usd - storm.truth_usd() - rise * Decimal(unseen) / 3600

    def _last_usd(self, machine: Machine) -> Decimal:
        offer = machine.request.offer
        hourly = offer.worst_usd_per_hour + offer.fees.usd_per_hour(machine.request.disk_gib)
        seconds = self._last_seconds(machine) + max(offer.billing.granularity_seconds, offer.billing.minimum_seconds)
        return hourly * Decimal(seconds) / 3600 + EGRESS_USD

    def _last_seconds(self, machine: Machine) -> float:
        guard_seconds = self.storm.schedule.clouds[machine.provider].guard_delay_seconds
        return guard_seconds + TEARDOWN_SECONDS + PULL_SECONDS + LOOK_SECONDS

    def _deadline_seconds(self) -> float:
        most = self.storm.schedule.deadline_seconds
        return float("inf") if most is None else most - self.storm.seconds()


def _is_try(contact: Contact, send: str) -> bool:
    """Whether it was a try to fetch that folder: its list comes first, and where that fails nothing is sent."""
    is_unlisted = bool(contact.trouble) and contact.verb == send.replace("send ", "manifest ", 1)
    return contact.verb == send or is_unlisted


def shut_seconds(storm: Storm) -> float:
    """How long clouds could not be asked, at most."""
    return sum(one.seconds for one in storm.schedule.faults if one.kind in OF_A_CLOUD and storm.fired[one.kind])


def missing_of(storm: Storm, machine: Machine, job: Started, now: datetime) -> tuple[str, ...]:
    """What it had worked out by then, and we do not have, whole."""
    outcome = _outcome(job, now)
    missing = [f"checkpoint step-{step}" for step in newest_step(storm, machine, job, now) if outcome != "succeeded"]
    if outcome:
        missing += _not_home(storm, finished_files(job) if _has_results(job, now) else first_files(job))
    return tuple(missing)


def newest_step(storm: Storm, machine: Machine, job: Started, now: datetime) -> list[int]:
    """The newest checkpoint that it told of and that is not here; none where all are, or none is sound."""
    if machine.id in storm.rotten_from_birth:
        return []
    steps = [int(str(event["step"])) for _, event in job.lines(now) if event["event"] == "checkpoint"]
    return [] if not steps or is_home(storm, max(steps)) else [max(steps)]


def is_home(storm: Storm, step: int) -> bool:
    """Whether a checkpoint of that step, or of a later one, lies here whole."""
    folder = storm.folder / "home" / "runs" / FIRST_RUN / "checkpoints"
    found = [int(path.name[5:]) for path in folder.glob("step-*") if path.name[5:].isdigit()]
    return any(there >= step and _same(folder / f"step-{there}" / "manifest.json", there) for there in found)


def _same(path: Path, step: int) -> bool:
    try:
        return path.read_bytes() == checkpoint_bytes(step)
    except OSError:
        return False


def _not_home(storm: Storm, files: dict[str, bytes]) -> list[str]:
    folder = storm.folder / "runs" / FIRST_RUN
    return [path for path, data in files.items() if not _has(folder / path, data)]


def _has(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False


def _outcome(job: Started, now: datetime) -> str:
    return next((str(event["outcome"]) for _, event in job.lines(now) if event["event"] == "done"), "")


def _has_results(job: Started, now: datetime) -> bool:
    return any(event["event"] == "result" for _, event in job.lines(now))


def _tells_loss(event: Happened) -> bool:
    if isinstance(event, Settled):
        return event.receipt.outcome is not Outcome.SUCCEEDED or not event.receipt.results.verified
    return isinstance(event, Warned) and event.code in LOSS_CODES
