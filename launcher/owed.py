"""The newest checkpoint of a job that runs: it comes home as it is made, and is owed until it has come."""

from collections.abc import Sequence
from datetime import timedelta

from jobs.progress import Checkpoint, Done, Event
from launcher import books
from launcher.guest import Guest
from launcher.price import current_plan
from launcher.pulling import RETRY_SECONDS, bring_checkpoint, wait
from launcher.run import Run
from launcher.world import World
from pricing.offer import Market

AGAIN_SECONDS = 15.0
"""Between tries to fetch a checkpoint that did not come home at once."""


class Owed:
    """What one machine has told of and we do not have. What is rented can be taken away or die."""

    def __init__(self, run: Run, world: World) -> None:
        self._run, self._world = run, world
        self._is_rented = run.attempt.offer.market is not Market.OWNED
        self._checkpoint: Checkpoint | None = None
        self._again_at, self._is_late = world.now(), False

    def hear(self, events: Sequence[Event], done: Done | None, guest: Guest) -> None:
        """What was just told. Of several the newest is worth its way home, and none once the results are there."""
        newest = next((event for event in reversed(events) if isinstance(event, Checkpoint)), None)
        if done is not None and done.outcome == "succeeded":
            self._checkpoint = None
        elif newest is not None and self._is_rented:
            self._checkpoint = newest
            if self._is_late:  # a machine that announces what it does not have is not asked for it at each word
                self.try_again(guest)
            else:
                self._bring(guest)

    def try_again(self, guest: Guest) -> None:
        """Where something is owed, and it is time."""
        wait_seconds = (self._again_at - self._world.now()).total_seconds()
        if self._checkpoint is not None and not 0 < wait_seconds <= AGAIN_SECONDS:  # longer: the clock was set back
            self._bring(guest)

    def settle(self, guest: Guest) -> None:
        """The machine goes after this: as many tries as its results get, within what is set aside for them."""
        if self._checkpoint is None:
            return
        now, plan = self._world.now, current_plan(self._run, self._world)
        until = now() + timedelta(seconds=books.pull_limits(self._run, plan, self._world)[1])
        for wait_seconds in RETRY_SECONDS:
            if self._checkpoint is None or now() + timedelta(seconds=wait_seconds) > until:
                return
            wait(wait_seconds, self._world)
            self._bring(guest)

    def _bring(self, guest: Guest) -> None:
        self._again_at = self._world.now() + timedelta(seconds=AGAIN_SECONDS)
        if self._checkpoint is None:
            return
        self._is_late = not bring_checkpoint(self._run, guest, self._checkpoint, self._world)
        if not self._is_late:
            self._checkpoint = None
