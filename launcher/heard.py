"""What a machine says is bounded: so many of its warnings are kept, and what it floods us with is paid for."""

from jobs import progress
from launcher import books
from launcher.egress import SLICE_BYTES
from launcher.events import Warned
from launcher.price import current_plan
from launcher.run import Run
from launcher.world import World

MOST_WARNINGS = 200
"""Of one machine, told and kept by one process of ours: a job that says more says nothing new (assumed)."""


class Heard:
    """One machine's words, as they are read by the process that watches it."""

    def __init__(self, run: Run, world: World) -> None:
        self._run, self._world = run, world
        self._warnings, self._unbooked_bytes = 0, 0

    def take(self, event: progress.Event) -> None:
        """What a person should know of it."""
        match event:
            case progress.Warned():
                self._warn(event.code, event.text)
            case progress.Notice():
                self._warn("notice", f"the provider announced: {event.action} {event.time or ''}".rstrip())

    def _warn(self, code: str, text: str) -> None:
        """As long as there are not too many; the last one says so."""
        self._warnings += 1
        if self._warnings > MOST_WARNINGS:
            return
        if self._warnings == MOST_WARNINGS:
            code, text = "many-warnings", f"{MOST_WARNINGS} warnings came from this machine: no more of them are shown"
        self._world.console.tell(Warned(run=self._run.id, at=self._world.now(), code=code, text=text))

    def count(self, size_bytes: int) -> None:
        """Progress has left the provider, too: by whole slices, so that only a flood is seen in the books."""
        self._unbooked_bytes += size_bytes
        slices, self._unbooked_bytes = divmod(self._unbooked_bytes, SLICE_BYTES)
        if slices:
            tax = current_plan(self._run, self._world).terms.tax(self._run.attempt.offer.provider)
            books.note_egress(self._run.attempt, slices * SLICE_BYTES, tax)
            self._world.ledger.save_attempt(self._run, self._run.attempt)
