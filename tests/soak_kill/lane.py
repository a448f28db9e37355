"""One test cloud, and life after life against it, each on a laptop of its own; a line of JSON for each."""

import contextlib
import json
import os
import resource
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.cloud.client import Cloud, CloudError, running
from tests.soak_kill.drawn import Life
from tests.soak_kill.judge import judged
from tests.soak_kill.life import Death, Player, Seasoning

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Clouds(contextlib.ExitStack):
    """A test cloud for each scale of time that is asked for, from then on."""

    def __init__(self) -> None:
        super().__init__()
        self._at: dict[float, Cloud] = {}

    def at(self, scale: float) -> Cloud:
        """The one whose time runs so fast."""
        if scale not in self._at:
            self._at[scale] = self.enter_context(running(scale=scale))
        return self._at[scale]

    def processes(self) -> frozenset[int]:
        """All of them."""
        return frozenset(one.process for one in self._at.values())


@dataclass(frozen=True, kw_only=True)
class Lived:
    """What a life came to, as it is kept."""

    seed: int
    cloud: str
    market: str
    kills: list[dict[str, Any]]
    """command, phase, point, blow of each."""
    survived: list[dict[str, Any]]
    """The same of those that were over before their moment came."""
    fired: dict[str, int]
    breaches: list[dict[str, str]]
    share: float
    outcome: str
    machines: int
    wall_seconds: float
    cpu_seconds: float

    def line(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))


def lived(
    life: Life, clouds: Clouds, seasoning: Seasoning, keep: Path, tell: Callable[[str], None] = lambda text: None
) -> Lived:
    """Play it, judge it, and leave an empty cloud behind; what one that broke something leaves goes into `keep`."""
    cloud = clouds.at(life.scale)
    cloud.reset()
    began, cpu = time.monotonic(), _cpu_seconds(cloud)
    story, since = [str(life)], cloud.call("state")["last_event"]

    def told(line: str) -> None:
        story.append(line)
        tell(line)

    with tempfile.TemporaryDirectory(prefix="kill-") as folder:
        player = Player(cloud, life, Path(folder) / "laptop", seasoning, told, clouds.processes())
        try:
            player.play()
            verdict = judged(player)
            for breach in verdict.breaches:
                told(f"BREACH {breach.rule}: {breach.text}")
            told(f"outcome {verdict.outcome}, {verdict.share:.1%} of the budget, {len(player.deaths)} kills")
            if verdict.breaches:
                _keep(player, story, since, keep / str(life.seed))
        finally:
            player.close()
    return Lived(
        seed=life.seed,
        cloud=life.cloud,
        market="spot" if "--spot" in life.words else "on-demand" if "--on-demand" in life.words else "any",
        kills=[_told(one) for one in player.deaths],
        survived=[_told(one) for one in player.survived],
        fired=dict(Counter(player.fired)),
        breaches=[asdict(one) for one in verdict.breaches],
        share=round(verdict.share, 4),
        outcome=verdict.outcome,
        machines=verdict.machines,
        wall_seconds=round(time.monotonic() - began, 2),
        cpu_seconds=round(_cpu_seconds(cloud) - cpu, 2),
    )


def _keep(player: Player, story: list[str], since: int, folder: Path) -> None:
    """The laptop, the machines' folders, what the cloud saw, what was typed when: to find the cause."""
    folder.mkdir(parents=True, exist_ok=True)
    machines = player.cloud.machines()
    (folder / "story.txt").write_text("\n".join(story) + "\n")
    events = [one for one in player.cloud.call("events") if one["number"] > since]
    (folder / "events.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))
    (folder / "machines.json").write_text(json.dumps([asdict(one) for one in machines], default=str, indent=1))
    for source in (player.folder, *(one.root for one in machines)):  # cp: sockets and half-ended things may be there
        subprocess.run(["cp", "-a", str(source), str(folder)], check=False, stderr=subprocess.DEVNULL)


def _told(death: Death) -> dict[str, Any]:
    moment = death.moment
    return {"command": death.command, "phase": death.phase, "point": moment.point, "blow": moment.blow}


def _cpu_seconds(cloud: Cloud) -> float:
    """Of this process, of all that it waited for, and of the cloud with its machines."""
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    parts = Path(f"/proc/{cloud.process}/stat").read_text().rpartition(")")[2].split()
    return sum(one.ru_utime + one.ru_stime for one in own) + sum(map(int, parts[11:15])) / TICKS_PER_SECOND


def broken(life: Life, error: Exception) -> Lived:
    """A life that this harness could not play to its end: a breach of the harness, and no kills."""
    text = f"{type(error).__name__}: {error}"[:1500]
    breaches = [{"rule": "harness", "text": text}]
    return Lived(
        seed=life.seed, cloud=life.cloud, market="", kills=[], survived=[], fired={}, breaches=breaches,
        share=0, outcome="", machines=0, wall_seconds=0, cpu_seconds=0,
    )  # fmt: skip


HARNESS = (CloudError, OSError, ValueError, KeyError, AssertionError, TypeError)
"""What can go wrong in the harness itself."""
