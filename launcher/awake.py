"""Time that counts as looked for a machine: a laptop that slept, or whose clock was put forward, has not looked."""

from datetime import datetime, timedelta

from launcher.run import Attempt
from launcher.world import World

TURN_SECONDS = 60.0
"""The most that a look and the wait before it take: a slow list, and 15 s at most of waiting (assumed)."""


class Awake:
    """One process's looks for the machine of one create call.

    The settle window is the provider's own time. Ours may leap by a day while not a second passes there: a turn in
    which it leapt is taken for not waited at all, and the time of the create call is moved ahead by it.
    """

    def __init__(self, attempt: Attempt, world: World) -> None:
        self._attempt, self._world = attempt, world
        self._last, self.leapt = world.now(), timedelta()
        """`leapt`: all that is more than what turns may take; patience that is less by it still comes to an end."""

    def now(self) -> datetime:
        """Called at least once in each turn; `attempt.unanswered_seconds` of what it returns holds no leap."""
        now, most = self._world.now(), timedelta(seconds=TURN_SECONDS)
        turn, self._last = now - self._last, now
        if turn > most:
            self.leapt += turn - most
            self._attempt.asked_at = (self._attempt.asked_at or self._attempt.started_at) + turn
        return now
