"""The one table: schedules, faults that fired by kind, breaches, how much of the budgets was billed, wall time."""

import os
import platform
import subprocess
import time
from bisect import insort
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.soak.play import Played
from tests.soak.schedule import OF_A_STORE, Kind

KEPT_SHARES = 2000
"""The largest ones are enough for the 99.9th percentile of up to two million schedules."""


@dataclass
class Tally:
    """What many schedules came to."""

    first: int = 0
    schedules: int = 0
    with_machine: int = 0
    fired: Counter[Kind] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    seeds: list[int] = field(default_factory=list)
    examples: dict[str, str] = field(default_factory=dict)
    shares: list[float] = field(default_factory=list)
    points: int = 0
    stand_for: int = 0
    """Pairs of points to die at, of which only those were played that leave something different behind."""
    cpu_seconds: float = 0.0
    before: int = 0
    """Schedules that were played earlier, in a run that was broken off: this one's wall time is not theirs."""
    began: float = field(default_factory=time.monotonic)

    @property
    def breaches(self) -> int:
        """How often a promise was broken."""
        return sum(self.rules.values())

    def count(self, played: Played, stands_for: int = 0) -> None:
        """One more schedule."""
        self.schedules += 1
        self.stand_for += stands_for
        self.with_machine += bool(played.machines)
        self.points += played.points
        self.fired.update(kind for kind, times in played.fired.items() if times)
        if played.is_bound:
            self._keep(played.share)
        for breach in played.breaches:
            self.rules[breach.rule] += 1
            self.examples.setdefault(breach.rule, f"seed {played.seed}: {breach.text}")
        self.seeds += [played.seed] if played.breaches else []

    def add(self, other: "Tally") -> None:
        """What another process counted."""
        self.schedules += other.schedules
        self.with_machine += other.with_machine
        self.points += other.points
        self.stand_for += other.stand_for
        self.cpu_seconds += other.cpu_seconds
        self.fired += other.fired
        self.rules += other.rules
        self.seeds += other.seeds
        self.examples = {**other.examples, **self.examples}
        for share in other.shares:
            self._keep(share)

    def _keep(self, share: float) -> None:
        insort(self.shares, share)
        del self.shares[:-KEPT_SHARES]

    def text(self) -> str:
        """As Markdown."""
        wall = time.monotonic() - self.began
        each, each_now = 1000 / max(1, self.schedules), 1000 / max(1, self.schedules - self.before)
        part = f", for the last {self.schedules - self.before:,}" if self.before else ""
        rows = [
            ("schedules", f"{self.schedules:,} ({self._which()}), {self.with_machine:,} with a machine"),
            ("places to die", f"{self.points:,} writes, calls and sleeps"),
            ("faults that fired", f"{self.fired.total():,} of {len(self.fired)} kinds"),
            ("breaches", _rules(self.rules)),
            ("spent / budget", f"maximum {self._share(0):.4f}, p99.9 {self._share(self.schedules // 1000):.4f}"),
            ("processor time", f"{self.cpu_seconds:.0f} s, {self.cpu_seconds * each:.1f} ms a schedule"),
            ("wall time", f"{wall:.0f} s, {wall * each_now:.1f} ms a schedule{part}"),
            ("machine", f"{os.cpu_count()} cores, Python {platform.python_version()}"),
            ("commit", f"{commit()}, {datetime.now(UTC):%Y-%m-%d}"),
        ]
        kinds = [(f"  {kind}", f"{self.fired[kind]:,}") for kind in Kind if self._may_fire(kind)]
        examples = [(f"  {rule}", text) for rule, text in sorted(self.examples.items())]
        lines = [*rows[:3], *kinds, rows[3], *examples, *rows[4:]]
        return "\n".join(f"| {name:<26} | {text} |" for name, text in [("what", "how much"), ("---", "---"), *lines])

    def _may_fire(self, kind: Kind) -> bool:
        """One that never fired is shown as well, where days were drawn that could have it."""
        is_drawn = self.first >= 0 and kind not in OF_A_STORE
        return is_drawn or self.fired[kind] > 0

    def _which(self) -> str:
        if self.stand_for:
            return f"all that differ of {self.stand_for:,} pairs of points"
        return f"seeds {self.first} to {self.first + self.schedules - 1}" if self.first >= 0 else "points to die at"

    def _share(self, below: int) -> float:
        """The largest share but so many."""
        return self.shares[-1 - below] if below < len(self.shares) else 0.0


def tally(days: Iterable[Played], first: int = 0) -> Tally:
    """Count them all, with the time that this process has taken to play them."""
    return tally_of(((day, 0) for day in days), first)


def tally_of(days: Iterable[tuple[Played, int]], first: int = 0) -> Tally:
    """The same of days that stand for others."""
    found, began = Tally(first=first), time.process_time()
    for day, stands_for in days:
        found.count(day, stands_for)
    found.cpu_seconds = time.process_time() - began
    return found


def _rules(rules: Counter[str]) -> str:
    return ", ".join(f"{rule}: {count}" for rule, count in sorted(rules.items())) or "0"


def commit() -> str:
    """What was tested; with a mark where the tree has changes."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        check=False,
        text=True,
    )
    return told.stdout.strip() or "unknown"
