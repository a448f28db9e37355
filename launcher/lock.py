"""One writer for a run: a lock on a file, which the kernel opens again when its holder dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class HeldElsewhere(Exception):
    """Another process of ours carries this run."""


@contextmanager
def sole_writer(run_folder: Path) -> Iterator[None]:
    """Hold the run for the length of the block. Raises `HeldElsewhere`."""
    run_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (run_folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HeldElsewhere(run_folder.name) from None
        yield


def is_carried(run_folder: Path) -> bool:
    """Whether a living process holds the run."""
    try:
        with sole_writer(run_folder):
            return False
    except HeldElsewhere:
        return True
