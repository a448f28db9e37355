"""The one clock of the test cloud: simulated seconds run `scale` times as fast as real ones."""

import time
from datetime import UTC, datetime, timedelta


class SimClock:
    """Sim time starts at the real time of its making; every clockwork of the cloud reads it, and none reads another."""

    def __init__(self, scale: float = 1.0) -> None:
        if scale <= 0:
            raise ValueError(f"a clock runs forward: scale {scale}")
        self.scale = scale
        self._origin = datetime.now(UTC)
        self._started = time.monotonic()

    def seconds(self) -> float:
        """Sim seconds since the world began; never goes back."""
        return (time.monotonic() - self._started) * self.scale

    def at(self, seconds: float) -> datetime:
        """The sim instant at which so many sim seconds have passed."""
        return self._origin + timedelta(seconds=seconds)

    def now(self) -> datetime:
        """The sim instant now, aware, in UTC."""
        return self.at(self.seconds())

    def real(self, sim_seconds: float) -> float:
        """How many real seconds so many sim seconds take."""
        return sim_seconds / self.scale

    def real_now(self) -> float:
        """The real monotonic time that belongs to `now`, for those who must scale it themselves."""
        return time.monotonic()
