"""Counts from outside what a process writes: changes of its ledger, changes of its other files (inotify; Linux)."""

import ctypes
import os
import struct
from contextlib import suppress
from pathlib import Path

IN_MODIFY, IN_MOVED_TO, IN_CREATE, IN_ISDIR, IN_NONBLOCK = 0x2, 0x80, 0x100, 0x40000000, 0o4000
HEAD = struct.Struct("iIII")
LEDGER = "ledger.sqlite"


class Changes:
    """Watches some folders, those below them, and those that come; `number` becomes readable as something changes."""

    def __init__(self, *folders: Path) -> None:
        self._c = ctypes.CDLL(None, use_errno=True)
        self.number: int = self._c.inotify_init1(IN_NONBLOCK)
        if self.number < 0:
            raise OSError(ctypes.get_errno(), "inotify is not to be had here")
        self._folders: dict[int, Path] = {}
        self.seen = {"ledger": 0, "files": 0}
        """So many changes since the last `begin`."""
        for folder in folders:
            self._watch(folder)

    def _watch(self, folder: Path) -> None:
        watched = self._c.inotify_add_watch(self.number, os.fsencode(folder), IN_MODIFY | IN_MOVED_TO | IN_CREATE)
        if watched < 0:
            return  # it is gone already
        self._folders[watched] = folder
        with suppress(OSError):
            for below in [one for one in folder.iterdir() if one.is_dir() and not one.is_symlink()]:
                self._watch(below)

    def begin(self) -> None:
        """Count anew."""
        self.read()
        self.seen = dict.fromkeys(self.seen, 0)

    def read(self) -> None:
        """Count what has come."""
        with suppress(BlockingIOError):
            while data := os.read(self.number, 65536):
                self._count(data)

    def _count(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            watched, mask, _, length = HEAD.unpack_from(data, at)
            name = data[at + HEAD.size : at + HEAD.size + length].rstrip(b"\0").decode(errors="replace")
            at += HEAD.size + length
            if mask & IN_ISDIR and mask & IN_CREATE and watched in self._folders:
                self._watch(self._folders[watched] / name)
            self.seen["ledger" if name.startswith(LEDGER) else "files"] += 1

    def close(self) -> None:
        """Watch nothing any more."""
        os.close(self.number)
