"""Rate limits as clouds keep them: a bucket of turns that fills up again with time."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class Bucket:
    """So many turns at once, and one more every `seconds`; sim time."""

    seconds: float
    burst: int = 1
    turns: float | None = None
    at: float = 0.0

    def take(self, now: float) -> float:
        """0 when there was a turn; else the seconds until there is one, and nothing was taken."""
        if self.seconds <= 0:
            return 0.0
        have = self.burst if self.turns is None else min(self.burst, self.turns + (now - self.at) / self.seconds)
        self.at = now
        if have + 1e-6 < 1:
            self.turns = have
            return (1 - have) * self.seconds
        self.turns = have - 1
        return 0.0
