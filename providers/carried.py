"""Who carries a machine's run, as a mark that every computer with the same account can read, where a cloud keeps one.

`EPOCH/PLACE/UNTIL/HOST`: a number that only grows, a name that no other computer has, until when it is to be believed
(seconds since 1970), and the computer's own name for people. One value of a tag, at most 256 signs.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

MOST_SIGNS = 256
_VALUE = re.compile(r"(?P<epoch>\d{1,9})/(?P<place>[0-9a-z]{1,64})/(?P<until>\d{1,11})/(?P<host>[A-Za-z0-9._-]{0,160})")


@dataclass(frozen=True, kw_only=True)
class Carried:
    """A computer that carries a run, and until when it is sure to, unless it says so again."""

    epoch: int
    place: str
    host: str
    until: datetime

    def value(self) -> str:
        """As it is written."""
        host = re.sub(r"[^A-Za-z0-9._-]", "-", self.host)[:160]
        return f"{self.epoch}/{self.place}/{int(self.until.timestamp())}/{host}"


def parse(value: str) -> Carried | None:
    """As it was written; None for anything else."""
    found = _VALUE.fullmatch(value)
    if found is None:
        return None
    try:
        until = datetime.fromtimestamp(int(found["until"]), UTC)
    except (OverflowError, ValueError):
        return None
    return Carried(epoch=int(found["epoch"]), place=found["place"], host=found["host"], until=until)
