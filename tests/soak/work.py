"""R4: what was acknowledged can be restored at any later time, and by the next machine; what was sure to come came."""

from datetime import datetime

from providers.base import EndReason
from tests.fake_guest import Started
from tests.fake_machine import Machine
from tests.fake_world import FIRST_RUN
from tests.soak.excuses import is_home
from tests.soak.line import is_sure
from tests.soak.reading import rows
from tests.soak.storm import Storm


class Kept:
    """What of a day's work was promised to be safe."""

    def __init__(self, storm: Storm) -> None:
        self.storm = storm
        self.acknowledged: list[tuple[datetime, int]] = []

    def note(self, name: str) -> None:
        """The ledger has just been told that this checkpoint is here."""
        self.acknowledged.append((self.storm.clock(), int(name.rpartition("-")[2])))

    def newest(self, until: datetime | None = None) -> int:
        """The highest step that was acknowledged by then; 0 where none was."""
        return max((step for at, step in self.acknowledged if until is None or at <= until), default=0)

    def lost(self) -> str:
        """What was acknowledged and cannot be restored now, or ""."""
        step = self.newest()
        if step and not is_home(self.storm, step):
            return f"the acknowledged checkpoint step-{step} does not lie here whole"
        if not step or self.storm.lost_ledger_at is not None:
            return ""
        told = self._told_by_the_ledger()
        return f"step-{step} was acknowledged, and the ledger knows of step-{told}" if told < step else ""

    def unused(self) -> str:
        """A machine that began before what was acknowledged then, or ""."""
        for machine in self.storm.of_the_run():
            job = self.storm.site.started.get(machine.id)
            known = 0 if job is None else self.newest(job.at)
            if job is not None and job.first_step < known and not self._is_unknown(machine):
                return f"{machine.id} began at {job.first_step}, and step-{known} was acknowledged"
        return ""

    def left_behind(self) -> str:
        """A checkpoint that somebody who listened had all the time to fetch, and did not, or "".

        Of machines that ended without us: an end that we asked for is judged when it is (`excuses`).
        """
        for machine in self.storm.of_the_run():
            if machine.reason is EndReason.ASKED:
                continue
            job = self.storm.site.started.get(machine.id)
            step = 0 if job is None else self._sure_step(machine, job)
            if step > self.newest(machine.ended_at):
                return f"{machine.id} told of step-{step} in time, and step-{self.newest(machine.ended_at)} is here"
        return ""

    def _is_unknown(self, machine: Machine) -> bool:
        """Whether it was made by a laptop that had lost its ledger: it cannot know what was acknowledged."""
        lost_at = self.storm.lost_ledger_at
        return lost_at is not None and not self.storm.fired_rolled_back and machine.born_at >= lost_at

    def _sure_step(self, machine: Machine, job: Started) -> int:
        """The newest sound checkpoint after which the line was good for long enough, while the job still worked."""
        if machine.id in self.storm.rotten_from_birth:
            return 0
        ends = [machine.ended_at, self.storm.wiped_at.get(machine.id), self.storm.clock()]
        until = min(at for at in ends if at is not None)
        lines = job.lines(until)
        over = [at for at, event in lines if event["event"] == "done" and event["outcome"] == "succeeded"]
        contacts = [one for one in self.storm.contacts[machine.id] if not over or one.at < over[0]]
        told = [(at, int(str(event["step"]))) for at, event in lines if event["event"] == "checkpoint"]
        return max((step for at, step in told if is_sure(contacts, at)), default=0)

    def _told_by_the_ledger(self) -> int:
        found = rows(self.storm.ledger_path, "SELECT checkpoint FROM runs WHERE id=?", FIRST_RUN)
        return max((int(name.rpartition("-")[2]) for (name,) in found if name), default=0)
