"""One step of the job, in a process group of its own: started, heard, asked to save, ended with all that it began."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import Mapping, Sequence

from .keep import LineRedactor, Redactor

LOG_BYTES = 64 << 20
"""A job that prints without end fills its log up to here, not the disk."""
TAIL_BYTES = 2000
LAST_WORDS_SECONDS = 1
"""How long the log is heard after its step is over."""


class Log:
    """job.log: redacted, capped, and never in the job's way: on a full disk its words are dropped."""

    def __init__(self, path: str, redactor: Redactor) -> None:
        self._path, self._lines = path, LineRedactor(redactor)
        self._left = LOG_BYTES - (os.path.getsize(path) if os.path.exists(path) else 0)
        self.tail = b""

    def write(self, chunk: bytes, *, last: bool = False) -> None:
        """Some of what the job printed."""
        clear = self._lines.feed(chunk) + (self._lines.close() if last else b"")
        self.tail = (self.tail + clear)[-TAIL_BYTES:]
        clear = clear[: max(0, self._left)]
        self._left -= len(clear)
        with contextlib.suppress(OSError), open(self._path, "ab", buffering=0) as file:
            file.write(clear)

    def last_line(self) -> str:
        """What the job said last, for the one who asks why."""
        lines = [line.strip() for line in self.tail.decode("utf-8", "replace").splitlines() if line.strip()]
        return lines[-1][-400:] if lines else ""


class Work:
    """A running step."""

    def __init__(self, argv: Sequence[str], folder: str, environment: Mapping[str, str], log: Log) -> None:
        self._log, self._run_path = log, environment["LAUNCH_RUN"]
        self._process = subprocess.Popen(
            list(argv),
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.group = self._process.pid
        self._hearing = threading.Thread(target=self._hear, name="log", daemon=True)
        self._hearing.start()

    def wait(self, seconds: float) -> int | None:
        """Its exit code (negative: the signal), None if it still runs after `seconds`."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def ask(self) -> None:
        """SIGTERM: save and stop."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to all of the group."""
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """After its end: whatever it left running ends too, and its last words are written."""
        self.kill()
        self._hearing.join(LAST_WORDS_SECONDS)
        if self._hearing.is_alive():  # one that left the group still holds the log
            end_orphans(self._run_path)
            self._hearing.join(LAST_WORDS_SECONDS)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.group, number)

    def _hear(self) -> None:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        for chunk in iter(lambda: os.read(descriptor, 65536), b""):
            self._log.write(chunk)
        self._log.write(b"", last=True)


def orphans(run_path: str) -> list[int]:
    """Processes of this run that some earlier supervisor started: they carry its folder in their environment."""
    mark = b"LAUNCH_RUN=" + os.fsencode(run_path)
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        with contextlib.suppress(OSError):
            if name.isdigit() and int(name) != os.getpid():
                with open(f"/proc/{name}/environ", "rb") as file:
                    if mark in file.read().split(b"\0"):
                        found.append(int(name))
    return found


def end_orphans(run_path: str) -> int:
    """End them; how many there were."""
    found = orphans(run_path)
    for pid in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)
    return len(found)
