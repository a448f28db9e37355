"""Runs a program of this machine with bounded memory and bounded time, and never leaves it behind."""

import io
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Self

from launcher.remote import Completed

CHUNK_BYTES = 64 * 1024
KEPT_BYTES = 8 * 1024 * 1024
"""How much standard output `complete` keeps; what comes beyond it is read and thrown away."""
_KEPT_STDERR_BYTES = 64 * 1024
_TICK_SECONDS = 0.25  # how late we notice a program that ended while a child of its own holds its pipes open
_GOODBYE_SECONDS = 2.0  # what a program gets between SIGTERM and SIGKILL


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run. It gets a session of its own, so that Ctrl-C in our terminal is ours alone to answer."""

    argv: Sequence[str]
    environ: Mapping[str, str] = field(repr=False)
    folder: Path | None = None
    whole_group: bool = False
    """Ending it ends what it started, too. Not for ssh, whose shared connection serves others."""
    given_up: threading.Event = field(default_factory=threading.Event)
    """Set by another thread that wants a `stream` to end now, as if nothing more came."""


def complete(program: Program, stdin: bytes | BinaryIO, timeout_seconds: float) -> Completed:
    """Run to the end. Raises `TimeoutError` (the program is ended first) and the `OSError`s of starting it."""
    deadline = time.monotonic() + timeout_seconds
    kept = bytearray()
    with _Running(program, io.BytesIO(stdin) if isinstance(stdin, bytes) else stdin) as running:
        while not running.over:
            chunk = running.turn(_left(deadline))
            kept += chunk[: KEPT_BYTES - len(kept)]
        exit_code = running.wait(_left(deadline))
        return Completed(exit_code=exit_code, stdout=bytes(kept), stderr=running.said())


def stream(program: Program, idle_seconds: float) -> Generator[bytes, None, Completed]:
    """Standard output as it comes; returns how it ended, with no output kept.

    Raises `TimeoutError` when nothing came for `idle_seconds`, or the program was given up. Closing the generator ends
    the program. A slow consumer slows it down: at most one chunk, and what the kernel's pipe holds, waits here.
    """
    with _Running(program, io.BytesIO()) as running:
        deadline = time.monotonic() + idle_seconds
        while not running.over:
            if program.given_up.is_set():
                raise TimeoutError
            if chunk := running.turn(_left(deadline)):
                yield chunk
                deadline = time.monotonic() + idle_seconds
        exit_code = running.wait(_left(deadline))
        return Completed(exit_code=exit_code, stdout=b"", stderr=running.said())


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class _Running:
    """A started program and its three pipes, served by one loop."""

    def __init__(self, program: Program, source: BinaryIO) -> None:
        self._whole_group, self._source, self._pending = program.whole_group, source, memoryview(b"")
        self._stderr = bytearray()
        self.over = False
        self._process = subprocess.Popen(
            list(program.argv),
            env=dict(program.environ),
            cwd=program.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        self._selector = selectors.DefaultSelector()
        for pipe, event in (
            (self._process.stdin, selectors.EVENT_WRITE),
            (self._process.stdout, selectors.EVENT_READ),
            (self._process.stderr, selectors.EVENT_READ),
        ):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, event)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()

    def turn(self, seconds: float) -> bytes:
        """Wait a moment for any pipe and serve it; what came on standard output, or nothing."""
        ready = self._selector.select(min(seconds, _TICK_SECONDS))
        out = b""
        for key, _ in ready:
            if key.fileobj is self._process.stdin:
                self._feed(self._process.stdin)
            elif key.fileobj is self._process.stdout:
                out = self._read(self._process.stdout)
            else:
                assert self._process.stderr is not None
                self._keep(self._read(self._process.stderr))
        # The end of both streams is the usual end. A program that is gone while a child holds its pipes is one as well,
        # as soon as they are empty.
        self.over = self._unread() == 0 or (not ready and self._process.poll() is not None)
        return out

    def wait(self, seconds: float) -> int:
        """The exit code as a shell would tell it (128 + signal)."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired as late:
            raise TimeoutError from late
        return code if code >= 0 else 128 - code

    def said(self) -> str:
        """The last of standard error."""
        return self._stderr.decode("utf-8", "replace")

    def _unread(self) -> int:
        return sum(key.events == selectors.EVENT_READ for key in self._selector.get_map().values())

    def _read(self, pipe: IO[bytes]) -> bytes:
        chunk = os.read(pipe.fileno(), CHUNK_BYTES)
        if not chunk:
            self._selector.unregister(pipe)
        return chunk

    def _keep(self, chunk: bytes) -> None:
        self._stderr += chunk
        del self._stderr[:-_KEPT_STDERR_BYTES]

    def _feed(self, pipe: IO[bytes]) -> None:
        if not self._pending:
            self._pending = memoryview(self._source.read(CHUNK_BYTES))
        try:
            written = os.write(pipe.fileno(), self._pending) if self._pending else 0
        except BlockingIOError:
            return
        except BrokenPipeError:  # it reads no more; its exit code will tell whether that is bad
            written = 0
        self._pending = self._pending[written:]
        if not written:
            self._selector.unregister(pipe)
            pipe.close()

    def _end(self) -> None:
        if self._process.poll() is not None:
            return
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(_GOODBYE_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            if self._whole_group:
                os.killpg(self._process.pid, number)
            else:
                self._process.send_signal(number)
