"""Brings a machine's many small files in one go: asking for each of them costs more than its bytes."""

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from launcher.guest import Guest, GuestError, Manifest, RemoteFile
from launcher.remote import CommandFailed

SMALL_BYTES = 256 * 1024
MOST_BYTES = 4 * 1024 * 1024
MOST_FILES = 64
MOST_SECONDS = 30.0
"""A machine that lets them trickle in longer is asked file by file, where the caller's own clock counts."""
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
"""Names that nobody has to think about; all others are asked for one by one, once they were judged."""


class SmallFiles:
    """A `pull.Source` over a guest: the first small file that is asked for brings the others along, into memory.

    Only what has its announced size and hash is kept; what has not is left to an ordinary `send`.
    """

    def __init__(self, guest: Guest, clock: Callable[[], float] = time.monotonic) -> None:
        self._guest, self._clock = guest, clock
        self._to_come: tuple[RemoteFile, ...] = ()
        self._kept: dict[str, bytes] = {}

    def manifest(self, under: str = "out") -> Manifest:
        """See `Guest.manifest`."""
        announced = self._guest.manifest(under)
        small = [one for one in announced.files if 0 < one.bytes <= SMALL_BYTES and PLAIN.fullmatch(one.path)]
        self._to_come = _within_limits(small)
        return announced

    def send(self, under: str, path: str, offset: int) -> Iterator[bytes]:
        """See `Guest.send`."""
        if offset == 0 and len(self._to_come) > 1 and any(one.path == path for one in self._to_come):
            self._fetch(under)
        data = self._kept.pop(path, None) if offset == 0 else None
        return self._guest.send(under, path, offset) if data is None else iter((data,))

    def _fetch(self, under: str) -> None:
        files, self._to_come = self._to_come, ()
        data, at = self._read(under, files), 0
        for file in files:
            piece, at = data[at : at + file.bytes], at + file.bytes
            if hashlib.sha256(piece).hexdigest() == file.sha256:
                self._kept[file.path] = piece

    def _read(self, under: str, files: tuple[RemoteFile, ...]) -> bytes:
        """As many bytes as were announced, or what came of them in time."""
        size, until, data = sum(file.bytes for file in files), self._clock() + MOST_SECONDS, bytearray()
        with suppress(GuestError, CommandFailed):
            for chunk in self._guest.send_all(under, [file.path for file in files]):
                data += chunk
                if len(data) > size or self._clock() > until:
                    break
        return bytes(data)


def _within_limits(files: list[RemoteFile]) -> tuple[RemoteFile, ...]:
    taken, total = [], 0
    for file in files[:MOST_FILES]:
        if total + file.bytes <= MOST_BYTES:
            taken.append(file)
            total += file.bytes
    return tuple(taken)
