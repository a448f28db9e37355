"""`python -m tests.soak.teeth [NAME...]`: whether the simulation notices the bugs that are kept in `planted/`.

Each patch is applied to a copy of the source in a temporary folder, where schedules are played until a promise is
broken, at most as many as in `make test`. A bug that none of them notices is a hole in the harness.
"""

import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.source import REPOSITORY, ROOMS

PLANTED = Path(__file__).parent / "planted"
IN_THE_SUITE = 1_000
"""Schedules that `make test` plays."""
TESTS = ("__init__.py", "fake_guest.py", "fake_machine.py", "fake_provider.py", "fake_world.py", "soak")


@dataclass(frozen=True, kw_only=True)
class Bite:
    """What became of one planted bug."""

    name: str
    caught: bool
    words: str

    def __str__(self) -> str:
        return f"| {self.name:<32} | {'caught' if self.caught else 'NOT CAUGHT':<10} | {self.words} |"


def planted() -> list[str]:
    """The names of all planted bugs."""
    return sorted(path.stem for path in PLANTED.glob("*.patch"))


def copied(into: Path) -> Path:
    """The product and the simulation, as they are in the working tree."""
    leave = shutil.ignore_patterns("__pycache__", "planted")
    for room in ROOMS:
        shutil.copytree(REPOSITORY / room, into / room, ignore=leave)
    (into / "tests").mkdir()
    for name in TESTS:
        source = REPOSITORY / "tests" / name
        if source.is_dir():
            shutil.copytree(source, into / "tests" / name, ignore=leave)
        else:
            shutil.copy(source, into / "tests" / name)
    return into


def applied(name: str, tree: Path) -> None:
    """Plant the bug. Raises `CalledProcessError` where the source has moved on: then the patch is to be made anew."""
    patch = PLANTED / f"{name}.patch"
    command = ["patch", "-p1", "--no-backup-if-mismatch", "--silent", "-i", str(patch)]
    subprocess.run(command, cwd=tree, check=True, capture_output=True)


def fits(name: str) -> bool:
    """Whether the source is still as the patch knows it."""
    command = ["patch", "-p1", "--dry-run", "--silent", "-i", str(PLANTED / f"{name}.patch")]
    return subprocess.run(command, cwd=REPOSITORY, check=False, capture_output=True).returncode == 0


def bitten(name: str, first: int = 0) -> Bite:
    """Play until a promise is broken."""
    with tempfile.TemporaryDirectory(prefix="soak-planted-") as folder:
        tree = copied(Path(folder) / "tree")
        applied(name, tree)
        words = f"--until-breach --schedules {IN_THE_SUITE} --first {first}".split()
        command = [sys.executable, "-m", "tests.soak", *words]
        done = subprocess.run(command, cwd=tree, check=False, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines()[-1:]
    return Bite(name=name, caught=done.returncode == 1 and bool(done.stdout), words=lines[-1] if lines else "")


def main() -> int:
    """0 where all are caught."""
    names = [name for name in sys.argv[1:] if not name.startswith("--")] or planted()
    with ThreadPoolExecutor(2) as pool:
        bites = []
        for bite in pool.map(partial(bitten), names):
            print(bite, flush=True)
            bites.append(bite)
    missed = [bite.name for bite in bites if not bite.caught]
    print(f"{len(bites) - len(missed)} of {len(bites)} planted bugs caught within {IN_THE_SUITE} schedules")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
