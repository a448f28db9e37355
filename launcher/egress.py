"""What leaves a provider's network is paid for: booked before it does, slice by slice, inside what the guard leaves."""

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from launcher import books
from launcher.guest import Guest
from launcher.price import current_plan
from launcher.run import Run
from launcher.world import World

SLICE_BYTES = 8 * 2**20
"""What may be under way and in no book when a process dies: 0.0008 dollars at 0.09 a GiB."""
BY_HAND = "pulled-by-hand"
"""In a run's folder: what `launch pull` brought home beside the process that carries the run; a line for each slice."""


class Booked:
    """One pull's bytes, in the books of a run that this process carries."""

    def __init__(self, run: Run, guest: Guest, world: World) -> None:
        self._run, self._guest, self._world = run, guest, world
        self._began, self._booked_bytes = guest.received_bytes, 0
        guest.on_bytes = self._ahead

    def settle(self) -> None:
        """What was booked and did not come is taken out again."""
        self._guest.on_bytes = _nothing
        self._book(self._guest.received_bytes - self._began - self._booked_bytes)

    def _ahead(self, received_bytes: int) -> None:
        """Called before bytes are asked for or taken on: the next slice is in the books before it flows."""
        while received_bytes - self._began >= self._booked_bytes:
            self._book(SLICE_BYTES)
            self._keep_the_guard_inside()

    def _book(self, size_bytes: int) -> None:
        run, world = self._run, self._world
        tax = current_plan(run, world).terms.tax(run.attempt.offer.provider)
        books.note_egress(run.attempt, size_bytes, tax)
        self._booked_bytes += size_bytes
        world.ledger.save_attempt(run, run.attempt)

    def _keep_the_guard_inside(self) -> None:
        """If we die now the machine lives to its own deadline: that, and what has left, must fit into the budget."""
        run, world = self._run, self._world
        attempt = run.attempt
        if run.budget_usd is None or not attempt.offer.guarded:
            return
        now_cap = books.cap(run, attempt.choice, current_plan(run, world), world)
        now_cap = replace(now_cap, reserve=replace(now_cap.reserve, egress_usd=books.NOTHING_USD))
        seconds, now = now_cap.lease_seconds, world.now()
        if (attempt.deadline - now).total_seconds() <= seconds:
            return
        self._guest.lease(seconds)
        attempt.deadline, attempt.lease_seconds = books.deadline(now, seconds), seconds
        world.ledger.save_attempt(run, attempt)


def _nothing(_received_bytes: int) -> None:
    """Nobody counts."""


class ByHand:
    """What `launch pull` brings home, beside the process that carries the run: it takes this into its books."""

    def __init__(self, run_folder: Path, guest: Guest) -> None:
        self._path, self._booked_bytes = run_folder / BY_HAND, 0
        guest.on_bytes = self._ahead

    def _ahead(self, received_bytes: int) -> None:
        while received_bytes >= self._booked_bytes:
            self._booked_bytes += SLICE_BYTES
            with self._path.open("a", encoding="ascii") as file:
                file.write(f"{SLICE_BYTES}\n")
                file.flush()
                os.fsync(file.fileno())


def take_in(run: Run, world: World) -> None:
    """What was pulled by hand since the last time becomes egress of the machine that the run has now."""
    if counted(run, world):
        world.ledger.save_attempt(run, run.attempt)


def counted(run: Run, world: World) -> int:
    """The same, in this value of the run alone; how many slices there were."""
    path, slices = world.run_folder(run.id) / BY_HAND, 0
    if path.exists():  # seldom: asked at every look
        with suppress(OSError):
            slices = path.read_bytes().count(b"\n")
    new = slices - sum(one.slices_by_hand for one in run.attempts)
    if not run.attempts or new <= 0:
        return 0
    tax = current_plan(run, world).terms.tax(run.attempt.offer.provider)
    books.note_egress(run.attempt, new * SLICE_BYTES, tax)
    run.attempt.slices_by_hand += new
    return new
