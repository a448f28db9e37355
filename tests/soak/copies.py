"""Copies of the product and its tests in a temporary folder, to be spoiled there and judged by the simulation."""

import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.soak import hunt
from tests.source import REPOSITORY, ROOMS

IN_THE_SUITE = 2_000
"""Schedules that `make test` plays."""
MOST_WALL_SECONDS = 3600.0
"""A process that neither plays nor uses the processor is given up after this (assumed)."""
SEED = re.compile(r"seed (\d+)")
NICE = ("nice", "-n10")
CONTROL_SCHEDULES = 25
"""How many the copy plays before it is spoiled: what falls over by itself notices nothing."""


class NotSound(Exception):
    """The source as it is breaks promises already, or does not run: it can show nothing about bugs that are planted."""


@dataclass(frozen=True, kw_only=True)
class Hunt:
    """What the schedules came to in a spoiled copy."""

    noticed: bool
    loads: bool
    words: str


@contextmanager
def copied(repository: Path = REPOSITORY) -> Iterator[Path]:
    """The product and its tests, as they are in the working tree; gone with the block."""
    leave = shutil.ignore_patterns("planted")
    with tempfile.TemporaryDirectory(prefix="soak-spoiled-") as folder:
        for room in (*ROOMS, "tests"):
            shutil.copytree(repository / room, Path(folder) / room, ignore=leave)
        shutil.copy(repository / "pyproject.toml", folder)
        yield Path(folder)


@contextmanager
def sound(repository: Path = REPOSITORY) -> Iterator[Path]:
    """A copy of which copies are made, seen to be sound. Raises `NotSound`."""
    with copied(repository) as tree:
        found = hunted(tree, schedules=CONTROL_SCHEDULES)
        if found.noticed or not found.loads:
            raise NotSound(f"without any bug planted: {found.words}")
        yield tree


@contextmanager
def spoilable(tree: Path) -> Iterator[Path]:
    """One more copy of a sound one."""
    with tempfile.TemporaryDirectory(prefix="soak-spoiled-") as folder:
        yield shutil.copytree(tree, Path(folder) / "tree")


def hunted(
    tree: Path, whole: Path | None = None, *, first: int = 0, schedules: int = IN_THE_SUITE, hint: str = ""
) -> Hunt:
    """Play schedules in that copy until something is noticed that does not happen in the `whole` one, too.

    The seed that the `hint` begins with, if it is one of the suite's, is played before all others.
    """
    known = SEED.match(hint)
    if known is not None and int(known[1]) < IN_THE_SUITE:
        found = _hunted(tree, whole, int(known[1]), int(known[1]) + 1)
        if found.noticed or not found.loads:
            return found
    return _hunted(tree, whole, first, schedules)


def _hunted(tree: Path, whole: Path | None, first: int, schedules: int) -> Hunt:
    while True:
        found = _played(tree, range(first, schedules))
        seed = SEED.match(found.words)
        if whole is None or seed is None or not found.noticed:
            return found
        first = int(seed[1]) + 1
        if not _played(whole, range(first - 1, first)).noticed:
            return found


def _played(tree: Path, seeds: range) -> Hunt:
    words = f"--first {seeds.start} --schedules {len(seeds)}".split()
    command = [*NICE, sys.executable, "-m", "tests.soak.hunt", *words]
    try:
        done = subprocess.run(command, cwd=tree, check=False, capture_output=True, text=True, timeout=MOST_WALL_SECONDS)
    except subprocess.TimeoutExpired:
        return Hunt(noticed=True, loads=True, words=f"hangs: nothing for {MOST_WALL_SECONDS:.0f} s")
    said = (done.stdout.strip() or done.stderr.strip() or f"exit {done.returncode}").splitlines()[-1]
    if done.returncode == -signal.SIGPROF:
        text = f"{said}: hangs: it takes more than {hunt.MOST_SECONDS:.0f} s of the processor"
        return Hunt(noticed=True, loads=True, words=text)
    loads = done.returncode != hunt.NO_PRODUCT
    return Hunt(noticed=loads and done.returncode != hunt.NOTHING, loads=loads, words=said)
