"""The program as the kills meet it: `launch` itself, on the test cloud's clock, with the job of a folder of theirs."""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

from launcher import cli
from launcher.world import Console, SteadyClock, World, owner_id, real_world
from providers import registry
from providers.base import Provider, Surroundings

JOB = "LAUNCH_TEST_JOB"
"""The folder of the job."""
CLOCK = "LAUNCH_TEST_CLOCK"
"""The cloud's clock as its control API tells it: ["origin", "started", "scale"]."""
ORDERS = "LAUNCH_TEST_ORDERS"
"""The file descriptor of whoever starts processes for us; without it we start them ourselves."""


def main(words: Sequence[str]) -> int:
    """One command line, in this process; the exit code of the contract."""
    return cli.main(list(words), make_world=_world)


def _world(environ: Mapping[str, str], console: Console) -> World:
    world = real_world(environ, console)
    now, scale = clock(environ[CLOCK])
    return dataclasses.replace(
        world,
        now=SteadyClock(now, lambda: time.monotonic() * scale),
        sleep=lambda seconds: world.sleep(seconds / scale),
        provider=_providers(world, now),
        job_folder=Path(environ[JOB]),
        spawn=lambda run_id: _spawn(run_id, world),
    )


def clock(told: str) -> tuple[Callable[[], datetime], float]:
    """Sim time, the same in every process of this computer; and how many times as fast as real time it runs."""
    origin, started, scale = json.loads(told)
    begun = datetime.fromisoformat(origin)
    return lambda: begun + timedelta(seconds=(time.monotonic() - started) * scale), float(scale)


def _providers(world: World, now: Callable[[], datetime]) -> Callable[[str], Provider]:
    """As `real_world` makes them, but on the cloud's clock."""

    @cache
    def provider(name: str) -> Provider:
        surroundings = Surroundings(
            environ=world.environ,
            state_dir=world.home,
            owner_id=owner_id(world.environ, world.home),
            now=now,
            settings=world.config.providers.get(name, {}),
        )
        return registry.connect(name, surroundings)

    return provider


def carrying(run_id: str) -> tuple[str, ...]:
    """What a background process of ours is told."""
    return ("attach", run_id, "--json")


def _spawn(run_id: str, world: World) -> None:
    """As `real_world` does, with this module as the program; or by order, where somebody forks for us."""
    folder = world.run_folder(run_id)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if ORDERS in world.environ:
        os.write(int(world.environ[ORDERS]), f"{world.home}\t{run_id}\n".encode())
        return
    with (folder / "carrier.log").open("ab") as log:
        subprocess.Popen(
            [sys.executable, "-m", "tests.soak_kill.drive", *carrying(run_id)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(world.environ),
            start_new_session=True,
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
