"""What was played so far at one commit, piece by piece in a file: a long run that was broken off goes on from there."""

import json
from collections import Counter
from pathlib import Path

from tests.soak.schedule import Kind
from tests.soak.table import Tally


class Kept:
    """A line for each piece of work that is done; one that was cut off at the end does not count."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists():
            whole = file.read_bytes().rpartition(b"\n")
            file.write_bytes(whole[0] + whole[1])

    def read(self) -> dict[int, Tally]:
        """By number of the piece."""
        if not self.file.exists():
            return {}
        return dict(map(_loaded, self.file.read_text().splitlines()))

    def add(self, number: int, tally: Tally) -> None:
        """One more is done."""
        with self.file.open("a") as file:
            file.write(_dumped(number, tally))


def _dumped(number: int, tally: Tally) -> str:
    fields = {
        "fired": {kind.name: times for kind, times in tally.fired.items()},
        **{name: getattr(tally, name) for name in ("rules", "seeds", "examples", "shares", *_COUNTS)},
    }
    return json.dumps({"number": number, **fields}) + "\n"


def _loaded(line: str) -> tuple[int, Tally]:
    said = json.loads(line)
    fired = Counter({Kind[name]: times for name, times in said.pop("fired").items()})
    number, rules = said.pop("number"), Counter(said.pop("rules"))
    return number, Tally(fired=fired, rules=rules, **said)


_COUNTS = ("schedules", "with_machine", "points", "stand_for", "cpu_seconds")
