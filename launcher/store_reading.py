"""Reads back what a machine put into the durable store: proven to come from it, bounded, and believed no further."""

import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from jobs import progress
from launcher.answers import Answer, GuestError
from launcher.bucket import Bucket, BucketError, Stored
from launcher.guest import Manifest, RemoteFile
from launcher.remote import RemoteUnreachable

TRAILER_BYTES = 128
MOST_INDEX_BYTES = 4 * 1024 * 1024
TRAILER = re.compile(rb"launch-store 1 ([0-9]{12}) ([0-9a-f]{64}) *\n")
"""See `jobs/guest/container.py`."""


@dataclass(frozen=True, kw_only=True)
class Index:
    """What the object says of itself. `done`: how the job ended, where these are its results."""

    what: str
    name: str
    step: int
    done: progress.Done | None
    files: tuple[RemoteFile, ...]
    starts: tuple[int, ...]


class InStore:
    """A `pull.Source` over one object.

    Raises `RemoteUnreachable` where the store does not answer, `GuestError` where the object is not what the machine of
    that attempt, and nobody else, wrote there.
    """

    def __init__(self, bucket: Bucket, stored: Stored, key: str, whose: tuple[str, int]) -> None:
        """`key`: the machine's, in hexadecimal; `whose`: run and attempt."""
        self._bucket, self._stored, self._key, self._whose = bucket, stored, bytes.fromhex(key), whose
        self._index: Index | None = None

    def index(self) -> Index:
        """Read once."""
        if self._index is None:
            self._index = self._read_index()
        return self._index

    def manifest(self, under: str = "out") -> Manifest:
        """See `Guest.manifest`; an object holds one folder, whatever it is called there."""
        del under
        return Manifest(files=self.index().files)

    def send(self, under: str, path: str, offset: int) -> Iterator[bytes]:
        """See `Guest.send`."""
        del under
        index = self.index()
        for file, start in zip(index.files, index.starts, strict=True):
            if file.path == path:
                return self._bytes(start + offset, file.bytes - offset)
        raise GuestError(f"the store has no {path!r} of it")

    def _bytes(self, start: int, length: int) -> Iterator[bytes]:
        try:
            yield from self._bucket.read(self._stored.key, start, length)
        except BucketError as error:
            raise RemoteUnreachable(str(error)) from error

    def _span(self, start: int, length: int) -> bytes:
        """So many bytes, at most, whatever comes."""
        found = bytearray()
        for chunk in self._bytes(start, length):
            found += chunk
            if len(found) > length:
                break
        return bytes(found[:length])

    def _read_index(self) -> Index:
        size = self._stored.bytes
        if size <= TRAILER_BYTES:
            raise GuestError("the object in the store is too short to be ours")
        trailer = TRAILER.fullmatch(self._span(size - TRAILER_BYTES, TRAILER_BYTES))
        length = int(trailer[1]) if trailer else 0
        if trailer is None or not 0 < length <= min(MOST_INDEX_BYTES, size - TRAILER_BYTES):
            raise GuestError("the object in the store has no end of ours")
        text = self._span(size - TRAILER_BYTES - length, length)
        if not hmac.compare_digest(hmac.new(self._key, text, hashlib.sha256).hexdigest().encode(), trailer[2]):
            raise GuestError("the object in the store was not written by the machine of this run")
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise GuestError("the object's index cannot be read") from error
        return self._checked(Answer(found if isinstance(found, dict) else {}, "store"), size - TRAILER_BYTES - length)

    def _checked(self, told: Answer, payload_bytes: int) -> Index:
        name = self._stored.key.rpartition("/")[2]
        if (told.raw("run"), told.whole("attempt"), told.raw("object")) != (*self._whose, name):
            raise GuestError("the object in the store belongs elsewhere")
        files = tuple(
            RemoteFile(path=one.raw("path"), bytes=one.whole("bytes"), sha256=one.sha256("sha256"))
            for one in told.answers("files")
        )
        starts, at = [], 0
        for file in files:
            starts.append(at)
            at += file.bytes
        if at > payload_bytes:
            raise GuestError("the object in the store is shorter than its files")
        what = told.word("what", ("checkpoint", "results"))
        return Index(
            what=what,
            name=told.raw("name"),
            step=told.whole("step"),
            done=_done(told) if what == "results" else None,
            files=files,
            starts=tuple(starts),
        )


def _done(told: Answer) -> progress.Done:
    """Checked as the line of the same name is."""
    ending = told.answer("ending")
    words = {name: ending.raw(name, or_else="") for name in ("outcome", "step", "text")}
    line = {"schema": 1, "event": "done", "at": "1970-01-01T00:00:00Z", **words}
    event = progress.parse(json.dumps({**line, "exit_code": ending.exit_code("exit_code") or 0}).encode())
    if not isinstance(event, progress.Done):
        raise GuestError("the results in the store do not say how the job ended")
    return event
