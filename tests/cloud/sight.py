"""What a cloud shows of a machine: a young one not yet, a gone one for a while. One rule for the clouds on sockets and
for those in memory."""

from math import inf


def is_shown(age_seconds: float, *, lag_seconds: float, gone_seconds: float | None, kept_seconds: float = inf) -> bool:
    """Whether it is shown so long after its create call, and so long after its end (None: it has not ended)."""
    return age_seconds >= lag_seconds and (gone_seconds is None or gone_seconds < kept_seconds)
