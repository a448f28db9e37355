"""One writer for a run: a lock on a file, which the kernel opens again when its holder dies."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

TRIES, TRY_SECONDS = 25, 0.02
"""Somebody who only asks whether the run is carried holds the file for a moment."""


class HeldElsewhere(Exception):
    """Another process of ours carries this run."""


@contextmanager
def sole_writer(run_folder: Path, sleep: Callable[[float], None]) -> Iterator[None]:
    """Hold the run for the length of the block; `sleep` waits between two tries. Raises `HeldElsewhere`."""
    with _file(run_folder) as file:
        for _ in range(TRIES):
            if _is_free(file, fcntl.LOCK_EX):
                break
            sleep(TRY_SECONDS)
        else:
            raise HeldElsewhere(run_folder.name)
        yield


def is_carried(run_folder: Path) -> bool:
    """Whether a living process holds the run."""
    with _file(run_folder) as file:
        return not _is_free(file, fcntl.LOCK_SH)


def _file(run_folder: Path) -> TextIO:
    run_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return (run_folder / "lock").open("w")


def _is_free(file: TextIO, kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
