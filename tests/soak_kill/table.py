"""What was done so far for one commit, as lines in a file; and the one table of it."""

import json
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.soak_kill.lane import Lived


@dataclass(frozen=True, kw_only=True)
class Done:
    """All lives of a commit."""

    lives: tuple[Lived, ...]

    @property
    def kills(self) -> int:
        """Processes of ours that died of a signal."""
        return sum(len(one.kills) for one in self.lives)

    @property
    def breaches(self) -> int:
        """How often a promise was broken."""
        return sum(len(one.breaches) for one in self.lives)

    def seeds(self) -> list[int]:
        """Of lives in which something broke."""
        return [one.seed for one in self.lives if one.breaches]

    def text(self, commit: str) -> str:
        """As Markdown."""
        shares = sorted((one.share for one in self.lives if one.machines), reverse=True) or [0.0]
        cpu, wall = (sum(getattr(one, name) for one in self.lives) for name in ("cpu_seconds", "wall_seconds"))
        seeds = [one.seed for one in self.lives]
        rules = Counter(breach["rule"] for one in self.lives for breach in one.breaches)
        kills = [kill for one in self.lives for kill in one.kills]
        fired = sum((Counter(one.fired) for one in self.lives), Counter[str]())
        rows = [
            ("kills", f"{self.kills:,} in {len(self.lives):,} lives (seeds {min(seeds)} to {max(seeds)})"),
            ("by signal", _counted(kill["blow"] for kill in kills)),
            ("by command", _counted(kill["command"] for kill in kills)),
            ("by state of the run", _counted(kill["phase"] for kill in kills)),
            ("by moment", _counted(kill["point"] for kill in kills)),
            ("clouds", _counted(f"{one.cloud} {one.market}" for one in self.lives)),
            ("outcomes", _counted(one.outcome for one in self.lives)),
            ("faults beside", _told(fired)),
            ("breaches", _told(rules) or "0"),
            ("spent / budget", f"maximum {shares[0]:.4f}, p99.9 {shares[len(shares) // 1000]:.4f}"),
            ("time", f"{cpu:.0f} s of CPU ({cpu / max(1, self.kills):.2f} s a kill), {wall:.0f} s of life"),
            ("commit", f"{commit}, {datetime.now(UTC):%Y-%m-%d}"),
        ]
        return "\n".join(f"| {name:<20} | {text} |" for name, text in [("what", "how much"), ("---", "---"), *rows])


def _counted(names: "Counter[str] | object") -> str:
    return _told(Counter(names))  # type: ignore[arg-type]  # an iterable of names


def _told(counts: "Counter[str]") -> str:
    return ", ".join(f"{name or '-'} {count:,}" for name, count in counts.most_common())


class Kept:
    """A file with a line for each life; a part that was broken off loses nothing but the lives that it was in."""

    def __init__(self, file: Path) -> None:
        self.file = file
        file.parent.mkdir(parents=True, exist_ok=True)

    def read(self) -> Done:
        """All lives so far; a line that was torn by a death does not count."""
        lives = []
        for line in self.file.read_text().splitlines() if self.file.exists() else []:
            try:
                lives.append(Lived(**json.loads(line)))
            except (ValueError, TypeError):
                continue
        return Done(lives=tuple(lives))

    def add(self, lived: Lived) -> None:
        """One more, in one write."""
        with self.file.open("ab", buffering=0) as file:
            file.write(lived.line().encode() + b"\n")
