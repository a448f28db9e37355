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

    def told(self) -> tuple[str, float, float]:
        """All that another process on this computer needs to have the same time: origin, its monotonic time, scale."""
        return self._origin.isoformat(), self._started, self.scale

    def real_now(self) -> float:
        """The real monotonic time that belongs to `now`, for those who must scale it themselves."""
        return time.monotonic()


class HandClock:
    """Sim time that moves only when somebody moves it: for worlds without processes."""

    scale = 1.0

    def __init__(self, origin: datetime = datetime(2026, 11, 24, 12, tzinfo=UTC)) -> None:
        self._origin, self._seconds = origin, 0.0

    def seconds(self) -> float:
        """Sim seconds since the world began."""
        return self._seconds

    def at(self, seconds: float) -> datetime:
        """The sim instant at which so many sim seconds have passed."""
        return self._origin + timedelta(seconds=seconds)

    def now(self) -> datetime:
        """The sim instant now, aware, in UTC."""
        return self.at(self._seconds)

    def told(self) -> tuple[str, float, float]:
        """Nobody else can have this time."""
        raise ValueError("time passes here only by hand")

    def move_to(self, seconds: float) -> None:
        """Time passes, forward only."""
        self._seconds = max(self._seconds, seconds)

    def real(self, sim_seconds: float) -> float:
        """No real time passes for it."""
        del sim_seconds
        return 0.0

    def real_now(self) -> float:
        """The real monotonic time."""
        return time.monotonic()


Clock = SimClock | HandClock
