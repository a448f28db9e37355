"""The program as these tests type it: `launch`, with the job of a folder of theirs instead of the real one."""

import dataclasses
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from launcher import cli
from launcher.world import Console, World, real_world

JOB = "LAUNCH_TEST_JOB"
"""The folder of the job; without it the real one."""
HURRY = "LAUNCH_TEST_HURRY"
"""So many times as fast our own waits are over; clocks stay what they are."""


def main() -> int:
    """One command line, in this process."""
    return cli.main(sys.argv[1:], make_world=_world)


def _world(environ: Mapping[str, str], console: Console) -> World:
    world = real_world(environ, console)
    if JOB in environ:
        world = dataclasses.replace(world, job_folder=Path(environ[JOB]))
    if HURRY in environ:
        world = dataclasses.replace(world, sleep=_hurried(world.sleep, float(environ[HURRY])))
    return world


def _hurried(sleep: Callable[[float], None], factor: float) -> Callable[[float], None]:
    return lambda seconds: sleep(seconds / factor)


if __name__ == "__main__":
    sys.exit(main() if os.environ.get("LAUNCH_HOME") else "these tests keep their state in a folder of their own")
