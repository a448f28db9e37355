"""The durable store of a day: what a machine has put there is not lost, is used, and goes once it is home."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

from launcher.run import Outcome, State
from providers.base import EndReason
from tests.fake_bucket import Storing
from tests.fake_guest import Started, finished_files
from tests.fake_machine import Machine
from tests.fake_world import FIRST_RUN
from tests.soak.reading import rows
from tests.soak.schedule import OF_A_STORE, Kind
from tests.soak.storm import Storm

STORING = timedelta(seconds=60)
"""So long after its job a machine that reaches the store has put its results there, if its money lasts."""
MUDDLES = (
    *OF_A_STORE, Kind.LEDGER_DELETED, Kind.LEDGER_ROLLED_BACK, Kind.DISK_FULL_HERE, Kind.CLOCK_FORWARD, Kind.CLOCK_BACK,
)  # fmt: skip
"""Where one of these fired, a next machine may begin before what the store holds: it could not be known, or fetched."""


class Stored:
    """What the machines of a day have put into the store; nothing where there is none."""

    def __init__(self, storm: Storm) -> None:
        self.storm = storm

    def has_results(self, machine: Machine) -> bool:
        """Whether what this machine's job made lies there now."""
        storing = self.storm.storing
        keys = () if storing is None else storing.keys.get(machine.id, ())
        return any(key.endswith("/results") and storing is not None and key in storing.bucket.content for key in keys)

    def breaches(self, *, has_reaped: bool) -> Iterator[tuple[str, str]]:
        """At the end of the day: what is wrong, by rule."""
        storing = self.storm.storing
        if storing is None:
            return
        storing.due()
        yield from (("R5", text) for text in self._lost(storing))
        yield from (("R1", text) for text in self._litter(storing) if has_reaped and self.storm.lost_ledger_at is None)
        yield from (("R4", text) for text in self._unused() if not any(self.storm.fired[kind] for kind in MUDDLES))

    def _lost(self, storing: Storing) -> Iterator[str]:
        """Results that were there are there still, or at home; a machine that ended itself has left them there."""
        for machine in self.storm.of_the_run():
            over_at = self._succeeded_at(machine)
            if over_at is None or self.has_results(machine) or self._are_home():
                continue
            if any(key.endswith("/results") for key in storing.keys.get(machine.id, ())):
                yield f"{machine.id} had stored its results, and they are neither there nor here"
            elif self._had_all_the_time(machine, over_at):
                yield f"{machine.id} ended itself, its job was done, and its results are neither there nor here"

    def _had_all_the_time(self, machine: Machine, over_at: datetime) -> bool:
        storm = self.storm
        if any(storm.fired[kind] for kind in OF_A_STORE) or machine.id not in storm.site.grants:
            return False
        is_cut_off = machine.id in storm.site.unreachable | storm.site.wiped
        ended_itself = machine.reason is EndReason.OWN_DEADLINE and machine.ended_at is not None
        return ended_itself and not is_cut_off and (machine.ended_at or over_at) - over_at >= STORING

    def _litter(self, storing: Storing) -> Iterator[str]:
        """After `reap` nothing of a run that is over is paid for there, but what is not home yet."""
        said = "SELECT state, json_extract(ending, '$.outcome') FROM runs WHERE id=?"
        found = rows(self.storm.ledger_path, said, FIRST_RUN)
        if not found or found[0][0] != State.TERMINATED:
            return
        for key in storing.bucket.uploads.values():
            yield f"an upload of {key} was begun, and is paid for still"
        is_home = found[0][1] == Outcome.SUCCEEDED
        for key in storing.bucket.content if is_home else ():
            yield f"{key} lies in the store still, and the run has succeeded"

    def _unused(self) -> Iterator[str]:
        """The next machine begins where the store had the last one."""
        jobs = [(one, self.storm.site.started[one.id]) for one in self.storm.of_the_run() if self._has_job(one)]
        for (before, job), (after, following) in pairwise(jobs):
            if before.id in self.storm.rotten_from_birth:
                continue  # what it has of them is not what it announced, wherever it lies
            stored = _stored_step(job, after.born_at)
            if following.first_step < stored:
                yield f"step-{stored} of {before.id} was in the store, and {after.id} began at {following.first_step}"

    def _has_job(self, machine: Machine) -> bool:
        return machine.id in self.storm.site.started

    def _succeeded_at(self, machine: Machine) -> datetime | None:
        job = self.storm.site.started.get(machine.id)
        until = min(machine.ended_at or self.storm.clock(), self.storm.clock())
        lines = [] if job is None else job.lines(until)
        return next((at for at, event in lines if event.get("outcome") == "succeeded"), None)

    def _are_home(self) -> bool:
        """Those of any machine: a second one may have done the work again."""
        folder, jobs = self.storm.folder / "runs" / FIRST_RUN, self.storm.site.started.values()
        return any(all(_is(folder / path, data) for path, data in finished_files(job).items()) for job in jobs)


def _stored_step(job: Started, until: datetime) -> int:
    told = (int(str(event["step"])) for at, event in job.stored if event["what"] == "checkpoint" and at <= until)
    return max(told, default=0)


def _is(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False
