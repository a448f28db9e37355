"""To the disk itself: files with their bytes, and folders with their names, before something relies on them."""

import os
from pathlib import Path


def sync(folder: Path, upto: Path) -> None:
    """All that lies below `folder`, and the names that lead to it from `upto` on. Raises `OSError`."""
    for inner, _, names in os.walk(folder, topdown=False):
        for name in names:
            _sync(Path(inner) / name)
        _sync(Path(inner))
    for above in folder.parents:
        _sync(above)
        if above == upto:
            break


def sync_name(path: Path) -> None:
    """A new file's name in its folder. Raises `OSError`."""
    _sync(path.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
