"""The machine's progress as it comes: a thread reads it over the network, the story takes it without waiting."""

import queue
import threading
from collections.abc import Iterator
from typing import Protocol

from launcher.guest import Guest, GuestError
from launcher.remote import CommandFailed, HostKeyMismatch, RemoteError

RETRY_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0)
MOST_BYTES = 2**20
"""Of what has come at one read: hours of an honest job's words."""
_NOTHING = b""


class Feed(Protocol):
    """Bytes of `progress.jsonl`, in order, from some byte on."""

    def read(self, timeout_seconds: float) -> bytes:
        """All that has come; b"" when nothing came in time. Raises `HostKeyMismatch`."""

    @property
    def offset(self) -> int:
        """How many bytes `read` has given, those before its beginning included."""

    @property
    def over(self) -> bool:
        """The machine said that there will be no more, and all was read."""

    @property
    def trouble(self) -> str:
        """Why nothing comes, "" while the line stands."""

    @property
    def refused(self) -> bool:
        """Whether it is the machine itself that does not let us read, over a line that stands."""

    def close(self) -> None:
        """Stop reading."""


class GuestFeed:
    """Follows the guest; a lost connection is taken up again where it broke, for as long as it takes."""

    def __init__(self, guest: Guest, offset: int = 0) -> None:
        self._guest, self._offset, self.offset = guest, offset, offset
        self._queue: queue.Queue[bytes | HostKeyMismatch | None] = queue.Queue(maxsize=256)
        self._closed = threading.Event()
        self._last_word: bytes | HostKeyMismatch | None = _NOTHING
        self.over, self.trouble, self.refused = False, "", False
        self._thread = threading.Thread(target=self._follow, name="feed", daemon=True)
        self._thread.start()

    def read(self, timeout_seconds: float) -> bytes:
        """See `Feed.read`. What came while somebody was busy is one answer: who takes it piece by piece lags behind."""
        told = bytearray()
        while len(told) < MOST_BYTES:
            piece = self._next(0 if told else timeout_seconds)
            if piece == _NOTHING:
                break
            if isinstance(piece, bytes):
                told += piece
            elif told:
                self._last_word = piece  # it comes after what was said before
                break
            elif isinstance(piece, HostKeyMismatch):
                raise piece
            else:
                self.over = True
                break
        self.offset += len(told)
        return bytes(told)

    def _next(self, timeout_seconds: float) -> bytes | HostKeyMismatch | None:
        """The next piece, the end of all (None), or nothing in time."""
        if self._last_word != _NOTHING:
            piece, self._last_word = self._last_word, _NOTHING
            return piece
        try:
            return self._queue.get(timeout=timeout_seconds) if timeout_seconds else self._queue.get_nowait()
        except queue.Empty:
            return _NOTHING

    def close(self) -> None:
        """See `Feed.close`."""
        self._closed.set()

    def _follow(self) -> None:
        failures = 0
        while not self._closed.is_set():
            try:
                for chunk in self._chunks():
                    failures, self.trouble, self.refused = 0, "", False
                    self._offer(chunk)
                self._offer(None)
                self._closed.set()
            except HostKeyMismatch as error:
                self._offer(error)
                return
            except (RemoteError, GuestError) as error:
                self.trouble, self.refused = str(error), isinstance(error, CommandFailed | GuestError)
                self._closed.wait(RETRY_SECONDS[min(failures, len(RETRY_SECONDS) - 1)])
                failures += 1

    def _chunks(self) -> Iterator[bytes]:
        for chunk in self._guest.follow(self._offset):
            if self._closed.is_set():
                return
            self._offset += len(chunk)
            yield chunk

    def _offer(self, piece: bytes | HostKeyMismatch | None) -> None:
        """Put, without hanging for ever when nobody reads any more."""
        while not self._closed.is_set():
            try:
                self._queue.put(piece, timeout=0.5)
            except queue.Full:
                continue
            else:
                return
