"""The laptop's disk at a death: frozen at that moment, so that nothing which a dead process still runs acts on it.

Without power more is lost: a file whose last bytes were not followed by `fsync` comes back empty, as journalling file
systems leave it, and a name (also a new or renamed folder's) that was not followed by `fsync` of its folder is not
there, or still means what it meant before. SQLite syncs by itself, where it is told to: with `synchronous` below FULL
what a process wrote since it opened the ledger is lost.
"""

import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.ledger import Ledger

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

FULL = 2
TREES = ("home", "runs")
"""What of the laptop's folder is its disk."""


class Disk:
    """One laptop's folder; what lies safe in it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._frozen, self._inodes = folder, folder / "frozen", folder / "inodes"
        self._safe: dict[int, tuple[int, int]] = {}
        """By inode of a file: its size and time when it was synced last."""
        self._names: dict[int, dict[str, tuple[int, bool]]] = {}
        """By inode of a folder: what each name in it meant when it was synced last, and whether that is a folder."""
        self._unsafe_since: Path | None = None

    def opened(self, books: Ledger) -> None:
        """Look whether these books are safe when a write returns."""
        level = books._db.execute("PRAGMA synchronous").fetchone()[0]
        if level >= FULL or self._unsafe_since is not None:
            return
        self._unsafe_since = self._folder / "at-opening.sqlite"
        with closing(sqlite3.connect(self._unsafe_since)) as copy:
            books._db.backup(copy)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Hear of every `fsync` meanwhile."""
        self._inodes.mkdir()
        real = os.fsync

        def fsync(fd: "FileDescriptorLike") -> None:
            number = fd if isinstance(fd, int) else fd.fileno()
            found = os.fstat(number)
            if stat.S_ISDIR(found.st_mode):
                self._note_names(number, found.st_ino)
            else:
                self._safe[found.st_ino] = (found.st_size, found.st_mtime_ns)

        os.fsync = fsync  # a memory file system has nothing to sync: only that it was asked for counts
        try:
            yield
        finally:
            os.fsync = real

    def all_is_safe(self) -> None:
        """A while has passed: everything that lies there now is on the disk."""
        if not self._inodes.is_dir():
            return
        for folder, _, files in os.walk(self._folder):
            if folder == str(self._inodes):
                continue
            for name in files:
                found = Path(folder, name).stat()
                self._safe[found.st_ino] = (found.st_size, found.st_mtime_ns)
            handle = os.open(folder, os.O_RDONLY)
            self._note_names(handle, os.fstat(handle).st_ino)
            os.close(handle)

    def _note_names(self, handle: int, inode: int) -> None:
        """What a folder that was synced holds; its files stay, whatever becomes of their names."""
        names: dict[str, tuple[int, bool]] = {}
        for name in os.listdir(handle):
            found = os.stat(name, dir_fd=handle, follow_symlinks=False)
            names[name] = (found.st_ino, stat.S_ISDIR(found.st_mode))
            if stat.S_ISREG(found.st_mode):
                with suppress(FileExistsError):
                    os.link(name, self._inodes / str(found.st_ino), src_dir_fd=handle, follow_symlinks=False)
        self._names[inode] = names

    def freeze(self, *, is_power_lost: bool) -> None:
        """This is how the disk is found by the next process."""
        shutil.rmtree(self._frozen, ignore_errors=True)
        self._frozen.mkdir()
        (self._frozen / "home").mkdir()
        if is_power_lost:
            self._copy_what_is_safe(self._folder.stat().st_ino, self._frozen)
            self._copy_what_is_safe((self._folder / "home").stat().st_ino, self._frozen / "home")  # an old folder
        for name in TREES:
            if not is_power_lost and (self._folder / name).is_dir():
                copy_tree(self._folder / name, self._frozen / name)
        for path in (self._folder / "home").glob("ledger.sqlite*"):
            shutil.copyfile(path, self._frozen / "home" / path.name)

    def _copy_what_is_safe(self, inode: int, to: Path) -> None:
        for name, (inner, is_folder) in self._names.get(inode, {}).items():
            if to == self._frozen and name not in TREES:
                continue
            if is_folder:
                (to / name).mkdir(exist_ok=True)
                self._copy_what_is_safe(inner, to / name)
            elif (kept := self._inodes / str(inner)).exists():
                found = kept.stat()
                is_safe = self._safe.get(inner) == (found.st_size, found.st_mtime_ns)
                (to / name).write_bytes(kept.read_bytes() if is_safe else b"")

    def thaw(self, ledger: Path, *, is_power_lost: bool) -> None:
        """The next process begins: the disk is as it was frozen. A ledger that was not synced lost its last writes."""
        if not self._frozen.is_dir():
            return
        for name in TREES:
            shutil.rmtree(self._folder / name, ignore_errors=True)
            if (self._frozen / name).is_dir():
                (self._frozen / name).rename(self._folder / name)
        shutil.rmtree(self._frozen)
        if is_power_lost and self._unsafe_since is not None:
            for end in ("-wal", "-shm"):
                ledger.with_name(ledger.name + end).unlink(missing_ok=True)
            self._unsafe_since.replace(ledger)
            self._unsafe_since = None
        self.all_is_safe()


def copy_tree(tree: Path, to: Path) -> None:
    """A small tree of plain files; much cheaper than `shutil.copytree`. What `-shm` holds is made anew."""
    to.mkdir(exist_ok=True)
    with os.scandir(tree) as entries:
        for one in entries:
            if one.is_dir(follow_symlinks=False):
                copy_tree(Path(one.path), to / one.name)
            elif not one.name.startswith("ledger.sqlite"):
                (to / one.name).write_bytes(Path(one.path).read_bytes())
