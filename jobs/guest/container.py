"""Many files as one object for a durable store: their bytes, an index of hashes, and a trailer that proves it."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from typing import Any, Iterator, Sequence

from .places import blocks

MAGIC = "launch-store 1"
TRAILER_BYTES = 128
"""MAGIC, the length of the index, its HMAC-SHA256 under the attempt's key, blanks, a newline."""
_ZEROS = b"\0" * 65536


class TooLarge(Exception):
    """The files are more than was granted."""


class Container:
    """Files of one folder as they will lie in the object: files, zeros, index, trailer; whole parts, to the byte."""

    def __init__(
        self, root: str, files: Sequence[dict[str, Any]], about: dict[str, Any], key: bytes, room: tuple[int, int]
    ) -> None:
        """`files` as `transfer.manifest` lists them; `room`: how many parts may come, and how long each one is."""
        most, self.part_bytes = room
        listed = [{name: one[name] for name in ("path", "bytes", "sha256")} for one in files]
        self.index = json.dumps({"schema": 1, **about, "files": listed}, sort_keys=True).encode()
        proof = hmac.new(key, self.index, hashlib.sha256).hexdigest()
        trailer = f"{MAGIC} {len(self.index):012d} {proof}".ljust(TRAILER_BYTES - 1).encode("ascii") + b"\n"
        self.tail = self.index + trailer
        self.payload = sum(one["bytes"] for one in files)
        self.parts = -(-(self.payload + len(self.tail)) // self.part_bytes)
        if self.parts > most:
            raise TooLarge(f"{self.payload} bytes, and {most * self.part_bytes} were granted")
        self.size = self.parts * self.part_bytes
        self._files = [(os.path.join(root, str(one["path"])), int(one["bytes"])) for one in files]

    @property
    def sha256(self) -> str:
        """Of the index, and so of all that it lists."""
        return hashlib.sha256(self.index).hexdigest()

    def part(self, number: int) -> Iterator[bytes]:
        """The bytes of part `number`, from 1 on. Raises OSError where a file is not any more as it was listed."""
        start = (number - 1) * self.part_bytes
        return self.span(start, start + self.part_bytes)

    def span(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` to before `end`."""
        at = 0
        for path, size in self._files:
            if at < end and at + size > start:
                yield from _slice(path, max(0, start - at), min(size, end - at))
            at += size
        zeros = self.size - len(self.tail) - at
        left = min(end, at + zeros) - max(start, at)
        while left > 0:
            yield _ZEROS[:left]
            left -= len(_ZEROS)
        at += zeros
        if end > at:
            yield self.tail[max(0, start - at) : end - at]


def _slice(path: str, start: int, end: int) -> Iterator[bytes]:
    """Bytes `start` to `end` of a file."""
    left = end - start
    for block in blocks(path, start):
        yield block[:left]
        left -= len(block)
        if left <= 0:
            return
    if left > 0:
        raise OSError(f"{os.path.basename(path)} has become shorter")
