"""The laptop's disk when its power goes: what was written and not synced is lost, and an unsafe ledger with it.

Files are judged by content: one whose last bytes were not followed by `fsync` comes back empty, as journalling file
systems leave it. That a name itself may be lost is not modelled. SQLite syncs by itself, where it is told to: with
`synchronous` below FULL what a process wrote since it opened the ledger is lost.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.ledger import Ledger

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

FULL = 2


class Disk:
    """One laptop's folder; what lies safe in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._safe: dict[int, tuple[int, int]] = {}
        self._unsafe_since: Path | None = None

    def opened(self, books: Ledger) -> None:
        """Look whether these books are safe when a write returns."""
        level = books._db.execute("PRAGMA synchronous").fetchone()[0]
        if level >= FULL or self._unsafe_since is not None:
            return
        self._unsafe_since = self._folder / "at-opening.sqlite"
        with closing(sqlite3.connect(self._unsafe_since)) as copy:
            books._db.backup(copy)

    def all_is_safe(self) -> None:
        """A while has passed: everything that lies there now is on the disk."""
        for path in self._files():
            self._note(path.stat())

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Hear of every `fsync` meanwhile."""
        real = os.fsync

        def fsync(fd: "FileDescriptorLike") -> None:
            self._note(os.fstat(fd if isinstance(fd, int) else fd.fileno()))

        os.fsync = fsync  # a memory file system has nothing to sync: only that it was asked for counts
        try:
            yield
        finally:
            os.fsync = real

    def lose_power(self, ledger: Path) -> None:
        """Empty what was not synced; an unsafe ledger is as it was when it was opened."""
        for path in self._files():
            found = path.stat()
            if found.st_size and self._safe.get(found.st_ino) != (found.st_size, found.st_mtime_ns):
                os.truncate(path, 0)
        if self._unsafe_since is not None:
            for name in ("-wal", "-shm"):
                ledger.with_name(ledger.name + name).unlink(missing_ok=True)
            self._unsafe_since.replace(ledger)
            self._unsafe_since = None

    def _files(self) -> list[Path]:
        """All but the ledger, which syncs by itself."""
        found = (path for name in ("home/runs", "runs") for path in (self._folder / name).rglob("*"))
        return [path for path in found if path.is_file() and not path.is_symlink()]

    def _note(self, found: os.stat_result) -> None:
        self._safe[found.st_ino] = (found.st_size, found.st_mtime_ns)
