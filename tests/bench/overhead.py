"""What a launch adds to a job: from SSH to the job's first line, and from its last line to the proven end."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.cloud.client import Cloud
from tests.launches.laptop import Laptop, Typed

STATES = ("PROVISIONING", "BOOTING", "SHIPPING", "RUNNING", "PULLING", "TERMINATING", "TERMINATED")
PROGRESS = Path("home/ubuntu/.launch/run/progress.jsonl")


@dataclass(frozen=True, kw_only=True)
class Overhead:
    """Seconds of one launch that are neither the job's nor the provider's."""

    before_seconds: float
    """From the machine's SSH server listening, as the cloud wrote it down, to the first line about the job there."""
    after_seconds: float
    """From the job's last line there to TERMINATED as the program said it, less what the provider took to end it."""
    provider_seconds: float
    """What was taken off: from the cloud's word that the machine is ending to its word that it is terminated."""
    steps: tuple[tuple[str, float], ...]
    """Between what the program told: where the time went."""


def launched(cloud: Cloud, folder: Path) -> tuple[Overhead, Mapping[str, str]]:
    """One whole launch of the quick job; its overhead, and an environment in which `launch ps` shows it.

    Raises `AssertionError` with what the program said where the launch does not succeed.
    """
    laptop = Laptop(cloud, folder)
    try:
        typed = laptop.launch()
        states = dict(_arrivals(typed))
        said = typed.ended()
        assert said.code == 0, said.err
        return _overhead(cloud, laptop, states), dict(laptop.environ)
    finally:
        laptop.close()


def _arrivals(typed: Typed) -> Iterator[tuple[str, float]]:
    """When each state was told, by the clock of this process: the events themselves say only the second."""
    for state in STATES:
        typed.until_state(state)
        yield state, time.time()


def _overhead(cloud: Cloud, laptop: Laptop, states: Mapping[str, float]) -> Overhead:
    machine = laptop.machine()
    began = time.time() - float(cloud.call("state")["now"])  # scale 1: the cloud's seconds are real ones
    happened = {one["kind"]: began + one["at"] for one in cloud.call("events") if one["machine"] == machine.id}
    lines = [json.loads(line) for line in (machine.root / PROGRESS).read_text().splitlines()]
    first = next(_at(line) for line in lines if line["event"] == "phase")
    last = next(_at(line) for line in lines if line["event"] == "done")
    provider = happened["terminated"] - happened["ending"]
    points = {"ssh": happened["ssh"], "first line": first, "last line": last, "ending": happened["ending"], **states}
    return Overhead(
        before_seconds=first - happened["ssh"],
        after_seconds=states["TERMINATED"] - last - provider,
        provider_seconds=provider,
        steps=tuple(sorted(((name, at - happened["ssh"]) for name, at in points.items()), key=lambda one: one[1])),
    )


def _at(line: Mapping[str, object]) -> float:
    return datetime.fromisoformat(str(line["at"])).timestamp()
