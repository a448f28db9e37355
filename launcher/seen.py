"""That a machine was seen, noted where the ledger cannot be written: a file gets another name, which needs no room."""

from contextlib import suppress

from launcher.run import Attempt, Run
from launcher.world import World

CALLS = "calls.txt"
"""In a run's folder: the nonce of each create call, one a line, noted before the call is made."""


def note(run: Run, attempt: Attempt, world: World) -> None:
    """The disk is full and this machine may be gone before it is not: whoever comes next shall not hold it to be none.

    A full disk still renames what lies on it. Without the file (it could not be made) the ledger's silence is believed.
    """
    folder = world.run_folder(run.id)
    with suppress(OSError):
        (folder / CALLS).rename(folder / f"calls-seen-{attempt.number}.txt")


def is_noted(run: Run, attempt: Attempt, world: World) -> bool:
    """Whether an earlier process saw the machine of this create call, and could not write it down."""
    return attempt.nonce in _nonces(world, run, f"calls-seen-{attempt.number}.txt")


def all_calls(run: Run, world: World) -> set[str]:
    """Nonces of all create calls that were noted beside the ledger."""
    names = [CALLS, *(path.name for path in world.run_folder(run.id).glob("calls-seen-*.txt"))]
    return {nonce for name in names for nonce in _nonces(world, run, name)}


def _nonces(world: World, run: Run, name: str) -> list[str]:
    try:
        return (world.run_folder(run.id) / name).read_text(encoding="ascii", errors="replace").split()
    except OSError:
        return []
